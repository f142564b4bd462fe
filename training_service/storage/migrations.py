"""Bringing the schema to a revision. The server never does this by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

import migrations
from training_service.errors import Reason, TrainingError
from training_service.storage.tables import SCHEMA

LOCK_TIMEOUT_SECONDS = 5
"""A migration that can't get its lock gives up rather than make every query queue behind it."""

STATEMENT_TIMEOUT_SECONDS = 600
ADVISORY_LOCK = 0x7472_6169_6E69_6E67  # "training" in ASCII


class MigrationError(Exception):
    """A migration could not be run; nothing of it remains."""


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config


def head_revision() -> str:
    """Returns the revision this version of the service needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "there are no migrations"
    return head


def migrate(url: str, revision: str = "head") -> None:
    """Upgrades, or downgrades, to a revision: "head", "base" or one's id.

    Raises MigrationError for an unknown revision, and when a lock or the time runs out. Only one
    such call at a time works on a database; another waits for it.
    """
    with connect(url) as connection:
        config = _config()
        config.attributes["connection"] = connection
        current = _current(connection)
        try:
            if revision == "base" or (current and revision in earlier_revisions(current)):
                command.downgrade(config, revision)
            else:
                command.upgrade(config, revision)
        except (CommandError, DBAPIError) as error:
            raise MigrationError(str(error)) from error


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    """Yields a connection for migrations, which has the database to itself among them."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        connect_args={"connect_timeout": 10, "application_name": "training-service migrate"},
    )
    try:
        opened = engine.connect()
    except OperationalError as error:
        raise TrainingError(
            Reason.DATABASE_UNAVAILABLE, f"can't connect to the database: {error.orig}"
        ) from None
    with opened as connection:
        connection.execute(text(f"SELECT pg_advisory_lock({ADVISORY_LOCK})"))
        connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'"))
        connection.execute(text(f"SET statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'"))
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        connection.commit()
        yield connection


def _current(connection: Connection) -> str | None:
    exists = connection.scalar(text(f"SELECT to_regclass('{SCHEMA}.alembic_version')"))
    query = text(f"SELECT version_num FROM {SCHEMA}.alembic_version")
    current = connection.scalar(query) if exists else None
    connection.commit()
    return current


def earlier_revisions(revision: str) -> frozenset[str]:
    """Returns the revisions that come before one."""
    script = ScriptDirectory.from_config(_config())
    return frozenset(r.revision for r in script.walk_revisions("base", revision)) - {revision}
