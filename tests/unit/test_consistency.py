"""Tokens, and what is known of a replica by how far it is."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.consistency import (
    UNKNOWN,
    Consistency,
    History,
    Position,
    from_token,
    to_token,
)
from training_service.errors import TrainingError
from training_service.storage.replica import Progress

HISTORIES = st.builds(
    History,
    cluster=st.integers(-(2**63), 2**63 - 1),
    timeline=st.integers(0, 2**32 - 1),
)
POSITIONS = st.builds(Position, history=HISTORIES, lsn=st.integers(0, 2**64 - 1))
HERE = History(7, 1)


@contextmanager
def refusing_fields() -> Iterator[list[str]]:
    """Takes note of the fields that are refused, if any are."""
    refused: list[str] = []
    try:
        yield refused
    except TrainingError as error:
        refused += [one.field for one in error.violations]


@given(POSITIONS)
def test_a_token_names_its_position(position: Position) -> None:
    assert from_token(to_token(position)) == position


@given(st.binary(max_size=40) | st.binary(max_size=24).map(lambda data: b"TS" + data))
def test_bytes_are_a_token_or_refused(data: bytes) -> None:
    token = base64.urlsafe_b64encode(data).decode()
    with refusing_fields() as refused:
        position = from_token(token)
        is_later = data[:2] == b"TS" and data[2] > 1
        assert position.history == UNKNOWN if is_later else to_token(position) == token
    assert refused in ([], ["x-consistency-token"])


@given(st.text(max_size=40))
def test_texts_are_a_token_or_refused(token: str) -> None:
    with refusing_fields() as refused:
        from_token(token)
    assert refused in ([], ["x-consistency-token"])


@given(st.lists(POSITIONS, max_size=5))
def test_what_is_needed_is_the_furthest_of_each_history(positions: list[Position]) -> None:
    needed = Consistency(positions, is_write=False).needed
    assert set(needed) <= set(positions)
    for one in positions:
        assert any(n.history == one.history and n.lsn >= one.lsn for n in needed)
    assert len({one.history for one in needed}) == len(needed)


def test_a_call_needs_what_it_wrote_itself() -> None:
    consistency = Consistency([Position(HERE, 5)], is_write=False)
    consistency.reach(Position(HERE, 9))
    assert consistency.needed == [Position(HERE, 9)]
    assert consistency.reached == Position(HERE, 9)


@pytest.mark.parametrize(
    ("lsn", "moment"), [(0, None), (9, None), (10, 1.0), (19, 1.0), (20, 3.0), (99, 3.0)]
)
def test_a_replica_is_as_old_as_the_last_position_it_has(lsn: int, moment: float | None) -> None:
    progress = Progress(10)
    for asked_at, end in ((1.0, 10), (2.0, 20), (3.0, 20)):
        progress.note(asked_at, Position(HERE, end))
    assert progress.moment(Position(HERE, lsn)) == moment


def test_positions_of_another_history_say_nothing() -> None:
    progress = Progress(10)
    progress.note(1.0, Position(HERE, 10))
    assert progress.moment(Position(History(7, 2), 99)) is None
    assert progress.moment(Position(History(8, 1), 99)) is None
