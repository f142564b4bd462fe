"""The sessions that a forecast is made from."""

from datetime import date

from sqlalchemy import Date, Integer, bindparam

from training_service.caller import Scope
from training_service.storage.archive import Archive
from training_service.storage.database import Database
from training_service.storage.session import COUNTED_RECORDS
from training_service.storage.statements import prepare
from training_service.storage.tables import session_metrics

MAX_SESSIONS = 100
"""Most sessions that are looked at, the latest: half a year of four a week."""

_RECORDS = prepare(
    COUNTED_RECORDS.where(session_metrics.c.local_date <= bindparam("local_date", type_=Date))
    .order_by(session_metrics.c.started_at.desc(), session_metrics.c.session_id.desc())
    .limit(bindparam("limit", type_=Integer)),
    lambda record: record,
)


class PredictionRepository:
    """Reads what a forecast for one athlete at a time is made from."""

    def __init__(self, database: Database, archive: Archive) -> None:
        self._database = database
        self._archive = archive

    async def records(self, scope: Scope, day: date) -> list[bytes]:
        """Returns the latest sessions that count up to a day, the oldest first."""
        found = await self._database.read(
            scope, _RECORDS, {"local_date": day, "limit": MAX_SESSIONS}
        )
        return (await self._archive.records(scope, found))[::-1]
