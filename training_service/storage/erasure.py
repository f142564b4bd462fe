"""Erasing a user: all they have goes, and their name from what is others'.

What there is to do is found by walking the tables, so that a new one can't be forgotten: every
column that holds a user's id has a name that ends in `user_id`, and one whose name is not known
here stops the import.
"""

from collections.abc import Callable, Iterator, Mapping
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
    update,
)

from training_service.domain.group import Role
from training_service.settings import Settings
from training_service.storage.database import Database
from training_service.storage.statements import Statement, prepare
from training_service.storage.tables import access_grants, group_members, groups, metadata

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


def _steps() -> Iterator[Step]:
    yield Step(access_grants.name, _counted(_end_grants()))
    yield Step(groups.name, _counted(_remove_groups()))
    # Those that refer to others come before them.
    for table in reversed(metadata.sorted_tables):
        for column in user_columns(table):
            yield Step(table.name, _counted(_RULES[column.name](column)))


STEPS = tuple(_steps())


async def erase(settings: Settings, url: str, user_id: UUID) -> dict[str, int]:
    """Erases a user; returns how many rows of each table were removed or no longer name them.

    All of it or nothing, and as often as one likes. Must run as the owner of the schema. It looks
    at every row of some tables, for what is others' is not indexed by whom it names.
    """
    counts: dict[str, int] = {}
    database = Database(settings, url)
    await database.open()
    try:
        async with database.job() as transaction:
            for table, statement in STEPS:
                [count] = await transaction.fetch(statement, {"user_id": user_id})
                if count:
                    counts[table] = counts.get(table, 0) + count
    finally:
        await database.close()
    return counts
