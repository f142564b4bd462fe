"""Programmes over the wire."""

from typing import Any

import grpc
import pytest
from calisthenics.training.v1 import exercise_pb2, workout_pb2
from calisthenics.training.v1 import program_pb2 as pb

from tests.support import PUSH_UP, Athlete, Queries, refused


def statistics(
    athlete: Athlete, *workouts: workout_pb2.Workout, **request: Any
) -> pb.ProgramStatistics:
    ids = [workout.id for workout in workouts]
    return athlete.programs.GetProgramStatistics(
        pb.GetProgramStatisticsRequest(workout_ids=ids, **request)
    )


def pushes(**fields: Any) -> dict[str, Any]:
    exercise = {
        "exercise_id": PUSH_UP,
        "sets": 3,
        "reps": {"min": 10, "max": 10},
        "rest_seconds": 60,
        "target_rpe": 8,
    }
    return {"exercises": [workout_pb2.WorkoutExercise(**{**exercise, **fields})]}


def test_a_week_of_two_workouts(alice: Athlete) -> None:
    pull = alice.create_workout()
    push = alice.create_workout(display_name="Push day", **pushes())
    found = statistics(alice, pull, push, sessions_per_week=[1, 2], body_mass_kg=80)
    first, second = found.workouts
    assert (first.workout_id, first.revision) == (pull.id, 1)
    # 4 × (15 + 6.5 × 3) + 4 × 120 and 3 × (15 + 15) + 2 × 120 seconds.
    assert first.estimated_minutes == pytest.approx(948 / 60)
    assert first.set_count == 7
    assert first.effective_reps.value == 26 + 22.5
    assert first.volume_load_kg.value == pytest.approx(26 * (0.95 * 80 + 10))
    assert not first.hard_sets.HasField("value")
    assert not first.HasField("load_au")
    # 3 × (15 + 10 × 3) + 2 × 60 seconds, at 8.
    assert second.estimated_minutes == pytest.approx(255 / 60)
    assert second.hard_sets.value == 3
    assert second.load_au == pytest.approx(8 * 255 / 60)
    assert found.sessions_per_week == 3
    assert found.minutes_per_week == pytest.approx((948 + 2 * 255) / 60)
    assert found.sets_per_week == 7 + 6
    assert not found.HasField("load_au_per_week")
    muscles = {one.muscle: one for one in found.muscles}
    chest = muscles[exercise_pb2.MUSCLE_CHEST]
    assert (chest.set_count, chest.hard_set_count, chest.effective_reps) == (6, 6, 60)
    assert 0 < found.push_share < 1


def test_the_load_of_a_week_is_known_when_every_workout_says_how_hard(alice: Athlete) -> None:
    push = alice.create_workout(**pushes())
    found = statistics(alice, push, sessions_per_week=[3.5])
    assert found.load_au_per_week == pytest.approx(3.5 * 8 * 255 / 60)
    assert not found.workouts[0].volume_load_kg.HasField("value")
    assert found.push_share == 1


def test_the_current_revision_is_looked_at(alice: Athlete) -> None:
    workout = alice.create_workout(**pushes())
    alice.workouts.UpdateWorkout(
        workout_pb2.UpdateWorkoutRequest(
            workout_id=workout.id,
            workout=workout_pb2.Workout(**pushes(sets=5)),
            update_mask={"paths": ["exercises"]},
        )
    )
    [found] = statistics(alice, workout).workouts
    assert (found.revision, found.set_count) == (2, 5)


def test_workouts_of_others_and_deleted_ones_are_not_there(alice: Athlete, bob: Athlete) -> None:
    own, foreign, deleted = alice.create_workout(), bob.create_workout(), alice.create_workout()
    alice.workouts.DeleteWorkout(workout_pb2.DeleteWorkoutRequest(workout_id=deleted.id))
    with refused("WORKOUT_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        statistics(alice, own, foreign, deleted)
    assert refusals[0].fields == ["workout_ids[1]", "workout_ids[2]"]


def test_many_workouts_take_one_statement(alice: Athlete, queries: Queries) -> None:
    workouts = [alice.create_workout() for _ in range(5)]
    queries.clear()
    statistics(alice, *workouts)
    assert len(queries.data) == 1


def test_bad_input_is_refused(alice: Athlete) -> None:
    workout = alice.create_workout()
    for request, path in (
        ({}, "workout_ids"),
        ({"workout_ids": [""]}, "workout_ids[0]"),
        ({"workout_ids": [workout.id] * 2}, "workout_ids"),
        ({"workout_ids": [workout.id], "sessions_per_week": [0]}, "sessions_per_week[0]"),
        ({"workout_ids": [workout.id], "body_mass_kg": 5}, "body_mass_kg"),
    ):
        with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
            alice.programs.GetProgramStatistics(pb.GetProgramStatisticsRequest(**request))
        assert refusals[0].fields == [path]
    with refused("INVALID_FIELD"):
        statistics(alice, workout, sessions_per_week=[1, 2])
