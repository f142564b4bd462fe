"""Page tokens and page sizes."""

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from training_service.domain.paging import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    KeyPart,
    decode_page_token,
    encode_page_token,
    page_limit,
)
from training_service.errors import Reason, TrainingError

LISTING = "3f0a"
SHAPE = (int, str)
keys = st.tuples(st.integers(), st.text())


def forged(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def decoded_or_refused(token: str) -> tuple[KeyPart, ...] | None:
    """Returns the key in a token, None for one refused as it should be."""
    try:
        return decode_page_token(LISTING, token, SHAPE)
    except TrainingError as error:
        if error.reason is not Reason.INVALID_PAGE_TOKEN:
            raise
        return None


@given(keys)
def test_a_key_comes_back_from_its_token(key: tuple[int, str]) -> None:
    assert decode_page_token(LISTING, encode_page_token(LISTING, key), SHAPE) == key


@given(keys)
def test_a_token_can_stand_in_a_url(key: tuple[int, str]) -> None:
    token = encode_page_token(LISTING, key)
    assert token
    assert all(c.isascii() and (c.isalnum() or c in "-_") for c in token)


def test_no_token_is_the_first_page() -> None:
    assert decode_page_token(LISTING, "", SHAPE) is None


@given(keys, st.text().filter(lambda text: text != LISTING))
def test_a_token_of_another_listing_is_refused(key: tuple[int, str], listing: str) -> None:
    with pytest.raises(TrainingError) as caught:
        decode_page_token(LISTING, encode_page_token(listing, key), SHAPE)
    assert caught.value.reason is Reason.INVALID_PAGE_TOKEN


@given(keys, st.data())
def test_a_changed_token_is_refused_or_has_a_key_of_the_same_shape(
    key: tuple[int, str], data: st.DataObject
) -> None:
    token = encode_page_token(LISTING, key)
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, len(token)))
    changed = token[:start] + data.draw(st.text(max_size=4)) + token[end:]
    found = decoded_or_refused(changed)
    assert found is None or tuple(map(type, found)) == SHAPE


@given(st.text(min_size=1))
@example("=")
@example("AAAA")
@example("not a token")
@example("ÄÖÜ")
def test_a_text_that_is_no_token_is_refused(text: str) -> None:
    assert decoded_or_refused(text) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        [],
        {},
        "3f0a",
        [LISTING],
        [LISTING, 1],
        [LISTING, "1", "a"],
        [LISTING, 1, 2],
        [LISTING, 1, "a", "b"],
        [LISTING, 1.0, "a"],
        # Python takes True for 1; a key must not.
        [LISTING, True, "a"],
        [LISTING, None, "a"],
        [[LISTING], 1, "a"],
    ],
)
def test_a_forged_token_with_a_key_of_another_shape_is_refused(value: object) -> None:
    with pytest.raises(TrainingError) as caught:
        decode_page_token(LISTING, forged(value), SHAPE)
    assert caught.value.reason is Reason.INVALID_PAGE_TOKEN


def test_a_token_nested_without_end_is_refused() -> None:
    nested = base64.urlsafe_b64encode(b"[" * 300_000).decode()
    with pytest.raises(TrainingError) as caught:
        decode_page_token(LISTING, nested, SHAPE)
    assert caught.value.reason is Reason.INVALID_PAGE_TOKEN


def test_no_page_size_is_the_default() -> None:
    assert page_limit(0) == DEFAULT_PAGE_SIZE == 50


@given(st.integers(1, MAX_PAGE_SIZE))
def test_a_page_size_up_to_the_most_is_kept(size: int) -> None:
    assert page_limit(size) == size


@given(st.integers(MAX_PAGE_SIZE + 1, 2**31 - 1))
def test_a_page_size_above_the_most_is_taken_as_the_most(size: int) -> None:
    assert page_limit(size) == MAX_PAGE_SIZE == 1000
