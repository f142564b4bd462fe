"""The arithmetic of readiness: golden values, knots, and what must hold whatever is known."""

from datetime import date, timedelta
from itertools import combinations, pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.load import DayLoad, LoadHistory
from training_service.domain.metrics import Side, WorkingSet
from training_service.domain.readiness import (
    HISTORY_DAYS,
    KNOTS,
    MAX_EARLIER_SETS,
    WEIGHT_PERCENT,
    Absence,
    Band,
    Component,
    ComponentKind,
    RatedSession,
    RatedSet,
    Withheld,
    Work,
    absent,
    band_of,
    component,
    is_within,
    load_components,
    mean_completion,
    measured,
    rated_sets,
    readiness,
    rpe_drift,
    rpe_drift_of,
)
from training_service.domain.wellness import Ratings

K = ComponentKind
GOLDEN = {
    K.COMPLETION: (0.90, 80),
    K.RPE_DRIFT: (0.5, 80),
    K.LOAD_RATIO: (1.40, 85),
    K.MONOTONY: (1.2, 100),
    K.DAYS_SINCE_SESSION: (1, 75),
    K.WELLNESS: (12, 66.667),
}
"""The worked example: value and score of each component."""
DAY = date(2026, 3, 16)
PULL_UP, DIP = UUID(int=1), UUID(int=2)


def example(*kinds: ComponentKind) -> list[Component]:
    """Returns the components of the worked example, all but these not known."""
    return [
        measured(kind, GOLDEN[kind][0]) if kind in kinds else absent(kind, Absence.NO_SESSION)
        for kind in K
    ]


def test_the_worked_example() -> None:
    found = readiness(example(*K))
    scores = [one.score for one in found.components]
    assert scores == pytest.approx([score for _, score in GOLDEN.values()], abs=5e-4)
    assert found.score == pytest.approx(78.9167, abs=5e-5)
    assert (found.coverage, found.band, found.withheld) == (1, Band.TRAIN_AS_PLANNED, None)


def test_the_worked_example_without_wellness() -> None:
    found = readiness(example(*set(K) - {K.WELLNESS}))
    assert found.score == pytest.approx(83)
    assert found.coverage == 0.75


def test_too_little_is_known_for_a_score() -> None:
    found = readiness(example(K.MONOTONY, K.DAYS_SINCE_SESSION))
    assert (found.score, found.band, found.coverage) == (None, None, 0.20)
    assert found.withheld is Withheld.INSUFFICIENT_COVERAGE
    assert [one.score for one in found.components][3:5] == [100, 75]
    nothing = readiness(example())
    assert (nothing.score, nothing.coverage) == (None, 0)


def test_weights_are_of_one_hundred_and_none_is_left_out() -> None:
    assert sum(WEIGHT_PERCENT.values()) == 100
    assert set(WEIGHT_PERCENT) == set(KNOTS) == set(K)


def test_a_coverage_of_exactly_the_least_is_enough() -> None:
    """Wherever the weights add up to 40 in a hundred, in whatever order."""
    enough = [
        chosen
        for count in range(len(K) + 1)
        for chosen in combinations(K, count)
        if sum(WEIGHT_PERCENT[kind] for kind in chosen) == 40
    ]
    assert len(enough) == 4
    for chosen in enough:
        found = readiness(example(*chosen))
        assert found.coverage == 0.40
        assert found.score is not None


@pytest.mark.parametrize("kind", K)
def test_every_knot_is_worth_what_it_says(kind: ComponentKind) -> None:
    knots = KNOTS[kind]
    for value, score in knots:
        assert measured(kind, value).score == score
    assert measured(kind, knots[0][0] - 1).score == knots[0][1]
    assert measured(kind, knots[-1][0] + 1).score == knots[-1][1]


@pytest.mark.parametrize(
    ("kind", "value", "score"),
    [
        (K.COMPLETION, 0.25, 0),
        (K.COMPLETION, 0.75, 50),
        (K.RPE_DRIFT, -1, 100),
        (K.RPE_DRIFT, 1.25, 50),
        (K.LOAD_RATIO, 0.25, 65),
        (K.LOAD_RATIO, 0.65, 85),
        (K.LOAD_RATIO, 1, 100),
        (K.LOAD_RATIO, 1.75, 45),
        (K.LOAD_RATIO, 2.25, 10),
        (K.LOAD_RATIO, 4, 0),
        (K.MONOTONY, 1.75, 85),
        (K.MONOTONY, 2.5, 45),
        (K.MONOTONY, 10, 20),
        (K.DAYS_SINCE_SESSION, 3, 100),
        (K.DAYS_SINCE_SESSION, 5.5, 95),
        (K.DAYS_SINCE_SESSION, 10.5, 82.5),
        (K.DAYS_SINCE_SESSION, 22, 67.5),
        (K.DAYS_SINCE_SESSION, 400, 60),
        (K.WELLNESS, 16, 50),
    ],
)
def test_between_knots_and_beyond_them(kind: ComponentKind, value: float, score: float) -> None:
    assert measured(kind, value).score == pytest.approx(score)


@pytest.mark.parametrize(
    ("score", "band"),
    [
        (100, Band.TRAIN_AS_PLANNED),
        (75, Band.TRAIN_AS_PLANNED),
        (74.999, Band.REDUCE),
        (50, Band.REDUCE),
        (49.999, Band.EASY_OR_REST),
        (0, Band.EASY_OR_REST),
    ],
)
def test_bands(score: float, band: Band) -> None:
    assert band_of(score) is band


VALUES = st.floats(-5, 50)
COMPONENTS = st.dictionaries(st.sampled_from(K), VALUES)


def of(values: dict[ComponentKind, float]) -> list[Component]:
    return [component(kind, values.get(kind, Absence.NO_SESSION)) for kind in K]


@given(COMPONENTS)
def test_a_score_lies_within_those_of_its_components(values: dict[ComponentKind, float]) -> None:
    found = readiness(of(values))
    scores = [one.score for one in found.components if one.score is not None]
    assert all(0 <= score <= 100 for score in scores)
    if found.score is not None:
        assert min(scores) - 1e-9 <= found.score <= max(scores) + 1e-9


@given(COMPONENTS)
def test_what_is_not_known_moves_nothing_else(values: dict[ComponentKind, float]) -> None:
    known = [measured(kind, value) for kind, value in values.items()]
    bare, whole = readiness(known), readiness(of(values))
    assert whole.coverage == bare.coverage
    assert whole.score == (bare.score if bare.score is None else pytest.approx(bare.score))
    assert {one.kind: one for one in whole.components if one.score is not None} == {
        one.kind: one for one in known
    }


RISING = [kind for kind in K if all(a[1] <= b[1] for a, b in pairwise(KNOTS[kind]))]
FALLING = [kind for kind in K if all(a[1] >= b[1] for a, b in pairwise(KNOTS[kind]))]


def test_more_completion_is_better_and_more_of_three_others_is_worse() -> None:
    assert RISING == [K.COMPLETION]
    assert FALLING == [K.RPE_DRIFT, K.MONOTONY, K.WELLNESS]


@given(COMPONENTS, st.sampled_from(RISING + FALLING), VALUES, VALUES)
def test_a_component_moves_the_score_its_own_way(
    values: dict[ComponentKind, float], kind: ComponentKind, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    less, more = (readiness(of({**values, kind: value})).score for value in (low, high))
    if less is None or more is None:
        assert less is more
        return
    if kind in FALLING:
        less, more = more, less
    assert less <= more + 1e-9


def test_hooper_adds_up_four_answers() -> None:
    assert Ratings(3, 2, 4, 3).hooper_index == 12
    assert Ratings(1, 1, 1, 1).hooper_index == 4
    assert Ratings(7, 7, 7, 7).hooper_index == 28


# RPE drift.


def a_set(
    rpe: float,
    reps: float = 8,
    load_kg: float = 0,
    exercise_id: UUID = PULL_UP,
    side: Side = Side.BOTH,
) -> RatedSet:
    return RatedSet(Work(exercise_id, side, load_kg, reps), rpe)


def test_drift_is_what_a_rating_is_above_the_median_of_sets_like_it() -> None:
    assert rpe_drift([a_set(8)], [a_set(7), a_set(7.5), a_set(9)]) == 0.5
    assert rpe_drift([a_set(6)], [a_set(7), a_set(8)]) == -1.5


def test_drift_is_averaged_for_each_exercise_before_it_is_over_all() -> None:
    earlier = [a_set(7), a_set(7), a_set(6, exercise_id=DIP), a_set(6, exercise_id=DIP)]
    latest = [a_set(8), a_set(8), a_set(9), a_set(6, exercise_id=DIP)]
    assert rpe_drift(latest, earlier) == pytest.approx((4 / 3 + 0) / 2)


def test_two_sets_alike_are_needed() -> None:
    assert rpe_drift([a_set(8)], [a_set(7)]) is Absence.NO_COMPARABLE_SETS
    assert rpe_drift([a_set(8)], []) is Absence.NO_COMPARABLE_SETS
    assert rpe_drift([], [a_set(7), a_set(7)]) is Absence.NO_RATED_SET
    # A set without its like is left out and does not count as no drift.
    assert rpe_drift([a_set(8), a_set(10, reps=20)], [a_set(7), a_set(7)]) == 1


@pytest.mark.parametrize(
    ("earlier", "alike"),
    [
        (a_set(7, reps=9), True),
        (a_set(7, reps=7), True),
        (a_set(7, reps=9.5), False),
        (a_set(7, load_kg=41), False),
        (a_set(7, exercise_id=DIP), False),
        (a_set(7, side=Side.LEFT), False),
    ],
)
def test_what_is_alike(earlier: RatedSet, alike: bool) -> None:
    found = rpe_drift([a_set(8)], [earlier, earlier])
    assert found == (1 if alike else Absence.NO_COMPARABLE_SETS)


@pytest.mark.parametrize(
    ("load_kg", "earlier_kg", "alike"),
    [
        (40, 41, True),
        (40, 39, True),
        (40, 41.1, False),
        (-20, -20.5, True),
        (-20, 20, False),
        (0, 0, True),
        (0, 0.1, False),
    ],
)
def test_loads_are_alike_within_a_fortieth(load_kg: float, earlier_kg: float, alike: bool) -> None:
    earlier = [a_set(7, load_kg=earlier_kg)] * 2
    found = rpe_drift([a_set(8, load_kg=load_kg)], earlier)
    assert found == (1 if alike else Absence.NO_COMPARABLE_SETS)


def test_which_sets_are_compared() -> None:
    sets = [
        WorkingSet(reps=8, rpe=8),
        WorkingSet(reps=8),
        WorkingSet(rpe=8),
        WorkingSet(is_done=False, reps=8, rpe=8),
        WorkingSet(hold_seconds=12, rpe=9, external_load_kg=5, side=Side.LEFT),
    ]
    # 12 s of a hold are 6 repetitions: those of 10 to 14 s are like it.
    held = a_set(9, reps=6, load_kg=5, side=Side.LEFT)
    assert rated_sets(PULL_UP, sets) == [a_set(8), held]


RATED = st.lists(
    st.builds(
        a_set,
        exercise_id=st.sampled_from([PULL_UP, DIP]),
        side=st.sampled_from(Side),
        load_kg=st.sampled_from([-10, 0, 10, 10.2]),
        reps=st.integers(5, 8),
        rpe=st.integers(0, 10),
    ),
    max_size=12,
)


@given(RATED, RATED)
def test_no_order_of_sets_matters(latest: list[RatedSet], earlier: list[RatedSet]) -> None:
    found = rpe_drift(latest, earlier)
    turned = rpe_drift(latest[::-1], earlier[::-1])
    assert turned == (found if isinstance(found, Absence) else pytest.approx(found))


@given(RATED, RATED, st.integers(-3, 3))
def test_what_is_rated_higher_throughout_drifts_by_as_much(
    latest: list[RatedSet], earlier: list[RatedSet], more: int
) -> None:
    found = rpe_drift(latest, earlier)
    raised = rpe_drift([one._replace(rpe=one.rpe + more) for one in latest], earlier)
    if isinstance(found, Absence):
        assert raised is found
    else:
        assert raised == pytest.approx(found + more)


# Which sessions count.


def ago(days: int, *sets: RatedSet) -> RatedSession:
    return RatedSession(DAY - timedelta(days=days), sets)


def drift(*sessions: RatedSession) -> float | Absence:
    return rpe_drift_of(sessions, DAY)


def test_the_latest_session_is_compared_with_28_days_before_it() -> None:
    base = [a_set(7), a_set(7)]
    assert drift(ago(0, a_set(8)), ago(28, *base)) == 1
    assert drift(ago(0, a_set(8)), ago(29, *base)) is Absence.NO_COMPARABLE_SETS
    assert drift(ago(6, a_set(8)), ago(34, *base)) == 1
    assert drift(ago(0, a_set(8)), ago(0, *base)) == 1
    assert HISTORY_DAYS - 1 == 34


def test_a_latest_session_of_a_week_ago_says_nothing_of_today() -> None:
    base = [a_set(7), a_set(7)]
    assert drift(ago(7, a_set(8)), ago(9, *base)) is Absence.NO_RECENT_SESSION
    assert drift() is Absence.NO_RECENT_SESSION
    assert drift(ago(0), ago(1, *base)) is Absence.NO_RATED_SET


def test_only_so_many_earlier_sets_are_looked_at() -> None:
    """The newest: what is asked of a process that serves others too has an end."""
    newest = [a_set(7)] * MAX_EARLIER_SETS
    assert drift(ago(0, a_set(8)), ago(1, *newest), ago(2, *[a_set(1)] * 5_000)) == 1


def test_completion_is_the_mean_of_the_last_three() -> None:
    assert mean_completion([0.6, 0.9, 0.9, 0.1]) == pytest.approx(0.8)
    assert mean_completion([1.5, 0.5]) == pytest.approx(0.75)
    assert mean_completion([0]) == 0
    assert mean_completion([]) is Absence.NO_PLANNED_SESSION


def test_a_day_is_the_last_of_so_many() -> None:
    assert is_within(14, DAY, DAY)
    assert is_within(14, DAY - timedelta(days=13), DAY)
    assert not is_within(14, DAY - timedelta(days=14), DAY)


# Loads.


Found = Absence | tuple[float | None, float | None]


def loads(*days: float | None, imputed: int = 0) -> list[Found]:
    """Returns the ratio and the monotony of days with these loads, the last of which are imputed:
    of each its value and score, or why it is not known."""
    dated = [
        DayLoad(
            local_date=DAY - timedelta(days=len(days) - 1 - n),
            load=load,
            session_count=int(load != 0),
            unknown_count=int(load is None),
            imputed_count=int(n >= len(days) - imputed),
        )
        for n, load in enumerate(days)
    ]
    first = dated[0].local_date if dated else None
    found = load_components(LoadHistory(first_date=first, before=None, days=dated))
    assert [one.kind for one in found] == [K.LOAD_RATIO, K.MONOTONY]
    return [one.absence or (one.value, one.score) for one in found]


WEEK = (300.0, 0.0, 200.0, 0.0, 400.0, 100.0, 0.0)


def test_loads_need_a_history() -> None:
    short = Absence.INSUFFICIENT_HISTORY
    even = (pytest.approx(0.8827, abs=5e-5), 100)
    assert loads() == [short, short]
    assert loads(*WEEK[:6]) == [short, short]
    assert loads(*WEEK) == [short, even]
    assert loads(*WEEK * 4) == [(1, 100), even]


def test_days_that_are_all_alike_score_as_the_most_monotonous() -> None:
    assert loads(*[100.0] * 28) == [(1, 100), (None, 20)]


def test_no_load_is_not_even() -> None:
    assert loads(*WEEK * 4, *[0.0] * 7) == [(0, 60), Absence.NO_LOAD]
    assert loads(*WEEK * 4, *[0.0] * 28) == [Absence.NO_CHRONIC_LOAD, Absence.NO_LOAD]


def test_a_load_that_is_not_known_is_not_none() -> None:
    """A fifth of the days may be uncertain, of seven one."""
    unsure = Absence.UNCERTAIN_LOAD
    unrated = [None if load else 0.0 for load in WEEK]
    assert unsure not in loads(*WEEK * 4, imputed=1)
    assert loads(*WEEK * 4, imputed=2) == [unsure, unsure]
    assert loads(*WEEK * 3, *unrated) == [unsure, unsure]
    # Weeks ago they make a ratio unsure and no monotony.
    ratio, monotony = loads(*unrated, *unrated, *WEEK, *WEEK)
    assert (ratio, monotony) == (unsure, (pytest.approx(0.8827, abs=5e-5), 100))
    # Who has trained too little is told that first.
    assert loads(None, None, 100.0) == [Absence.INSUFFICIENT_HISTORY] * 2
