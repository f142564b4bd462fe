"""What in a load pattern is out of the athlete's own ordinary, and by how much.

It describes load and predicts nothing: no pattern tells who will be injured (Impellizzeri 2020,
J Athl Train 55:893). Points and thresholds are this service's choice where no source is named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from statistics import quantiles

from training_service.domain.load import (
    ACUTE_DAYS,
    DayLoad,
    DayStatus,
    LoadHistory,
    Monotony,
    RatioMethod,
    Withheld,
    monotony,
)

RATIO_RAISED = 1.3
RATIO_HIGH = 1.5
HIGH_MONOTONY = 2.0
STRAIN_WEEKS = 12
MIN_STRAIN_WEEKS = 8
STRAIN_QUANTILES = 10
"""The last of the cuts between tenths, the 90th percentile, is what strain is compared with."""
WEEKLY_CHANGE_RAISED = 0.15
"""Gabbett 2016, BJSM 50:273."""
WEEKLY_CHANGE_HIGH = 0.5
BREAK_DAYS = 14
BREAK_SHARE = 0.5
WEEKS_BEFORE_BREAK = 4
DAYS_BEFORE_BREAK = ACUTE_DAYS * WEEKS_BEFORE_BREAK
HOLD_SPIKE = 1.3
HOLD_DAYS = 30
"""A session beside the longest of so many days before: after Frandsen 2025, on runners."""
STRAIGHT_ARM_FAMILIES = ("planche", "front-lever", "back-lever", "cross")
WINDOW_DAYS = ACUTE_DAYS * (STRAIN_WEEKS + 1)
"""How many days up to the one that is looked at are needed."""


class Trigger(StrEnum):
    """What was looked at."""

    UNCOUPLED_RATIO = "UNCOUPLED_RATIO"
    MONOTONY = "MONOTONY"
    STRAIN = "STRAIN"
    WEEKLY_CHANGE = "WEEKLY_CHANGE"
    RETURN_AFTER_BREAK = "RETURN_AFTER_BREAK"
    STRAIGHT_ARM_HOLD = "STRAIGHT_ARM_HOLD"


class FlagLevel(StrEnum):
    """How far a load pattern is out of the ordinary."""

    USUAL = "USUAL"
    """0 or 1 point."""
    RAISED = "RAISED"
    """2 or 3."""
    HIGH = "HIGH"
    """4 or more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. The value is that of the trigger's own measure."""

    trigger: Trigger
    points: int = 0
    value: float | None = None
    threshold: float = 0.0
    """Above which there are points."""
    withheld: Withheld | None = None
    """Why it could not be looked at."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first day with a session after days without."""

    first_load: float
    earlier_weekly_load: float
    """Mean of the four weeks up to the last session before the break."""


@dataclass(frozen=True, slots=True)
class Hold:
    """How long a session held straight-arm positions in all."""

    local_date: date
    seconds: float


@dataclass(frozen=True, slots=True)
class LoadFlag:
    """All that was looked at, and what it comes to."""

    checks: Sequence[Check]

    @property
    def points(self) -> int:
        """The points of all triggers."""
        return sum(check.points for check in self.checks)

    @property
    def level(self) -> FlagLevel:
        """How far the pattern is out of the ordinary."""
        if self.points < 2:
            return FlagLevel.USUAL
        return FlagLevel.RAISED if self.points < 4 else FlagLevel.HIGH


def load_flag(
    history: LoadHistory, status: DayStatus, break_: Break | None, holds: Sequence[Hold]
) -> LoadFlag:
    """Returns what is out of the ordinary on the last day of a history."""
    return LoadFlag(
        [
            _ratio_check(status),
            _monotony_check(status.monotony),
            _strain_check(history, status),
            _weekly_check(status),
            _break_check(break_),
            _hold_check(holds, status.day.local_date),
        ]
    )


def _ratio_check(status: DayStatus) -> Check:
    ratio = status.ratio(RatioMethod.ROLLING_UNCOUPLED)
    return _check(Trigger.UNCOUPLED_RATIO, ratio.value, RATIO_RAISED, RATIO_HIGH, ratio.withheld)


def _weekly_check(status: DayStatus) -> Check:
    week = status.week
    return _check(
        Trigger.WEEKLY_CHANGE, week.change, WEEKLY_CHANGE_RAISED, WEEKLY_CHANGE_HIGH, week.withheld
    )


def _check(
    trigger: Trigger, value: float | None, raised: float, high: float, withheld: Withheld | None
) -> Check:
    """Returns a check with a point above one threshold and two above the other."""
    if value is None:
        return Check(trigger=trigger, withheld=withheld)
    points = (value > raised) + (value > high)
    return Check(
        trigger=trigger, points=points, value=value, threshold=high if points == 2 else raised
    )


def _monotony_check(week: Monotony) -> Check:
    if week.withheld is Withheld.ZERO_VARIANCE:
        # No number is high enough for days that are all alike.
        return Check(
            trigger=Trigger.MONOTONY, points=1, threshold=HIGH_MONOTONY, withheld=week.withheld
        )
    if week.value is None:
        return Check(trigger=Trigger.MONOTONY, withheld=week.withheld)
    return Check(
        trigger=Trigger.MONOTONY,
        points=int(week.value > HIGH_MONOTONY),
        value=week.value,
        threshold=HIGH_MONOTONY,
    )


def _strain_check(history: LoadHistory, status: DayStatus) -> Check:
    """Looks at the strain of seven days beside those of the weeks before: Foster 1998 found the
    thresholds of strain to be individual."""
    strain = status.monotony.strain
    if strain is None:
        return Check(trigger=Trigger.STRAIN, withheld=status.monotony.withheld)
    weeks = min(STRAIN_WEEKS, status.history_day_count // ACUTE_DAYS - 1)
    end = len(history.days) - ACUTE_DAYS
    earlier = [
        monotony(history.loads[end - ACUTE_DAYS * (week + 1) : end - ACUTE_DAYS * week]).strain
        for week in range(weeks)
    ]
    told = [one for one in earlier if one is not None]
    if len(told) < MIN_STRAIN_WEEKS:
        return Check(trigger=Trigger.STRAIN, withheld=Withheld.INSUFFICIENT_HISTORY)
    threshold = quantiles(told, n=STRAIN_QUANTILES, method="inclusive")[-1]
    return Check(
        trigger=Trigger.STRAIN, points=int(strain > threshold), value=strain, threshold=threshold
    )


def _break_check(break_: Break | None) -> Check:
    if break_ is None:
        return Check(trigger=Trigger.RETURN_AFTER_BREAK, threshold=BREAK_SHARE)
    if not break_.earlier_weekly_load:
        return Check(trigger=Trigger.RETURN_AFTER_BREAK, withheld=Withheld.NO_PREVIOUS_LOAD)
    share = break_.first_load / break_.earlier_weekly_load
    return Check(
        trigger=Trigger.RETURN_AFTER_BREAK,
        points=int(share > BREAK_SHARE),
        value=share,
        threshold=BREAK_SHARE,
    )


def _hold_check(holds: Sequence[Hold], day: date) -> Check:
    """Looks at the latest session of a week that held any beside the longest of 30 days before."""
    latest = holds[-1] if holds else None
    if latest is None or latest.local_date <= day - timedelta(ACUTE_DAYS):
        return Check(trigger=Trigger.STRAIGHT_ARM_HOLD, withheld=Withheld.NO_LOAD)
    since = latest.local_date - timedelta(HOLD_DAYS)
    earlier = [hold.seconds for hold in holds[:-1] if hold.local_date >= since]
    if not earlier:
        return Check(trigger=Trigger.STRAIGHT_ARM_HOLD, withheld=Withheld.NO_PREVIOUS_LOAD)
    threshold = HOLD_SPIKE * max(earlier)
    return Check(
        trigger=Trigger.STRAIGHT_ARM_HOLD,
        points=int(latest.seconds > threshold),
        value=latest.seconds,
        threshold=threshold,
    )


def return_day(history: LoadHistory) -> date | None:
    """Returns the first day with a session of the last seven; None when days before it had one too,
    so recently that there was no break."""
    days = history.days[-ACUTE_DAYS - BREAK_DAYS :]
    trained = [day.local_date for day in days if day.session_count]
    if not trained:
        return None
    week = history.days[-1].local_date - timedelta(ACUTE_DAYS - 1)
    returned = next((day for day in trained if day >= week), None)
    if returned is None:
        return None
    rested = [day for day in trained if timedelta() < returned - day <= timedelta(BREAK_DAYS)]
    return None if rested or returned == history.first_date else returned


def break_before(history: LoadHistory, returned: date, earlier: Sequence[DayLoad]) -> Break | None:
    """Returns the break that ended on the first day of the last seven with a session; None when
    there was none before. `earlier` are the days with sessions of the four weeks up to the last
    one before that day."""
    if not earlier:
        return None
    loads = {day.local_date: day.load or 0.0 for day in history.days}
    return Break(
        first_load=loads[returned],
        earlier_weekly_load=sum(day.load or 0.0 for day in earlier) / WEEKS_BEFORE_BREAK,
    )
