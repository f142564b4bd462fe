"""Reckoning derived numbers anew."""

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Boolean, ColumnElement, Integer, any_, bindparam, exists, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from training_service.caller import Scope
from training_service.domain.metrics import FORMULA_VERSION
from training_service.storage import metrics
from training_service.storage.archive import RECORD, Archive
from training_service.storage.database import Database
from training_service.storage.metrics import MeasuredSession
from training_service.storage.statements import own, parameter, prepare
from training_service.storage.tables import session_metrics, session_retractions, sessions

BATCH = 200
"""Sessions of one transaction of a rebuild: what holds up a write of the athlete meanwhile."""

_IS_CURRENT = ~exists().where(
    session_retractions.c.external_user_id == sessions.c.external_user_id,
    session_retractions.c.session_id == sessions.c.id,
)


def _is_wanted(*of_metrics: ColumnElement[bool]) -> ColumnElement[bool]:
    """Returns the condition that a session counts and has no metrics of the newest formula, unless
    all are wanted. What is said of the metrics beside that only helps to find them."""
    has_newest = exists().where(
        session_metrics.c.external_user_id == sessions.c.external_user_id,
        session_metrics.c.local_date == sessions.c.local_date,
        session_metrics.c.session_id == sessions.c.id,
        session_metrics.c.formula_version >= FORMULA_VERSION,
        *of_metrics,
    )
    return _IS_CURRENT & (~has_newest | bindparam("everything", type_=Boolean))


_WANTED = _is_wanted()
_COUNT = prepare(select(func.count()).select_from(sessions).where(_WANTED), int)
_ATHLETES = prepare(
    select(sessions.c.external_user_id).where(_WANTED).distinct().order_by("external_user_id"),
    lambda external_user_id: external_user_id,
)
# Holds off who would retract them: a retraction refers to its session. That the metrics are the
# athlete's is said once more, for a distributed database does not see it within an OR.
_LOCK = prepare(
    select(sessions.c.id)
    .where(
        own(sessions),
        sessions.c.id > parameter("after_id", sessions.c.id),
        _is_wanted(own(session_metrics)),
    )
    .order_by(sessions.c.id)
    .limit(bindparam("limit", type_=Integer))
    .with_for_update(),
    lambda id: id,
)
_LOCKED = sessions.c.id == any_(bindparam("session_ids", type_=ARRAY(Uuid)))


class Record(NamedTuple):
    """A session that counts, as it was acknowledged."""

    id: UUID
    local_date: date
    started_at: datetime
    workout_id: UUID | None
    duration_seconds: int | None
    record: bytes


_COLUMNS = [sessions.c[name] for name in Record._fields if name != "record"]
_RECORDS = prepare(
    select(*_COLUMNS, RECORD).where(own(sessions), _LOCKED, _IS_CURRENT).order_by(sessions.c.id),
    Record,
)

Measure = Callable[[Record], Awaitable[MeasuredSession]]


class Rebuild:
    """Reckons metrics and records anew, of sessions without metrics of the newest formula or, with
    `everything`, of all. Of all athletes, so it needs the schema's owner."""

    def __init__(self, database: Database, archive: Archive, *, everything: bool) -> None:
        self._database = database
        self._archive = archive
        self._parameters = {"everything": everything}

    async def count(self) -> int:
        """Returns how many sessions there are to do."""
        [count] = await self._database.read_shared(_COUNT, self._parameters)
        return count

    async def athletes(self) -> list[UUID]:
        """Returns whose sessions they are."""
        return await self._database.read_shared(_ATHLETES, self._parameters)

    async def batch(self, scope: Scope, after_id: UUID, measure: Measure) -> list[UUID]:
        """Does the next sessions after an id in one transaction; returns their ids."""
        async with self._database.transaction(scope) as transaction:
            parameters = {**self._parameters, "after_id": after_id, "limit": BATCH}
            ids = await transaction.fetch(_LOCK, parameters)
            if not ids:
                return ids
            # A statement of its own: only now can it be told which of them still count.
            found = await transaction.fetch(_RECORDS, {"session_ids": ids})
            records = await self._archive.rows_by(transaction.fetch, found)
            await metrics.take(transaction, ids)
            measured = [await measure(record) for record in records]
            await metrics.add(transaction, scope.external_user_id, measured)
        return ids
