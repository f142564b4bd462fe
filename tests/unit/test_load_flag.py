"""Points of a load pattern, thresholds, and what can't be looked at."""

from collections.abc import Sequence
from datetime import date, timedelta

import pytest

from tests.unit.test_load import FIRST, FIVE_WEEKS, history
from training_service.domain.load import LoadHistory, Withheld
from training_service.domain.load_flag import (
    WINDOW_DAYS,
    Break,
    Check,
    FlagLevel,
    Hold,
    LoadFlag,
    Trigger,
    load_flag,
    return_day,
)


def flag_of(
    loads: Sequence[float], *, break_: Break | None = None, holds: Sequence[Hold] = ()
) -> LoadFlag:
    whole = history(loads)
    status = whole.status()
    assert status is not None
    return load_flag(whole, status, break_, holds)


def check(trigger: Trigger, flag: LoadFlag) -> Check:
    [found] = [one for one in flag.checks if one.trigger is trigger]
    return found


def test_everything_is_looked_at_once() -> None:
    assert [one.trigger for one in flag_of(FIVE_WEEKS).checks] == list(Trigger)


def week_of(ratio: float) -> list[float]:
    """Returns four weeks, the last of which has a share of the mean of the others."""
    return [100.0] * 21 + [100.0 * ratio] * 7


@pytest.mark.parametrize(
    ("ratio", "points", "threshold"),
    [(1.3, 0, 1.3), (1.31, 1, 1.3), (1.5, 1, 1.3), (1.51, 2, 1.5), (0.5, 0, 1.3)],
)
def test_the_uncoupled_ratio(ratio: float, points: int, threshold: float) -> None:
    found = check(Trigger.UNCOUPLED_RATIO, flag_of(week_of(ratio)))
    assert (found.points, found.threshold) == (points, threshold)
    assert found.value == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("change", "points"), [(0.15, 0), (0.16, 1), (0.5, 1), (0.51, 2), (-0.9, 0)]
)
def test_the_change_of_a_week(change: float, points: int) -> None:
    found = check(Trigger.WEEKLY_CHANGE, flag_of([100.0] * 14 + [100 + 100 * change] * 7))
    assert found.points == points
    assert found.value == pytest.approx(change)


def test_too_short_a_history_is_said() -> None:
    flag = flag_of(FIVE_WEEKS[:6])
    assert {one.trigger: one.withheld for one in flag.checks} == {
        Trigger.UNCOUPLED_RATIO: Withheld.INSUFFICIENT_HISTORY,
        Trigger.MONOTONY: Withheld.INSUFFICIENT_HISTORY,
        Trigger.STRAIN: Withheld.INSUFFICIENT_HISTORY,
        Trigger.WEEKLY_CHANGE: Withheld.INSUFFICIENT_HISTORY,
        Trigger.RETURN_AFTER_BREAK: None,
        Trigger.STRAIGHT_ARM_HOLD: Withheld.NO_LOAD,
    }
    assert (flag.points, flag.level) == (0, FlagLevel.USUAL)


def test_monotony() -> None:
    uneven, even = [300.0, 0] * 3 + [0], [300.0, 250, 300, 250, 300, 250, 300]
    assert check(Trigger.MONOTONY, flag_of(uneven)).points == 0
    assert check(Trigger.MONOTONY, flag_of(even)).points == 1
    alike = check(Trigger.MONOTONY, flag_of([300.0] * 7))
    assert (alike.points, alike.value, alike.withheld) == (1, None, Withheld.ZERO_VARIANCE)
    nothing = check(Trigger.MONOTONY, flag_of([300.0] + [0.0] * 7))
    assert (nothing.points, nothing.withheld) == (0, Withheld.NO_LOAD)


def weeks_of(*factors: float) -> list[float]:
    """Returns weeks whose strain is as these: it grows with the load."""
    return [factor * load for factor in factors for load in (100, 0, 100, 0, 100, 0, 0)]


def test_strain_is_compared_with_the_athletes_own() -> None:
    earlier = [float(factor) for factor in range(1, 11)]
    high = check(Trigger.STRAIN, flag_of(weeks_of(*earlier, 9.2)))
    usual = check(Trigger.STRAIN, flag_of(weeks_of(*earlier, 9.0)))
    unit = flag_of(weeks_of(*earlier, 1)).checks[2].value
    assert unit is not None
    assert (high.points, usual.points) == (1, 0)
    assert high.threshold == pytest.approx(9.1 * unit)
    assert high.value == pytest.approx(9.2 * unit)


def test_strain_needs_eight_weeks_that_have_one_and_looks_at_twelve() -> None:
    assert check(Trigger.STRAIN, flag_of(weeks_of(*[1] * 8))).withheld is not None
    assert check(Trigger.STRAIN, flag_of(weeks_of(*[1] * 9))).withheld is None
    idle = weeks_of(0, *[1] * 8)  # a week of nothing has no strain
    assert check(Trigger.STRAIN, flag_of(idle[:-7])).withheld is Withheld.INSUFFICIENT_HISTORY
    long_ago = check(Trigger.STRAIN, flag_of(weeks_of(9, 9, *[1] * 12, 2)))
    assert long_ago.points == 1
    assert check(Trigger.STRAIN, flag_of(weeks_of(9, 9, *[1] * 10, 2))).points == 0


def test_a_window_is_all_that_is_needed() -> None:
    loads = weeks_of(*(1 + n % 5 for n in range(30)))
    whole = history(loads)
    cut = LoadHistory(FIRST, whole.levels()[-WINDOW_DAYS - 1], whole.days[-WINDOW_DAYS:])
    statuses = whole.status(), cut.status()
    assert statuses[0] is not None
    assert statuses[1] is not None
    assert load_flag(cut, statuses[1], None, ()) == load_flag(whole, statuses[0], None, ())


@pytest.mark.parametrize(("first_load", "points"), [(500, 0), (501, 1)])
def test_a_return_after_a_break(first_load: float, points: int) -> None:
    found = check(Trigger.RETURN_AFTER_BREAK, flag_of(FIVE_WEEKS, break_=Break(first_load, 1000)))
    assert (found.points, found.value) == (points, first_load / 1000)
    unknown = check(Trigger.RETURN_AFTER_BREAK, flag_of(FIVE_WEEKS, break_=Break(300, 0)))
    assert (unknown.points, unknown.withheld) == (0, Withheld.NO_PREVIOUS_LOAD)


def day(number: int) -> date:
    return FIRST + timedelta(number)


def trained_on(*numbers: int, through: int) -> LoadHistory:
    loads = [100.0 * (n in numbers) for n in range(through + 1)]
    whole = history(loads)
    days = [one._replace(session_count=int(bool(one.load))) for one in whole.days]
    return LoadHistory(FIRST, None, days)


@pytest.mark.parametrize(
    ("numbers", "through", "expected"),
    [
        ((0, 15), 15, 15),
        ((0, 14), 14, None),
        ((0, 15), 21, 15),
        ((0, 15), 22, None),
        ((0, 15, 17), 20, 15),
        ((0, 15, 17), 22, None),
        ((0,), 3, None),
        ((0,), 30, None),
    ],
)
def test_the_day_of_return(numbers: tuple[int, ...], through: int, expected: int | None) -> None:
    """A break is of 14 days off at least, and its end is news for a week."""
    found = return_day(trained_on(*numbers, through=through))
    assert found == (None if expected is None else day(expected))
    assert return_day(LoadHistory(None, None, [])) is None


def test_a_spike_of_straight_arm_holds() -> None:
    last = len(FIVE_WEEKS) - 1

    def held(*holds: tuple[int, float]) -> Check:
        found = flag_of(FIVE_WEEKS, holds=[Hold(day(number), s) for number, s in holds])
        return check(Trigger.STRAIGHT_ARM_HOLD, found)

    assert held((last - 10, 20), (last, 26)).points == 0
    spike = held((last - 10, 20), (last, 26.1))
    assert (spike.points, spike.value, spike.threshold) == (1, 26.1, 26)
    assert held((last - 31, 20), (last, 90)).withheld is Withheld.NO_PREVIOUS_LOAD
    assert held((last - 30, 20), (last, 90)).points == 1
    assert held((last - 9, 20), (last - 7, 90)).withheld is Withheld.NO_LOAD
    assert held((last, 20), (last, 90)).points == 1  # twice on a day
    assert held().withheld is Withheld.NO_LOAD


@pytest.mark.parametrize(
    ("points", "level"),
    [
        (0, FlagLevel.USUAL),
        (1, FlagLevel.USUAL),
        (2, FlagLevel.RAISED),
        (3, FlagLevel.RAISED),
        (4, FlagLevel.HIGH),
        (7, FlagLevel.HIGH),
    ],
)
def test_levels(points: int, level: FlagLevel) -> None:
    assert LoadFlag([Check(trigger=Trigger.STRAIN, points=points)]).level is level
