"""Recent beside usual load: published and own golden values, invariants, and pandas."""

from random import Random

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training_service.domain.load import (
    ACUTE_DAYS,
    CHRONIC_DAYS,
    Band,
    RatioMethod,
    Withheld,
    band_of,
    ewma,
    fitness_and_fatigue,
    load_cap,
    monotony,
    ratio,
)

COUPLED, UNCOUPLED, EWMA = RatioMethod

ATHLETES = {
    "a1": [30] * 21 + [50] * 7,
    "a2": [
        *(15, 15, 20, 20, 20, 25, 25, 25, 25, 30, 30, 30, 35, 35),
        *(35, 35, 35, 40, 45, 45, 45, 40, 40, 45, 45, 50, 60, 70),
    ],
    "a3": [
        *(55, 50, 40, 60, 45, 50, 50, 20, 30, 80, 25, 10, 30, 15),
        *(20, 15, 5, 5, 15, 5, 5, 5, 5, 15, 45, 90, 95, 95),
    ],
}
"""Menaspà, BJSM 51:618."""
EWMA_OF = {
    "a1": (47.330322, 37.871967, 1.249746),
    "a2": (53.673012, 38.168765, 1.406202),
    "a3": (62.124188, 40.061418, 1.550724),
}
PRINTED = {"a1": 1.25, "a2": 1.41, "a3": 1.55}
"""Williams 2017, BJSM 51:209."""


@pytest.mark.parametrize("athlete", ATHLETES)
def test_the_published_athletes(athlete: str) -> None:
    loads = ATHLETES[athlete]
    coupled, uncoupled, exponential = (ratio(loads, method) for method in RatioMethod)
    assert (coupled.acute, coupled.chronic, uncoupled.chronic) == (50, 35, 30)
    assert coupled.value == pytest.approx(1.428571, abs=5e-7)
    assert uncoupled.value == pytest.approx(1.666667, abs=5e-7)
    found = (exponential.acute, exponential.chronic, exponential.value)
    assert found == pytest.approx(EWMA_OF[athlete], abs=5e-7)
    assert exponential.value is not None
    assert round(exponential.value, 2) == PRINTED[athlete]
    assert coupled.value is not None
    assert round(coupled.value, 2) == 1.43


WEEK_4 = {"a2": (4.472136, 4.830459), "a3": (1.170411, 1.264189)}


@pytest.mark.parametrize("athlete", WEEK_4)
def test_the_published_athletes_monotony(athlete: str) -> None:
    week = ATHLETES[athlete][-7:]
    found = (monotony(week).value, monotony(week, sample=False).value)
    assert found == pytest.approx(WEEK_4[athlete], abs=5e-7)


def test_a_week_of_equal_days_is_as_even_as_can_be() -> None:
    assert monotony(ATHLETES["a1"][-7:]).withheld is Withheld.ZERO_VARIANCE
    assert monotony([0] * 7).withheld is Withheld.NO_LOAD
    assert monotony([None] * 7).withheld is Withheld.NO_LOAD
    assert monotony([5e-324, *[0] * 6]).withheld is Withheld.ZERO_VARIANCE


FIVE_WEEKS = [
    *(300, 0, 320, 0, 360, 200, 0, 320, 0, 340, 0, 380, 220, 0, 340, 0, 360, 0, 400, 240, 0),
    *(200, 0, 180, 0, 200, 120, 0, 360, 150, 400, 0, 450, 300, 0),
]
"""From Monday 2024-12-02 on."""
DAYS = {
    28: (0.625, 0.555556, (95.914812, 162.635097, 0.589755)),
    31: (1.031447, 1.042373, (219.214061, 189.992481, 1.153804)),
    33: (1.218107, 1.313609, (235.807909, 195.724754, 1.204793)),
    35: (1.338710, 1.509091, (188.891949, 188.921933, 0.999841)),
}


@pytest.mark.parametrize("day", DAYS)
def test_five_weeks(day: int) -> None:
    loads = FIVE_WEEKS[:day]
    coupled, uncoupled, means = DAYS[day]
    assert ratio(loads, COUPLED).value == pytest.approx(coupled, abs=5e-7)
    assert ratio(loads, UNCOUPLED).value == pytest.approx(uncoupled, abs=5e-7)
    found = ratio(loads, EWMA)
    assert (found.acute, found.chronic, found.value) == pytest.approx(means, abs=5e-7)


def test_the_methods_of_one_day_fall_into_three_bands() -> None:
    bands = [ratio(FIVE_WEEKS, method).band for method in RatioMethod]
    assert bands == [Band.RAISED, Band.HIGH, Band.USUAL]


WEEKS = [
    (1.022472, 1.104397, 1206.518, 1303.188),
    (1.027872, 1.110229, 1295.119, 1398.889),
    (1.032400, 1.115119, 1383.415, 1494.259),
    (1.027783, 1.110133, 719.448, 777.093),
    (1.264746, 1.366082, 2099.478, 2267.696),
]


@pytest.mark.parametrize("week", range(5))
def test_five_weeks_of_monotony_and_strain(week: int) -> None:
    days = FIVE_WEEKS[7 * week : 7 * week + 7]
    sample, population = monotony(days), monotony(days, sample=False)
    assert (sample.value, population.value) == pytest.approx(WEEKS[week][:2], abs=5e-7)
    assert (sample.strain, population.strain) == pytest.approx(WEEKS[week][2:], abs=5e-4)


@pytest.mark.parametrize(("highest", "cap"), [(1.5, 370.0), (1.3, 147.333)])
def test_the_cap_of_the_next_day(highest: float, cap: float) -> None:
    found = load_cap(FIVE_WEEKS, highest)
    assert found == pytest.approx(cap, abs=5e-4)
    assert found is not None
    assert ratio([*FIVE_WEEKS, found], UNCOUPLED).value == pytest.approx(highest)
    assert load_cap(FIVE_WEEKS[:26], highest) is None


def test_too_short_a_history_and_none_are_told_apart() -> None:
    assert ratio(FIVE_WEEKS[:27], COUPLED).withheld is Withheld.INSUFFICIENT_HISTORY
    rarely = [100, 0, 0, 0] * 7
    assert ratio(rarely, COUPLED).withheld is Withheld.INSUFFICIENT_HISTORY
    long_ago = [*FIVE_WEEKS, *[0] * 28]
    assert ratio(long_ago, COUPLED).withheld is Withheld.NO_CHRONIC_LOAD
    assert ratio(long_ago, COUPLED).band is None
    assert ratio([], EWMA).withheld is Withheld.INSUFFICIENT_HISTORY


@pytest.mark.parametrize(
    ("value", "band"),
    [
        (0.79, Band.LOW),
        (0.8, Band.USUAL),
        (1.3, Band.USUAL),
        (1.31, Band.RAISED),
        (1.5, Band.RAISED),
        (1.51, Band.HIGH),
    ],
)
def test_bands(value: float, band: Band) -> None:
    assert band_of(value) is band


A_LOAD = st.just(0.0) | st.floats(1, 1500)
LOADS = st.lists(A_LOAD, min_size=28, max_size=90)


@given(LOADS)
def test_the_uncoupled_ratio_follows_from_the_coupled_one(loads: list[float]) -> None:
    coupled, uncoupled = ratio(loads, COUPLED).value, ratio(loads, UNCOUPLED).value
    if coupled is None or uncoupled is None:
        return
    assert coupled < 4
    assert uncoupled == pytest.approx(3 * coupled / (4 - coupled))


@given(st.floats(0.1, 2000), st.integers(28, 400), st.sampled_from(RatioMethod))
def test_a_constant_load_is_as_usual_as_can_be(load: float, days: int, method: RatioMethod) -> None:
    assert ratio([load] * days, method).value == 1


@given(LOADS, st.floats(0.01, 100), st.sampled_from(RatioMethod))
def test_no_unit_changes_a_ratio(loads: list[float], factor: float, method: RatioMethod) -> None:
    given_, scaled = ratio(loads, method), ratio([x * factor for x in loads], method)
    assume(given_.value is not None)
    assert scaled.value == pytest.approx(given_.value)


@given(st.lists(A_LOAD, min_size=7, max_size=7))
def test_the_standard_deviations_differ_by_a_constant(week: list[float]) -> None:
    sample, population = monotony(week).value, monotony(week, sample=False).value
    if sample is not None:
        assert population == pytest.approx(sample * (7 / 6) ** 0.5)


def test_fitness_grows_slower_than_fatigue_and_both_come_to_the_load() -> None:
    fitness, fatigue = fitness_and_fatigue([100.0] * 30)
    assert 0 < fitness < fatigue < 100
    assert fitness_and_fatigue([100.0] * 2000) == pytest.approx((100, 100))
    assert fitness_and_fatigue([]) == (0, 0)


def histories(count: int) -> list[list[float]]:
    """Returns random histories with rest days and breaks."""
    random = Random(7)
    found = []
    for _ in range(count):
        share, length = random.uniform(0.05, 0.95), random.randint(28, 400)
        loads = [random.uniform(1, 900) * (random.random() < share) for _ in range(length)]
        gap = random.randrange(length)
        loads[gap : gap + random.randint(0, 40)] = [0.0] * len(loads[gap : gap + 40])
        found.append(loads[:length])
    return found


def test_pandas_comes_to_the_same() -> None:
    for loads in histories(1000):
        series = pd.Series(loads)
        acute = series.rolling(ACUTE_DAYS).mean().iloc[-1]
        chronic = series.rolling(CHRONIC_DAYS).mean().iloc[-1]
        before = series.shift(ACUTE_DAYS).rolling(CHRONIC_DAYS - ACUTE_DAYS).mean().iloc[-1]
        found = ratio(loads, COUPLED)
        assert (found.acute, found.chronic) == pytest.approx((acute, chronic), abs=1e-9)
        assert ratio(loads, UNCOUPLED).chronic == pytest.approx(before, abs=1e-9)
        for span in (ACUTE_DAYS, CHRONIC_DAYS):
            mean = series.ewm(span=span, adjust=False).mean().iloc[-1]
            assert ewma(loads, span) == pytest.approx(mean, abs=1e-9)
        week = series.iloc[-7:]
        if (value := monotony(loads[-7:]).value) is not None:
            assert value == pytest.approx(week.mean() / week.std(), rel=1e-9)


def test_a_day_that_is_unknown_enters_as_nothing() -> None:
    unknown = [None if day == 0 else float(day) for day in FIVE_WEEKS]
    for method in RatioMethod:
        assert ratio(unknown, method) == ratio(FIVE_WEEKS, method)
