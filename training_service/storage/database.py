"""The one way to the database: a pool of connections and pipelined transactions on them.

A unit of work for an athlete is one transaction whose first act is to name the athlete; row-level
security then shows it no other rows. Statements are queued on a pipeline, so that a transaction
whose statements don't depend on one another's results takes a single round trip.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import UUID

import structlog
from psycopg import AsyncConnection, AsyncCursor, AsyncRawCursor, errors
from psycopg.pq import TransactionStatus
from psycopg.rows import args_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests
from sqlalchemy import Table, select

from training_service.caller import Scope
from training_service.consistency import History, Position, current_consistency
from training_service.domain.quota import Quota
from training_service.errors import Reason, TrainingError, athlete_erased, database_unavailable
from training_service.observability.current import CallTrace, current_call
from training_service.pseudonym import Pseudonyms
from training_service.settings import Settings
from training_service.storage.pipeline import OneWritePipeline
from training_service.storage.quota import Quotas
from training_service.storage.statements import Row, Statement, insert_batches, prepare
from training_service.storage.tables import SCHEMA, installation

logger = structlog.get_logger(__name__)

ROLLBACK_TIMEOUT_SECONDS = 2.0
BEGIN_REPEATABLE_READ = b"BEGIN ISOLATION LEVEL REPEATABLE READ"
BEGIN_SNAPSHOT = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
PLAN_CACHE_MODE = "force_generic_plan"
_PLAN_EACH_WHERE_DISTRIBUTED = """
    SELECT set_config('plan_cache_mode', 'auto', false) FROM pg_extension WHERE extname = 'citus'
"""
"""Which shard a statement needs depends on its parameters."""

Parameters = Mapping[str, Any]

ERASED = "TS230"
"""SQLSTATE by which the database refuses what is of an erased user."""
_KEY = prepare(select(installation.c.pseudonym_key), bytes)
_REFUSE_ERASED = Statement(
    f"SELECT {SCHEMA}.refuse_erased($1, $2)", lambda *_: None, ("pseudonym", "is_write")
)
_ADMIT = Statement(
    f"SELECT {SCHEMA}.admit($1, $2, $3)", lambda *_: None, ("scope", "sharing_group", "shared")
)
"""Makes out whose rows policies show: by grants of a scope, or by what members of a group share."""


class LogEnd(NamedTuple):
    """How far the primary's log is."""

    timeline: str
    """As PostgreSQL writes it, in hexadecimal."""
    lsn: int


LOG_END = Statement(
    """
    SELECT left(pg_walfile_name(lsn), 8), (lsn - '0/0')::int8
    FROM (SELECT CASE current_setting('synchronous_commit')
                 WHEN 'off' THEN pg_current_wal_insert_lsn()
                 ELSE pg_current_wal_flush_lsn() END) AS log (lsn)
    """,
    LogEnd,
)
"""All that is committed stands before it. What is not flushed yet is left out, unless commits don't
wait for that: nobody could say when it comes to a replica."""
_VISIBLE = Statement("SELECT pg_current_snapshot()::text", str)

_NOT_AS_MIGRATED = (
    errors.UndefinedFunction,
    errors.UndefinedTable,
    errors.UndefinedColumn,
    errors.InvalidSchemaName,
    errors.InsufficientPrivilege,
)


class Transaction:
    """Statements of one open transaction, on a pipeline."""

    def __init__(
        self,
        connection: AsyncConnection[Any],
        scope: Scope | None,
        quotas: Quotas,
        pseudonyms: Pseudonyms,
    ) -> None:
        self._connection = connection
        self._pseudonyms = pseudonyms
        self.quotas = quotas
        self.added: set[Quota] = set()
        """What it adds to, and so has to be counted before it ends."""
        self.external_user_id = scope.external_user_id if scope else None
        self._own = {"external_user_id": scope.external_user_id} if scope else {}

    async def execute(self, statement: Statement[Any], parameters: Parameters) -> None:
        """Queues a statement whose result is of no interest. A failure shows at the next fetch or
        at the end of the transaction."""
        await _run(self._connection, statement, statement.values({**self._own, **parameters}))

    async def act_by(self, grant_scope: str) -> None:
        """From here on shows the rows of those who granted this, by its name in GrantScope, to who
        acts or to a group that they lead."""
        await _run(self._connection, _ADMIT, [grant_scope, None, None])

    async def refuse_erased(self, user_id: UUID) -> None:
        """Queues that nothing is stored about somebody else who was erased, or is meanwhile.

        In a transaction of nobody, the installation's key must have been asked for before.
        """
        await _refuse_erased(self._connection, self._pseudonyms, user_id, is_write=True)

    async def insert(self, table: Table, rows: Sequence[Sequence[Any]]) -> None:
        """Queues the insertion of rows, each with a value for every column that is written."""
        for statement, values in insert_batches(table, rows):
            await _run(self._connection, statement, values)

    async def fetch(self, statement: Statement[Row], parameters: Parameters) -> list[Row]:
        """Runs a statement, with all that is queued before it, and returns its rows."""
        cursor = await _run(
            self._connection, statement, statement.values({**self._own, **parameters})
        )
        return await cursor.fetchall()

    async def fetch_all(
        self, statements: Sequence[Statement[Any]], parameters: Parameters
    ) -> list[list[Any]]:
        """Runs statements that don't depend on one another, with all that is queued before them, in
        one round trip; returns the rows of each."""
        return await self.fetch_each([(statement, parameters) for statement in statements])

    async def fetch_each(
        self, queries: Sequence[tuple[Statement[Any], Parameters]]
    ) -> list[list[Any]]:
        """The same for statements that have parameters of their own."""
        cursors = [
            await _run(self._connection, statement, statement.values({**self._own, **parameters}))
            for statement, parameters in queries
        ]
        return [await cursor.fetchall() for cursor in cursors]

    async def fetch_first(self, statement: Statement[Row], parameters: Parameters) -> Row | None:
        """Runs a statement and returns its first row, if it has one."""
        rows = await self.fetch(statement, parameters)
        return rows[0] if rows else None


class ManyTransaction(Transaction):
    """Statements of one open transaction that sees many athletes."""

    async def see_who_shares(self, group_id: UUID, sharing: str) -> None:
        """From here on shows those who share this, by its name in Sharing, with a group."""
        await _run(self._connection, _ADMIT, [None, group_id, sharing])


class Database:
    """The pool of one process. Errors of the connection surface as TrainingError; violations of
    a constraint reach the repository as psycopg raised them.

    `open`, then `close`; or as a block that does both: `async with`.
    """

    def __init__(self, settings: Settings, url: str, pseudonyms: Pseudonyms | None = None) -> None:
        """Makes a pool without connections; `pseudonyms` learns the installation's key by it."""
        self._role = settings.database_role
        self._reader_role = settings.database_reader_role
        self._grantee_role = settings.database_grantee_role
        self._coach_role = settings.database_coach_role
        self._quotas = Quotas(settings)
        self._eraser_role = settings.database_eraser_role
        self._pseudonyms = pseudonyms or Pseudonyms()
        self.cluster = 0
        """PostgreSQL's system identifier, once somebody asked for it (storage/replica.py)."""
        self._stream_deadline_seconds = settings.stream_deadline_seconds
        # Poolers refuse start-up options: behind one, these are the login's own settings.
        options = {"options": _session_options(settings)} if self._role else {}
        # None wins over the prepare=True of each statement.
        preparing = {} if settings.prepare_statements else {"prepare_threshold": None}
        self._pool = AsyncConnectionPool[AsyncConnection[Any]](
            url,
            min_size=settings.pool_min_size,
            max_size=settings.pool_max_size,
            timeout=settings.pool_timeout_seconds,
            open=False,
            configure=self._configure,
            check=None,
            # A database that is away is tried again soon after it returns, not minutes later.
            reconnect_timeout=5.0,
            kwargs={
                "autocommit": True,
                "application_name": "training-service",
                **options,
                **preparing,
            },
        )

    async def open(self) -> None:
        """Starts to connect; returns at once, whether or not the database answers."""
        await self._pool.open()

    async def close(self) -> None:
        """Closes all connections."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def pool_state(self) -> tuple[int, int, int, int]:
        """Returns how many connections are in use and idle, the most there may be, and how many
        wait for one."""
        stats = self._pool.get_stats()
        idle = stats.get("pool_available", 0)
        in_use = stats.get("pool_size", 0) - idle
        return in_use, idle, self._pool.max_size, stats.get("requests_waiting", 0)

    async def renew(self) -> None:
        """Replaces the connections that were lost while nobody used them."""
        await self._pool.check()

    async def _configure(self, connection: AsyncConnection[Any]) -> None:
        if self._role:
            await connection.execute(f'SET ROLE "{self._role}"')
            await connection.execute(_PLAN_EACH_WHERE_DISTRIBUTED)

    async def read(
        self, scope: Scope, statement: Statement[Row], parameters: Parameters
    ) -> list[Row]:
        """Runs one query for an athlete: a read-only transaction in a single round trip."""
        await self.pseudonyms()
        async with self._connection() as connection:
            async with OneWritePipeline(connection) as pipeline:
                await self._begin(connection, pipeline, scope, b"BEGIN READ ONLY")
                own = {"external_user_id": scope.external_user_id}
                cursor = await _run(connection, statement, statement.values({**own, **parameters}))
                end = await self._commit(connection, pipeline, is_write=False)
            await self._note(end)
            return await cursor.fetchall()

    async def read_all(
        self, scope: Scope, statements: Sequence[Statement[Any]], parameters: Parameters
    ) -> list[list[Any]]:
        """Runs queries for an athlete that see one moment, in a single round trip; returns the rows
        of each."""
        return await self.read_each(scope, [(statement, parameters) for statement in statements])

    async def read_each(
        self, scope: Scope, queries: Sequence[tuple[Statement[Row], Parameters]]
    ) -> list[list[Row]]:
        """The same for queries that have parameters of their own."""
        own = {"external_user_id": scope.external_user_id}
        await self.pseudonyms()
        async with self._connection() as connection:
            async with OneWritePipeline(connection) as pipeline:
                await self._begin(connection, pipeline, scope, BEGIN_SNAPSHOT)
                cursors = [
                    await _run(connection, statement, statement.values({**own, **parameters}))
                    for statement, parameters in queries
                ]
                end = await self._commit(connection, pipeline, is_write=False)
            await self._note(end)
            return [await cursor.fetchall() for cursor in cursors]

    async def read_shared(self, statement: Statement[Row], parameters: Parameters) -> list[Row]:
        """Runs one statement, a transaction of its own, on data that is nobody's."""
        async with self._connection() as connection:
            cursor = await _run(connection, statement, statement.values(parameters))
            return await cursor.fetchall()

    async def visible(self) -> str:
        """Returns the snapshot of what is committed, which what the call reads after it sees too,
        wherever it reads."""
        async with self._connection() as connection:
            async with OneWritePipeline(connection):
                cursor = await _run(connection, _VISIBLE, ())
                end = await _run(connection, LOG_END, ())
            await self._note(end)
            [snapshot] = await cursor.fetchall()
            return snapshot

    def transaction(self, scope: Scope | None) -> AbstractAsyncContextManager[Transaction]:
        """Opens a transaction, for one athlete or, without a scope, on shared reference data.

        Commits when the block ends, rolls back when it raises.
        """
        return self._transaction(scope, b"BEGIN")

    def snapshot(self, scope: Scope) -> AbstractAsyncContextManager[Transaction]:
        """Opens a read-only transaction for one athlete whose statements all see one moment."""
        return self._transaction(scope, BEGIN_SNAPSHOT)

    def snapshot_of_all(self) -> AbstractAsyncContextManager[Transaction]:
        """Opens such a transaction that sees the sessions of all athletes and nothing else.

        A filter may pass over so many of them that a statement takes as long as a stream may.
        """
        milliseconds = int(self._stream_deadline_seconds * 1000)
        role = f'SET LOCAL ROLE "{self._reader_role}"'
        timeout = f"SET LOCAL statement_timeout = {milliseconds}"
        return self._transaction(None, BEGIN_SNAPSHOT, role, timeout)

    def nearest(self, candidates: int) -> AbstractAsyncContextManager[Transaction]:
        """Opens a read-only transaction on shared data in which an HNSW index looks at so many
        candidates, at most 1,000."""
        setting = f"SET LOCAL hnsw.ef_search = {candidates}"
        return self._transaction(None, b"BEGIN READ ONLY", setting)

    def job(self) -> AbstractAsyncContextManager[Transaction]:
        """Opens a transaction of the schema's owner, whose statements take as long as they do."""
        return self._transaction(None, b"BEGIN", "SET LOCAL statement_timeout = 0")

    def erasure(self, user_id: UUID) -> AbstractAsyncContextManager[Transaction]:
        """Opens a transaction that can do nothing but erase a user, however long it takes."""
        role = f'SET LOCAL ROLE "{self._eraser_role}"'
        user = f"SET LOCAL app.erased_user_id = '{user_id}'"
        timeout = "SET LOCAL statement_timeout = 0"
        return self._transaction(None, b"BEGIN", role, user, timeout)

    def of_many(self, user_id: UUID) -> AbstractAsyncContextManager["ManyTransaction"]:
        """Opens a transaction in which somebody sees one moment of many athletes, by what each of
        them allowed: of none, until it says what for.

        It can write nothing but that they were looked at.
        """
        return self._of_many(user_id, BEGIN_REPEATABLE_READ)

    def snapshot_of_many(self, user_id: UUID) -> AbstractAsyncContextManager["ManyTransaction"]:
        """Opens such a transaction that can write nothing at all."""
        return self._of_many(user_id, BEGIN_SNAPSHOT)

    @contextlib.asynccontextmanager
    async def _of_many(self, user_id: UUID, begin: bytes) -> AsyncIterator["ManyTransaction"]:
        is_write = begin != BEGIN_SNAPSHOT
        pseudonyms = await self.pseudonyms()
        async with self._connection() as connection:
            async with OneWritePipeline(connection) as pipeline:
                pipeline.queue(begin)
                pipeline.queue(f'SET LOCAL ROLE "{self._coach_role}"'.encode())
                _set(pipeline, {"grantee_user_id": str(user_id)})
                await _refuse_erased(connection, pseudonyms, user_id, is_write=is_write)
                # Of none yet, but grants to groups that who asks leads may be looked for.
                await _run(connection, _ADMIT, [None, None, None])
                yield ManyTransaction(connection, None, self._quotas, pseudonyms)
                end = await self._commit(connection, pipeline, is_write=is_write)
            await self._note(end)

    @contextlib.asynccontextmanager
    async def _transaction(
        self, scope: Scope | None, begin: bytes, *settings: str
    ) -> AsyncIterator[Transaction]:
        if scope is not None:
            await self.pseudonyms()
        try:
            async with self._connection() as connection:
                async with OneWritePipeline(connection) as pipeline:
                    await self._begin(connection, pipeline, scope, begin)
                    for setting in settings:
                        pipeline.queue(setting.encode())
                    transaction = Transaction(connection, scope, self._quotas, self._pseudonyms)
                    yield transaction
                    await self._check_quotas(transaction)
                    end = await self._commit(connection, pipeline, is_write=begin == b"BEGIN")
                await self._note(end)
        except errors.InvalidTextRepresentation as error:
            raise self._quotas.refusal(error, datetime.now(UTC)) from None

    async def _check_quotas(self, transaction: Transaction) -> None:
        """Queues that the transaction fails when there is more than there may be."""
        for quota in sorted(transaction.added):
            if self._quotas.limit(quota) is not None:
                await transaction.execute(*self._quotas.check(quota, datetime.now(UTC)))

    async def pseudonyms(self) -> Pseudonyms:
        """Returns what users are called where their ids must not stand; asks for the key once.

        Raises TrainingError when the database does not answer.
        """
        if not self._pseudonyms.is_known:
            self._pseudonyms.learn(await self.pseudonym_key())
        return self._pseudonyms

    async def pseudonym_key(self) -> bytes:
        """Returns the installation's key, with which ids of users become pseudonyms.

        Raises TrainingError when the database does not answer.
        """
        [key] = await self.read_shared(_KEY, {})
        return key

    async def _begin(
        self,
        connection: AsyncConnection[Any],
        pipeline: OneWritePipeline,
        scope: Scope | None,
        begin: bytes,
    ) -> None:
        pipeline.queue(begin)
        if scope is None:
            return
        settings = {"external_user_id": str(scope.external_user_id)}
        if scope.grantee:
            settings["grantee_user_id"] = str(scope.grantee.user_id)
            pipeline.queue(f'SET LOCAL ROLE "{self._grantee_role}"'.encode())
        _set(pipeline, settings)
        if scope.grantee:
            await _run(connection, _ADMIT, [scope.grantee.grant_scope, None, None])
        # A write holds off an erasure until its end, so that what it stores is erased too.
        users = {scope.external_user_id, *([scope.grantee.user_id] if scope.grantee else [])}
        for user_id in users:
            await _refuse_erased(connection, self._pseudonyms, user_id, is_write=begin == b"BEGIN")

    async def _commit(
        self, connection: AsyncConnection[Any], pipeline: OneWritePipeline, *, is_write: bool
    ) -> AsyncCursor[LogEnd] | None:
        """Queues the end of a transaction, and how far the log is after it where that matters: for
        what a call wrote, and for what a call that writes found written."""
        pipeline.queue(b"COMMIT")
        consistency = current_consistency()
        if consistency is None or not (is_write or consistency.is_write):
            return None
        return await _run(connection, LOG_END, ())

    async def _note(self, cursor: AsyncCursor[LogEnd] | None) -> None:
        """Records how far the log is, for the reads and the answer of the call under way."""
        consistency = current_consistency()
        if cursor is None or consistency is None:
            return
        [end] = await cursor.fetchall()
        consistency.reach(self.position(end))

    def position(self, end: LogEnd) -> Position:
        """Returns how far the log of this database is."""
        return Position(History(self.cluster, int(end.timeline, 16)), end.lsn)

    def _connection(self) -> "_Borrowed":
        return _Borrowed(self._pool)


def _set(pipeline: OneWritePipeline, settings: Mapping[str, str]) -> None:
    """Queues what policies look at.

    SET takes no parameters; a UUID has no character that could end the literal.
    """
    for name, value in settings.items():
        pipeline.queue(f"SET LOCAL app.{name} = '{value}'".encode())


def _session_options(settings: Settings) -> str:
    """Returns what each connection asks of its server.

    Plans are made once for all athletes: their data look alike, and PostgreSQL would otherwise plan
    a listing anew for each call, since it takes a page of unknown size for a large one.
    """
    milliseconds = int(settings.statement_timeout_seconds * 1000)
    return f"-c statement_timeout={milliseconds} -c plan_cache_mode={PLAN_CACHE_MODE}"


class _Borrowed:
    """A connection of the pool for a block; errors of the database leave it as refusals.

    Not the pool's own context manager: that one commits and rolls back by itself, which costs a
    read a tenth of its CPU time and finds nothing to do.
    """

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection[Any]]) -> None:
        self._pool = pool

    async def __aenter__(self) -> AsyncConnection[Any]:
        try:
            self._connection = await self._pool.getconn()
        except (PoolTimeout, PoolClosed, TooManyRequests):
            raise database_unavailable() from None
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is not None:
                await _abandon_transaction(self._connection)
        finally:
            _end_spans(self._connection, error)
            await self._pool.putconn(self._connection)
        if isinstance(error, errors.Error):
            refusal = _refusal(error)
            if refusal is not None:
                raise refusal from error


class _TracedCursor(AsyncRawCursor[Row]):
    """Ends the span of its statement when the rows are there."""

    trace: CallTrace
    span: Any

    async def fetchall(self) -> list[Row]:
        rows = await super().fetchall()
        self.trace.answered(self.connection, self.span)
        return rows


def _traced_cursor(
    connection: AsyncConnection[Any], statement: Statement[Row], trace: CallTrace
) -> _TracedCursor[Row]:
    cursor = _TracedCursor(connection, row_factory=args_row(statement.row))
    cursor.trace = trace
    cursor.span = trace.began(connection, statement.sql)
    return cursor


async def _run(
    connection: AsyncConnection[Any], statement: Statement[Row], values: Sequence[Any]
) -> AsyncCursor[Row]:
    """Sends a prepared statement, or queues it on a pipeline; the cursor gives its rows."""
    call = current_call()
    if call is not None:
        call.statements += 1
    if call is None or call.trace is None:
        cursor = AsyncRawCursor(connection, row_factory=args_row(statement.row))
    else:
        cursor = _traced_cursor(connection, statement, call.trace)
    await cursor.execute(statement.sql, values, prepare=True, binary=True)
    return cursor


async def _refuse_erased(
    connection: AsyncConnection[Any], pseudonyms: Pseudonyms, user_id: UUID, *, is_write: bool
) -> None:
    """Queues that the transaction fails if a user was erased; a write waits for who erases them."""
    await _run(connection, _REFUSE_ERASED, [pseudonyms.bytes_of(user_id), is_write])


def _end_spans(connection: AsyncConnection[Any], error: BaseException | None) -> None:
    """Ends the spans of statements whose result nobody asked for, or that failed."""
    call = current_call()
    if call is not None and call.trace is not None:
        is_databases = isinstance(error, errors.Error)
        call.trace.released(connection, _error_type(error) if is_databases else "")


def _error_type(error: BaseException | None) -> str:
    return getattr(error, "sqlstate", None) or type(error).__name__


async def _abandon_transaction(connection: AsyncConnection[Any]) -> None:
    """Rolls back what is open, so that the pool gets a clean connection; closes it if it can't."""
    if connection.closed or connection.info.transaction_status is TransactionStatus.IDLE:
        return
    try:
        async with asyncio.timeout(ROLLBACK_TIMEOUT_SECONDS):
            await connection.rollback()
    except (TimeoutError, errors.Error):
        await connection.close()


def _refusal(error: errors.Error) -> TrainingError | None:
    """Returns what a database error means to the caller; None if it means a fault of ours.

    Decided by SQLSTATE class alone: names of constraints don't survive on a distributed database.
    """
    if error.sqlstate == ERASED:
        return athlete_erased()
    if isinstance(error, errors.QueryCanceled):
        return TrainingError(Reason.DEADLINE_EXCEEDED, "the query took too long")
    if isinstance(
        error, errors.DeadlockDetected | errors.SerializationFailure | errors.LockNotAvailable
    ):
        return TrainingError(
            Reason.CONFLICT, "collided with a concurrent change", retry_after_seconds=0.1
        )
    if isinstance(
        error, errors.OperationalError | errors.InterfaceError | errors.ReadOnlySqlTransaction
    ):
        logger.warning("database unavailable", why=type(error).__name__)
        return database_unavailable()
    if isinstance(error, _NOT_AS_MIGRATED):
        logger.error("the schema is not what this version needs", why=str(error).partition("\n")[0])
        return database_unavailable()
    return None
