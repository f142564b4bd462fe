"""What readiness is reckoned from, as it stood on a day."""

from datetime import date, timedelta
from typing import NamedTuple

from sqlalchemy import Date, Integer, bindparam, func, select

from training_service.caller import Scope
from training_service.domain.readiness import HISTORY_DAYS
from training_service.storage.database import Database
from training_service.storage.statements import own, prepare
from training_service.storage.tables import session_metrics, sessions
from training_service.storage.wellness import CURRENT_WELLNESS, StoredWellness

MAX_SESSIONS = 100
"""Most sessions that are looked at, the latest: about three on each day."""

_DAY = bindparam("local_date", type_=Date)
# By way of session_metrics: it has the sessions that count, by date.
_RECORDS = prepare(
    select(sessions.c.record)
    .join(
        session_metrics,
        (session_metrics.c.external_user_id == sessions.c.external_user_id)
        & (session_metrics.c.session_id == sessions.c.id),
    )
    .where(
        own(sessions),
        own(session_metrics),
        session_metrics.c.local_date >= bindparam("first", type_=Date),
        session_metrics.c.local_date <= _DAY,
    )
    .order_by(session_metrics.c.started_at.desc(), session_metrics.c.session_id.desc())
    .limit(bindparam("limit", type_=Integer)),
    lambda record: record,
)
_LAST_DATE = prepare(
    select(func.max(session_metrics.c.local_date)).where(
        own(session_metrics), session_metrics.c.local_date <= _DAY
    ),
    lambda local_date: local_date,
)


class ReadinessInputs(NamedTuple):
    """What is known of an athlete on a day, loads apart."""

    records: list[bytes]
    """Of the sessions that count of the 35 days that end with it, the latest first."""
    last_date: date | None
    """Of the last session on or before it."""
    wellness: StoredWellness | None
    """Its current entry."""


class ReadinessRepository:
    """Reads what the readiness of one athlete at a time is made of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def inputs(self, scope: Scope, day: date) -> ReadinessInputs:
        """Returns what is known on a day, in a single round trip."""
        statements = (_RECORDS, _LAST_DATE, CURRENT_WELLNESS)
        parameters = {
            "local_date": day,
            "first": day - timedelta(days=HISTORY_DAYS - 1),
            "limit": MAX_SESSIONS,
        }
        records, [last_date], entries = await self._database.read_all(scope, statements, parameters)
        return ReadinessInputs(records, last_date, entries[0] if entries else None)
