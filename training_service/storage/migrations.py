"""Bringing the schema to a revision. The server never does this by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

import migrations
from training_service.errors import Reason, TrainingError
from training_service.storage.tables import SCHEMA

LOCK_TIMEOUT_SECONDS = 5
"""A migration that can't get its lock gives up rather than make every query queue behind it."""

STATEMENT_TIMEOUT_SECONDS = 600
ADVISORY_LOCK = 0x7472_6169_6E69_6E67  # "training" in ASCII


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

    Only one such call at a time works on a database; another waits for it.
    """
    with _connect(url) as connection:
        config = _config()
        config.attributes["connection"] = connection
        current = _current(connection)
        if revision == "base" or (current and revision in _earlier_than(current)):
            command.downgrade(config, revision)
        else:
            command.upgrade(config, revision)


@contextmanager
def _connect(url: str) -> Iterator[Connection]:
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


def _earlier_than(revision: str) -> set[str]:
    script = ScriptDirectory.from_config(_config())
    return {r.revision for r in script.walk_revisions("base", revision)} - {revision}


def is_earlier_revision(revision: str) -> bool:
    """Whether a revision comes before the one this version of the service needs.

    One that is unknown here comes from a later version: it only added to the schema.
    """
    return revision in _earlier_than(head_revision())
