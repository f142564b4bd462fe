"""ExportAllSessions and ListSessionChanges: what sibling services read of all athletes."""

import uuid
from collections.abc import Callable, Iterable

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import session_pb2 as pb

from tests.rpc.test_export import export, ids_of, log_many, log_much
from tests.support import (
    Athlete,
    Queries,
    RunningService,
    a_session,
    at,
    eventually,
    forged_token,
    refused,
)
from training_service.storage import session_export as storage

LOGGED = pb.SESSION_CHANGE_KIND_LOGGED
AMENDED = pb.SESSION_CHANGE_KIND_AMENDED
VOIDED = pb.SESSION_CHANGE_KIND_VOIDED
VOID = """
    INSERT INTO training.session_retractions
        (external_user_id, session_id, kind, reason, created_at)
    VALUES (%s, %s, 'VOIDED', '', now())
"""


def export_all(caller: Athlete, **request: object) -> list[pb.ExportSessionsResponse]:
    return list(caller.sessions.ExportAllSessions(pb.ExportAllSessionsRequest(**request)))


def sessions_of(parts: Iterable[pb.ExportSessionsResponse], *athletes: Athlete) -> list[pb.Session]:
    """Returns those of some athletes: the database is shared with other tests."""
    ids = {athlete.id for athlete in athletes}
    return [s for part in parts for s in part.sessions if s.external_user_id in ids]


def void(athlete: Athlete, session_id: str) -> None:
    athlete.sessions.VoidSession(pb.VoidSessionRequest(session_id=session_id))


def changes(
    caller: Athlete, cursor: str = "", **request: object
) -> tuple[list[pb.SessionChange], str]:
    """Returns all changes since a cursor, and the cursor behind them."""
    found: list[pb.SessionChange] = []
    while True:
        answer = caller.sessions.ListSessionChanges(
            pb.ListSessionChangesRequest(cursor=cursor, **request)
        )
        found += answer.changes
        cursor = answer.cursor
        if not answer.has_more:
            return found, cursor


def of(athlete: Athlete, found: Iterable[pb.SessionChange]) -> list[tuple[int, str]]:
    return [(c.kind, c.session_id) for c in found if c.external_user_id == athlete.id]


def test_an_export_of_all_has_every_athletes_sessions_whole(
    alice: Athlete, bob: Athlete, sibling: Athlete
) -> None:
    ids = {athlete.id: log_many(athlete, 5) for athlete in (alice, bob)}
    parts = export_all(sibling)
    found = sessions_of(parts, alice, bob)
    for athlete in (alice, bob):
        own = [s for s in found if s.external_user_id == athlete.id]
        assert [s.id for s in own] == ids[athlete.id]
        assert own == [s for part in export(athlete) for s in part.sessions]
    athletes = [s.external_user_id for part in parts for s in part.sessions]
    assert athletes == sorted(athletes)
    assert parts[-1].summary.session_count == len(athletes)


def test_filters_narrow_an_export_of_all(alice: Athlete, sibling: Athlete) -> None:
    kept = alice.log(a_session(start_time=at("2026-01-01T10:00:00")))
    alice.log(a_session(start_time=at("2026-02-01T10:00:00")))
    gone = alice.log(a_session(start_time=at("2026-01-02T10:00:00")))
    void(alice, gone.id)
    limits = {"from_time": at("2026-01-01T00:00:00"), "to_time": at("2026-02-01T00:00:00")}
    found = sessions_of(export_all(sibling, **limits), alice)
    assert [s.id for s in found] == [kept.id]
    found = sessions_of(export_all(sibling, show_retracted=True, **limits), alice)
    assert [(s.id, s.state) for s in found] == [
        (kept.id, pb.SESSION_STATE_CURRENT),
        (gone.id, pb.SESSION_STATE_VOIDED),
    ]


@pytest.mark.parametrize("show_retracted", [False, True])
def test_a_resumed_export_is_still_of_the_first_moment(
    alice: Athlete, bob: Athlete, sibling: Athlete, show_retracted: bool
) -> None:
    """Whatever is logged, amended and voided in between."""
    ids = [id for athlete in (alice, bob) for id in log_many(athlete, storage.EXPORT_BATCH)]
    whole = sessions_of(export_all(sibling, show_retracted=show_retracted), alice, bob)
    assert {s.id for s in whole} == set(ids)
    request = pb.ExportAllSessionsRequest(show_retracted=show_retracted)
    stream = sibling.sessions.ExportAllSessions(request)
    first = next(stream)
    stream.cancel()
    for athlete in (alice, bob):
        own = [s.id for s in whole if s.external_user_id == athlete.id]
        void(athlete, own[-1])
        amendment = pb.AmendSessionRequest(session_id=own[-2], session=a_session())
        athlete.sessions.AmendSession(amendment)
        athlete.log()
    rest = export_all(sibling, cursor=first.cursor, show_retracted=show_retracted)
    assert sessions_of([first, *rest], alice, bob) == whole
    assert sessions_of(export_all(sibling, show_retracted=show_retracted), alice, bob) != whole


def test_a_cursor_of_all_is_checked(alice: Athlete, sibling: Athlete) -> None:
    alice.log()
    own = export(alice)[0].cursor
    cursor = export_all(sibling)[0].cursor
    for request in (
        {"cursor": own},
        {"cursor": cursor, "show_retracted": True},
        {"cursor": forged_token(cursor, "none", str(uuid.UUID(int=0)), "1:1:")},
    ):
        with refused("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT):
            export_all(sibling, **request)
    with refused("INVALID_PAGE_TOKEN"):
        export(alice, cursor=cursor)


@pytest.mark.parametrize("roles", ["", "admin"])
def test_only_a_service_reads_all_athletes(
    roles: str, alice: Athlete, new_athlete: Callable[..., Athlete]
) -> None:
    caller = new_athlete(roles=roles) if roles else alice
    with refused("PERMISSION_DENIED", grpc.StatusCode.PERMISSION_DENIED):
        export_all(caller)
    with refused("PERMISSION_DENIED", grpc.StatusCode.PERMISSION_DENIED):
        changes(caller)


def test_reading_all_ends_with_the_call(alice: Athlete, sibling: Athlete, queries: Queries) -> None:
    """The role that sees all athletes lasts for one transaction that can only read."""
    alice.log()
    queries.clear()
    export_all(sibling)
    changes(sibling)
    alice.sessions.ListSessions(pb.ListSessionsRequest())
    settings = {sql for sql in queries.sql if sql.startswith("SET")}
    assert settings == {
        'SET LOCAL ROLE "training_reader"',
        "SET LOCAL statement_timeout = 300000",
        f"SET LOCAL app.external_user_id = '{alice.id}'",
    }
    begins = [sql for sql in queries.sql if sql.startswith("BEGIN")]
    assert all("READ ONLY" in sql for sql in begins)


def test_a_reader_of_all_who_hangs_up_leaves_nothing_open(
    alice: Athlete, sibling: Athlete, owner: psycopg.Connection
) -> None:
    log_much(alice)
    stream = sibling.sessions.ExportAllSessions(pb.ExportAllSessionsRequest())
    next(stream)
    stream.cancel()
    busy = """
        SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_visible_in_snapshot%'
        AND xact_start IS NOT NULL AND datname = current_database() AND pid <> pg_backend_pid()
    """
    eventually(lambda: owner.execute(busy).fetchone() == (0,))


def test_changes_tell_what_became_of_sessions_in_order(
    alice: Athlete, bob: Athlete, sibling: Athlete
) -> None:
    _, cursor = changes(sibling)
    first, second = alice.log(), bob.log()
    amendment = pb.AmendSessionRequest(session_id=first.id, session=a_session(session_rpe=1))
    amended = alice.sessions.AmendSession(amendment)
    void(bob, second.id)
    found, after = changes(sibling, cursor, page_size=1)
    assert of(alice, found) == [(LOGGED, first.id), (AMENDED, amended.id)]
    assert of(bob, found) == [(LOGGED, second.id), (VOIDED, second.id)]
    superseded = {c.session_id: c.superseded_session_id for c in found}
    assert superseded[amended.id] == first.id
    assert not superseded[second.id]
    assert all(c.HasField("change_time") and not c.HasField("session") for c in found)
    assert not of(alice, changes(sibling, after)[0])


def test_changes_bring_the_sessions_that_were_stored(alice: Athlete, sibling: Athlete) -> None:
    _, cursor = changes(sibling)
    logged = alice.log()
    void(alice, logged.id)
    found, _ = changes(sibling, cursor, include_sessions=True)
    stored, voided = (c for c in found if c.external_user_id == alice.id)
    assert stored.session == logged
    assert not voided.HasField("session")


def test_whoever_follows_the_changes_has_what_an_export_has(
    alice: Athlete, bob: Athlete, sibling: Athlete
) -> None:
    for athlete in (alice, bob):
        ids = log_many(athlete, 20)
        void(athlete, ids[3])
        amendment = pb.AmendSessionRequest(session_id=ids[5], session=a_session())
        athlete.sessions.AmendSession(amendment)
    current: dict[str, pb.Session] = {}
    for change in changes(sibling, page_size=7, include_sessions=True)[0]:
        current.pop(change.superseded_session_id, None)
        if change.kind == VOIDED:
            del current[change.session_id]
        elif change.external_user_id in (alice.id, bob.id):
            current[change.session_id] = change.session
        if change.kind == VOIDED:
            continue
        current.setdefault(change.session_id, change.session)
    own = {id: s for id, s in current.items() if s.external_user_id in (alice.id, bob.id)}
    exported = sessions_of(export_all(sibling), alice, bob)
    assert own == {s.id: s for s in exported}


def test_the_changes_go_on_from_an_export(
    alice: Athlete, sibling: Athlete, database_url: str
) -> None:
    """What was under way when it began is not lost, and what is old does not come again."""
    old, slow = alice.log(), alice.log()
    with psycopg.connect(database_url) as under_way:
        under_way.execute(VOID, [alice.id, slow.id])
        recent = alice.log()
        parts = export_all(sibling)
        under_way.commit()
    later = alice.log()
    assert {s.id for s in sessions_of(parts, alice)} == {old.id, slow.id, recent.id}
    cursor = parts[-1].summary.changes_cursor

    def come() -> list[tuple[int, str]]:
        return of(alice, changes(sibling, cursor)[0])

    eventually(lambda: (LOGGED, later.id) in come())
    assert come() == [(VOIDED, slow.id), (LOGGED, recent.id), (LOGGED, later.id)]


def test_an_export_of_one_leads_to_no_changes(alice: Athlete) -> None:
    assert not export(alice)[-1].summary.changes_cursor


def test_a_change_that_is_committed_late_is_not_missed(
    alice: Athlete, bob: Athlete, sibling: Athlete, database_url: str
) -> None:
    """Its transaction began before one that a reader could have seen already."""
    voided_late = alice.log()
    _, cursor = changes(sibling)
    with psycopg.connect(database_url) as slow:
        slow.execute(VOID, [alice.id, voided_late.id])
        logged = bob.log()
        early, cursor = changes(sibling, cursor)
        assert not of(alice, early)
        slow.commit()
    late: list[pb.SessionChange] = []

    def has_come() -> bool:
        nonlocal cursor
        found, cursor = changes(sibling, cursor)
        late.extend(found)
        return bool(of(bob, [*early, *late])) and bool(of(alice, late))

    eventually(has_come)
    assert of(alice, late) == [(VOIDED, voided_late.id)]
    assert of(bob, [*early, *late]) == [(LOGGED, logged.id)]


def test_what_is_older_than_the_order_comes_first_and_whole(
    alice: Athlete, sibling: Athlete, owner: psycopg.Connection
) -> None:
    """Rows from before the migration all have transaction 0."""
    ids = log_many(alice, 5)
    void(alice, ids[0])
    for table in ("sessions", "session_retractions"):
        owner.execute(
            f"UPDATE training.{table} SET transaction_id = '0' WHERE external_user_id = %s",
            [alice.id],
        )
    found, _ = changes(sibling, page_size=1)
    assert of(alice, found) == [*((LOGGED, id) for id in ids), (VOIDED, ids[0])]


def test_a_cursor_of_changes_is_checked(sibling: Athlete) -> None:
    _, cursor = changes(sibling)
    nobody = str(uuid.UUID(int=0))
    for bad in (
        "nonsense",
        forged_token(cursor, "x", 0, nobody, nobody),
        forged_token(cursor, -1, 0, nobody, nobody),
        forged_token(cursor, 2**63, 0, nobody, nobody),
        forged_token(cursor, 0, 0, "no id", nobody),
    ):
        with refused("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT):
            changes(sibling, bad)


def test_changes_are_one_statement(sibling: Athlete, alice: Athlete, queries: Queries) -> None:
    alice.log()
    _, cursor = changes(sibling)
    queries.clear()
    changes(sibling, cursor)
    assert len(queries.data) == 1


def test_pages_of_changes_stay_below_what_clients_take(
    alice: Athlete, sibling: Athlete, service: RunningService
) -> None:
    _, cursor = changes(sibling)
    ids = log_much(alice, 150)
    found, _ = changes(sibling, cursor, page_size=1000, include_sessions=True)
    assert [id for _, id in of(alice, found)] == ids
    assert ids_of(export(alice)) == ids
