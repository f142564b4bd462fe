"""What load pattern would come of planned sessions, if all of them were done as planned.

The arithmetic is that of days past: planned loads are put in the place of days to come.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from training_service.domain.load import DayLoad, LoadHistory
from training_service.domain.load_flag import FlagLevel


class ExpectedLoadBasis(StrEnum):
    """What a planned session's load is expected by."""

    EARLIER_SESSIONS = "EARLIER_SESSIONS"
    """The median load of earlier sessions of the workout, times the volume of the day's phases."""
    PRESCRIPTION = "PRESCRIPTION"
    """The mean prescribed RPE times the estimated minutes."""


@dataclass(frozen=True, slots=True)
class ExpectedLoad:
    """The load that a planned session is expected to have; None is unknown."""

    load_au: float | None
    basis: ExpectedLoadBasis | None


def expected_load(
    earlier_au: float | None, volume_factor: float, prescribed_au: float | None
) -> ExpectedLoad:
    """Returns what load a planned session will have: that of earlier sessions of the workout, else
    what it prescribes.

    Earlier sessions had the usual volume; what the day's phases ask for is a factor of it. What is
    prescribed has that in it.
    """
    if earlier_au is not None:
        return ExpectedLoad(earlier_au * volume_factor, ExpectedLoadBasis.EARLIER_SESSIONS)
    if prescribed_au is not None:
        return ExpectedLoad(prescribed_au, ExpectedLoadBasis.PRESCRIPTION)
    return ExpectedLoad(None, None)


def with_planned(
    history: LoadHistory, days: Sequence[date], planned: Mapping[date, Sequence[float | None]]
) -> LoadHistory:
    """Returns a history with the loads of planned sessions added to its days.

    `days` are the calendar days to come, the last of which is the last of the history unless it has
    no day at all: then it begins with the first planned session. What is not expected by anything
    is unknown, and enters sums as 0.
    """
    if not history.days:
        first = next((day for day in days if planned.get(day)), None)
        if first is None:
            return history
        rest = [DayLoad(day, 0.0) for day in days if day >= first]
        history = LoadHistory(first, None, rest)
    return LoadHistory(
        history.first_date,
        history.before,
        [_with_planned(day, planned.get(day.local_date, ())) for day in history.days],
    )


def _with_planned(day: DayLoad, planned: Sequence[float | None]) -> DayLoad:
    if not planned:
        return day
    known = [load for load in planned if load is not None]
    if day.session_count and day.load is not None:
        known.append(day.load)
    return day._replace(
        load=sum(known) if known else None,
        session_count=day.session_count + len(planned),
        unknown_count=day.unknown_count + planned.count(None),
    )


def until(history: LoadHistory, last: date) -> LoadHistory:
    """Returns a history up to one of its days; without a day when that is before its first."""
    days = [day for day in history.days if day.local_date <= last]
    first_date = history.first_date if days else None
    return LoadHistory(first_date, history.before, days)


def first_rise(now: FlagLevel | None, ahead: Sequence[FlagLevel | None]) -> int | None:
    """Returns the index of the first day whose level is higher than that of today; None when there
    is none. Without a level today, that is USUAL."""
    levels = list(FlagLevel)
    today = levels.index(now or FlagLevel.USUAL)
    return next((n for n, level in enumerate(ahead) if level and levels.index(level) > today), None)
