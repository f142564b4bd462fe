"""Statements: said in SQLAlchemy, compiled once, run by psycopg as text with parameters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from struct import pack
from typing import Any, Generic, TypeVar
from uuid import UUID

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy import (
    BindParameter,
    ClauseElement,
    Column,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Table,
    any_,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import psycopg as postgresql
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import Grouping
from sqlalchemy.sql.visitors import replacement_traverse

from training_service.storage.tables import FILLED_LATER, access_grants

Row = TypeVar("Row")

# PostgreSQL's own placeholders ($1): psycopg would otherwise look for its own in the text, of an
# INSERT of a hundred rows each time anew.
_DIALECT = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class _NullDouble:
    """The type of NULL_DOUBLE."""


class _NullDoubleDumper(Dumper):
    format = Format.BINARY
    oid = psycopg.adapters.types["float8"].oid

    def dump(self, obj: _NullDouble) -> None:  # noqa: ARG002
        return None


psycopg.adapters.register_dumper(_NullDouble, _NullDoubleDumper)

NULL_DOUBLE = _NullDouble()
"""A double that is NULL. None has no type, and psycopg would prepare the INSERT of many rows anew
for each pattern of nulls among its values."""


class Doubles(list[float]):
    """An array of doubles. An empty list has no type either."""


class _DoublesDumper(Dumper):
    format = Format.BINARY
    oid = psycopg.adapters.types["float8"].array_oid

    def dump(self, obj: Doubles) -> bytes:
        # Dimensions, whether any is NULL, type of the elements; length and first index of each
        # dimension; then each element after its length: PostgreSQL's array_send.
        element = psycopg.adapters.types["float8"].oid
        if not obj:
            return pack("!3i", 0, 0, element)
        elements = b"".join(pack("!id", 8, one) for one in obj)
        return pack("!5i", 1, 0, element, len(obj), 1) + elements


psycopg.adapters.register_dumper(Doubles, _DoublesDumper)

ROWS_PER_INSERT = 100
"""Most rows of one INSERT statement, so that few variants of it are ever prepared."""


@dataclass(frozen=True, slots=True)
class Statement(Generic[Row]):
    """SQL text, and what makes a result out of a row's values."""

    sql: str
    row: Callable[..., Row]
    names: Sequence[str] = ()
    """What the parameters $1, $2 and so on are called."""
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Parameters whose values the statement itself brings."""
    source: Select[Any] | None = field(default=None, repr=False, compare=False)
    """Of a query: what was compiled."""

    def values(self, parameters: Mapping[str, Any]) -> list[Any]:
        """Returns the values of all parameters in their order; names it does not know may be among
        those given."""
        given = {**self.constants, **parameters} if self.constants else parameters
        return [given[name] for name in self.names]


def prepare(statement: ClauseElement, row: Callable[..., Row]) -> Statement[Row]:
    """Compiles a query. Call it at import, or behind a cache: never for each request."""
    compiled = statement.compile(dialect=_DIALECT)
    assert isinstance(compiled, SQLCompiler)
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    source = statement if isinstance(statement, Select) else None
    return Statement(str(compiled), row, tuple(compiled.positiontup or ()), constants, source)


def prepare_command(statement: ClauseElement) -> Statement[None]:
    """Compiles a statement whose rows, if any, are of no interest."""
    return prepare(statement, lambda *_: None)


def for_each(query: Statement[Row], *own_parameters: str) -> Statement[tuple[UUID, Row]]:
    """Returns the query of one athlete as a query of many, named by the array `external_user_ids`:
    each row comes with its athlete, those of one athlete in the query's own order.

    It is made of the same expressions, so that it can't come to mean something else. The query is
    run for one athlete after another, each by the indexes that begin with the athlete. Parameters
    that differ between athletes are given as arrays too, called by the name with an "s".

    The athletes are looked up where it stands what they grant, so those who granted nothing are
    left out: a distributed database runs a query of many only if it begins with a table that is cut
    into shards by athlete.
    """
    assert query.source is not None
    granting = access_grants.c.external_user_id
    ids = bindparam("external_user_ids", type_=ARRAY(granting.type))
    athletes = select(granting).where(granting == any_(ids)).distinct().subquery("athletes")
    athlete = literal_column("athletes.external_user_id", granting.type)

    def of_athlete(element: Any, **_: Any) -> Any:
        if not isinstance(element, BindParameter):
            return None
        if element.key == "external_user_id":
            return athlete
        if element.key in own_parameters:
            values = bindparam(f"{element.key}s", type_=ARRAY(element.type))
            return Grouping(values)[func.array_position(ids, athlete)]
        return None

    one: Any = replacement_traverse(query.source, {}, of_athlete)
    each = one.lateral("each")
    statement = select(athletes.c.external_user_id, *each.c).join_from(athletes, each, true())
    return prepare(statement, lambda athlete, *values: (athlete, query.row(*values)))


def newest_first(
    query: Select[Any], id: ColumnElement[Any], row: Callable[..., Row], *, continued: bool
) -> Statement[Row]:
    """Returns a query as a listing by id, the newest first, for ids sort by creation: `limit` rows,
    and if it is continued, those before `before_id`."""
    if continued:
        query = query.where(id < parameter("before_id", id))
    return prepare(query.order_by(id.desc()).limit(bindparam("limit", type_=Integer)), row)


def own(table: FromClause) -> ColumnElement[bool]:
    """Returns the condition that a row belongs to the athlete of the unit of work."""
    column = table.c.external_user_id
    return column == bindparam("external_user_id", type_=column.type)


def parameter(name: str, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Returns a parameter of the column's type."""
    return bindparam(name, type_=column.type)


def written(table: Table) -> list[Column[Any]]:
    """Returns the columns that an INSERT gives a value: all but those PostgreSQL fills in, and
    those that are filled later."""
    return [
        column
        for column in table.c
        if column.server_default is None and FILLED_LATER not in column.info
    ]


@cache
def insert_rows(table: Table, count: int) -> Statement[Any]:
    """Returns the INSERT of `count` rows, with parameters for every column that is written, row by
    row."""
    rows = [
        {c.name: bindparam(f"{c.name}_{n}", type_=c.type) for c in written(table)}
        for n in range(count)
    ]
    return prepare_command(insert(table).values(rows))


def insert_batches(
    table: Table, rows: Sequence[Sequence[Any]]
) -> Iterator[tuple[Statement[Any], list[Any]]]:
    """Yields the statements, with the values of their parameters, that insert all the rows.

    A row has a value for every column that is written, in the table's order.
    """
    for start in range(0, len(rows), ROWS_PER_INSERT):
        batch = rows[start : start + ROWS_PER_INSERT]
        yield insert_rows(table, len(batch)), [value for row in batch for value in row]


def exercise_rows(
    external_user_id: UUID, parent_id: UUID, exercises: Sequence[tuple[UUID, int]]
) -> list[tuple[Any, ...]]:
    """Returns the rows that list the exercises of one workout or session, in order."""
    return [
        (external_user_id, parent_id, position, exercise_id, set_count)
        for position, (exercise_id, set_count) in enumerate(exercises, start=1)
    ]
