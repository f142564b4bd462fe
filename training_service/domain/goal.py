"""Goals: what an athlete wants to reach, and how far that is.

How a goal stands follows from the sessions that count, and is reckoned when it is read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from math import fsum
from typing import NamedTuple
from uuid import UUID

from training_service.domain.exercise import Criterion, MovementKind
from training_service.domain.forecast import HISTORY_DAYS, Forecast, Point, Withheld, forecast
from training_service.domain.periods import Period, week_streaks
from training_service.domain.skill import Practice, share_met

CURRENT_DAYS = 28
"""Days whose best set is the current value, today included."""


class GoalKind(StrEnum):
    """What a goal counts."""

    REPS = "REPS"
    HOLD = "HOLD"
    LOAD = "LOAD"
    """Added load in kilograms, at some repetitions."""
    RELATIVE_STRENGTH = "RELATIVE_STRENGTH"
    """One-repetition maximum in body masses."""
    SKILL = "SKILL"
    FREQUENCY = "FREQUENCY"


OF_SETS = frozenset({GoalKind.REPS, GoalKind.HOLD, GoalKind.LOAD, GoalKind.RELATIVE_STRENGTH})
"""Kinds whose value is that of a set of an exercise."""


class GoalStatus(StrEnum):
    """How a goal stands."""

    ACTIVE = "ACTIVE"
    ACHIEVED = "ACHIEVED"
    OVERDUE = "OVERDUE"
    ABANDONED = "ABANDONED"


class PathStep(NamedTuple):
    """An exercise on the way to a skill, and its weight when the goal was created."""

    exercise_id: UUID
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GoalTarget:
    """What is to be reached."""

    kind: GoalKind
    exercise_id: UUID | None = None
    """None of a frequency."""
    value: float | None = None
    """By kind: repetitions, seconds, kilograms, body masses, sessions a week; None of a skill."""
    min_reps: int | None = None
    """Of a load: the least repetitions of a set with it."""

    @property
    def movement_kind(self) -> MovementKind | None:
        """What the exercise must be counted in; None when that is no matter."""
        if self.kind is GoalKind.HOLD:
            return MovementKind.ISOMETRIC
        return MovementKind.DYNAMIC if self.kind in OF_SETS else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A goal as it is stored."""

    id: UUID
    display_name: str
    target: GoalTarget
    base_value: float | None = None
    """The current value at creation; None when there was none."""
    path: Sequence[PathStep] = ()
    """Of a skill: the exercises that were to pass at creation, the target last."""
    created_date: date
    """In the athlete's time zone."""
    deadline: date | None = None
    version: int = 1
    created_at: datetime
    abandoned_at: datetime | None = None
    author_user_id: UUID | None = None
    """Who wrote this version under a grant; None for the athlete and services."""


class Achievement(NamedTuple):
    """The session that met a target, and its date."""

    local_date: date
    session_id: UUID


class Week(NamedTuple):
    """An ISO week of a goal's lifetime."""

    start_date: date
    session_count: int
    achieved: Achievement | None
    """The session that made it full, or the first after the goal was created."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the sessions that count say of a goal."""

    points: Sequence[Point] = ()
    """The best value of each day of the last 84, oldest first."""
    achieved: Achievement | None = None
    """The first session since the goal was created that met the value."""
    weeks: Sequence[Week] = ()
    """Those with a session since the week that the goal was created in, oldest first."""
    practices: Mapping[UUID, Practice] = field(default_factory=dict)
    """What was done of the exercises of the path, against their criteria now."""
    criteria: Mapping[UUID, Criterion] = field(default_factory=dict)


class StepStanding(NamedTuple):
    """How far an exercise on the way is."""

    step: PathStep
    is_passed: bool
    share: float
    """Of its criterion that is met."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a goal stands. None is unknown, or nothing that the kind has."""

    status: GoalStatus
    current_value: float | None
    progress: float | None
    """0 to 1."""
    achieved: Achievement | None
    forecast: Forecast
    week_streak: int | None
    steps: Sequence[StepStanding]


def standing(goal: Goal, evidence: Evidence, today: date) -> Standing:
    """Returns how a goal stands on a day."""
    achieved = _achieved(goal, evidence)
    status = _status(goal, achieved, today)
    current = current_value(goal.target.kind, evidence, today)
    steps = [_step(step, evidence) for step in goal.path]
    return Standing(
        status=status,
        current_value=current,
        progress=_progress(goal, current, steps, achieved),
        achieved=achieved,
        forecast=_forecast(goal.target, evidence, status, today),
        week_streak=_week_streak(goal.target, evidence, today),
        steps=steps,
    )


def _achieved(goal: Goal, evidence: Evidence) -> Achievement | None:
    if goal.target.kind is GoalKind.FREQUENCY:
        return next((week.achieved for week in evidence.weeks if week.achieved), None)
    if goal.target.kind is not GoalKind.SKILL or goal.target.exercise_id is None:
        return evidence.achieved
    practice = evidence.practices.get(goal.target.exercise_id)
    if practice is None or practice.passed_date is None or practice.passed_session_id is None:
        return None
    return Achievement(practice.passed_date, practice.passed_session_id)


def _status(goal: Goal, achieved: Achievement | None, today: date) -> GoalStatus:
    if goal.abandoned_at:
        return GoalStatus.ABANDONED
    if achieved:
        return GoalStatus.ACHIEVED
    is_late = goal.deadline is not None and goal.deadline < today
    return GoalStatus.OVERDUE if is_late else GoalStatus.ACTIVE


def current_value(kind: GoalKind, evidence: Evidence, today: date) -> float | None:
    """Returns the best value of the last 28 days, or the sessions of the running week."""
    if kind is GoalKind.FREQUENCY:
        start = Period.WEEK.start(today)
        return float(sum(w.session_count for w in evidence.weeks if w.start_date == start))
    recent = [p.value for p in evidence.points if (today - p.local_date).days < CURRENT_DAYS]
    return max(recent, default=None)


def progress(base: float | None, current: float, target: float) -> float:
    """Returns how much of the way from the base to the target is done, 0 to 1.

    clamp((current - base) / (target - base), 0, 1). Without a base the way begins at 0. What the
    base had met already is done while the current value meets it, and else not begun.
    """
    start = base or 0.0
    if current >= target:
        return 1.0
    if start >= target:
        return 0.0
    return min(max((current - start) / (target - start), 0.0), 1.0)


def path_progress(steps: Sequence[StepStanding]) -> float:
    """Returns how much of the way to a skill is done: the weights of the steps that are passed, and
    that of the first which is not times the share of its criterion that is met, over all weights.
    1 when the last is passed."""
    if steps[-1].is_passed:
        return 1.0
    following = next(one for one in steps if not one.is_passed)
    passed = fsum(one.step.weight for one in steps if one.is_passed)
    whole = fsum(one.step.weight for one in steps)
    return (passed + following.step.weight * following.share) / whole


def _progress(
    goal: Goal,
    current: float | None,
    steps: Sequence[StepStanding],
    achieved: Achievement | None,
) -> float | None:
    if steps:
        return path_progress(steps)
    is_lasting = goal.target.kind is not GoalKind.FREQUENCY
    if achieved and is_lasting:
        return 1.0
    if current is None or goal.target.value is None:
        return None
    return progress(goal.base_value, current, goal.target.value)


def _step(step: PathStep, evidence: Evidence) -> StepStanding:
    practice = evidence.practices.get(step.exercise_id)
    is_passed = practice is not None and practice.passed_date is not None
    share = share_met(evidence.criteria[step.exercise_id], practice)
    return StepStanding(step, is_passed, share)


def _forecast(target: GoalTarget, evidence: Evidence, status: GoalStatus, today: date) -> Forecast:
    count = len(evidence.points)
    if status in (GoalStatus.ACHIEVED, GoalStatus.ABANDONED):
        return Forecast(point_count=count, withheld=Withheld(status.value))
    if target.value is None or target.kind not in OF_SETS:
        return Forecast(point_count=count, withheld=Withheld.NO_TREND)
    return forecast(evidence.points, target.value, today)


def _week_streak(target: GoalTarget, evidence: Evidence, today: date) -> int | None:
    if target.kind is not GoalKind.FREQUENCY or target.value is None:
        return None
    full = [week.start_date for week in evidence.weeks if week.session_count >= target.value]
    return week_streaks(full, today)[0]


def first_date_looked_at(today: date) -> date:
    """Returns the first day of those that a trend is made of."""
    return max(today, date.min + timedelta(days=HISTORY_DAYS)) - timedelta(days=HISTORY_DAYS - 1)
