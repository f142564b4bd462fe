"""Records of sessions that may be in the archive: where they are, and how they get into answers.

A session in the archive has no record in its row but a reference to an object. A query says instead
of the record where it is: after a byte that no message begins with, the athlete, the object and the
session. `Archive` puts the records in the place of such locators, before anything reads them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Self, TypeVar
from uuid import UUID

import structlog
from cachetools import TTLCache
from sqlalchemy import (
    ColumnElement,
    LargeBinary,
    Table,
    any_,
    bindparam,
    case,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from training_service.archive.content import decode
from training_service.archive.store import ObjectStore, archive_unavailable
from training_service.caller import Scope
from training_service.storage.database import Database, Parameters
from training_service.storage.statements import Statement, own, prepare
from training_service.storage.tables import archive_objects, sessions

logger = structlog.get_logger(__name__)

CACHE_BYTES = 32 * 1024 * 1024
"""How much of records a worker remembers."""
CACHE_SECONDS = 600
"""How long: what is erased is found by nobody, and is gone from memory after it."""
ENTRY_BYTES = 200
"""What remembering a record takes beside its bytes."""
FETCHES_AT_ONCE = 8

MARK = b"\x00"
"""What locators begin with. A message begins with the number of a field, which is never 0."""
ID_BYTES = 16
LOCATOR_BYTES = len(MARK) + 3 * ID_BYTES


def _locator() -> ColumnElement[bytes]:
    mark: ColumnElement[bytes] = literal_column(f"'\\x{MARK.hex()}'::bytea", LargeBinary)
    ids = (sessions.c.external_user_id, sessions.c.archive_object_id, sessions.c.id)
    for id in ids:
        mark = mark.concat(func.uuid_send(id, type_=LargeBinary))
    return mark


RECORD: ColumnElement[bytes] = case(
    (sessions.c.archive_object_id.is_(None), sessions.c.record), else_=_locator()
).label("record")
"""The record of a session, or its locator."""


class Locator(NamedTuple):
    """Where the record of a session is."""

    external_user_id: UUID
    object_id: UUID
    session_id: UUID
    rest: bytes
    """What was appended to the record."""

    @classmethod
    def of(cls, record: bytes) -> Self:
        """Reads what a query said instead of a record."""
        starts = range(len(MARK), LOCATOR_BYTES, ID_BYTES)
        user_id, object_id, session_id = (
            UUID(bytes=record[start : start + ID_BYTES]) for start in starts
        )
        return cls(user_id, object_id, session_id, record[LOCATOR_BYTES:])


def is_locator(record: bytes | None) -> bool:
    """Returns whether a query said where the record is instead of what it is."""
    return record is not None and record[:1] == MARK


class ArchivedObject(NamedTuple):
    """An object as its row says."""

    external_user_id: UUID
    id: UUID
    key: str
    sha256: bytes


def _ids(name: str) -> ColumnElement[Any]:
    return any_(bindparam(name, type_=ARRAY(Uuid)))


_OBJECT = (
    archive_objects.c.external_user_id,
    archive_objects.c.id,
    archive_objects.c.key,
    archive_objects.c.sha256,
)
_AGAIN = (sessions.c.id, RECORD)


class _Queries(NamedTuple):
    """What is asked of objects and sessions."""

    objects: Statement[ArchivedObject]
    again: Statement[tuple[UUID, bytes]]


def _queries(condition: Callable[[Table], ColumnElement[bool]]) -> _Queries:
    return _Queries(
        prepare(
            select(*_OBJECT).where(
                condition(archive_objects), archive_objects.c.id == _ids("object_ids")
            ),
            ArchivedObject,
        ),
        prepare(
            select(*_AGAIN).where(condition(sessions), sessions.c.id == _ids("session_ids")),
            lambda id, record: (id, record),
        ),
    )


_OF_ONE = _queries(own)
_OF_MANY = _queries(lambda table: table.c.external_user_id == _ids("external_user_ids"))

Fetch = Callable[[Statement[Any], Parameters], Awaitable[list[Any]]]
"""Runs a query for the athlete whose records they are, or of all athletes."""


Row = TypeVar("Row")
"""A named tuple with a field `record`."""
Records = Mapping[UUID, bytes]


class Archive:
    """Puts records from the archive where queries said where they are.

    Raises ARCHIVE_UNAVAILABLE when the store does not answer, and DamagedObjectError for an object
    that is not what was stored. Where there are no locators, it does nothing.
    """

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store
        self._fetching = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._remembered: TTLCache[UUID, Records] = TTLCache(
            CACHE_BYTES, CACHE_SECONDS, getsizeof=_size
        )

    async def records(self, scope: Scope, found: Sequence[bytes]) -> list[bytes]:
        """Returns records of an athlete, each in its place."""
        return await self._filled(found, partial(self._database.read, scope), _OF_ONE)

    async def rows(self, scope: Scope, found: Sequence[Row]) -> list[Row]:
        """Returns rows of an athlete with their records."""
        return await self.rows_by(partial(self._database.read, scope), found)

    async def rows_by(self, fetch: Fetch, found: Sequence[Row]) -> list[Row]:
        """The same, in a transaction of the athlete that is under way."""
        return await self._filled_rows(found, fetch, _OF_ONE)

    async def rows_of_many(self, fetch: Fetch, found: Sequence[Row]) -> list[Row]:
        """Returns rows of many athletes with their records, in a transaction that is under way and
        sees all of them."""
        return await self._filled_rows(found, fetch, _OF_MANY)

    async def _filled_rows(
        self, found: Sequence[Any], fetch: Fetch, queries: _Queries
    ) -> list[Any]:
        cold = [row for row in found if is_locator(row.record)]
        if not cold:
            return list(found)
        filled = iter(await self._filled([row.record for row in cold], fetch, queries))
        return [
            row._replace(record=next(filled)) if is_locator(row.record) else row for row in found
        ]

    async def _filled(self, found: Sequence[bytes], fetch: Fetch, queries: _Queries) -> list[bytes]:
        records = list(found)
        for attempt in range(2):
            cold = {n: Locator.of(one) for n, one in enumerate(records) if is_locator(one)}
            if not cold:
                break
            if attempt:
                # They came back, or moved, after they were looked up.
                await self._look_again(records, cold, fetch, queries)
                cold = {n: Locator.of(one) for n, one in enumerate(records) if is_locator(one)}
            objects = await self._objects(cold.values(), fetch, queries)
            for n, locator in cold.items():
                record = objects.get(locator.object_id, {}).get(locator.session_id)
                if record is not None:
                    records[n] = record + locator.rest
        missing = {Locator.of(one).object_id for one in records if is_locator(one)}
        if missing:
            logger.error("archived objects are missing", object_ids=[str(id) for id in missing])
            raise archive_unavailable()
        return records

    async def _look_again(
        self, records: list[bytes], cold: Mapping[int, Locator], fetch: Fetch, queries: _Queries
    ) -> None:
        asked = {
            "external_user_ids": list({one.external_user_id for one in cold.values()}),
            "session_ids": [one.session_id for one in cold.values()],
        }
        again = dict(await fetch(queries.again, asked))
        for n, locator in cold.items():
            if locator.session_id in again:
                records[n] = again[locator.session_id] + locator.rest

    async def _objects(
        self, locators: Iterable[Locator], fetch: Fetch, queries: _Queries
    ) -> Mapping[UUID, Records]:
        """Returns the records of each of the objects that is there."""
        wanted = {one.object_id: one.external_user_id for one in locators}
        found: dict[UUID, Records] = {}
        for id in wanted:
            if (remembered := self._remembered.get(id)) is not None:
                found[id] = remembered
        lacking = [id for id in wanted if id not in found]
        if lacking:
            asked = {
                "external_user_ids": list({wanted[id] for id in lacking}),
                "object_ids": lacking,
            }
            rows = await fetch(queries.objects, asked)
            read = await asyncio.gather(*(self._read(row) for row in rows))
            found |= {row.id: records for row, records in zip(rows, read, strict=True)}
        return found

    async def _read(self, row: ArchivedObject) -> Records:
        async with self._fetching:
            if (remembered := self._remembered.get(row.id)) is not None:
                return remembered
            data = await self._store.get(row.key)
            if data is None:
                return {}
            records = await asyncio.to_thread(
                decode, row.external_user_id, row.key, data, row.sha256
            )
            if _size(records) <= CACHE_BYTES:
                self._remembered[row.id] = records
            return records


def _size(records: Records) -> int:
    return sum(len(record) + ENTRY_BYTES for record in records.values())
