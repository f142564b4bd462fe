"""The rules of the progression graph, and of what may change."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from training_service.domain.exercise import (
    DEFINING_FIELDS,
    EXERCISE_NAMESPACE,
    ContractionEmphasis,
    Edge,
    Exercise,
    MovementKind,
    check_definition_kept,
    check_progression,
    exercise_id,
)
from training_service.errors import Reason, TrainingError
from training_service.storage.exercise import edges_of, search_text

NODES = [UUID(int=n) for n in range(12)]
Graph = tuple[list[Edge], dict[UUID, int]]


@st.composite
def graphs(draw: st.DrawFn, *, flat: bool = False) -> Graph:
    """Draws a graph without cycles whose difficulty falls along no edge."""
    count = draw(st.integers(2, len(NODES)))
    # The topological order is not that of the ids, nor that of the edges.
    nodes = draw(st.permutations(NODES[:count]))
    level = st.just(5) if flat else st.integers(1, 20)
    difficulty = dict(
        zip(nodes, sorted(draw(st.lists(level, min_size=count, max_size=count))), strict=True)
    )
    ends = st.integers(0, count - 2).flatmap(
        lambda low: st.tuples(st.just(low), st.integers(low + 1, count - 1))
    )
    pairs = draw(st.lists(ends, min_size=1, max_size=30))
    return [(nodes[a], nodes[b]) for a, b in pairs], difficulty


def reachable(edges: Iterable[Edge], start: UUID) -> set[UUID]:
    """Returns what can be reached, by trying until nothing is new: slow and plain."""
    found: set[UUID] = set()
    while more := {b for a, b in edges if a == start or a in found} - found:
        found |= more
    return found


def refusal(edges: Iterable[Edge], difficulty: dict[UUID, int]) -> TrainingError:
    with pytest.raises(TrainingError) as caught:
        check_progression(edges, difficulty)
    return caught.value


@given(graphs())
def test_a_graph_without_cycles_or_drops_is_accepted(graph: Graph) -> None:
    check_progression(*graph)


@given(graphs(flat=True), st.data())
def test_any_edge_back_is_refused_and_the_cycle_named(graph: Graph, data: st.DataObject) -> None:
    edges, difficulty = graph
    source = data.draw(st.sampled_from(sorted({a for a, _ in edges})))
    target = data.draw(st.sampled_from(sorted(reachable(edges, source))))
    place = data.draw(st.integers(0, len(edges)))
    edges = [*edges[:place], (target, source), *edges[place:]]
    refused = refusal(edges, difficulty)
    assert refused.reason is Reason.PROGRESSION_CYCLE
    cycle = [UUID(id) for id in refused.metadata["exercise_ids"].split(",")]
    assert len(set(cycle)) == len(cycle)
    assert (target, source) in zip(cycle, [*cycle[1:], cycle[0]], strict=True)
    assert set(zip(cycle, [*cycle[1:], cycle[0]], strict=True)) <= set(edges)


@given(graphs(), st.data())
def test_any_edge_to_an_easier_exercise_is_refused(graph: Graph, data: st.DataObject) -> None:
    edges, difficulty = graph
    hard = max(difficulty, key=lambda id: difficulty[id])
    assume(below := sorted(id for id in difficulty if difficulty[id] < difficulty[hard]))
    easy = data.draw(st.sampled_from(below))
    place = data.draw(st.integers(0, len(edges)))
    refused = refusal([*edges[:place], (hard, easy), *edges[place:]], difficulty)
    assert refused.reason is Reason.PROGRESSION_DIFFICULTY_DROP
    assert refused.metadata == {"easier_exercise_id": str(hard), "harder_exercise_id": str(easy)}


@given(st.lists(st.tuples(st.sampled_from(NODES[:6]), st.sampled_from(NODES[:6])), max_size=14))
def test_a_graph_is_refused_exactly_when_something_reaches_itself(edges: list[Edge]) -> None:
    difficulty = dict.fromkeys(NODES, 1)
    if any(node in reachable(edges, node) for node in NODES):
        assert refusal(edges, difficulty).reason is Reason.PROGRESSION_CYCLE
    else:
        check_progression(edges, difficulty)


def test_a_graph_without_edges_is_accepted() -> None:
    check_progression([], {NODES[0]: 1})


def test_an_edge_to_itself_is_a_cycle() -> None:
    refused = refusal([(NODES[0], NODES[0])], {NODES[0]: 1})
    assert refused.reason is Reason.PROGRESSION_CYCLE
    assert refused.metadata == {"exercise_ids": str(NODES[0])}


def test_two_ways_to_one_exercise_are_no_cycle() -> None:
    a, b, c, d = NODES[:4]
    check_progression([(a, b), (a, c), (b, d), (c, d), (a, d)], dict.fromkeys(NODES, 3))


def test_a_long_chain_needs_no_deep_recursion() -> None:
    # Three times what Python would let a recursive search go down.
    chain = [UUID(int=n) for n in range(3000)]
    edges = list(pairwise(chain))
    difficulty = dict.fromkeys(chain, 1)
    check_progression(edges, difficulty)
    refused = refusal([*edges, (chain[-1], chain[0])], difficulty)
    # An answer travels as metadata: it names the beginning of a long cycle.
    assert refused.metadata == {"exercise_ids": ",".join(map(str, chain[:20]))}


def test_many_ways_through_a_graph_are_not_walked_one_by_one() -> None:
    # Sixty times two ways to the next exercise: a search that walked each would never end.
    rungs = [[UUID(int=3 * n + k) for k in range(3)] for n in range(61)]
    edges = [
        edge
        for (start, left, right), (end, _, _) in pairwise(rungs)
        for edge in ((start, left), (start, right), (left, end), (right, end))
    ]
    check_progression(edges, {id: 1 for rung in rungs for id in rung})


def an_exercise(**fields: Any) -> Exercise:
    usual: dict[str, Any] = {
        "id": exercise_id("a-b"),
        "slug": "a-b",
        "display_name": "A B",
        "category": "PULL",
        "difficulty": 5,
        "movement_kind": MovementKind.DYNAMIC,
        "contraction_emphasis": ContractionEmphasis.BALANCED,
        "unilateral": False,
        "bodyweight_fraction": 0.5,
        "primary_muscles": ("LATS",),
    }
    return Exercise(**{**usual, **fields})


CHANGES: dict[str, Any] = {
    "slug": "c",
    "category": "PUSH",
    "movement_kind": MovementKind.ISOMETRIC,
    "unilateral": True,
    "bodyweight_fraction": 0.6,
}


def test_every_defining_field_is_tried() -> None:
    assert set(CHANGES) == set(DEFINING_FIELDS)


@pytest.mark.parametrize("field", CHANGES)
def test_a_definition_in_use_is_kept(field: str) -> None:
    before = an_exercise(in_use=True)
    with pytest.raises(TrainingError) as caught:
        check_definition_kept(before, replace(before, **{field: CHANGES[field]}))
    assert caught.value.reason is Reason.EXERCISE_IN_USE
    assert caught.value.metadata == {"exercise_id": str(before.id), "fields": field}


def test_a_definition_not_in_use_may_change() -> None:
    before = an_exercise()
    check_definition_kept(before, replace(before, **CHANGES))


def test_what_is_no_definition_may_change_in_use() -> None:
    before = an_exercise(in_use=True)
    check_definition_kept(
        before, replace(before, display_name="C", difficulty=6, equipment=("RINGS",), version=2)
    )


def test_the_id_of_a_slug_never_changes() -> None:
    # Other services keep these ids: a new value here would break every one of them.
    assert str(EXERCISE_NAMESPACE) == "fa3c5817-bf11-510f-8af1-eaef69905a49"
    assert str(exercise_id("pull-up")) == "f28ca318-2152-517f-bb8c-d5c2325d1ae5"
    assert exercise_id("pull-up") == uuid5(EXERCISE_NAMESPACE, "pull-up")


def test_edges_point_from_easier_to_harder() -> None:
    exercise = an_exercise(easier_ids=(NODES[0], NODES[1]), harder_ids=(NODES[2],))
    assert edges_of(exercise) == [
        (NODES[0], exercise.id),
        (NODES[1], exercise.id),
        (exercise.id, NODES[2]),
    ]


def test_a_search_compares_with_all_names_and_with_each_run_together() -> None:
    exercise = an_exercise(slug="chin-up", display_name="Chin-Up", aliases=("Reverse-grip pull",))
    assert search_text(exercise).split(" | ") == [
        "chin-up",
        "chin up",
        "reverse-grip pull",
        "chinup",
        "reversegrippull",
    ]
