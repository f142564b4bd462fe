"""Who of a group's athletes may need attention, and why.

Reasons, points and limits are this service's choice; they say where to look first and predict
nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

from training_service.domain.load import DayStatus, LoadHistory
from training_service.domain.load_flag import FlagLevel, LoadFlag
from training_service.domain.readiness import Band, Readiness
from training_service.domain.schedule import PlannedSession, PlannedState

WEEK_DAYS = 7
FOUR_WEEK_DAYS = 28
MIN_DONE_SHARE = 0.6
"""Below it, sessions were missed."""
MIN_PLANNED_SESSIONS = 3
"""With fewer, a share says nothing."""
INACTIVE_DAYS = 10

LOAD_POINTS = {FlagLevel.RAISED: 2, FlagLevel.HIGH: 4}
LOAD_WORDS = {
    FlagLevel.RAISED: "The load pattern is somewhat out of the athlete's ordinary.",
    FlagLevel.HIGH: "The load pattern is far out of the athlete's ordinary.",
}
READINESS_POINTS = {Band.REDUCE: 1, Band.EASY_OR_REST: 3}
MISSED_POINTS = 2
INACTIVE_POINTS = 3


class AttentionReason(StrEnum):
    """Why an athlete may need attention."""

    LOAD_FLAG = "LOAD_FLAG"
    LOW_READINESS = "LOW_READINESS"
    MISSED_SESSIONS = "MISSED_SESSIONS"
    INACTIVE = "INACTIVE"


class Attention(NamedTuple):
    """A reason to look at an athlete."""

    reason: AttentionReason
    points: int
    description: str
    """In words."""


class Activity(NamedTuple):
    """What an athlete logged lately."""

    last_date: date | None
    """Of the last session until the day that is looked at."""
    days_since: int | None
    week_count: int
    """Sessions of the 7 days that end with it."""
    four_week_count: int


class Adherence(NamedTuple):
    """How much of what was planned was done."""

    planned: int
    """Sessions that were done or missed."""
    done: int
    skipped: int
    """Sessions that the athlete called off."""

    @property
    def share(self) -> float | None:
        """The share that was done; None when nothing was planned."""
        return self.done / self.planned if self.planned else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AthleteState:
    """How an athlete is doing; None is what was not granted, or can't be told."""

    activity: Activity | None = None
    adherence: Adherence | None = None
    status: DayStatus | None = None
    flag: LoadFlag | None = None
    readiness: Readiness | None = None


def four_weeks_from(day: date) -> date:
    """Returns the first of the 28 days that end with a day."""
    return day - timedelta(FOUR_WEEK_DAYS - 1)


def activity(history: LoadHistory, last_date: date | None, day: date) -> Activity:
    """Returns what was logged until a day, by the days up to it and the last with a session."""
    counts = [one.session_count for one in history.days[-FOUR_WEEK_DAYS:]]
    return Activity(
        last_date=last_date,
        days_since=(day - last_date).days if last_date else None,
        week_count=sum(counts[-WEEK_DAYS:]),
        four_week_count=sum(counts),
    )


def adherence(sessions: Iterable[PlannedSession]) -> Adherence:
    """Returns how many sessions were planned and done; those that are still to be done count
    nowhere."""
    states = [one.state for one in sessions]
    done, missed = states.count(PlannedState.DONE), states.count(PlannedState.MISSED)
    return Adherence(done + missed, done, states.count(PlannedState.SKIPPED))


def attention(state: AthleteState) -> list[Attention]:
    """Returns the reasons to look at an athlete, the weightiest first."""
    return sorted(_attention(state), key=lambda one: -one.points)


def _attention(state: AthleteState) -> Iterator[Attention]:
    level = state.flag.level if state.flag else FlagLevel.USUAL
    if level in LOAD_POINTS:
        yield Attention(AttentionReason.LOAD_FLAG, LOAD_POINTS[level], LOAD_WORDS[level])
    band, score = (state.readiness.band, state.readiness.score) if state.readiness else (None, None)
    if band in READINESS_POINTS:
        words = f"Readiness is {score:.0f} of 100."
        yield Attention(AttentionReason.LOW_READINESS, READINESS_POINTS[band], words)
    done = state.adherence
    if done and done.planned >= MIN_PLANNED_SESSIONS and (done.share or 0) < MIN_DONE_SHARE:
        words = f"{done.done} of {done.planned} planned sessions of the last 28 days were done."
        yield Attention(AttentionReason.MISSED_SESSIONS, MISSED_POINTS, words)
    days = state.activity.days_since if state.activity else None
    if days is not None and days >= INACTIVE_DAYS:
        words = f"The last session was {days} days ago."
        yield Attention(AttentionReason.INACTIVE, INACTIVE_POINTS, words)
