"""What a database is like, as somebody asks who has to set it right."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import args_row

from training_service.domain.similarity import FORMULA_VERSION
from training_service.storage.distribution import TABLES
from training_service.storage.exercise_vector import HAS_VECTORS
from training_service.storage.health import HAS_REVISION, PRIVILEGES, REVISION, Privileges
from training_service.storage.statements import Row, Statement
from training_service.storage.tables import metadata

CONNECT_TIMEOUT_SECONDS = 10
USER_OWNED = sorted(t.name for t in metadata.tables.values() if "external_user_id" in t.c)


class ServerFacts(NamedTuple):
    """What a PostgreSQL server says of itself and of the login that asks."""

    version: int
    """As in 180001 for 18.1."""
    login: str
    login_is_superuser: bool
    encoding: str
    max_connections: int
    """Of those that are not kept for superusers."""
    statement_timeout: str
    plan_cache_mode: str
    unsafe_settings: list[str]
    """Those under which a server that loses power may lose what it acknowledged."""
    extensions: list[str]


class SchemaFacts(NamedTuple):
    """What is in the schema of the service."""

    unprotected_tables: list[str]
    """Tables of athletes' data that are there without row-level security."""
    exercises: int


class VectorFacts(NamedTuple):
    """How alike exercises are, as far as the database knows."""

    is_available: bool
    """Whether the server has the extension, created or not."""
    is_on: bool
    """Whether there is a table for vectors."""
    vectors: int = 0
    stale: int = 0
    """Exercises without a vector, or with one of how they were or of an older formula."""


class DistributionFacts(NamedTuple):
    """How a database with the extension citus is spread over nodes."""

    here: list[str]
    """Tables that stand on the coordinator alone, of those that `distribute` spreads."""
    are_settings_propagated: bool
    """Whether the nodes get the settings that policies look at."""


class LogFacts(NamedTuple):
    """How far a server is, and of which log."""

    is_replica: bool
    """Whether it replays the log of another server."""
    is_paused: bool
    """Whether it replays no more, until somebody resumes it."""
    cluster: int
    """PostgreSQL's system identifier, which a primary and its replicas share."""
    lsn: int
    """In bytes."""


@dataclass(frozen=True)
class DatabaseFacts:
    """A database as its login sees it."""

    server: ServerFacts
    clock_skew_seconds: float
    """By how much the database's clock is ahead of this machine's."""
    clock_error_seconds: float
    """How far that may be off: half of the time that asking took."""
    missing_roles: Sequence[str]
    """Those that are not there, or that the login can't take on."""
    privileges: Privileges | None
    """Of the role that statements run under; None before the first migration."""
    revision: str | None
    schema: SchemaFacts | None
    """None when tables are missing, or can't be read."""
    vectors: VectorFacts | None = None
    """None when that can't be read."""
    distribution: DistributionFacts | None = None
    """None without the extension citus."""
    log: LogFacts | None = None
    """None when that can't be read."""


_NOT_TO_BE_SEEN = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.InvalidParameterValue,
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
)


class DatabaseUnreachableError(Exception):
    """No connection; the message is the driver's."""


_SERVER = Statement(
    """
    SELECT current_setting('server_version_num')::int, session_user::text,
           (SELECT rolsuper FROM pg_roles WHERE rolname = session_user),
           current_setting('server_encoding'),
           current_setting('max_connections')::int
               - current_setting('superuser_reserved_connections')::int,
           current_setting('statement_timeout'), current_setting('plan_cache_mode'),
           ARRAY(SELECT name FROM pg_settings WHERE setting = 'off'
                 AND name IN ('fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name),
           ARRAY(SELECT extname::text FROM pg_extension)
    """,
    ServerFacts,
)
_CLOCK = Statement("SELECT extract(epoch FROM clock_timestamp())::float8", float)
_SCHEMA = Statement(
    """
    SELECT ARRAY(SELECT relname::text FROM pg_class
                 WHERE relnamespace = 'training'::regnamespace AND relkind IN ('r', 'p')
                 AND relname = ANY (%s) AND NOT relrowsecurity ORDER BY relname),
           (SELECT count(*) FROM training.exercises)
    """,
    SchemaFacts,
)
_HAS_EXTENSION = Statement(
    "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')", bool
)
_VECTORS = Statement(
    """
    SELECT true, true, count(vectors.exercise_id),
           count(*) FILTER (WHERE (exercises.version, %s) IS DISTINCT FROM
                                  (vectors.exercise_version, vectors.formula_version))
    FROM training.exercises
    LEFT JOIN training.exercise_vectors AS vectors ON vectors.exercise_id = exercises.id
    """,
    VectorFacts,
)
_DISTRIBUTION = Statement(
    """
    SELECT ARRAY(SELECT name FROM unnest(%s::text[]) AS name WHERE NOT EXISTS (
                     SELECT FROM pg_dist_partition
                     WHERE logicalrelid = to_regclass('training.' || name))),
           current_setting('citus.propagate_set_commands') = 'local'
    """,
    DistributionFacts,
)
_LOG = Statement(
    """
    SELECT is_replica,
           CASE WHEN is_replica THEN pg_get_wal_replay_pause_state() <> 'not paused'
                ELSE false END,
           system_identifier,
           (CASE WHEN is_replica THEN pg_last_wal_replay_lsn()
                 ELSE pg_current_wal_flush_lsn() END - '0/0')::int8
    FROM pg_is_in_recovery() AS is_replica, pg_control_system()
    """,
    LogFacts,
)


def diagnose(url: str, service_role: str, roles: Sequence[str]) -> DatabaseFacts:
    """Looks at a database, and changes nothing.

    `service_role` is what connections take on, empty for the login itself; `roles` are all that
    they ever take on. Raises DatabaseUnreachableError.
    """
    with _connect(url) as connection:
        server = _one(connection, _SERVER)
        skew, uncertainty = _clock_skew(connection)
        missing = [role for role in roles if _as_role(connection, role, _is_there) is None]
        return DatabaseFacts(
            server=server,
            clock_skew_seconds=skew,
            clock_error_seconds=uncertainty,
            missing_roles=missing,
            privileges=_as_role(connection, service_role, _privileges),
            revision=_as_role(connection, service_role, _revision),
            schema=_as_role(connection, service_role, _schema),
            vectors=_as_role(connection, service_role, _vectors),
            distribution=_as_role(connection, service_role, _distribution),
            log=_as_role(connection, service_role, _log),
        )


def diagnose_replica(url: str) -> LogFacts:
    """Looks at a server that is to be a replica. Raises DatabaseUnreachableError."""
    with _connect(url) as connection:
        return _log(connection)


def _connect(url: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS)
    except psycopg.OperationalError as error:
        raise DatabaseUnreachableError(str(error).strip()) from None


def _one(connection: psycopg.Connection[Any], statement: Statement[Row], *values: Any) -> Row:
    with connection.cursor(row_factory=args_row(statement.row)) as cursor:
        row = cursor.execute(statement.sql.encode(), values or None).fetchone()
    assert row is not None, "a query of one row"
    return row


def _as_role(
    connection: psycopg.Connection[Any],
    role: str,
    ask: Callable[[psycopg.Connection[Any]], Row],
) -> Row | None:
    """Returns what there is to see under a role; None when it can't be taken on or may not look."""
    try:
        if role:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        return ask(connection)
    except _NOT_TO_BE_SEEN:
        return None
    finally:
        connection.execute("RESET ROLE")


def _is_there(_: psycopg.Connection[Any]) -> bool:
    return True


def _privileges(connection: psycopg.Connection[Any]) -> Privileges:
    return _one(connection, PRIVILEGES)


def _revision(connection: psycopg.Connection[Any]) -> str | None:
    return _one(connection, REVISION) if _one(connection, HAS_REVISION) else None


def _schema(connection: psycopg.Connection[Any]) -> SchemaFacts:
    return _one(connection, _SCHEMA, USER_OWNED)


def _vectors(connection: psycopg.Connection[Any]) -> VectorFacts:
    if not _one(connection, HAS_VECTORS):
        return VectorFacts(is_available=_one(connection, _HAS_EXTENSION), is_on=False)
    return _one(connection, _VECTORS, FORMULA_VERSION)


def _distribution(connection: psycopg.Connection[Any]) -> DistributionFacts:
    return _one(connection, _DISTRIBUTION, [table.name for table in TABLES])


def _log(connection: psycopg.Connection[Any]) -> LogFacts:
    return _one(connection, _LOG)


def _clock_skew(connection: psycopg.Connection[Any]) -> tuple[float, float]:
    """Returns by how much the database's clock is ahead, and how far off that may be."""
    before = time.time()
    database = _one(connection, _CLOCK)
    after = time.time()
    return database - (before + after) / 2, (after - before) / 2
