"""Spreading an installation over several machines, with Citus.

Tables of athletes are cut into shards by `external_user_id`, and those of one athlete stand
together; the catalogue and the groups are copied to every node; the rest stays on the coordinator.
Which table is which follows from the schema.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import scalar_row
from sqlalchemy import Table

from training_service.storage.tables import (
    SCHEMA,
    exercise_edges,
    exercises,
    group_invitations,
    group_members,
    groups,
    metadata,
)

OLDEST_CITUS = (12, 1)
DISTRIBUTION_COLUMN = "external_user_id"
REFERENCE_TABLES = (exercises, exercise_edges, groups, group_members, group_invitations)
"""What many athletes' statements need, and little changes."""
DEFAULT_SHARDS = 32


class DistributionError(Exception):
    """The installation can't be distributed as it is; nothing was changed."""


_sorted = metadata.sorted_tables
DISTRIBUTED_TABLES = tuple(t for t in _sorted if DISTRIBUTION_COLUMN in t.primary_key.columns)
"""What athletes own, each after what it refers to."""
TABLES = (*REFERENCE_TABLES, *DISTRIBUTED_TABLES)
"""All that does not stay on the coordinator alone."""


def distribute(url: str, shards: int, progress: Callable[[int, int], None]) -> int:
    """Distributes the tables that are not yet, and returns how many they were.

    Checks before it changes anything. Each table is done in a transaction of its own, so that one
    that fails leaves those before it as they are, and a second run goes on. The service must not
    run meanwhile: a statement that finds one table here and one there fails. Must run as a
    superuser of the coordinator. `progress` is told how many tables are done, and of how many.
    Raises DistributionError.
    """
    with psycopg.connect(url, autocommit=True, row_factory=scalar_row) as connection:
        check(connection)
        known = _distributed(connection)
        missing = [table for table in TABLES if table.name not in known]
        _prepare(connection)
        for number, table in enumerate(missing, start=1):
            _distribute(connection, table, shards)
            progress(number, len(missing))
        return len(missing)


def check(connection: psycopg.Connection[Any]) -> None:
    """Refuses an installation that is not ready.

    Raises DistributionError that names all that is wrong.
    """
    obstacles = list(_obstacles(connection))
    if obstacles:
        raise DistributionError("; ".join(obstacles))


def _obstacles(connection: psycopg.Connection[Any]) -> Iterator[str]:
    version = connection.execute(
        "SELECT extversion FROM pg_extension WHERE extname = 'citus'"
    ).fetchone()
    if version is None:
        yield "the extension citus is not in this database: CREATE EXTENSION citus on every node"
        return
    if _numbers(version) < OLDEST_CITUS:
        yield f"citus is {version}, {'.'.join(map(str, OLDEST_CITUS))} is needed"
    if not connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = user").fetchone():
        yield "the login is no superuser: TRAINING_MIGRATION_DATABASE_URL must name one"
    if not connection.execute("SELECT to_regclass(%s)", [f"{SCHEMA}.sessions"]).fetchone():
        yield "there is no schema: training-service migrate"
    if connection.execute("SELECT 1 FROM pg_dist_node WHERE shouldhaveshards").fetchone() is None:
        yield "no node may have shards: SELECT citus_add_node(host, port) for each worker"
    for node in connection.execute(
        "SELECT nodename || ':' || nodeport FROM pg_dist_node WHERE NOT isactive"
    ):
        yield f"the node {node} is not active: SELECT citus_activate_node(host, port)"
    for policy in connection.execute(_UNFIT_POLICIES, [SCHEMA]):
        yield f"the policy {policy} has a subquery or is restrictive: training-service migrate"


# The first are refused; the second become permissive on shards, and let everything through.
_UNFIT_POLICIES = """
    SELECT concat_ws(' of ', polname, polrelid::regclass) FROM pg_policy
    JOIN pg_class ON pg_class.oid = polrelid
    WHERE relnamespace = %s::regnamespace
    AND (concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) ~ 'SELECT'
         OR NOT polpermissive)
"""


_ROLES_WITHOUT_LOGIN = """
    SELECT DISTINCT rolname::text FROM pg_namespace CROSS JOIN aclexplode(nspacl) AS may
    JOIN pg_roles ON pg_roles.oid = may.grantee
    WHERE nspname = %s AND NOT rolcanlogin
"""


def _numbers(version: str) -> tuple[int, ...]:
    """Returns the numbers of a version such as 13.2-1."""
    return tuple(int(one) for one in re.findall(r"\d+", version)[:2])


def _distributed(connection: psycopg.Connection[Any]) -> set[str]:
    query = """
        SELECT relname::text FROM pg_dist_partition JOIN pg_class ON pg_class.oid = logicalrelid
        WHERE relnamespace = %s::regnamespace
    """
    return set(connection.execute(query, [SCHEMA]))


def _prepare(connection: psycopg.Connection[Any]) -> None:
    """Lets the settings of a transaction and the roles it takes on reach every node."""
    name = sql.Identifier(connection.info.dbname)
    connection.execute(
        sql.SQL("ALTER DATABASE {} SET citus.propagate_set_commands = 'local'").format(name)
    )
    # The coordinator connects to the other nodes as whom it acts for. These roles have no password:
    # who may come in without one is said in pg_hba.conf.
    for role in connection.execute(_ROLES_WITHOUT_LOGIN, [SCHEMA]):
        connection.execute(sql.SQL("ALTER ROLE {} LOGIN").format(sql.Identifier(role)))
    connection.execute("SET citus.multi_shard_modify_mode = 'sequential'")
    connection.execute("SET citus.enable_local_reference_table_foreign_keys = off")


def _distribute(connection: psycopg.Connection[Any], table: Table, shards: int) -> None:
    """Distributes one table with its rows."""
    name = f"{SCHEMA}.{table.name}"
    first = DISTRIBUTED_TABLES[0]
    with connection.transaction():
        if table in REFERENCE_TABLES:
            connection.execute("SELECT create_reference_table(%s)", [name])
        elif table is first:
            connection.execute(
                "SELECT create_distributed_table(%s, %s, shard_count => %s,"
                " colocate_with => 'none')",
                [name, DISTRIBUTION_COLUMN, shards],
            )
        else:
            connection.execute(
                "SELECT create_distributed_table(%s, %s, colocate_with => %s)",
                [name, DISTRIBUTION_COLUMN, f"{SCHEMA}.{first.name}"],
            )
