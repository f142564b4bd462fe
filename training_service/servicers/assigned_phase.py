"""How a phase of a coach becomes an athlete's own."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import uuid6
from calisthenics.training.v1 import access_pb2
from calisthenics.training.v1 import assignment_pb2 as pb

from training_service.domain.assignment import OnExisting
from training_service.domain.phase import Phase, copies
from training_service.servicers.assigned_workout import Source, give_workouts
from training_service.servicers.enums import GRANT_SCOPE
from training_service.servicers.phase import insert_tree
from training_service.storage.assignment import PHASE, AssignmentChange, NewAssignment
from training_service.storage.idempotency import WriteRequest
from training_service.storage.schedule import NewSchedule, StoredSchedule

WRITE_WORKOUTS = GRANT_SCOPE.name(access_pb2.GRANT_SCOPE_WRITE_WORKOUTS)
WRITE_SCHEDULE = GRANT_SCOPE.name(access_pb2.GRANT_SCOPE_WRITE_SCHEDULE)


class PhasePlan(NamedTuple):
    """What a coach gives with a phase."""

    coach_user_id: UUID
    family: Sequence[Phase]
    """The phase, then those within it, on the days that the copies will have."""
    schedules: Sequence[StoredSchedule]
    workouts: Sequence[Source]
    """Those of the schedules."""


async def give_phase(
    change: AssignmentChange, plan: PhasePlan, write: WriteRequest
) -> pb.AssignedPhase:
    """Gives an athlete phases and schedules, in a transaction under WRITE_SCHEDULE."""
    phases = copies(plan.family, uuid6.uuid7, write.received_at)
    await insert_tree(change.phases, phases)
    await change.insert([_assignment(change, plan, phases[0], write)])
    given: Sequence[pb.AssignedWorkout] = ()
    if plan.workouts:
        # What concerns workouts needs the other scope, also for the database.
        await change.act_by(WRITE_WORKOUTS)
        given = await give_workouts(change, plan.workouts, OnExisting.KEEP_UNLESS_DELETED, write)
        await change.act_by(WRITE_SCHEDULE)
    phase_ids: dict[UUID | None, UUID] = {
        old.id: new.id for old, new in zip(plan.family, phases, strict=True)
    }
    workout_ids = {UUID(one.source_workout_id): UUID(one.workout_id) for one in given}
    schedules = [_copy(one, phase_ids, workout_ids, write) for one in plan.schedules]
    for schedule in schedules:
        await change.schedules.add(schedule)
    return pb.AssignedPhase(
        phase_ids=[str(phase.id) for phase in phases],
        schedule_ids=[str(schedule.id) for schedule in schedules],
        workouts=given,
    )


def _assignment(
    change: AssignmentChange, plan: PhasePlan, copy: Phase, write: WriteRequest
) -> NewAssignment:
    source = plan.family[0]
    return NewAssignment(
        external_user_id=change.scope.external_user_id,
        id=uuid6.uuid7(),
        kind=PHASE,
        target_id=copy.id,
        source_user_id=plan.coach_user_id,
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
