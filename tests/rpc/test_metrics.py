"""GetSessionMetrics: what a session amounts to, over the wire."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from calisthenics.training.v1 import metrics_pb2 as pb
from calisthenics.training.v1 import session_pb2, set_pb2
from google.type.date_pb2 import Date

from tests.support import (
    L_SIT,
    PISTOL_SQUAT,
    PULL_UP,
    PUSH_UP,
    Athlete,
    Queries,
    a_session,
    refused,
)
from training_service.domain.exercise import exercise_id

ROOT = Path(__file__).parents[2]
TUCK_PLANCHE = str(exercise_id("tuck-planche"))


def performed(exercise: str, *sets: dict[str, Any]) -> session_pb2.SessionExercise:
    return session_pb2.SessionExercise(
        exercise_id=exercise, sets=[session_pb2.PerformedSet(**fields) for fields in sets]
    )


def metrics(athlete: Athlete, session: session_pb2.Session) -> pb.SessionMetrics:
    """Logs a session and returns what it amounts to."""
    logged = athlete.log(session)
    return athlete.metrics.GetSessionMetrics(pb.GetSessionMetricsRequest(session_id=logged.id))


def of_sets(athlete: Athlete, *sets: dict[str, Any], **fields: Any) -> pb.SessionMetrics:
    """Returns what a session of pull-ups amounts to."""
    return metrics(athlete, a_session(exercises=[performed(PULL_UP, *sets)], **fields))


GOLDEN = a_session(
    duration_seconds=55 * 60,
    session_rpe=7,
    body_mass_kg=75,
    exercises=[
        performed(PULL_UP, *[{"actual_reps": 6, "load_kg": 10, "rpe": 8}] * 4),
        performed(PUSH_UP, *[{"actual_reps": 12, "rir": 4}] * 3),
        performed(TUCK_PLANCHE, *[{"actual_hold_seconds": 12, "rpe": 8}] * 5),
        performed(
            PISTOL_SQUAT,
            *[{"actual_reps": 5, "side": s} for s in (set_pb2.SIDE_LEFT, set_pb2.SIDE_RIGHT)] * 3,
        ),
    ],
)
"""The worked example of docs/metrics.md."""


def test_the_worked_example(alice: Athlete) -> None:
    found = metrics(alice, GOLDEN)
    assert found.external_user_id == alice.id
    assert found.local_date == Date(year=2026, month=3, day=2)
    assert found.set_count == 18
    assert found.volume.reps.value == 90
    assert found.volume.reps.coverage == 1
    assert found.volume.left_reps == found.volume.right_reps == 15
    assert found.volume.hold_seconds.value == 60
    assert found.volume.volume_load_kg.value == pytest.approx(5793)
    assert found.volume.impulse_kg_seconds.value == pytest.approx(4275)
    assert found.volume.hard_sets.value == 15
    assert found.skill_effective_reps.value == 30
    assert found.strength_effective_reps.value == 90
    assert found.intensity == pytest.approx(48.625)
    assert found.intensity_basis == pb.INTENSITY_BASIS_DIFFICULTY_AND_EFFORT
    assert found.load_au == pytest.approx(385)
    assert found.load_basis == pb.LOAD_BASIS_SESSION_RPE
    assert found.volume_load_kg_per_minute == pytest.approx(105.327, abs=5e-4)
    exercises = [e.exercise_id for e in found.exercises]
    assert exercises == [PULL_UP, PUSH_UP, TUCK_PLANCHE, PISTOL_SQUAT]
    pull_ups = found.exercises[0]
    assert pull_ups.epley_1rm_kg == pytest.approx(102.917, abs=5e-4)
    assert pull_ups.brzycki_1rm_kg == pytest.approx(100.862, abs=5e-4)
    assert not found.exercises[1].HasField("epley_1rm_kg")


def test_the_chart_of_the_worked_example(alice: Athlete) -> None:
    """The picture in docs/metrics.md is what the service draws."""
    alice.log(GOLDEN)
    request = pb.GetProgressChartRequest(
        kind=pb.CHART_KIND_WEEKLY_VOLUME,
        width_pixels=640,
        height_pixels=320,
        from_date=Date(year=2026, month=2, day=16),
        to_date=Date(year=2026, month=3, day=16),
    )
    drawn = alice.metrics.GetProgressChart(request).data
    assert drawn == (ROOT / "docs" / "metrics.svg").read_bytes()


def test_unknown_is_absent_and_never_nothing(alice: Athlete) -> None:
    session = a_session(exercises=[performed(PULL_UP, {"completed": True}, {"actual_reps": 5})])
    for name in ("body_mass_kg", "duration_seconds", "session_rpe"):
        session.ClearField(name)  # type: ignore[arg-type]
    found = metrics(alice, session)
    assert (found.volume.reps.value, found.volume.reps.coverage) == (5, 0.5)
    assert not found.volume.volume_load_kg.HasField("value")
    assert found.volume.volume_load_kg.coverage == 0
    assert found.volume.hold_seconds.value == 0
    assert not found.volume.hold_seconds.HasField("coverage")
    for name in ("load_au", "effective_reps_per_minute", "volume_load_kg_per_minute"):
        assert not found.HasField(name)  # type: ignore[arg-type]
    assert found.load_basis == pb.LOAD_BASIS_UNSPECIFIED
    assert found.intensity_basis == pb.INTENSITY_BASIS_DIFFICULTY_ONLY


def test_warm_ups_and_sets_that_were_not_done_count_nowhere(alice: Athlete) -> None:
    found = of_sets(
        alice,
        {"kind": set_pb2.SET_KIND_WARM_UP, "actual_reps": 10},
        {"actual_reps": 5, "completed": False},
        {"target": {"reps": {"min": 5, "max": 8}}},
        {"actual_reps": 5},
    )
    assert found.set_count == 1
    assert found.volume.effective_reps.value == 5
    assert found.volume.completion == 0


def test_completion_is_what_was_done_of_what_was_planned_at_least(alice: Athlete) -> None:
    target = {"reps": {"min": 5, "max": 8}}
    found = of_sets(alice, {"actual_reps": 8, "target": target}, {"target": target})
    assert found.volume.planned_effective_reps.value == 10
    assert found.volume.completion == pytest.approx(0.8)


def test_an_isometric_plan_is_met_in_seconds(alice: Athlete) -> None:
    hold = {"hold": {"min_seconds": 20, "max_seconds": 30}}
    exercise = performed(L_SIT, {"actual_hold_seconds": 15, "target": hold})
    assert metrics(alice, a_session(exercises=[exercise])).volume.completion == 0.75


def test_what_was_voided_can_still_be_looked_at(alice: Athlete) -> None:
    logged = alice.log(GOLDEN)
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=logged.id))
    request = pb.GetSessionMetricsRequest(session_id=logged.id)
    assert alice.metrics.GetSessionMetrics(request).volume.reps.value == 90


def test_metrics_of_another_athletes_session_do_not_exist(alice: Athlete, bob: Athlete) -> None:
    logged = alice.log(GOLDEN)
    for session_id in (logged.id, str(uuid.uuid4())):
        with refused("SESSION_NOT_FOUND"):
            bob.metrics.GetSessionMetrics(pb.GetSessionMetricsRequest(session_id=session_id))


def test_metrics_take_one_statement(alice: Athlete, queries: Queries) -> None:
    logged = alice.log(GOLDEN)
    queries.clear()
    alice.metrics.GetSessionMetrics(pb.GetSessionMetricsRequest(session_id=logged.id))
    assert len(queries.data) == 1
