"""A session fitted to the day: never beyond the plan, in a fixed order, and for true reasons."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.catalogue import load_catalogue
from training_service.domain.adaptation import (
    Action,
    Adaptation,
    Adjusted,
    Item,
    Limits,
    Option,
    ReasonKind,
    adapt,
)
from training_service.domain.exercise import NEGATIVE_SUFFIX, Exercise, MovementKind
from training_service.domain.metrics import ExerciseTraits
from training_service.domain.program import PlannedExercise

KEPT, SETS, LOAD, SWAPPED, DROPPED = Action
SPARED, EQUIPMENT, LAST_LOAD, READINESS, CAP, TIME = ReasonKind


def option(exercise: Exercise) -> Option:
    return Option(
        id=exercise.id,
        slug=exercise.slug,
        traits=ExerciseTraits(
            category=exercise.category,
            difficulty=exercise.difficulty,
            movement_kind=exercise.movement_kind,
            bodyweight_fraction=exercise.bodyweight_fraction,
            is_negative=exercise.slug.endswith(NEGATIVE_SUFFIX),
        ),
        family=exercise.family,
        easier_ids=exercise.easier_ids,
        unilateral=exercise.unilateral,
        is_active=True,
        primary_muscles=exercise.primary_muscles,
        secondary_muscles=exercise.secondary_muscles,
        equipment=exercise.equipment,
    )


OPTIONS = {one.slug: option(one) for one in load_catalogue()}


def item(slug: str, sets: int = 3, load_kg: float | None = None, **fields: Any) -> Item:
    """Returns an exercise of 10 repetitions or seconds, with a minute of rest."""
    one = OPTIONS[slug]
    is_hold = one.traits.movement_kind is MovementKind.ISOMETRIC
    last = fields.pop("last_load_kg", None)
    usual = {"rest_seconds": 60.0, "hold_seconds" if is_hold else "reps": 10.0}
    return Item(
        option=one,
        planned=PlannedExercise(
            exercise=one.traits,
            primary_muscles=one.primary_muscles,
            secondary_muscles=one.secondary_muscles,
            set_count=sets,
            load_kg=load_kg or 0.0,
            **{**usual, **fields},
        ),
        loads_kg=(load_kg,) * sets,
        last_load_kg=last,
    )


def adapted(items: Sequence[Item], **limits: Any) -> Adaptation:
    return adapt(items, Limits(**limits), OPTIONS.values())


def one_adapted(item: Item, **limits: Any) -> Adjusted:
    [found] = adapted([item], **limits).exercises
    return found


def sets_of(found: Adaptation) -> list[int]:
    return [one.set_count for one in found.exercises]


def kinds(one: Adjusted) -> list[tuple[ReasonKind, Action]]:
    return [(reason.kind, reason.action) for reason in one.reasons]


PLAN = [item("push-up", 3), item("pull-up", 4, 10.0), item("bodyweight-squat", 3), item("l-sit", 2)]


def test_without_limits_all_is_kept() -> None:
    found = adapted(PLAN, readiness_score=75.0, expected_load_au=300.0, load_room_au=300.0)
    assert all(one.actions == [KEPT] and not one.reasons for one in found.exercises)
    assert sets_of(found) == [3, 4, 3, 2]
    assert found.minutes_after == found.minutes_before
    assert (found.load_before_au, found.load_after_au) == (300, 300)
    assert not found.is_rest_suggested


@pytest.mark.parametrize(
    ("score", "sets", "load"),
    [
        (100, [1, 2, 3, 4, 5, 6], 10.0),
        (75, [1, 2, 3, 4, 5, 6], 10.0),
        (74.9, [1, 1, 2, 3, 4, 5], 10.0),
        (50, [1, 1, 2, 3, 4, 5], 10.0),
        (49.9, [1, 1, 2, 2, 3, 4], 9.0),
        (0, [1, 1, 2, 2, 3, 4], 9.0),
        (None, [1, 2, 3, 4, 5, 6], 10.0),
    ],
)
def test_the_bands_of_readiness(score: float | None, sets: list[int], load: float) -> None:
    found = adapted([item("pull-up", n, 10.0) for n in range(1, 7)], readiness_score=score)
    assert sets_of(found) == sets
    assert {load for one in found.exercises for load in one.loads_kg} == {load}


def test_readiness_leaves_warm_ups_and_assistance() -> None:
    warm_up = item("push-up", 4, 5.0, is_warm_up=True)
    assert one_adapted(warm_up, readiness_score=20.0).actions == [KEPT]
    assisted = one_adapted(item("pull-up", 4, -20.0), readiness_score=20.0)
    assert (assisted.loads_kg, assisted.actions) == ((-20.0,) * 2, [SETS])


@pytest.mark.parametrize(
    ("planned", "last", "score", "load"),
    [
        (12.5, 10.0, 60.0, 10.0),
        (12.5, 10.0, 80.0, 12.5),
        (12.5, None, 60.0, 12.5),
        (12.5, 15.0, 60.0, 12.5),
        (5.0, 0.0, 60.0, 0.0),
        (-15.0, -20.0, 60.0, -20.0),
        (None, 10.0, 60.0, None),
        (12.5, 10.0, 40.0, 9.0),
    ],
)
def test_no_more_than_the_last_time_unless_ready(
    planned: float | None, last: float | None, score: float, load: float | None
) -> None:
    found = one_adapted(item("pull-up", 1, planned, last_load_kg=last), readiness_score=score)
    assert found.loads_kg == (load,)
    assert ((LAST_LOAD, LOAD) in kinds(found)) == (
        planned is not None and last is not None and planned > last and score < 75
    )


def test_what_is_missing_is_swapped_within_the_family() -> None:
    found = one_adapted(item("ring-push-up", 3, 5.0), at_hand=frozenset({"NONE"}))
    assert kinds(found) == [(EQUIPMENT, SWAPPED)]
    assert found.reasons[0].names == ("RINGS",)
    assert found.option.family == OPTIONS["ring-push-up"].family
    assert found.option.traits.difficulty <= OPTIONS["ring-push-up"].traits.difficulty
    assert found.loads_kg == (None,) * 3
    assert one_adapted(item("ring-push-up"), at_hand=frozenset({"RINGS"})).actions == [KEPT]
    assert one_adapted(item("ring-push-up")).actions == [KEPT]


def test_what_nothing_can_stand_for_is_dropped() -> None:
    nothing = frozenset({"NONE"})
    assert kinds(one_adapted(item("pull-up", 3), at_hand=nothing)) == [(EQUIPMENT, DROPPED)]
    assisted = one_adapted(item("ring-push-up", 3, -10.0), at_hand=nothing)
    assert assisted.actions == [DROPPED]


def test_no_exercise_comes_twice() -> None:
    slugs = [slug for slug, one in OPTIONS.items() if one.family == "push-up"]
    found = adapted([item(slug) for slug in slugs], at_hand=frozenset({"NONE"}))
    ids = [one.option.id for one in found.exercises if one.loads_kg]
    assert len(ids) == len(set(ids))


def test_muscles_are_spared() -> None:
    assert kinds(one_adapted(item("push-up"), spared_muscles=frozenset({"CHEST"}))) == [
        (SPARED, DROPPED)
    ]
    besides = OPTIONS["push-up"].secondary_muscles[0]
    found = one_adapted(item("push-up", 5), spared_muscles=frozenset({besides}))
    assert (kinds(found), found.set_count) == ([(SPARED, SETS)], 3)
    assert found.reasons[0].names == (besides,)
    assert one_adapted(item("push-up", 5), spared_muscles=frozenset({"CALVES"})).actions == [KEPT]


def test_a_swap_spares_them_too() -> None:
    limits = {"at_hand": frozenset({"NONE"}), "spared_muscles": frozenset({"ABS"})}
    found = one_adapted(item("ring-push-up", 4), **limits)
    assert kinds(found) == [(SPARED, SETS), (EQUIPMENT, SWAPPED)]
    assert "ABS" not in found.option.muscles


@pytest.mark.parametrize(
    ("room", "sets", "rest"),
    [(400.0, [4, 4], False), (299.0, [4, 3], False), (10.0, [2, 2], True), (-50.0, [2, 2], True)],
)
def test_the_load_cap_takes_half_at_most(room: float, sets: list[int], rest: bool) -> None:
    plan = [item("push-up", 4), item("pull-up", 4)]
    found = adapted(plan, expected_load_au=300.0, load_room_au=room)
    assert (sets_of(found), found.is_rest_suggested) == (sets, rest)
    assert found.load_after_au == pytest.approx(300 * found.minutes_after / found.minutes_before)
    for one in found.exercises:
        assert [(r.kind, r.value, r.limit) for r in one.reasons] == (
            [] if one.set_count == 4 else [(CAP, 300, room)]
        )


def test_without_an_expected_load_there_is_no_cap() -> None:
    found = adapted(PLAN, load_room_au=1.0)
    assert sets_of(found) == [3, 4, 3, 2]
    assert (found.load_after_au, found.is_rest_suggested) == (None, False)


# A set takes 15 + 30 seconds and a minute of rest: 8 of them 13 minutes.
def test_time_is_taken_from_push_and_pull_alike() -> None:
    plan = [item("push-up", 4), item("pull-up", 4)]
    assert sets_of(adapted(plan, minutes_available=13.0)) == [4, 4]
    assert sets_of(adapted(plan, minutes_available=12.0)) == [4, 3]
    assert sets_of(adapted(plan, minutes_available=10.0)) == [3, 3]
    assert sets_of(adapted(plan, minutes_available=6.5)) == [2, 2]
    assert sets_of(adapted(plan, minutes_available=4.0)) == [2, 0]
    assert sets_of(adapted(plan, minutes_available=1.0)) == [1, 0]
    assert sets_of(adapted(plan, minutes_available=0.5)) == [0, 0]


def test_two_pulls_give_before_the_only_push() -> None:
    plan = [item("push-up", 3), item("pull-up", 3), item("chin-up", 3)]
    found = adapted(plan, minutes_available=9.5)
    assert sets_of(found) == [2, 2, 2]
    found = adapted(plan, minutes_available=7.0)
    assert sets_of(found)[0] == 2
    assert sum(sets_of(found)[1:]) == 2


def test_warm_ups_go_last() -> None:
    plan = [item("bodyweight-squat", 2, is_warm_up=True), item("push-up", 4), item("pull-up", 4)]
    assert sets_of(adapted(plan, minutes_available=5.0)) == [2, 1, 0]
    assert sets_of(adapted(plan, minutes_available=3.0)) == [2, 0, 0]
    assert sets_of(adapted(plan, minutes_available=1.0)) == [0, 0, 0]


LOADS = st.none() | st.integers(-40, 80).map(lambda kg: kg / 2)
ITEMS = st.lists(
    st.builds(
        lambda slug, sets, load, last, warm_up, group, rest: item(
            slug,
            sets,
            load,
            last_load_kg=last,
            is_warm_up=warm_up,
            superset_group=group,
            rest_seconds=rest,
        ),
        st.sampled_from(sorted(OPTIONS)),
        st.integers(1, 8),
        LOADS,
        LOADS,
        st.booleans(),
        st.sampled_from(["", "", "a", "b"]),
        st.none() | st.integers(0, 300).map(float),
    ),
    max_size=6,
)
MUSCLES = sorted({muscle for one in OPTIONS.values() for muscle in one.muscles})
EQUIPMENT_NAMES = sorted({name for one in OPTIONS.values() for name in one.equipment})
LIMITS = st.builds(
    Limits,
    minutes_available=st.none() | st.floats(1, 120),
    at_hand=st.none() | st.frozensets(st.sampled_from(EQUIPMENT_NAMES), min_size=1, max_size=4),
    spared_muscles=st.frozensets(st.sampled_from(MUSCLES), max_size=3),
    readiness_score=st.none() | st.floats(0, 100),
    load_room_au=st.none() | st.floats(-500, 1000),
    expected_load_au=st.none() | st.floats(0, 1000),
)


def kilograms(load_kg: float | None) -> float:
    return load_kg or 0.0


@given(ITEMS, LIMITS)
def test_nothing_is_ever_beyond_the_plan(items: list[Item], limits: Limits) -> None:
    found = adapt(items, limits, OPTIONS.values())
    for before, after in zip(items, found.exercises, strict=True):
        assert after.set_count <= len(before.loads_kg)
        for old, new in zip(before.loads_kg, after.loads_kg, strict=False):
            assert kilograms(new) <= kilograms(old)
        if not after.loads_kg:
            continue
        planned, left = before.planned, after.planned
        assert (left.reps, left.hold_seconds, left.is_per_side, left.tempo) == (
            planned.reps,
            planned.hold_seconds,
            planned.is_per_side,
            planned.tempo,
        )
        assert after.option.traits.difficulty <= before.option.traits.difficulty
        assert after.option.unilateral == before.option.unilateral
    assert found.minutes_after <= found.minutes_before + 1e-9
    if found.load_before_au is not None:
        assert found.load_after_au is not None
        assert found.load_after_au <= found.load_before_au + 1e-9


@given(ITEMS, LIMITS)
def test_limits_are_kept(items: list[Item], limits: Limits) -> None:
    found = adapt(items, limits, OPTIONS.values())
    if limits.minutes_available is not None:
        assert found.minutes_after <= limits.minutes_available
    for one in found.exercises:
        if one.loads_kg:
            assert not one.option.missing(limits.at_hand)
            assert not set(one.option.primary_muscles) & limits.spared_muscles
        if not one.is_warm_up and one.loads_kg and limits.minutes_available is None:
            assert one.set_count >= len(one.item.loads_kg) / 2
    if limits.load_room_au is not None and found.load_after_au is not None:
        is_over = found.load_after_au > max(limits.load_room_au, 0)
        assert found.is_rest_suggested == is_over


CAUSES: dict[ReasonKind, dict[str, Any]] = {
    SPARED: {"spared_muscles": frozenset()},
    EQUIPMENT: {"at_hand": None},
    LAST_LOAD: {"readiness_score": 75.0},
    READINESS: {"readiness_score": 75.0},
    CAP: {"load_room_au": None},
    TIME: {"minutes_available": None},
}


@given(ITEMS, LIMITS)
def test_a_reason_goes_with_its_cause(items: list[Item], limits: Limits) -> None:
    found = adapt(items, limits, OPTIONS.values())
    for kind, nothing in CAUSES.items():
        without = adapt(items, replace(limits, **nothing), OPTIONS.values())
        assert kind not in {reason.kind for one in without.exercises for reason in one.reasons}
    for one in found.exercises:
        order = [list(ReasonKind).index(reason.kind) for reason in one.reasons]
        assert order == sorted(order)
        is_as_planned = one.option is one.item.option and one.loads_kg == one.item.loads_kg
        if not one.reasons:
            assert is_as_planned
            assert one.actions == [KEPT]
        for reason in one.reasons:
            if reason.kind in (LAST_LOAD, CAP, TIME):
                assert reason.value is not None
                assert reason.limit is not None
                assert reason.value > reason.limit
            if reason.kind is READINESS:
                assert reason.value is not None
                assert reason.limit is not None
                assert reason.value < reason.limit
            if reason.kind is SPARED:
                assert set(reason.names) <= limits.spared_muscles & one.item.option.muscles
            if reason.kind is EQUIPMENT:
                assert set(reason.names) <= set(one.item.option.equipment)
                assert not set(reason.names) & (limits.at_hand or frozenset())


@given(ITEMS, LIMITS, st.floats(0, 100), st.floats(0, 100))
def test_who_is_less_ready_is_given_no_more(
    items: list[Item], limits: Limits, one: float, other: float
) -> None:
    # Time and load take from what is left, and so from others.
    alone = replace(limits, minutes_available=None, load_room_au=None)
    low, high = (
        adapt(items, replace(alone, readiness_score=score), OPTIONS.values())
        for score in sorted((one, other))
    )
    for less, more in zip(low.exercises, high.exercises, strict=True):
        assert less.set_count <= more.set_count
        pairs = zip(less.loads_kg, more.loads_kg, strict=False)
        assert all(kilograms(small) <= kilograms(great) for small, great in pairs)


@given(ITEMS, LIMITS)
def test_the_same_again(items: list[Item], limits: Limits) -> None:
    options = list(OPTIONS.values())
    assert adapt(items, limits, options) == adapt(items, limits, reversed(options))
