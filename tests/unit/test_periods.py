"""Weeks and months of local dates."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.metrics import Total
from training_service.domain.periods import ONE_WEEK, Period, change, week_streaks

GOLDEN_WEEKS = {
    date(2025, 1, 5): "2025-W01",
    date(2025, 1, 6): "2025-W02",
    date(2024, 12, 30): "2025-W01",
    date(2027, 1, 1): "2026-W53",
    date(2026, 12, 31): "2026-W53",
}


@pytest.mark.parametrize(("day", "key"), GOLDEN_WEEKS.items())
def test_golden_weeks(day: date, key: str) -> None:
    assert Period.WEEK.key(Period.WEEK.start(day)) == key


def test_a_month_is_named_by_its_year_and_number() -> None:
    assert Period.MONTH.key(Period.MONTH.start(date(2025, 1, 31))) == "2025-01"


DAYS = st.dates(date(2, 1, 1), date(9998, 12, 1))


@given(DAYS, st.sampled_from(Period))
def test_periods_follow_one_another_without_a_gap(day: date, period: Period) -> None:
    start = period.start(day)
    following = period.next(start)
    assert start <= day < following
    assert period.start(following) == following
    assert period.previous(following) == start
    assert period.start(following - timedelta(days=1)) == start


@given(st.dates(), st.sampled_from(Period))
def test_the_ends_of_the_calendar_are_no_fault(day: date, period: Period) -> None:
    start = period.start(day)
    assert date.min <= period.previous(start) <= start <= day
    assert period.next(start) >= start
    assert period.key(start)


@given(DAYS)
def test_weeks_begin_on_monday(day: date) -> None:
    assert Period.WEEK.start(day).weekday() == 0


@pytest.mark.parametrize(
    ("current", "previous", "expected"),
    [
        (Total(1260, 1, 1), Total(1180, 1, 1), 0.06779661016949157),
        (Total(700, 1, 1), Total(1340, 1, 1), -0.4776119402985075),
        (Total(0, 0, 0), Total(100, 1, 1), -1),
        (Total(100, 1, 1), Total(0, 0, 0), None),
        (Total(0, 0, 1), Total(100, 1, 1), None),
        (Total(100, 1, 1), Total(0, 0, 1), None),
    ],
    ids=["more", "less", "rest", "after rest", "unknown", "after unknown"],
)
def test_change(current: Total, previous: Total, expected: float | None) -> None:
    found = change(current, previous)
    assert found == (None if expected is None else pytest.approx(expected))


MONDAY = date(2025, 3, 3)


@pytest.mark.parametrize(
    ("weeks", "today", "streaks"),
    [
        ([], MONDAY, (0, 0)),
        ([0], MONDAY, (1, 1)),
        ([0], MONDAY + timedelta(days=13), (1, 1)),
        ([0], MONDAY + timedelta(days=14), (0, 1)),
        ([0, 1, 2, 5, 6], MONDAY + 6 * ONE_WEEK, (2, 3)),
        ([0, 2, 3], MONDAY + 4 * ONE_WEEK, (2, 2)),
    ],
    ids=["none", "this week", "last week", "too long ago", "a longer one before", "running week"],
)
def test_week_streaks(weeks: list[int], today: date, streaks: tuple[int, int]) -> None:
    assert week_streaks([MONDAY + n * ONE_WEEK for n in weeks], today) == streaks
