"""A primary, its replica, and the service that reads from both."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from calisthenics.training.v1 import metrics_pb2

from tests.replica.server import ReplicaServer, streaming_replica
from tests.support import Athlete, RunningService, eventually, running_service

NOT_OF_A_TEST = 600.0
"""Seconds that no replica lags behind in a test, unless that is what it is about."""

Serve = Callable[..., Any]


@pytest.fixture(scope="package")
def replica(server_url: str, database_url: str) -> Iterator[ReplicaServer]:
    """A streaming replica of the server under test."""
    if os.environ.get("TRAINING_TEST_DATABASE_URL"):
        pytest.skip("a replica is made of the embedded PostgreSQL alone")
    with streaming_replica(server_url) as running:
        yield running


@pytest.fixture(scope="package")
def replica_url(replica: ReplicaServer, database_url: str) -> str:
    """The superuser's URL of the service's database on the replica."""
    return replica.url(database_url.rpartition("/")[2].partition("?")[0])


@pytest.fixture(scope="package")
def serve(replica: ReplicaServer, replica_url: str, database_url: str) -> Serve:
    """Runs the service on primary and replica, and waits until it reads from the latter."""

    @contextmanager
    def run(**settings: Any) -> Iterator[RunningService]:
        usual = {"replica_wait_ms": 100, "replica_max_lag_seconds": NOT_OF_A_TEST}
        urls = (replica_url,)
        with running_service(database_url, replica_urls=urls, **{**usual, **settings}) as running:
            someone = Athlete(running.address)
            eventually(lambda: is_read(replica, someone))
            someone.close()
            yield running

    return run


def is_read(replica: ReplicaServer, athlete: Athlete) -> bool:
    """Whether the service reads from the replica now."""
    before = replica.now()
    athlete.metrics.ListDailyTotals(metrics_pb2.ListDailyTotalsRequest())
    return replica.answered_since(before)


@pytest.fixture(scope="package")
def service(serve: Serve) -> Iterator[RunningService]:
    """The service under test, in which calls do not wait long for the replica."""
    with serve() as running:
        yield running


@pytest.fixture(autouse=True)
def _as_it_was(replica: ReplicaServer, alice: Athlete) -> Iterator[None]:
    """Begins with a replica that has everything and is read from, and leaves one that replays."""
    replica.catch_up()
    eventually(lambda: is_read(replica, alice))
    yield
    replica.resume()
