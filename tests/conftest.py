"""Fixtures: one migrated and seeded database and one running service for each test process."""

import asyncio
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from sqlalchemy import make_url

from tests.citus import Cluster
from tests.support import Athlete, Queries, RunningService, patched_queries, running_service
from training_service.catalogue import load_catalogue
from training_service.embedded import embedded_postgres
from training_service.logs import configure_logs
from training_service.settings import Settings
from training_service.storage.bootstrap import ensure_database, seed_catalogue
from training_service.storage.exercise_vector import Embedded, embed
from training_service.storage.migrations import migrate

# Fixtures live as long as the test process, and its database is shared: neither slows with
# examples. A deadline for one example would be a timed test.
hypothesis_settings.register_profile(
    "here",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
hypothesis_settings.load_profile("here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the test that takes longest, so that no process is left alone with it."""
    items.sort(key=lambda item: "test_schemathesis" not in item.nodeid)


@pytest.fixture(scope="session", autouse=True)
def _quiet() -> None:
    """Leaves only what is wrong in the output of a failed test."""
    configure_logs(Settings(log_level="ERROR"))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The superuser's URL of PostgreSQL: TRAINING_TEST_DATABASE_URL, else the embedded one."""
    given = os.environ.get("TRAINING_TEST_DATABASE_URL")
    if given:
        yield given
        return
    # Not under pytest's own folder, which other test processes close to all but their user.
    with (
        tempfile.TemporaryDirectory(prefix="training-test-", ignore_cleanup_errors=True) as folder,
        embedded_postgres(Path(folder) / "postgres") as url,
    ):
        with psycopg.connect(url, autocommit=True) as connection:
            # What a test stores need not survive a power cut.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield url


@pytest.fixture(scope="session")
def cluster(server_url: str) -> Cluster:
    """The servers that the one under test spreads over."""
    return Cluster(server_url)


@pytest.fixture(scope="session")
def make_database(server_url: str, cluster: Cluster) -> Iterator[Callable[[], str]]:
    """Makes empty databases, which go at the end."""
    made: list[str] = []

    def make() -> str:
        name = f"training_test_{uuid.uuid4().hex[:12]}"
        made.append(name)
        url = ensure_database(server_url, name)
        if cluster.is_there:
            cluster.add_database(url)
        return url

    yield make
    with psycopg.connect(server_url, autocommit=True) as connection:
        for name in made:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            cluster.drop_database(name)


@pytest.fixture(scope="session")
def database_url(make_database: Callable[[], str]) -> str:
    """The owner's URL of the database under the service."""
    return prepared(make_database())


@pytest.fixture(scope="session")
def pgvector(server_url: str) -> None:
    """Skips what needs the extension for vectors, on a server that does not have it."""
    with psycopg.connect(server_url) as connection:
        query = "SELECT FROM pg_available_extensions WHERE name = 'vector'"
        if connection.execute(query).fetchone() is None:
            pytest.skip("the server does not have pgvector")


def prepared(url: str) -> str:
    """Gives an empty database all that the service needs, distributed where it can be; returns its
    URL."""
    filled(url)
    cluster = Cluster(url)
    if cluster.is_there:
        cluster.spread(url)
    return url


def filled(url: str) -> None:
    """Gives an empty database its schema, catalogue and vectors."""
    migrate(url)
    seed(url)
    embed_in(url)


def embed_in(url: str) -> Embedded:
    """Reckons the vectors of exercises in a database."""
    return asyncio.run(embed(Settings(database_role=""), url, datetime.now(UTC)))


def seed(url: str) -> int:
    """Adds the catalogue to a database."""
    owner = Settings(database_role="")
    return asyncio.run(
        seed_catalogue(owner, url, load_catalogue(), datetime.now(UTC), lambda: None)
    )


@pytest.fixture(scope="session")
def service(database_url: str) -> Iterator[RunningService]:
    """The service under test, with metadata authentication."""
    with running_service(database_url) as running:
        yield running


@pytest.fixture
def new_athlete(service: RunningService) -> Iterator[Callable[..., Athlete]]:
    """Makes callers with identities of their own."""
    made: list[Athlete] = []

    def make(**options: object) -> Athlete:
        athlete = Athlete(service.address, **options)  # type: ignore[arg-type]
        made.append(athlete)
        return athlete

    yield make
    for athlete in made:
        athlete.close()


@pytest.fixture
def alice(new_athlete: Callable[..., Athlete]) -> Athlete:
    """An athlete."""
    return new_athlete()


@pytest.fixture
def bob(new_athlete: Callable[..., Athlete]) -> Athlete:
    """Another athlete."""
    return new_athlete()


@pytest.fixture
def admin(new_athlete: Callable[..., Athlete]) -> Athlete:
    """A caller who may write the catalogue."""
    return new_athlete(roles="admin")


@pytest.fixture
def sibling(new_athlete: Callable[..., Athlete]) -> Athlete:
    """A sibling service, which may act for any athlete."""
    return new_athlete(roles="service")


@pytest.fixture
def queries() -> Iterator[Queries]:
    """Records the SQL that reaches the database."""
    seen = Queries()
    with patched_queries(lambda sql: sql, seen):
        yield seen


@pytest.fixture
def owner(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection of the schema's owner, whom row-level security does not bind."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def database_name(database_url: str) -> str:
    """The name of the database under the service."""
    return make_url(database_url).database or ""
