"""ProgramService."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import exercise_pb2, schedule_pb2, workout_pb2
from calisthenics.training.v1 import program_pb2 as pb
from calisthenics.training.v1.program_pb2_grpc import ProgramServiceServicer

from training_service.caller import athlete_scope
from training_service.domain.phase import Phase, day_plan, week_of
from training_service.domain.program import (
    WorkoutStatistics,
    program_statistics,
    workout_statistics,
)
from training_service.errors import FieldViolation, Reason, TrainingError, bad_reference
from training_service.programs import load_programs
from training_service.servicers.convert import (
    exercise_uuid,
    from_date,
    optional_field,
    to_date,
    utc_now,
    write_request,
)
from training_service.servicers.dates import today_of
from training_service.servicers.enums import EnumNames
from training_service.servicers.once import once
from training_service.servicers.phase import phase_not_found
from training_service.servicers.planned_exercise import as_prescribed, planned_exercises
from training_service.servicers.planned_session import PlannedSessionReader
from training_service.servicers.program_adoption import (
    adopt,
    phases_of,
    program_exercises,
    rules_of,
    usual_week,
)
from training_service.servicers.progression_rule import Facts
from training_service.servicers.session_metrics import to_total
from training_service.storage.exercise import Catalogue
from training_service.storage.phase import PhaseRepository
from training_service.storage.program import ProgramChange, ProgramRepository
from training_service.storage.workout import StoredWorkout, WorkoutRepository

PROGRAMS = {program.slug: program for program in load_programs()}
MUSCLE = EnumNames(exercise_pb2.Muscle)


class ProgramServicer(ProgramServiceServicer):
    """Workouts that make up a week of training."""

    def __init__(
        self,
        programs: ProgramRepository,
        workouts: WorkoutRepository,
        phases: PhaseRepository,
        planned: PlannedSessionReader,
        catalogue: Catalogue,
    ) -> None:
        self._programs = programs
        self._workouts = workouts
        self._phases = phases
        self._planned = planned
        self._catalogue = catalogue

    async def ListPrograms(
        self, request: pb.ListProgramsRequest, context: Any
    ) -> pb.ListProgramsResponse:
        return pb.ListProgramsResponse(
            programs=[one for one in PROGRAMS.values() if _is_wanted(one, request)]
        )

    async def GetProgram(self, request: pb.GetProgramRequest, context: Any) -> pb.Program:
        program = pb.Program()
        program.CopyFrom(_program(request.slug))
        exercises = program_exercises(program)
        facts = await self._catalogue.facts(exercises)
        if len(facts) < len(exercises):
            return program  # The database has another catalogue: what a week asks for is unknown.
        week = list(usual_week(program))
        statistics = [
            workout_statistics(planned_exercises(workout.exercises, facts), None)
            for workout, _ in week
        ]
        program.statistics.workouts.extend(
            _workout(workout.id, workout.revision, one)
            for (workout, _), one in zip(week, statistics, strict=True)
        )
        times = [times for _, times in week]
        _add_week(program.statistics, list(zip(statistics, times, strict=True)))
        return program

    async def AdoptProgram(
        self, request: pb.AdoptProgramRequest, context: Any
    ) -> pb.AdoptedProgram:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        program = _program(request.slug)
        template = phases_of(program, request)
        rules = rules_of(program, request)
        facts = await self._frozen(program)

        async def work(change: ProgramChange) -> pb.AdoptedProgram:
            return await adopt(change, scope, program, template, rules, facts, write)

        return await once(self._programs.change(scope), write, pb.AdoptedProgram, work)

    async def _frozen(self, program: pb.Program) -> Facts:
        """Returns the facts of all exercises; those of a programme are frozen if none of them is
        deprecated: then it will be refused."""
        ids = program_exercises(program)
        facts = await self._catalogue.facts(ids, max_age_seconds=0)
        if all(fact.active for fact in facts.values()):
            await self._catalogue.freeze(facts, utc_now())
        return await self._catalogue.everything()

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
        statistics = [
            workout_statistics(planned_exercises(workouts[id].exercises, facts), body_mass_kg)
            for id in ids
        ]
        message = pb.ProgramStatistics(
            workouts=[
                _workout(str(id), workouts[id].revision, one)
                for id, one in zip(ids, statistics, strict=True)
            ]
        )
        times = request.sessions_per_week or [1.0] * len(ids)
        _add_week(message, list(zip(statistics, times, strict=True)))
        return message

    async def GetPhaseStatistics(
        self, request: pb.GetPhaseStatisticsRequest, context: Any
    ) -> pb.PhaseStatistics:
        scope = athlete_scope(request.external_user_id)
        today = today_of(request)
        phase = await self._phases.get(scope, UUID(request.phase_id))
        if phase is None:
            raise phase_not_found()
        planned, phases = await asyncio.gather(
            self._planned.read(scope, phase.dates, today),
            self._phases.in_range(scope, phase.dates),
        )
        asked = [one for one in planned if one.state != schedule_pb2.PLANNED_SESSION_STATE_SKIPPED]
        exercises = [each.exercise.exercise_id for one in asked for each in one.exercises]
        facts = await self._catalogue.facts(map(exercise_uuid, exercises))
        body_mass_kg = optional_field(request, "body_mass_kg")
        weeks: dict[int, list[tuple[schedule_pb2.PlannedSession, WorkoutStatistics]]] = {}
        for one in asked:
            week = week_of(from_date(one.local_date, "local_date"), phase.start_date)
            prescribed = [as_prescribed(each) for each in one.exercises]
            statistics = workout_statistics(planned_exercises(prescribed, facts), body_mass_kg)
            weeks.setdefault(week, []).append((one, statistics))
        return pb.PhaseStatistics(
            phase_id=str(phase.id),
            weeks=[
                _week(phase, n, phases, weeks.get(n, [])) for n in range(1, phase.week_count + 1)
            ],
        )


def _program(slug: str) -> pb.Program:
    if slug not in PROGRAMS:
        raise bad_reference(Reason.PROGRAM_NOT_FOUND, "slug", "there is no such programme")
    return PROGRAMS[slug]


def _is_wanted(program: pb.Program, request: pb.ListProgramsRequest) -> bool:
    if request.focus and program.focus != request.focus:
        return False
    return not request.equipment_at_hand or set(program.equipment) <= set(request.equipment_at_hand)


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


def _week(
    phase: Phase,
    number: int,
    phases: Sequence[Phase],
    planned: Sequence[tuple[schedule_pb2.PlannedSession, WorkoutStatistics]],
) -> pb.PhaseWeekStatistics:
    start_date = phase.start_date + timedelta(weeks=number - 1)
    message = pb.PhaseWeekStatistics(
        week=number,
        start_date=to_date(start_date),
        deload=day_plan(phases, start_date).is_deload,
        statistics=pb.ProgramStatistics(
            workouts=[
                _workout(one.workout_id, one.workout_revision, statistics)
                for one, statistics in planned
            ]
        ),
    )
    _add_week(message.statistics, [(statistics, 1.0) for _, statistics in planned])
    return message


def _workout(workout_id: str, revision: int, of: WorkoutStatistics) -> pb.WorkoutStatistics:
    volume = of.metrics.volume
    return pb.WorkoutStatistics(
        workout_id=workout_id,
        revision=revision,
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
