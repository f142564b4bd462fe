"""Records of accesses to others' data and by administrators: added here, read by the owner."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, func, insert, select

from training_service.settings import Settings
from training_service.storage.database import Database
from training_service.storage.statements import (
    Statement,
    newest_first,
    parameter,
    prepare,
    prepare_command,
)
from training_service.storage.tables import audit_records

_OF = audit_records.c


class AuditRecord(NamedTuple):
    """One access, as it is stored; users stand in it by their pseudonyms."""

    id: UUID
    recorded_at: datetime
    request_id: str
    method: str
    status: str
    reason: str
    duration_ms: float
    caller: str
    caller_roles: Sequence[str]
    subject: str | None
    grant_id: UUID | None


class AuditFilter(NamedTuple):
    """Which records are meant: those that are like whatever is given."""

    method: str | None = None
    """The RPC's whole path, or how it ends."""
    caller: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """The end, itself not among them."""


_INSERT = prepare_command(
    insert(audit_records).values({c.name: parameter(c.name, c) for c in audit_records.c})
)
_REMOVED = (
    delete(audit_records)
    .where(_OF.recorded_at < parameter("until", _OF.recorded_at))
    .returning(_OF.id)
    .cte("removed")
)
_PRUNE = prepare(select(func.count()).select_from(_REMOVED), int)
_CONDITIONS = {
    # Not by LIKE: a name may have an underscore.
    "method": func.right(_OF.method, func.length(parameter("method", _OF.method)))
    == parameter("method", _OF.method),
    "caller": _OF.caller == parameter("caller", _OF.caller),
    "subject": _OF.subject == parameter("subject", _OF.subject),
    "since": _OF.recorded_at >= parameter("since", _OF.recorded_at),
    "until": _OF.recorded_at < parameter("until", _OF.recorded_at),
}


@cache
def _list(names: tuple[str, ...]) -> Statement[AuditRecord]:
    """Returns the listing, the newest first, by the filters of these names."""
    conditions = (_CONDITIONS[name] for name in names)
    listed = select(*(_OF[name] for name in AuditRecord._fields)).where(*conditions)
    return newest_first(listed, _OF.id, AuditRecord, continued=False)


class AuditRepository:
    """Adds records; it can neither read nor change them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, record: AuditRecord) -> None:
        """Stores a record. Raises TrainingError when the database does not answer."""
        async with self._database.transaction(None) as transaction:
            await transaction.execute(_INSERT, record._asdict())


async def read_records(
    settings: Settings, url: str, wanted: AuditFilter, limit: int
) -> list[AuditRecord]:
    """Returns up to `limit` records, the newest first. Must run as the owner of the schema."""
    given = {name: value for name, value in wanted._asdict().items() if value is not None}
    async with Database(settings, url) as database, database.job() as transaction:
        return await transaction.fetch(_list(tuple(given)), {**given, "limit": limit})


async def prune_records(settings: Settings, url: str, until: datetime) -> int:
    """Removes the records made before a time; returns how many. Must run as the owner of the
    schema."""
    async with Database(settings, url) as database, database.job() as transaction:
        [count] = await transaction.fetch(_PRUNE, {"until": until})
        return count


async def read_pseudonym_key(settings: Settings, url: str) -> bytes:
    """Returns the installation's key, for who looks for a user's records."""
    async with Database(settings, url) as database:
        return await database.pseudonym_key()
