"""When a goal is reached if the recent trend continues.

The trend is a line by Theil and Sen: its slope is the median of the slopes between all pairs of
points, so that up to 29.3 % of the points may be anything without bending it far. Theil 1950, Indag
Math 12; Sen 1968, J Am Stat Assoc 63:1379; as scipy.stats.theilslopes reckons it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from itertools import combinations
from math import ceil, sqrt
from statistics import NormalDist, median
from typing import NamedTuple

HISTORY_DAYS = 84
"""Days that a trend looks back, today included (our choice)."""
MIN_POINTS = 5
MIN_SPAN_DAYS = 14
"""Fewer points, or all within fewer days, make no trend (our choice)."""
HORIZON_DAYS = 365
"""No forecast reaches further (our choice)."""
CONFIDENCE = 0.95


class Withheld(StrEnum):
    """Why there is no date."""

    ACHIEVED = "ACHIEVED"
    ABANDONED = "ABANDONED"
    NO_TREND = "NO_TREND"
    """What the goal counts is nothing that a line can be drawn through."""
    TOO_FEW_POINTS = "TOO_FEW_POINTS"
    TOO_SHORT_SPAN = "TOO_SHORT_SPAN"
    NOT_RISING = "NOT_RISING"
    UNCERTAIN = "UNCERTAIN"
    """The interval of the slope reaches down to 0."""
    TOO_FAR = "TOO_FAR"


class Point(NamedTuple):
    """The best of a training day."""

    local_date: date
    value: float


class Trend(NamedTuple):
    """A line, and the 95 % confidence interval of its slope. Slopes are per day."""

    slope: float
    intercept: float
    """The line's value at x = 0."""
    slope_low: float
    slope_high: float

    def day_of(self, target: float, slope: float) -> float:
        """Returns the x at which a line with the trend's intercept and a rising slope meets the
        target."""
        return (target - self.intercept) / slope


def theil_sen(xs: Sequence[float], ys: Sequence[float]) -> Trend:
    """Returns the line through points of two different x at least.

    slope = median of (y_j - y_i) / (x_j - x_i); intercept = median(y) - slope × median(x). The
    interval holds the slopes whose ranks lie within z times Kendall's standard deviation of the
    middle (Sen 1968), with ties.
    """
    pairs = combinations(sorted(zip(xs, ys, strict=True)), 2)
    slopes = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in pairs if x2 > x1)
    slope = median(slopes)
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * _kendall_deviation(xs, ys)
    low = max(round((len(slopes) - reach) / 2) - 1, 0)
    high = min(round((len(slopes) + reach) / 2), len(slopes) - 1)
    return Trend(slope, median(ys) - slope * median(xs), slopes[low], slopes[high])


def _kendall_deviation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Returns the standard deviation of Kendall's S without a trend."""
    ties = [count for values in (xs, ys) for count in Counter(values).values()]
    variance = _pairings(len(xs)) - sum(map(_pairings, ties))
    return sqrt(max(variance, 0) / 18)


def _pairings(count: int) -> int:
    return count * (count - 1) * (2 * count + 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When a target is met if the recent trend continues, or why that is not told."""

    point_count: int
    trend: Trend | None = None
    """None with too few points and too short a span."""
    achieve_date: date | None = None
    earliest_date: date | None = None
    latest_date: date | None = None
    """None too when it lies beyond the horizon."""
    withheld: Withheld | None = None


def forecast(points: Sequence[Point], target: float, today: date) -> Forecast:
    """Returns when the line through the points, one a day and oldest first, meets the target.

    The dates are those of the slope and of both ends of its interval, today at the earliest.
    """
    count = len(points)
    if count < MIN_POINTS:
        return Forecast(point_count=count, withheld=Withheld.TOO_FEW_POINTS)
    first = points[0].local_date
    days = [float((point.local_date - first).days) for point in points]
    if days[-1] < MIN_SPAN_DAYS:
        return Forecast(point_count=count, withheld=Withheld.TOO_SHORT_SPAN)
    trend = theil_sen(days, [point.value for point in points])
    withheld = _withheld(trend)
    if withheld:
        return Forecast(point_count=count, trend=trend, withheld=withheld)

    def met_on(slope: float) -> date | None:
        return _within_horizon(first, trend.day_of(target, slope), today)

    achieve_date = met_on(trend.slope)
    if achieve_date is None:
        return Forecast(point_count=count, trend=trend, withheld=Withheld.TOO_FAR)
    return Forecast(
        point_count=count,
        trend=trend,
        achieve_date=achieve_date,
        earliest_date=met_on(trend.slope_high),
        latest_date=met_on(trend.slope_low),
    )


def _withheld(trend: Trend) -> Withheld | None:
    if trend.slope <= 0:
        return Withheld.NOT_RISING
    return Withheld.UNCERTAIN if trend.slope_low <= 0 else None


def _within_horizon(first: date, days: float, today: date) -> date | None:
    """Returns the first date not before some days after another, and not before today."""
    # Noise of the arithmetic is no further day.
    days_ahead = round(days - (today - first).days, 6)
    if days_ahead > HORIZON_DAYS:
        return None
    return today + timedelta(days=max(ceil(days_ahead), 0))
