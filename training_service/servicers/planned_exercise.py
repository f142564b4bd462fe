"""Exercises of workouts and planned sessions, as the arithmetic of programmes takes them."""

from collections.abc import Iterable, Mapping
from statistics import fmean
from uuid import UUID

from calisthenics.training.v1 import schedule_pb2, set_pb2, workout_pb2

from training_service.domain.program import PlannedExercise
from training_service.servicers.convert import exercise_uuid, optional_field
from training_service.storage.exercise import ExerciseFacts


def planned_exercises(
    exercises: Iterable[workout_pb2.WorkoutExercise], facts: Mapping[UUID, ExerciseFacts]
) -> list[PlannedExercise]:
    """Returns exercises of a workout as the arithmetic takes them."""
    return [_planned_exercise(one, facts[exercise_uuid(one.exercise_id)]) for one in exercises]


def as_prescribed(prescribed: schedule_pb2.PrescribedExercise) -> workout_pb2.WorkoutExercise:
    """Returns an exercise of a planned session with the mean load of its sets: those of a wave
    differ."""
    exercise = workout_pb2.WorkoutExercise()
    exercise.CopyFrom(prescribed.exercise)
    if prescribed.sets:
        exercise.load_kg = fmean(one.target.load_kg for one in prescribed.sets)
    return exercise


def _planned_exercise(
    prescribed: workout_pb2.WorkoutExercise, facts: ExerciseFacts
) -> PlannedExercise:
    volume = prescribed.WhichOneof("volume")
    reps, hold = prescribed.reps, prescribed.hold
    return PlannedExercise(
        exercise=facts.traits,
        primary_muscles=facts.primary_muscles,
        secondary_muscles=facts.secondary_muscles,
        set_count=prescribed.sets,
        is_per_side=prescribed.per_side,
        is_warm_up=prescribed.kind == set_pb2.SET_KIND_WARM_UP,
        reps=(reps.min + reps.max) / 2 if volume == "reps" else None,
        hold_seconds=(hold.min_seconds + hold.max_seconds) / 2 if volume == "hold" else None,
        load_kg=prescribed.load_kg,
        tempo=prescribed.tempo,
        rpe=optional_field(prescribed, "target_rpe"),
        rest_seconds=optional_field(prescribed, "rest_seconds"),
        superset_group=prescribed.superset_group,
    )
