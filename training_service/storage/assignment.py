"""Whose workouts and phases athletes have copies of."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from typing import NamedTuple
from uuid import UUID

from psycopg import errors
from sqlalchemy import and_, any_, bindparam, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from training_service.caller import Scope
from training_service.domain.assignment import Copy
from training_service.domain.phase import overlap
from training_service.errors import Reason, TrainingError
from training_service.storage.database import Database, Transaction
from training_service.storage.idempotency import AthleteChange
from training_service.storage.phase import PhaseChange
from training_service.storage.schedule import ScheduleChange
from training_service.storage.statements import (
    Statement,
    newest_first,
    own,
    parameter,
    prepare,
    prepare_command,
)
from training_service.storage.tables import assignments, training_phases, workouts
from training_service.storage.workout import WorkoutChange

WORKOUT = "WORKOUT"
PHASE = "PHASE"


class NewAssignment(NamedTuple):
    """A copy that an athlete was given; in the table's order."""

    external_user_id: UUID
    id: UUID
    kind: str
    target_id: UUID
    source_user_id: UUID
    source_id: UUID
    source_revision: int
    target_revision: int
    created_at: datetime
    updated_at: datetime


class StoredAssignment(NamedTuple):
    """A copy that an athlete was given, and what became of it."""

    id: UUID
    kind: str
    target_id: UUID
    source_user_id: UUID
    source_id: UUID
    source_revision: int
    created_at: datetime
    updated_at: datetime
    is_changed: bool
    is_deleted: bool


class StoredCopy(NamedTuple):
    """An athlete's copy of a workout: its head, and what it is a copy of."""

    assignment_id: UUID
    source_id: UUID
    source_revision: int
    target_revision: int
    id: UUID
    revision: int
    version: int
    created_at: datetime
    deleted_at: datetime | None

    @property
    def state(self) -> Copy:
        """How it stands to what was given."""
        return Copy(
            source_revision=self.source_revision,
            is_changed=self.revision > self.target_revision,
            is_deleted=self.deleted_at is not None,
        )


_OF = assignments.c
_OF_SOURCES = (
    own(assignments),
    _OF.kind == WORKOUT,
    _OF.source_user_id == parameter("source_user_id", _OF.source_user_id),
    _OF.source_id == any_(bindparam("source_ids", type_=ARRAY(Uuid))),
)
# Two statements: one that waits for a lock joins it with rows as they were before the wait. In
# order, so that two of them never wait for one another.
_LOCK_COPIES = prepare_command(
    select(workouts.c.id)
    .where(own(workouts), workouts.c.id.in_(select(_OF.target_id).where(*_OF_SOURCES)))
    .order_by(workouts.c.id)
    .with_for_update()
)
_OWN_WORKOUT = and_(
    workouts.c.external_user_id == _OF.external_user_id, workouts.c.id == _OF.target_id
)
_COPIES = prepare(
    select(
        _OF.id,
        _OF.source_id,
        _OF.source_revision,
        _OF.target_revision,
        workouts.c.id,
        workouts.c.revision,
        workouts.c.version,
        workouts.c.created_at,
        workouts.c.deleted_at,
    )
    .join(workouts, _OWN_WORKOUT)
    .where(*_OF_SOURCES),
    StoredCopy,
)
_GIVEN_AGAIN = (_OF.target_id, _OF.source_revision, _OF.target_revision, _OF.updated_at)
_GIVE_AGAIN = prepare_command(
    update(assignments)
    .where(own(assignments), _OF.id == parameter("id", _OF.id))
    .values({c.name: parameter(c.name, c) for c in _GIVEN_AGAIN})
)


@cache
def _list(*, continued: bool) -> Statement[StoredAssignment]:
    """Returns the listing, the newest first: ids sort by creation."""
    phases = training_phases.c
    own_phase = and_(phases.external_user_id == _OF.external_user_id, phases.id == _OF.target_id)
    is_changed = or_(
        workouts.c.revision > _OF.target_revision, phases.version > _OF.target_revision
    )
    statement = (
        select(
            _OF.id,
            _OF.kind,
            _OF.target_id,
            _OF.source_user_id,
            _OF.source_id,
            _OF.source_revision,
            _OF.created_at,
            _OF.updated_at,
            func.coalesce(is_changed, False),
            case(
                (_OF.kind == PHASE, phases.id.is_(None)), else_=workouts.c.deleted_at.is_not(None)
            ),
        )
        .outerjoin(workouts, _OWN_WORKOUT)
        .outerjoin(training_phases, own_phase)
        .where(own(assignments))
    )
    return newest_first(statement, _OF.id, StoredAssignment, continued=continued)


class AssignmentRepository:
    """Reads and writes what one athlete at a time was given."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_page(
        self, scope: Scope, before_id: UUID | None, limit: int
    ) -> list[StoredAssignment]:
        """Returns up to `limit` assignments, newest first, older than `before_id`."""
        statement = _list(continued=before_id is not None)
        return await self._database.read(scope, statement, {"before_id": before_id, "limit": limit})

    @asynccontextmanager
    async def change(self, scope: Scope) -> AsyncIterator["AssignmentChange"]:
        """Opens a change of what an athlete was given.

        Raises PHASE_OVERLAP when the database finds what the rules did not, and CONFLICT when
        another call gave the athlete the same at the same moment.
        """
        try:
            async with self._database.transaction(scope) as transaction:
                yield AssignmentChange(transaction, scope)
        except errors.ExclusionViolation:
            raise overlap() from None
        except errors.UniqueViolation:
            raise TrainingError(
                Reason.CONFLICT,
                "the same is being given by another call",
                retry_after_seconds=0.1,
            ) from None


class AssignmentChange(AthleteChange):
    """One transaction that gives an athlete workouts, phases and schedules."""

    def __init__(self, transaction: Transaction, scope: Scope) -> None:
        super().__init__(transaction)
        self.scope = scope
        self.workouts = WorkoutChange(transaction, scope)
        self.phases = PhaseChange(transaction, scope)
        self.schedules = ScheduleChange(transaction)

    async def act_by(self, grant_scope: str) -> None:
        """Lets the database ask for another scope in what follows."""
        await self._transaction.act_by(grant_scope)

    async def lock_copies(
        self, source_user_id: UUID, source_ids: Collection[UUID]
    ) -> dict[UUID, StoredCopy]:
        """Returns the athlete's copies of workouts by the id of the workout, and keeps others from
        changing them until the end."""
        parameters = {"source_user_id": source_user_id, "source_ids": list(source_ids)}
        await self._transaction.execute(_LOCK_COPIES, parameters)
        copies = await self._transaction.fetch(_COPIES, parameters)
        return {copy.source_id: copy for copy in copies}

    async def insert(self, given: Sequence[NewAssignment]) -> None:
        """Notes what was given for the first time; by an erased user it is refused."""
        for source_user_id in {one.source_user_id for one in given}:
            await self._transaction.refuse_erased(source_user_id)
        await self._transaction.insert(assignments, given)

    async def give_again(self, given: NewAssignment) -> None:
        """Notes what was given in place of what was given before; `id` is that of before."""
        await self._transaction.execute(_GIVE_AGAIN, given._asdict())
