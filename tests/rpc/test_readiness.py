"""GetReadiness, over the wire."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import grpc
import pytest
from calisthenics.training.v1 import readiness_pb2 as pb
from calisthenics.training.v1 import session_pb2
from google.type.date_pb2 import Date

from tests.support import (
    L_SIT,
    PULL_UP,
    PUSH_UP,
    Athlete,
    a_session,
    a_wellness,
    at,
    refused,
)
from training_service.servicers import dates

DAY = date(2026, 3, 16)
TARGET = {"reps": {"min": 10, "max": 12}}
COMPLETION, RPE_DRIFT, LOAD_RATIO, MONOTONY, DAYS_SINCE_SESSION, WELLNESS = range(1, 7)
Kind = int


def to_date(day: date) -> Date:
    return Date(year=day.year, month=day.month, day=day.day)


def days_ago(days: int) -> date:
    return DAY - timedelta(days=days)


def performed(exercise: str, *sets: dict[str, Any]) -> session_pb2.SessionExercise:
    return session_pb2.SessionExercise(
        exercise_id=exercise, sets=[session_pb2.PerformedSet(**fields) for fields in sets]
    )


def session(days: int, *exercises: session_pb2.SessionExercise, **fields: Any) -> Any:
    """Returns a session of an hour, rated 5, so many days ago at noon."""
    usual = {
        "start_time": at(f"{days_ago(days)}T12:00:00"),
        "time_zone": "UTC",
        "duration_seconds": 3600,
        "session_rpe": 5,
        "exercises": exercises or [performed(PULL_UP, {"actual_reps": 8})],
    }
    return a_session(**{**usual, **fields})


def log(athlete: Athlete, days: int, *exercises: session_pb2.SessionExercise, **fields: Any) -> Any:
    return athlete.log(session(days, *exercises, **fields))


def rated(*ratings: float, reps: int = 8, **fields: Any) -> session_pb2.SessionExercise:
    """Returns pull-ups with a set for each rating."""
    return performed(PULL_UP, *({"actual_reps": reps, "rpe": rpe, **fields} for rpe in ratings))


def planned(*reps: int) -> session_pb2.SessionExercise:
    """Returns pull-ups with a set of each of these repetitions, where 10 were planned."""
    return performed(PULL_UP, *({"actual_reps": n, "target": TARGET} for n in reps))


def readiness(athlete: Athlete, day: date = DAY, **request: Any) -> pb.Readiness:
    return athlete.readiness.GetReadiness(
        pb.GetReadinessRequest(local_date=to_date(day), **request)
    )


def component(athlete: Athlete, kind: Kind, day: date = DAY) -> pb.ReadinessComponent:
    [found] = [one for one in readiness(athlete, day).components if one.kind == kind]
    return found


def value(athlete: Athlete, kind: Kind, day: date = DAY) -> float | str:
    """Returns the value of a component, or the name of why it is not known."""
    found = component(athlete, kind, day)
    assert found.HasField("score") == (found.absence_reason == 0)
    if found.HasField("value"):
        return found.value
    name = pb.ReadinessAbsenceReason.Name(found.absence_reason)
    return name.removeprefix("READINESS_ABSENCE_REASON_")


def wellness(athlete: Athlete, days: int = 0, **ratings: int) -> pb.WellnessEntry:
    entry = a_wellness(local_date=to_date(days_ago(days)), **ratings)
    return athlete.readiness.LogWellness(pb.LogWellnessRequest(entry=entry))


def weights(components: Iterable[pb.ReadinessComponent]) -> list[float]:
    return [one.weight for one in components]


def test_of_an_athlete_without_anything_nothing_is_known(alice: Athlete, bob: Athlete) -> None:
    log(bob, 0)
    wellness(bob)
    found = readiness(alice)
    assert (found.external_user_id, found.local_date) == (alice.id, to_date(DAY))
    assert not found.HasField("score")
    assert found.coverage == 0
    assert found.band == pb.READINESS_BAND_UNSPECIFIED
    assert found.withheld_reason == pb.READINESS_WITHHELD_REASON_INSUFFICIENT_COVERAGE
    assert [one.kind for one in found.components] == [1, 2, 3, 4, 5, 6]
    assert weights(found.components) == [0.20, 0.20, 0.15, 0.10, 0.10, 0.25]
    assert [value(alice, kind) for kind in range(1, 7)] == [
        "NO_PLANNED_SESSION",
        "NO_RECENT_SESSION",
        "INSUFFICIENT_HISTORY",
        "INSUFFICIENT_HISTORY",
        "NO_SESSION",
        "NO_WELLNESS_ENTRY",
    ]


# Wellness.


def test_wellness_is_that_of_the_day_alone(alice: Athlete, bob: Athlete) -> None:
    wellness(alice, 1, sleep=7)
    wellness(bob, 0, sleep=7)
    assert value(alice, WELLNESS) == "NO_WELLNESS_ENTRY"
    wellness(alice)
    assert component(alice, WELLNESS).score == pytest.approx(66.667, abs=5e-4)
    assert (value(alice, WELLNESS), value(bob, WELLNESS)) == (12, 16)
    assert value(alice, WELLNESS, days_ago(1)) == 16


def test_wellness_is_what_it_was_corrected_to(alice: Athlete) -> None:
    wellness(alice, sleep=7)
    wellness(alice, sleep=1)
    assert value(alice, WELLNESS) == 10


# Days since the last session.


def test_days_since_the_last_session_are_local_days(alice: Athlete, bob: Athlete) -> None:
    log(bob, 0)
    log(alice, 40)
    assert value(alice, DAYS_SINCE_SESSION) == 40
    log(alice, 3)
    assert value(alice, DAYS_SINCE_SESSION) == 3
    log(alice, 0)
    assert (value(alice, DAYS_SINCE_SESSION), component(alice, 5).score) == (0, 40)
    # At 23:30 UTC of the day before, it was the day already where the athlete was.
    night = {"start_time": at(f"{days_ago(3)}T23:30:00"), "time_zone": "Asia/Tokyo"}
    assert value(alice, DAYS_SINCE_SESSION, days_ago(2)) == 1
    log(alice, 0, **night)
    assert value(alice, DAYS_SINCE_SESSION, days_ago(2)) == 0


def test_a_session_to_come_is_not_the_last(alice: Athlete) -> None:
    log(alice, 0)
    log(alice, 5)
    assert value(alice, DAYS_SINCE_SESSION, days_ago(1)) == 4
    assert value(alice, DAYS_SINCE_SESSION, days_ago(6)) == "NO_SESSION"


def test_what_is_voided_or_amended_moves_the_last_day(alice: Athlete) -> None:
    log(alice, 5)
    latest = log(alice, 1)
    amended = alice.sessions.AmendSession(
        session_pb2.AmendSessionRequest(session_id=latest.id, session=session(2))
    )
    assert value(alice, DAYS_SINCE_SESSION) == 2
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=amended.id))
    assert value(alice, DAYS_SINCE_SESSION) == 5


# Completion.


def test_completion_is_of_the_last_three_sessions_of_a_workout(
    alice: Athlete, bob: Athlete
) -> None:
    workout, other = alice.create_workout().id, bob.create_workout().id
    log(bob, 1, planned(1), workout_id=other)
    log(alice, 0, planned(1))  # of no workout
    assert value(alice, COMPLETION) == "NO_PLANNED_SESSION"
    log(alice, 1, planned(10, 8), workout_id=workout)
    log(alice, 2, planned(12, 12), workout_id=workout)  # more than was planned
    log(alice, 3, workout_id=workout)  # nothing says what was planned
    log(alice, 4, planned(6, 6), workout_id=workout)
    log(alice, 5, planned(0), workout_id=workout)
    assert value(alice, COMPLETION) == pytest.approx((0.9 + 1 + 0.6) / 3)
    assert component(alice, COMPLETION).score == pytest.approx((0.8333333 - 0.5) * 200)


def test_completion_is_of_14_days(alice: Athlete) -> None:
    workout = alice.create_workout().id
    log(alice, 14, planned(10), workout_id=workout)
    assert value(alice, COMPLETION) == "NO_PLANNED_SESSION"
    assert value(alice, COMPLETION, days_ago(1)) == 1
    assert value(alice, COMPLETION, days_ago(15)) == "NO_PLANNED_SESSION"


def test_a_back_dated_an_amended_and_a_voided_session_change_completion(alice: Athlete) -> None:
    workout = alice.create_workout().id
    log(alice, 1, planned(10), workout_id=workout)
    back_dated = log(alice, 3, planned(4), workout_id=workout)
    assert value(alice, COMPLETION) == pytest.approx(0.7)
    amended = alice.sessions.AmendSession(
        session_pb2.AmendSessionRequest(
            session_id=back_dated.id, session=session(3, planned(6), workout_id=workout)
        )
    )
    assert value(alice, COMPLETION) == pytest.approx(0.8)
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=amended.id))
    assert value(alice, COMPLETION) == 1


# RPE drift.


def test_drift_compares_the_latest_session_with_earlier_ones(alice: Athlete, bob: Athlete) -> None:
    log(bob, 5, rated(9, 9))
    log(alice, 8, rated(7, 7))
    log(alice, 5, rated(8))
    assert value(alice, RPE_DRIFT) == 1
    log(alice, 0, rated(9, 7.5))
    assert value(alice, RPE_DRIFT) == pytest.approx((2 + 0.5) / 2)
    assert component(alice, RPE_DRIFT).score == 50
    assert value(bob, RPE_DRIFT) == "NO_COMPARABLE_SETS"


def test_other_exercises_take_no_room_among_the_earlier_sets(alice: Athlete) -> None:
    log(alice, 5, rated(7, 7))
    others = performed(PUSH_UP, *[{"actual_reps": 8, "rpe": 1}] * 100)
    log(alice, 4, *[others] * 11)
    log(alice, 0, rated(8))
    assert value(alice, RPE_DRIFT) == 1


def test_repetitions_in_reserve_are_ratings_too(alice: Athlete) -> None:
    log(alice, 5, performed(PULL_UP, *[{"actual_reps": 8, "rir": 3}] * 2))
    log(alice, 0, rated(8))
    assert value(alice, RPE_DRIFT) == 1


def test_only_working_sets_like_the_latest_are_compared(alice: Athlete) -> None:
    log(
        alice,
        5,
        rated(1, 1, kind=4),  # warm-up
        rated(1, 1, completed=False),
        rated(1, 1, load_kg=10),
        rated(1, 1, reps=6),
        rated(6, 6, reps=9),
        performed(PUSH_UP, *[{"actual_reps": 8, "rpe": 1}] * 2),
    )
    log(alice, 0, rated(7))
    assert value(alice, RPE_DRIFT) == 1


def test_holds_are_compared_by_their_seconds(alice: Athlete) -> None:
    hold = {"actual_hold_seconds": 10, "rpe": 6}
    log(alice, 5, performed(L_SIT, hold, {**hold, "actual_hold_seconds": 12.5}))
    log(alice, 0, performed(L_SIT, {"actual_hold_seconds": 12, "rpe": 7}))
    assert value(alice, RPE_DRIFT) == 1


def test_drift_is_of_a_recent_session_with_ratings(alice: Athlete) -> None:
    log(alice, 10, rated(7, 7))
    log(alice, 7, rated(8))
    assert value(alice, RPE_DRIFT) == "NO_RECENT_SESSION"
    assert value(alice, RPE_DRIFT, days_ago(1)) == 1
    log(alice, 1, performed(PULL_UP, {"actual_reps": 8}))
    assert value(alice, RPE_DRIFT) == "NO_RATED_SET"


def test_drift_looks_back_28_days_from_the_latest_session(alice: Athlete) -> None:
    log(alice, 34, rated(7))
    log(alice, 34, rated(7))
    log(alice, 6, rated(8))
    assert value(alice, RPE_DRIFT) == 1
    log(alice, 5, rated(8))
    assert value(alice, RPE_DRIFT) == "NO_COMPARABLE_SETS"


def test_a_back_dated_an_amended_and_a_voided_session_change_drift(alice: Athlete) -> None:
    log(alice, 0, rated(8))
    back_dated = log(alice, 3, rated(6, 6))
    assert value(alice, RPE_DRIFT) == 2
    amended = alice.sessions.AmendSession(
        session_pb2.AmendSessionRequest(session_id=back_dated.id, session=session(3, rated(7, 7)))
    )
    assert value(alice, RPE_DRIFT) == 1
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=amended.id))
    assert value(alice, RPE_DRIFT) == "NO_COMPARABLE_SETS"


# Loads.


def with_loads(athlete: Athlete, *loads: int) -> list[Any]:
    """Logs a session of each load that is not 0, the last on the day itself."""
    return [
        log(athlete, len(loads) - 1 - number, duration_seconds=load * 12)
        for number, load in enumerate(loads)
        if load
    ]


WEEK = (300, 0, 200, 0, 400, 100, 0)


def test_loads_need_a_history(alice: Athlete, bob: Athlete) -> None:
    with_loads(bob, *WEEK * 4)
    with_loads(alice, *WEEK)
    assert value(alice, LOAD_RATIO) == "INSUFFICIENT_HISTORY"
    assert value(alice, MONOTONY) == pytest.approx(0.8827, abs=5e-5)
    assert value(alice, MONOTONY, days_ago(1)) == "INSUFFICIENT_HISTORY"
    assert value(bob, LOAD_RATIO) == 1
    assert component(bob, LOAD_RATIO).score == 100


def test_days_that_are_all_alike_have_no_monotony_and_score_as_the_highest(alice: Athlete) -> None:
    with_loads(alice, *[100] * 7)
    found = component(alice, MONOTONY)
    assert not found.HasField("value")
    assert (found.score, found.absence_reason) == (20, 0)


def test_where_there_is_no_load_there_is_no_ratio_of_it(alice: Athlete) -> None:
    with_loads(alice, *WEEK * 4, *[0] * 28)
    assert value(alice, MONOTONY) == "NO_LOAD"
    assert value(alice, LOAD_RATIO) == "NO_CHRONIC_LOAD"
    assert value(alice, LOAD_RATIO, days_ago(21)) == 0
    assert component(alice, LOAD_RATIO, days_ago(21)).score == 60


def test_sessions_that_nobody_rated_are_no_rest(alice: Athlete) -> None:
    with_loads(alice, *WEEK * 3, *[0] * 7)
    unrated = session(2)
    unrated.ClearField("session_rpe")
    alice.log(unrated)
    assert value(alice, MONOTONY) == "NO_LOAD"
    unrated.start_time.CopyFrom(at(f"{days_ago(1)}T12:00:00"))
    alice.log(unrated)
    assert value(alice, MONOTONY) == value(alice, LOAD_RATIO) == "UNCERTAIN_LOAD"


def test_a_back_dated_an_amended_and_a_voided_session_change_loads(alice: Athlete) -> None:
    with_loads(alice, *WEEK * 4)
    back_dated = log(alice, 6, duration_seconds=1000 * 12)
    assert value(alice, LOAD_RATIO) == pytest.approx(2000 * 4 / 5000)
    amended = alice.sessions.AmendSession(
        session_pb2.AmendSessionRequest(
            session_id=back_dated.id, session=session(7, duration_seconds=1000 * 12)
        )
    )
    assert value(alice, LOAD_RATIO) == pytest.approx(1000 * 4 / 5000)
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=amended.id))
    assert value(alice, LOAD_RATIO) == 1


# The request.


def test_a_day_that_is_not_said_is_today_in_the_time_zone(
    alice: Athlete, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dates, "utc_now", lambda: datetime(2026, 3, 16, 10, 30, tzinfo=UTC))
    zones = {"Pacific/Kiritimati": 17, "America/Los_Angeles": 16, "": 16, "Pacific/Midway": 15}
    for zone, day in zones.items():
        found = alice.readiness.GetReadiness(pb.GetReadinessRequest(time_zone=zone))
        assert found.local_date == Date(year=2026, month=3, day=day)


def test_no_day_to_come_has_a_readiness(alice: Athlete, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dates, "utc_now", lambda: datetime(2026, 3, 16, 10, 30, tzinfo=UTC))
    tomorrow = date(2026, 3, 17)
    readiness(alice, tomorrow, time_zone="Pacific/Kiritimati")
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        readiness(alice, tomorrow, time_zone="America/Los_Angeles")
    assert refusals[0].fields == ["local_date"]


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"local_date": Date(year=2026, month=2, day=30)}, "local_date"),
        ({"local_date": Date(year=2026, month=2)}, "local_date"),
        ({"local_date": Date(year=1, month=1, day=1)}, "local_date"),
        ({"local_date": Date(year=9999, month=12, day=31)}, "local_date"),
    ],
)
def test_bad_input_is_refused(alice: Athlete, request_: dict[str, Any], path: str) -> None:
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        alice.readiness.GetReadiness(pb.GetReadinessRequest(**request_))
    assert refusals[0].fields == [path]


def test_the_first_day_that_can_be_asked_for_is_no_fault(alice: Athlete) -> None:
    assert readiness(alice, date(1970, 1, 1)).coverage == 0


def test_another_athletes_readiness_does_not_exist(alice: Athlete, bob: Athlete) -> None:
    log(alice, 0)
    with refused("ATHLETE_NOT_FOUND"):
        readiness(bob, external_user_id=alice.id)


# The worked example of docs/readiness.md.

FIVE_WEEKS = [
    *(300, 0, 320, 0, 360, 200, 0, 320, 0, 340, 0, 380, 220, 0, 340, 0, 360, 0, 400, 240, 0),
    *(200, 0, 180, 0, 200, 120, 0, 360, 150, 400, 0, 450, 300, 0),
]
SUNDAY = date(2025, 1, 5)
MONDAY = SUNDAY - timedelta(days=34)


def a_history(athlete: Athlete) -> None:
    """Logs the five weeks."""
    workout = athlete.create_workout().id
    entries = []
    for number, load in enumerate(FIVE_WEEKS):
        if load:
            start = at(f"{MONDAY + timedelta(days=number)}T12:00:00")
            entries.append(session(0, start_time=start, duration_seconds=load * 12))
    entries[-5].exercises[0].CopyFrom(rated(7, 8))
    for entry, reps in zip(entries[-3:], (10, 8, 9), strict=True):
        entry.exercises[0].CopyFrom(planned(reps))
        entry.workout_id = workout
    entries[-1].exercises[0].sets[0].rpe = 8
    requests = [session_pb2.LogSessionRequest(session=entry) for entry in entries]
    batch = session_pb2.BatchLogSessionsRequest(requests=requests, atomic=True)
    athlete.sessions.BatchLogSessions(batch)


def test_the_worked_example(alice: Athlete, bob: Athlete) -> None:
    a_history(alice)
    without = readiness(alice, SUNDAY)
    assert without.score == pytest.approx(84.8387, abs=5e-5)
    assert without.coverage == 0.75
    entry = a_wellness(local_date=to_date(SUNDAY))
    alice.readiness.LogWellness(pb.LogWellnessRequest(entry=entry))
    found = readiness(alice, SUNDAY)
    values = [one.value for one in found.components]
    assert values == pytest.approx([0.9, 0.5, 1.338710, 1.264746, 1, 12], abs=5e-7)
    scores = [one.score for one in found.components]
    assert scores == pytest.approx([80, 80, 94.1935, 100, 75, 66.6667], abs=5e-5)
    assert all(one.absence_reason == 0 for one in found.components)
    assert found.score == pytest.approx(80.2957, abs=5e-5)
    assert (found.coverage, found.withheld_reason) == (1, 0)
    assert found.band == pb.READINESS_BAND_TRAIN_AS_PLANNED
    assert readiness(bob, SUNDAY).coverage == 0
