"""ExportSessions: the whole history of an athlete as a stream that can be resumed."""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Sequence
from random import Random

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import session_pb2 as pb
from google.rpc import code_pb2

from tests.support import (
    PULL_UP,
    Athlete,
    Queries,
    RunningService,
    a_session,
    at,
    eventually,
    forged_token,
    refused,
    running_service,
)
from training_service.storage import session_export as storage

Parts = Sequence[pb.ExportSessionsResponse]


def log_many(athlete: Athlete, count: int, **fields: object) -> list[str]:
    """Logs sessions and returns their ids in the order they were stored."""
    ids = []
    for _ in range(0, count, 100):
        requests = [pb.LogSessionRequest(session=a_session(**fields))] * min(100, count - len(ids))
        response = athlete.sessions.BatchLogSessions(pb.BatchLogSessionsRequest(requests=requests))
        assert all(r.status.code == code_pb2.OK for r in response.results)
        ids += [r.session.id for r in response.results]
    return ids


def log_much(athlete: Athlete, count: int = 800) -> list[str]:
    """Logs sessions of 32 kB each: by default more than lies between a server and its reader.

    Their notes can't be compressed by much.
    """
    exercises = [
        pb.SessionExercise(exercise_id=PULL_UP, notes=Random(number).randbytes(2000).hex())
        for number in range(8)
    ]
    return log_many(athlete, count, exercises=exercises)


def export(athlete: Athlete, **request: object) -> list[pb.ExportSessionsResponse]:
    return list(athlete.sessions.ExportSessions(pb.ExportSessionsRequest(**request)))


def ids_of(parts: Iterable[pb.ExportSessionsResponse]) -> list[str]:
    return [session.id for part in parts for session in part.sessions]


def test_an_export_is_every_session_whole_in_the_order_of_storing(
    alice: Athlete, bob: Athlete
) -> None:
    ids = log_many(alice, storage.EXPORT_BATCH * 2 + 1)
    of_bob = log_many(bob, 1)
    parts = export(alice)
    assert ids_of(parts) == ids
    get = pb.GetSessionRequest(session_id=ids[-1])
    assert parts[-2].sessions[-1] == alice.sessions.GetSession(get)
    assert ids_of(export(bob)) == of_bob


def test_the_last_message_alone_says_what_was_sent(alice: Athlete) -> None:
    ids = log_many(alice, 3)
    *parts, last = export(alice)
    assert [p.HasField("summary") for p in parts] == [False]
    assert all(p.cursor and p.sessions for p in parts)
    assert (last.cursor, list(last.sessions)) == ("", [])
    assert last.summary.session_count == 3
    lines = "".join(f"{id}\n" for id in ids)
    assert last.summary.ids_sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_an_export_of_nothing_is_complete(alice: Athlete) -> None:
    [only] = export(alice)
    assert only.summary.session_count == 0
    assert only.summary.ids_sha256 == hashlib.sha256(b"").hexdigest()


def test_a_broken_stream_resumes_without_gap_or_repetition(alice: Athlete) -> None:
    ids = log_many(alice, storage.EXPORT_BATCH + 20)
    stream = alice.sessions.ExportSessions(pb.ExportSessionsRequest())
    first = next(stream)
    stream.cancel()
    later = log_many(alice, 1)
    rest = export(alice, cursor=first.cursor)
    assert 0 < len(first.sessions) < len(ids)
    assert ids_of([first, *rest]) == ids
    assert rest[-1].summary.session_count == len(ids) - len(first.sessions)
    assert ids_of(export(alice)) == [*ids, *later]


def test_a_stream_shows_one_moment(alice: Athlete) -> None:
    ids = log_much(alice)
    stream = alice.sessions.ExportSessions(pb.ExportSessionsRequest())
    parts = [next(stream)]
    alice.sessions.VoidSession(pb.VoidSessionRequest(session_id=ids[-1]))
    log_many(alice, 1)
    parts += stream
    assert ids_of(parts) == ids
    assert ids_of(export(alice))[-2:] != ids[-2:]


def test_messages_stay_well_below_what_clients_take(alice: Athlete) -> None:
    log_much(alice, 150)
    sizes = [part.ByteSize() for part in export(alice)]
    assert max(sizes) < 1_200_000
    assert sum(sizes) > 4_500_000
    assert len(sizes) > 4


def test_filters_narrow_an_export(alice: Athlete) -> None:
    early = alice.log(a_session(start_time=at("2026-01-01T10:00:00")))
    late = alice.log(a_session(start_time=at("2026-02-01T10:00:00")))
    gone = alice.log(a_session(start_time=at("2026-02-02T10:00:00")))
    alice.sessions.VoidSession(pb.VoidSessionRequest(session_id=gone.id))
    middle = at("2026-01-15T00:00:00")
    assert ids_of(export(alice, to_time=middle)) == [early.id]
    assert ids_of(export(alice, from_time=middle)) == [late.id]
    found = export(alice, from_time=middle, show_retracted=True)
    assert ids_of(found) == [late.id, gone.id]
    assert found[0].sessions[1].state == pb.SESSION_STATE_VOIDED


def test_a_cursor_is_good_for_its_own_export_alone(alice: Athlete, bob: Athlete) -> None:
    log_many(alice, 2)
    cursor = export(alice)[0].cursor
    nobody = str(uuid.UUID(int=0))
    for request in (
        {"cursor": cursor, "show_retracted": True},
        {"cursor": "nonsense"},
        {"cursor": forged_token(cursor, "no-id", alice.id, "1:1:")},
        {"cursor": forged_token(cursor, alice.id, "no-id", "1:1:")},
        {"cursor": forged_token(cursor, nobody, nobody, "no snapshot")},
        {"cursor": forged_token(cursor, nobody, nobody, "9:1:")},
        {"cursor": forged_token(cursor, 7)},
    ):
        with refused("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT):
            export(alice, **request)
    with refused("INVALID_PAGE_TOKEN"):
        export(bob, cursor=cursor)
    # Naming oneself is no other export.
    assert len(export(alice, cursor=cursor, external_user_id=alice.id)) == 1


def test_an_instant_that_is_none_is_refused(alice: Athlete) -> None:
    with refused("INVALID_FIELD") as refusals:
        export(alice, from_time={"seconds": 2**60})
    assert refusals[0].fields == ["from_time"]


def test_an_export_reads_as_many_statements_as_it_has_batches(
    alice: Athlete, queries: Queries
) -> None:
    log_many(alice, storage.EXPORT_BATCH * 2)
    queries.clear()
    export(alice)
    assert len(queries.data) == 1 + 3


def open_snapshots(owner: psycopg.Connection) -> int:
    query = """
        SELECT count(*) FROM pg_stat_activity
        WHERE xact_start IS NOT NULL AND query LIKE '%FROM training.sessions%'
          AND datname = current_database() AND pid <> pg_backend_pid()
    """
    [(count,)] = owner.execute(query).fetchall()
    return int(count)


def test_a_reader_who_hangs_up_leaves_nothing_open(
    database_url: str, owner: psycopg.Connection
) -> None:
    with running_service(database_url, pool_max_size=1, pool_min_size=1) as service:
        reader = Athlete(service.address)
        ids = log_much(reader)
        stream = reader.sessions.ExportSessions(pb.ExportSessionsRequest())
        next(stream)
        assert open_snapshots(owner) == 1
        stream.cancel()
        eventually(lambda: open_snapshots(owner) == 0)
        # The only connection is free again, and clean.
        assert ids_of(export(reader)) == ids
        reader.close()


def test_a_reader_who_stalls_is_cut_at_the_deadline_of_streams(
    database_url: str, owner: psycopg.Connection
) -> None:
    with running_service(database_url, stream_deadline_seconds=1) as service:
        reader = Athlete(service.address)
        ids = log_much(reader)
        stream = reader.sessions.ExportSessions(pb.ExportSessionsRequest())
        received = [next(stream)]
        assert open_snapshots(owner) == 1
        eventually(lambda: open_snapshots(owner) == 0)
        with refused("DEADLINE_EXCEEDED", grpc.StatusCode.DEADLINE_EXCEEDED):
            received.extend(stream)
        assert not received[-1].HasField("summary")
        assert ids_of([*received, *export(reader, cursor=received[-1].cursor)]) == ids
        reader.close()


@pytest.mark.parametrize("deadline_seconds", [0.001])
def test_a_caller_may_bound_a_stream(
    deadline_seconds: float, alice: Athlete, service: RunningService
) -> None:
    log_many(alice, 1)
    with pytest.raises(grpc.RpcError) as caught:
        list(alice.sessions.ExportSessions(pb.ExportSessionsRequest(), timeout=deadline_seconds))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_fault_in_the_midst_of_a_stream_says_nothing_of_itself(
    alice: Athlete, monkeypatch: pytest.MonkeyPatch, new_athlete: Callable[..., Athlete]
) -> None:
    log_many(alice, storage.EXPORT_BATCH + 1)
    original = storage.Transaction.fetch
    secret = str(uuid.uuid4())
    calls = 0

    async def fetch(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 1:  # the first batch
            raise RuntimeError(secret)
        return await original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(storage.Transaction, "fetch", fetch)
    stream = alice.sessions.ExportSessions(pb.ExportSessionsRequest())
    assert next(stream).cursor
    with refused("INTERNAL", grpc.StatusCode.INTERNAL) as refusals:
        list(stream)
    assert secret not in refusals[0].message
