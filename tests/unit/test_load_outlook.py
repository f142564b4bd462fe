"""Planned loads in the place of days to come."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_load import FIRST, FIVE_WEEKS, history
from training_service.domain.load import DayLoad, LoadHistory, RatioMethod
from training_service.domain.load_flag import FlagLevel
from training_service.domain.load_outlook import (
    ExpectedLoad,
    ExpectedLoadBasis,
    expected_load,
    first_rise,
    until,
    with_planned,
)

USUAL, RAISED, HIGH = FlagLevel


def days_of(found: LoadHistory) -> list[date]:
    return [day.local_date for day in found.days]


@pytest.mark.parametrize(
    ("earlier", "factor", "prescribed", "load", "basis"),
    [
        (300.0, 1.0, 200.0, 300.0, ExpectedLoadBasis.EARLIER_SESSIONS),
        (300.0, 0.5, 200.0, 150.0, ExpectedLoadBasis.EARLIER_SESSIONS),
        (0.0, 1.0, 200.0, 0.0, ExpectedLoadBasis.EARLIER_SESSIONS),
        # What is prescribed has the volume of the day in it.
        (None, 0.5, 200.0, 200.0, ExpectedLoadBasis.PRESCRIPTION),
        (None, 1.0, None, None, None),
    ],
)
def test_the_basis_of_an_expected_load(
    earlier: float | None,
    factor: float,
    prescribed: float | None,
    load: float | None,
    basis: ExpectedLoadBasis | None,
) -> None:
    assert expected_load(earlier, factor, prescribed) == ExpectedLoad(load, basis)


@given(
    st.lists(st.floats(0, 2000), min_size=1, max_size=40),
    st.lists(st.floats(0, 2000), max_size=20),
)
def test_a_plan_that_is_followed_is_the_history_that_comes_of_it(
    known: list[float], planned: list[float]
) -> None:
    done = history([*known, *planned])
    before = history([*known, *[0.0] * len(planned)])
    ahead = days_of(before)[len(known) :]
    found = with_planned(
        before, ahead, {day: [load] for day, load in zip(ahead, planned, strict=True)}
    )
    assert found.loads == done.loads
    assert found.levels() == done.levels()


def test_what_is_planned_is_added_to_what_was_done() -> None:
    day = FIRST
    whole = LoadHistory(day, None, [DayLoad(day, 300.0, 1)])
    [found] = with_planned(whole, [day], {day: [200.0, None]}).days
    assert found == DayLoad(day, 500.0, session_count=3, unknown_count=1)
    [found] = with_planned(whole, [day], {}).days
    assert found == DayLoad(day, 300.0, 1)
    unknown = LoadHistory(day, None, [DayLoad(day, None, 1, 0, 1)])
    [found] = with_planned(unknown, [day], {day: [None]}).days
    assert found == DayLoad(day, None, session_count=2, unknown_count=2)


def test_without_a_session_yet_days_begin_with_the_first_planned() -> None:
    none = LoadHistory(None, None, [])
    days = [FIRST + timedelta(n) for n in range(4)]
    assert with_planned(none, days, {}) == none
    found = with_planned(none, days, {days[1]: [100.0]})
    assert (found.first_date, days_of(found), found.loads) == (days[1], days[1:], [100.0, 0, 0])
    assert until(found, days[0]).status() is None
    assert days_of(until(found, days[2])) == days[1:3]


def test_the_golden_series_seen_from_its_fourth_week() -> None:
    known = history([*FIVE_WEEKS[:28], *[0] * 7])
    days = days_of(known)[28:]
    planned = {
        day: [load] for day, load in zip(days, map(float, FIVE_WEEKS[28:]), strict=True) if load
    }
    whole = with_planned(known, days, planned)
    wanted = {days[2]: 1.042373, days[4]: 1.313609, days[6]: 1.509091}  # days 31, 33 and 35
    for day, value in wanted.items():
        status = until(whole, day).status()
        assert status is not None
        assert status.ratio(RatioMethod.ROLLING_UNCOUPLED).value == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize(
    ("now", "ahead", "index"),
    [
        (USUAL, [USUAL, RAISED, HIGH], 1),
        (RAISED, [RAISED, USUAL, RAISED, HIGH], 3),
        (HIGH, [HIGH, USUAL, HIGH], None),
        (None, [None, USUAL, RAISED], 2),
        (USUAL, [], None),
    ],
)
def test_the_first_rise(
    now: FlagLevel | None, ahead: list[FlagLevel | None], index: int | None
) -> None:
    assert first_rise(now, ahead) == index
