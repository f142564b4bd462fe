"""Everything a user has, table by table, as it is at one moment.

What there is to export is found by walking the tables, so that a new one can't be forgotten: a
table is exported when it has a column that says whose its rows are, unless it is left out here by
name.
"""

from collections import namedtuple
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Column, Table, Uuid, bindparam, literal_column, select, tuple_

from training_service.caller import Scope
from training_service.storage.archive import RECORD, Archive
from training_service.storage.database import Transaction
from training_service.storage.erasure import user_columns
from training_service.storage.health import REVISION
from training_service.storage.reads import Reads
from training_service.storage.statements import Statement, parameter, prepare
from training_service.storage.tables import metadata, sessions

PAGE_ROWS = 100
"""How many rows an export holds in memory."""

OWNERS = frozenset({"external_user_id", "member_user_id", "invited_user_id"})
"""Columns that say whose a row is."""
NAMED = frozenset(
    {"author_user_id", "grantee_user_id", "inviter_user_id", "named_user_id", "source_user_id"}
)
"""Columns that name a user in a row that is somebody else's."""

LEFT_OUT: Mapping[str, str] = {
    "archive_objects": "where the service keeps records; the records are in sessions",
    "load_histories": "a lock, with nothing in it",
    "phase_calendars": "a lock, with nothing in it",
    "session_chains": "digests by which the service notices changes",
    "session_links": "digests by which the service notices changes",
    "write_requests": "answers kept for retries; what they tell is in the other tables",
}
"""Tables of users' data that are not exported, with the reason."""

INTERNAL_COLUMNS = frozenset({"archive_object_id", "request_digest", "transaction_id"})
"""How the service finds and compares rows; nothing of the user."""


class Page(NamedTuple):
    """Rows of one table, the next by its primary key."""

    table: str
    rows: list[Mapping[str, Any]]
    """By the names of columns. Records of sessions are those in the archive too."""


class _Exported(NamedTuple):
    """A table with the queries of its first page and of those behind a place."""

    table: str
    first: Statement[Any]
    following: Statement[Any]
    place: tuple[str, ...]


def owner(table: Table) -> Column[Any] | None:
    """Returns the column that says whose the rows of a table are, None when they are nobody's.

    Raises ValueError for a column of users' ids that is not known here.
    """
    columns = user_columns(table)
    unknown = {column.name for column in columns} - OWNERS - NAMED
    if unknown:
        raise ValueError(f"{table.name}: is what {sorted(unknown)} name the user's own?")
    return next((column for column in columns if column.name in OWNERS), None)


def _exported(table: Table, whose: Column[Any]) -> _Exported:
    place = tuple(table.primary_key.columns)
    shown = [column for column in table.c if column.name not in INTERNAL_COLUMNS]
    values = [RECORD if column is sessions.c.record else column for column in shown]
    row = namedtuple(f"{table.name}_row", [column.name for column in shown])  # type: ignore[misc]
    page = (
        select(*values)
        .where(whose == bindparam("external_user_id", type_=Uuid))
        .order_by(*place)
        .limit(literal_column(str(PAGE_ROWS)))
    )
    after = tuple_(*(parameter(f"after_{column.name}", column) for column in place))
    return _Exported(
        table.name,
        prepare(page, row),
        prepare(page.where(tuple_(*place) > after), row),
        tuple(column.name for column in place),
    )


def _tables() -> Iterator[_Exported]:
    for table in metadata.sorted_tables:
        whose = owner(table)
        if whose is not None and table.name not in LEFT_OUT:
            yield _exported(table, whose)


EXPORTED = tuple(_tables())


class UserExportRepository:
    """Reads everything a user has."""

    def __init__(self, database: Reads, archive: Archive) -> None:
        self._database = database
        self._archive = archive

    async def export(self, scope: Scope) -> AsyncGenerator[str | Page]:
        """Yields the schema's revision, and then the rows of each table in pages, one at least; all
        as they are at one moment.

        Holds a connection until it is closed: close it (`contextlib.aclosing`).
        """
        async with self._database.snapshot(scope) as transaction:
            [revision] = await transaction.fetch(REVISION, {})
            yield revision
            for exported in EXPORTED:
                rows = await self._page(transaction, exported.first, {})
                yield Page(exported.table, [row._asdict() for row in rows])
                while len(rows) == PAGE_ROWS:
                    after = {f"after_{name}": getattr(rows[-1], name) for name in exported.place}
                    rows = await self._page(transaction, exported.following, after)
                    yield Page(exported.table, [row._asdict() for row in rows])

    async def _page(
        self, transaction: Transaction, statement: Statement[Any], after: Mapping[str, Any]
    ) -> list[Any]:
        rows = await transaction.fetch(statement, after)
        if rows and hasattr(rows[0], "record"):
            return await self._archive.rows_by(transaction.fetch, rows)
        return rows
