"""What a group may be told of its athletes: together, and on leaderboards of those who want to.

A number of a week never tells of one to four athletes: neither by itself, nor when it is subtracted
from another number of that week, nor beside what the one who asks sees of single athletes.
"""

from collections.abc import Container, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple

from training_service.domain.group import STAFF, Sharing
from training_service.domain.metrics import Total
from training_service.domain.periods import ONE_DAY, ONE_WEEK, Period
from training_service.errors import Reason, TrainingError, invalid_field

MIN_ATHLETES = 5
"""Fewer athletes are never told of (our choice; of three, two who know their own numbers know the
third's)."""
MAX_WEEKS = 104
USUAL_WEEKS = 12
"""Weeks that are answered unless it is said from when on."""
SIGNIFICANT_DIGITS = 3
"""Of numbers that are told: so many are of use, and more would only help who subtracts."""
FIRST_MIDNIGHT = time(10)
"""When a day begins where it begins first (UTC+14): at this time of the day before, UTC."""
LAST_MIDNIGHT = time(12)
"""When it ends where it ends last (UTC-12): at this time of the day after, UTC."""
DAYS_TO_LOG = timedelta(days=1)
"""What athletes have to log the last day of a week before the week is published (our choice)."""
STEADY_SESSIONS = 2
"""Sessions of a week from which it counts as one of steady training (our choice)."""


def begin_time(week: date) -> datetime:
    """Returns when a week, named by its Monday, begins where it begins first."""
    return datetime.combine(week - ONE_DAY, FIRST_MIDNIGHT, UTC)


def publish_time(week: date) -> datetime:
    """Returns from when on a week may be published: a day after it is over everywhere."""
    return datetime.combine(week + ONE_WEEK + DAYS_TO_LOG, LAST_MIDNIGHT, UTC)


def asked_weeks(first: date | None, last: date | None, today: date) -> list[date]:
    """Returns the Mondays of weeks, oldest first, from the one of a date to the one of another, at
    most to the running one; without a first date so many as are usual. Refuses too many."""
    last_week = Period.WEEK.start(min(last or today, today))
    if first is None:
        first_week = last_week - (USUAL_WEEKS - 1) * ONE_WEEK
    else:
        first_week = Period.WEEK.start(first)
    count = (last_week - first_week) // ONE_WEEK + 1
    if count > MAX_WEEKS:
        raise invalid_field("from_date", f"must be at most {MAX_WEEKS} weeks back")
    return [first_week + number * ONE_WEEK for number in range(count)]


def due_weeks(
    weeks: Iterable[date], decided: Container[date], shared_since: Sequence[datetime], now: datetime
) -> list[date]:
    """Returns the weeks that are to be published: they are over, nothing was decided about them,
    and enough athletes share since before they began.

    Of other weeks there is nothing to decide: no athlete comes to share them later.
    """
    return [
        week
        for week in weeks
        if publish_time(week) <= now
        and week not in decided
        and sum(since <= begin_time(week) for since in shared_since) >= MIN_ATHLETES
    ]


class Overlap(NamedTuple):
    """What a week that is to be published has in common with one that another group published."""

    week: date
    common_count: int
    """Athletes who are in both: one at least."""
    other_count: int
    """Athletes of the other."""
    is_incomplete: bool
    """Whether somebody was in the other who has been erased since."""


def singles_out(athlete_count: int) -> bool:
    """Returns whether a number of so many athletes tells too much of them."""
    return 0 < athlete_count < MIN_ATHLETES


def may_publish(athlete_count: int, overlaps: Iterable[Overlap]) -> bool:
    """Returns whether a week of so many athletes can be published beside what is."""
    return athlete_count >= MIN_ATHLETES and not any(
        one.is_incomplete
        or singles_out(athlete_count - one.common_count)
        or singles_out(one.other_count - one.common_count)
        for one in overlaps
    )


def may_show(unseen_counts: Iterable[int]) -> bool:
    """Returns whether a published week can be shown to somebody. Given are the athletes, of whom
    they see no single numbers, of the week and of what is left when it is subtracted from another
    group's, or that from it."""
    return not any(map(singles_out, unseen_counts))


class Measure(NamedTuple):
    """A number of a group's week as it is told."""

    total: float | None
    mean_per_athlete: float | None
    coverage: float | None


def measure(total: Total, athlete_count: int) -> Measure:
    """Returns what is told of a total of so many athletes."""
    value = total.value
    return Measure(
        None if value is None else rounded(value),
        None if value is None else rounded(value / athlete_count),
        None if total.coverage is None else rounded(total.coverage),
    )


def rounded(value: float) -> float:
    """Returns a number with so many digits as are told."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


class LeaderboardMeasure(StrEnum):
    """What a leaderboard ranks by."""

    VOLUME = "VOLUME"
    CONSISTENCY = "CONSISTENCY"
    SKILL_UNLOCKS = "SKILL_UNLOCKS"
    RELATIVE_STRENGTH = "RELATIVE_STRENGTH"


def complete_weeks(week_count: int, today: date) -> tuple[date, date]:
    """Returns the first day of so many weeks before the running one, and the day after them."""
    end = Period.WEEK.start(today)
    return end - week_count * ONE_WEEK, end


def check_sees_leaderboards(role: str, sharing: Container[str]) -> None:
    """Refuses athletes who don't stand on leaderboards themselves."""
    if role not in STAFF and Sharing.LEADERBOARDS.value not in sharing:
        raise TrainingError(
            Reason.PERMISSION_DENIED,
            "leaderboards are for coaches and assistants of the group, and for athletes who share "
            "SHARING_LEADERBOARDS with it",
        )
