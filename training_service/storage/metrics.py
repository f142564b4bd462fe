"""What sessions amount to: a row for each that counts, and one for each of its exercises.

A write that logs, amends or voids sessions keeps them in step, in its own transaction. What days,
weeks and months add up to is summed when it is read: an athlete trains once or twice a day, so that
days would be hardly fewer rows than sessions.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    TIMESTAMP,
    ColumnElement,
    Date,
    Integer,
    Table,
    any_,
    bindparam,
    cast,
    delete,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Uuid

from training_service.caller import Scope
from training_service.domain.metrics import FORMULA_VERSION, ExerciseMetrics, SessionMetrics, Total
from training_service.domain.periods import Period
from training_service.storage import load, personal_record
from training_service.storage.database import Transaction
from training_service.storage.reads import Reads
from training_service.storage.statements import (
    NULL_DOUBLE,
    Doubles,
    Statement,
    own,
    parameter,
    prepare,
    prepare_command,
    written,
)
from training_service.storage.tables import (
    BESTS,
    EXERCISE_MEASURES,
    MEASURES,
    exercise_metrics,
    exercises,
    session_metrics,
)

_DELETES = tuple(
    prepare_command(delete(table).where(personal_record.are_of_sessions(table)))
    for table in (exercise_metrics, session_metrics)
)


class MeasuredSession(NamedTuple):
    """A session that counts, and what it amounts to."""

    id: UUID
    local_date: date
    started_at: datetime
    workout_id: UUID | None
    duration_seconds: int | None
    exercise_ids: Sequence[UUID]
    metrics: SessionMetrics


async def add(
    transaction: Transaction, external_user_id: UUID, measured: Sequence[MeasuredSession]
) -> None:
    """Queues that sessions count now."""
    if not measured:
        return
    await load.outdate(transaction, min(one.local_date for one in measured))
    await transaction.insert(
        session_metrics, [session_row(external_user_id, one) for one in measured]
    )
    rows = [row for one in measured for row in exercise_rows(external_user_id, one)]
    await transaction.insert(exercise_metrics, rows)
    await personal_record.improve(
        transaction, [one.id for one in measured], {one.local_date for one in measured}
    )


async def take(transaction: Transaction, session_ids: Sequence[UUID]) -> None:
    """Queues that sessions count no more."""
    await load.outdate_sessions(transaction, session_ids)
    await personal_record.restore(transaction, session_ids)
    for statement in _DELETES:
        await transaction.execute(statement, {"session_ids": session_ids})


def session_row(external_user_id: UUID, session: MeasuredSession) -> tuple[Any, ...]:
    """Returns a value for every column of session_metrics."""
    metrics = session.metrics
    volume = metrics.volume
    return (
        external_user_id,
        session.local_date,
        session.id,
        session.started_at,
        session.workout_id,
        FORMULA_VERSION,
        metrics.set_count,
        session.duration_seconds,
        NULL_DOUBLE if metrics.load_au is None else metrics.load_au,
        # In the order of MEASURES.
        *volume.reps,
        *volume.hold_seconds,
        *volume.dynamic_seconds,
        *volume.volume_load_kg,
        *volume.external_volume_load_kg,
        *volume.impulse_kg_seconds,
        *volume.effective_reps,
        *metrics.skill_effective_reps,
        *metrics.strength_effective_reps,
        *metrics.core_effective_reps,
        *volume.hard_sets,
    )


def exercise_rows(external_user_id: UUID, session: MeasuredSession) -> Iterable[tuple[Any, ...]]:
    """Returns the rows of exercise_metrics, with a value for every column."""
    exercises = zip(session.exercise_ids, session.metrics.exercises, strict=True)
    return [
        (external_user_id, id, session.local_date, session.id, position, *_exercise_values(of))
        for position, (id, of) in enumerate(exercises, start=1)
    ]


def _exercise_values(metrics: ExerciseMetrics) -> tuple[Any, ...]:
    """Returns the values of exercise_metrics behind the key."""
    volume = metrics.volume
    return (
        metrics.set_count,
        # In the order of EXERCISE_MEASURES.
        *volume.reps,
        *volume.hold_seconds,
        *volume.volume_load_kg,
        *volume.effective_reps,
        *volume.hard_sets,
        *(NULL_DOUBLE if best is None else best for best in metrics.best),
        Doubles(metrics.unaided_sets),
        Doubles(metrics.loads_kg_by_reps),
    )


def session_row_dict(external_user_id: UUID, session: MeasuredSession) -> dict[str, Any]:
    """Returns a row of session_metrics as it is read."""
    return _as_read(session_metrics, session_row(external_user_id, session))


def exercise_row_dicts(external_user_id: UUID, session: MeasuredSession) -> list[dict[str, Any]]:
    """Returns the rows of exercise_metrics as they are read, in their order."""
    return [_as_read(exercise_metrics, row) for row in exercise_rows(external_user_id, session)]


def _as_read(table: Table, row: Sequence[Any]) -> dict[str, Any]:
    values = [None if value is NULL_DOUBLE else value for value in row]
    return dict(zip((c.name for c in written(table)), values, strict=True))


class PeriodTotal(NamedTuple):
    """The sums of some days, the first of which is `start_date`."""

    start_date: date
    session_count: int
    set_count: int
    duration_seconds: Total
    load_au: Total
    measures: tuple[Total, ...]
    """In the order of MEASURES."""

    def measure(self, name: str) -> Total:
        """Returns one of the measures."""
        return self.measures[MEASURES.index(name)]


def _period_total(
    start_date: date,
    sessions: int,
    sets: int,
    seconds: int,
    seconds_known: int,
    load: float,
    load_known: int,
    *measured: Any,
) -> PeriodTotal:
    return PeriodTotal(
        start_date,
        sessions,
        sets,
        Total(seconds, seconds_known, sessions),
        Total(load, load_known, sessions),
        totals_of(measured),
    )


def totals_of(measured: Sequence[Any]) -> tuple[Total, ...]:
    """Returns the totals that values of `sums_of` say."""
    return tuple(map(Total, measured[::3], measured[1::3], measured[2::3]))


def or_zero(value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Returns a value, or 0 where there is none."""
    return func.coalesce(value, literal_column("0"))


def sums_of(table: Table, names: Iterable[str]) -> list[ColumnElement[Any]]:
    """Returns the sums of measures: what is known, of how many it is, and of how many it could."""
    return [
        or_zero(func.sum(table.c[f"{name}{suffix}"]))
        for name in names
        for suffix in ("", "_known", "_sets")
    ]


_DAY_SUMS: list[ColumnElement[Any]] = [
    func.count(session_metrics.c.session_id),
    or_zero(func.sum(session_metrics.c.set_count)),
    or_zero(func.sum(session_metrics.c.duration_seconds)),
    func.count(session_metrics.c.duration_seconds),
    or_zero(func.sum(session_metrics.c.load_au)),
    func.count(session_metrics.c.load_au),
    *sums_of(session_metrics, MEASURES),
]
_FIRST, _LAST = (bindparam(name, type_=Date) for name in ("first", "last"))
_LIMIT = bindparam("limit", type_=Integer)


def _between(table: Table) -> tuple[ColumnElement[bool], ...]:
    return own(table), table.c.local_date >= _FIRST, table.c.local_date <= _LAST


_LIST_DAYS = prepare(
    select(session_metrics.c.local_date, *_DAY_SUMS)
    .where(*_between(session_metrics))
    .group_by(session_metrics.c.local_date)
    .order_by(session_metrics.c.local_date)
    .limit(_LIMIT),
    _period_total,
)


def start_of(period: Period, day: ColumnElement[Any]) -> ColumnElement[Any]:
    """Returns the first day of the period that a day is in."""
    # By way of timestamps without a time zone: no zone may move a date.
    return cast(func.date_trunc(literal_column(f"'{period}'"), cast(day, TIMESTAMP)), Date)


def _list_periods(period: Period) -> Statement[PeriodTotal]:
    """Returns the sums of every period between two dates, of those with no day too."""
    start = start_of(period, session_metrics.c.local_date)
    sums = [value.label(f"sum_{n}") for n, value in enumerate(_DAY_SUMS)]
    trained = (
        select(start.label("start_date"), *sums)
        .where(*_between(session_metrics))
        .group_by(start)
        .subquery("trained")
    )
    first, last = cast(_FIRST, TIMESTAMP), cast(_LAST, TIMESTAMP)
    length: ColumnElement[Any] = literal_column(f"INTERVAL '1 {period}'")
    periods = select(
        cast(func.generate_series(first, last, length), Date).label("start_date")
    ).subquery("periods")
    first_day = select(func.min(session_metrics.c.local_date)).where(own(session_metrics))
    return prepare(
        select(periods.c.start_date, *(or_zero(trained.c[value.name]) for value in sums))
        .outerjoin(trained, trained.c.start_date == periods.c.start_date)
        .where(periods.c.start_date >= start_of(period, first_day.scalar_subquery()))
        .order_by(periods.c.start_date)
        .limit(_LIMIT),
        _period_total,
    )


_LIST_PERIODS = {period: _list_periods(period) for period in Period}


class ExerciseDay(NamedTuple):
    """What an athlete did of one exercise on one day."""

    exercise_id: UUID
    local_date: date
    set_count: int
    measures: tuple[Total, ...]
    """In the order of EXERCISE_MEASURES."""
    bests: tuple[float | None, ...]
    """In the order of BESTS."""
    are_records: tuple[bool, ...]
    """Of each of them, whether it was more than ever before."""


_SUMMED = 3 * len(EXERCISE_MEASURES)


def _exercise_day(exercise_id: UUID, local_date: date, sets: int, *values: Any) -> ExerciseDay:
    bests = values[_SUMMED : _SUMMED + len(BESTS)]
    before = values[_SUMMED + len(BESTS) :]
    are_records = tuple(
        best is not None and (former is None or best > former)
        for best, former in zip(bests, before, strict=True)
    )
    return ExerciseDay(
        exercise_id, local_date, sets, totals_of(values[:_SUMMED]), tuple(bests), are_records
    )


def _progress() -> Statement[ExerciseDay]:
    """Returns the days on which some exercises were done, oldest first."""
    of = exercise_metrics.c
    key = (of.exercise_id, of.local_date)
    days = (
        select(
            *key,
            func.sum(of.set_count).label("set_count"),
            *(
                value.label(f"sum_{n}")
                for n, value in enumerate(sums_of(exercise_metrics, EXERCISE_MEASURES))
            ),
            *(func.max(of[name]).label(name) for name in BESTS),
        )
        .where(
            own(exercise_metrics),
            of.exercise_id == any_(bindparam("exercise_ids", type_=ARRAY(Uuid))),
            of.local_date <= _LAST,
        )
        .group_by(*key)
        .subquery("days")
    )
    so_far = select(
        days,
        *(
            func.max(days.c[name])
            .over(partition_by=days.c.exercise_id, order_by=days.c.local_date, rows=(None, 0))
            .label(f"{name}_so_far")
            for name in BESTS
        ),
    ).subquery("so_far")
    progress = select(
        *(so_far.c[c.name] for c in days.c),
        *(
            func.lag(so_far.c[f"{name}_so_far"])
            .over(partition_by=so_far.c.exercise_id, order_by=so_far.c.local_date)
            .label(f"{name}_before")
            for name in BESTS
        ),
    ).subquery("progress")
    place = tuple_(progress.c.local_date, progress.c.exercise_id)
    begin = tuple_(_FIRST, parameter("first_id", progress.c.exercise_id))
    return prepare(
        select(progress)
        .where(place >= begin)
        .order_by(progress.c.local_date, progress.c.exercise_id)
        .limit(_LIMIT),
        _exercise_day,
    )


_PROGRESS = _progress()


class ExerciseTotal(NamedTuple):
    """What an athlete did of one exercise in some days."""

    exercise_id: UUID
    set_count: int
    effective_reps: Total


def _exercise_total(exercise_id: UUID, set_count: int, *effective_reps: Any) -> ExerciseTotal:
    return ExerciseTotal(exercise_id, set_count, Total(*effective_reps))


SUM_EXERCISES = prepare(
    select(
        exercise_metrics.c.exercise_id,
        func.sum(exercise_metrics.c.set_count),
        *sums_of(exercise_metrics, ["effective_reps"]),
    )
    .where(*_between(exercise_metrics))
    .group_by(exercise_metrics.c.exercise_id),
    _exercise_total,
)


class CategoryWeek(NamedTuple):
    """What an athlete did of one category of exercises in a week."""

    start_date: date
    category: str
    effective_reps: Total


def _category_week(start_date: date, category: str, *effective_reps: Any) -> CategoryWeek:
    return CategoryWeek(start_date, category, Total(*effective_reps))


_WEEK = start_of(Period.WEEK, exercise_metrics.c.local_date).label("start_date")
_SUM_CATEGORIES = prepare(
    select(_WEEK, exercises.c.category, *sums_of(exercise_metrics, ["effective_reps"]))
    .join(exercises, exercises.c.id == exercise_metrics.c.exercise_id)
    .where(*_between(exercise_metrics))
    .group_by(_WEEK, exercises.c.category)
    .order_by(_WEEK, exercises.c.category),
    _category_week,
)


class RangeTotal(NamedTuple):
    """The sums of all days of a range, with the first and the last that had a session."""

    total: PeriodTotal
    last_date: date | None
    training_day_count: int


def _range_total(
    first: date | None, last: date | None, training_days: int, *sums: Any
) -> RangeTotal:
    return RangeTotal(_period_total(first or date.min, *sums), last, training_days)


_SUM_RANGE = prepare(
    select(
        func.min(session_metrics.c.local_date),
        func.max(session_metrics.c.local_date),
        func.count(session_metrics.c.local_date.distinct()),
        *_DAY_SUMS,
    ).where(*_between(session_metrics)),
    _range_total,
)
_TRAINING_WEEK = start_of(Period.WEEK, session_metrics.c.local_date).label("start_date")
_LIST_TRAINING_WEEKS = prepare(
    select(_TRAINING_WEEK).where(*_between(session_metrics)).distinct().order_by(_TRAINING_WEEK),
    lambda start_date: start_date,
)


class Summary(NamedTuple):
    """What an athlete did in a range of days."""

    total: RangeTotal
    exercises: Sequence[ExerciseTotal]
    training_weeks: Sequence[date]
    """The Mondays of the weeks with a session, oldest first."""


class MetricsRepository:
    """Reads what the sessions of one athlete at a time amount to."""

    def __init__(self, database: Reads) -> None:
        self._database = database

    async def list_days(
        self, scope: Scope, first: date, last: date, limit: int
    ) -> list[PeriodTotal]:
        """Returns the days with sessions between two dates, both included, oldest first."""
        parameters = {"first": first, "last": last, "limit": limit}
        return await self._database.read(scope, _LIST_DAYS, parameters)

    async def list_periods(
        self, scope: Scope, period: Period, first: date, last: date, limit: int
    ) -> list[PeriodTotal]:
        """Returns every period from one start to the one that a date is in, oldest first, with
        what was done up to that date; none before that of the athlete's first session."""
        parameters = {"first": first, "last": last, "limit": limit}
        return await self._database.read(scope, _LIST_PERIODS[period], parameters)

    async def list_progress(
        self,
        scope: Scope,
        exercise_ids: Sequence[UUID],
        begin: tuple[date, UUID],
        last: date,
        limit: int,
    ) -> list[ExerciseDay]:
        """Returns the days on which any of the exercises was done, ordered by date and exercise,
        from one such pair up to a date."""
        first, first_id = begin
        parameters = {
            "exercise_ids": exercise_ids,
            "first": first,
            "first_id": first_id,
            "last": last,
            "limit": limit,
        }
        return await self._database.read(scope, _PROGRESS, parameters)

    async def list_category_weeks(
        self, scope: Scope, first: date, last: date
    ) -> list[CategoryWeek]:
        """Returns the effective repetitions of each ISO week and category that has any."""
        return await self._database.read(scope, _SUM_CATEGORIES, {"first": first, "last": last})

    async def list_exercises(self, scope: Scope, first: date, last: date) -> list[ExerciseTotal]:
        """Returns what was done of each exercise, in no order."""
        return await self._database.read(scope, SUM_EXERCISES, {"first": first, "last": last})

    async def summary(self, scope: Scope, first: date, last: date) -> Summary:
        """Returns what was done between two dates, both included."""
        statements = (_SUM_RANGE, SUM_EXERCISES, _LIST_TRAINING_WEEKS)
        parameters = {"first": first, "last": last}
        [total], by_exercise, weeks = await self._database.read_all(scope, statements, parameters)
        return Summary(total, by_exercise, weeks)
