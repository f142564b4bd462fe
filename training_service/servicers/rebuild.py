"""Reckons derived numbers anew from the records, while the service goes on."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from calisthenics.training.v1 import session_pb2

from training_service.archive.store import open_store
from training_service.caller import Scope
from training_service.domain.metrics import session_metrics
from training_service.errors import unless_erased
from training_service.servicers.convert import exercise_uuid
from training_service.servicers.session_metrics import to_logged
from training_service.settings import Settings
from training_service.storage.archive import Archive
from training_service.storage.database import Database
from training_service.storage.exercise import Catalogue, CatalogueVersion
from training_service.storage.metrics import MeasuredSession
from training_service.storage.rebuild import Rebuild, Record


async def rebuild_metrics(
    settings: Settings, url: str, progress: Callable[[int, int], None], *, everything: bool = False
) -> int:
    """Reckons the metrics of sessions that have none or those of an older formula, and the personal
    records with them; with `everything`, of all. Returns of how many.

    Works in the order of athletes and sessions, a batch in each transaction, and can be ended and
    begun again at any time. `progress` is called with how many are done and how many there are.
    Must run as the owner of the schema.
    """
    async with Database(settings, url) as database:
        archive = Archive(database, open_store(settings))
        rebuild = Rebuild(database, archive, everything=everything)
        measure = partial(measured, Catalogue(database, CatalogueVersion(database)))
        count = await rebuild.count()
        done = 0
        for athlete in await rebuild.athletes():
            ids = [UUID(int=0)]
            with unless_erased():
                while ids := await rebuild.batch(Scope(athlete), ids[-1], measure):
                    done += len(ids)
                    progress(done, count)
        return done


async def measured(catalogue: Catalogue, stored: Record) -> MeasuredSession:
    """Returns what a session amounts to."""
    session = session_pb2.Session.FromString(stored.record)
    exercise_ids = [exercise_uuid(exercise.exercise_id) for exercise in session.exercises]
    facts = await catalogue.facts(exercise_ids)
    return MeasuredSession(
        stored.id,
        stored.local_date,
        stored.started_at,
        stored.workout_id,
        stored.duration_seconds,
        exercise_ids,
        session_metrics(to_logged(session, facts)),
    )
