"""Limits over the wire: budgets of callers, streams, quotas of athletes, and what is told."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import (
    metrics_pb2,
    phase_pb2,
    session_pb2,
    workout_pb2,
)
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support import (
    Athlete,
    Refusal,
    RunningService,
    a_phase,
    a_session,
    eventually,
    refused,
    running_service,
)
from training_service import pseudonym
from training_service.domain.rate import CostClass, Rate
from training_service.interceptors import abuse, rate
from training_service.storage.rate import RateBucketRepository

Make = Callable[..., Athlete]


@pytest.fixture
def started(database_url: str) -> Iterator[Callable[..., RunningService]]:
    """Starts services with settings of their own, on the same database."""
    running: list[Any] = []

    def start(**settings: Any) -> RunningService:
        manager = running_service(database_url, **settings)
        running.append(manager)
        return manager.__enter__()

    yield start
    for manager in running:
        manager.__exit__(None, None, None)


@pytest.fixture
def athletes() -> Iterator[Callable[[RunningService], tuple[Athlete, Athlete]]]:
    made: list[Athlete] = []

    def of(service: RunningService, **options: Any) -> tuple[Athlete, Athlete]:
        two = Athlete(service.address, **options), Athlete(service.address, **options)
        made.extend(two)
        return two

    yield of
    for one in made:
        one.close()


def lists(athlete: Athlete) -> session_pb2.ListSessionsResponse:
    return athlete.sessions.ListSessions(session_pb2.ListSessionsRequest())


def spend(call: Callable[[], object], count: int) -> None:
    for _ in range(count):
        call()


# Budgets


def test_who_calls_too_often_is_refused_and_told_when_not(
    started: Callable[..., RunningService], athletes: Callable[..., tuple[Athlete, Athlete]]
) -> None:
    alice, bob = athletes(started(rate_reads_per_second=2, rate_reads_burst=5))
    spend(lambda: lists(alice), 5)
    with refused("RATE_LIMITED", grpc.StatusCode.RESOURCE_EXHAUSTED) as refusals:
        spend(lambda: lists(alice), 3)
    [refusal] = refusals
    [violation] = refusal.quotas
    assert (violation.subject, violation.quota_id) == ("caller", "reads_per_second")
    assert violation.quota_value == 2
    assert refusal.retry_after_seconds is not None
    assert 0 < refusal.retry_after_seconds <= 0.5
    lists(bob)
    time.sleep(refusal.retry_after_seconds)
    lists(alice)
    with refused("RATE_LIMITED"):
        spend(lambda: lists(alice), 2)


def test_kinds_of_calls_have_budgets_of_their_own(
    started: Callable[..., RunningService], athletes: Callable[..., tuple[Athlete, Athlete]]
) -> None:
    slow = {f"rate_{kind}_per_second": 0.01 for kind in ("reads", "writes", "streams", "charts")}
    bursts = {f"rate_{kind}_burst": 1 for kind in ("reads", "writes", "streams", "charts")}
    alice, bob = athletes(started(**slow, **bursts))

    def export() -> list[object]:
        return list(alice.sessions.ExportSessions(session_pb2.ExportSessionsRequest()))

    def chart() -> object:
        request = metrics_pb2.GetProgressChartRequest(kind=metrics_pb2.CHART_KIND_WEEKLY_VOLUME)
        return alice.metrics.GetProgressChart(request)

    for call in (lambda: lists(alice), alice.log, export, chart):
        call()
        with refused("RATE_LIMITED"):
            call()
    assert bob.log().id


def test_a_sibling_calls_for_many_and_has_more(
    started: Callable[..., RunningService], athletes: Callable[..., tuple[Athlete, Athlete]]
) -> None:
    service = started(rate_reads_per_second=0.01, rate_reads_burst=2, rate_service_factor=3)
    sibling, _ = athletes(service, roles="service")
    spend(lambda: lists(sibling), 6)
    with refused("RATE_LIMITED"):
        lists(sibling)


def test_a_limited_call_reaches_no_database(
    started: Callable[..., RunningService],
    athletes: Callable[..., tuple[Athlete, Athlete]],
    queries: Any,
) -> None:
    alice, _ = athletes(started(rate_writes_per_second=0.01, rate_writes_burst=1))
    alice.log()
    queries.clear()
    with refused("RATE_LIMITED"):
        alice.log()
    assert queries.data == []


def test_two_servers_share_what_a_caller_may(
    started: Callable[..., RunningService], owner: psycopg.Connection
) -> None:
    settings = {
        "rate_limit_store": "database",
        "rate_reads_per_second": 0.5,
        "rate_reads_burst": 6,
    }
    one, two = started(**settings), started(**settings)
    user = str(uuid.uuid4())
    here, there = (Athlete(each.address, user_id=user) for each in (one, two))
    bob = Athlete(two.address)
    answered = 0
    with refused("RATE_LIMITED"):
        for _ in range(10):
            lists(here)
            lists(there)
            answered += 2
    # Each server may let one call go ahead of the database's answer.
    assert 5 <= answered <= 8
    lists(bob)
    rows = owner.execute("SELECT caller FROM training.rate_buckets").fetchall()
    assert rows
    assert all(user not in caller and len(caller) == 2 * pseudonym.BYTES for (caller,) in rows)
    for athlete in (here, there, bob):
        athlete.close()


def test_without_the_shared_store_each_server_limits_by_itself(
    started: Callable[..., RunningService],
    athletes: Callable[..., tuple[Athlete, Athlete]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("not today")

    monkeypatch.setattr(RateBucketRepository, "borrow", fail)
    service = started(rate_limit_store="database", rate_reads_per_second=0.01, rate_reads_burst=3)
    alice, bob = athletes(service)
    with refused("RATE_LIMITED"):
        spend(lambda: lists(alice), 6)
    lists(bob)


# Streams


def test_a_caller_has_so_many_streams_open_and_no_more(
    started: Callable[..., RunningService], athletes: Callable[..., tuple[Athlete, Athlete]]
) -> None:
    alice, bob = athletes(started(max_streams_per_caller=2))

    held: list[Held] = []

    def is_refused_beside_two() -> bool:
        # One that comes while this is asked may itself be the one too many: then all over again.
        end_all(held)
        eventually(lambda: not _is_refused(alice, "TOO_MANY_STREAMS"))
        calls = []
        for _ in range(2):
            held.append(Held())
            calls.append(alice.form.AnalyzeForm(held[-1]))
        time.sleep(0.2)
        return _is_refused(alice, "TOO_MANY_STREAMS") and all(one.is_active() for one in calls)

    eventually(is_refused_beside_two)
    assert not _is_refused(bob, "TOO_MANY_STREAMS")
    end_all(held)
    eventually(lambda: not _is_refused(alice, "TOO_MANY_STREAMS"))


def end_all(held: list["Held"]) -> None:
    while held:
        held.pop().end()


class Held:
    """A stream of requests that says nothing until it ends."""

    def __init__(self) -> None:
        self._is_over = False

    def __iter__(self) -> "Held":
        return self

    def __next__(self) -> Any:
        while not self._is_over:
            time.sleep(0.01)
        raise StopIteration

    def end(self) -> None:
        self._is_over = True


def _is_refused(athlete: Athlete, reason: str) -> bool:
    try:
        list(athlete.sessions.ExportSessions(session_pb2.ExportSessionsRequest()))
    except grpc.RpcError as error:
        return Refusal(error).reason == reason
    return False


# Quotas


def a_workout() -> workout_pb2.CreateWorkoutRequest:
    return workout_pb2.CreateWorkoutRequest(workout=workout_pb2.Workout(display_name="Full body"))


def test_a_quota_of_workouts(
    started: Callable[..., RunningService], athletes: Callable[..., tuple[Athlete, Athlete]]
) -> None:
    alice, bob = athletes(started(quota_workouts=2))
    first = alice.workouts.CreateWorkout(a_workout())
    alice.workouts.CreateWorkout(a_workout())
    with refused("QUOTA_EXCEEDED", grpc.StatusCode.RESOURCE_EXHAUSTED) as refusals:
        alice.workouts.CreateWorkout(a_workout())
    [violation] = refusals[0].quotas
    assert (violation.subject, violation.quota_id, violation.quota_value) == (
        "athlete",
        "workouts",
        2,
    )
    assert refusals[0].metadata["limit"] == "2"
    assert refusals[0].retry_after_seconds is None  # waiting does not help
    listed = alice.workouts.ListWorkouts(workout_pb2.ListWorkoutsRequest())
    assert len(listed.workouts) == 2
    bob.workouts.CreateWorkout(a_workout())
    alice.workouts.DeleteWorkout(workout_pb2.DeleteWorkoutRequest(workout_id=first.id))
    alice.workouts.CreateWorkout(a_workout())


def test_a_quota_of_phases(
    started: Callable[..., RunningService], athletes: Callable[..., tuple[Athlete, Athlete]]
) -> None:
    alice, bob = athletes(started(quota_phases=1))
    request = phase_pb2.CreatePhaseRequest(phase=a_phase(), request_id=str(uuid.uuid4()))
    stored = alice.phases.CreatePhase(request)
    later = a_phase(
        start_date={"year": 2031, "month": 1, "day": 6},
        end_date={"year": 2031, "month": 2, "day": 3},
        volume_factors=[],
        deload_weeks=[],
    )
    with refused("QUOTA_EXCEEDED") as refusals:
        alice.phases.CreatePhase(phase_pb2.CreatePhaseRequest(phase=later))
    assert refusals[0].quotas[0].quota_id == "phases"
    # What came before is answered as it was.
    assert alice.phases.CreatePhase(request) == stored
    assert bob.phases.CreatePhase(phase_pb2.CreatePhaseRequest(phase=later)).id


def test_a_quota_of_sessions_a_day(
    started: Callable[..., RunningService], athletes: Callable[..., tuple[Athlete, Athlete]]
) -> None:
    alice, bob = athletes(started(quota_sessions_a_day=3))
    logged = [alice.log() for _ in range(3)]
    with refused("QUOTA_EXCEEDED") as refusals:
        alice.log()
    assert refusals[0].quotas[0].quota_id == "sessions_a_day"
    assert refusals[0].metadata["resets_at"].endswith("T00:00:00Z")
    assert refusals[0].retry_after_seconds is not None
    assert 0 < refusals[0].retry_after_seconds <= 86_400
    assert {one.id for one in lists(alice).sessions} == {one.id for one in logged}
    assert bob.log().id


def test_a_batch_stores_what_there_is_room_for_or_nothing(
    started: Callable[..., RunningService], athletes: Callable[..., tuple[Athlete, Athlete]]
) -> None:
    alice, bob = athletes(started(quota_sessions_a_day=3))

    def batch(athlete: Athlete, atomic: bool) -> session_pb2.BatchLogSessionsResponse:
        entries = [
            session_pb2.LogSessionRequest(session=a_session(start_time=started_at(n)))
            for n in range(5)
        ]
        request = session_pb2.BatchLogSessionsRequest(requests=entries, atomic=atomic)
        return athlete.sessions.BatchLogSessions(request)

    results = batch(alice, atomic=True).results
    assert not any(one.HasField("session") for one in results)
    assert not lists(alice).sessions
    results = batch(bob, atomic=False).results
    assert [one.HasField("session") for one in results] == [True, True, True, False, False]
    assert len(lists(bob).sessions) == 3


def started_at(number: int) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromJsonString(f"2026-01-{number + 1:02}T10:00:00Z")
    return timestamp


# Signals


def test_who_is_refused_again_and_again_is_named_once_by_a_pseudonym(
    started: Callable[..., RunningService],
    athletes: Callable[..., tuple[Athlete, Athlete]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice, _ = athletes(started(abuse_threshold=5, log_level="WARNING"))
    request = session_pb2.ListSessionsRequest(external_user_id=str(uuid.uuid4()))
    records: list[dict[str, Any]] = []
    monkeypatch.setattr(
        abuse,
        "logger",
        SimpleNamespace(warning=lambda event, **of: records.append({"event": event, **of})),
    )
    for _ in range(12):
        with refused("ATHLETE_NOT_FOUND"):
            alice.sessions.ListSessions(request)
    [record] = records
    assert record["event"] == "abuse suspected"
    assert record["refusals"] == {"ATHLETE_NOT_FOUND": 5}
    assert alice.id not in str(record)
    assert request.external_user_id not in str(record)


def test_a_bucket_that_is_full_again_is_forgotten() -> None:
    now = 1000.0
    buckets = rate.ProcessBuckets(lambda: now)

    async def use() -> None:
        for _ in range(100):
            await buckets.take((uuid.uuid4(), CostClass.READ), Rate(1.0, 1.0))

    asyncio.run(use())
    assert len(buckets) == 100
    now += 2
    assert len(buckets) == 0
