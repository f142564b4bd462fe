"""ExportUserData: all that a user has, as a zip file."""

import hashlib
import io
import json
import tracemalloc
import zipfile
from datetime import UTC, datetime
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import access_pb2, governance_pb2, session_pb2
from sqlalchemy import Column, MetaData, Table, Uuid

from tests.rpc.test_archive import Cold, cold, database_url, folder, service  # noqa: F401
from tests.rpc.test_export import log_many, log_much
from tests.rpc.test_isolation import Belongings
from tests.support import Athlete, a_session, grant, refused
from training_service.servicers.zip_stream import CHUNK_BYTES, ZipStream
from training_service.storage import user_export as storage
from training_service.storage.tables import metadata


def chunks(athlete: Athlete, **request: Any) -> list[bytes]:
    stream = athlete.governance.ExportUserData(governance_pb2.ExportUserDataRequest(**request))
    return [part.data for part in stream]


def opened(parts: list[bytes]) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


def rows(files: dict[str, bytes], table: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in files[f"{table}.ndjson"].splitlines()]


def test_an_export_is_all_a_user_has_and_nothing_of_another(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    for athlete, notes in ((alice, "felt-heavy"), (bob, "secret-of-bob")):
        Belongings(athlete)
        athlete.log(a_session(notes=notes))
    files = opened(chunks(alice))
    *names, last = files
    assert last == "manifest.json"
    manifest = json.loads(files[last])
    assert manifest["athlete"] == alice.id
    assert [file["name"] for file in manifest["files"]] == names
    filled = 0
    for file, exported in zip(manifest["files"], storage.EXPORTED, strict=True):
        lines = files[file["name"]]
        assert file["sha256"] == hashlib.sha256(lines).hexdigest()
        whose = storage.owner(metadata.tables[f"training.{exported.table}"])
        assert whose is not None
        query = f"SELECT count(*) FROM training.{exported.table} WHERE {whose.name} = %s"
        [count] = owner.execute(query, [alice.id]).fetchone() or [None]
        assert file["rows"] == count == lines.count(b"\n")
        filled += count > 0
    assert filled > 10
    [revision] = owner.execute("SELECT version_num FROM training.alembic_version").fetchone() or [0]
    assert manifest["schema_revision"] == revision
    everything = b"".join(files.values())
    assert b"felt-heavy" in everything
    assert b"secret-of-bob" not in everything
    assert bob.id.encode() not in everything


def test_records_are_messages_as_json_also_those_in_the_archive(
    alice: Athlete,
    cold: Cold,  # noqa: F811
    owner: psycopg.Connection,
) -> None:
    ids = log_many(alice, 3, notes="before")
    cold.archive(alice)
    query = "SELECT count(record) FROM training.sessions WHERE external_user_id = %s"
    assert owner.execute(query, [alice.id]).fetchone() == (0,)
    ids += log_many(alice, 1, notes="after")
    found = rows(opened(chunks(alice)), "sessions")
    assert [row["record"]["id"] for row in found] == ids
    assert [row["record"]["notes"] for row in found] == ["before"] * 3 + ["after"]


def test_pages_follow_one_another_without_gap_or_repetition(alice: Athlete) -> None:
    ids = log_many(alice, storage.PAGE_ROWS * 2)
    files = opened(chunks(alice))
    assert [row["id"] for row in rows(files, "sessions")] == ids
    assert len(rows(files, "session_exercises")) >= len(ids)


def test_an_export_shows_one_moment(alice: Athlete) -> None:
    ids = log_much(alice)
    stream = alice.governance.ExportUserData(governance_pb2.ExportUserDataRequest())
    parts = [next(stream).data]
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=ids[0]))
    parts += [part.data for part in stream]
    assert len(parts) > 10
    assert rows(opened(parts), "session_retractions") == []


def test_nothing_is_a_whole_export_too(alice: Athlete) -> None:
    files = opened(chunks(alice))
    assert {len(lines) for name, lines in files.items() if name != "manifest.json"} == {0}


def test_memory_is_bounded_whatever_there_is() -> None:
    stream = ZipStream(datetime(2026, 1, 1, tzinfo=UTC))
    sizes = []
    tracemalloc.start()
    try:
        for page in range(300):
            # Digests can't be compressed.
            texts = [hashlib.sha512(f"{page} {n}".encode()).hexdigest() * 20 for n in range(100)]
            stream.add("one.ndjson", [{"text": text} for text in texts])
            sizes += [len(chunk) for chunk in stream.chunks()]
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    stream.finish({})
    sizes += [len(chunk) for chunk in stream.chunks(at_least=1)]
    assert max(sizes) <= CHUNK_BYTES
    assert sum(sizes) > 2 * CHUNK_BYTES
    assert peak_bytes < 5_000_000


def test_no_grant_lets_a_coach_export(alice: Athlete, bob: Athlete) -> None:
    grant(alice, bob.id, *access_pb2.GrantScope.values()[1:])
    with refused("ATHLETE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        chunks(bob, external_user_id=alice.id)


def test_a_table_or_column_that_is_not_known_is_noticed() -> None:
    exported = {one.table for one in storage.EXPORTED}
    owned = {table.name for table in metadata.sorted_tables if storage.owner(table) is not None}
    assert exported | set(storage.LEFT_OUT) == owned
    assert exported.isdisjoint(storage.LEFT_OUT)
    strange = Table("strange", MetaData(), Column("rival_user_id", Uuid))
    with pytest.raises(ValueError, match="rival_user_id"):
        storage.owner(strange)
