"""Spreading an installation over nodes.

With TRAINING_TEST_DATABASE_URL of a Citus coordinator it is done; everywhere it is checked that all
tables have a place, and that what is not ready is refused.
"""

import re
from collections.abc import Callable
from typing import LiteralString, cast

import psycopg
import pytest
from calisthenics.training.v1 import session_pb2
from sqlalchemy import ForeignKeyConstraint, Table

from tests.citus import SHARDS, Cluster
from tests.conftest import filled, prepared
from tests.packages import ROOT
from tests.support import Athlete, refused, running_service
from training_service.storage.distribution import (
    DISTRIBUTED_TABLES,
    REFERENCE_TABLES,
    TABLES,
    DistributionError,
    distribute,
)
from training_service.storage.migrations import migrate
from training_service.storage.tables import SCHEMA, metadata


def test_all_tables_of_athletes_are_cut_by_athlete() -> None:
    owned = {table.name for table in metadata.sorted_tables if "external_user_id" in table.c}
    assert {table.name for table in DISTRIBUTED_TABLES} == owned


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_refers_to_what_stands_beside_it(table: Table) -> None:
    """To the same athlete's rows, or to what every node has."""
    for key in table.constraints:
        if isinstance(key, ForeignKeyConstraint):
            other = key.referred_table
            has_athlete = "external_user_id" in key.column_keys
            assert other in REFERENCE_TABLES or (other in DISTRIBUTED_TABLES and has_athlete)
            assert TABLES.index(other) <= TABLES.index(table)


def test_without_the_extension_nothing_is_changed(
    cluster: Cluster, make_database: Callable[[], str]
) -> None:
    if cluster.is_there:
        pytest.skip("this server has the extension")
    url = make_database()
    migrate(url)
    with pytest.raises(DistributionError, match="the extension citus is not in this database"):
        distribute(url, SHARDS, lambda *_: None)


def test_a_database_is_distributed_once(cluster: Cluster, make_database: Callable[[], str]) -> None:
    if not cluster.is_there:
        pytest.skip("needs a Citus cluster: TRAINING_TEST_DATABASE_URL")
    url = prepared(make_database())
    told: list[tuple[int, int]] = []
    assert distribute(url, SHARDS, lambda *done: told.append(done)) == 0
    assert told == []


def test_sessions_of_before_are_there_after(
    cluster: Cluster, make_database: Callable[[], str]
) -> None:
    if not cluster.is_there:
        pytest.skip("needs a Citus cluster: TRAINING_TEST_DATABASE_URL")
    url = make_database()
    migrate(url, "0025")
    with pytest.raises(DistributionError, match="the policy grantee of"):
        distribute(url, SHARDS, lambda *_: None)
    filled(url)
    with running_service(url) as service:
        athletes = [Athlete(service.address) for _ in range(5)]
        before = [(athlete, athlete.log().id) for athlete in athletes]
    told: list[tuple[int, int]] = []
    assert distribute(url, SHARDS, lambda *done: told.append(done)) == len(TABLES)
    assert told[-1] == (len(TABLES), len(TABLES))
    with psycopg.connect(url) as connection:
        places = connection.execute(
            "SELECT count(DISTINCT nodename || nodeport) FROM citus_shards"
            " WHERE table_name = %s::regclass",
            [f"{SCHEMA}.sessions"],
        ).fetchone()
    assert places is not None
    assert places[0] > 1
    _serves(url, before)
    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            command = "SELECT truncate_local_data_after_distributing_table(%s)"
            connection.execute(command, [f"{SCHEMA}.{table.name}"])
    _serves(url, before)
    with psycopg.connect(url) as connection:
        connection.execute(way_back())
        assert connection.execute("SELECT count(*) FROM pg_dist_partition").fetchone() == (0,)
    _serves(url, before)


def _serves(url: str, logged: list[tuple[Athlete, str]]) -> None:
    """Each athlete finds their own session, and not that of another."""
    with running_service(url) as service:
        for (athlete, session_id), (_, foreign_id) in zip(logged, reversed(logged), strict=True):
            again = Athlete(service.address, user_id=athlete.id)
            request = session_pb2.GetSessionRequest(session_id=session_id)
            assert again.sessions.GetSession(request).id == session_id
            if foreign_id != session_id:
                with refused("SESSION_NOT_FOUND"):
                    again.sessions.GetSession(session_pb2.GetSessionRequest(session_id=foreign_id))
            assert again.log().id != session_id


def way_back() -> LiteralString:
    """Returns the commands of the documentation."""
    text = (ROOT / "docs" / "scaling.md").read_text()
    _, _, section = text.partition("### The way back")
    [commands] = re.findall(r"\n    (DO .*?)\n\n", section, re.DOTALL)
    return cast("LiteralString", commands)
