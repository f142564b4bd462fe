"""What PostgreSQL does for a call, and how much it keeps: plans and bytes."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import uuid4

import psycopg
from psycopg import sql
from sqlalchemy import Table

from benchmarks.history import EXERCISES, SESSION_COLUMNS, Logged, session_row
from training_service.archive.store import ObjectStore
from training_service.caller import Scope
from training_service.domain.exercise import MovementKind
from training_service.domain.metrics import (
    ExerciseTraits,
    LoggedSession,
    Performance,
    WorkingSet,
    session_metrics,
)
from training_service.domain.quota import Quota
from training_service.domain.session import NewSession, SessionFilter
from training_service.storage.archive import Archive
from training_service.storage.database import PLAN_CACHE_MODE, Database
from training_service.storage.session import SessionRepository
from training_service.storage.statements import NULL_DOUBLE, Statement, insert_batches

PAGE = 20
PERFORMANCE = Performance(
    exercise=ExerciseTraits(
        category="PULL", difficulty=5, movement_kind=MovementKind.DYNAMIC, bodyweight_fraction=1.0
    ),
    sets=[WorkingSet(reps=8)],
)
Asked = tuple[str, list[Any]]
"""The text of a statement and its parameters."""


class _Recorder:
    """Stands in for the database and notes what a repository asks of it."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []

    async def read(
        self, scope: Scope, statement: Statement[Any], parameters: Mapping[str, Any]
    ) -> list[Any]:
        own = {"external_user_id": scope.external_user_id}
        self.asked.append((statement.sql, statement.values({**own, **parameters})))
        return []

    @asynccontextmanager
    async def transaction(self, scope: Scope) -> AsyncIterator["_Bound"]:
        yield _Bound(self, scope)


@dataclass(frozen=True, slots=True)
class _Bound:
    recorder: _Recorder
    scope: Scope
    added: set[Quota] = field(default_factory=set)

    async def execute(self, statement: Statement[Any], parameters: Mapping[str, Any]) -> None:
        await self.recorder.read(self.scope, statement, parameters)

    async def insert(self, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        self.recorder.asked += [
            (statement.sql, values) for statement, values in insert_batches(table, rows)
        ]


def explain(url: str, role: str, logged: Logged) -> dict[str, list[str]]:
    """Returns how the statements of each call are run under a role, by the name of the call.

    The plans are those of a connection that has run the statements before, as most have. What is
    added is taken back.
    """
    scope = Scope(logged.athlete)
    calls = asyncio.run(_statements(scope, logged))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        connection.execute(f"SET plan_cache_mode = {PLAN_CACHE_MODE}")
        for _ in range(2):  # the first time, the checks of foreign keys are planned too
            found = {call: _explain(connection, scope, calls[call]) for call in calls}
    return found


async def _statements(scope: Scope, logged: Logged) -> dict[str, list[Asked]]:
    """Returns what the service itself would run, with the parameters, by the name of the call."""
    recorder = _Recorder()
    database = cast(Database, recorder)
    repository = SessionRepository(database, Archive(database, ObjectStore()))
    await repository.get(scope, logged.id)
    await repository.list_full(scope, SessionFilter(), None, PAGE)
    of_one = SessionFilter(exercise_id=EXERCISES[0][0])
    await repository.list_full(scope, of_one, None, PAGE)
    await repository.log(scope, _new(logged))
    get, listing, listing_of_one, *log = recorder.asked
    return {
        "GetSession": [get],
        f"ListSessions({PAGE})": [listing],
        f"ListSessions({PAGE}) of an exercise": [listing_of_one],
        "LogSession": log,
    }


def _new(logged: Logged) -> NewSession:
    """Returns a session like one that was logged, about to be logged."""
    again = logged._replace(id=uuid4(), request_id=uuid4())
    values = dict(zip(SESSION_COLUMNS, session_row(again), strict=True))
    del values["external_user_id"]
    return NewSession(
        **values,
        workout_id=None,
        workout_revision=None,
        exercises=tuple(EXERCISES),
        metrics=session_metrics(LoggedSession(performances=[PERFORMANCE] * len(EXERCISES))),
    )


def _explain(
    connection: psycopg.Connection[Any], scope: Scope, statements: Sequence[Asked]
) -> list[str]:
    """Returns the plans of the statements of one transaction."""
    athlete = sql.Literal(str(scope.external_user_id))
    with connection.transaction(force_rollback=True):
        connection.execute(sql.SQL("SET LOCAL app.external_user_id = {}").format(athlete))
        return [_plan(connection, *statement) for statement in statements]


def _plan(connection: psycopg.Connection[Any], text: str, parameters: Sequence[Any]) -> str:
    """Runs a statement and returns its plan, with times and the pages it touched."""
    literals = [sql.Literal(None if value is NULL_DOUBLE else value) for value in parameters]
    values = sql.SQL(", ").join(literals)
    execute = sql.SQL("EXECUTE explained ({})").format(values)
    connection.execute("PREPARE explained AS " + text)
    connection.execute(sql.SQL("EXPLAIN ") + execute)  # the first time it is planned
    rows = connection.execute(sql.SQL("EXPLAIN (ANALYZE, BUFFERS) ") + execute).fetchall()
    connection.execute("DEALLOCATE explained")
    return "\n".join(line for (line,) in rows)


def remarks(plan: str) -> list[str]:
    """Returns what is not as it should be about a plan."""
    found = []
    if "Seq Scan" in plan:
        found.append("reads a whole table")
    if " Cond: " in plan and "$1" not in plan:
        found.append("planned anew for each call")
    if "Sort Key: " in plan:
        found.append("reads all of an athlete's before it takes a page")
    return found


@dataclass(frozen=True, slots=True)
class Kept:
    """A table or an index, and what it takes."""

    table: str
    name: str
    bytes: int
    filled_percent: float | None
    """How full the leaf pages of an index are; None for a table and an empty index."""


_TABLES = """
    SELECT relname, relname, pg_table_size(oid), NULL FROM pg_class
    WHERE relnamespace = 'training'::regnamespace AND relkind = 'r' AND relname LIKE 'session%'
    ORDER BY pg_table_size(oid) DESC
"""
_INDEXES = """
    SELECT t.relname, i.relname, pg_relation_size(i.oid),
        NULLIF((pgstatindex(i.oid)).avg_leaf_density, 'NaN')
    FROM pg_index JOIN pg_class AS t ON t.oid = indrelid JOIN pg_class AS i ON i.oid = indexrelid
    WHERE t.relnamespace = 'training'::regnamespace AND t.relname LIKE 'session%'
    ORDER BY pg_relation_size(i.oid) DESC
"""


def kept(url: str) -> list[Kept]:
    """Returns what the tables of sessions and their indexes take, the largest first."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple")
        tables = [Kept(*row) for row in connection.execute(_TABLES)]
        indexes = [Kept(*row) for row in connection.execute(_INDEXES)]
    return [*tables, *indexes]
