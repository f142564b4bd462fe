"""What tells this installation from others."""

from sqlalchemy import select

from training_service.storage.database import Database
from training_service.storage.statements import prepare
from training_service.storage.tables import installation

_KEY = prepare(select(installation.c.pseudonym_key), bytes)


async def pseudonym_key(database: Database) -> bytes:
    """Returns the key with which ids of users become pseudonyms.

    Raises TrainingError when the database does not answer.
    """
    [key] = await database.read_shared(_KEY, {})
    return key
