"""How training is spread over categories, muscles, push and pull."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.distribution import (
    PULLING,
    PUSHING,
    ExerciseVolume,
    by_category,
    by_muscle,
    push_share,
    push_share_of,
)
from training_service.domain.metrics import Total

MUSCLES = sorted({*PUSHING, *PULLING, "ABS", "QUADS"})


def volume(
    category: str, effective_reps: float, primary: list[str], secondary: list[str] | None = None
) -> ExerciseVolume:
    return ExerciseVolume(
        category=category,
        primary_muscles=primary,
        secondary_muscles=secondary or [],
        set_count=1,
        effective_reps=Total(effective_reps, 1, 1),
    )


DIPS = volume("PUSH", 30, ["CHEST", "TRICEPS"], ["FRONT_DELTS"])
PULL_UPS = volume("PULL", 10, ["LATS", "BICEPS"], ["ABS"])


def test_categories_by_size_with_their_share() -> None:
    push, pull = by_category([PULL_UPS, DIPS])
    assert (push.category, push.share, pull.category, pull.share) == ("PUSH", 0.75, "PULL", 0.25)
    assert push.effective_reps.value == 30


def test_a_secondary_muscle_gets_half() -> None:
    amounts = {one.muscle: one.effective_reps for one in by_muscle([DIPS, PULL_UPS])}
    assert amounts == {
        "CHEST": 30,
        "TRICEPS": 30,
        "FRONT_DELTS": 15,
        "LATS": 10,
        "BICEPS": 10,
        "ABS": 5,
    }


@pytest.mark.parametrize(
    ("primary", "share"),
    [
        (["LATS", "CHEST", "TRICEPS"], 2 / 3),
        (["QUADS"], None),
        (["LATS", "ABS"], 0),
        (["CHEST"], 1),
    ],
    ids=["muscle-up", "neither", "pull", "push"],
)
def test_push_share_of_an_exercise(primary: list[str], share: float | None) -> None:
    assert push_share_of(primary) == share


def test_push_share_is_weighted_by_effective_reps() -> None:
    assert push_share([DIPS, PULL_UPS, volume("LEGS", 1000, ["QUADS"])]) == 0.75
    assert push_share([volume("LEGS", 10, ["QUADS"])]) is None


def test_without_anything_nothing_is_shared() -> None:
    assert by_category([]) == by_muscle([]) == []
    [only] = by_category([volume("PUSH", 0, ["CHEST"])])
    assert only.share is None
    assert by_muscle([volume("PUSH", 0, ["CHEST"])]) == []


VOLUMES = st.lists(
    st.builds(
        volume,
        st.sampled_from(["PUSH", "PULL", "LEGS"]),
        st.floats(0.5, 1000),
        st.lists(st.sampled_from(MUSCLES), min_size=1, unique=True),
    ),
    min_size=1,
)


@given(VOLUMES)
def test_shares_add_up_to_the_whole(volumes: list[ExerciseVolume]) -> None:
    assert sum(one.share or 0 for one in by_category(volumes)) == pytest.approx(1)
    assert sum(one.share for one in by_muscle(volumes)) == pytest.approx(1)
    share = push_share(volumes)
    assert share is None or 0 <= share <= 1
