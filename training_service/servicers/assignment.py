"""AssignmentService."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID, uuid5

from calisthenics.training.v1 import assignment_pb2 as pb
from calisthenics.training.v1 import workout_pb2
from calisthenics.training.v1.assignment_pb2_grpc import AssignmentServiceServicer

from training_service import contract
from training_service.caller import (
    Grantee,
    Scope,
    athlete_not_found,
    athlete_scope,
    current_call_id,
)
from training_service.domain.assignment import OnExisting
from training_service.domain.phase import Neighbours, Phase
from training_service.errors import (
    FieldViolation,
    Reason,
    TrainingError,
    bad_reference,
    invalid_field,
)
from training_service.servicers.assigned_phase import (
    WRITE_SCHEDULE,
    WRITE_WORKOUTS,
    PhasePlan,
    give_phase,
)
from training_service.servicers.assigned_workout import Source, give_workouts
from training_service.servicers.convert import exercise_uuid, to_timestamp, utc_now, write_request
from training_service.servicers.enums import EnumNames
from training_service.servicers.once import Answer, once
from training_service.servicers.paging import page_by_id
from training_service.servicers.phase import date_in_range, phase_not_found
from training_service.storage.assignment import (
    AssignmentChange,
    AssignmentRepository,
    StoredAssignment,
)
from training_service.storage.exercise import Catalogue
from training_service.storage.grant import GrantRepository
from training_service.storage.idempotency import WriteRequest
from training_service.storage.phase import PhaseRepository
from training_service.storage.schedule import ScheduleRepository
from training_service.storage.workout import NamedRevision, WorkoutRepository

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

        giving = _Giving("AssignWorkouts", coach, [WRITE_WORKOUTS], write)
        response = pb.AssignWorkoutsResponse()
        for athlete in athletes:
            result = await self._give(giving, athlete, pb.AssignedWorkouts, work)
            response.results.add(athlete_user_id=str(athlete), **result)
        return response

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
        plan = PhasePlan(coach.external_user_id, family, schedules=(), workouts=())
        grant_scopes = [WRITE_SCHEDULE]
        if request.with_schedules:
            plan = await self._with_schedules(coach, plan, athletes)
            grant_scopes.append(WRITE_WORKOUTS)
        write = _write_for_each(request, coach)

        async def work(change: AssignmentChange) -> pb.AssignedPhase:
            return await give_phase(change, plan, write)

        giving = _Giving("AssignPhase", coach, grant_scopes, write)
        response = pb.AssignPhaseResponse()
        for athlete in athletes:
            result = await self._give(giving, athlete, pb.AssignedPhase, work)
            response.results.add(athlete_user_id=str(athlete), **result)
        return response

    async def ListAssignments(
        self, request: pb.ListAssignmentsRequest, context: Any
    ) -> pb.ListAssignmentsResponse:
        scope = athlete_scope(request.external_user_id)
        page, token = await page_by_id(request, scope, partial(self._assignments.list_page, scope))
        return pb.ListAssignmentsResponse(assignments=map(_message, page), next_page_token=token)

    async def _give(
        self,
        giving: "_Giving",
        athlete: UUID,
        answer: type[Answer],
        work: Callable[[AssignmentChange], Awaitable[Answer]],
    ) -> dict[str, Any]:
        """Does the work for one athlete, if it was granted. Returns what the result has: what was
        assigned, or the status that tells why nothing was."""
        try:
            scope = await self._admitted(giving, athlete)
            change = self._assignments.change(scope)
            return {"assigned": await once(change, giving.write, answer, work)}
        except TrainingError as refusal:
            if refusal.reason in FAULTS:
                raise
            return {"status": contract.to_status(refusal)}

    async def _admitted(self, giving: "_Giving", athlete: UUID) -> Scope:
        """Returns the scope of an athlete who granted the coach all that is needed, under the first
        of it; notes the use."""
        coach_user_id = giving.coach.external_user_id
        scopes = [Scope(athlete, Grantee(coach_user_id, name)) for name in giving.grant_scopes]
        for scope in scopes:
            if not await self._grants.admit(scope, giving.rpc, current_call_id()):
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

    async def _with_schedules(
        self, coach: Scope, plan: PhasePlan, athletes: Sequence[UUID]
    ) -> PhasePlan:
        """Returns phases with the schedules that have their days and the workouts of these, in
        their current revisions."""
        schedules = await self._schedules.of_phases(coach, [phase.id for phase in plan.family])
        wanted = {id: 0 for schedule in schedules for id in schedule.workout_ids if id}
        found = await self._workouts.list_revisions_named(coach, wanted)
        if len(found) < len(wanted):
            raise bad_reference(
                Reason.WORKOUT_DELETED, "with_schedules", "a schedule has a workout that is deleted"
            )
        _check_size(found, athletes)
        sources = _sources(coach, wanted, found)
        await self._check_exercises(sources, ["with_schedules"] * len(sources))
        return plan._replace(schedules=schedules, workouts=sources)


class _Giving(NamedTuple):
    """What is alike for all athletes of a call."""

    rpc: str
    coach: Scope
    grant_scopes: Sequence[str]
    """What each must have granted the coach."""
    write: WriteRequest


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
