"""Who did most, among the athletes who stand on a group's leaderboards.

Read only in transactions that see who shares LEADERBOARDS with the group: of nobody else there is a
row, whatever a statement asks for.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    Double,
    Integer,
    Select,
    Subquery,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    select,
)

from training_service.caller import Scope
from training_service.domain.exercise import Criterion
from training_service.domain.group import Sharing
from training_service.domain.periods import Period
from training_service.domain.team import STEADY_SESSIONS, LeaderboardMeasure
from training_service.storage.database import Database, ManyTransaction
from training_service.storage.metrics import start_of
from training_service.storage.skill import passed_dates, practice_parameters
from training_service.storage.statements import Statement, parameter, prepare
from training_service.storage.tables import (
    exercise_metrics,
    group_members,
    session_metrics,
    sessions,
)
from training_service.storage.team import GROUP_ID, Asker, find_asker, shares


class Place(NamedTuple):
    """A place on a leaderboard."""

    rank: int
    user_id: UUID
    value: float
    passed_exercise_count: int | None
    """Of SKILL_UNLOCKS: those before the period included."""


_ATHLETE_IDS = select(group_members.c.member_user_id).where(
    group_members.c.group_id == GROUP_ID, shares(group_members, Sharing.LEADERBOARDS)
)
_START, _END = (bindparam(name, type_=Date) for name in ("start", "end"))


def _stands_on(athlete_id: ColumnElement[Any]) -> ColumnElement[bool]:
    return athlete_id.in_(_ATHLETE_IDS)


def _is_in_period(day: ColumnElement[Any]) -> ColumnElement[bool]:
    return (day >= _START) & (day < _END)


def _ranked(amounts: Subquery) -> Statement[Place]:
    """Returns the places by descending value; athletes with nothing have none."""
    of = amounts.c
    rank = func.rank().over(order_by=of.value.desc()).label("rank")
    return prepare(
        select(rank, of.external_user_id, of.value, of.passed_count)
        .where(of.value > literal_column("0"))
        .order_by(rank, of.external_user_id)
        .limit(bindparam("limit", type_=Integer)),
        Place,
    )


def _amounts(
    athlete_id: ColumnElement[Any], value: ColumnElement[Any], passed: Any = None
) -> Select[Any]:
    """Returns the value of each athlete, with how many exercises they passed."""
    passed_count = cast(null(), Integer) if passed is None else passed
    return select(
        athlete_id, cast(value, Double).label("value"), passed_count.label("passed_count")
    ).group_by(athlete_id)


def _volume() -> Subquery:
    of = session_metrics.c
    return (
        _amounts(of.external_user_id, func.sum(of.volume_load_kg))
        .where(_stands_on(of.external_user_id), _is_in_period(of.local_date))
        .subquery("amounts")
    )


def _consistency() -> Subquery:
    of = session_metrics.c
    week = start_of(Period.WEEK, of.local_date)
    steady = (
        select(of.external_user_id, week.label("week"))
        .where(_stands_on(of.external_user_id), _is_in_period(of.local_date))
        .group_by(of.external_user_id, week)
        .having(func.count() >= literal_column(str(STEADY_SESSIONS)))
        .subquery("steady")
    )
    return _amounts(steady.c.external_user_id, func.count()).subquery("amounts")


def _skill_unlocks() -> Subquery:
    of = passed_dates(_stands_on(exercise_metrics.c.external_user_id)).c
    unlocked = func.count().filter(_is_in_period(of.passed_date))
    passed = func.count().filter(of.passed_date < _END)
    return _amounts(of.external_user_id, unlocked, passed).subquery("amounts")


def _relative_strength() -> Subquery:
    of = exercise_metrics.c
    is_of_session = (sessions.c.external_user_id == of.external_user_id) & (
        sessions.c.id == of.session_id
    )
    return (
        _amounts(of.external_user_id, func.max(of.epley_1rm_kg / sessions.c.body_mass_kg))
        .select_from(exercise_metrics.join(sessions, is_of_session))
        .where(
            _stands_on(of.external_user_id),
            of.exercise_id == parameter("exercise_id", of.exercise_id),
            _is_in_period(of.local_date),
        )
        .subquery("amounts")
    )


_LEADERBOARDS = {
    LeaderboardMeasure.VOLUME: _ranked(_volume()),
    LeaderboardMeasure.CONSISTENCY: _ranked(_consistency()),
    LeaderboardMeasure.SKILL_UNLOCKS: _ranked(_skill_unlocks()),
    LeaderboardMeasure.RELATIVE_STRENGTH: _ranked(_relative_strength()),
}


class LeaderboardRepository:
    """Reads the leaderboards of one group at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def view(self, scope: Scope, group_id: UUID) -> AsyncIterator["LeaderboardView"]:
        """Opens a view of a group's leaderboards by a user."""
        async with self._database.of_many(scope.external_user_id) as transaction:
            yield LeaderboardView(transaction, scope, group_id)


class LeaderboardView:
    """One transaction that sees the leaderboards of a group."""

    def __init__(self, transaction: ManyTransaction, scope: Scope, group_id: UUID) -> None:
        self._transaction = transaction
        self._scope = scope
        self._group_id = group_id

    async def asker(self) -> Asker | None:
        """Returns who asks, if they are in the group."""
        return await find_asker(self._transaction, self._scope, self._group_id)

    async def places(
        self,
        measure: LeaderboardMeasure,
        period: tuple[date, date],
        limit: int,
        *,
        exercise_id: UUID | None = None,
        criteria: Mapping[UUID, Criterion],
    ) -> list[Place]:
        """Returns up to `limit` places by what was done from one date to before another.

        RELATIVE_STRENGTH is of an exercise, SKILL_UNLOCKS of all exercises with their criteria.
        """
        await self._transaction.see_who_shares(self._group_id, Sharing.LEADERBOARDS)
        parameters = {
            "group_id": self._group_id,
            "start": period[0],
            "end": period[1],
            "limit": limit,
            "exercise_id": exercise_id,
            **practice_parameters(criteria),
        }
        return await self._transaction.fetch(_LEADERBOARDS[measure], parameters)
