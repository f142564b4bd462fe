"""Load by calendar day, from what sessions amount to, and how averages stood long ago.

Moving averages remember everything since an athlete's first day. So that a reader need not go back
so far, how they stood at the end of each month is kept once that month is long past: as
checkpoints, made by the first reader who misses them. A session that is logged, amended or voided
on a day so long past removes those from its day on. Other writes, nearly all, have nothing to do.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from sqlalchemy import (
    ColumnElement,
    Date,
    Integer,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    delete,
    func,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from training_service.caller import Scope
from training_service.domain.load import DayLoad, Levels, LoadHistory, LoadUnit
from training_service.domain.load_flag import DAYS_BEFORE_BREAK, Hold
from training_service.domain.periods import ONE_DAY, Period
from training_service.errors import TrainingError
from training_service.storage.athlete_lock import AthleteLock
from training_service.storage.database import Transaction
from training_service.storage.reads import Reads
from training_service.storage.statements import (
    Statement,
    own,
    parameter,
    prepare,
    prepare_command,
)
from training_service.storage.tables import (
    exercise_metrics,
    load_checkpoints,
    load_histories,
    session_metrics,
    sessions,
)

logger = structlog.get_logger(__name__)

IMPUTED_FROM = 5
"""How many earlier sessions of the same workout a missing load is taken from."""
SETTLED_DAYS = 91
"""Age from which a day may be covered by a checkpoint."""
RECENT_DAYS = 60
"""Age up to which a write need not look for checkpoints. So much less than the other, that neither
clocks which differ nor a long transaction make a writer overlook one."""
TRAVEL_DAYS = 2
"""A load is taken from sessions that started earlier; by the calendars of their time zones they may
be a day later."""

_SESSION_IDS = bindparam("session_ids", type_=ARRAY(Uuid))
_LOCK = AthleteLock(load_histories)


def _outdated_from(day: ColumnElement[Any]) -> Any:
    return prepare_command(
        delete(load_checkpoints).where(
            own(load_checkpoints),
            load_checkpoints.c.local_date >= day - cast(literal_column(str(TRAVEL_DAYS)), Integer),
        )
    )


_OUTDATE_FROM = _outdated_from(parameter("local_date", load_checkpoints.c.local_date))
_OUTDATE_SESSIONS = _outdated_from(
    select(func.min(sessions.c.local_date))
    .where(own(sessions), sessions.c.id == any_(_SESSION_IDS))
    .scalar_subquery()
)


async def outdate(transaction: Transaction, first: date) -> None:
    """Queues that checkpoints are right no more from a day on, on which sessions begin to count.

    Call it before the write: until its end, nobody makes new ones.
    """
    if first >= _today() - timedelta(RECENT_DAYS):
        return
    await _LOCK.take(transaction)
    await transaction.execute(_OUTDATE_FROM, {"local_date": first})


async def outdate_sessions(transaction: Transaction, session_ids: Sequence[UUID]) -> None:
    """Queues the same from the day on of the first of some sessions, which end to count."""
    await _LOCK.take(transaction)
    await transaction.execute(_OUTDATE_SESSIONS, {"session_ids": session_ids})


def _today() -> date:
    return datetime.now(UTC).date()


def _earlier_loads(workout_id: Any, started_at: Any) -> Any:
    """Returns the loads that a missing one is taken from: of the last sessions of the workout
    before an instant whose own load is known."""
    earlier = session_metrics.alias("earlier")
    return (
        select(earlier.c.load_au)
        .where(
            own(earlier),
            earlier.c.workout_id == workout_id,
            earlier.c.workout_id.is_not(None),
            earlier.c.started_at < started_at,
            earlier.c.load_au.is_not(None),
        )
        .order_by(earlier.c.started_at.desc(), earlier.c.session_id.desc())
        .limit(IMPUTED_FROM)
    )


def _median(loads: Any) -> Any:
    return select(func.percentile_cont(0.5).within_group(loads.c.load_au))


def _optional_double(value: float | None) -> float | None:
    return value


_IMPUTED_LOAD = prepare(
    _median(
        _earlier_loads(
            parameter("workout_id", session_metrics.c.workout_id),
            parameter("started_at", session_metrics.c.started_at),
        ).subquery("loads")
    ),
    _optional_double,
)


def _usual_loads() -> Statement[tuple[UUID, float]]:
    """Returns for each of several workouts what a load missing at an instant is taken to be."""
    ids = bindparam("workout_ids", type_=ARRAY(Uuid))
    # Under a name that no table has: within the subquery that table's column would be meant.
    asked_id = func.unnest(ids).column_valued("asked_id")
    started_at = parameter("started_at", session_metrics.c.started_at)
    loads = _earlier_loads(asked_id, started_at).lateral("loads")
    median = func.percentile_cont(0.5).within_group(loads.c.load_au)
    return prepare(
        select(asked_id, median).join(loads, true()).group_by(asked_id),
        lambda workout_id, load_au: (workout_id, load_au),
    )


_USUAL_LOADS = _usual_loads()

_BEFORE = bindparam("before", type_=Date)
_LAST = bindparam("last", type_=Date)
_RETURNED = bindparam("return_date", type_=Date)
_UNIT = parameter("unit", load_checkpoints.c.unit)
_IS_BEFORE = and_(
    own(load_checkpoints), load_checkpoints.c.unit == _UNIT, load_checkpoints.c.local_date < _BEFORE
)


class _Checkpoint(NamedTuple):
    local_date: date
    levels: Levels


_LEVELS = tuple(load_checkpoints.c[name] for name in Levels._fields)
_CHECKPOINT = prepare(
    select(load_checkpoints.c.local_date, *_LEVELS)
    .where(_IS_BEFORE)
    .order_by(load_checkpoints.c.local_date.desc())
    .limit(1),
    lambda local_date, *levels: _Checkpoint(local_date, Levels(*levels)),
)


def _optional_date(value: date | None) -> date | None:
    return value


_FIRST_DATE = prepare(
    select(func.min(session_metrics.c.local_date)).where(own(session_metrics)), _optional_date
)


_MEASURES = {
    LoadUnit.VOLUME_LOAD: "volume_load_kg",
    LoadUnit.EFFECTIVE_REPS: "effective_reps",
    LoadUnit.HARD_SETS: "hard_sets",
}


def _load_of(unit: LoadUnit) -> dict[str, ColumnElement[Any]]:
    """Returns the load of a session as far as it is known, whether a part of it is not, and whether
    it had to be imputed."""
    of = session_metrics.c
    no: ColumnElement[bool] = literal_column("false")
    if unit is LoadUnit.SESSION_RPE:
        loads = _earlier_loads(of.workout_id, of.started_at).correlate(session_metrics)
        imputed = _median(loads.subquery("loads")).scalar_subquery()
        load = case((of.load_au.is_(None), imputed), else_=of.load_au)
        return {"load": load, "is_partial": no, "is_imputed": of.load_au.is_(None)}
    name = _MEASURES[unit]
    known, sets = of[f"{name}_known"], of[f"{name}_sets"]
    load = case((or_(known > 0, sets == 0), of[name]))
    return {"load": load, "is_partial": known < sets, "is_imputed": no}


# What is reckoned of a date is so inside: around the subquery it would be no condition of an index,
# for row-level security keeps what is not leakproof from being one.
_LAST_CHECKPOINT = (
    select(
        func.coalesce(
            func.max(load_checkpoints.c.local_date), cast(literal_column("'-infinity'"), Date)
        )
    )
    .where(_IS_BEFORE)
    .scalar_subquery()
)
_BEFORE_BREAK = (
    select(
        func.max(session_metrics.c.local_date)
        - cast(literal_column(str(DAYS_BEFORE_BREAK)), Integer)
    )
    .where(own(session_metrics), session_metrics.c.local_date < _RETURNED)
    .scalar_subquery()
)


def _list_days(
    unit: LoadUnit, after: ColumnElement[Any], until: ColumnElement[bool]
) -> Statement[DayLoad]:
    """Returns the days with sessions after one day, until another."""
    done = (
        select(
            session_metrics.c.local_date,
            *(value.label(name) for name, value in _load_of(unit).items()),
        )
        .where(
            own(session_metrics),
            session_metrics.c.local_date > after,
            until,
        )
        # Else an imputed load would be looked for anew wherever it is referred to. A materialized
        # CTE can't be a part of what a distributed database reads of many.
        .offset(literal_column("0"))
        .subquery("done")
    )
    is_known = done.c.load.is_not(None)
    return prepare(
        select(
            done.c.local_date,
            func.sum(done.c.load),
            func.count(),
            func.count().filter(done.c.is_imputed, is_known),
            func.count().filter(or_(done.c.is_partial, ~is_known)),
        )
        .group_by(done.c.local_date)
        .order_by(done.c.local_date),
        DayLoad,
    )


_LIST_DAYS = {
    unit: _list_days(unit, _LAST_CHECKPOINT, session_metrics.c.local_date <= _LAST)
    for unit in LoadUnit
}
"""The days after the last checkpoint before a date."""
LIST_DAYS_BEFORE_BREAK = {
    unit: _list_days(unit, _BEFORE_BREAK, session_metrics.c.local_date < _RETURNED)
    for unit in LoadUnit
}
"""The days of the four weeks that end with the last session before a date (`return_date`)."""
HISTORY = {unit: (_CHECKPOINT, _FIRST_DATE, days) for unit, days in _LIST_DAYS.items()}
"""What a history is made of, up to a day (`last`) and back to another (`before`) or further; see
`history_of`."""


LIST_HOLDS = prepare(
    select(session_metrics.c.local_date, func.sum(exercise_metrics.c.hold_seconds))
    .join(
        session_metrics,
        and_(
            session_metrics.c.external_user_id == exercise_metrics.c.external_user_id,
            session_metrics.c.local_date == exercise_metrics.c.local_date,
            session_metrics.c.session_id == exercise_metrics.c.session_id,
        ),
    )
    .where(
        own(exercise_metrics),
        exercise_metrics.c.exercise_id == any_(bindparam("exercise_ids", type_=ARRAY(Uuid))),
        exercise_metrics.c.local_date >= bindparam("holds_from", type_=Date),
        exercise_metrics.c.local_date <= _LAST,
        exercise_metrics.c.hold_seconds > 0,
    )
    .group_by(
        session_metrics.c.local_date, session_metrics.c.started_at, session_metrics.c.session_id
    )
    .order_by(session_metrics.c.started_at, session_metrics.c.session_id),
    Hold,
)
"""For how long sessions held some exercises, from a day (`holds_from`) to another (`last`)."""


class LoadRepository:
    """Reads the load of one athlete at a time."""

    def __init__(self, database: Reads) -> None:
        self._database = database

    async def first_date(self, scope: Scope) -> date | None:
        """Returns the day of the athlete's first session; None before any."""
        [first_date] = await self._database.read(scope, _FIRST_DATE, {})
        return first_date

    async def days_before_break(
        self, scope: Scope, unit: LoadUnit, return_date: date
    ) -> list[DayLoad]:
        """Returns the days with sessions of the four weeks that end with the last one before a
        date."""
        statement = LIST_DAYS_BEFORE_BREAK[unit]
        return await self._database.read(scope, statement, {"return_date": return_date})

    async def history(self, scope: Scope, unit: LoadUnit, first: date, last: date) -> LoadHistory:
        """Returns the days up to one date, from another at the latest on."""
        history, _ = await self.history_with(scope, unit, first, last, (), {})
        return history

    async def history_and_holds(
        self,
        scope: Scope,
        unit: LoadUnit,
        first: date,
        last: date,
        exercise_ids: Sequence[UUID],
        holds_from: date,
    ) -> tuple[LoadHistory, list[Hold]]:
        """Returns the same, and for how long sessions from a date on held some exercises, oldest
        first; in one round trip."""
        parameters = {"exercise_ids": exercise_ids, "holds_from": holds_from}
        history, [holds] = await self.history_with(
            scope, unit, first, last, (LIST_HOLDS,), parameters
        )
        return history, holds

    async def history_with(
        self,
        scope: Scope,
        unit: LoadUnit,
        first: date,
        last: date,
        more: Sequence[Statement[Any]],
        parameters: Mapping[str, Any],
    ) -> tuple[LoadHistory, list[list[Any]]]:
        """Returns the same as `history`, and the rows of more statements; in one round trip.

        The statements may use `unit`, `before` and `last`, and have no others of these names.
        """
        given = {**parameters, **_parameters(unit, first, last)}
        queries = [(statement, given) for statement in more]
        return await self.history_each(scope, unit, first, last, queries)

    async def history_each(
        self,
        scope: Scope,
        unit: LoadUnit,
        first: date,
        last: date,
        more: Sequence[tuple[Statement[Any], Mapping[str, Any]]],
    ) -> tuple[LoadHistory, list[list[Any]]]:
        """The same for statements that have parameters of their own."""
        given = _parameters(unit, first, last)
        own_queries = [(statement, given) for statement in HISTORY[unit]]
        found = await self._database.read_each(scope, [*own_queries, *more])
        count = len(own_queries)
        history = history_of(found[:count], last)
        if lacks_checkpoint(history, first):
            await self.try_to_keep_checkpoints(scope, unit)
        return history, found[count:]

    async def try_to_keep_checkpoints(self, scope: Scope, unit: LoadUnit) -> None:
        """Spares the next reader the way back; this one has an answer whether or not it works."""
        try:
            await self._keep_checkpoints(scope, unit)
        except TrainingError as error:
            logger.warning("checkpoints of load were not kept", why=error.message)

    async def _keep_checkpoints(self, scope: Scope, unit: LoadUnit) -> None:
        until = _settled()
        parameters = {"unit": unit.value, "before": until, "last": until}
        async with self._database.transaction(scope) as transaction:
            await _LOCK.take(transaction)
            # Only now: what writers did who had the lock before is seen, and others wait.
            found = await transaction.fetch_each([(one, parameters) for one in HISTORY[unit]])
            history = history_of(found, until)
            rows = [
                (scope.external_user_id, unit.value, day.local_date, *levels)
                for day, levels in zip(history.days, history.levels(), strict=True)
                if _is_month_end(day.local_date)
            ]
            await transaction.insert(load_checkpoints, rows)

    async def imputed_load_au(
        self, scope: Scope, workout_id: UUID, started_at: datetime
    ) -> float | None:
        """Returns the median load of the last five earlier sessions of a workout whose load is
        known; None without one."""
        parameters = {"workout_id": workout_id, "started_at": started_at}
        [load_au] = await self._database.read(scope, _IMPUTED_LOAD, parameters)
        return load_au

    async def usual_loads_au(
        self, scope: Scope, workout_ids: Collection[UUID], before: datetime
    ) -> dict[UUID, float]:
        """Returns the same of several workouts at an instant; without those that have none."""
        if not workout_ids:
            return {}
        parameters = {"workout_ids": list(workout_ids), "started_at": before}
        return dict(await self._database.read(scope, _USUAL_LOADS, parameters))


def _parameters(unit: LoadUnit, first: date, last: date) -> dict[str, Any]:
    return {"unit": unit.value, "before": first, "last": last}


def history_of(found: Sequence[Sequence[Any]], last: date) -> LoadHistory:
    """Returns the history that the rows of each statement of `HISTORY` make."""
    checkpoints, [first_date], days = found
    if first_date is None or first_date > last:
        return LoadHistory(None, None, [])
    start, before = first_date, None
    if checkpoints:
        [checkpoint] = checkpoints
        start, before = checkpoint.local_date + ONE_DAY, checkpoint.levels
    return LoadHistory(first_date, before, list(_every_day(start, last, days)))


def _every_day(start: date, last: date, days: Sequence[DayLoad]) -> Iterator[DayLoad]:
    """Yields all days from one to another, rest days between those with sessions."""
    by_ordinal = {day.local_date.toordinal(): day for day in days}
    for ordinal in range(start.toordinal(), last.toordinal() + 1):
        yield by_ordinal.get(ordinal) or _rest_day(ordinal)


@lru_cache(maxsize=4096)
def _rest_day(ordinal: int) -> DayLoad:
    """Returns a day without a session: the same for all athletes."""
    return DayLoad(date.fromordinal(ordinal), 0.0)


def _settled() -> date:
    """Returns the last day that a checkpoint may cover."""
    return _today() - timedelta(SETTLED_DAYS)


def lacks_checkpoint(history: LoadHistory, first: date) -> bool:
    """Returns whether a month ended, long ago, among the days that were read only for the averages;
    those that are needed for themselves begin with `first`."""
    if not history.days:
        return False
    month_end = Period.MONTH.start(min(first, _settled() + ONE_DAY)) - ONE_DAY
    return history.days[0].local_date <= month_end


def _is_month_end(day: date) -> bool:
    return (day + ONE_DAY).day == 1
