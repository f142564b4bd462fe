"""What readiness is reckoned from, as it stood on a day."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Date, Integer, any_, bindparam, func, select

from training_service.caller import Scope
from training_service.domain.load import CHRONIC_DAYS, LoadHistory, LoadUnit
from training_service.domain.readiness import HISTORY_DAYS
from training_service.storage.archive import RECORD, Archive
from training_service.storage.load import LoadRepository
from training_service.storage.statements import own, prepare
from training_service.storage.tables import session_metrics, sessions
from training_service.storage.wellness import CURRENT_WELLNESS, StoredWellness

MAX_SESSIONS = 100
"""Most sessions that are looked at, the latest: about three on each day."""

_DAY = bindparam("local_date", type_=Date)
# By way of session_metrics: it has the sessions that count, by date. As an array: a join may go
# through all of an athlete's sessions for each of these.
_COUNTED = (
    select(session_metrics.c.session_id)
    .where(
        own(session_metrics),
        session_metrics.c.local_date >= bindparam("records_from", type_=Date),
        session_metrics.c.local_date <= _DAY,
    )
    .order_by(session_metrics.c.started_at.desc(), session_metrics.c.session_id.desc())
    .limit(bindparam("limit", type_=Integer))
)
RECORDS = prepare(
    select(RECORD)
    .where(own(sessions), sessions.c.id == any_(func.array(_COUNTED.scalar_subquery())))
    .order_by(sessions.c.started_at.desc(), sessions.c.id.desc()),
    lambda record: record,
)
"""The sessions that count from a day on (`records_from`) until another (`local_date`), the latest
first; of those in the archive their locators."""
LAST_DATE = prepare(
    select(func.max(session_metrics.c.local_date)).where(
        own(session_metrics), session_metrics.c.local_date <= _DAY
    ),
    lambda local_date: local_date,
)
"""The day of the last session until a day (`local_date`)."""


def of_day(day: date) -> dict[str, Any]:
    """Returns the parameters of what is known of sessions and wellness on a day."""
    return {
        "local_date": day,
        "records_from": day - timedelta(days=HISTORY_DAYS - 1),
        "limit": MAX_SESSIONS,
    }


READINESS = (RECORDS, LAST_DATE, CURRENT_WELLNESS)
"""What is read of a day, beside loads."""


class ReadinessInputs(NamedTuple):
    """What is known of an athlete on a day."""

    records: list[bytes]
    """Of the sessions that count of the 35 days that end with it, the latest first."""
    last_date: date | None
    """Of the last session on or before it."""
    wellness: StoredWellness | None
    """Its current entry."""
    loads: LoadHistory
    """Of the days up to it."""

    @classmethod
    def of(cls, rows: Sequence[list[Any]], loads: LoadHistory) -> "ReadinessInputs":
        """Returns what the rows of READINESS say."""
        records, [last_date], entries = rows
        return cls(records, last_date, entries[0] if entries else None, loads)


class ReadinessRepository:
    """Reads what the readiness of one athlete at a time is made of."""

    def __init__(self, loads: LoadRepository, archive: Archive) -> None:
        self._loads = loads
        self._archive = archive

    async def inputs(self, scope: Scope, day: date) -> ReadinessInputs:
        """Returns what is known on a day, in a single round trip."""
        loads, rows = await self._loads.history_with(
            scope,
            LoadUnit.SESSION_RPE,
            day - timedelta(days=CHRONIC_DAYS - 1),
            day,
            READINESS,
            of_day(day),
        )
        records, *others = rows
        return ReadinessInputs.of([await self._archive.records(scope, records), *others], loads)
