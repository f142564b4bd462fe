"""Erasing a user: all they have goes, and their name from what is others'.

What there is to do is found by walking the tables, so that a new one can't be forgotten: every
column that holds a user's id has a name that ends in `user_id`, and one whose name is not known
here stops the import.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    Column,
    ColumnElement,
    Table,
    Uuid,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    null,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from training_service.archive.store import ObjectStore, open_store
from training_service.domain.group import Role
from training_service.failpoint import reach
from training_service.receipt import Receipt, Signer, signer
from training_service.settings import Settings
from training_service.storage.archiving import Archiving
from training_service.storage.database import Database
from training_service.storage.statements import Statement, parameter, prepare, prepare_command
from training_service.storage.tables import (
    access_grants,
    erasure_gates,
    group_members,
    group_week_contributors,
    group_weeks,
    groups,
    metadata,
    tombstones,
)

NOBODY = UUID(int=0)
"""Stands for an erased user where there must be one."""

_USER_ID = bindparam("user_id", type_=Uuid)


class Step(NamedTuple):
    """What is done to the rows of one table."""

    table: str
    statement: Statement[int]


def _counted(change: Any) -> Statement[int]:
    """Returns a change as a query of how many rows it changed."""
    changed = change.returning(literal_column("1")).cte("changed")
    return prepare(select(func.count()).select_from(changed), int)


def _remove(column: Column[Any]) -> Any:
    return delete(column.table).where(column == _USER_ID)


def _forget(column: Column[Any]) -> Any:
    return update(column.table).where(column == _USER_ID).values({column.name: null()})


def _put_nobody(column: Column[Any]) -> Any:
    nobody: ColumnElement[Any] = literal_column(f"'{NOBODY}'::uuid")
    return update(column.table).where(column == _USER_ID).values({column.name: nobody})


_RULES: Mapping[str, Callable[[Column[Any]], Any]] = {
    "external_user_id": _remove,
    "member_user_id": _remove,
    "invited_user_id": _remove,
    # An answer that is kept for a retry is a whole: it goes, and a retry so late is a new request.
    "named_user_id": _remove,
    "author_user_id": _forget,
    "inviter_user_id": _put_nobody,
    "grantee_user_id": _put_nobody,
    "source_user_id": _put_nobody,
}
"""What becomes of a row, by the column that names the user."""


def user_columns(table: Table) -> list[Column[Any]]:
    """Returns the columns of a table that hold ids of users."""
    return [column for column in table.c if column.name.endswith("user_id")]


def _end_grants() -> Any:
    of = access_grants.c
    return (
        update(access_grants)
        .where(of.grantee_user_id == _USER_ID, of.revoked_at.is_(None))
        .values(revoked_at=func.now())
    )


def _remove_groups() -> Any:
    """Returns the removal of groups that the user alone coaches: nobody could lead them."""
    coach, other = group_members.alias("coach"), group_members.alias("other")
    is_coach: ColumnElement[Any] = literal_column(f"'{Role.COACH}'")
    return delete(groups).where(
        exists().where(
            coach.c.group_id == groups.c.id,
            coach.c.member_user_id == _USER_ID,
            coach.c.role == is_coach,
        ),
        ~exists().where(
            other.c.group_id == groups.c.id,
            other.c.member_user_id != _USER_ID,
            other.c.role == is_coach,
        ),
    )


def _withhold_weeks() -> Any:
    """Returns that groups tell no more what the user had a part in. Such weeks are not published
    again, for what was told before could be subtracted."""
    of, week = group_week_contributors.c, group_weeks.c
    contributed = select(of.group_id, of.start_date).where(of.member_user_id == _USER_ID)
    return (
        update(group_weeks)
        .where(tuple_(week.group_id, week.start_date).in_(contributed), week.record.is_not(None))
        .values(record=null())
    )


def _hold_groups() -> Any:
    """Returns that nothing is published meanwhile of the groups that the user is in: who publishes
    shares the group's row."""
    of = group_members.c
    mine = select(of.group_id).where(of.member_user_id == _USER_ID)
    return select(groups.c.id).where(groups.c.id.in_(mine)).with_for_update()


def _steps() -> Iterator[Step]:
    yield Step(access_grants.name, _counted(_end_grants()))
    yield Step(groups.name, _counted(_remove_groups()))
    # Who is in no group is in nothing that is published from here on.
    yield Step(group_members.name, _counted(_remove(group_members.c.member_user_id)))
    yield Step(group_weeks.name, _counted(_withhold_weeks()))
    # Those that refer to others come before them.
    for table in reversed(metadata.sorted_tables):
        for column in user_columns(table):
            yield Step(table.name, _counted(_RULES[column.name](column)))


STEPS = tuple(_steps())
_HOLD_GROUPS = prepare_command(_hold_groups())

_PSEUDONYM = parameter("pseudonym", tombstones.c.pseudonym)
_OF_USER = tombstones.c.pseudonym == _PSEUDONYM
_WAIT_FOR_WRITES = prepare_command(
    update(erasure_gates)
    .where(erasure_gates.c.id == func.get_byte(_PSEUDONYM, 0))
    .values(passes=erasure_gates.c.passes + 1)
)
_BURY = prepare_command(
    insert(tombstones)
    .values(pseudonym=_PSEUDONYM, requested_at=parameter("requested_at", tombstones.c.requested_at))
    .on_conflict_do_nothing()
)
_TOMBSTONE = select(
    tombstones.c.requested_at, tombstones.c.archive_objects, tombstones.c.receipt
).where(_OF_USER)
_COUNT_ARCHIVE = prepare_command(
    update(tombstones)
    .where(_OF_USER, tombstones.c.erased_at.is_(None))
    .values(
        archive_objects=tombstones.c.archive_objects
        + parameter("removed", tombstones.c.archive_objects)
    )
)
_COMPLETE = prepare_command(
    update(tombstones)
    .where(_OF_USER)
    .values(
        erased_at=parameter("erased_at", tombstones.c.erased_at),
        receipt=parameter("receipt", tombstones.c.receipt),
    )
)
_UNFINISHED = prepare(
    select(tombstones.c.pseudonym, tombstones.c.requested_at)
    .where(tombstones.c.erased_at.is_(None))
    .order_by(tombstones.c.requested_at),
    lambda pseudonym, requested_at: (pseudonym.hex(), requested_at),
)


class Tombstone(NamedTuple):
    """What is kept of an erased user."""

    requested_at: datetime
    archive_objects: int
    receipt: str | None


_LOCK_TOMBSTONE = prepare(_TOMBSTONE.with_for_update(), Tombstone)


class Erasure:
    """Erases users, step by step; begun again after a crash, it goes on where it was.

    1. A tombstone stands, and no write of or about the user is under way: from here on all of them
       are refused.
    2. The archive forgets the user.
    3. All rows go and the tombstone gets its receipt, in one transaction.
    """

    def __init__(self, database: Database, store: ObjectStore, signer: Signer) -> None:
        self._database = database
        self._store = store
        self._signer = signer

    async def erase(self, user_id: UUID, now: datetime) -> str:
        """Erases a user and returns the receipt; that of before for one who was erased already.

        It looks at every row of some tables, for what is others' is not indexed by whom it names.
        """
        pseudonyms = await self._database.pseudonyms()
        who = {"pseudonym": pseudonyms.bytes_of(user_id)}
        async with self._database.erasure(user_id) as transaction:
            await transaction.execute(_WAIT_FOR_WRITES, who)
            await transaction.execute(_BURY, {**who, "requested_at": now})
            [tombstone] = await transaction.fetch(_LOCK_TOMBSTONE, who)
        if tombstone.receipt is not None:
            return tombstone.receipt
        reach("buried")
        removed = await Archiving(self._database, self._store, pseudonyms).remove_athlete(user_id)
        reach("archive forgotten")
        async with self._database.erasure(user_id) as transaction:
            await transaction.execute(_COUNT_ARCHIVE, {**who, "removed": removed})
            reach("archive counted")
        return await self._erase_rows(user_id, who, now)

    async def _erase_rows(self, user_id: UUID, who: Mapping[str, bytes], now: datetime) -> str:
        async with self._database.erasure(user_id) as transaction:
            [tombstone] = await transaction.fetch(_LOCK_TOMBSTONE, who)
            if tombstone.receipt is not None:
                return tombstone.receipt
            counts: dict[str, int] = {}
            await transaction.execute(_HOLD_GROUPS, {"user_id": user_id})
            for table, statement in STEPS:
                [count] = await transaction.fetch(statement, {"user_id": user_id})
                if count:
                    counts[table] = counts.get(table, 0) + count
            reach("rows removed")
            receipt = self._signer.sign(
                Receipt(
                    who["pseudonym"].hex(),
                    tombstone.requested_at,
                    now,
                    counts,
                    tombstone.archive_objects,
                )
            )
            done = {**who, "erased_at": now, "receipt": receipt}
            await transaction.execute(_COMPLETE, done)
        reach("done")
        return receipt

    async def unfinished(self) -> list[tuple[str, datetime]]:
        """Returns the pseudonyms of users whose erasure was begun and not ended, and since when.

        Their ids are kept nowhere: to end it, the erasure must be asked for again.
        """
        async with self._database.erasure(NOBODY) as transaction:
            return await transaction.fetch(_UNFINISHED, {})


@asynccontextmanager
async def _opened(settings: Settings, url: str) -> AsyncIterator[tuple[Database, Signer]]:
    async with Database(settings, url) as database:
        yield database, signer(settings, await database.pseudonym_key())


@asynccontextmanager
async def opened(settings: Settings, url: str) -> AsyncIterator[Erasure]:
    """Opens what erases users, for a command of its own."""
    async with _opened(settings, url) as (database, signs):
        yield Erasure(database, open_store(settings), signs)


async def signer_of(settings: Settings, url: str) -> Signer:
    """Returns what signs the receipts of an installation."""
    async with _opened(settings, url) as (_, signs):
        return signs


async def erase(settings: Settings, url: str, user_id: UUID) -> str:
    """Erases a user as a command does; returns the receipt."""
    async with opened(settings, url) as erasure:
        return await erasure.erase(user_id, datetime.now(UTC))
