"""Workout templates: heads, immutable revisions, and the exercises of the current ones."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import (
    Integer,
    and_,
    any_,
    bindparam,
    column,
    delete,
    exists,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from training_service.caller import Scope
from training_service.domain.quota import Quota
from training_service.domain.workout import NewRevision, WorkoutFilter
from training_service.storage.author import signed
from training_service.storage.database import Database, Transaction
from training_service.storage.idempotency import AthleteChange
from training_service.storage.statements import (
    Statement,
    exercise_rows,
    own,
    parameter,
    prepare,
    prepare_command,
    written,
)
from training_service.storage.tables import workout_exercises, workout_revisions, workouts


class StoredWorkout(NamedTuple):
    """A workout in its current revision: what changes, and the revision's record."""

    id: UUID
    revision: int
    version: int
    created_at: datetime
    deleted_at: datetime | None
    record: bytes
    """With its author."""


class WorkoutHead(Protocol):
    """What tells a workout, and where it stands."""

    @property
    def id(self) -> UUID:
        """Its id."""

    @property
    def revision(self) -> int:
        """Its current revision."""

    @property
    def version(self) -> int:
        """Rises with each change."""

    @property
    def created_at(self) -> datetime:
        """When it was created."""


class NamedRevision(NamedTuple):
    """A workout that is not deleted, with the revision that was asked for, if there is one."""

    workout_id: UUID
    revision: int | None
    record: bytes | None


class StoredRevision(NamedTuple):
    """One revision of a workout."""

    workout_id: UUID
    revision: int
    record: bytes
    """With its author."""


_HEAD = (
    select(
        workouts.c.id,
        workouts.c.revision,
        workouts.c.version,
        workouts.c.created_at,
        workouts.c.deleted_at,
        signed(workout_revisions),
    )
    .join(
        workout_revisions,
        and_(
            workout_revisions.c.external_user_id == workouts.c.external_user_id,
            workout_revisions.c.workout_id == workouts.c.id,
            workout_revisions.c.revision == workouts.c.revision,
        ),
    )
    .where(own(workouts))
)
_IS_WORKOUT = workouts.c.id == parameter("workout_id", workouts.c.id)
_GET = prepare(_HEAD.where(_IS_WORKOUT), StoredWorkout)
_LIST_NAMED = prepare(
    _HEAD.where(
        workouts.c.id == any_(bindparam("workout_ids", type_=ARRAY(Uuid))),
        workouts.c.deleted_at.is_(None),
    ),
    StoredWorkout,
)
_LOCK = prepare_command(select(workouts.c.id).where(own(workouts), _IS_WORKOUT).with_for_update())


def _named_revisions() -> Statement[NamedRevision]:
    """Returns one revision each of several workouts; 0 is the current one."""
    asked = (
        func.unnest(
            bindparam("workout_ids", type_=ARRAY(Uuid)),
            bindparam("revisions", type_=ARRAY(Integer)),
        )
        .table_valued(column("workout_id", Uuid), column("revision", Integer))
        .render_derived(name="asked")
    )
    revision = and_(
        workout_revisions.c.external_user_id == workouts.c.external_user_id,
        workout_revisions.c.workout_id == workouts.c.id,
        workout_revisions.c.revision
        == func.coalesce(func.nullif(asked.c.revision, literal_column("0")), workouts.c.revision),
    )
    return prepare(
        select(workouts.c.id, workout_revisions.c.revision, workout_revisions.c.record)
        .join(asked, asked.c.workout_id == workouts.c.id)
        .outerjoin(workout_revisions, revision)
        .where(own(workouts), workouts.c.deleted_at.is_(None)),
        NamedRevision,
    )


_NAMED_REVISIONS = _named_revisions()

_REVISION = select(
    workout_revisions.c.workout_id, workout_revisions.c.revision, signed(workout_revisions)
).where(
    own(workout_revisions),
    workout_revisions.c.workout_id == parameter("workout_id", workout_revisions.c.workout_id),
)
_GET_REVISION = prepare(
    _REVISION.where(
        workout_revisions.c.revision == parameter("revision", workout_revisions.c.revision)
    ),
    StoredRevision,
)
_BEFORE_REVISION = bindparam("before_revision", type_=Integer)
_LIST_REVISIONS = prepare(
    _REVISION.where(workout_revisions.c.revision < _BEFORE_REVISION)
    .order_by(workout_revisions.c.revision.desc())
    .limit(bindparam("limit", type_=Integer)),
    StoredRevision,
)
LATEST_REVISION = 2**31 - 1
"""Above every revision number: where a listing of revisions begins."""

_FILTERS: dict[str, Any] = {
    "show_deleted": workouts.c.deleted_at.is_(None),
    "exercise_id": exists().where(
        own(workout_exercises),
        workout_exercises.c.workout_id == workouts.c.id,
        workout_exercises.c.exercise_id
        == parameter("exercise_id", workout_exercises.c.exercise_id),
    ),
    "query": func.strpos(
        func.lower(workouts.c.display_name), parameter("query", workouts.c.display_name)
    )
    > 0,
    "before_id": workouts.c.id < parameter("before_id", workouts.c.id),
}


@cache
def _list(filters: frozenset[str]) -> Statement[StoredWorkout]:
    """Returns the listing with these filters: one statement for each combination in use."""
    return prepare(
        _HEAD.where(*(_FILTERS[name] for name in sorted(filters)))
        .order_by(workouts.c.id.desc())
        .limit(bindparam("limit", type_=Integer)),
        StoredWorkout,
    )


def list_workouts(limit: int) -> tuple[Statement[StoredWorkout], Mapping[str, Any]]:
    """Returns the listing of workouts that are not deleted, newest first, with its parameters."""
    return _list(frozenset({"show_deleted"})), {"limit": limit}


def _insert_all(table: Any, *left_out: str) -> Statement[Any]:
    return prepare_command(
        insert(table).values(
            {c.name: parameter(c.name, c) for c in written(table) if c.name not in left_out}
        )
    )


_INSERT_HEAD = _insert_all(workouts, "deleted_at")
_INSERT_REVISION = _insert_all(workout_revisions)
_UPDATE_HEAD = prepare_command(
    update(workouts)
    .where(own(workouts), _IS_WORKOUT)
    .values(
        {
            c.name: parameter(c.name, c)
            for c in (
                workouts.c.display_name,
                workouts.c.revision,
                workouts.c.version,
                workouts.c.updated_at,
                workouts.c.deleted_at,
            )
        }
    )
)
_DELETE_EXERCISES = prepare_command(
    delete(workout_exercises).where(
        own(workout_exercises),
        workout_exercises.c.workout_id == parameter("workout_id", workout_exercises.c.workout_id),
    )
)
_EXERCISES = prepare(
    select(workout_exercises.c.exercise_id)
    .where(
        own(workout_exercises),
        workout_exercises.c.workout_id == parameter("workout_id", workout_exercises.c.workout_id),
    )
    .distinct(),
    lambda id: id,
)


class WorkoutRepository:
    """Reads and writes the workouts of one athlete at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, scope: Scope, workout_id: UUID) -> StoredWorkout | None:
        """Returns a workout in its current revision, deleted ones included."""
        rows = await self._database.read(scope, _GET, {"workout_id": workout_id})
        return rows[0] if rows else None

    async def get_revision(
        self, scope: Scope, workout_id: UUID, revision: int
    ) -> StoredRevision | None:
        """Returns one revision of a workout."""
        parameters = {"workout_id": workout_id, "revision": revision}
        rows = await self._database.read(scope, _GET_REVISION, parameters)
        return rows[0] if rows else None

    async def list_named(
        self, scope: Scope, workout_ids: Collection[UUID]
    ) -> dict[UUID, StoredWorkout]:
        """Returns those of the workouts that exist and are not deleted, by id."""
        rows = await self._database.read(scope, _LIST_NAMED, {"workout_ids": list(workout_ids)})
        return {row.id: row for row in rows}

    async def list_revisions_named(
        self, scope: Scope, revisions: Mapping[UUID, int]
    ) -> dict[UUID, NamedRevision]:
        """Returns those of the workouts that exist and are not deleted, each with the revision that
        is asked for; 0 is the current one."""
        parameters = {"workout_ids": list(revisions), "revisions": list(revisions.values())}
        rows = await self._database.read(scope, _NAMED_REVISIONS, parameters)
        return {row.workout_id: row for row in rows}

    async def list_page(
        self, scope: Scope, filters: WorkoutFilter, before_id: UUID | None, limit: int
    ) -> list[StoredWorkout]:
        """Returns up to `limit` workouts, newest first, older than `before_id`."""
        given = {
            "show_deleted": None if filters.show_deleted else False,
            "exercise_id": filters.exercise_id,
            "query": filters.query.lower() or None,
            "before_id": before_id,
        }
        parameters = {name: value for name, value in given.items() if value is not None}
        statement = _list(frozenset(parameters))
        return await self._database.read(scope, statement, {**parameters, "limit": limit})

    async def list_revisions(
        self, scope: Scope, workout_id: UUID, before_revision: int, limit: int
    ) -> list[StoredRevision]:
        """Returns up to `limit` revisions of a workout, newest first, below `before_revision`."""
        parameters = {
            "workout_id": workout_id,
            "before_revision": before_revision,
            "limit": limit,
        }
        return await self._database.read(scope, _LIST_REVISIONS, parameters)

    @asynccontextmanager
    async def change(self, scope: Scope) -> AsyncIterator["WorkoutChange"]:
        """Opens a change of an athlete's workouts."""
        async with self._database.transaction(scope) as transaction:
            yield WorkoutChange(transaction, scope)


class WorkoutChange(AthleteChange):
    """One transaction that changes an athlete's workouts."""

    def __init__(self, transaction: Transaction, scope: Scope) -> None:
        super().__init__(transaction)
        self._scope = scope

    async def lock(self, workout_id: UUID) -> StoredWorkout | None:
        """Returns a workout, and keeps others from changing it until the end."""
        # Two statements: one that waits for a lock joins it with rows as they were before the wait.
        await self._transaction.execute(_LOCK, {"workout_id": workout_id})
        return await self._transaction.fetch_first(_GET, {"workout_id": workout_id})

    async def get_revision(self, workout_id: UUID, revision: int) -> StoredRevision | None:
        """Returns one revision of a workout."""
        parameters = {"workout_id": workout_id, "revision": revision}
        return await self._transaction.fetch_first(_GET_REVISION, parameters)

    async def exercise_ids(self, workout_id: UUID) -> set[UUID]:
        """Returns the exercises of the current revision."""
        return set(await self._transaction.fetch(_EXERCISES, {"workout_id": workout_id}))

    async def insert(self, new: NewRevision) -> None:
        """Stores a new workout with its first revision.

        The transaction ends with QUOTA_EXCEEDED when there are too many.
        """
        self._transaction.added.add(Quota.WORKOUTS)
        head = {
            "id": new.workout_id,
            "display_name": new.display_name,
            "revision": new.revision,
            "version": 1,
            "created_at": new.created_at,
            "updated_at": new.created_at,
        }
        await self._transaction.execute(_INSERT_HEAD, head)
        await self._insert_revision(new)
        await self._insert_exercises(new)

    async def add_revision(self, head: WorkoutHead, new: NewRevision) -> None:
        """Stores a new revision and makes it current."""
        await self._insert_revision(new)
        await self._update_head(head, new, new.created_at, deleted_at=None)
        await self._transaction.execute(_DELETE_EXERCISES, {"workout_id": head.id})
        await self._insert_exercises(new)

    async def delete(self, head: StoredWorkout, current: NewRevision, now: datetime) -> None:
        """Marks a workout as deleted, and drops the rows that list its exercises."""
        await self._update_head(head, current, now, deleted_at=now)
        await self._transaction.execute(_DELETE_EXERCISES, {"workout_id": head.id})

    async def undelete(self, head: StoredWorkout, current: NewRevision, now: datetime) -> None:
        """Undoes `delete`; see `insert`."""
        self._transaction.added.add(Quota.WORKOUTS)
        await self._update_head(head, current, now, deleted_at=None)
        await self._insert_exercises(current)

    async def _insert_revision(self, new: NewRevision) -> None:
        revision = {
            "workout_id": new.workout_id,
            "revision": new.revision,
            "created_at": new.created_at,
            "record": new.record,
        }
        await self._transaction.execute(_INSERT_REVISION, revision)

    async def _insert_exercises(self, new: NewRevision) -> None:
        rows = exercise_rows(self._scope.external_user_id, new.workout_id, new.exercises)
        await self._transaction.insert(workout_exercises, rows)

    async def _update_head(
        self, head: WorkoutHead, new: NewRevision, now: datetime, deleted_at: datetime | None
    ) -> None:
        values = {
            "workout_id": head.id,
            "display_name": new.display_name,
            "revision": new.revision,
            "version": head.version + 1,
            "updated_at": now,
            "deleted_at": deleted_at,
        }
        await self._transaction.execute(_UPDATE_HEAD, values)
