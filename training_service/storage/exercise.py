"""The exercise catalogue and its progression graph."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import errors
from sqlalchemy import (
    Float,
    Integer,
    SmallInteger,
    Text,
    Uuid,
    any_,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from training_service.domain.exercise import (
    NEGATIVE_SUFFIX,
    ContractionEmphasis,
    Criterion,
    Edge,
    Exercise,
    ExerciseState,
    MovementKind,
)
from training_service.domain.metrics import ExerciseTraits
from training_service.domain.skill import Skill, usual_criterion
from training_service.errors import Reason, TrainingError
from training_service.storage.database import Database, Transaction
from training_service.storage.idempotency import WriteRequest, catalogue_log
from training_service.storage.statements import Statement, parameter, prepare, prepare_command
from training_service.storage.tables import catalogue_state, exercise_edges, exercises

SIMILARITY_THRESHOLD = 0.45
"""Least trigram word similarity of a match: low enough for a slip of the keys in a word of five
letters, high enough to keep unrelated names out. Chosen by trying misspellings on the catalogue."""

NAME_SEPARATOR = " | "

REFRESH_SECONDS = 5.0
"""How long what a process remembers of the catalogue is used without asking for its version."""

_CRITERION = [exercises.c[f"criterion_{name}"] for name in Criterion._fields]
_APART = {"search_text", "in_use_since", *(c.name for c in _CRITERION)}
_COLUMNS = [c for c in exercises.c if c.name not in _APART]


class _ExerciseRow(NamedTuple):
    exercise: Exercise
    score: int


def _row(*values: Any) -> _ExerciseRow:
    *columns, set_count, amount, session_count, in_use, easier, harder, score = values
    fields = dict(zip((c.name for c in _COLUMNS), columns, strict=True))
    for name in ("aliases", "equipment", "primary_muscles", "secondary_muscles", "cues"):
        fields[name] = tuple(fields[name])
    exercise = Exercise(
        **{
            **fields,
            "movement_kind": MovementKind(fields["movement_kind"]),
            "contraction_emphasis": ContractionEmphasis(fields["contraction_emphasis"]),
            "state": ExerciseState(fields["state"]),
        },
        criterion=_criterion(set_count, amount, session_count),
        in_use=in_use,
        easier_ids=tuple(easier),
        harder_ids=tuple(harder),
    )
    return _ExerciseRow(exercise, score)


def _criterion(
    set_count: int | None, amount: float | None, session_count: int | None
) -> Criterion | None:
    if set_count is None or amount is None or session_count is None:
        return None
    return Criterion(set_count, amount, session_count)


def _neighbours(wanted: Any, given: Any) -> Any:
    """The ids at the other end of an exercise's edges, as an array."""
    return func.array(
        select(wanted).where(given == exercises.c.id).order_by(wanted).scalar_subquery(),
        type_=ARRAY(Uuid),
    )


_QUERY = bindparam("query", type_=Text)
_NAME = func.unnest(func.string_to_array(exercises.c.search_text, NAME_SEPARATOR)).column_valued(
    "name"
)
# Of two exercises whose names hold the words asked for, the one whose name is nothing but them.
_BEST_NAME = select(func.max(func.similarity(_QUERY, _NAME))).correlate(exercises).scalar_subquery()
# Whole numbers, so that the score can stand in a page token without losing digits.
_SCORE = cast(
    func.round(1e6 * (func.word_similarity(_QUERY, exercises.c.search_text) + _BEST_NAME)),
    Integer,
)
_NO_SCORE = cast(literal_column("0"), Integer)


def _select(score: Any) -> Any:
    return select(
        *_COLUMNS,
        *_CRITERION,
        exercises.c.in_use_since.is_not(None),
        _neighbours(exercise_edges.c.easier_id, exercise_edges.c.harder_id),
        _neighbours(exercise_edges.c.harder_id, exercise_edges.c.easier_id),
        score,
    )


_ANY = _select(_NO_SCORE)
_GET = prepare(
    _ANY.where(
        or_(
            exercises.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))),
            exercises.c.slug == any_(bindparam("slugs", type_=ARRAY(Text))),
        )
    ),
    _row,
)


@dataclass(frozen=True, slots=True)
class ExerciseFilter:
    """Which exercises a listing asks for; None is no limit. `query` is in lower case."""

    categories: tuple[str, ...] | None = None
    muscles: tuple[str, ...] | None = None
    equipment_at_hand: tuple[str, ...] | None = None
    min_difficulty: int | None = None
    max_difficulty: int | None = None
    movement_kind: str | None = None
    states: tuple[str, ...] | None = None
    family: str | None = None
    query: str | None = None


def _texts(name: str) -> Any:
    return bindparam(name, type_=ARRAY(Text))


_FILTERS: dict[str, Any] = {
    "categories": exercises.c.category == any_(_texts("categories")),
    "muscles": or_(
        exercises.c.primary_muscles.overlap(_texts("muscles")),
        exercises.c.secondary_muscles.overlap(_texts("muscles")),
    ),
    "equipment_at_hand": exercises.c.equipment.contained_by(_texts("equipment_at_hand")),
    "min_difficulty": exercises.c.difficulty >= bindparam("min_difficulty", type_=SmallInteger),
    "max_difficulty": exercises.c.difficulty <= bindparam("max_difficulty", type_=SmallInteger),
    "movement_kind": exercises.c.movement_kind
    == parameter("movement_kind", exercises.c.movement_kind),
    "states": exercises.c.state == any_(_texts("states")),
    "family": exercises.c.family == parameter("family", exercises.c.family),
    "query": func.word_similarity(_QUERY, exercises.c.search_text)
    >= cast(literal_column(str(SIMILARITY_THRESHOLD)), Float),
}


@cache
def _list(filters: frozenset[str], *, continued: bool) -> Statement[_ExerciseRow]:
    """Returns the listing with these filters: one statement for each combination in use."""
    score = _SCORE if "query" in filters else _NO_SCORE
    key = (-score, exercises.c.difficulty, exercises.c.slug)
    statement = _select(score).where(*(_FILTERS[name] for name in sorted(filters)))
    if continued:
        after = tuple_(
            bindparam("after_score", type_=Integer),
            bindparam("after_difficulty", type_=SmallInteger),
            bindparam("after_slug", type_=Text),
        )
        statement = statement.where(tuple_(*key) > after)
    return prepare(statement.order_by(*key).limit(bindparam("limit", type_=Integer)), _row)


ExerciseKey = tuple[int, int, str]
"""Sort key of a listing: (-score, difficulty, slug)."""

_LOCK = prepare(
    select(catalogue_state.c.version).where(catalogue_state.c.id == 1).with_for_update(), int
)
_VERSION = prepare(select(catalogue_state.c.version).where(catalogue_state.c.id == 1), int)
_RAISE_VERSION = prepare_command(
    update(catalogue_state)
    .where(catalogue_state.c.id == 1)
    .values(version=catalogue_state.c.version + 1)
)
_LOCK_ONE = prepare_command(
    select(exercises.c.id)
    .where(exercises.c.id == parameter("id", exercises.c.id))
    .with_for_update()
)
_EDGES = prepare(
    select(exercise_edges.c.easier_id, exercise_edges.c.harder_id),
    lambda easier, harder: (easier, harder),
)
_DIFFICULTIES = prepare(select(exercises.c.id, exercises.c.difficulty), lambda id, d: (id, d))
_WRITTEN = [c for c in exercises.c if c.name not in ("in_use_since",)]
_INSERT = prepare_command(
    insert(exercises).values({c.name: parameter(c.name, c) for c in _WRITTEN})
)
_UPDATE = prepare_command(
    update(exercises)
    .where(exercises.c.id == parameter("id", exercises.c.id))
    .values({c.name: parameter(c.name, c) for c in _WRITTEN if c.name not in ("id", "created_at")})
)
_DELETE_EDGES = prepare_command(
    delete(exercise_edges).where(
        or_(
            exercise_edges.c.easier_id == parameter("id", exercise_edges.c.easier_id),
            exercise_edges.c.harder_id == parameter("id", exercise_edges.c.harder_id),
        )
    )
)
_INSERT_EDGE = prepare_command(
    insert(exercise_edges)
    .values({c.name: parameter(c.name, c) for c in exercise_edges.c})
    .on_conflict_do_nothing()
)
_TOUCH = prepare_command(
    update(exercises)
    .where(exercises.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))))
    .values(version=exercises.c.version + 1, updated_at=parameter("now", exercises.c.updated_at))
)
_MARK_IN_USE = prepare_command(
    update(exercises)
    .where(
        exercises.c.id == any_(bindparam("ids", type_=ARRAY(Uuid))),
        exercises.c.in_use_since.is_(None),
    )
    .values(in_use_since=parameter("now", exercises.c.in_use_since))
)


class ExerciseFacts(NamedTuple):
    """What a process remembers of an exercise."""

    id: UUID
    active: bool
    in_use: bool
    traits: ExerciseTraits
    skill: Skill
    unilateral: bool
    display_name: str
    family: str
    primary_muscles: Sequence[str]
    secondary_muscles: Sequence[str]
    equipment: Sequence[str]

    @property
    def movement_kind(self) -> MovementKind:
        """Whether it is counted in repetitions or in seconds."""
        return self.traits.movement_kind

    @property
    def definition(self) -> ExerciseTraits:
        """What of the traits is frozen once the exercise is in use: all but the difficulty."""
        return replace(self.traits, difficulty=0)


def _facts(
    id: UUID,
    slug: str,
    category: str,
    difficulty: int,
    movement_kind: str,
    bodyweight_fraction: float,
    state: str,
    in_use: bool,
    unilateral: bool,
    easier_ids: Sequence[UUID],
    set_count: int | None,
    amount: float | None,
    session_count: int | None,
    *described: Any,
) -> ExerciseFacts:
    traits = ExerciseTraits(
        category=category,
        difficulty=difficulty,
        movement_kind=MovementKind(movement_kind),
        bodyweight_fraction=bodyweight_fraction,
        is_negative=slug.endswith(NEGATIVE_SUFFIX),
    )
    is_active = state == ExerciseState.ACTIVE
    usual = usual_criterion(traits.movement_kind, difficulty, unilateral=unilateral)
    skill = Skill(
        id=id,
        slug=slug,
        difficulty=difficulty,
        criterion=_criterion(set_count, amount, session_count) or usual,
        easier_ids=tuple(easier_ids),
        is_active=is_active,
    )
    return ExerciseFacts(id, is_active, in_use, traits, skill, unilateral, *described)


_FACTS = prepare(
    select(
        exercises.c.id,
        exercises.c.slug,
        exercises.c.category,
        exercises.c.difficulty,
        exercises.c.movement_kind,
        exercises.c.bodyweight_fraction,
        exercises.c.state,
        exercises.c.in_use_since.is_not(None),
        exercises.c.unilateral,
        _neighbours(exercise_edges.c.easier_id, exercise_edges.c.harder_id),
        *_CRITERION,
        exercises.c.display_name,
        exercises.c.family,
        exercises.c.primary_muscles,
        exercises.c.secondary_muscles,
        exercises.c.equipment,
    ),
    _facts,
)


def search_text(exercise: Exercise) -> str:
    """Returns the text that a search for this exercise is compared with."""
    names = [exercise.display_name, exercise.slug.replace("-", " "), *exercise.aliases]
    # "pullup" and "pull up" should find "Pull-Up" alike.
    joined = [name.replace("-", "").replace(" ", "") for name in names[1:]]
    return NAME_SEPARATOR.join(dict.fromkeys(name.lower() for name in [*names, *joined]))


class CatalogueVersion:
    """The number that rises with each change of the catalogue, as this process last saw it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._version = -1
        self._asked_at = self._changed_at = -math.inf
        self._asking = asyncio.Lock()

    async def current(self, max_age_seconds: float) -> int:
        """Returns the version; asks the database unless that was done since the oldest acceptable
        time."""
        oldest = max(time.monotonic() - max_age_seconds, self._changed_at)
        if self._asked_at < oldest:
            async with self._asking:
                if self._asked_at < oldest:  # no other call asked while this one waited
                    asked_at = time.monotonic()
                    [self._version] = await self._database.read_shared(_VERSION, {})
                    self._asked_at = asked_at
        return self._version

    def outdate(self) -> None:
        """Makes the next call ask the database: this process changed the catalogue."""
        self._changed_at = time.monotonic()


class ExerciseRepository:
    """Reads the catalogue and writes it, one change at a time."""

    def __init__(self, database: Database, version: CatalogueVersion) -> None:
        self._database = database
        self._version = version

    async def find(self, names: Collection[str]) -> list[Exercise]:
        """Returns the exercises with these ids or slugs, in no order; missing ones are left out."""
        rows = await self._database.read_shared(_GET, _by_name(names))
        return [row.exercise for row in rows]

    async def list_page(
        self, filters: ExerciseFilter, after: ExerciseKey | None, limit: int
    ) -> list[tuple[Exercise, ExerciseKey]]:
        """Returns up to `limit` exercises after a sort key, each with its own."""
        given = _given(filters)
        parameters: dict[str, Any] = {**given, "limit": limit}
        if after:
            names = ("after_score", "after_difficulty", "after_slug")
            parameters |= dict(zip(names, after, strict=True))
        statement = _list(frozenset(given), continued=after is not None)
        rows = await self._database.read_shared(statement, parameters)
        return [(e, (-score, e.difficulty, e.slug)) for e, score in rows]

    @asynccontextmanager
    async def change(self) -> AsyncIterator["CatalogueChange"]:
        """Opens a change of the catalogue; changes take turns.

        Raises EXERCISE_ALREADY_EXISTS at the end when a slug is taken.
        """
        try:
            async with self._database.transaction(None) as transaction:
                yield CatalogueChange(transaction)
        except errors.UniqueViolation:
            raise TrainingError(
                Reason.EXERCISE_ALREADY_EXISTS, "another exercise has this slug, or had it once"
            ) from None
        finally:
            self._version.outdate()


def _given(filters: ExerciseFilter) -> dict[str, Any]:
    """Returns the filters that limit anything, as parameters."""
    given = {name: getattr(filters, name) for name in _FILTERS}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value is not None
    }


def _by_name(names: Collection[str]) -> dict[str, Any]:
    ids = []
    for name in names:
        try:
            ids.append(UUID(name))
        except ValueError:
            continue
    return {"ids": ids, "slugs": [name.lower() for name in names]}


class CatalogueChange:
    """One transaction that changes the catalogue."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def take_turn(self) -> None:
        """Waits for other changes of the catalogue to end, and keeps others waiting."""
        await self._transaction.fetch(_LOCK, {})

    async def announce(self) -> None:
        """Tells every process that the catalogue changed."""
        await self._transaction.execute(_RAISE_VERSION, {})

    async def replay(self, request: WriteRequest) -> bytes | None:
        """Takes the turn, and claims the request_id; see RequestLog.replay."""
        await self.take_turn()
        return await catalogue_log.replay(self._transaction, request)

    async def record(
        self,
        request: WriteRequest,
        response: bytes,
        named_user_ids: Collection[UUID],  # noqa: ARG002
    ) -> None:
        """Keeps the answer, which names nobody, and announces the change."""
        await self.announce()
        await catalogue_log.record(self._transaction, request, response)

    async def find(self, names: Collection[str]) -> dict[UUID, Exercise]:
        """Returns the exercises with these ids or slugs, by id."""
        rows = await self._transaction.fetch(_GET, _by_name(names))
        return {row.exercise.id: row.exercise for row in rows}

    async def lock(self, id: UUID) -> None:
        """Waits for writers that refer to the exercise for the first time, and holds them off."""
        await self._transaction.fetch(_LOCK_ONE, {"id": id})

    async def graph(self) -> tuple[list[Edge], dict[UUID, int]]:
        """Returns all edges, and the difficulty of each exercise."""
        edges = await self._transaction.fetch(_EDGES, {})
        return edges, dict(await self._transaction.fetch(_DIFFICULTIES, {}))

    async def insert(self, exercise: Exercise) -> None:
        """Adds an exercise with its edges."""
        await self.insert_alone(exercise)
        await self.insert_edges(exercise)
        await self._touch(neighbours_of(exercise), exercise.updated_at)

    async def insert_alone(self, exercise: Exercise) -> None:
        """Adds an exercise without its edges, whose other ends may not be there yet."""
        await self._transaction.execute(_INSERT, _values(exercise))

    async def insert_edges(self, exercise: Exercise) -> None:
        """Adds the edges of an exercise."""
        for easier, harder in edges_of(exercise):
            await self._transaction.execute(
                _INSERT_EDGE, {"easier_id": easier, "harder_id": harder}
            )

    async def update(self, before: Exercise, after: Exercise) -> None:
        """Replaces an exercise and its edges."""
        await self._transaction.execute(_UPDATE, _values(after))
        await self._transaction.execute(_DELETE_EDGES, {"id": after.id})
        await self.insert_edges(after)
        changed = neighbours_of(before) ^ neighbours_of(after)
        await self._touch(changed, after.updated_at)

    async def _touch(self, ids: set[UUID], now: datetime | None) -> None:
        """Raises the versions of exercises that gained or lost an edge: it is part of them."""
        if ids:
            await self._transaction.execute(_TOUCH, {"ids": list(ids), "now": now})


def neighbours_of(exercise: Exercise) -> set[UUID]:
    """Returns the other ends of an exercise's edges."""
    return {*exercise.easier_ids, *exercise.harder_ids}


def edges_of(exercise: Exercise) -> list[Edge]:
    """Returns the edges of the progression graph that an exercise names."""
    return [
        *((easier, exercise.id) for easier in exercise.easier_ids),
        *((exercise.id, harder) for harder in exercise.harder_ids),
    ]


def _values(exercise: Exercise) -> dict[str, Any]:
    values: dict[str, Any] = {"search_text": search_text(exercise)}
    criterion = exercise.criterion or (None,) * len(_CRITERION)
    values.update(zip((c.name for c in _CRITERION), criterion, strict=True))
    for column in _COLUMNS:
        value = getattr(exercise, column.name)
        values[column.name] = list(value) if isinstance(value, tuple) else value
    return values


class Catalogue:
    """What this process remembers of the catalogue, for checking references without a round trip.

    An exercise is never removed, and what matters of it is frozen before a workout or session can
    refer to it, so that a memory somewhat old is right about every exercise it holds. For one it
    doesn't hold, and for one not yet in use, the database is asked.
    """

    def __init__(self, database: Database, version: CatalogueVersion) -> None:
        self._database = database
        self._version = version
        self._facts: dict[UUID, ExerciseFacts] = {}
        self._facts_version = -1
        self._refreshing = asyncio.Lock()
        self._freezing = asyncio.Lock()

    async def facts(
        self, ids: Iterable[UUID], *, max_age_seconds: float = REFRESH_SECONDS
    ) -> dict[UUID, ExerciseFacts]:
        """Returns the facts of those of the ids that exist."""
        wanted = set(ids)
        if not all(map(self._is_settled, wanted)):
            max_age_seconds = 0
        await self._refresh(max_age_seconds)
        return {id: self._facts[id] for id in wanted if id in self._facts}

    async def family(self, family: str) -> list[ExerciseFacts]:
        """Returns the facts of the exercises of a progression family, the easiest first."""
        return await self.families([family])

    async def families(self, families: Collection[str]) -> list[ExerciseFacts]:
        """Returns the facts of the exercises of some progression families, the easiest first."""
        await self._refresh(REFRESH_SECONDS)
        found = [facts for facts in self._facts.values() if facts.family in families]
        return sorted(found, key=lambda facts: (facts.traits.difficulty, facts.display_name))

    async def everything(self) -> Mapping[UUID, ExerciseFacts]:
        """Returns the facts of all exercises."""
        await self._refresh(REFRESH_SECONDS)
        return self._facts

    def _is_settled(self, id: UUID) -> bool:
        """Whether what is remembered of an exercise can't have changed: it is in use."""
        return id in self._facts and self._facts[id].in_use

    async def freeze(self, facts: Mapping[UUID, ExerciseFacts], now: datetime) -> None:
        """Freezes the definitions of exercises that a write is about to refer to.

        Call it last before the write. Costs nothing for those in use already. Raises CONFLICT when
        a definition was changed since the facts were read.
        """
        fresh = [id for id, fact in facts.items() if not fact.in_use]
        if not fresh:
            return
        # The update's row locks wait for a change of a definition, or hold it off.
        async with self._freezing, self._database.transaction(None) as transaction:
            await transaction.execute(_MARK_IN_USE, {"ids": fresh, "now": now})
        async with self._refreshing:
            await self._load()
        if any(self._facts[id].definition != facts[id].definition for id in fresh):
            raise TrainingError(Reason.CONFLICT, "an exercise was being changed")

    async def _refresh(self, max_age_seconds: float) -> None:
        """Asks the database for changes, unless it was asked since the oldest acceptable time."""
        version = await self._version.current(max_age_seconds)
        if version == self._facts_version:
            return
        async with self._refreshing:
            if version != self._facts_version:  # no other call loaded while this one waited
                await self._load()
                self._facts_version = version

    async def _load(self) -> None:
        facts = await self._database.read_shared(_FACTS, {})
        self._facts = {fact.id: fact for fact in facts}
