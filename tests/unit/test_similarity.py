"""How alike exercises are: what must hold of any catalogue, and of what is trained together."""

from dataclasses import replace
from itertools import combinations
from math import log, sqrt
from random import Random
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.catalogue import load_catalogue
from training_service.domain.exercise import (
    ContractionEmphasis,
    Exercise,
    MovementKind,
    exercise_id,
)
from training_service.domain.similarity import (
    ATTRIBUTE_DIMENSIONS,
    ATTRIBUTE_PERCENT,
    COMPANY_PERCENT,
    DIMENSIONS,
    FACTOR_DIMENSIONS,
    MIN_ATHLETES,
    RELATIVES,
    Pairs,
    attribute_vectors,
    company_factors,
    positive_information,
    similarity,
    vectors,
)
from training_service.domain.team import MIN_ATHLETES as MIN_ATHLETES_OF_GROUPS

CATALOGUE = load_catalogue()
IDS = [one.id for one in CATALOGUE]
PULL_UP, CHIN_UP, PUSH_UP, SQUAT = map(
    exercise_id, ("pull-up", "chin-up", "push-up", "bodyweight-squat")
)


def names(most: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(
        st.sampled_from(["CHEST", "LATS", "ABS", "QUADS"]), max_size=most, unique=True
    ).map(tuple)


@st.composite
def exercises(draw: st.DrawFn) -> list[Exercise]:
    return [
        Exercise(
            id=UUID(int=number),
            slug=f"exercise-{number}",
            display_name="Exercise",
            category=draw(st.sampled_from(["PUSH", "PULL"])),
            difficulty=draw(st.integers(1, 20)),
            movement_kind=draw(st.sampled_from(MovementKind)),
            contraction_emphasis=draw(st.sampled_from(ContractionEmphasis)),
            unilateral=draw(st.booleans()),
            bodyweight_fraction=0.5,
            primary_muscles=("LATS", *draw(names(2))),
            secondary_muscles=draw(names(3)),
            equipment=draw(names(2)),
            family=draw(st.sampled_from(["", "a", "b"])),
        )
        for number in range(draw(st.integers(1, 8)))
    ]


def all_pairs(count: int) -> st.SearchStrategy[Pairs]:
    pairs = [(UUID(int=a), UUID(int=b)) for a, b in combinations(range(count), 2)]
    return st.dictionaries(st.sampled_from(pairs), st.integers(0, 40))


@given(exercises(), all_pairs(8))
def test_vectors_are_of_unit_length_and_alike_both_ways(
    given_exercises: list[Exercise], pairs: Pairs
) -> None:
    found = vectors(given_exercises, pairs)
    assert found.keys() == {one.id for one in given_exercises}
    for one in found.values():
        assert len(one) == DIMENSIONS
        assert similarity(one, one) == pytest.approx(1)
        assert sqrt(sum(value**2 for value in one)) == pytest.approx(1)
        for other in found.values():
            assert similarity(one, other) == similarity(other, one)
            assert -1 <= similarity(one, other) <= 1


@given(exercises(), all_pairs(8), st.integers(0, 10**6))
def test_no_order_matters(given_exercises: list[Exercise], pairs: Pairs, seed: int) -> None:
    shuffled, turned = [*given_exercises], [*pairs.items()]
    Random(seed).shuffle(shuffled)
    Random(seed).shuffle(turned)
    assert vectors(shuffled, dict(turned)) == vectors(given_exercises, pairs)


@given(exercises(), st.integers(0, MIN_ATHLETES - 1))
def test_where_too_few_trained_attributes_alone_count(
    given_exercises: list[Exercise], count: int
) -> None:
    too_few = {(UUID(int=a), UUID(int=b)): count for a, b in combinations(range(8), 2)}
    found = vectors(given_exercises, too_few)
    assert found == vectors(given_exercises, {})
    alone = attribute_vectors(given_exercises)
    for one in given_exercises:
        assert found[one.id][:ATTRIBUTE_DIMENSIONS] == pytest.approx(alone[one.id])
        assert found[one.id][ATTRIBUTE_DIMENSIONS:] == [0.0] * FACTOR_DIMENSIONS


def test_as_many_athletes_are_needed_as_for_numbers_of_groups() -> None:
    assert MIN_ATHLETES == MIN_ATHLETES_OF_GROUPS


def test_weights_are_a_whole() -> None:
    assert sum(ATTRIBUTE_PERCENT.values()) == 100


def changed(block: str) -> Exercise:
    """Returns an exercise like the pull-up but for one block of attributes."""
    [pull_up] = [one for one in CATALOGUE if one.id == PULL_UP]
    change: dict[str, object] = {
        "muscles": {"primary_muscles": ("CALVES",), "secondary_muscles": ()},
        "category": {"category": "LEGS"},
        "family": {"family": "another"},
        "equipment": {"equipment": ("TOWEL",)},
    }[block]
    return replace(pull_up, id=UUID(int=1), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("block", ["muscles", "category", "family", "equipment"])
def test_each_block_counts_by_its_weight(block: str) -> None:
    found = attribute_vectors([*CATALOGUE, changed(block)])
    expected = 1 - ATTRIBUTE_PERCENT[block] / 100
    assert similarity(found[PULL_UP], found[UUID(int=1)]) == pytest.approx(expected)


def test_the_further_in_difficulty_the_less_alike() -> None:
    [pull_up] = [one for one in CATALOGUE if one.id == PULL_UP]
    ladder = [
        replace(pull_up, id=UUID(int=step), difficulty=pull_up.difficulty + step)
        for step in range(1, 8)
    ]
    found = attribute_vectors([pull_up, *ladder])
    alike = [similarity(found[PULL_UP], found[one.id]) for one in ladder]
    assert alike == sorted(alike, reverse=True)
    assert len({*alike}) == len(alike)


def test_the_catalogue_makes_sense() -> None:
    found = vectors(CATALOGUE, {})
    nearest = max(IDS, key=lambda id: (id != PULL_UP) * similarity(found[PULL_UP], found[id]))
    [family] = {one.family for one in CATALOGUE if one.id == PULL_UP}
    assert family in {one.family for one in CATALOGUE if one.id == nearest}
    assert similarity(found[PULL_UP], found[CHIN_UP]) > 0.9
    assert similarity(found[PULL_UP], found[PUSH_UP]) < 0.4
    assert similarity(found[PULL_UP], found[SQUAT]) < 0.4


def test_more_attributes_than_places_share_them() -> None:
    [pull_up] = [one for one in CATALOGUE if one.id == PULL_UP]
    many = [
        replace(pull_up, id=UUID(int=n), family=f"family-{n}")
        for n in range(ATTRIBUTE_DIMENSIONS + 50)
    ]
    found = vectors(many, {})
    assert {len(one) for one in found.values()} == {DIMENSIONS}
    assert similarity(found[UUID(int=0)], found[UUID(int=1)]) < 1


# What exercises are trained with.

A, B, C, D = (UUID(int=n) for n in range(1, 5))


def test_information_is_that_of_church_and_hanks() -> None:
    """Of n_ab = 10, n_ac = 5, n_bc = 5: sums of 15, 15 and 10 of a whole of 40."""
    found = positive_information({(A, B): 10, (A, C): 5, (C, B): 5, (A, D): MIN_ATHLETES - 1})
    assert found[A][B] == found[B][A] == pytest.approx(log(10 * 40 / (15 * 15)))
    assert found[A][C] == pytest.approx(log(5 * 40 / (15 * 10)))
    assert D not in found
    assert D not in found[A]


def test_what_is_together_less_than_by_chance_has_no_information() -> None:
    found = positive_information({(A, B): 100, (C, D): 100, (A, C): 5})
    assert C not in found[A]
    assert found[A][B] > 0


def of_groups(seed: int, count: int) -> Pairs:
    """Returns pairs of exercises in groups of six, which are trained with some groups and hardly
    with others."""
    chance = Random(seed)
    favour = {(g, h): chance.choice([1, 30]) for g in range(5) for h in range(g, 5)}
    return {
        (UUID(int=a), UUID(int=b)): MIN_ATHLETES + chance.randint(0, 9) * favour[a // 6, b // 6]
        for a, b in combinations(range(count), 2)
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("count", "error"), [(FACTOR_DIMENSIONS, 1e-9), (30, 0.02)])
def test_factors_are_those_of_a_singular_value_decomposition(
    seed: int, count: int, error: float
) -> None:
    """As NumPy finds it. Where something is cut off, singular values that are close to one another
    are not told apart to the last digit."""
    pairs = of_groups(seed, count)
    rows = positive_information(pairs)
    ids = [*rows]
    matrix = np.array([[rows[a].get(b, 0.0) for b in ids] for a in ids])
    left, values, _ = np.linalg.svd(matrix)
    best = left[:, :FACTOR_DIMENSIONS] * values[:FACTOR_DIMENSIONS]
    best /= np.linalg.norm(best, axis=1, keepdims=True)
    found = company_factors(pairs)
    ours = np.array([found[id] for id in ids])
    assert np.abs(ours @ ours.T - best @ best.T).mean() < error


def test_a_matrix_of_lower_rank_leaves_places_empty() -> None:
    found = company_factors({(A, B): 10, (C, D): 10})
    assert all(len(one) == FACTOR_DIMENSIONS for one in found.values())
    assert similarity(found[A], found[B]) == pytest.approx(0, abs=1e-6)  # never instead of it
    assert similarity(found[A], found[C]) == pytest.approx(0, abs=1e-6)


def test_what_keeps_the_same_company_is_more_alike() -> None:
    """Push-ups and squats are never together, and both are with the same others."""
    others = [id for id in IDS if id not in (PUSH_UP, SQUAT)][:20]
    same = {(id, other): 50 for other in others for id in (PUSH_UP, SQUAT)}
    before, after = vectors(CATALOGUE, {}), vectors(CATALOGUE, same)
    alike = similarity(before[PUSH_UP], before[SQUAT])
    expected = (1 - COMPANY_PERCENT / 100) * alike + COMPANY_PERCENT / 100
    assert similarity(after[PUSH_UP], after[SQUAT]) == pytest.approx(expected)


def test_what_nobody_trained_has_the_company_of_its_like() -> None:
    """It is not put apart from everything that somebody trained."""
    trained = [one.id for one in CATALOGUE if one.id != CHIN_UP]
    pairs = {pair: 6 + (pair[0].int + pair[1].int) % 5 for pair in combinations(trained[:40], 2)}
    pairs |= {(PULL_UP, other): 60 for other in trained[:10] if other != PULL_UP}
    found = vectors(CATALOGUE, pairs)
    company = found[CHIN_UP][ATTRIBUTE_DIMENSIONS:]
    assert sum(value**2 for value in company) == pytest.approx(COMPANY_PERCENT / 100)
    kept = company_factors(pairs)
    alike = attribute_vectors(CATALOGUE)
    nearest = sorted(kept, key=lambda id: (-similarity(alike[CHIN_UP], alike[id]), id))[:RELATIVES]
    mean = [
        sum(similarity(alike[CHIN_UP], alike[id]) * kept[id][n] for id in nearest)
        for n in range(FACTOR_DIMENSIONS)
    ]
    assert similarity(company, mean) == pytest.approx(1)
