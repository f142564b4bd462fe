"""What is in an object of the archive, and where it is."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.archive.content import (
    ArchivedRecord,
    DamagedObjectError,
    decode,
    encode,
    sha256_of,
)
from training_service.archive.store import FolderStore, open_store
from training_service.errors import TrainingError
from training_service.settings import Settings, SettingsError
from training_service.storage.archive import LOCATOR_BYTES, MARK, Locator, is_locator

OWN = UUID("5f0c1c52-5a3e-4b39-9d3b-6f2f3f0a7a11")
OWN_TEXT = str(OWN).encode()
STARTED = datetime(2020, 1, 1, tzinfo=UTC)
RECORDS = st.lists(
    st.lists(st.binary(max_size=30) | st.just(OWN_TEXT) | st.just(OWN_TEXT[:9])).map(b"".join),
    min_size=1,
)


@given(RECORDS)
def test_what_is_archived_comes_back_as_it_was(records: list[bytes]) -> None:
    given = [ArchivedRecord(uuid4(), STARTED, record) for record in records]
    data = encode(OWN, given)
    found = decode(OWN, "key", data, sha256_of(data))
    assert found == {one.session_id: one.record for one in given}
    # Short ones would stand in the file as they are.
    assert OWN_TEXT not in data


def test_an_object_with_another_checksum_is_not_read() -> None:
    data = encode(OWN, [ArchivedRecord(uuid4(), STARTED, b"record")])
    with pytest.raises(DamagedObjectError, match="the/key"):
        decode(OWN, "the/key", data, sha256_of(b"else"))


@given(st.uuids(), st.uuids(), st.uuids(), st.binary(max_size=50))
def test_a_locator_says_where_a_record_is(user: UUID, of: UUID, id: UUID, rest: bytes) -> None:
    written = MARK + user.bytes + of.bytes + id.bytes
    assert len(written) == LOCATOR_BYTES
    assert is_locator(written + rest)
    assert Locator.of(written + rest) == (user, of, id, rest)


@pytest.mark.parametrize("record", [None, b"", b"\x0a\x01a"])
def test_a_record_is_no_locator(record: bytes | None) -> None:
    assert not is_locator(record)


def test_a_folder_keeps_objects(tmp_path: Path) -> None:
    async def use() -> None:
        store = FolderStore(tmp_path / "not" / "yet")
        with pytest.raises(TrainingError, match="does not answer"):
            await store.get("a/one")
        await store.put("a/one", b"1")
        await store.put("b/two", b"2")
        assert await store.get("a/one") == b"1"
        assert await store.get("a/two") is None
        assert [keys async for keys in store.list_keys()] == [["a/one"], ["b/two"]]
        assert [keys async for keys in store.list_keys("b")] == [["b/two"]]
        await store.delete(["a/one", "a/none"])
        assert [keys async for keys in store.list_keys("a")] == [[]]

    asyncio.run(use())


def test_the_store_is_where_the_settings_say(tmp_path: Path) -> None:
    async def put(**settings: object) -> None:
        await open_store(Settings(**settings)).put("a/one", b"1")  # type: ignore[arg-type]

    asyncio.run(put(data_directory=tmp_path))
    assert (tmp_path / "archive" / "a" / "one").read_bytes() == b"1"
    named = tmp_path / "with space"
    asyncio.run(put(archive_url=named.as_uri()))
    assert (named / "a" / "one").read_bytes() == b"1"
    with pytest.raises(SettingsError, match="TRAINING_ARCHIVE_URL"):
        # Azure needs an account beside the container.
        open_store(Settings(archive_url="az://container"))
