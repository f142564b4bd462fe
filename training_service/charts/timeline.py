"""Time on a chart: where ticks stand, and how many weeks become one mark when there are many.

All is computed here and handed over as dates, so that no time zone or language of the machine that
draws has a say.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

from training_service.charts.data import WEEK, Period, monday_of

MIN_MARK_PIXELS = 2.5
"""The thinnest bar that is still seen as one."""
FRAME_PIXELS = 70
"""About what the value axis and the padding take of the width."""
WEEKS_PER_MARK = (1, 4, 13, 52)
MIN_WEEKS = 8
"""A shorter period stands at the end of an axis of this length, with marks of the usual width."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """Where the labels of a time axis stand and what they say."""

    title: str
    days: tuple[date, ...]
    format: str
    """In d3-time-format, digits only."""


def plot_width(width: int) -> int:
    """Returns about how many pixels of the picture's width are for marks."""
    return width - FRAME_PIXELS


class Timeline:
    """A period in whole weeks, cut into marks of one or more weeks.

    `start` is a Monday and `end` the Monday after the last week.
    """

    def __init__(self, period: Period, width: int) -> None:
        self.end = monday_of(period.through) + WEEK
        self.start = min(monday_of(period.since), self.end - MIN_WEEKS * WEEK)
        self.width = plot_width(width)
        weeks = (self.end - self.start) // WEEK
        self.weeks_per_mark = _weeks_per_mark(weeks, self.width)
        self.mark_pixels = self.width / -(-weeks // self.weeks_per_mark)
        self.day_pixels = self.width / (weeks * 7)

    def mark_start(self, day: date) -> date:
        """Returns the first day of the mark that a day belongs to."""
        index = (day - self.start).days // (7 * self.weeks_per_mark)
        return self.start + index * self.weeks_per_mark * WEEK

    def mark_end(self, start: date) -> date:
        """Returns the day after a mark's last."""
        return min(start + self.weeks_per_mark * WEEK, self.end)

    def mondays(self, start: date) -> list[date]:
        """Returns the weeks of a mark."""
        return [start + i * WEEK for i in range((self.mark_end(start) - start) // WEEK)]

    def ticks(self, *, by_week: bool = False) -> Ticks:
        """Returns labelled ticks with room for all of them.

        By week: days are not told apart, and weeks are named by their number.
        """
        for option in _tick_options(self.start, self.end, by_week):
            days, room = option.days(), self.width // option.label_pixels
            # Looks at one more than there is room for, however long the period is.
            shown = [day for _, day in zip(range(room + 1), days, strict=False)]
            if len(shown) <= room:
                break
        return Ticks(option.title, tuple(shown), option.format)


def _weeks_per_mark(weeks: int, pixels: int) -> int:
    most = pixels / MIN_MARK_PIXELS
    for step in WEEKS_PER_MARK:
        if weeks / step <= most:
            return step
    return WEEKS_PER_MARK[-1] * -(-weeks // int(WEEKS_PER_MARK[-1] * most))


@dataclass(frozen=True, slots=True)
class _TickOption:
    title: str
    format: str
    label_pixels: int
    days: Callable[[], Iterator[date]]


def _tick_options(start: date, end: date, by_week: bool) -> Iterator[_TickOption]:
    """Yields ways to label a period, from dense to sparse."""
    title, form = ("ISO week", "%G-W%V") if by_week else ("Date", "%Y-%m-%d")
    for days in (7, 14, 28) if by_week else (1, 7, 14, 28):
        yield _TickOption(title, form, 72, partial(_every_days, start, end, days))
    for months in (1, 2, 3, 6):
        yield _TickOption("Month", "%Y-%m", 56, partial(_every_months, start, end, months))
    for years in (1, 2, 5, 10, 50, 1000):
        yield _TickOption("Year", "%Y", 40, partial(_every_months, start, end, years * 12))


def _every_days(start: date, end: date, step: int) -> Iterator[date]:
    while start < end:
        yield start
        start += timedelta(days=step)


def _every_months(start: date, end: date, step: int) -> Iterator[date]:
    """Yields firsts of months, counted from January of year 0."""
    month = -(-(start.year * 12 + start.month - 1 + (start.day > 1)) // step) * step
    while month // 12 <= date.max.year and (day := date(month // 12, month % 12 + 1, 1)) < end:
        yield day
        month += step
