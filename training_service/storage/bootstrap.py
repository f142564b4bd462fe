"""What comes before the first migration, and the first rows after it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from training_service.domain.exercise import Exercise, check_progression
from training_service.settings import Settings
from training_service.storage.database import Database
from training_service.storage.exercise import CatalogueVersion, ExerciseRepository


def ensure_database(server_url: str, name: str) -> str:
    """Creates a database unless it is there, and returns its URL."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        query = "SELECT 1 FROM pg_database WHERE datname = %s"
        if connection.execute(query, [name]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = make_url(server_url).set(database=name)
    return url.render_as_string(hide_password=False)


async def seed_catalogue(
    settings: Settings,
    url: str,
    exercises: Sequence[Exercise],
    now: datetime,
    progress: Callable[[], None],
) -> int:
    """Adds those of the exercises that are missing and returns how many they were.

    What is there stays as it is: an administrator may have changed it. All or nothing: refused, as
    a change through the service would be, when the progression graph would not stay sound.
    `progress` is called for each exercise looked at.
    """
    async with Database(settings, url) as database:
        repository = ExerciseRepository(database, CatalogueVersion(database))
        async with repository.change() as change:
            await change.take_turn()
            known = await change.find([str(e.id) for e in exercises])
            missing = [e for e in exercises if e.id not in known]
            for exercise in missing:
                await change.insert_alone(replace(exercise, created_at=now, updated_at=now))
                progress()
            for exercise in missing:
                await change.insert_edges(exercise)
            if missing:
                # An administrator may have changed what the new edges lead to.
                check_progression(*await change.graph())
                await change.announce()
            for _ in known:
                progress()
            return len(missing)
