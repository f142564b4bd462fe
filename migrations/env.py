"""Runs revisions on the connection that `training_service.storage.migrations` hands over.

Alembic's own command, for writing a revision, has none: it opens one to the database of the
settings.
"""

from alembic import context
from sqlalchemy import Connection

from training_service.embedded import database_url
from training_service.settings import load_settings
from training_service.storage.migrations import connect
from training_service.storage.tables import SCHEMA, metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name == SCHEMA,
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
