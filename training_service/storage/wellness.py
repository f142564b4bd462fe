"""How athletes felt: an entry of a day is never changed, a correction is its next version."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Date, Integer, bindparam, false, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from training_service.caller import Scope
from training_service.domain.wellness import NewWellness, Ratings
from training_service.errors import Reason, TrainingError
from training_service.storage.database import Database
from training_service.storage.idempotency import AthleteChange
from training_service.storage.statements import Statement, own, parameter, prepare, written
from training_service.storage.tables import wellness_entries

LOG_ATTEMPTS = 20
"""How often an entry is tried when other writers store some of its day meanwhile."""


class StoredWellness(NamedTuple):
    """A wellness entry. None is unknown."""

    local_date: date
    version: int
    time_zone: str
    ratings: Ratings
    hrv_ms: float | None
    resting_heart_rate_bpm: float | None
    notes: str
    created_at: datetime
    author_user_id: UUID | None
    is_superseded: bool


def _stored(
    local_date: date,
    version: int,
    time_zone: str,
    sleep: int,
    stress: int,
    fatigue: int,
    soreness: int,
    *rest: Any,
) -> StoredWellness:
    ratings = Ratings(sleep, stress, fatigue, soreness)
    return StoredWellness(local_date, version, time_zone, ratings, *rest)


_OF = wellness_entries.c
_PLACE = (_OF.local_date, _OF.version)
_DAY = parameter("local_date", _OF.local_date)
_VALUES = [column for column in wellness_entries.c if column.name != "external_user_id"]


def _version(version: int) -> int:
    return version


_LATEST_VERSION = prepare(
    select(func.coalesce(func.max(_OF.version), 0)).where(
        own(wellness_entries), _OF.local_date == _DAY
    ),
    _version,
)
_INSERT = prepare(
    insert(wellness_entries)
    .values({column.name: parameter(column.name, column) for column in written(wellness_entries)})
    # Waits for a writer of the same version, and inserts nothing when that one succeeds.
    .on_conflict_do_nothing()
    .returning(*_VALUES, false()),
    _stored,
)
CURRENT_WELLNESS: Statement[StoredWellness] = prepare(
    select(*_VALUES, false())
    .where(own(wellness_entries), _OF.local_date == _DAY)
    .order_by(_OF.version.desc())
    .limit(1),
    _stored,
)
"""The current entry of a day (`local_date`)."""


@cache
def _list(*, show_superseded: bool) -> Statement[StoredWellness]:
    """Returns the entries from one place on up to a day, oldest first."""
    following = func.lead(_OF.version).over(partition_by=_OF.local_date, order_by=_OF.version)
    begin = tuple_(parameter("first", _OF.local_date), parameter("first_version", _OF.version))
    entries = (
        select(*_VALUES, following.is_not(None).label("is_superseded"))
        .where(
            own(wellness_entries),
            tuple_(*_PLACE) >= begin,
            _OF.local_date <= bindparam("last", type_=Date),
        )
        .subquery("entries")
    )
    statement = select(entries).order_by(entries.c.local_date, entries.c.version)
    if not show_superseded:
        statement = statement.where(~entries.c.is_superseded)
    return prepare(statement.limit(bindparam("limit", type_=Integer)), _stored)


WellnessPlace = tuple[date, int]
"""Sort key of a listing: day and version."""


class WellnessRepository:
    """Reads and appends the wellness entries of one athlete at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, scope: Scope, begin: WellnessPlace, last: date, limit: int, *, show_superseded: bool
    ) -> Sequence[StoredWellness]:
        """Returns entries from a place on up to a day, oldest first: the current one of each day,
        or all."""
        first, first_version = begin
        parameters = {"first": first, "first_version": first_version, "last": last, "limit": limit}
        statement = _list(show_superseded=show_superseded)
        return await self._database.read(scope, statement, parameters)

    @asynccontextmanager
    async def change(self, scope: Scope) -> AsyncIterator["WellnessChange"]:
        """Opens a change of an athlete's wellness entries."""
        async with self._database.transaction(scope) as transaction:
            yield WellnessChange(transaction)


class WellnessChange(AthleteChange):
    """One transaction that appends wellness entries."""

    async def append(self, new: NewWellness) -> StoredWellness:
        """Stores an entry as the current one of its day, and returns it.

        Raises CONFLICT when too many others of the day are being stored at the same time.
        """
        values = {
            "local_date": new.local_date,
            "time_zone": new.time_zone,
            **new.ratings._asdict(),
            "hrv_ms": new.hrv_ms,
            "resting_heart_rate_bpm": new.resting_heart_rate_bpm,
            "notes": new.notes,
            "created_at": new.created_at,
        }
        for _ in range(LOG_ATTEMPTS):
            [latest] = await self._transaction.fetch(_LATEST_VERSION, values)
            stored = await self._transaction.fetch_first(_INSERT, {**values, "version": latest + 1})
            if stored is not None:
                return stored
        raise TrainingError(
            Reason.CONFLICT,
            "entries of this day are being stored by other calls",
            retry_after_seconds=0.1,
        )
