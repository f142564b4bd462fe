"""Databases on a Citus cluster: for TRAINING_TEST_DATABASE_URL that names its coordinator.

The database in that URL has the extension and knows its workers; the same nodes serve all databases
that tests make.
"""

from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from training_service.storage.distribution import distribute

SHARDS = 4
"""Few: each takes time to make, and all tables are cut alike."""


@dataclass(frozen=True)
class Node:
    """A server of the cluster, as the others reach it."""

    host: str
    port: int

    def url(self, server_url: str, database: str) -> str:
        """Returns the URL of one of its databases, with the login of another URL."""
        url = make_url(server_url).set(host=self.host, port=self.port, database=database)
        return url.render_as_string(hide_password=False)


class Cluster:
    """The nodes behind a coordinator; none where there is no Citus."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._coordinator, self._workers = _nodes(server_url)

    @property
    def is_there(self) -> bool:
        """Whether this is a cluster at all."""
        return bool(self._workers)

    def add_database(self, url: str) -> None:
        """Makes a coordinator's database known to the workers, which get one of the same name."""
        name = make_url(url).database or ""
        for worker in self._workers:
            with psycopg.connect(worker.url(url, "postgres"), autocommit=True) as connection:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            with psycopg.connect(worker.url(url, name), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION citus")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION citus")
            here = self._coordinator
            connection.execute("SELECT citus_set_coordinator_host(%s, %s)", [here.host, here.port])
            for worker in self._workers:
                connection.execute("SELECT citus_add_node(%s, %s)", [worker.host, worker.port])

    def drop_database(self, name: str) -> None:
        """Removes it from the workers."""
        for worker in self._workers:
            url = worker.url(self._server_url, "postgres")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
                )

    def spread(self, url: str) -> None:
        """Distributes a database that has its schema."""
        distribute(url, SHARDS, lambda *_: None)


def _nodes(server_url: str) -> tuple[Node, list[Node]]:
    with psycopg.connect(server_url) as connection:
        here = Node(connection.info.host, connection.info.port)
        if not connection.execute("SELECT to_regclass('pg_catalog.pg_dist_node')").fetchone()[0]:  # type: ignore[index]
            return here, []
        query = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 ORDER BY nodeid"
        return here, [Node(*row) for row in connection.execute(query)]
