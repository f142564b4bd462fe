"""Weeks and months of local dates."""

from collections.abc import Sequence
from datetime import date, timedelta
from enum import StrEnum

from training_service.domain.metrics import Total

ONE_DAY = timedelta(days=1)


class Period(StrEnum):
    """What days are added up over."""

    WEEK = "week"
    MONTH = "month"

    def start(self, day: date) -> date:
        """Returns the first day of the period that a day is in: ISO weeks begin on Monday."""
        if self is Period.MONTH:
            return day.replace(day=1)
        return day - timedelta(days=min(day.weekday(), (day - date.min).days))

    def next(self, start: date) -> date:
        """Returns the start of the period after the one that starts here, at most the last date."""
        if start > date.max - timedelta(days=31):
            return date.max
        if self is Period.MONTH:
            return (start + timedelta(days=31)).replace(day=1)
        return start + timedelta(days=7)

    def previous(self, start: date) -> date:
        """Returns the start of the period before the one that starts here, at least the first."""
        if start < date.min + timedelta(days=31):
            return date.min
        return self.start(start - timedelta(days=1))

    def key(self, start: date) -> str:
        """Returns the period's name: "2025-01", or "2025-W01" by ISO 8601.

        Week 1 holds the first Thursday; its year need not be that of its days.
        """
        if self is Period.MONTH:
            return f"{start.year:04}-{start.month:02}"
        year, week, _ = start.isocalendar()
        return f"{year:04}-W{week:02}"


def change(current: Total, previous: Total) -> float | None:
    """Returns how much more it is than before, 0.1 is a tenth; None when either is unknown or
    there was nothing before."""
    if current.value is None or not previous.value:
        return None
    return current.value / previous.value - 1


ONE_WEEK = timedelta(weeks=1)


def week_streaks(weeks: Sequence[date], today: date) -> tuple[int, int]:
    """Returns how many weeks follow one another up to now, and in the longest such row.

    `weeks` are the Mondays of weeks with a session, oldest first. A running week without one does
    not end the row yet.
    """
    longest = row = 0
    for index, week in enumerate(weeks):
        row = row + 1 if index and week - weeks[index - 1] == ONE_WEEK else 1
        longest = max(longest, row)
    is_current = bool(weeks) and Period.WEEK.start(today) - weeks[-1] <= ONE_WEEK
    return (row if is_current else 0), longest
