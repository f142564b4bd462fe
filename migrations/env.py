"""Runs revisions on the connection that `training_service.storage.migrations` hands over.

Alembic's own command, for writing a revision, has none: it opens one to the database of the
settings.
"""

from alembic import context
from sqlalchemy import Connection

from training_service.embedded import database_url
from training_service.settings import load_settings
from training_service.storage.migrations import connect
from training_service.storage.tables import OPTIONAL_TABLES, SCHEMA, metadata


def is_ours(name: str | None, kind: str, _: object) -> bool:
    """Returns whether something of a database is compared with the tables of the service."""
    return name not in OPTIONAL_TABLES if kind == "table" else kind != "schema" or name == SCHEMA


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=is_ours,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with database_url(load_settings()) as url, connect(url) as opened:
        run(opened)
