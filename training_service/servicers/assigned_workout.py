"""How a workout of a coach becomes an athlete's own."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import uuid6
from calisthenics.training.v1 import assignment_pb2 as pb
from calisthenics.training.v1 import workout_pb2

from training_service.domain.assignment import OnExisting, Outcome, outcome
from training_service.servicers.enums import EnumNames
from training_service.servicers.workout import add_checked, insert_checked
from training_service.storage.assignment import (
    WORKOUT,
    AssignmentChange,
    NewAssignment,
    StoredCopy,
)
from training_service.storage.idempotency import WriteRequest

OUTCOME = EnumNames(pb.AssignmentOutcome)


class Source(NamedTuple):
    """A workout of a coach in the revision that is given; its exercises are known and in use."""

    coach_user_id: UUID
    workout_id: UUID
    revision: int
    message: workout_pb2.Workout


async def give_workouts(
    change: AssignmentChange,
    sources: Sequence[Source],
    on_existing: OnExisting,
    write: WriteRequest,
) -> list[pb.AssignedWorkout]:
    """Gives an athlete workouts of one coach, one at least, and returns what became of each."""
    coach_user_id = sources[0].coach_user_id
    copies = await change.lock_copies(coach_user_id, [one.workout_id for one in sources])
    assigned = []
    first_given = []
    for source in sources:
        copy = copies.get(source.workout_id)
        done = outcome(copy.state if copy else None, source.revision, on_existing)
        workout_id, revision = await _store(change, source, copy, done, write)
        if done in (Outcome.CREATED, Outcome.UPDATED):
            given = _assignment(change, source, workout_id, revision, write)
            if copy:
                await change.give_again(given._replace(id=copy.assignment_id))
            else:
                first_given.append(given)
        assigned.append(
            pb.AssignedWorkout(
                source_workout_id=str(source.workout_id),
                source_revision=source.revision,
                workout_id=str(workout_id),
                revision=revision,
                outcome=OUTCOME.number(done),
            )
        )
    await change.insert(first_given)
    return assigned


async def _store(
    change: AssignmentChange,
    source: Source,
    copy: StoredCopy | None,
    done: Outcome,
    write: WriteRequest,
) -> tuple[UUID, int]:
    """Stores what is to be done, and returns the id and the current revision of the copy."""
    if copy is None or done is Outcome.CREATED:
        new = await insert_checked(change.workouts, change.scope, source.message, write)
        return UUID(new.id), new.revision
    if done is Outcome.UPDATED:
        revision = await add_checked(change.workouts, change.scope, copy, source.message, write)
        return copy.id, revision
    return copy.id, copy.revision


def _assignment(
    change: AssignmentChange, source: Source, workout_id: UUID, revision: int, write: WriteRequest
) -> NewAssignment:
    return NewAssignment(
        external_user_id=change.scope.external_user_id,
        id=uuid6.uuid7(),
        kind=WORKOUT,
        target_id=workout_id,
        source_user_id=source.coach_user_id,
        source_id=source.workout_id,
        source_revision=source.revision,
        target_revision=revision,
        created_at=write.received_at,
        updated_at=write.received_at,
    )
