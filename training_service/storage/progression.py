"""Rules of progression, and the sessions that they are replayed over."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import NamedTuple
from uuid import UUID

from psycopg import errors
from sqlalchemy import Date, Integer, Uuid, any_, bindparam, delete, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from training_service.caller import Scope
from training_service.errors import Reason, TrainingError, bad_reference
from training_service.storage.archive import Archive
from training_service.storage.author import PRESENT_AUTHOR
from training_service.storage.database import Database
from training_service.storage.idempotency import AthleteChange
from training_service.storage.session import COUNTED_RECORDS
from training_service.storage.statements import (
    Statement,
    newest_first,
    own,
    parameter,
    prepare,
    prepare_command,
    written,
)
from training_service.storage.tables import (
    exercise_metrics,
    progression_rules,
    session_metrics,
)

MAX_SESSIONS = 2_000
"""Most sessions that a rule is replayed over, the latest: over five years of daily training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """A rule as it is stored. `record` is its message, serialized; the rest is what the database
    must constrain and search."""

    id: UUID
    exercise_id: UUID
    workout_id: UUID | None
    workout_order: int | None
    policy: str
    auto_apply: bool
    start_date: date
    version: int
    created_at: datetime
    updated_at: datetime
    record: bytes

    def values(self) -> dict[str, object]:
        """Returns it as parameters."""
        return {name: getattr(self, name) for name in self.__slots__}


class StoredRule(NamedTuple):
    """A rule as it is answered."""

    id: UUID
    version: int
    updated_at: datetime
    record: bytes
    author_user_id: UUID | None


_OF = progression_rules.c
_VALUES = (_OF.id, _OF.version, _OF.updated_at, _OF.record, _OF.author_user_id)
_IS_RULE = _OF.id == parameter("id", _OF.id)
_GET_ONE = select(*_VALUES).where(own(progression_rules), _IS_RULE)
_GET = prepare(_GET_ONE, StoredRule)
_LOCK = prepare(_GET_ONE.with_for_update(), StoredRule)
_INSERT = prepare_command(
    insert(progression_rules).values(
        {c.name: parameter(c.name, c) for c in written(progression_rules)}
    )
)
_CHANGED = ("policy", "auto_apply", "start_date", "version", "updated_at", "record")
_UPDATE = prepare_command(
    update(progression_rules)
    .where(own(progression_rules), _IS_RULE)
    .values({name: parameter(name, _OF[name]) for name in _CHANGED})
    .values(PRESENT_AUTHOR)
)
_DELETE = prepare_command(delete(progression_rules).where(own(progression_rules), _IS_RULE))


@cache
def _list(*, continued: bool) -> Statement[StoredRule]:
    listed = select(*_VALUES).where(own(progression_rules))
    return newest_first(listed, _OF.id, StoredRule, continued=continued)


LIST_ALL = prepare(select(*_VALUES).where(own(progression_rules)).order_by(_OF.id), StoredRule)


class SessionsOf(NamedTuple):
    """Which sessions a rule is replayed over: those of some exercises, within days."""

    exercise_ids: Sequence[UUID]
    workout_id: UUID | None
    """Only sessions of this workout; None is any."""
    first: date
    last: date


class SessionPlace(NamedTuple):
    """A session, and where it stands among others."""

    session_id: UUID
    started_at: datetime
    local_date: date


_FIRST = bindparam("first", type_=Date)
_LAST = bindparam("last", type_=Date)


@cache
def _places(*, of_workout: bool) -> Statement[SessionPlace]:
    """Returns the sessions that count and have any of some exercises, the latest first: found by
    what they amount to, which is there for no others."""
    of = session_metrics.c
    has_exercise = of.session_id.in_(
        select(exercise_metrics.c.session_id).where(
            own(exercise_metrics),
            exercise_metrics.c.exercise_id == any_(bindparam("exercise_ids", type_=ARRAY(Uuid))),
            exercise_metrics.c.local_date >= _FIRST,
            exercise_metrics.c.local_date <= _LAST,
        )
    )
    statement = (
        select(of.session_id, of.started_at, of.local_date)
        .where(own(session_metrics), of.local_date >= _FIRST, of.local_date <= _LAST, has_exercise)
        .order_by(of.started_at.desc(), of.session_id.desc())
        .limit(bindparam("limit", type_=Integer))
    )
    if of_workout:
        statement = statement.where(of.workout_id == parameter("workout_id", of.workout_id))
    return prepare(statement, SessionPlace)


_RECORDS = prepare(
    COUNTED_RECORDS.add_columns(session_metrics.c.session_id).where(
        session_metrics.c.session_id == any_(bindparam("session_ids", type_=ARRAY(Uuid)))
    ),
    lambda record, id: (id, record),
)


class ProgressionRepository:
    """Reads and writes the rules of one athlete at a time."""

    def __init__(self, database: Database, archive: Archive) -> None:
        self._database = database
        self._archive = archive

    async def get(self, scope: Scope, id: UUID) -> StoredRule | None:
        """Returns a rule."""
        rows = await self._database.read(scope, _GET, {"id": id})
        return rows[0] if rows else None

    async def list_page(
        self, scope: Scope, before_id: UUID | None, limit: int
    ) -> Sequence[StoredRule]:
        """Returns up to `limit` rules, newest first, older than `before_id`."""
        parameters = {"before_id": before_id, "limit": limit}
        return await self._database.read(scope, _list(continued=before_id is not None), parameters)

    async def list_all(self, scope: Scope) -> Sequence[StoredRule]:
        """Returns all rules of an athlete."""
        return await self._database.read(scope, LIST_ALL, {})

    async def places(
        self, scope: Scope, asked: Sequence[SessionsOf]
    ) -> list[Sequence[SessionPlace]]:
        """Returns for each question the sessions in the order of their start, the latest of them if
        there are too many; in one round trip."""
        queries = [
            (
                _places(of_workout=one.workout_id is not None),
                {**one._asdict(), "exercise_ids": list(one.exercise_ids), "limit": MAX_SESSIONS},
            )
            for one in asked
        ]
        return [found[::-1] for found in await self._database.read_each(scope, queries)]

    async def records(self, scope: Scope, session_ids: Collection[UUID]) -> Mapping[UUID, bytes]:
        """Returns the records of those of the sessions that count."""
        parameters = {"session_ids": list(session_ids)}
        found = await self._database.read(scope, _RECORDS, parameters)
        records = await self._archive.records(scope, [record for _, record in found])
        return {id: record for (id, _), record in zip(found, records, strict=True)}

    @asynccontextmanager
    async def change(self, scope: Scope) -> AsyncIterator["ProgressionChange"]:
        """Opens a change of an athlete's rules.

        Raises PROGRESSION_RULE_ALREADY_EXISTS at the end for a second rule of an exercise or place,
        UNKNOWN_WORKOUT for a workout that does not exist.
        """
        try:
            async with self._database.transaction(scope) as transaction:
                yield ProgressionChange(transaction)
        except errors.UniqueViolation:
            raise TrainingError(
                Reason.PROGRESSION_RULE_ALREADY_EXISTS,
                "there is a rule for this exercise, or for this place of the workout",
            ) from None
        except errors.ForeignKeyViolation:
            # Exercises were looked up before, and stay.
            raise bad_reference(
                Reason.UNKNOWN_WORKOUT, "rule.workout_id", "there is no such workout"
            ) from None


class ProgressionChange(AthleteChange):
    """One transaction that changes an athlete's rules."""

    async def lock(self, id: UUID) -> StoredRule | None:
        """Returns a rule, and keeps others from changing it until the end."""
        return await self._transaction.fetch_first(_LOCK, {"id": id})

    async def insert(self, row: RuleRow) -> None:
        """Stores a new rule."""
        await self._transaction.execute(_INSERT, row.values())

    async def update(self, row: RuleRow) -> None:
        """Stores a rule in place of what it was."""
        await self._transaction.execute(_UPDATE, row.values())

    async def delete(self, id: UUID) -> None:
        """Removes a rule."""
        await self._transaction.execute(_DELETE, {"id": id})
