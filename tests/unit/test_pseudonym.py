"""Pseudonyms of users."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from training_service.pseudonym import BYTES, UNKNOWN, Pseudonyms

ALICE = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def test_a_pseudonym_is_that_of_hmac_sha256() -> None:
    # By `openssl dgst -sha256 -hmac key` of the id's bytes.
    digest = "449caafcbfa729cf7b6a583bed997a381c46903418ac65714762b78a4f395fea"
    named = Pseudonyms(b"key").of(ALICE)
    assert named == digest[: 2 * BYTES]
    assert named != Pseudonyms(b"another key").of(ALICE)


@given(st.uuids(), st.uuids())
def test_no_two_users_share_one_and_none_shows_the_id(one: UUID, other: UUID) -> None:
    names = Pseudonyms(b"key")
    assert (names.of(one) == names.of(other)) == (one == other)
    assert one.hex not in names.of(one)


def test_until_the_key_is_known_nobody_has_one() -> None:
    names = Pseudonyms()
    assert names.of(ALICE) == UNKNOWN
    names.learn(b"key")
    assert names.of(ALICE) == Pseudonyms(b"key").of(ALICE)
