"""Linking sessions that are in no chain: those logged before there were chains, and those logged by
an older server since."""

from collections.abc import Callable

from training_service.archive.store import open_store
from training_service.caller import Scope
from training_service.domain.session_chain import Link
from training_service.errors import unless_erased
from training_service.settings import Settings
from training_service.storage import session_link
from training_service.storage.archive import Archive
from training_service.storage.database import Database

BATCH = 500
"""Sessions of one block."""


async def link_sessions(settings: Settings, url: str, progress: Callable[[int, int], None]) -> int:
    """Appends sessions that are in no chain to that of their athlete, in the order of their ids;
    returns how many.

    A block in each transaction; it can be ended and begun again at any time, beside services that
    go on serving. Must run as the owner of the schema.
    """
    async with Database(settings, url) as database:
        archive = Archive(database, open_store(settings))
        [count] = await database.read_shared(session_link.COUNT_UNLINKED, {})
        done = 0
        for athlete in await database.read_shared(session_link.UNLINKED_ATHLETES, {}):
            with unless_erased():
                while linked := await _link_some(database, archive, Scope(athlete)):
                    done += linked
                    progress(done, count)
        return done


async def _link_some(database: Database, archive: Archive, scope: Scope) -> int:
    async with database.transaction(scope) as transaction:
        found = await transaction.fetch(session_link.UNLINKED, {"limit": BATCH})
        rows = await archive.rows_by(transaction.fetch, found)
        await session_link.append(transaction, [Link.of(one.id, one.record) for one in rows])
    return len(found)
