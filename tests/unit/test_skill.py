"""The progression graph: criteria, what is met of them, states, what comes next, ways."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from math import fsum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.catalogue import load_catalogue
from training_service.domain.exercise import Criterion, MovementKind, exercise_id
from training_service.domain.skill import (
    Practice,
    Skill,
    SkillGraph,
    SkillState,
    Step,
    distance,
    graph_of,
    graph_towards,
    leading_to,
    missing_amount,
    missing_sessions,
    share_met,
    step_weight,
    usual_criterion,
)

DYNAMIC, ISOMETRIC = MovementKind.DYNAMIC, MovementKind.ISOMETRIC
THREE_BY_EIGHT = Criterion(3, 8, 2)
DAY = date(2026, 3, 2)


def practice(*best_sets: float, run: int = 0, passed: bool = False, slug: str = "x") -> Practice:
    return Practice(
        exercise_id=exercise_id(slug),
        session_count=5,
        last_date=DAY,
        passed_date=DAY if passed else None,
        session_run=run,
        best_sets=best_sets,
        last_sets=best_sets,
    )


# Criteria


@pytest.mark.parametrize(
    ("kind", "difficulty", "unilateral", "expected"),
    [
        (DYNAMIC, 1, False, (3, 8, 2)),
        (DYNAMIC, 20, False, (3, 8, 2)),
        (DYNAMIC, 6, True, (3, 5, 2)),
        (ISOMETRIC, 1, False, (3, 30, 2)),
        (ISOMETRIC, 6, False, (3, 30, 2)),
        (ISOMETRIC, 7, False, (3, 15, 2)),
        (ISOMETRIC, 9, True, (3, 15, 2)),
        (ISOMETRIC, 10, False, (3, 8, 2)),
        (ISOMETRIC, 20, False, (3, 8, 2)),
    ],
)
def test_the_usual_criterion_is_of_the_brief(
    kind: MovementKind, difficulty: int, unilateral: bool, expected: tuple[int, float, int]
) -> None:
    """ADVANCE: 3 × 8, 3 × 5 each side; 3 × 30 s up to 6, 3 × 15 s from 7, 3 × 8 s from 10."""
    assert usual_criterion(kind, difficulty, unilateral=unilateral) == expected


@pytest.mark.parametrize(
    ("done", "share"),
    [
        (None, 0),
        (practice(), 0),
        (practice(6), 0.9 * 6 / 24),
        (practice(6, 6, 6), 0.9 * 18 / 24),
        (practice(8, 8, 6), 0.9 * 22 / 24),
        (practice(20, 4, 4), 0.9 * 16 / 24),  # what is beyond 8 in a set makes up for no other
        (practice(8, 8, 8), 0.9),
        (practice(8, 8, 8, run=1), 0.95),
        (practice(8, 8, 8, passed=True), 1),
        (practice(8, 8, 8, run=2, passed=True), 1),
    ],
)
def test_the_share_that_is_met(done: Practice | None, share: float) -> None:
    """The worked examples of docs/skills.md."""
    assert share_met(THREE_BY_EIGHT, done) == pytest.approx(share, abs=1e-12)


criteria = st.builds(Criterion, st.integers(1, 10), st.floats(0.1, 86400), st.integers(1, 10))


def sets_of(criterion: Criterion) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(0.1, 86400), max_size=criterion.set_count).map(
        lambda sets: sorted(sets, reverse=True)
    )


@given(st.data(), criteria)
def test_the_share_is_one_only_for_what_is_passed_and_grows_with_each_set(
    data: st.DataObject, criterion: Criterion
) -> None:
    sets = data.draw(sets_of(criterion))
    is_met = len(sets) == criterion.set_count and sets[-1] >= criterion.amount
    run = data.draw(st.integers(0, criterion.session_count - 1)) if is_met else 0
    share = share_met(criterion, practice(*sets, run=run))
    assert 0 <= share < 1
    assert share_met(criterion, practice(*sets, run=run, passed=True)) == 1
    assert is_met == (missing_amount(criterion, practice(*sets)) == 0)
    if sets:
        better = [sets[0] + data.draw(st.floats(0, 100)), *sets[1:]]
        assert share_met(criterion, practice(*better, run=run)) >= share
    if len(sets) < criterion.set_count:
        more = sorted([*sets, data.draw(st.floats(0.1, 100))], reverse=True)
        assert share_met(criterion, practice(*more, run=run)) >= share


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (None, "Pull-Up: not begun; asks for 3 × 8 in 2 sessions in a row"),
        (
            practice(),
            "Pull-Up: no set without assistance yet; asks for 3 × 8 in 2 sessions in a row",
        ),
        (practice(6, 6, 6), "Pull-Up 3 × 6 of 3 × 8: 2 more repetitions in each set"),
        (practice(7, 7, 7), "Pull-Up 3 × 7 of 3 × 8: 1 more repetition in each set"),
        (practice(8, 8, 6), "Pull-Up 8, 8, 6 of 3 × 8: 2 more repetitions in all"),
        (practice(8, 8), "Pull-Up 2 × 8 of 3 × 8: 8 more repetitions in all"),
        (practice(8, 8, 8, run=1), "Pull-Up 3 × 8 met in 1 of 2 sessions in a row"),
        (practice(9, 8, 8), "Pull-Up 3 × 8 met in 0 of 2 sessions in a row"),
        (practice(9, 8, 8, passed=True), "Pull-Up: passed with 3 × 8 in 2 sessions in a row"),
    ],
)
def test_the_distance_in_words(done: Practice | None, words: str) -> None:
    assert distance("Pull-Up", DYNAMIC, THREE_BY_EIGHT, done) == words


def test_the_distance_of_a_hold_is_in_seconds() -> None:
    once = Criterion(3, 15, 1)
    words = distance("L-Sit", ISOMETRIC, once, practice(12.5, 12.5, 12.5))
    assert words == "L-Sit 3 × 12.5 s of 3 × 15 s: 2.5 more seconds in each set"
    words = distance("L-Sit", ISOMETRIC, once, practice(15, 14))
    assert words == "L-Sit 15 s, 14 s of 3 × 15 s: 16 more seconds in all"
    assert distance("L-Sit", ISOMETRIC, once, None).endswith("asks for 3 × 15 s in 1 session")


@pytest.mark.parametrize(
    ("done", "missing"),
    [(None, 2), (practice(8, 8, 8, run=1), 1), (practice(8, 8, 8), 2), (practice(passed=True), 0)],
)
def test_the_sessions_that_are_missing(done: Practice | None, missing: int) -> None:
    assert missing_sessions(THREE_BY_EIGHT, done) == missing


# States


def skills_of(edges: str, difficulties: Mapping[str, int], deprecated: str) -> dict[UUID, Skill]:
    """Returns exercises with names of one letter; "ab" is an edge from a to b."""
    return {
        exercise_id(name): Skill(
            id=exercise_id(name),
            slug=name,
            difficulty=difficulties.get(name, 1),
            criterion=THREE_BY_EIGHT,
            easier_ids=tuple(exercise_id(edge[0]) for edge in edges.split() if edge[1:] == name),
            is_active=name not in deprecated,
        )
        for name in sorted({*edges.replace(" ", ""), *difficulties})
    }


def practices_of(passed: str, begun: Mapping[str, float]) -> dict[UUID, Practice]:
    done = [practice(8, 8, 8, passed=True, slug=name) for name in passed]
    done += [practice(reps, reps, reps, slug=name) for name, reps in begun.items()]
    return {one.exercise_id: one for one in done}


def graph(
    edges: str,
    difficulties: Mapping[str, int] | None = None,
    *,
    passed: str = "",
    begun: Mapping[str, float] | None = None,
    deprecated: str = "",
    towards: str = "",
) -> SkillGraph:
    skills = skills_of(edges, difficulties or {}, deprecated)
    practices = practices_of(passed, begun or {})
    if towards:
        return graph_towards(skills[exercise_id(towards)], skills, practices)
    return graph_of(skills, practices)


def states(of: SkillGraph) -> dict[str, SkillState]:
    return {skill.slug: of.state(skill) for skill in of.skills.values()}


def test_one_passed_makes_available_and_all_recommend() -> None:
    found = states(graph("ac bc ad ce ef", passed="a"))
    assert found == {
        "a": SkillState.PASSED,
        "b": SkillState.RECOMMENDED,  # nothing leads to it
        "c": SkillState.AVAILABLE,
        "d": SkillState.RECOMMENDED,
        "e": SkillState.LATER,
        "f": SkillState.LATER,
    }


def test_a_deprecated_exercise_is_bypassed_unless_it_was_done() -> None:
    edges = "ab bc cd xc"
    bypassed = graph(edges, passed="a", deprecated="bc")
    assert states(bypassed) == {
        "a": SkillState.PASSED,
        "d": SkillState.AVAILABLE,
        "x": SkillState.RECOMMENDED,
    }
    assert "".join(one.slug for one in bypassed.easier[exercise_id("d")]) == "ax"
    kept = graph(edges, begun={"b": 3}, deprecated="bc")
    assert states(kept)["b"] is SkillState.LATER
    assert "".join(one.slug for one in kept.easier[exercise_id("d")]) == "bx"


def test_a_deprecated_exercise_is_not_recommended() -> None:
    found = states(graph("ab", passed="a", begun={"b": 3}, deprecated="b"))
    assert found["b"] is SkillState.AVAILABLE


def test_exercises_are_ordered_so_that_none_comes_before_what_leads_to_it() -> None:
    of = graph("cb ba ad", {"d": 2, "e": 1}, begun={"e": 1})
    assert "".join(skill.slug for skill in of.ordered(of.skills)) == "cebad"
    only = [exercise_id(name) for name in "dab"]
    assert "".join(skill.slug for skill in of.ordered(only)) == "bad"


# What comes next


def unlocks(of: SkillGraph) -> list[tuple[str, str, float]]:
    return [(one.skill.slug, one.work_on.slug, round(one.share, 3)) for one in of.unlocks()]


def test_what_comes_next_is_open_or_behind_what_is_begun() -> None:
    found = unlocks(graph("ab ac bd ce", passed="a", begun={"b": 6}))
    # b is begun and c open; d comes when b is passed, e is further away.
    assert found == [("b", "b", 0.675), ("d", "b", 0.675), ("c", "c", 0)]


def test_what_is_begun_counts_whether_or_not_its_turn_has_come() -> None:
    """Few log the first steps of what they are able to do."""
    found = unlocks(graph("ab bc cd", begun={"c": 6}))
    assert found == [("c", "c", 0.675), ("d", "c", 0.675), ("a", "a", 0)]


def test_the_nearest_of_several_easier_exercises_is_the_one_to_work_on() -> None:
    found = unlocks(graph("ac bc", {"a": 2, "b": 1, "c": 3}, begun={"a": 6, "b": 4}))
    assert found == [("a", "a", 0.675), ("c", "a", 0.675), ("b", "b", 0.45)]
    # Nothing is begun: where one can begin, the easiest first.
    assert unlocks(graph("ac bc", {"a": 2, "b": 1, "c": 3})) == [("b", "b", 0), ("a", "a", 0)]


def test_equally_near_is_first_what_follows_something_passed() -> None:
    found = unlocks(graph("ab xy", {"a": 1, "b": 9, "x": 2, "y": 3}, passed="a"))
    assert found == [("b", "b", 0), ("x", "x", 0)]


def test_equal_shares_are_ordered_by_difficulty_and_name() -> None:
    found = unlocks(graph("ad ac ab", {"b": 2, "c": 1, "d": 1}, passed="a"))
    assert found == [("c", "c", 0), ("d", "d", 0), ("b", "b", 0)]


def test_a_deprecated_exercise_is_not_to_be_reached() -> None:
    assert unlocks(graph("ab", passed="a", begun={"b": 6}, deprecated="b")) == []


# Ways


def way(of: SkillGraph, target: str) -> tuple[str, str, list[float]]:
    """Returns the start, the steps and their weights."""
    path = of.path(of.skills[exercise_id(target)])
    steps = "".join(step.skill.slug for step in path.steps)
    return path.start.slug if path.start else "", steps, [step.weight for step in path.steps]


def test_a_way_begins_behind_what_is_passed() -> None:
    difficulty = {"a": 2, "b": 4, "c": 4, "d": 7}
    found = graph("ab bc cd", difficulty, passed="a", begun={"b": 6}, towards="d")
    assert way(found, "d") == ("a", "bcd", [2, 0.5, 3])
    path = found.path(found.skills[exercise_id("d")])
    assert path.total_weight == 5.5
    assert found.share_done(path) == pytest.approx(2 * 0.675 / 5.5)


def test_without_anything_passed_a_way_begins_with_a_root_of_its_own_weight() -> None:
    difficulty = {"a": 2, "b": 2, "x": 1, "c": 8}
    assert way(graph("ab bc xc", difficulty), "c") == ("", "xc", [1, 7])
    assert way(graph("ab bc xc", difficulty), "a") == ("", "a", [2])


def test_with_something_passed_a_way_begins_there_however_long() -> None:
    difficulty = {"a": 1, "b": 3, "x": 5, "c": 5}
    assert way(graph("ab bc xc", difficulty, passed="a"), "c") == ("a", "bc", [2, 2])


def test_of_ways_of_equal_weight_the_first_by_name_is_taken() -> None:
    difficulty = {"a": 1, "b": 2, "c": 2, "d": 3}
    assert way(graph("ac ab cd bd", difficulty, passed="a"), "d")[1] == "bd"


def test_there_is_no_way_to_what_is_passed() -> None:
    found = graph("ab", passed="ab")
    assert way(found, "b") == ("b", "", [])
    assert found.share_done(found.path(found.skills[exercise_id("b")])) == 1


def test_a_way_leads_through_no_deprecated_exercise_but_may_end_with_one() -> None:
    difficulty = {"a": 1, "b": 2, "c": 3}
    begun = graph("ab bc", difficulty, begun={"b": 6}, deprecated="b", towards="c")
    assert way(begun, "c") == ("", "ac", [1, 2])
    passed = graph("ab bc", difficulty, passed="b", deprecated="b", towards="c")
    assert way(passed, "c") == ("b", "c", [1])
    target = graph("ab bc", difficulty, passed="a", deprecated="bc", towards="c")
    assert way(target, "c") == ("a", "c", [2])


Situation = tuple[dict[UUID, Skill], dict[UUID, Practice], Skill]


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """Graphs of up to nine exercises, some deprecated, some passed, and one to reach."""
    count = draw(st.integers(1, 9))
    names = draw(st.permutations("abcdefghi"[:count]))
    levels = sorted(draw(st.lists(st.integers(1, 6), min_size=count, max_size=count)))
    pairs = [a + b for i, a in enumerate(names) for b in names[i + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []
    few = st.sets(st.sampled_from(names), max_size=3).map("".join)
    text = " ".join([*edges, *names])
    skills = skills_of(text, dict(zip(names, levels, strict=True)), draw(few))
    target = skills[exercise_id(draw(st.sampled_from(names)))]
    return skills, practices_of(draw(few), {}), target


def all_ways(of: SkillGraph, target: Skill) -> list[Sequence[Skill]]:
    """Returns every way to an exercise from anything at all."""
    longer = [[*way, target] for one in of.easier[target.id] for way in all_ways(of, one)]
    return [[target], *longer]


@given(situations())
def test_no_way_is_shorter(situation: Situation) -> None:
    skills, practices, target = situation
    of = graph_towards(target, skills, practices)
    ways = all_ways(of, target)
    from_passed = [one for one in ways if of.is_passed(one[0])]
    from_roots = [one for one in ways if not of.easier[one[0].id]]

    def measured(one: Sequence[Skill]) -> tuple[float, list[str]]:
        first = 0.0 if from_passed else step_weight(None, one[0])
        return first + fsum(step_weight(a, b) for a, b in pairwise(one)), [s.slug for s in one]

    weight, slugs = min(map(measured, from_passed or from_roots))
    path = of.path(target)
    assert path.total_weight == weight
    assert [s.slug for s in (path.start, *(step.skill for step in path.steps)) if s] == slugs
    assert all(not of.is_passed(step.skill) for step in path.steps)
    assert all(step.skill.is_active or step.skill == target for step in path.steps)
    assert 0 <= of.share_done(path) <= 1


@given(situations())
def test_what_leads_to_an_exercise_tells_all_of_it(situation: Situation) -> None:
    skills, practices, target = situation
    whole = graph_towards(target, skills, practices)
    part = graph_towards(target, leading_to([target.id], skills), practices)
    assert part.state(target) is whole.state(target)
    assert part.path(target) == whole.path(target)


def test_the_way_to_a_planche_in_the_catalogue() -> None:
    skills: dict[UUID, Skill] = {
        one.id: Skill(
            id=one.id,
            slug=one.slug,
            difficulty=one.difficulty,
            criterion=usual_criterion(one.movement_kind, one.difficulty, unilateral=one.unilateral),
            easier_ids=one.easier_ids,
        )
        for one in load_catalogue()
    }
    target = skills[exercise_id("full-planche")]
    nobody = graph_towards(target, skills, {})
    path = nobody.path(target)
    assert path.start is None
    assert path.total_weight >= target.difficulty
    tuck = practice(passed=True, slug="tuck-planche")
    begun = graph_towards(target, skills, {tuck.exercise_id: tuck})
    further = begun.path(target)
    assert further.start == skills[tuck.exercise_id]
    assert further.total_weight < path.total_weight
    assert Step(target, further.steps[-1].weight) == further.steps[-1]
