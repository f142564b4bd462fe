"""Token buckets: what they let through, and whether the wait they tell is true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.rate import ROUNDING_SECONDS, Rate, take

RATES = st.builds(Rate, st.floats(0.01, 1000, allow_nan=False), st.integers(1, 500).map(float))
GAPS = st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=80)


@given(RATES, GAPS)
def test_any_stretch_of_time_lets_through_no_more_than_burst_and_what_was_gained(
    rate: Rate, gaps: list[float]
) -> None:
    now, full_at = 1_000.0, 0.0
    let_in: list[float] = []
    for gap in gaps:
        now += gap
        full_at, wait = take(rate, full_at, now)
        if wait == 0:
            let_in.append(now)
    for first, start in enumerate(let_in):
        for last in range(first, len(let_in)):
            seconds = let_in[last] - start + ROUNDING_SECONDS * 2
            assert last - first + 1 <= rate.burst + rate.per_second * seconds


@given(RATES, GAPS)
def test_who_waits_as_long_as_told_is_let_in_and_who_comes_sooner_is_not(
    rate: Rate, gaps: list[float]
) -> None:
    now, full_at = 1_000.0, 0.0
    for gap in gaps:
        now += gap
        taken = take(rate, full_at, now)
        if taken.wait_seconds:
            assert take(rate, taken.full_at, now + taken.wait_seconds).wait_seconds == 0
            sooner = now + taken.wait_seconds - 3 * ROUNDING_SECONDS
            assert take(rate, taken.full_at, sooner).wait_seconds > 0
        full_at = taken.full_at


@given(RATES, st.integers(0, 1000))
def test_a_refusal_takes_nothing(rate: Rate, refusals: int) -> None:
    full_at = 5.0
    while (taken := take(rate, full_at, 5.0)).wait_seconds == 0:
        full_at = taken.full_at
    for _ in range(refusals):
        assert take(rate, taken.full_at, 5.0) == taken


def test_a_full_bucket_lets_its_burst_through_at_once_and_then_one_at_a_time() -> None:
    rate = Rate(per_second=2, burst=3)
    full_at, waits = 0.0, []
    for now in (10, 10, 10, 10, 10.25, 10.5, 10.5):
        full_at, wait = take(rate, full_at, now)
        waits.append(wait)
    assert waits == pytest.approx([0, 0, 0, 0.5, 0.25, 0, 0.5])


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    rate = Rate(per_second=10, burst=2)
    full_at, _ = take(rate, 0.0, 0.0)
    taken = [take(rate, full_at, 1e6, tokens) for tokens in (2, 2.1)]
    assert [one.wait_seconds == 0 for one in taken] == [True, False]


def test_several_tokens_are_taken_together_or_not_at_all() -> None:
    rate = Rate(per_second=1, burst=10)
    full_at, wait = take(rate, 0.0, 100.0, 8)
    assert wait == 0
    refused = take(rate, full_at, 100.0, 3)
    assert refused == (full_at, pytest.approx(1))
    assert take(rate, full_at, 100.0, 2).wait_seconds == 0


def test_who_may_call_more_often_has_a_larger_bucket_too() -> None:
    assert Rate(2, 5).times(10) == Rate(20, 50)
    assert Rate(2, 5).times(0.1) == Rate(0.2, 1)
