"""What recommendations are made of, as it stands at a moment: few statements in one round trip."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Date, Integer, and_, bindparam, func, literal_column, select

from training_service.caller import Scope
from training_service.domain.exercise import Criterion
from training_service.domain.goal import Goal
from training_service.domain.load import CHRONIC_DAYS, LoadHistory, LoadUnit
from training_service.domain.periods import ONE_DAY
from training_service.domain.phase import Phase
from training_service.domain.recommendation import BALANCE_DAYS, WorkoutHistory
from training_service.domain.skill import Practice
from training_service.storage.archive import Archive
from training_service.storage.database import Database
from training_service.storage.goal import list_goals
from training_service.storage.load import IMPUTED_FROM, LoadRepository
from training_service.storage.metrics import SUM_EXERCISES, ExerciseTotal
from training_service.storage.phase import IN_RANGE
from training_service.storage.progression import LIST_ALL, StoredRule
from training_service.storage.readiness import (
    READINESS,
    RECORDS,
    ReadinessInputs,
    of_day,
)
from training_service.storage.skill import PRACTICES, practice_parameters
from training_service.storage.statements import Statement, own, prepare
from training_service.storage.tables import exercise_metrics, session_metrics
from training_service.storage.workout import StoredWorkout, list_workouts

RECOVERY_DAYS = 5
"""Local dates that a session of the last 72 hours may have, whatever the time zone."""
MAX_RECENT_SESSIONS = 50
LAST_DONE_DAYS = 28
"""How far back it is looked when an exercise was done last."""
MAX_WORKOUTS = 200
"""Most own workouts that are looked at, the newest."""
MAX_GOALS = 100
"""Most goals that are looked at, the newest."""

Query = tuple[Statement[Any], Mapping[str, Any]]


class LastDone(NamedTuple):
    """When an exercise was last done: the end of its last session."""

    exercise_id: UUID
    ended_at: datetime


_IN_SESSION = and_(
    session_metrics.c.external_user_id == exercise_metrics.c.external_user_id,
    session_metrics.c.local_date == exercise_metrics.c.local_date,
    session_metrics.c.session_id == exercise_metrics.c.session_id,
)
_ZERO = literal_column("0", Integer)
_SECONDS = func.make_interval(
    _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, func.coalesce(session_metrics.c.duration_seconds, 0)
)
_LAST_DONE = prepare(
    select(exercise_metrics.c.exercise_id, func.max(session_metrics.c.started_at + _SECONDS))
    .join(session_metrics, _IN_SESSION)
    .where(
        own(exercise_metrics),
        own(session_metrics),
        exercise_metrics.c.local_date >= bindparam("done_from", type_=Date),
        exercise_metrics.c.set_count > 0,
    )
    .group_by(exercise_metrics.c.exercise_id),
    LastDone,
)


def _workout_histories() -> Statement[WorkoutHistory]:
    """Returns of each workout the date of its last session, and the median of its last five loads
    that are known."""
    of = session_metrics.c
    is_known = of.load_au.is_not(None)
    number = func.row_number().over(
        partition_by=(of.workout_id, is_known), order_by=(of.started_at.desc(), of.session_id)
    )
    done = (
        select(of.workout_id, of.local_date, of.load_au, number.label("number"))
        .where(own(session_metrics), of.workout_id.is_not(None))
        .subquery("done")
    )
    median = func.percentile_cont(0.5).within_group(done.c.load_au)
    return prepare(
        select(
            done.c.workout_id,
            func.max(done.c.local_date),
            median.filter(done.c.number <= literal_column(str(IMPUTED_FROM), Integer)),
        ).group_by(done.c.workout_id),
        WorkoutHistory,
    )


_WORKOUT_HISTORIES = _workout_histories()


class RecoveryInputs(NamedTuple):
    """What recovery is reckoned from."""

    records: Sequence[bytes]
    """Of the sessions of the last days, the latest first."""
    last_done: Sequence[LastDone]


class ExerciseInputs(NamedTuple):
    """What recommendations of exercises are made of."""

    records: Sequence[bytes]
    """As in RecoveryInputs."""
    done: Sequence[ExerciseTotal]
    """Of 14 days."""
    goals: Sequence[Goal]
    """Those that are not abandoned."""
    practices: Mapping[UUID, Practice]


class WorkoutInputs(NamedTuple):
    """What recommendations of workouts are made of."""

    readiness: ReadinessInputs
    """With the load of the days up to today."""
    done: Sequence[ExerciseTotal]
    """Of 14 days."""
    goals: Sequence[Goal]
    """Those that are not abandoned."""
    phases: Sequence[Phase]
    """That today is in."""
    rules: Sequence[StoredRule]
    workouts: Sequence[StoredWorkout]
    """Those that are not deleted."""
    histories: Mapping[UUID, WorkoutHistory]
    """Of the workouts that were ever done."""
    recent_records: Sequence[bytes]
    """As in RecoveryInputs: of the last hours, whatever day they were called by."""


class RecommendationRepository:
    """Reads what recommendations for one athlete at a time are made of."""

    def __init__(self, database: Database, loads: LoadRepository, archive: Archive) -> None:
        self._database = database
        self._loads = loads
        self._archive = archive

    async def recovery(self, scope: Scope, now: datetime) -> RecoveryInputs:
        """Returns what recovery is reckoned from, in one round trip."""
        day = now.date()
        last_done = (_LAST_DONE, {"done_from": day - timedelta(days=LAST_DONE_DAYS)})
        queries = [_recent_records(day), last_done]
        records, done = await self._database.read_each(scope, queries)
        return RecoveryInputs(await self._archive.records(scope, records), done)

    async def for_exercises(
        self, scope: Scope, now: datetime, today: date, criteria: Mapping[UUID, Criterion]
    ) -> ExerciseInputs:
        """Returns what recommendations of exercises are made of, in one round trip."""
        queries: list[Query] = [
            _recent_records(now.date()),
            _done(now, today),
            list_goals(MAX_GOALS),
            (PRACTICES, practice_parameters(criteria)),
        ]
        records, done, goals, practices = await self._database.read_each(scope, queries)
        records = await self._archive.records(scope, records)
        return ExerciseInputs(records, done, goals, {one.exercise_id: one for one in practices})

    async def for_workouts(self, scope: Scope, now: datetime, today: date) -> WorkoutInputs:
        """Returns what recommendations of workouts are made of, in one round trip."""
        parameters = of_day(today)
        days = {"from_date": today, "to_date": today + ONE_DAY}
        queries: list[Query] = [
            *((statement, parameters) for statement in READINESS),
            _done(now, today),
            list_goals(MAX_GOALS),
            (IN_RANGE, days),
            (LIST_ALL, {}),
            list_workouts(MAX_WORKOUTS),
            (_WORKOUT_HISTORIES, {}),
            _recent_records(now.date()),
        ]
        first = today - timedelta(days=CHRONIC_DAYS - 1)
        loads, rows = await self._loads.history_each(
            scope, LoadUnit.SESSION_RPE, first, today, queries
        )
        records, *others, recent = rows
        both = await self._archive.records(scope, [*records, *recent])
        split = len(records)
        return _workout_inputs(loads, [both[:split], *others, both[split:]])


def _workout_inputs(loads: LoadHistory, rows: Sequence[list[Any]]) -> WorkoutInputs:
    count = len(READINESS)
    done, goals, phases, rules, workouts, histories, recent = rows[count:]
    return WorkoutInputs(
        readiness=ReadinessInputs.of(rows[:count], loads),
        done=done,
        goals=goals,
        phases=phases,
        rules=rules,
        workouts=workouts,
        histories={one.workout_id: one for one in histories},
        recent_records=recent,
    )


def _recent_records(day: date) -> Query:
    """Returns the records of the sessions that may be of the last 72 hours; `day` is in UTC."""
    return RECORDS, {
        "local_date": day + ONE_DAY,
        "records_from": day - timedelta(days=RECOVERY_DAYS),
        "limit": MAX_RECENT_SESSIONS,
    }


def _done(now: datetime, today: date) -> Query:
    """Returns what was done in 14 days; what was begun further east may be of a later day."""
    first = today - timedelta(days=BALANCE_DAYS - 1)
    return SUM_EXERCISES, {"first": first, "last": now.date() + ONE_DAY}
