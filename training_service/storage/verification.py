"""Reads what is compared with one another, athlete by athlete, in one moment of each."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Integer, Table, any_, bindparam, exists, func, select, union
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from training_service.caller import Scope
from training_service.storage.archive import RECORD, Archive
from training_service.storage.database import Database, Transaction
from training_service.storage.personal_record import EXPECTED_RECORDS, STORED_RECORDS
from training_service.storage.session_link import CHAIN, LINKS
from training_service.storage.statements import Statement, own, parameter, prepare, written
from training_service.storage.tables import (
    exercise_metrics,
    session_exercises,
    session_links,
    session_metrics,
    session_retractions,
    sessions,
    workout_exercises,
    workout_revisions,
    workouts,
)

BATCH = 200
"""Sessions that are looked at together."""

_IDS = any_(bindparam("ids", type_=ARRAY(Uuid)))
_IS_CURRENT = ~exists().where(
    session_retractions.c.external_user_id == sessions.c.external_user_id,
    session_retractions.c.session_id == sessions.c.id,
)


class SessionFacts(NamedTuple):
    """A session as its columns say; `record` is as it was acknowledged."""

    id: UUID
    started_at: datetime
    time_zone: str
    local_date: date
    duration_seconds: int | None
    session_rpe: float | None
    body_mass_kg: float | None
    completion: str
    group_external_id: str
    workout_id: UUID | None
    workout_revision: int | None
    supersedes_id: UUID | None
    created_at: datetime
    archive_object_id: UUID | None
    is_current: bool
    record: bytes


_COLUMNS = [
    sessions.c[name] for name in SessionFacts._fields if name not in ("is_current", "record")
]
_SESSIONS = prepare(
    select(*_COLUMNS, _IS_CURRENT, RECORD)
    .where(own(sessions), sessions.c.id > parameter("after_id", sessions.c.id))
    .order_by(sessions.c.id)
    .limit(bindparam("limit", type_=Integer)),
    SessionFacts,
)


def _rows(table: Table, id_name: str, order: Sequence[str]) -> Statement[dict[str, Any]]:
    names = [c.name for c in written(table)]
    return prepare(
        select(*(table.c[name] for name in names))
        .where(own(table), table.c[id_name] == _IDS)
        .order_by(*(table.c[name] for name in order)),
        lambda *values: dict(zip(names, values, strict=True)),
    )


CHILD_ROWS = {
    table.name: _rows(table, id_name, order)
    for table, id_name, order in (
        (session_exercises, "session_id", ("session_id", "position")),
        (session_metrics, "session_id", ("session_id",)),
        (exercise_metrics, "session_id", ("session_id", "position")),
    )
}
"""Of some sessions, by table."""


class WorkoutFacts(NamedTuple):
    """The current revision of a workout."""

    id: UUID
    revision: int
    display_name: str
    is_deleted: bool
    record: bytes | None
    """None when the revision is missing."""


_WORKOUTS = prepare(
    select(
        workouts.c.id,
        workouts.c.revision,
        workouts.c.display_name,
        workouts.c.deleted_at.is_not(None),
        workout_revisions.c.record,
    )
    .outerjoin(
        workout_revisions,
        (workout_revisions.c.external_user_id == workouts.c.external_user_id)
        & (workout_revisions.c.workout_id == workouts.c.id)
        & (workout_revisions.c.revision == workouts.c.revision),
    )
    .where(own(workouts))
    .order_by(workouts.c.id),
    WorkoutFacts,
)
_WORKOUT_EXERCISES = _rows(workout_exercises, "workout_id", ("workout_id", "position"))
_ANYBODY = union(
    select(sessions.c.external_user_id),
    select(session_links.c.external_user_id),
    select(workouts.c.external_user_id),
).subquery("anybody")
_ATHLETES = prepare(
    select(_ANYBODY.c.external_user_id).order_by("external_user_id"), lambda user_id: user_id
)
_SAMPLE = prepare(
    select(_ANYBODY.c.external_user_id)
    .order_by(func.random())
    .limit(bindparam("limit", type_=Integer)),
    lambda user_id: user_id,
)


class Snapshot:
    """All of one athlete, as it is at one moment."""

    def __init__(self, transaction: Transaction, archive: Archive) -> None:
        self._transaction = transaction
        self._archive = archive

    async def batches(self, unreadable: frozenset[UUID]) -> AsyncIterator[Sequence[SessionFacts]]:
        """Yields the sessions, some at a time. Those in archive objects that can't be read have no
        record: it is empty."""
        after = UUID(int=0)
        while found := await self._transaction.fetch(
            _SESSIONS, {"after_id": after, "limit": BATCH}
        ):
            after = found[-1].id
            blind = [
                one._replace(record=b"") if one.archive_object_id in unreadable else one
                for one in found
            ]
            yield await self._archive.rows_by(self._transaction.fetch, blind)

    async def children(
        self, ids: Sequence[UUID]
    ) -> Mapping[str, Mapping[UUID, list[dict[str, Any]]]]:
        """Returns the rows that belong to sessions, by table and session."""
        return {
            table: _grouped(await self._transaction.fetch(query, {"ids": ids}), "session_id")
            for table, query in CHILD_ROWS.items()
        }

    async def workouts(
        self,
    ) -> tuple[Sequence[WorkoutFacts], Mapping[UUID, list[dict[str, Any]]]]:
        """Returns the workouts, and the rows of their exercises."""
        found = await self._transaction.fetch(_WORKOUTS, {})
        rows = await self._transaction.fetch(_WORKOUT_EXERCISES, {"ids": [one.id for one in found]})
        return found, _grouped(rows, "workout_id")

    async def chain(self) -> tuple[list[Any], list[Any]]:
        """Returns the links in their order, and where the chain ends: one row or none."""
        links, ends = await self._transaction.fetch_all([LINKS, CHAIN], {})
        return links, ends

    async def personal_records(self) -> tuple[set[Any], set[Any]]:
        """Returns those that are stored, and those that there should be."""
        stored, expected = await self._transaction.fetch_all([STORED_RECORDS, EXPECTED_RECORDS], {})
        return set(stored), set(expected)


def _grouped(rows: Sequence[dict[str, Any]], name: str) -> dict[UUID, list[dict[str, Any]]]:
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return found


class VerificationRepository:
    """Reads all athletes, so it needs the schema's owner. It writes nothing."""

    def __init__(self, database: Database, archive: Archive) -> None:
        self._database = database
        self._archive = archive

    async def athletes(self, sample: int | None) -> list[UUID]:
        """Returns whose data there are: of all, or of some by chance."""
        if sample is None:
            return await self._database.read_shared(_ATHLETES, {})
        return await self._database.read_shared(_SAMPLE, {"limit": sample})

    @asynccontextmanager
    async def snapshot(self, user_id: UUID) -> AsyncIterator[Snapshot]:
        """Opens all of an athlete, as it is at one moment."""
        async with self._database.snapshot(Scope(user_id)) as transaction:
            yield Snapshot(transaction, self._archive)
