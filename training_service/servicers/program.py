"""ProgramService."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import exercise_pb2, set_pb2, workout_pb2
from calisthenics.training.v1 import program_pb2 as pb
from calisthenics.training.v1.program_pb2_grpc import ProgramServiceServicer

from training_service.caller import athlete_scope
from training_service.domain.program import (
    PlannedExercise,
    WorkoutStatistics,
    program_statistics,
    workout_statistics,
)
from training_service.errors import FieldViolation, Reason, TrainingError
from training_service.servicers.convert import exercise_uuid, optional_field
from training_service.servicers.enums import EnumNames
from training_service.servicers.session_metrics import to_total
from training_service.storage.exercise import Catalogue, ExerciseFacts
from training_service.storage.workout import StoredWorkout, WorkoutRepository

MUSCLE = EnumNames(exercise_pb2.Muscle)


class ProgramServicer(ProgramServiceServicer):
    """Workouts that make up a week of training."""

    def __init__(self, workouts: WorkoutRepository, catalogue: Catalogue) -> None:
        self._workouts = workouts
        self._catalogue = catalogue

    async def GetProgramStatistics(
        self, request: pb.GetProgramStatisticsRequest, context: Any
    ) -> pb.ProgramStatistics:
        scope = athlete_scope(request.external_user_id)
        ids = [UUID(id) for id in request.workout_ids]
        stored = await self._workouts.list_named(scope, ids)
        _check_found(ids, stored)
        workouts = {id: workout_pb2.Workout.FromString(one.record) for id, one in stored.items()}
        exercises = [e.exercise_id for workout in workouts.values() for e in workout.exercises]
        facts = await self._catalogue.facts(map(exercise_uuid, exercises))
        body_mass_kg = optional_field(request, "body_mass_kg")
        statistics = [workout_statistics(_planned(workouts[id], facts), body_mass_kg) for id in ids]
        message = pb.ProgramStatistics(
            workouts=[_workout(workouts[id], one) for id, one in zip(ids, statistics, strict=True)]
        )
        times = request.sessions_per_week or [1.0] * len(ids)
        week = list(zip(statistics, times, strict=True))
        _add_week(message, week)
        return message


def _check_found(ids: list[UUID], stored: Mapping[UUID, StoredWorkout]) -> None:
    violations = [
        FieldViolation(f"workout_ids[{index}]", "there is no such workout")
        for index, id in enumerate(ids)
        if id not in stored
    ]
    if violations:
        raise TrainingError(
            Reason.WORKOUT_NOT_FOUND, "there is no such workout", violations=violations
        )


def _planned(
    workout: workout_pb2.Workout, facts: Mapping[UUID, ExerciseFacts]
) -> list[PlannedExercise]:
    return [
        _planned_exercise(one, facts[exercise_uuid(one.exercise_id)]) for one in workout.exercises
    ]


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


def _workout(workout: workout_pb2.Workout, of: WorkoutStatistics) -> pb.WorkoutStatistics:
    volume = of.metrics.volume
    return pb.WorkoutStatistics(
        workout_id=workout.id,
        revision=workout.revision,
        estimated_minutes=of.estimated_minutes,
        set_count=of.metrics.set_count,
        hard_sets=to_total(volume.hard_sets),
        effective_reps=to_total(volume.effective_reps),
        volume_load_kg=to_total(volume.volume_load_kg),
        load_au=of.metrics.load_au,
    )


def _add_week(message: pb.ProgramStatistics, week: list[tuple[WorkoutStatistics, float]]) -> None:
    of = program_statistics(week)
    message.MergeFrom(
        pb.ProgramStatistics(
            sessions_per_week=of.sessions,
            minutes_per_week=of.minutes,
            sets_per_week=of.set_count,
            load_au_per_week=of.load_au,
            muscles=[
                pb.MuscleStatistics(
                    muscle=MUSCLE.number(one.muscle),
                    set_count=one.set_count,
                    hard_set_count=one.hard_set_count,
                    effective_reps=one.effective_reps,
                )
                for one in of.muscles
            ],
            push_share=of.push_share,
        )
    )
