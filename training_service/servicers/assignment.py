"""AssignmentService."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID, uuid5

import uuid6
from calisthenics.training.v1 import access_pb2, workout_pb2
from calisthenics.training.v1 import assignment_pb2 as pb
from calisthenics.training.v1.assignment_pb2_grpc import AssignmentServiceServicer
from google.rpc import status_pb2

from training_service import contract
from training_service.caller import (
    Grantee,
    Scope,
    athlete_not_found,
    athlete_scope,
    current_call_id,
)
from training_service.domain.assignment import OnExisting
from training_service.domain.phase import Neighbours, Phase, copies
from training_service.errors import (
    FieldViolation,
    Reason,
    TrainingError,
    bad_reference,
    invalid_field,
)
from training_service.servicers.assigned_workout import Source, give_workouts
from training_service.servicers.convert import exercise_uuid, to_timestamp, utc_now, write_request
from training_service.servicers.enums import EnumNames
from training_service.servicers.once import Answer, once
from training_service.servicers.paging import page_by_id
from training_service.servicers.phase import date_in_range, insert_tree, phase_not_found
from training_service.storage.assignment import (
    PHASE,
    AssignmentChange,
    AssignmentRepository,
    NewAssignment,
    StoredAssignment,
)
from training_service.storage.exercise import Catalogue
from training_service.storage.grant import GrantRepository
from training_service.storage.idempotency import WriteRequest
from training_service.storage.phase import PhaseRepository
from training_service.storage.schedule import NewSchedule, ScheduleRepository, StoredSchedule
from training_service.storage.workout import NamedRevision, WorkoutRepository

SCOPE = EnumNames(access_pb2.GrantScope)
WRITE_WORKOUTS = SCOPE.name(access_pb2.GRANT_SCOPE_WRITE_WORKOUTS)
WRITE_SCHEDULE = SCOPE.name(access_pb2.GRANT_SCOPE_WRITE_SCHEDULE)
KIND = EnumNames(pb.AssignmentKind)
ON_EXISTING = EnumNames(pb.OnExistingCopy)

MAX_COPIED_BYTES = 50_000_000
MAX_COPIED_PHASES = 20_000
"""How much one call may ask of a process that serves others at the same time."""
FAULTS = (Reason.DATABASE_UNAVAILABLE, Reason.DEADLINE_EXCEEDED)
"""Refusals that have nothing to do with one athlete: they end the call."""

AssignRequest: TypeAlias = pb.AssignWorkoutsRequest | pb.AssignPhaseRequest


class AssignmentServicer(AssignmentServiceServicer):
    """Copies of a coach's workouts and phases for athletes."""

    def __init__(
        self,
        assignments: AssignmentRepository,
        grants: GrantRepository,
        workouts: WorkoutRepository,
        phases: PhaseRepository,
        schedules: ScheduleRepository,
        catalogue: Catalogue,
    ) -> None:
        self._assignments = assignments
        self._grants = grants
        self._workouts = workouts
        self._phases = phases
        self._schedules = schedules
        self._catalogue = catalogue

    async def AssignWorkouts(
        self, request: pb.AssignWorkoutsRequest, context: Any
    ) -> pb.AssignWorkoutsResponse:
        coach = athlete_scope(request.external_user_id)
        athletes = _athletes(request, coach)
        wanted = _wanted(request.workouts)
        found = await self._workouts.list_revisions_named(coach, wanted)
        _check_found(wanted, found)
        _check_size(found, athletes)
        sources = _sources(coach, wanted, found)
        paths = [f"workouts[{index}].workout_id" for index in range(len(sources))]
        await self._check_exercises(sources, paths)
        on_existing = OnExisting(ON_EXISTING.name(request.on_existing or pb.ON_EXISTING_COPY_KEEP))
        write = _write_for_each(request, coach)

        async def work(change: AssignmentChange) -> pb.AssignedWorkouts:
            given = await give_workouts(change, sources, on_existing, write)
            return pb.AssignedWorkouts(workouts=given)

        serve = partial(
            self._serve, "AssignWorkouts", coach, [WRITE_WORKOUTS], write, pb.AssignedWorkouts, work
        )
        return pb.AssignWorkoutsResponse(
            results=[
                pb.AssignWorkoutsResult(athlete_user_id=str(athlete), **await serve(athlete))
                for athlete in athletes
            ]
        )

    async def AssignPhase(
        self, request: pb.AssignPhaseRequest, context: Any
    ) -> pb.AssignPhaseResponse:
        coach = athlete_scope(request.external_user_id)
        athletes = _athletes(request, coach)
        family = await self._family(coach, request)
        if len(family) * len(athletes) > MAX_COPIED_PHASES:
            raise invalid_field(
                "athlete_user_ids", f"would make more than {MAX_COPIED_PHASES} phases in all"
            )
        grant_scopes = [WRITE_SCHEDULE]
        schedules: Sequence[StoredSchedule] = ()
        sources: Sequence[Source] = ()
        if request.with_schedules:
            grant_scopes.append(WRITE_WORKOUTS)
            schedules = await self._schedules.of_phases(coach, [phase.id for phase in family])
            sources = await self._scheduled(coach, schedules, athletes)
        write = _write_for_each(request, coach)

        async def work(change: AssignmentChange) -> pb.AssignedPhase:
            return await _give_phase(change, coach, family, schedules, sources, write)

        serve = partial(
            self._serve, "AssignPhase", coach, grant_scopes, write, pb.AssignedPhase, work
        )
        return pb.AssignPhaseResponse(
            results=[
                pb.AssignPhaseResult(athlete_user_id=str(athlete), **await serve(athlete))
                for athlete in athletes
            ]
        )

    async def ListAssignments(
        self, request: pb.ListAssignmentsRequest, context: Any
    ) -> pb.ListAssignmentsResponse:
        scope = athlete_scope(request.external_user_id)
        page, token = await page_by_id(request, scope, partial(self._assignments.list_page, scope))
        return pb.ListAssignmentsResponse(assignments=map(_message, page), next_page_token=token)

    async def _serve(
        self,
        rpc: str,
        coach: Scope,
        grant_scopes: Sequence[str],
        write: WriteRequest,
        answer: type[Answer],
        work: Callable[[AssignmentChange], Awaitable[Answer]],
        athlete: UUID,
    ) -> dict[str, Answer | status_pb2.Status]:
        """Does the work for one athlete, if it was granted; returns what is said of it: what was
        assigned, or the status that tells why nothing was."""
        try:
            scope = await self._admitted(rpc, coach, grant_scopes, athlete)
            return {"assigned": await once(self._assignments.change(scope), write, answer, work)}
        except TrainingError as refusal:
            if refusal.reason in FAULTS:
                raise
            return {"status": contract.to_status(refusal)}

    async def _admitted(
        self, rpc: str, coach: Scope, grant_scopes: Sequence[str], athlete: UUID
    ) -> Scope:
        """Returns the scope of an athlete, under the first of what is needed, for a coach who was
        granted all of it; notes the use."""
        scopes = [Scope(athlete, Grantee(coach.external_user_id, name)) for name in grant_scopes]
        for scope in scopes:
            if not await self._grants.admit(scope, rpc, current_call_id()):
                raise athlete_not_found()
        return scopes[0]

    async def _check_exercises(self, sources: Sequence[Source], paths: Sequence[str]) -> None:
        """Refuses workouts with a deprecated exercise, which no template may begin with; `paths`
        are those of the fields that name the workouts."""
        ids = {exercise_uuid(e.exercise_id) for one in sources for e in one.message.exercises}
        facts = await self._catalogue.facts(ids, max_age_seconds=0)
        for source, path in zip(sources, paths, strict=True):
            for exercise in source.message.exercises:
                of_exercise = facts[exercise_uuid(exercise.exercise_id)]
                if not of_exercise.active:
                    words = f"has {of_exercise.display_name}, which is deprecated"
                    raise bad_reference(Reason.EXERCISE_DEPRECATED, path, words)

    async def _family(self, coach: Scope, request: pb.AssignPhaseRequest) -> list[Phase]:
        """Returns the coach's phase with all within it, on the days that the copies will have."""
        near = await self._phases.around(coach, UUID(request.phase_id))
        phase = near.get(UUID(request.phase_id))
        if phase is None:
            raise phase_not_found()
        start_date = phase.start_date
        if request.HasField("start_date"):
            start_date = date_in_range(request, "start_date")
        family = Neighbours(near.with_descendants(phase))
        return family.moved(phase, start_date, shift_later=False)

    async def _scheduled(
        self, coach: Scope, schedules: Sequence[StoredSchedule], athletes: Sequence[UUID]
    ) -> list[Source]:
        """Returns the workouts of schedules in their current revisions."""
        wanted = {id: 0 for schedule in schedules for id in schedule.workout_ids if id}
        found = await self._workouts.list_revisions_named(coach, wanted)
        if len(found) < len(wanted):
            raise bad_reference(
                Reason.WORKOUT_DELETED, "with_schedules", "a schedule has a workout that is deleted"
            )
        _check_size(found, athletes)
        sources = _sources(coach, wanted, found)
        await self._check_exercises(sources, ["with_schedules"] * len(sources))
        return sources


async def _give_phase(
    change: AssignmentChange,
    coach: Scope,
    family: Sequence[Phase],
    schedules: Sequence[StoredSchedule],
    sources: Sequence[Source],
    write: WriteRequest,
) -> pb.AssignedPhase:
    """Gives an athlete phases, of which the first has all others within it, and schedules."""
    phases = copies(family, uuid6.uuid7, write.received_at)
    await insert_tree(change.phases, phases)
    await change.insert([_of_phase(change, coach, family[0], phases[0], write)])
    given: Sequence[pb.AssignedWorkout] = ()
    if sources:
        # What concerns workouts needs the other scope, also for the database.
        await change.act_by(WRITE_WORKOUTS)
        given = await give_workouts(change, sources, OnExisting.KEEP_UNLESS_DELETED, write)
        await change.act_by(WRITE_SCHEDULE)
    phase_ids: dict[UUID | None, UUID] = {
        old.id: new.id for old, new in zip(family, phases, strict=True)
    }
    workout_ids = {UUID(one.source_workout_id): UUID(one.workout_id) for one in given}
    new_schedules = [_copy(one, phase_ids, workout_ids, write) for one in schedules]
    for schedule in new_schedules:
        await change.schedules.add(schedule)
    return pb.AssignedPhase(
        phase_ids=[str(phase.id) for phase in phases],
        schedule_ids=[str(schedule.id) for schedule in new_schedules],
        workouts=given,
    )


def _of_phase(
    change: AssignmentChange, coach: Scope, source: Phase, copy: Phase, write: WriteRequest
) -> NewAssignment:
    return NewAssignment(
        external_user_id=change.scope.external_user_id,
        id=uuid6.uuid7(),
        kind=PHASE,
        target_id=copy.id,
        source_user_id=coach.external_user_id,
        source_id=source.id,
        source_revision=source.version,
        target_revision=copy.version,
        created_at=write.received_at,
        updated_at=write.received_at,
    )


def _copy(
    schedule: StoredSchedule,
    phase_ids: Mapping[UUID | None, UUID],
    workout_ids: Mapping[UUID, UUID],
    write: WriteRequest,
) -> NewSchedule:
    """Returns a schedule for an athlete's own phases and workouts."""
    return NewSchedule(
        id=uuid6.uuid7(),
        phase_id=phase_ids[schedule.phase_id],
        start_date=None,
        end_date=None,
        display_name=schedule.display_name,
        workout_ids=[id and workout_ids[id] for id in schedule.workout_ids],
        weekdays=schedule.weekdays,
        missed_policy=schedule.missed_policy,
        created_at=write.received_at,
    )


def _athletes(request: AssignRequest, coach: Scope) -> list[UUID]:
    """Returns the athletes of a request; refuses one who comes twice, and the coach."""
    athletes = [UUID(id) for id in request.athlete_user_ids]
    for index, athlete in enumerate(athletes):
        path = f"athlete_user_ids[{index}]"
        if athlete == coach.external_user_id:
            raise invalid_field(path, "must not be the coach")
        if athlete in athletes[:index]:
            raise invalid_field(path, "must not come twice")
    return athletes


def _wanted(workouts: Sequence[pb.WorkoutToAssign]) -> dict[UUID, int]:
    """Returns the revisions of workouts; refuses a workout that comes twice."""
    wanted: dict[UUID, int] = {}
    for index, one in enumerate(workouts):
        id = UUID(one.workout_id)
        if id in wanted:
            raise invalid_field(f"workouts[{index}].workout_id", "must not come twice")
        wanted[id] = one.revision
    return wanted


def _check_found(wanted: Mapping[UUID, int], found: Mapping[UUID, NamedRevision]) -> None:
    """Refuses workouts that don't exist or are deleted, and revisions that don't exist."""
    _refuse(
        Reason.WORKOUT_NOT_FOUND,
        "there is no such workout",
        [f"workouts[{n}].workout_id" for n, id in enumerate(wanted) if id not in found],
    )
    _refuse(
        Reason.WORKOUT_REVISION_NOT_FOUND,
        "the workout has no such revision",
        [f"workouts[{n}].revision" for n, id in enumerate(wanted) if found[id].record is None],
    )


def _refuse(reason: Reason, description: str, paths: Sequence[str]) -> None:
    """Refuses what stands in these fields, if there are any."""
    if paths:
        violations = [FieldViolation(path, description) for path in paths]
        raise TrainingError(reason, description, violations=violations)


def _check_size(found: Mapping[UUID, NamedRevision], athletes: Sequence[UUID]) -> None:
    size = sum(len(one.record or b"") for one in found.values())
    if size * len(athletes) > MAX_COPIED_BYTES:
        raise invalid_field(
            "athlete_user_ids", f"would make copies of more than {MAX_COPIED_BYTES} bytes in all"
        )


def _sources(
    coach: Scope, wanted: Mapping[UUID, int], found: Mapping[UUID, NamedRevision]
) -> list[Source]:
    """Returns workouts that were found, in the order in which they are wanted."""
    messages = [workout_pb2.Workout.FromString(found[id].record or b"") for id in wanted]
    return [
        Source(coach.external_user_id, id, message.revision, message)
        for id, message in zip(wanted, messages, strict=True)
    ]


def _write_for_each(request: AssignRequest, coach: Scope) -> WriteRequest:
    """Returns the write that a request is for each of its athletes, whoever else is among them.

    Its id is derived: it stands among those of the athlete's own writes and of other coaches.
    """
    body = type(request)()
    body.CopyFrom(request)  # type: ignore[arg-type]
    body.ClearField("athlete_user_ids")
    write = write_request(body, utc_now())
    if write.request_id is None:
        return write
    return replace(write, request_id=uuid5(write.request_id, str(coach.external_user_id)))


def _message(stored: StoredAssignment) -> pb.Assignment:
    return pb.Assignment(
        id=str(stored.id),
        kind=KIND.number(stored.kind),
        target_id=str(stored.target_id),
        source=pb.AssignmentSource(
            external_user_id=str(stored.source_user_id),
            id=str(stored.source_id),
            revision=stored.source_revision,
        ),
        changed=stored.is_changed,
        deleted=stored.is_deleted,
        create_time=to_timestamp(stored.created_at),
        update_time=to_timestamp(stored.updated_at),
    )
