"""Goals, and what the sessions that count say of them.

Kept is what an athlete means to reach. How far that is, is read from `exercise_metrics` and
`session_metrics` each time, for all goals at once. Rows of an older version, which lack the sets
and loads, count once they are rebuilt.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    Double,
    Integer,
    SmallInteger,
    TableValuedAlias,
    Text,
    Uuid,
    bindparam,
    case,
    column,
    func,
    insert,
    literal_column,
    select,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.types import TypeEngine

from training_service.caller import Scope
from training_service.domain.exercise import Criterion
from training_service.domain.forecast import Point
from training_service.domain.goal import (
    OF_SETS,
    Achievement,
    Evidence,
    Goal,
    GoalKind,
    GoalTarget,
    PathStep,
    Week,
    first_date_looked_at,
)
from training_service.domain.periods import Period
from training_service.storage.author import PRESENT_AUTHOR
from training_service.storage.database import Database
from training_service.storage.idempotency import AthleteChange
from training_service.storage.metrics import start_of
from training_service.storage.skill import PRACTICES, practice_parameters
from training_service.storage.statements import (
    Doubles,
    Statement,
    own,
    parameter,
    prepare,
    prepare_command,
    written,
)
from training_service.storage.tables import exercise_metrics, goals, session_metrics, sessions

_OF = goals.c
_COLUMNS = [column for column in goals.c if column.name not in ("external_user_id", "updated_at")]


def _stored(
    id: UUID,
    display_name: str,
    kind: str,
    exercise_id: UUID | None,
    target_value: float | None,
    min_reps: int | None,
    base_value: float | None,
    path: Sequence[UUID],
    path_weights: Sequence[float],
    created_date: date,
    deadline: date | None,
    version: int,
    created_at: datetime,
    abandoned_at: datetime | None,
    author_user_id: UUID | None,
) -> Goal:
    return Goal(
        id=id,
        display_name=display_name,
        target=GoalTarget(
            kind=GoalKind(kind), exercise_id=exercise_id, value=target_value, min_reps=min_reps
        ),
        base_value=base_value,
        path=[PathStep(*step) for step in zip(path, path_weights, strict=True)],
        created_date=created_date,
        deadline=deadline,
        version=version,
        created_at=created_at,
        abandoned_at=abandoned_at,
        author_user_id=author_user_id,
    )


_IS_GOAL = _OF.id == parameter("goal_id", _OF.id)
_GET = prepare(select(*_COLUMNS).where(own(goals), _IS_GOAL), _stored)
_LOCK = prepare_command(select(_OF.id).where(own(goals), _IS_GOAL).with_for_update())
_INSERT = prepare_command(
    insert(goals).values({column.name: parameter(column.name, column) for column in written(goals)})
)
_CHANGEABLE = (_OF.display_name, _OF.deadline, _OF.version, _OF.updated_at, _OF.abandoned_at)
_UPDATE = prepare_command(
    update(goals)
    .where(own(goals), _IS_GOAL)
    .values({column.name: parameter(column.name, column) for column in _CHANGEABLE})
    .values(PRESENT_AUTHOR)
)
_FILTERS: dict[str, ColumnElement[bool]] = {
    "show_abandoned": _OF.abandoned_at.is_(None),
    "before_id": _OF.id < parameter("before_id", _OF.id),
}


@cache
def _list(filters: frozenset[str]) -> Statement[Goal]:
    """Returns the listing with these filters: one statement for each combination in use."""
    return prepare(
        select(*_COLUMNS)
        .where(own(goals), *(_FILTERS[name] for name in sorted(filters)))
        .order_by(_OF.id.desc())
        .limit(bindparam("limit", type_=Integer)),
        _stored,
    )


def list_goals(limit: int) -> tuple[Statement[Goal], Mapping[str, Any]]:
    """Returns the listing of goals that are not abandoned, newest first, with its parameters."""
    return _list(frozenset({"show_abandoned"})), {"limit": limit}


def _wanted(prefix: str, fields: Mapping[str, TypeEngine[Any]]) -> TableValuedAlias:
    """Returns goals that are parameters: an array of each field."""
    arrays = [bindparam(f"{prefix}_{name}s", type_=ARRAY(kind)) for name, kind in fields.items()]
    columns = [column(name, kind) for name, kind in fields.items()]
    return func.unnest(*arrays).table_valued(*columns).render_derived(name="wanted")


_ONE: ColumnElement[Any] = literal_column("1")
_TODAY = bindparam("today", type_=Date)
_SETS = _wanted(
    "sets",
    {
        "id": Uuid(),
        "kind": Text(),
        "exercise_id": Uuid(),
        "target_value": Double(),
        "min_rep": SmallInteger(),
        "created_date": Date(),
    },
)
_FREQUENCIES = _wanted(
    "frequency", {"id": Uuid(), "target_value": Double(), "created_date": Date()}
)


def _value() -> ColumnElement[Any]:
    """Returns what an exercise of a session is worth to a goal; NULL when nothing."""
    of = exercise_metrics.c
    most = of.unaided_sets[_ONE]
    unloaded = case((most >= _SETS.c.min_rep, literal_column("0")))
    body_mass_kg = (
        select(sessions.c.body_mass_kg)
        .where(own(sessions), sessions.c.id == of.session_id)
        .scalar_subquery()
    )
    return case(
        (
            _is_kind(GoalKind.LOAD),
            func.greatest(of.loads_kg_by_reps[_SETS.c.min_rep], unloaded),
        ),
        (_is_kind(GoalKind.RELATIVE_STRENGTH), of.epley_1rm_kg / body_mass_kg),
        else_=most,
    )


def _is_kind(kind: GoalKind) -> ColumnElement[bool]:
    return _SETS.c.kind == literal_column(f"'{kind}'", Text)


def _done() -> tuple[ColumnElement[bool], ...]:
    """Returns the conditions of what was done up to today of the exercise of a goal."""
    of = exercise_metrics.c
    return own(exercise_metrics), of.exercise_id == _SETS.c.exercise_id, of.local_date <= _TODAY


def _points() -> Statement[tuple[UUID, Point]]:
    """Returns the best of each goal and day, from one day on, oldest first."""
    of = exercise_metrics.c
    best = func.max(_value())
    return prepare(
        select(_SETS.c.id, of.local_date, best)
        .select_from(_SETS.join(exercise_metrics, true()))
        .where(*_done(), of.local_date >= bindparam("points_from", type_=Date))
        .group_by(_SETS.c.id, of.local_date)
        .having(best.is_not(None))
        .order_by(_SETS.c.id, of.local_date),
        lambda id, local_date, value: (id, Point(local_date, value)),
    )


def _achieved() -> Statement[tuple[UUID, Achievement]]:
    """Returns the first session of each goal that met its target since it was created."""
    of = exercise_metrics.c
    place = (of.local_date, of.session_id)
    first = (
        select(*place)
        .where(*_done(), of.local_date >= _SETS.c.created_date, _value() >= _SETS.c.target_value)
        .order_by(*place)
        .limit(_ONE)
        .lateral("first")
    )
    return prepare(
        select(_SETS.c.id, *first.c).select_from(_SETS.join(first, true())),
        lambda id, local_date, session_id: (id, Achievement(local_date, session_id)),
    )


def _weeks() -> Statement[tuple[UUID, Week]]:
    """Returns the weeks with a session since each goal was created, oldest first."""
    of = session_metrics.c
    week = start_of(Period.WEEK, of.local_date)
    in_order: dict[str, Any] = {"order_by": (of.local_date, of.session_id)}
    done = (
        select(
            of.local_date,
            of.session_id,
            week.label("week"),
            func.row_number().over(partition_by=week, **in_order).label("number"),
        )
        .where(
            own(session_metrics),
            of.local_date >= bindparam("weeks_from", type_=Date),
            of.local_date <= _TODAY,
        )
        .subquery("done")
    )
    meets = (done.c.number >= _FREQUENCIES.c.target_value) & (
        done.c.local_date >= _FREQUENCIES.c.created_date
    )
    in_turn = aggregate_order_by(done.c.session_id, done.c.number)
    meeting = func.array_agg(in_turn, type_=ARRAY(Uuid)).filter(meets)
    first_week = start_of(Period.WEEK, _FREQUENCIES.c.created_date)
    return prepare(
        select(
            _FREQUENCIES.c.id,
            done.c.week,
            func.count(),
            func.min(done.c.local_date).filter(meets),
            type_coerce(meeting, ARRAY(Uuid))[_ONE],
        )
        .select_from(_FREQUENCIES.join(done, done.c.week >= first_week))
        .group_by(_FREQUENCIES.c.id, done.c.week)
        .order_by(_FREQUENCIES.c.id, done.c.week),
        _week,
    )


def _week(
    id: UUID, start_date: date, count: int, local_date: date | None, session_id: UUID | None
) -> tuple[UUID, Week]:
    achieved = Achievement(local_date, session_id) if local_date and session_id else None
    return id, Week(start_date, count, achieved)


_POINTS, _ACHIEVED, _WEEKS = _points(), _achieved(), _weeks()


class GoalRepository:
    """Reads and writes the goals of one athlete at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, scope: Scope, goal_id: UUID) -> Goal | None:
        """Returns a goal, abandoned ones included."""
        rows = await self._database.read(scope, _GET, {"goal_id": goal_id})
        return rows[0] if rows else None

    async def list_page(
        self, scope: Scope, before_id: UUID | None, limit: int, *, show_abandoned: bool
    ) -> list[Goal]:
        """Returns up to `limit` goals, newest first, older than `before_id`."""
        given = {"show_abandoned": None if show_abandoned else False, "before_id": before_id}
        parameters = {name: value for name, value in given.items() if value is not None}
        statement = _list(frozenset(parameters))
        return await self._database.read(scope, statement, {**parameters, "limit": limit})

    async def evidence(
        self,
        scope: Scope,
        asked: Sequence[Goal],
        criteria: Mapping[UUID, Criterion],
        today: date,
    ) -> dict[UUID, Evidence]:
        """Returns what sessions up to a day say of each of some goals, stored or not, in a single
        round trip. `criteria` are those of all exercises on their paths."""
        statements, parameters = _question(asked, criteria, today)
        if not statements:
            return {}
        found = await self._database.read_all(scope, list(statements.values()), parameters)
        rows: dict[str, list[Any]] = defaultdict(list, zip(statements, found, strict=True))
        achieved = dict(rows["achieved"])
        points = _by_goal(rows["points"])
        weeks = _by_goal(rows["weeks"])
        practices = {practice.exercise_id: practice for practice in rows["practices"]}
        return {
            goal.id: Evidence(
                points=points[goal.id],
                achieved=achieved.get(goal.id),
                weeks=weeks[goal.id],
                practices=practices,
                criteria=criteria,
            )
            for goal in asked
        }

    @asynccontextmanager
    async def change(self, scope: Scope) -> AsyncIterator["GoalChange"]:
        """Opens a change of an athlete's goals."""
        async with self._database.transaction(scope) as transaction:
            yield GoalChange(transaction)


def _question(
    asked: Sequence[Goal], criteria: Mapping[UUID, Criterion], today: date
) -> tuple[dict[str, Statement[Any]], dict[str, Any]]:
    """Returns the statements that goals of these kinds need, by what they return, and their
    parameters."""
    of_sets = [goal for goal in asked if goal.target.kind in OF_SETS]
    frequencies = [goal for goal in asked if goal.target.kind is GoalKind.FREQUENCY]
    statements: dict[str, Statement[Any]] = {}
    parameters: dict[str, Any] = {"today": today}
    if of_sets:
        statements |= {"points": _POINTS, "achieved": _ACHIEVED}
        parameters |= _parameters_of_sets(of_sets, today)
    if frequencies:
        statements["weeks"] = _WEEKS
        parameters |= _parameters_of_frequencies(frequencies)
    if criteria:
        statements["practices"] = PRACTICES
        parameters |= practice_parameters(criteria)
    return statements, parameters


def _by_goal(rows: Sequence[tuple[UUID, Any]]) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = defaultdict(list)
    for goal_id, row in rows:
        found[goal_id].append(row)
    return found


def _parameters_of_sets(asked: Sequence[Goal], today: date) -> dict[str, Any]:
    targets = [goal.target for goal in asked]
    return {
        "sets_ids": [goal.id for goal in asked],
        "sets_kinds": [target.kind.value for target in targets],
        "sets_exercise_ids": [target.exercise_id for target in targets],
        "sets_target_values": [target.value for target in targets],
        # An array of nothing but NULL has no type; no other kind looks at it.
        "sets_min_reps": [target.min_reps or 1 for target in targets],
        "sets_created_dates": [goal.created_date for goal in asked],
        "points_from": first_date_looked_at(today),
    }


def _parameters_of_frequencies(asked: Sequence[Goal]) -> dict[str, Any]:
    created_dates = [goal.created_date for goal in asked]
    return {
        "frequency_ids": [goal.id for goal in asked],
        "frequency_target_values": [goal.target.value for goal in asked],
        "frequency_created_dates": created_dates,
        "weeks_from": Period.WEEK.start(min(created_dates)),
    }


class GoalChange(AthleteChange):
    """One transaction that changes an athlete's goals."""

    async def lock(self, goal_id: UUID) -> Goal | None:
        """Returns a goal, and keeps others from changing it until the end."""
        # Two statements: one that waits for a lock returns the row as it was before the wait.
        await self._transaction.execute(_LOCK, {"goal_id": goal_id})
        return await self._transaction.fetch_first(_GET, {"goal_id": goal_id})

    async def insert(self, goal: Goal) -> None:
        """Stores a new goal."""
        values = {
            "id": goal.id,
            "display_name": goal.display_name,
            "kind": goal.target.kind.value,
            "exercise_id": goal.target.exercise_id,
            "target_value": goal.target.value,
            "min_reps": goal.target.min_reps,
            "base_value": goal.base_value,
            "path": [step.exercise_id for step in goal.path],
            "path_weights": Doubles(step.weight for step in goal.path),
            "created_date": goal.created_date,
            "deadline": goal.deadline,
            "version": goal.version,
            "created_at": goal.created_at,
            "updated_at": goal.created_at,
            "abandoned_at": goal.abandoned_at,
        }
        await self._transaction.execute(_INSERT, values)

    async def update(self, goal: Goal, now: datetime) -> None:
        """Stores the name, deadline, version and end of a goal as they are given."""
        values = {
            "goal_id": goal.id,
            "display_name": goal.display_name,
            "deadline": goal.deadline,
            "version": goal.version,
            "updated_at": now,
            "abandoned_at": goal.abandoned_at,
        }
        await self._transaction.execute(_UPDATE, values)
