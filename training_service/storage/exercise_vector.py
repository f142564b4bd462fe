"""Vectors of exercises: nearest neighbours, and reckoning them anew.

The table is there only where the database has the extension pgvector, so it stands in no metadata:
everything else must work without it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from training_service.domain.exercise import Exercise
from training_service.domain.similarity import (
    FORMULA_VERSION,
    MIN_ATHLETES,
    Pairs,
    Vector,
    vectors,
)
from training_service.settings import Settings
from training_service.storage.database import Database
from training_service.storage.exercise import (
    REFRESH_SECONDS,
    CatalogueChange,
    CatalogueVersion,
    ExerciseFilter,
    ExerciseRepository,
)
from training_service.storage.statements import Statement

MAX_NEIGHBOURS = 1000
"""As many as an HNSW index may look at for one answer (`hnsw.ef_search`): more than there are
exercises."""
MAX_EXERCISES = 100_000
DIGITS = 3

HAS_VECTORS = Statement(
    """
    SELECT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = to_regclass('training.exercise_vectors')
        AND attname = 'vector' AND NOT attisdropped AND has_table_privilege(attrelid, 'SELECT')
    )
    """,
    bool,
)
"""Whether vectors can be read. A dropped extension takes the column with it, and not the table."""
NEAREST = Statement(
    f"""
    SELECT exercise_id, 1 - (vector <=> (SELECT vector FROM training.exercise_vectors
                                         WHERE exercise_id = $1))
    FROM training.exercise_vectors
    WHERE exercise_id <> $1
    AND EXISTS (SELECT FROM training.exercise_vectors WHERE exercise_id = $1)
    ORDER BY vector <=> (SELECT vector FROM training.exercise_vectors WHERE exercise_id = $1)
    LIMIT {MAX_NEIGHBOURS}
    """,  # noqa: S608
    lambda id, similarity: (id, similarity),
    ("exercise_id",),
)
"""By the HNSW index where there are many (Malkov & Yashunin 2018); of some hundreds PostgreSQL
rather looks at each."""
_ENABLE = Statement("SELECT training.enable_vectors()", str)
_PAIRS = Statement(
    """
    WITH done AS (
        SELECT DISTINCT external_user_id, session_id, exercise_id
        FROM training.session_exercises AS one
        WHERE set_count > 0 AND NOT EXISTS (
            SELECT FROM training.session_retractions AS retracted
            WHERE retracted.external_user_id = one.external_user_id
            AND retracted.session_id = one.session_id
        )
    ), together AS (
        SELECT DISTINCT external_user_id, a.exercise_id, b.exercise_id AS other_id
        FROM done AS a JOIN done AS b USING (external_user_id, session_id)
        WHERE a.exercise_id < b.exercise_id
    )
    SELECT exercise_id, other_id, count(*) FROM together GROUP BY 1, 2 HAVING count(*) >= $1
    """,
    lambda one, other, count: ((one, other), count),
    ("min_athletes",),
)
"""Each athlete counts once, however often; pairs of too few don't leave the database."""
_CLEAR = Statement("DELETE FROM training.exercise_vectors", lambda *_: None)
_STORE = Statement(
    """
    INSERT INTO training.exercise_vectors
        (exercise_id, vector, exercise_version, formula_version, made_at)
    SELECT id, components::vector, version, $4::smallint, $5::timestamptz
    FROM unnest($1::uuid[], $2::text[], $3::int[]) AS made (id, components, version)
    """,
    lambda *_: None,
    ("ids", "vectors", "versions", "formula_version", "now"),
)


class ExerciseVectors:
    """How alike exercises are, remembered by the catalogue's version."""

    def __init__(self, database: Database, version: CatalogueVersion) -> None:
        self._database = database
        self._version = version
        self._known: dict[UUID, Mapping[UUID, float] | None] = {}
        self._known_version = -1

    async def near(
        self, id: UUID, *, max_age_seconds: float = REFRESH_SECONDS
    ) -> Mapping[UUID, float] | None:
        """Returns the exercises nearest to one, the nearest first, with how alike they are: -1 to
        1. None when the exercise has no vector, or the database none at all.

        To three digits: more would be of no use but to who looks for what a single athlete changed.
        """
        version = await self._version.current(max_age_seconds)
        if version != self._known_version:
            self._known, self._known_version = {}, version
        known = self._known
        if id not in known:
            known[id] = await self._read(id)
        return known[id]

    async def _read(self, id: UUID) -> Mapping[UUID, float] | None:
        [has_vectors] = await self._database.read_shared(HAS_VECTORS, {})
        if not has_vectors:
            return None
        async with self._database.nearest(MAX_NEIGHBOURS) as transaction:
            found = await transaction.fetch(NEAREST, {"exercise_id": id})
        rounded = [(id, round(similarity, DIGITS)) for id, similarity in found]
        return dict(sorted(rounded, key=lambda one: (-one[1], one[0]))) or None


class Embedded(NamedTuple):
    """What became of reckoning vectors anew."""

    obstacle: str
    """Why there are none; empty when there are."""
    exercises: int = 0
    pairs: int = 0
    """Of exercises that enough athletes trained together."""


async def embed(settings: Settings, url: str, now: datetime) -> Embedded:
    """Reckons the vectors of all exercises anew, and makes the table for them if it is missing.

    Can be run at any time, beside services that go on serving. Must run as the owner of the schema.
    """
    async with Database(settings, url) as database:
        async with database.job() as transaction:
            [obstacle] = await transaction.fetch(_ENABLE, {})
        if obstacle:
            return Embedded(obstacle)
        version = CatalogueVersion(database)
        repository = ExerciseRepository(database, version)
        page = await repository.list_page(ExerciseFilter(), None, MAX_EXERCISES)
        exercises = [exercise for exercise, _ in page]
        pairs = await _pairs(database)
        await _store(database, exercises, vectors(exercises, pairs), now)
        return Embedded("", len(exercises), len(pairs))


async def _pairs(database: Database) -> Pairs:
    async with database.job() as transaction:
        return dict(await transaction.fetch(_PAIRS, {"min_athletes": MIN_ATHLETES}))


async def _store(
    database: Database,
    exercises: Sequence[Exercise],
    made: Mapping[UUID, Vector],
    now: datetime,
) -> None:
    """Puts vectors in place of those of before, and tells every process."""
    async with database.job() as transaction:
        change = CatalogueChange(transaction)
        await change.take_turn()
        await transaction.execute(_CLEAR, {})
        await transaction.execute(
            _STORE,
            {
                "ids": [one.id for one in exercises],
                "vectors": [f"[{','.join(f'{x:.9g}' for x in made[one.id])}]" for one in exercises],
                "versions": [one.version for one in exercises],
                "formula_version": FORMULA_VERSION,
                "now": now,
            },
        )
        await change.announce()
