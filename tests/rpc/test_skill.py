"""SkillService: where an athlete stands in the progression graph, over the wire."""

import random
import uuid
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from calisthenics.training.v1 import exercise_pb2, metrics_pb2, session_pb2, set_pb2
from calisthenics.training.v1 import skill_pb2 as pb

from tests.rpc.test_exercise import create, deprecate, get, unique, update
from tests.rpc.test_progress import did, void
from tests.rpc.test_totals import a_date
from tests.support import (
    L_SIT,
    PISTOL_SQUAT,
    PULL_UP,
    PUSH_UP,
    Athlete,
    Queries,
    forged_token,
    refused,
)
from training_service.domain.exercise import exercise_id

ROOT = Path(__file__).parents[2]
CHIN_UP = str(exercise_id("chin-up"))
V_SIT_45 = str(exercise_id("v-sit-45"))
STRADDLE_L_SIT = str(exercise_id("straddle-l-sit"))
PASSED, RECOMMENDED = pb.SKILL_STATE_PASSED, pb.SKILL_STATE_RECOMMENDED
AVAILABLE, LATER = pb.SKILL_STATE_AVAILABLE, pb.SKILL_STATE_LATER


def reps(day: str, *counts: int, exercise: str = PULL_UP, **fields: Any) -> session_pb2.Session:
    return did(day, *({"actual_reps": n, **fields} for n in counts), exercise=exercise)


def held(day: str, *seconds: float, exercise: str = L_SIT) -> session_pb2.Session:
    return did(day, *({"actual_hold_seconds": one} for one in seconds), exercise=exercise)


def graph(athlete: Athlete, family: str = "", **request: Any) -> pb.ProgressionGraph:
    message = pb.GetProgressionGraphRequest(family=family, **request)
    return athlete.skills.GetProgressionGraph(message)


def skill(athlete: Athlete, exercise: str = PULL_UP, family: str = "pull-up") -> pb.Skill:
    [found] = [one for one in graph(athlete, family).skills if one.exercise_id == exercise]
    return found


def passed_date(athlete: Athlete, exercise: str = PULL_UP, family: str = "pull-up") -> date | None:
    found = skill(athlete, exercise, family)
    assert (found.state == PASSED) == found.HasField("passed_date") == (found.share == 1)
    return a_date(found.passed_date) if found.HasField("passed_date") else None


def log_passed(athlete: Athlete, exercise: str, *amounts: float) -> None:
    """Logs the sets in two sessions in a row."""
    is_hold = exercise in (L_SIT, V_SIT_45, STRADDLE_L_SIT)
    name = "actual_hold_seconds" if is_hold else "actual_reps"
    sets: list[dict[str, Any]] = [{name: amount} for amount in amounts]
    for day in ("2025-01-06", "2025-01-08"):
        athlete.log(did(day, *sets, exercise=exercise))


def an_own_exercise(admin: Athlete, **fields: Any) -> exercise_pb2.Exercise:
    """Creates an exercise in a family of its own, unless another is given."""
    return create(admin, **{"family": unique(), **fields})


# What is passed


def test_an_exercise_is_passed_in_two_sessions_in_a_row(alice: Athlete, bob: Athlete) -> None:
    alice.log(reps("2025-03-03", 8, 8, 8))
    once = skill(alice)
    assert once.state == LATER
    assert (once.session_run, once.session_count) == (1, 1)
    assert once.share == pytest.approx(0.95)
    alice.log(reps("2025-03-05", 10, 9, 8, 3))
    found = skill(alice)
    assert found.state == PASSED
    assert a_date(found.passed_date) == a_date(found.last_date) == date(2025, 3, 5)
    assert (found.session_run, found.session_count, found.share) == (2, 2, 1)
    assert list(found.last_sets) == [10, 9, 8]
    assert found.criterion == exercise_pb2.ProgressionCriterion(
        set_count=3, reps=8, session_count=2
    )
    nothing = skill(bob)
    assert nothing.state == LATER
    assert (nothing.share, nothing.session_count) == (0, 0)
    assert not nothing.HasField("last_date")


def test_a_session_that_misses_begins_the_row_anew(alice: Athlete) -> None:
    alice.log(reps("2025-03-03", 8, 8, 8))
    alice.log(reps("2025-03-05", 8, 8, 7))
    assert skill(alice).session_run == 0
    alice.log(reps("2025-03-07", 8, 8, 8))
    assert passed_date(alice) is None
    assert skill(alice).session_run == 1
    alice.log(reps("2025-03-08", 12, exercise=PUSH_UP))  # sessions without it do not count
    alice.log(reps("2025-03-09", 8, 8, 8))
    assert passed_date(alice) == date(2025, 3, 9)


def test_what_was_passed_stays_so(alice: Athlete) -> None:
    log_passed(alice, PULL_UP, 8, 8, 8)
    alice.log(reps("2025-03-03", 2))
    assert passed_date(alice) == date(2025, 1, 8)
    assert skill(alice).session_run == 0
    assert list(skill(alice).last_sets) == [2]
    assert list(skill(alice).best_sets) == [8, 8, 8]


def test_sessions_count_in_the_order_of_their_dates(alice: Athlete) -> None:
    alice.log(reps("2025-03-07", 8, 8, 8))
    alice.log(reps("2025-03-03", 8, 8, 8))
    assert passed_date(alice) == date(2025, 3, 7)
    missed = alice.log(reps("2025-03-05", 5))  # comes between them
    assert passed_date(alice) is None
    assert a_date(skill(alice).last_date) == date(2025, 3, 7)
    void(alice, missed)
    assert passed_date(alice) == date(2025, 3, 7)


def test_what_is_voided_or_amended_takes_a_pass_back(alice: Athlete, bob: Athlete) -> None:
    log_passed(bob, PULL_UP, 8, 8, 8)
    first = alice.log(reps("2025-03-03", 8, 8, 8))
    alice.log(reps("2025-03-05", 8, 8, 8))
    amendment = session_pb2.AmendSessionRequest(
        session_id=first.id, session=reps("2025-03-03", 8, 8)
    )
    corrected = alice.sessions.AmendSession(amendment)
    assert passed_date(alice) is None
    alice.sessions.AmendSession(
        session_pb2.AmendSessionRequest(
            session_id=corrected.id, session=reps("2025-03-04", 9, 8, 8)
        )
    )
    assert passed_date(alice) == date(2025, 3, 5)
    last = alice.log(reps("2025-03-07", 8, 8, 8))
    void(alice, last)
    assert passed_date(alice) == date(2025, 3, 5)
    assert passed_date(bob) == date(2025, 1, 8)


def test_only_working_sets_without_assistance_count(alice: Athlete) -> None:
    for day in ("2025-03-03", "2025-03-05"):
        alice.log(reps(day, 8, 8, 8, load_kg=-10))
    found = skill(alice)
    assert (found.state, found.session_count, found.share) == (LATER, 2, 0)
    assert not found.best_sets
    alice.log(reps("2025-03-07", 8, 8, 8, load_kg=5))
    # A session with nothing but warm-ups or sets that were not done breaks no row.
    alice.log(reps("2025-03-08", 5, kind=set_pb2.SET_KIND_WARM_UP))
    alice.log(reps("2025-03-09", 5, completed=False))
    assert skill(alice).session_count == 3
    alice.log(reps("2025-03-10", 8, 8, 8))
    assert passed_date(alice) == date(2025, 3, 10)


def test_of_one_sided_work_the_weaker_side_counts(alice: Athlete) -> None:
    def pistols(day: str, left: int, right: int) -> session_pb2.Session:
        sides = [(set_pb2.SIDE_LEFT, left), (set_pb2.SIDE_RIGHT, right)]
        sets = [{"actual_reps": n, "side": side} for side, n in sides] * 3
        return did(day, *sets, exercise=PISTOL_SQUAT)

    alice.log(pistols("2025-03-03", 9, 4))
    found = skill(alice, PISTOL_SQUAT, "single-leg-squat")
    assert (found.criterion.set_count, found.criterion.reps) == (3, 5)
    assert list(found.best_sets) == [4, 4, 4]
    assert found.share == pytest.approx(0.9 * 12 / 15)
    alice.log(pistols("2025-03-05", 5, 5))
    alice.log(pistols("2025-03-07", 5, 6))
    assert passed_date(alice, PISTOL_SQUAT, "single-leg-squat") == date(2025, 3, 7)


def test_holds_are_measured_in_seconds_and_harder_ones_need_fewer(alice: Athlete) -> None:
    alice.log(held("2025-03-03", 30, 30, 29.5))
    found = skill(alice, L_SIT, "l-sit")
    assert (found.criterion.set_count, found.criterion.hold_seconds) == (3, 30)
    assert list(found.best_sets) == [30, 30, 29.5]
    assert found.share == pytest.approx(0.9 * 89.5 / 90)
    log_passed(alice, V_SIT_45, 15, 15, 15)
    assert passed_date(alice, V_SIT_45, "l-sit") == date(2025, 1, 8)


def test_an_exercise_listed_twice_in_a_session_counts_by_the_better_entry(alice: Athlete) -> None:
    twice = reps("2025-03-03", 8, 8)
    twice.exercises.extend(reps("2025-03-03", 8, 8, 8).exercises)
    twice.exercises.extend(reps("2025-03-03", 20).exercises)
    alice.log(twice)
    found = skill(alice)
    assert (found.session_count, found.session_run, found.state) == (1, 1, LATER)
    assert list(found.last_sets) == list(found.best_sets) == [8, 8, 8]


def test_the_best_sets_are_those_that_came_nearest(alice: Athlete) -> None:
    for day, counts in (("2025-03-03", (20, 2)), ("2025-03-05", (6, 6, 5)), ("2025-03-07", (4,))):
        alice.log(reps(day, *counts))
    found = skill(alice)
    assert list(found.best_sets) == [6, 6, 5]
    assert list(found.last_sets) == [4]


History = list[list[int]]


def told(history: History, sets: int, amount: int, sessions: int) -> tuple[Any, ...]:
    """Says plainly what a history amounts to: when it passed, the run, and the nearest sets."""
    passed, run, best = None, 0, (0.0, [0])
    for index, done in enumerate(history):
        counted = sorted(done, reverse=True)[:sets]
        met = sum(min(one, amount) for one in counted)
        run = run + 1 if met == sets * amount else 0
        passed = index if passed is None and run >= sessions else passed
        best = max(best, (met, counted))
    return passed, run, best[1], sorted(history[-1], reverse=True)[:sets]


@pytest.mark.parametrize("seed", range(3))
def test_random_histories_amount_to_what_they_plainly_do(
    alice: Athlete, bob: Athlete, admin: Athlete, seed: int
) -> None:
    chance = random.Random(seed)
    bob.log(reps("2025-01-10", 30, 30, 30))
    family = unique()
    expected = {}
    entries = []
    for sets, amount, sessions in ((1, 5, 1), (3, 5, 2), (4, 6, 3), (2, 7, 4)):
        criterion = {"set_count": sets, "reps": amount, "session_count": sessions}
        made = an_own_exercise(admin, family=family, progression_criterion=criterion)
        history = [
            [chance.randint(3, 9) for _ in range(chance.randint(1, 6))]
            for _ in range(chance.randint(1, 25))
        ]
        expected[made.id] = told(history, sets, amount, sessions)
        for index, done in enumerate(history):
            session = reps(f"{date(2025, 1, 1) + timedelta(index)}", *done, exercise=made.id)
            entries.append(
                session_pb2.LogSessionRequest(session=session, request_id=str(uuid.uuid4()))
            )
    chance.shuffle(entries)
    alice.sessions.BatchLogSessions(session_pb2.BatchLogSessionsRequest(requests=entries))
    for one in graph(alice, family).skills:
        passed, run, best, last = expected[one.exercise_id]
        day = a_date(one.passed_date) if one.HasField("passed_date") else None
        assert day == (None if passed is None else date(2025, 1, 1) + timedelta(passed))
        assert (one.session_run, list(one.best_sets), list(one.last_sets)) == (run, best, last)


# Criteria of administrators


def test_an_administrators_criterion_decides_what_is_passed(
    alice: Athlete, bob: Athlete, admin: Athlete
) -> None:
    made = an_own_exercise(admin)
    assert not made.HasField("progression_criterion")
    alice.log(reps("2025-03-03", 5, exercise=made.id))
    assert passed_date(alice, made.id, made.family) is None
    easy = {"set_count": 1, "reps": 5, "session_count": 1}
    changed = update(admin, made.id, progression_criterion=easy)
    assert changed.progression_criterion == exercise_pb2.ProgressionCriterion(**easy)
    assert get(admin, made.id).progression_criterion == changed.progression_criterion
    assert passed_date(alice, made.id, made.family) == date(2025, 3, 3)
    assert skill(alice, made.id, made.family).criterion == changed.progression_criterion
    assert passed_date(bob, made.id, made.family) is None
    usual = update(admin, made.id, "progression_criterion")
    assert not usual.HasField("progression_criterion")
    assert passed_date(alice, made.id, made.family) is None
    assert skill(alice, made.id, made.family).criterion.reps == 8


def test_a_criterion_can_come_with_the_exercise(alice: Athlete, admin: Athlete) -> None:
    hold = {"set_count": 2, "hold_seconds": 12.5, "session_count": 3}
    made = an_own_exercise(
        admin, movement_kind=exercise_pb2.MOVEMENT_KIND_ISOMETRIC, progression_criterion=hold
    )
    kept = update(admin, made.id, difficulty=6)
    assert kept.progression_criterion == exercise_pb2.ProgressionCriterion(**hold)
    assert skill(alice, made.id, made.family).criterion == kept.progression_criterion


def test_a_criterion_of_the_wrong_kind_is_refused(admin: Athlete) -> None:
    seconds = {"set_count": 3, "hold_seconds": 10, "session_count": 2}
    counts = {"set_count": 3, "reps": 10, "session_count": 2}
    family = unique()
    for kind, wrong, field in (
        (exercise_pb2.MOVEMENT_KIND_DYNAMIC, seconds, "hold_seconds"),
        (exercise_pb2.MOVEMENT_KIND_ISOMETRIC, counts, "reps"),
    ):
        with refused("INVALID_FIELD") as refusals:
            an_own_exercise(admin, family=family, movement_kind=kind, progression_criterion=wrong)
        assert refusals[0].fields == [f"exercise.progression_criterion.{field}"]
    made = an_own_exercise(admin, progression_criterion=counts)
    with refused("INVALID_FIELD") as refusals:
        update(admin, made.id, progression_criterion=seconds)
    assert refusals[0].fields == ["exercise.progression_criterion.hold_seconds"]
    with refused("INVALID_FIELD") as refusals:
        update(admin, made.id, movement_kind=exercise_pb2.MOVEMENT_KIND_ISOMETRIC)
    assert refusals[0].fields == ["exercise.progression_criterion.reps"]
    assert get(admin, made.id) == made


@pytest.mark.parametrize(
    ("criterion", "field"),
    [
        ({"set_count": 11, "reps": 8, "session_count": 2}, "set_count"),
        ({"set_count": 0, "reps": 8, "session_count": 2}, "set_count"),
        ({"set_count": 3, "reps": 0, "session_count": 2}, "reps"),
        ({"set_count": 3, "reps": 8}, "session_count"),
        ({"set_count": 3, "reps": 8, "session_count": 11}, "session_count"),
        ({"set_count": 3, "session_count": 2}, "volume"),
    ],
)
def test_a_criterion_out_of_range_is_refused(
    admin: Athlete, criterion: dict[str, int], field: str
) -> None:
    with refused("INVALID_FIELD") as refusals:
        an_own_exercise(admin, progression_criterion=criterion)
    assert refusals[0].fields == [f"exercise.progression_criterion.{field}"]


# The graph


def test_the_whole_graph_has_all_exercises_and_their_edges(alice: Athlete, bob: Athlete) -> None:
    log_passed(bob, CHIN_UP, 8, 8, 8)
    found = graph(alice)
    assert len(found.skills) >= 249
    assert len(found.edges) >= 309
    order = [(one.difficulty, one.slug) for one in found.skills]
    assert order == sorted(order)
    ids = {one.exercise_id for one in found.skills}
    assert all({e.easier_exercise_id, e.harder_exercise_id} <= ids for e in found.edges)
    easier = {e.easier_exercise_id for e in found.edges if e.harder_exercise_id == PULL_UP}
    assert easier == set(get(alice, PULL_UP).easier_exercise_ids)
    assert {one.state for one in found.skills} == {RECOMMENDED, LATER}


def test_states_follow_from_what_is_passed(alice: Athlete, bob: Athlete) -> None:
    log_passed(alice, CHIN_UP, 8, 8, 8)
    states = {one.slug: one.state for one in graph(alice, "pull-up").skills}
    assert states["chin-up"] == PASSED
    assert states["pull-up"] == AVAILABLE  # its other easier exercise, the negative, is not passed
    assert states["wide-grip-pull-up"] == LATER
    assert states["dead-hang"] == RECOMMENDED
    assert PASSED not in {one.state for one in graph(bob, "pull-up").skills}
    log_passed(alice, str(exercise_id("pull-up-negative")), 8, 8, 8)
    states = {one.slug: one.state for one in graph(alice, "pull-up").skills}
    assert states["pull-up"] == RECOMMENDED


def test_a_family_comes_with_what_leads_to_it(alice: Athlete) -> None:
    found = graph(alice, "elbow-lever")
    assert [one.slug for one in found.skills] == [
        "frog-stand",
        "elbow-lever",
        "one-arm-elbow-lever-straddle",
        "one-arm-elbow-lever",
    ]
    assert found.skills[0].family != "elbow-lever"
    slugs = {one.exercise_id: one.slug for one in found.skills}
    assert [
        (slugs[edge.easier_exercise_id], slugs[edge.harder_exercise_id]) for edge in found.edges
    ] == [
        ("frog-stand", "elbow-lever"),
        ("elbow-lever", "one-arm-elbow-lever-straddle"),
        ("one-arm-elbow-lever-straddle", "one-arm-elbow-lever"),
    ]
    whole = {one.exercise_id: one for one in graph(alice).skills}
    assert all(one == whole[one.exercise_id] for one in found.skills)


def test_a_family_that_does_not_exist_is_refused(alice: Athlete) -> None:
    with refused("INVALID_FIELD") as refusals:
        graph(alice, "no-such-family")
    assert refusals[0].fields == ["family"]


def test_a_deprecated_exercise_is_shown_to_who_has_done_it(
    alice: Athlete, bob: Athlete, admin: Athlete
) -> None:
    family = unique()
    first = an_own_exercise(admin, family=family, difficulty=2)
    middle = an_own_exercise(admin, family=family, difficulty=3, easier_exercise_ids=[first.id])
    last = an_own_exercise(admin, family=family, difficulty=4, easier_exercise_ids=[middle.id])
    alice.log(reps("2025-03-03", 8, exercise=middle.id))
    deprecate(admin, middle.id)

    def edges(athlete: Athlete) -> set[tuple[str, str]]:
        found = graph(athlete, family).edges
        return {(edge.easier_exercise_id, edge.harder_exercise_id) for edge in found}

    assert edges(alice) == {(first.id, middle.id), (middle.id, last.id)}
    assert edges(bob) == {(first.id, last.id)}
    path = bob.skills.GetSkillPath(pb.GetSkillPathRequest(exercise_id=last.id))
    assert [(step.skill.exercise_id, step.weight) for step in path.steps] == [
        (first.id, 2),
        (last.id, 2),
    ]


def test_a_sibling_service_sees_the_graph_of_whom_it_names(
    alice: Athlete, sibling: Athlete
) -> None:
    log_passed(alice, CHIN_UP, 8, 8, 8)
    assert graph(sibling, "pull-up", external_user_id=alice.id) == graph(alice, "pull-up")
    assert graph(sibling, "pull-up") != graph(alice, "pull-up")


# What comes next


def unlocks(athlete: Athlete, **request: Any) -> Iterator[pb.Unlock]:
    """Yields what comes next, read in pages of seven."""
    message = pb.ListUnlocksRequest(**{"page_size": 7, **request})
    while True:
        response = athlete.skills.ListUnlocks(message)
        yield from response.unlocks
        if not response.next_page_token:
            return
        message.page_token = response.next_page_token


def test_what_comes_next_is_told_in_words_and_numbers(alice: Athlete, bob: Athlete) -> None:
    log_passed(alice, CHIN_UP, 8, 8, 8)
    log_passed(alice, PUSH_UP, 8, 8, 8)
    alice.log(reps("2025-03-03", 6, 6, 6))
    alice.log(held("2025-03-03", 20))
    found = list(unlocks(alice))
    first = found[0]
    assert first.skill.slug == first.work_on.slug == "pull-up"
    assert first.distance == "Pull-Up 3 × 6 of 3 × 8: 2 more repetitions in each set"
    assert (first.share, first.missing_reps, first.missing_session_count) == (
        pytest.approx(0.675),
        6,
        2,
    )
    behind = {one.skill.slug: one for one in found if one.work_on.slug == "pull-up"}
    assert "wide-grip-pull-up" in behind
    assert behind["wide-grip-pull-up"].distance == first.distance
    assert behind["wide-grip-pull-up"].skill.state == LATER
    [hold] = [one for one in found if one.skill.slug == "l-sit"]
    assert hold.distance == "L-Sit 1 × 20 s of 3 × 30 s: 70 more seconds in all"
    assert hold.missing_hold_seconds == 70
    order = [-round(one.share, 6) for one in found]
    assert order == sorted(order)
    untried = [one.skill.slug for one in found if one.share == 0]
    # Behind the push-up, which is passed, before where other progressions begin.
    assert untried.index("diamond-push-up") < untried.index("dead-hang")
    assert len({one.skill.slug for one in found}) == len(found)
    assert all(one.skill.state != PASSED for one in found)
    assert {one.share for one in unlocks(bob)} == {0}


def worked_example(athlete: Athlete) -> None:
    """Logs what docs/skills.md tells of."""
    for slug, amount in (("dead-hang", 30), ("active-hang", 30), ("scapular-pull-up", 8)):
        name = "actual_hold_seconds" if slug.endswith("hang") else "actual_reps"
        for day in ("2026-02-02", "2026-02-04"):
            athlete.log(did(day, *[{name: amount}] * 3, exercise=str(exercise_id(slug))))
    for day in ("2026-03-02", "2026-03-04"):
        athlete.log(reps(day, 8, 8, 8, exercise=CHIN_UP))
    athlete.log(reps("2026-03-06", 8, 8, 6))
    athlete.log(reps("2026-03-09", 7, 5))


def test_the_worked_example(alice: Athlete, bob: Athlete) -> None:
    worked_example(alice)
    found = skill(alice)
    assert (found.state, list(found.best_sets), list(found.last_sets)) == (
        AVAILABLE,
        [8, 8, 6],
        [7, 5],
    )
    assert found.share == pytest.approx(0.825)
    first = next(unlocks(alice))
    assert first.distance == "Pull-Up 8, 8, 6 of 3 × 8: 2 more repetitions in all"
    way = path(alice, str(exercise_id("archer-pull-up")))
    assert way.start_exercise_id == CHIN_UP
    assert [(step.skill.slug, step.weight) for step in way.steps] == [
        ("pull-up", 1),
        ("chest-to-bar-pull-up", 1),
        ("archer-pull-up", 2),
    ]
    assert (way.total_weight, way.share) == (4, pytest.approx(0.20625))
    assert path(bob, PULL_UP).share == 0


def test_the_picture_of_the_worked_example(alice: Athlete) -> None:
    """The picture in docs/skills.md is what the service draws."""
    worked_example(alice)
    request = metrics_pb2.GetProgressChartRequest(
        kind=metrics_pb2.CHART_KIND_SKILL_GRAPH, family="pull-up"
    )
    drawn = alice.metrics.GetProgressChart(request).data
    assert drawn == (ROOT / "docs" / "skills.svg").read_bytes()


def test_pages_of_what_comes_next_are_those_of_the_whole(alice: Athlete) -> None:
    alice.log(reps("2025-03-03", 6, 6, 6))
    whole = [one.skill.slug for one in unlocks(alice, page_size=1000)]
    assert len(whole) > 20
    assert [one.skill.slug for one in unlocks(alice)] == whole


def test_what_comes_next_can_be_narrowed(alice: Athlete) -> None:
    alice.log(reps("2025-03-03", 6, 6, 6))
    alice.log(reps("2025-03-03", 6, 6, 6, exercise=PUSH_UP))
    every = list(unlocks(alice))
    of_family = [one for one in every if one.skill.family == "pull-up"]
    assert list(unlocks(alice, family="pull-up")) == of_family
    assert of_family
    push = exercise_pb2.EXERCISE_CATEGORY_PUSH
    legs = exercise_pb2.EXERCISE_CATEGORY_LEGS
    assert list(unlocks(alice, categories=[push, legs])) == [
        one for one in every if one.skill.category in (push, legs)
    ]
    floor = list(unlocks(alice, equipment_at_hand=[exercise_pb2.EQUIPMENT_NONE]))
    assert floor
    assert all(not get(alice, one.skill.exercise_id).equipment for one in floor)
    bar = list(unlocks(alice, equipment_at_hand=[exercise_pb2.EQUIPMENT_PULL_UP_BAR]))
    assert {one.skill.slug for one in floor} < {one.skill.slug for one in bar}
    assert list(unlocks(alice, family="no-such-family")) == []


def test_a_page_token_of_another_listing_is_refused(alice: Athlete, bob: Athlete) -> None:
    request = pb.ListUnlocksRequest(page_size=1)
    token = alice.skills.ListUnlocks(request).next_page_token
    for athlete, family, given in (
        (bob, "", token),
        (alice, "pull-up", token),
        (alice, "", forged_token(token, "x", 1, "y")),
        (alice, "", forged_token(token, 1)),
    ):
        with refused("INVALID_PAGE_TOKEN"):
            athlete.skills.ListUnlocks(
                pb.ListUnlocksRequest(page_size=1, page_token=given, family=family)
            )


# Ways


def path(athlete: Athlete, exercise: str) -> pb.SkillPath:
    return athlete.skills.GetSkillPath(pb.GetSkillPathRequest(exercise_id=exercise))


def test_a_way_leads_from_what_is_passed_to_the_skill(alice: Athlete, bob: Athlete) -> None:
    log_passed(alice, L_SIT, 30, 30, 30)
    alice.log(held("2025-03-03", 15, 15, 15, exercise=STRADDLE_L_SIT))
    found = path(alice, V_SIT_45)
    assert (found.exercise_id, found.start_exercise_id) == (V_SIT_45, L_SIT)
    assert [(step.skill.slug, step.weight) for step in found.steps] == [
        ("straddle-l-sit", 1),
        ("v-sit-45", 2),
    ]
    assert found.steps[0].skill.share == pytest.approx(0.45)
    assert (found.total_weight, found.share) == (3, pytest.approx(0.15))
    assert not found.already_passed
    from_nothing = path(bob, V_SIT_45)
    assert from_nothing.start_exercise_id == ""
    assert from_nothing.share == 0
    assert [step.skill.slug for step in from_nothing.steps] == [
        "parallel-bar-support-hold",
        "foot-supported-l-sit",
        "tuck-l-sit",
        "one-leg-l-sit",
        "l-sit",
        "straddle-l-sit",
        "v-sit-45",
    ]
    assert from_nothing.total_weight == sum(step.weight for step in from_nothing.steps)


def test_there_is_no_way_to_what_is_passed_already(alice: Athlete) -> None:
    log_passed(alice, L_SIT, 30, 30, 30)
    assert path(alice, L_SIT) == pb.SkillPath(exercise_id=L_SIT, already_passed=True, share=1)


def test_a_way_to_a_new_exercise_is_found_at_once(alice: Athlete, admin: Athlete) -> None:
    path(alice, L_SIT)
    made = an_own_exercise(admin, difficulty=9, easier_exercise_ids=[V_SIT_45])
    assert path(alice, made.id).steps[-1].skill.exercise_id == made.id


def test_a_way_to_nowhere_is_refused(alice: Athlete) -> None:
    with refused("EXERCISE_NOT_FOUND") as refusals:
        path(alice, str(uuid.uuid4()))
    assert refusals[0].fields == ["exercise_id"]
    for bad in ("", "pull-up"):
        with refused("INVALID_FIELD") as refusals:
            path(alice, bad)
        assert refusals[0].fields == ["exercise_id"]


def test_each_call_takes_one_statement(alice: Athlete, queries: Queries) -> None:
    log_passed(alice, L_SIT, 30, 30, 30)
    graph(alice)  # fills the memory of the catalogue
    for call in (
        lambda: graph(alice),
        lambda: graph(alice, "pull-up"),
        lambda: list(unlocks(alice, page_size=1000)),
        lambda: path(alice, V_SIT_45),
    ):
        queries.clear()
        call()
        assert len(queries.data) == 1
