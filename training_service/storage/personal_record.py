"""Personal records: the best of each kind that an athlete did in an exercise.

They follow from `exercise_metrics`, and are kept apart because every log would otherwise be looked
through for them.
"""

from collections.abc import Collection, Sequence
from datetime import date
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    Double,
    FromClause,
    Integer,
    Select,
    Text,
    all_,
    and_,
    any_,
    bindparam,
    column,
    delete,
    literal,
    or_,
    select,
    tuple_,
    values,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on, insert
from sqlalchemy.types import Uuid

from training_service.caller import Scope
from training_service.storage.database import Transaction
from training_service.storage.reads import Reads
from training_service.storage.statements import (
    Statement,
    own,
    parameter,
    prepare,
    prepare_command,
)
from training_service.storage.tables import exercise_metrics, personal_records, sessions


class RecordKind(StrEnum):
    """What was never more."""

    MOST_REPS = "MOST_REPS"
    LONGEST_HOLD = "LONGEST_HOLD"
    HEAVIEST_LOAD = "HEAVIEST_LOAD"
    BEST_1RM = "BEST_1RM"


COLUMNS = {
    RecordKind.MOST_REPS: "most_reps",
    RecordKind.LONGEST_HOLD: "longest_hold_seconds",
    RecordKind.HEAVIEST_LOAD: "heaviest_load_kg",
    RecordKind.BEST_1RM: "epley_1rm_kg",
}
"""The column of exercise_metrics that each is the most of."""

_SESSION_IDS = bindparam("session_ids", type_=ARRAY(Uuid))
_OF = exercise_metrics.c
_BEST = (
    values(column("kind", Text), column("value", Double), name="best")
    .data([(literal(kind.value, Text), _OF[name]) for kind, name in COLUMNS.items()])
    .lateral()
)
_FIRST_REACHED = (_OF.local_date, _OF.session_id)


def are_of_sessions(table: FromClause) -> ColumnElement[bool]:
    """Returns the condition that derived rows are of some sessions (`session_ids`), by way of their
    dates, which the indexes begin with."""
    local_dates = select(sessions.c.local_date).where(
        own(sessions), sessions.c.id == any_(_SESSION_IDS)
    )
    return and_(
        own(table), table.c.local_date.in_(local_dates), table.c.session_id == any_(_SESSION_IDS)
    )


def _best(*are_candidates: ColumnElement[bool]) -> Select[Any]:
    """Returns the best of each kind in some rows of exercise_metrics, and when it was first
    reached."""
    return (
        select(_OF.external_user_id, _OF.exercise_id, _BEST.c.kind, _BEST.c.value, *_FIRST_REACHED)
        .select_from(exercise_metrics.join(_BEST, _BEST.c.value.is_not(None)))
        .where(own(exercise_metrics), *are_candidates)
        .ext(distinct_on(_OF.exercise_id, _BEST.c.kind))
        # Also the order in which rows are locked: calls that meet wait for one another.
        .order_by(_OF.exercise_id, _BEST.c.kind, _BEST.c.value.desc(), *_FIRST_REACHED)
    )


def _keep_best(are_candidates: ColumnElement[bool]) -> Statement[None]:
    """Returns the statement that makes records of the best of some rows of exercise_metrics, where
    they are more than what is there or as much and earlier."""
    candidates = _best(are_candidates)
    names = ("external_user_id", "exercise_id", "kind", "value", "local_date", "session_id")
    command = insert(personal_records).from_select(list(names), candidates)
    there, new = personal_records.c, command.excluded
    earlier = tuple_(new.local_date, new.session_id) < tuple_(there.local_date, there.session_id)
    return prepare_command(
        command.on_conflict_do_update(
            index_elements=["external_user_id", "exercise_id", "kind"],
            set_={name: new[name] for name in ("value", "local_date", "session_id")},
            where=or_(new.value > there.value, and_(new.value == there.value, earlier)),
        )
    )


_IMPROVE = _keep_best(
    and_(
        _OF.local_date == any_(bindparam("local_dates", type_=ARRAY(Date))),
        _OF.session_id == any_(_SESSION_IDS),
    )
)
_retracted = exercise_metrics.alias("retracted")
_THEIR_EXERCISES = select(_retracted.c.exercise_id).where(are_of_sessions(_retracted))
_LOCK = prepare_command(
    select(personal_records.c.kind)
    .where(own(personal_records), personal_records.c.exercise_id.in_(_THEIR_EXERCISES))
    .order_by(personal_records.c.exercise_id, personal_records.c.kind)
    .with_for_update()
)
_FORGET = prepare_command(
    delete(personal_records).where(
        own(personal_records), personal_records.c.session_id == any_(_SESSION_IDS)
    )
)
_RESTORE = _keep_best(
    and_(_OF.exercise_id.in_(_THEIR_EXERCISES), _OF.session_id != all_(_SESSION_IDS))
)


async def improve(
    transaction: Transaction, session_ids: Sequence[UUID], local_dates: Collection[date]
) -> None:
    """Queues that sessions whose exercise_metrics were just added may hold records."""
    parameters = {"session_ids": session_ids, "local_dates": list(local_dates)}
    await transaction.execute(_IMPROVE, parameters)


async def restore(transaction: Transaction, session_ids: Sequence[UUID]) -> None:
    """Queues that sessions hold no records any more, while their exercise_metrics are still there.

    The lock comes first: two sessions taken back at once might otherwise each make the other's
    best the record.
    """
    for statement in (_LOCK, _FORGET, _RESTORE):
        await transaction.execute(statement, {"session_ids": session_ids})


class PersonalRecord(NamedTuple):
    """The best of one kind in one exercise, and when it was first reached."""

    exercise_id: UUID
    kind: str
    value: float
    local_date: date
    session_id: UUID


_FILTERS: dict[str, ColumnElement[bool]] = {
    "exercise_id": personal_records.c.exercise_id == parameter("exercise_id", _OF.exercise_id),
    "kind": personal_records.c.kind == parameter("kind", personal_records.c.kind),
}
RecordPlace = tuple[date, UUID, str]
"""Sort key of a listing: date, exercise and kind."""


@cache
def _list(filters: frozenset[str], *, continued: bool) -> Statement[PersonalRecord]:
    of = personal_records.c
    place = (of.local_date, of.exercise_id, of.kind)
    statement = select(of.exercise_id, of.kind, of.value, of.local_date, of.session_id).where(
        own(personal_records),
        of.local_date >= bindparam("first", type_=Date),
        of.local_date <= bindparam("last", type_=Date),
        *(_FILTERS[name] for name in sorted(filters)),
    )
    if continued:
        after = tuple_(*(parameter(f"after_{c.name}", c) for c in place))
        statement = statement.where(tuple_(*place) < after)
    order = [c.desc() for c in place]
    return prepare(
        statement.order_by(*order).limit(bindparam("limit", type_=Integer)), PersonalRecord
    )


_WHOLE = ("exercise_id", "kind", "value", "local_date", "session_id")
STORED_RECORDS = prepare(
    select(*(personal_records.c[name] for name in _WHOLE)).where(own(personal_records)),
    PersonalRecord,
)
EXPECTED_RECORDS = prepare(_best(), lambda _, *values: PersonalRecord(*values))
"""What should be stored, by all that an athlete did."""

LIST_RECORDS = _list(frozenset(), continued=False)
"""Up to `limit` records first reached between two dates (`first`, `last`), newest first."""


class PersonalRecordRepository:
    """Reads the personal records of one athlete at a time."""

    def __init__(self, database: Reads) -> None:
        self._database = database

    async def list(
        self,
        scope: Scope,
        filters: dict[str, Any],
        first: date,
        last: date,
        after: RecordPlace | None,
        limit: int,
    ) -> Sequence[PersonalRecord]:
        """Returns records first reached between two dates, both included, newest first, after a
        place. `filters` may hold `exercise_id` and `kind`."""
        parameters = {**filters, "first": first, "last": last, "limit": limit}
        if after:
            names = ("after_local_date", "after_exercise_id", "after_kind")
            parameters.update(zip(names, after, strict=True))
        statement = _list(frozenset(filters), continued=after is not None)
        return await self._database.read(scope, statement, parameters)
