"""Moving records into the archive and back, looking after what is there, removing an athlete's.

Each of these is a transaction that begins with a lock on the athlete's prefix in the store, so that
of one athlete there is one at a time. A process that is killed loses its lock with its connection,
and what it had not committed; what it leaves in the store is an object without a row, which the
next one removes. An object has a row before any record leaves the database, and has none any more
before it is deleted.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

import uuid6
from sqlalchemy import (
    Column,
    FromClause,
    Integer,
    LargeBinary,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    column,
    delete,
    func,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from training_service.archive.content import (
    ArchivedRecord,
    DamagedObjectError,
    decode,
    encode,
    sha256_of,
)
from training_service.archive.store import ObjectStore, open_store
from training_service.errors import Reason, TrainingError, unless_erased
from training_service.failpoint import reach
from training_service.pseudonym import Pseudonyms
from training_service.settings import Settings
from training_service.storage.database import Database, Transaction
from training_service.storage.statements import Statement, own, parameter, prepare, prepare_command
from training_service.storage.tables import archive_objects, sessions

OBJECT_SESSIONS = 500
"""Most sessions of an object: two to three years of training."""
OBJECT_RECORD_BYTES = 8_000_000
"""About how many bytes of records an object has at most: what reading one of them may cost."""
KEYS_AT_ONCE = 1000

_KEY = re.compile(r"([0-9a-f]{32})/[0-9a-f-]{36}\.parquet(#\d+)?")


class AthletePlan(NamedTuple):
    """What of an athlete is to be moved."""

    external_user_id: UUID
    session_count: int
    record_bytes: int


class _Object(NamedTuple):
    external_user_id: UUID
    id: UUID
    key: str
    sha256: bytes
    session_count: int
    byte_count: int


class Checksum(NamedTuple):
    """An object's checksum as it should be, and as it is; None for an object that is missing."""

    key: str
    expected_sha256: bytes
    found_sha256: bytes | None


@dataclass(slots=True)
class Summary:
    """What a run did, or would do."""

    sessions: int = 0
    objects: int = 0
    record_bytes: int = 0
    """Of the sessions."""
    object_bytes: int = 0
    orphans: int = 0
    """Objects without a row that were removed."""


_IS_HOT = sessions.c.record.is_not(None)
_BYTES = func.octet_length(sessions.c.record, type_=Integer)
_BEFORE = parameter("before", sessions.c.started_at)
_OBJECT_ID = parameter("object_id", archive_objects.c.id)
_LOCK = prepare_command(
    select(
        func.pg_advisory_xact_lock(
            func.hashtextextended(bindparam("prefix", type_=Text), literal_column("0"))
        )
    )
)


def _plan(*, of_one: bool) -> Statement[AthletePlan]:
    statement = (
        select(sessions.c.external_user_id, func.count(), func.sum(_BYTES))
        .where(_IS_HOT, sessions.c.started_at < _BEFORE)
        .group_by(sessions.c.external_user_id)
        .order_by(sessions.c.external_user_id)
    )
    return prepare(statement.where(own(sessions)) if of_one else statement, AthletePlan)


_PLAN, _PLAN_OF_ONE = _plan(of_one=False), _plan(of_one=True)


def _next_records() -> Statement[ArchivedRecord]:
    """Returns the oldest sessions of an athlete that have their record, as many as an object
    takes."""
    place = (sessions.c.started_at, sessions.c.id)
    oldest = (
        select(*place, sessions.c.record, _BYTES.label("size"))
        .where(own(sessions), _IS_HOT, sessions.c.started_at < _BEFORE)
        .order_by(*place)
        .limit(literal_column(str(OBJECT_SESSIONS)))
        .subquery("oldest")
    )
    of = oldest.c
    until = func.sum(of.size).over(order_by=(of.started_at, of.id))
    measured = select(of.id, of.started_at, of.record, (until - of.size).label("before")).subquery(
        "measured"
    )
    return prepare(
        select(measured.c.id, measured.c.started_at, measured.c.record)
        .where(measured.c.before < literal_column(str(OBJECT_RECORD_BYTES)))
        .order_by(measured.c.started_at, measured.c.id),
        ArchivedRecord,
    )


_NEXT_RECORDS = _next_records()


def _given(**columns: Any) -> FromClause:
    """Returns rows that are given as an array for each column, called by its name with an "s"."""
    arrays = (bindparam(f"{name}s", type_=ARRAY(of)) for name, of in columns.items())
    named: list[Column[Any]] = [column(name, of) for name, of in columns.items()]  # type: ignore[misc]
    return func.unnest(*arrays).table_valued(*named).render_derived("given")


def _take() -> Statement[UUID]:
    """Returns that records leave which are still what was copied."""
    given = _given(session_id=Uuid(), record_sha256=LargeBinary())
    return prepare(
        update(sessions)
        .where(
            own(sessions),
            sessions.c.id == given.c.session_id,
            func.sha256(sessions.c.record) == given.c.record_sha256,
        )
        .values(record=null(), archive_object_id=_OBJECT_ID)
        .returning(sessions.c.id),
        lambda id: id,
    )


def _put_back() -> Statement[UUID]:
    given = _given(session_id=Uuid(), record=LargeBinary())
    return prepare(
        update(sessions)
        .where(
            own(sessions),
            sessions.c.id == given.c.session_id,
            sessions.c.archive_object_id == _OBJECT_ID,
        )
        .values(record=given.c.record, archive_object_id=null())
        .returning(sessions.c.id),
        lambda id: id,
    )


_TAKE, _PUT_BACK = _take(), _put_back()
_OF = archive_objects.c
_OBJECTS: Select[Any] = select(
    _OF.external_user_id, _OF.id, _OF.key, _OF.sha256, _OF.session_count, _OF.byte_count
)
_IN_RANGE = prepare(
    _OBJECTS.where(
        own(archive_objects),
        _OF.last_started_at >= parameter("from_time", _OF.last_started_at),
        _OF.first_started_at < parameter("to_time", _OF.first_started_at),
    ).order_by(_OF.first_started_at, _OF.id),
    _Object,
)
_GET = prepare(_OBJECTS.where(own(archive_objects), _OF.id == _OBJECT_ID), _Object)
_ALL_OBJECTS = prepare(_OBJECTS.order_by(_OF.external_user_id, _OF.id), _Object)
_OBJECTS_OF_ONE = prepare(_OBJECTS.where(own(archive_objects)).order_by(_OF.id), _Object)
_DELETE = prepare_command(delete(archive_objects).where(own(archive_objects), _OF.id == _OBJECT_ID))
_KNOWN = prepare(select(_OF.key).where(_OF.key == any_(bindparam("keys", type_=ARRAY(Text)))), str)


class Archiving:
    """Looks after the archive, of all athletes, so it needs the schema's owner."""

    def __init__(self, database: Database, store: ObjectStore, pseudonyms: Pseudonyms) -> None:
        self._database = database
        self._store = store
        self._pseudonyms = pseudonyms

    async def plan(self, before: datetime, user_id: UUID | None = None) -> list[AthletePlan]:
        """Returns of whom there are sessions to move that began before an instant: of all, or of
        one athlete."""
        async with self._database.job() as transaction:
            if user_id is None:
                return await transaction.fetch(_PLAN, {"before": before})
            parameters = {"external_user_id": user_id, "before": before}
            return await transaction.fetch(_PLAN_OF_ONE, parameters)

    async def archive_next(self, user_id: UUID, before: datetime) -> Summary | None:
        """Moves the oldest records of an athlete into one object; None when there are none.

        Raises CONFLICT when a session has changed meanwhile, and ATHLETE_ERASED once an erasure has
        begun, which waits for what is under way: nothing is moved.
        """
        async with self._turn(user_id) as transaction:
            await transaction.refuse_erased(user_id)
            records = await transaction.fetch(
                _NEXT_RECORDS, {"external_user_id": user_id, "before": before}
            )
            if not records:
                return None
            reach("read")
            new_id = uuid6.uuid7()
            data = await asyncio.to_thread(encode, user_id, records)
            stored = _Object(
                user_id,
                new_id,
                f"{self._pseudonyms.of(user_id)}/{new_id}.parquet",
                sha256_of(data),
                len(records),
                len(data),
            )
            await self._store.put(stored.key, data)
            reach("written")
            await self._verify(stored, records)
            reach("verified")
            await transaction.insert(archive_objects, [_row(stored, records)])
            await _take_all(transaction, stored, records)
            reach("taken")
        reach("committed")
        return Summary(
            stored.session_count, 1, sum(len(one.record) for one in records), stored.byte_count
        )

    async def _verify(self, stored: _Object, records: Sequence[ArchivedRecord]) -> None:
        """Reads an object back. Raises DamagedObjectError unless it has every record."""
        found = await self._read(stored)
        if found != {one.session_id: one.record for one in records}:
            raise DamagedObjectError(
                f"the archived object {stored.key} does not hold what it should"
            )

    async def _read(self, stored: _Object) -> dict[UUID, bytes]:
        data = await self._store.get(stored.key)
        if data is None:
            raise DamagedObjectError(f"the archived object {stored.key} is missing")
        found = await asyncio.to_thread(
            decode, stored.external_user_id, stored.key, data, stored.sha256
        )
        return dict(found)

    async def in_range(
        self, user_id: UUID, from_time: datetime, to_time: datetime
    ) -> list[tuple[UUID, int]]:
        """Returns the objects of an athlete with sessions that may have begun in a range, and how
        many sessions each has."""
        parameters = {"external_user_id": user_id, "from_time": from_time, "to_time": to_time}
        async with self._database.job() as transaction:
            found = await transaction.fetch(_IN_RANGE, parameters)
        return [(one.id, one.session_count) for one in found]

    async def restore(self, user_id: UUID, object_id: UUID) -> Summary | None:
        """Puts the records of an object back and deletes it; None when it is there no more.

        Raises DamagedObjectError when it is not what was stored: nothing is changed then.
        """
        own_object = {"external_user_id": user_id, "object_id": object_id}
        async with self._turn(user_id) as transaction:
            await transaction.refuse_erased(user_id)
            stored = await transaction.fetch_first(_GET, own_object)
            if stored is None:
                return None
            records = await self._read(stored)
            reach("fetched")
            given = {"session_ids": list(records), "records": list(records.values())}
            put_back = await transaction.fetch(_PUT_BACK, {**own_object, **given})
            if len(put_back) != stored.session_count:
                raise DamagedObjectError(
                    f"the archived object {stored.key} has not the sessions that it should"
                )
            await transaction.execute(_DELETE, own_object)
            reach("put back")
        reach("restored")
        await self._store.delete([stored.key])
        reach("deleted")
        size = sum(len(record) for record in records.values())
        return Summary(stored.session_count, 1, size, stored.byte_count)

    async def remove_orphans(self, user_id: UUID | None = None) -> int:
        """Removes objects without a row, of one athlete or of all; returns how many.

        They are what runs that were killed left behind, and what erased athletes had.
        """
        prefix = self._pseudonyms.of(user_id) if user_id else ""
        removed = 0
        waiting: list[str] = []
        async for keys in self._store.list_keys(prefix):
            waiting += filter(_KEY.fullmatch, keys)
            if len(waiting) >= KEYS_AT_ONCE:
                removed += await self._remove_orphans_among(waiting)
                waiting = []
        return removed + await self._remove_orphans_among(waiting)

    async def _remove_orphans_among(self, keys: Sequence[str]) -> int:
        async with self._database.job() as transaction:
            suspects = await _without_row(transaction, keys)
        removed = 0
        for prefix, group in groupby(sorted(suspects), _prefix_of):
            async with self._turn_of(prefix) as transaction:
                # Looked at again: only now nobody is about to give them a row.
                orphans = await _without_row(transaction, group)
                await self._store.delete(orphans)
                removed += len(orphans)
        return removed

    async def remove_athlete(self, user_id: UUID) -> int:
        """Deletes all objects of an athlete, those without a row too; returns how many.

        To be called when the athlete's rows are gone or refused: what refers to an object can't be
        read any more. It needs no rights on tables, and can be called again.
        """
        async with self._turn(user_id):
            removed = 0
            async for keys in self._store.list_keys(self._pseudonyms.of(user_id)):
                await self._store.delete(keys)
                removed += len(keys)
        return removed

    async def checksums(self, user_id: UUID | None = None) -> AsyncIterator[Checksum]:
        """Yields the checksum of each object, as it should be and as it is, of one athlete or of
        all."""
        async with self._database.job() as transaction:
            if user_id is None:
                objects = await transaction.fetch(_ALL_OBJECTS, {})
            else:
                objects = await transaction.fetch(_OBJECTS_OF_ONE, {"external_user_id": user_id})
        for one in objects:
            data = await self._store.get(one.key)
            found = None if data is None else await asyncio.to_thread(sha256_of, data)
            yield Checksum(one.key, one.sha256, found)

    def _turn(self, user_id: UUID) -> AbstractAsyncContextManager[Transaction]:
        return self._turn_of(self._pseudonyms.of(user_id))

    @asynccontextmanager
    async def _turn_of(self, prefix: str) -> AsyncIterator[Transaction]:
        """Opens a transaction during which nobody else changes what is archived of an athlete."""
        async with self._database.job() as transaction:
            await transaction.execute(_LOCK, {"prefix": prefix})
            yield transaction


def _row(stored: _Object, records: Sequence[ArchivedRecord]) -> tuple[Any, ...]:
    return (
        stored.external_user_id,
        stored.id,
        stored.key,
        records[0].started_at,
        records[-1].started_at,
        stored.session_count,
        stored.byte_count,
        stored.sha256,
        datetime.now(UTC),
    )


async def _take_all(
    transaction: Transaction, stored: _Object, records: Sequence[ArchivedRecord]
) -> None:
    taken = await transaction.fetch(
        _TAKE,
        {
            "external_user_id": stored.external_user_id,
            "object_id": stored.id,
            "session_ids": [one.session_id for one in records],
            "record_sha256s": [sha256_of(one.record) for one in records],
        },
    )
    if len(taken) != len(records):
        raise TrainingError(Reason.CONFLICT, "sessions changed while they were archived; try again")


async def _without_row(transaction: Transaction, keys: Iterable[str]) -> list[str]:
    asked = list(keys)
    known = set(await transaction.fetch(_KNOWN, {"keys": asked})) if asked else set()
    return [key for key in asked if key not in known]


def _prefix_of(key: str) -> str:
    return key.partition("/")[0]


@asynccontextmanager
async def open_archiving(settings: Settings, url: str) -> AsyncIterator[Archiving]:
    """Opens the archive for a job. Must run as the owner of the schema."""
    store = open_store(settings)
    async with Database(settings, url) as database:
        yield Archiving(database, store, await database.pseudonyms())


Progress = Callable[[int, int], None]
"""Is called with how many sessions are done and how many there are."""


async def archive(
    settings: Settings,
    url: str,
    before: datetime,
    progress: Progress,
    *,
    user_id: UUID | None = None,
    dry_run: bool = False,
) -> Summary:
    """Moves the records of sessions that began before an instant into the archive, of all athletes
    or of one, and removes orphans first; with `dry_run`, only says what would be moved."""
    total = Summary()
    async with open_archiving(settings, url) as archiving:
        plans = await archiving.plan(before, user_id)
        if dry_run:
            total.sessions = sum(plan.session_count for plan in plans)
            total.record_bytes = sum(plan.record_bytes for plan in plans)
            return total
        total.orphans = await archiving.remove_orphans(user_id)
        count = sum(plan.session_count for plan in plans)
        for plan in plans:
            with unless_erased():
                while moved := await archiving.archive_next(plan.external_user_id, before):
                    _add(total, moved)
                    progress(total.sessions, count)
    return total


async def restore(
    settings: Settings,
    url: str,
    user_id: UUID,
    from_time: datetime,
    to_time: datetime,
    progress: Progress,
) -> Summary:
    """Brings back the sessions of an athlete that began in a range, with all others that are in the
    same objects, and removes orphans of the athlete first."""
    total = Summary()
    async with open_archiving(settings, url) as archiving:
        total.orphans = await archiving.remove_orphans(user_id)
        objects = await archiving.in_range(user_id, from_time, to_time)
        count = sum(session_count for _, session_count in objects)
        for object_id, _ in objects:
            if restored := await archiving.restore(user_id, object_id):
                _add(total, restored)
                progress(total.sessions, count)
    return total


def _add(total: Summary, done: Summary) -> None:
    total.sessions += done.sessions
    total.objects += done.objects
    total.record_bytes += done.record_bytes
    total.object_bytes += done.object_bytes
