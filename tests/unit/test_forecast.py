"""Theil-Sen and the dates that follow from it."""

from datetime import date, timedelta
from random import Random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain import forecast as domain
from training_service.domain.forecast import Forecast, Point, Withheld, forecast, theil_sen

# The golden of the trend: a rising row with an outlier, 15, and what scipy.stats.theilslopes and
# numpy.polyfit made of it.
XS = [0, 4, 7, 11, 14, 18, 21, 25, 28]
YS = [5, 6, 6, 8, 8, 9, 15, 10, 11]
TARGET = 20
FIRST = date(2026, 1, 5)

amounts = st.integers(-1000, 1000).map(lambda n: n / 4)
days = st.lists(st.integers(0, 83), min_size=5, max_size=30, unique=True).map(sorted)


@st.composite
def points(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    xs = draw(days)
    ys = draw(st.lists(amounts, min_size=len(xs), max_size=len(xs)))
    return [float(x) for x in xs], ys


def on_days(xs: list[int], ys: list[float]) -> list[Point]:
    return [Point(FIRST + timedelta(days=x), y) for x, y in zip(xs, ys, strict=True)]


def after(count: int) -> date:
    return FIRST + timedelta(days=count)


def least_squares(xs: list[int], ys: list[int]) -> tuple[float, float]:
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / sum(
        (x - mean_x) ** 2 for x in xs
    )
    return slope, mean_y - slope * mean_x


def test_golden_trend() -> None:
    trend = theil_sen(XS, YS)
    assert trend.slope == pytest.approx(0.2142857, abs=1e-7)
    assert trend.intercept == pytest.approx(5.0)
    assert trend.slope_low == pytest.approx(0.1764706, abs=1e-7)
    assert trend.slope_high == pytest.approx(0.2857143, abs=1e-7)
    slopes = (trend.slope, trend.slope_high, trend.slope_low)
    assert [trend.day_of(TARGET, slope) for slope in slopes] == pytest.approx([70.0, 52.5, 85.0])


def test_least_squares_are_pulled_by_the_outlier() -> None:
    """What docs/periodization.md compares with."""
    slope, intercept = least_squares(XS, YS)
    assert (slope, intercept) == pytest.approx((0.2605740, 4.9607251), abs=1e-7)
    assert (TARGET - intercept) / slope == pytest.approx(57.716, abs=1e-3)
    without = [(x, y) for x, y in zip(XS, YS, strict=True) if y != 15]
    robust = theil_sen([x for x, _ in without], [y for _, y in without]).slope
    assert robust == pytest.approx(theil_sen(XS, YS).slope, abs=0.01)


def test_golden_forecast() -> None:
    found = forecast(on_days(XS, YS), TARGET, today=after(28))
    assert found == Forecast(
        point_count=9,
        trend=theil_sen(XS, YS),
        achieve_date=after(70),
        earliest_date=after(53),  # 52.5: the first whole day on which the line is there
        latest_date=after(85),
    )


@given(points())
def test_the_slope_is_the_median_of_all_pairs(given: tuple[list[float], list[float]]) -> None:
    xs, ys = given
    slopes = [
        (ys[j] - ys[i]) / (xs[j] - xs[i]) for i in range(len(xs)) for j in range(i + 1, len(xs))
    ]
    trend = theil_sen(xs, ys)
    assert trend.slope == pytest.approx(median(slopes))
    assert trend.intercept == pytest.approx(median(ys) - median(slopes) * median(xs))
    assert trend.slope_low <= trend.slope <= trend.slope_high
    assert {trend.slope_low, trend.slope_high} <= set(slopes)


@given(points(), st.sampled_from([0.5, 2.0, 4.0]), st.integers(-50, 50))
def test_scaling_and_moving_the_points_scales_and_moves_the_line(
    given: tuple[list[float], list[float]], factor: float, shift: int
) -> None:
    xs, ys = given
    before, after_ = theil_sen(xs, ys), theil_sen(xs, [factor * y + shift for y in ys])
    assert after_.slope == pytest.approx(factor * before.slope)
    assert after_.slope_low == pytest.approx(factor * before.slope_low)
    assert after_.slope_high == pytest.approx(factor * before.slope_high)
    assert after_.intercept == pytest.approx(factor * before.intercept + shift)
    moved = theil_sen([x + shift for x in xs], ys)
    assert moved.slope == pytest.approx(before.slope)
    assert moved.intercept == pytest.approx(before.intercept - shift * before.slope, abs=1e-6)


@given(points(), st.randoms(use_true_random=False))
def test_the_order_of_points_is_no_matter(
    given: tuple[list[float], list[float]], random: Random
) -> None:
    pairs = list(zip(*given, strict=True))
    random.shuffle(pairs)
    xs, ys = zip(*pairs, strict=True)
    assert theil_sen(xs, ys) == theil_sen(*given)


@given(st.data())
def test_up_to_29_percent_of_the_points_may_be_anything(data: st.DataObject) -> None:
    """The breakdown point is 1 - sqrt(1/2), 29.3 %: so many can't bend the line."""
    xs = data.draw(st.lists(st.integers(0, 83), min_size=10, max_size=30, unique=True).map(sorted))
    slope = data.draw(st.sampled_from([0.25, 0.5, 1.0, 2.0]))
    ys = [5 + slope * x for x in xs]
    most = max(
        count
        for count in range(len(xs))
        if 2 * _pairs(len(xs) - count) > _pairs(len(xs)) and count / len(xs) < 0.293
    )
    for index in data.draw(
        st.lists(st.integers(0, len(xs) - 1), min_size=most, max_size=most, unique=True)
    ):
        ys[index] = data.draw(st.sampled_from([-1e6, 0.0, 1e6]))
    # More than half of all pairs are on the line, so the median is.
    assert theil_sen(xs, ys).slope == pytest.approx(slope)


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


@pytest.mark.parametrize(
    ("xs", "ys", "withheld"),
    [
        ([], [], Withheld.TOO_FEW_POINTS),
        ([0, 5, 10, 20], [5, 6, 7, 8], Withheld.TOO_FEW_POINTS),
        ([0, 3, 6, 9, 13], [5, 6, 7, 8, 9], Withheld.TOO_SHORT_SPAN),
        ([0, 3, 6, 9, 14], [5, 6, 7, 8, 9], None),
        ([0, 7, 14, 21, 28], [8, 8, 8, 8, 8], Withheld.NOT_RISING),
        ([0, 7, 14, 21, 28], [9, 8, 7, 6, 5], Withheld.NOT_RISING),
        ([0, 7, 14, 21, 28], [5, 9, 4, 9, 7], Withheld.UNCERTAIN),
        ([0, 20, 40, 60, 80], [5, 5.2, 5.4, 5.6, 5.8], Withheld.TOO_FAR),
    ],
)
def test_no_date_without_a_reason(
    xs: list[int], ys: list[float], withheld: Withheld | None
) -> None:
    found = forecast(on_days(xs, ys), 12, today=after(83))
    assert found.withheld is withheld
    assert found.point_count == len(xs)
    assert (found.achieve_date is None) == (withheld is not None)
    has_trend = withheld not in (Withheld.TOO_FEW_POINTS, Withheld.TOO_SHORT_SPAN)
    assert (found.trend is not None) == has_trend
    if withheld:
        assert (found.earliest_date, found.latest_date) == (None, None)


def test_the_horizon_ends_365_days_from_today() -> None:
    row = on_days([0, 10, 20, 30, 40], [0, 10, 20, 30, 40])
    today = after(40)
    assert forecast(row, 405, today).achieve_date == today + timedelta(days=365)
    assert forecast(row, 406, today).withheld is Withheld.TOO_FAR


def test_no_forecast_lies_in_the_past() -> None:
    """The line may be above a target that no single day met yet."""
    row = on_days(list(range(0, 80, 10)), [0, 10, 20, 30, 40, 50, 60, 65])
    today = after(75)
    found = forecast(row, 66, today)
    assert found.achieve_date == found.earliest_date == today


def test_a_late_end_beyond_the_horizon_is_not_told() -> None:
    found = forecast(on_days(XS, [y / 4 for y in YS]), 20, after(28))
    assert found.achieve_date == after(350)
    assert found.latest_date is None
    assert found.earliest_date is not None


@given(points(), amounts, st.integers(0, 40))
def test_a_forecast_is_whole_and_in_order(
    given: tuple[list[float], list[float]], target: float, later: int
) -> None:
    xs, ys = given
    row = on_days([int(x) for x in xs], ys)
    today = row[-1].local_date + timedelta(days=later)
    found = forecast(row, target, today)
    assert (found.achieve_date is None) == (found.withheld is not None)
    if found.achieve_date:
        end = today + timedelta(days=domain.HORIZON_DAYS)
        assert today <= found.achieve_date <= end
    if found.achieve_date and found.latest_date and found.earliest_date and target >= max(ys):
        assert found.earliest_date <= found.achieve_date <= found.latest_date
