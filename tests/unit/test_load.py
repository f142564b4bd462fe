"""Recent beside usual load: published and own golden values, invariants, and pandas."""

from collections.abc import Sequence
from datetime import date, timedelta
from random import Random

import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training_service.domain.load import (
    ACUTE_DAYS,
    CHRONIC_DAYS,
    Band,
    DayLoad,
    DayStatus,
    Deviation,
    LoadHistory,
    Monotony,
    Ratio,
    RatioMethod,
    Withheld,
    band_of,
    load_cap,
    monotony,
)

COUPLED, UNCOUPLED, EWMA = RatioMethod
FIRST = date(2024, 12, 2)


def history(loads: Sequence[float | None]) -> LoadHistory:
    """Returns the history of an athlete who began on a Monday."""
    days = [DayLoad(FIRST + timedelta(n), load) for n, load in enumerate(loads)]
    return LoadHistory(FIRST if days else None, None, days)


def status(loads: Sequence[float | None]) -> DayStatus:
    """Returns what can be said of the last day."""
    found = history(loads).status()
    assert found is not None
    return found


def ratio(loads: Sequence[float | None], method: RatioMethod) -> Ratio:
    return status(loads).ratio(method)


def population(week: Sequence[float]) -> Monotony:
    return monotony(week, Deviation.POPULATION)


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
    found = (monotony(week).value, population(week).value)
    assert found == pytest.approx(WEEK_4[athlete], abs=5e-7)


def test_a_week_of_equal_days_is_as_even_as_can_be() -> None:
    assert monotony(ATHLETES["a1"][-7:]).withheld is Withheld.ZERO_VARIANCE
    assert monotony([0] * 7).withheld is Withheld.NO_LOAD
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
    sample, whole = monotony(days), population(days)
    assert (sample.value, whole.value) == pytest.approx(WEEKS[week][:2], abs=5e-7)
    assert (sample.strain, whole.strain) == pytest.approx(WEEKS[week][2:], abs=5e-4)


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
    assert history([]).status() is None


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
    sample, whole = monotony(week).value, population(week).value
    if sample is not None:
        assert whole == pytest.approx(sample * (7 / 6) ** 0.5)


def test_fitness_grows_slower_than_fatigue_and_both_come_to_the_load() -> None:
    levels = status([100.0] * 30).levels
    assert 0 < levels.fitness < levels.fatigue < 100
    settled = status([100.0] * 2000).levels
    assert (settled.fitness, settled.fatigue) == pytest.approx((100, 100))


def test_form_is_of_yesterday_and_the_ramp_of_a_week() -> None:
    """By hand: a day of 42 AU raises fitness by 1 and fatigue by 6; a rest day takes a share."""
    first = status([42])
    assert (first.levels.fitness, first.levels.fatigue) == (1, 6)
    assert (first.form, first.ramp_rate) == (0, None)
    second = status([42, 0])
    assert second.form == -5
    assert second.levels.form == pytest.approx(41 / 42 - 36 / 7)
    eighth = status([42, *[0.0] * 6, 42])
    fitness = (41 / 42) ** 7 + 1
    assert eighth.levels.fitness == pytest.approx(fitness)
    assert eighth.ramp_rate == pytest.approx(fitness - 1)


@given(LOADS, st.integers(1, 60))
def test_a_history_may_begin_where_an_earlier_one_ended(loads: list[float], early: int) -> None:
    whole = history(loads + loads)
    split = len(loads) - early % len(loads)
    levels = whole.levels()
    cut = LoadHistory(FIRST, levels[split - 1], whole.days[split:])
    assert cut.levels() == levels[split:]
    if len(cut.days) > CHRONIC_DAYS:
        assert cut.status() == whole.status()


def test_a_status_for_each_day_is_that_of_the_history_up_to_it() -> None:
    every = list(history(FIVE_WEEKS).statuses(FIRST))
    assert every == [status(FIVE_WEEKS[: n + 1]) for n in range(35)]


def test_a_week_beside_the_one_before() -> None:
    changes = [status(FIVE_WEEKS[: 7 * n]).week.change for n in range(2, 6)]
    assert changes == pytest.approx([0.06780, 0.06349, -0.47761, 1.37143], abs=5e-6)
    assert status(FIVE_WEEKS[:13]).week.withheld is Withheld.INSUFFICIENT_HISTORY
    assert status([*FIVE_WEEKS, *[0] * 14]).week.withheld is Withheld.NO_PREVIOUS_LOAD


def test_too_many_days_that_are_not_known_make_the_data_poor() -> None:
    def with_unknown(count: int) -> DayStatus:
        days = [
            DayLoad(FIRST + timedelta(n), load, unknown_count=int(n >= 35 - count))
            for n, load in enumerate(FIVE_WEEKS)
        ]
        found = LoadHistory(FIRST, None, days).status()
        assert found is not None
        return found

    assert (with_unknown(0).coverage, with_unknown(0).is_poor) == (1, False)
    assert with_unknown(5).coverage == pytest.approx(23 / 28)
    assert not with_unknown(5).is_poor
    assert with_unknown(6).is_poor


def histories(count: int) -> list[list[float]]:
    """Returns random histories with rest days and breaks."""
    random = Random(7)
    found = []
    for _ in range(count):
        share, length = random.uniform(0.05, 0.95), random.randint(28, 200)
        loads = [random.uniform(1, 900) * (random.random() < share) for _ in range(length)]
        gap = random.randrange(length)
        loads[gap : gap + random.randint(0, 40)] = [0.0] * len(loads[gap : gap + 40])
        found.append(loads[:length])
    return found


def by_pandas(loads: list[float]) -> pd.DataFrame:
    """Returns the numbers of every day as pandas reckons them."""
    x, from_0 = pd.Series(loads), pd.Series([0.0, *loads])
    levels = {
        # A mean that begins at 0 is one that had a day of 0 before.
        name: from_0.ewm(alpha=1 / days, adjust=False).mean().iloc[1:].reset_index(drop=True)
        for name, days in (("fitness", 42), ("fatigue", 7))
    }
    acute = x.rolling(ACUTE_DAYS).mean()
    return pd.DataFrame(
        {
            "acute": acute,
            "chronic": x.rolling(CHRONIC_DAYS).mean(),
            "before": x.shift(ACUTE_DAYS).rolling(CHRONIC_DAYS - ACUTE_DAYS).mean(),
            "ewma_acute": x.ewm(span=ACUTE_DAYS, adjust=False).mean(),
            "ewma_chronic": x.ewm(span=CHRONIC_DAYS, adjust=False).mean(),
            **levels,
            "form": (levels["fitness"] - levels["fatigue"]).shift(1, fill_value=0.0),
            "week": x.rolling(7).sum(),
            "spread": x.rolling(7).std(),
        }
    )


def test_pandas_comes_to_the_same_on_every_day_of_a_thousand_histories() -> None:
    for loads in histories(1000):
        first = FIRST + timedelta(CHRONIC_DAYS - 1)
        days = list(history(loads).statuses(first))
        ours = pd.DataFrame(
            {
                "acute": [day.ratio(COUPLED).acute for day in days],
                "chronic": [day.ratio(COUPLED).chronic for day in days],
                "before": [day.ratio(UNCOUPLED).chronic for day in days],
                "ewma_acute": [day.ratio(EWMA).acute for day in days],
                "ewma_chronic": [day.ratio(EWMA).chronic for day in days],
                "fitness": [day.levels.fitness for day in days],
                "fatigue": [day.levels.fatigue for day in days],
                "form": [day.form for day in days],
                "week": [day.week.load for day in days],
            }
        )
        theirs = by_pandas(loads).iloc[CHRONIC_DAYS - 1 :].reset_index(drop=True)
        assert (ours - theirs[ours.columns]).abs().max().max() < 1e-9
        told = [n for n, day in enumerate(days) if day.monotony.value is not None]
        values = [days[n].monotony.value for n in told]
        expected = theirs["week"][told] / 7 / theirs["spread"][told]
        assert values == pytest.approx(expected.tolist(), rel=1e-9)


def test_a_day_that_is_unknown_enters_as_nothing() -> None:
    unknown = [None if day == 0 else float(day) for day in FIVE_WEEKS]
    assert status(unknown).ratios == status(FIVE_WEEKS).ratios
