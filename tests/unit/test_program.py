"""What a week of workouts asks for: worked by hand, and invariants."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_metrics import PISTOL, PLANCHE, PULL_UP, PUSH_UP
from training_service.domain.metrics import Total
from training_service.domain.program import (
    PlannedExercise,
    estimated_seconds,
    program_statistics,
    workout_statistics,
)


def planned(exercise: object = PULL_UP, **fields: object) -> PlannedExercise:
    usual: dict[str, object] = {
        "exercise": exercise,
        "primary_muscles": ("LATS",),
        "secondary_muscles": ("BICEPS",),
        "set_count": 4,
        "reps": 6.5,
        "rest_seconds": 120,
    }
    return PlannedExercise(**{**usual, **fields})  # type: ignore[arg-type]


PULLS = planned(load_kg=10, rpe=8)
HOLDS = planned(
    PLANCHE,
    primary_muscles=("FRONT_DELTS",),
    secondary_muscles=(),
    set_count=3,
    reps=None,
    hold_seconds=15,
    rest_seconds=None,
)


def test_a_workout_by_hand() -> None:
    """4 × (15 + 6.5 × 3) + 4 × 120 and 3 × (15 + 15) + 2 × 120 seconds."""
    found = workout_statistics([PULLS, HOLDS], 80)
    assert found.estimated_minutes == pytest.approx((138 + 480 + 90 + 240) / 60)
    volume = found.metrics.volume
    assert found.metrics.set_count == 7
    assert volume.effective_reps.value == 4 * 6.5 + 3 * 7.5
    assert volume.volume_load_kg.value == pytest.approx(26 * (0.95 * 80 + 10))
    assert volume.hard_sets == Total(4, 4, 7)
    assert found.metrics.load_au == pytest.approx(8 * 948 / 60)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 3 * (15 + 19.5) + 2 * 120),
        ({"tempo": "3-1-1-0"}, 3 * (15 + 6.5 * 5) + 2 * 120),
        ({"rest_seconds": 0}, 3 * (15 + 19.5)),
        ({"rest_seconds": None}, 3 * (15 + 19.5) + 2 * 120),
        ({"is_per_side": True}, 3 * (15 + 39) + 2 * 120),
        ({"reps": None}, 3 * (15 + 30) + 2 * 120),
        ({"set_count": 1}, 15 + 19.5),
    ],
)
def test_how_long_sets_take(fields: dict[str, object], seconds: float) -> None:
    assert estimated_seconds([planned(**{"set_count": 3, **fields})]) == pytest.approx(seconds)


def test_rounds_of_a_superset_share_their_rest() -> None:
    a, b = (planned(superset_group="A", rest_seconds=rest) for rest in (60, 90))
    alone = planned(rest_seconds=60)
    sets = 4 * (15 + 19.5)
    assert estimated_seconds([a, b]) == pytest.approx(2 * sets + 3 * 90)
    assert estimated_seconds([alone, alone]) == pytest.approx(2 * sets + 7 * 60)
    # The same group again, but not beside it: alternated with nothing.
    assert estimated_seconds([a, alone, a]) == pytest.approx(3 * sets + 11 * 60)
    assert estimated_seconds([]) == 0


def test_warm_ups_take_time_and_count_as_nothing_else() -> None:
    warm_up = planned(is_warm_up=True)
    found = workout_statistics([warm_up, PULLS], 80)
    assert found.metrics == replace(
        workout_statistics([PULLS], 80).metrics,
        load_au=found.metrics.load_au,
        effective_reps_per_minute=found.metrics.effective_reps_per_minute,
        volume_load_kg_per_minute=found.metrics.volume_load_kg_per_minute,
    )
    assert found.estimated_minutes > 2 * workout_statistics([PULLS], 80).estimated_minutes


def test_each_side_is_a_set() -> None:
    found = workout_statistics([planned(PISTOL, is_per_side=True, set_count=3, reps=5)], 70)
    assert found.metrics.set_count == 6
    assert found.metrics.volume.left_reps == 15
    assert found.metrics.exercises[0].unaided_sets == [5, 5, 5]


def test_a_week_by_hand() -> None:
    pull = workout_statistics([PULLS], 80)
    push = workout_statistics(
        [planned(PUSH_UP, primary_muscles=("CHEST",), secondary_muscles=("BICEPS",), rpe=6)], 80
    )
    week = program_statistics([(pull, 2), (push, 1.5)])
    assert week.sessions == 3.5
    assert week.minutes == pytest.approx(2 * pull.estimated_minutes + 1.5 * push.estimated_minutes)
    assert week.set_count == 8 + 6
    muscles = {
        one.muscle: (one.set_count, one.hard_set_count, one.effective_reps) for one in week.muscles
    }
    assert muscles == {"LATS": (8, 8, 52), "BICEPS": (7, 4, 45.5), "CHEST": (6, 0, 39)}
    assert [one.muscle for one in week.muscles] == ["LATS", "BICEPS", "CHEST"]
    assert week.push_share == pytest.approx(39 / 91)
    assert pull.metrics.load_au is not None
    assert push.metrics.load_au is not None
    assert week.load_au == pytest.approx(2 * pull.metrics.load_au + 1.5 * push.metrics.load_au)


def test_the_load_of_a_week_is_unknown_when_that_of_a_workout_is() -> None:
    week = program_statistics(
        [(workout_statistics([PULLS], None), 1), (workout_statistics([HOLDS], None), 1)]
    )
    assert week.load_au is None


EXERCISES = st.builds(
    planned,
    set_count=st.integers(1, 10),
    reps=st.none() | st.floats(0, 30, allow_subnormal=False),
    rest_seconds=st.none() | st.integers(0, 300),
    is_per_side=st.booleans(),
    is_warm_up=st.booleans(),
    superset_group=st.sampled_from(["", "A", "B"]),
    rpe=st.none() | st.floats(0, 10),
)


@given(st.lists(EXERCISES, max_size=6), EXERCISES)
def test_more_work_takes_longer(exercises: list[PlannedExercise], more: PlannedExercise) -> None:
    assert estimated_seconds([*exercises, more]) > estimated_seconds(exercises)


@given(st.lists(EXERCISES, max_size=6), st.floats(0.1, 10))
def test_a_week_grows_with_how_often_it_is_done(
    exercises: list[PlannedExercise], times: float
) -> None:
    workout = workout_statistics(exercises, 70)
    once, often = program_statistics([(workout, 1)]), program_statistics([(workout, times)])
    assert often.minutes == pytest.approx(once.minutes * times)
    assert often.set_count == pytest.approx(once.set_count * times)
    assert often.push_share == pytest.approx(once.push_share)
    for one, other in zip(once.muscles, often.muscles, strict=True):
        assert other.set_count == pytest.approx(one.set_count * times)
        assert other.hard_set_count <= other.set_count * (1 + 1e-9)
