"""What is read from a replica, and what a caller sees of one that lags or dies."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import (
    access_pb2,
    governance_pb2,
    group_pb2,
    load_pb2,
    metrics_pb2,
    roster_pb2,
    session_pb2,
)
from google.protobuf.message import Message

from tests.replica.conftest import Serve, is_read
from tests.replica.server import ReplicaServer
from tests.support import (
    PULL_UP,
    Athlete,
    RunningService,
    a_session,
    enter,
    eventually,
    grant,
    new_group,
    refused,
    revoke,
    uses,
)
from training_service.consistency import (
    TOKEN_KEY,
    History,
    Position,
    from_token,
    to_token,
)
from training_service.doctor import Verdict, check_replicas
from training_service.settings import Settings
from training_service.storage.diagnosis import diagnose
from training_service.storage.session_export import EXPORT_BATCH

Metadata = list[tuple[str, str]]
READ_METRICS = 3
MARCH = {
    "from_date": {"year": 2026, "month": 3, "day": 1},
    "to_date": {"year": 2026, "month": 3, "day": 31},
}

READS: dict[str, tuple[str, Message]] = {
    "daily totals": ("metrics.ListDailyTotals", metrics_pb2.ListDailyTotalsRequest()),
    "weeks": ("metrics.ListWeeklyAggregates", metrics_pb2.ListWeeklyAggregatesRequest(**MARCH)),
    "months": (
        "metrics.ListMonthlyAggregates",
        metrics_pb2.ListMonthlyAggregatesRequest(**MARCH),
    ),
    "progress": (
        "metrics.GetExerciseProgress",
        metrics_pb2.GetExerciseProgressRequest(exercise_id=PULL_UP),
    ),
    "records": ("metrics.ListPersonalRecords", metrics_pb2.ListPersonalRecordsRequest()),
    "summary": ("metrics.GetTrainingSummary", metrics_pb2.GetTrainingSummaryRequest(**MARCH)),
    "chart": (
        "metrics.GetProgressChart",
        metrics_pb2.GetProgressChartRequest(
            kind="CHART_KIND_EXERCISE_PROGRESS", exercise_id=PULL_UP, **MARCH
        ),
    ),
    "load": (
        "loads.GetLoadStatus",
        load_pb2.GetLoadStatusRequest(local_date={"year": 2026, "month": 3, "day": 3}),
    ),
    "load series": ("loads.ListLoadSeries", load_pb2.ListLoadSeriesRequest(**MARCH)),
}


def ask(athlete: Athlete, read: str, metadata: Metadata | None = None) -> Message:
    """Makes one of the calls that a replica may answer."""
    name, request = READS[read]
    stub, _, method = name.partition(".")
    answer: Message = getattr(getattr(athlete, stub), method)(request, metadata=metadata)
    return answer


def log(athlete: Athlete, reps: int = 6) -> Metadata:
    """Logs a session; returns the metadata by which a read sees it."""
    sets = [session_pb2.PerformedSet(actual_reps=reps, load_kg=10, rpe=8)]
    exercises = [session_pb2.SessionExercise(exercise_id=PULL_UP, sets=sets)]
    request = session_pb2.LogSessionRequest(session=a_session(exercises=exercises))
    _, call = athlete.sessions.LogSession.with_call(request)
    return [pair for pair in call.trailing_metadata() if pair[0] == TOKEN_KEY]


def log_today(athlete: Athlete) -> None:
    """Logs a session of the last day."""
    athlete.log(a_session(start_time=datetime.now(UTC) - timedelta(hours=2)))


def count(athlete: Athlete, metadata: Metadata | None = None, **fields: str) -> int:
    """Returns how many sessions an athlete's daily totals are of."""
    request = metrics_pb2.ListDailyTotalsRequest(**fields)
    found = athlete.metrics.ListDailyTotals(request, metadata=metadata)
    return sum(day.totals.session_count for day in found.days)


def export(athlete: Athlete, cursor: str = "") -> Iterator[Any]:
    return iter(athlete.sessions.ExportSessions(session_pb2.ExportSessionsRequest(cursor=cursor)))


@pytest.fixture
def paused(replica: ReplicaServer) -> ReplicaServer:
    """The replica, once it replays no more."""
    replica.pause()
    return replica


@contextmanager
def callers(service: RunningService) -> Iterator[tuple[Athlete, Athlete]]:
    """Two athletes who call a service."""
    both = Athlete(service.address), Athlete(service.address)
    yield both
    for athlete in both:
        athlete.close()


@pytest.mark.parametrize("read", READS)
def test_analytics_are_read_from_the_replica_and_with_a_token_see_the_write(
    read: str, replica: ReplicaServer, alice: Athlete, bob: Athlete
) -> None:
    for athlete in (alice, bob):
        log(athlete)
    replica.catch_up()
    before = {athlete.id: ask(athlete, read) for athlete in (alice, bob)}

    replica.pause()
    token = log(alice, reps=12)
    assert ask(alice, read) == before[alice.id]
    seen = ask(alice, read, token)
    assert seen != before[alice.id]
    assert ask(bob, read, token) == before[bob.id]

    replica.resume()
    replica.catch_up()
    assert ask(alice, read) == seen


def test_everything_else_is_read_from_the_primary(
    paused: ReplicaServer, alice: Athlete, bob: Athlete
) -> None:
    session = alice.log()
    assert alice.sessions.GetSession(session_pb2.GetSessionRequest(session_id=session.id))
    listed = alice.sessions.ListSessions(session_pb2.ListSessionsRequest()).sessions
    assert [one.id for one in listed] == [session.id]
    assert not bob.sessions.ListSessions(session_pb2.ListSessionsRequest()).sessions


def test_a_read_waits_for_the_replica(
    replica: ReplicaServer, serve: Serve, alice: Athlete, bob: Athlete
) -> None:
    log(bob)
    with serve(replica_wait_ms=20_000) as patient, callers(patient) as (one, other):
        replica.pause()
        token = log(one)
        request = metrics_pb2.ListDailyTotalsRequest()
        waiting = [
            athlete.metrics.ListDailyTotals.future(request, metadata=token)
            for athlete in (one, other)
        ]
        before = replica.now()
        replica.resume()
        answers = [call.result() for call in waiting]
        assert [len(answer.days) for answer in answers] == [1, 0]
        assert replica.answered_since(before)


def test_a_read_waits_for_a_replica_that_replays_late(replica: ReplicaServer, serve: Serve) -> None:
    replica.delay(1500)
    try:
        with serve(replica_wait_ms=20_000) as patient, callers(patient) as (one, other):
            before = replica.now()
            for athlete in (one, other):
                assert count(athlete, log(athlete)) == 1
            assert replica.answered_since(before)
    finally:
        replica.delay(0)


def test_a_replica_that_does_not_catch_up_in_time_is_passed_over(
    paused: ReplicaServer, alice: Athlete, bob: Athlete
) -> None:
    token = log(alice)
    before = paused.now()
    assert count(alice, token) == 1
    assert count(bob, token) == 0
    assert not paused.answered_since(before)


def test_a_killed_replica_is_left_out_and_comes_back(
    replica: ReplicaServer, alice: Athlete, bob: Athlete
) -> None:
    tokens = {athlete.id: log(athlete) for athlete in (alice, bob)}
    replica.kill()
    try:
        for _ in range(10):
            for athlete in (alice, bob):
                assert count(athlete) == count(athlete, tokens[athlete.id]) == 1
                assert sum(len(part.sessions) for part in export(athlete)) == 1
    finally:
        replica.start()
    eventually(lambda: is_read(replica, alice))
    assert count(alice, log(alice)) == 2


def test_a_replica_too_far_behind_is_left_out_and_comes_back(
    replica: ReplicaServer, serve: Serve
) -> None:
    with serve(replica_max_lag_seconds=3) as service, callers(service) as (one, other):
        replica.pause()
        log(one)
        eventually(lambda: count(one) == 1)
        assert count(other) == 0
        assert not is_read(replica, other)
        replica.resume()
        eventually(lambda: is_read(replica, one))
        assert count(one) == 1


def test_who_was_just_granted_something_sees_it(
    paused: ReplicaServer, alice: Athlete, bob: Athlete
) -> None:
    log(alice)
    granted = grant(alice, bob.id, READ_METRICS)
    assert count(bob, external_user_id=alice.id) == 1
    revoke(alice, granted)
    with refused("ATHLETE_NOT_FOUND"):
        count(bob, external_user_id=alice.id)


def look(coach: Athlete, group: group_pb2.Group) -> dict[str, int]:
    """Returns how many sessions of the last weeks a roster shows of each athlete."""
    request = roster_pb2.GetRosterStatusRequest(group_id=group.id)
    entries = coach.rosters.GetRosterStatus(request).entries
    return {one.user_id: one.activity.four_week_session_count for one in entries}


@pytest.fixture
def group(alice: Athlete, bob: Athlete) -> group_pb2.Group:
    """A group of alice's in which bob trains, who lets her see his metrics."""
    found = new_group(alice)
    enter(alice, found, bob, granted_scopes=[access_pb2.GRANT_SCOPE_READ_METRICS])
    return found


def test_a_roster_is_read_from_the_replica_and_its_look_is_on_record(
    replica: ReplicaServer, serve: Serve, alice: Athlete, bob: Athlete, group: group_pb2.Group
) -> None:
    log_today(bob)
    with serve(replica_wait_ms=20_000) as patient:
        coach = Athlete(patient.address, user_id=alice.id)
        replica.catch_up()
        before = replica.now()
        shown = look(coach, group)
        coach.close()
        assert replica.answered_since(before)
    assert shown == {bob.id: 1}
    [use] = uses(bob)
    assert (use.grantee_user_id, use.rpc) == (alice.id, "GetRosterStatus")


def test_a_roster_sees_what_was_granted_before_wherever_it_is_read(
    paused: ReplicaServer, alice: Athlete, bob: Athlete, group: group_pb2.Group
) -> None:
    """Its own record is not on the replica, so it does not read from there."""
    log_today(bob)
    before = paused.now()
    assert look(alice, group) == {bob.id: 1}
    assert not paused.answered_since(before)


def _another(token: str, **changed: int) -> str:
    (cluster, timeline), lsn = from_token(token)
    history = {"cluster": cluster, "timeline": timeline, **changed}
    return to_token(Position(History(**history), lsn))


FOREIGN: dict[str, Callable[[str], str]] = {
    "of another cluster": lambda token: _another(token, cluster=7),
    "of another timeline": lambda token: _another(token, timeline=99),
    "of a later version": lambda token: token.replace("VFMB", "VFMC"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_a_token_says_of_another_history_the_primary_answers(
    kind: str, paused: ReplicaServer, alice: Athlete, bob: Athlete
) -> None:
    [(key, token)] = log(alice)
    foreign = [(key, FOREIGN[kind](token))]
    assert count(alice) == 0
    assert count(alice, foreign) == 1
    assert count(bob, foreign) == 0


MALFORMED = ["", "x", "!!!!", "AAAA", "no-token", "VFM=", "VFMA", "VFMB", "VFMB" + "A" * 32]


@pytest.mark.parametrize("token", MALFORMED)
def test_what_is_no_token_is_refused(token: str, alice: Athlete, bob: Athlete) -> None:
    given = [(TOKEN_KEY, token)]
    for athlete in (alice, bob):
        with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
            count(athlete, given)
        assert refusals[0].fields == [TOKEN_KEY]


def test_of_several_tokens_all_hold(paused: ReplicaServer, alice: Athlete, bob: Athlete) -> None:
    [(key, first)], [(_, second)] = log(alice), log(bob)
    assert count(alice, [(key, first), (key, second)]) == 1
    assert count(bob, [(key, f"{first}, {second}")]) == 1
    with refused("INVALID_FIELD"):
        count(bob, [(key, f"{first},")])


def test_an_export_is_of_now_wherever_it_is_read(
    paused: ReplicaServer, alice: Athlete, bob: Athlete
) -> None:
    log(alice)
    assert sum(len(part.sessions) for part in export(alice)) == 1
    assert sum(len(part.sessions) for part in export(bob)) == 0


def log_many(athlete: Athlete, number: int) -> None:
    request = session_pb2.LogSessionRequest(session=a_session())
    athlete.sessions.BatchLogSessions(
        session_pb2.BatchLogSessionsRequest(requests=[request] * number)
    )


def in_transaction(replica: ReplicaServer) -> bool:
    """Whether the service holds a transaction open there."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'training-service' "
        "AND xact_start IS NOT NULL AND wait_event = 'ClientRead'"
    )
    return bool(replica.ask(query))


def test_an_export_leaves_out_what_was_under_way(
    replica: ReplicaServer, alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    log_many(alice, EXPORT_BATCH + 1)
    log(bob)
    with owner.transaction():
        late = uuid.UUID(int=2**128 - 1)
        query = """
            INSERT INTO training.sessions SELECT (jsonb_populate_record(s, jsonb_build_object(
                'id', %s, 'request_id', NULL, 'transaction_id', pg_current_xact_id()))).*
            FROM training.sessions s WHERE external_user_id = %s LIMIT 1
        """
        owner.execute(query, [late, alice.id])
        log(bob)  # a later transaction that is over: the moment of the export is behind both
        replica.catch_up()
        before = replica.now()
        stream = export(alice)
        first = next(stream)
        at_once = [one.id for part in stream for one in part.sessions]
    replica.catch_up()
    resumed = [one.id for part in export(alice, first.cursor) for one in part.sessions]
    assert len(first.sessions) + len(at_once) == EXPORT_BATCH + 1
    assert resumed == at_once
    assert replica.answered_since(before)
    # Its record bears another id, which is no session that others should come across.
    owner.execute(
        "DELETE FROM training.sessions WHERE external_user_id = %s AND id = %s", [alice.id, late]
    )


def test_an_export_that_is_in_the_replicas_way_can_be_resumed(
    replica: ReplicaServer, alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    for athlete in (alice, bob):
        log_many(athlete, EXPORT_BATCH * 5)
    replica.configure("max_standby_streaming_delay", 0)
    stream = export(alice)
    first = next(stream)
    # Too little of it fits on the way: it waits for its caller in the midst.
    eventually(lambda: in_transaction(replica))
    with owner.transaction():
        owner.execute("LOCK TABLE training.sessions IN ACCESS EXCLUSIVE MODE")
    replica.catch_up()
    with refused("DATABASE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
        list(stream)
    replica.configure("max_standby_streaming_delay", 30_000)
    rest = [one.id for part in export(alice, first.cursor) for one in part.sessions]
    assert len({one.id for one in first.sessions}.union(rest)) == EXPORT_BATCH * 5


def test_the_doctor_sees_how_a_replica_is(
    replica: ReplicaServer, replica_url: str, database_url: str
) -> None:
    settings = Settings(replica_urls=(replica_url, database_url))
    facts = diagnose(database_url, "training_app", ["training_app"])
    replays, primary = check_replicas(settings, facts)
    assert (replays.check, replays.verdict) == ("replica 1", Verdict.OK)
    assert "behind the primary" in replays.seen
    assert (primary.check, primary.seen) == ("replica 2", "it is no replica")
    replica.pause()
    paused, _ = check_replicas(settings, facts)
    assert paused.seen.startswith("it replays no more")


def test_what_a_user_takes_along_is_read_from_the_replica(
    replica: ReplicaServer, alice: Athlete, bob: Athlete
) -> None:
    for athlete in (alice, bob):
        log(athlete)
        replica.catch_up()
        before = replica.now()
        request = governance_pb2.ExportUserDataRequest()
        assert b"".join(part.data for part in athlete.governance.ExportUserData(request))
        assert replica.answered_since(before)
