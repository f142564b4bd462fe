"""Scores, caps and reasons: the brief's numbers, and that a reason goes with its cause."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.exercise import Criterion, MovementKind
from training_service.domain.load import DayLoad, LoadHistory, Withheld
from training_service.domain.metrics import ExerciseTraits, WorkingSet
from training_service.domain.program import PlannedExercise, workout_statistics
from training_service.domain.readiness import Band
from training_service.domain.recommendation import (
    EXERCISE_WEIGHT_PERCENT,
    WORKOUT_WEIGHT_PERCENT,
    Athlete,
    Cap,
    Exercise,
    Exercises,
    GoalRef,
    Pattern,
    ReasonKind,
    Term,
    TermKind,
    Workout,
    WorkoutHistory,
    WorkoutRecommendation,
    balance,
    load_caps,
    pattern_sets,
    recommend_workouts,
    scaling,
    score_of,
    terms_of,
)
from training_service.domain.recovery import Muscles, Trained, muscle_recoveries
from training_service.domain.skill import Practice, Skill, graph_of

TODAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 2, 18, tzinfo=UTC)
MUSCLES = ("CHEST", "LATS", "QUADS", "ABS")
PATTERNS = dict(zip(MUSCLES, ("PUSH", "PULL", "LEGS", "CORE"), strict=True))
IDS = {muscle: UUID(int=number) for number, muscle in enumerate(MUSCLES, start=1)}

# Section 3 of the domain brief, G2: from Monday 2024-12-02 on.
G2 = (
    *(300, 0, 320, 0, 360, 200, 0, 320, 0, 340, 0, 380, 220, 0, 340, 0, 360, 0, 400, 240, 0),
    *(200, 0, 180, 0, 200, 120, 0, 360, 150, 400, 0, 450, 300, 0),
)


def history(*loads: float) -> LoadHistory:
    start = date(2024, 12, 2)
    days = [DayLoad(start + timedelta(n), load, int(load > 0)) for n, load in enumerate(loads)]
    return LoadHistory(start if days else None, None, days)


def test_the_golden_caps() -> None:
    """Section 8 of the domain brief: 2025-01-06, the day after G2."""
    high, low = load_caps(history(*G2, 0))
    assert (high.ratio, low.ratio) == (1.5, 1.3)
    assert high.load_au == pytest.approx(370.0, abs=1e-9)
    assert low.load_au == pytest.approx(147.333333, abs=1e-6)
    assert high.left_au == high.load_au


def test_what_was_done_today_is_taken_from_what_is_left_alone() -> None:
    high, low = load_caps(history(*G2, 200))
    assert high.load_au == pytest.approx(370)
    assert high.left_au == pytest.approx(170)
    assert low.left_au == 0


@pytest.mark.parametrize(
    ("loads", "why"),
    [
        ((), Withheld.INSUFFICIENT_HISTORY),
        (G2[:27], Withheld.INSUFFICIENT_HISTORY),
        ((*[100.0] * 9, *[0.0] * 40), Withheld.NO_CHRONIC_LOAD),
    ],
)
def test_a_cap_is_withheld_with_the_ratio(loads: tuple[float, ...], why: Withheld) -> None:
    assert load_caps(history(*loads)) is why


@pytest.mark.parametrize(
    ("planned", "left", "factor", "exceeds"),
    [
        (400, 500, 1, False),
        (400, 300, 0.75, False),
        (400, 200, 0.5, False),
        (400, 199, 0.5, True),
        (400, 0, 0.5, True),
        (0, 0, 1, False),
    ],
)
def test_sets_are_never_scaled_below_half(
    planned: float, left: float, factor: float, exceeds: bool
) -> None:
    assert scaling(planned, Cap(1.5, left, left)) == (factor, exceeds)


def test_without_a_load_or_a_cap_nothing_is_scaled() -> None:
    assert scaling(None, Cap(1.5, 100, 100)) is None
    assert scaling(100, None) is None


def test_a_score_is_the_mean_of_what_is_known() -> None:
    values = {
        TermKind.RECOVERY: 0.8,
        TermKind.GOAL: 0.6,
        TermKind.BALANCE: 1.0,
        TermKind.RECENCY: 0.5,
        TermKind.FIT: 0.9,
    }
    # 0.35 x 0.8 + 0.25 x 0.6 + 0.20 x 1 + 0.10 x 0.5 + 0.10 x 0.9
    assert score_of(terms_of(values, WORKOUT_WEIGHT_PERCENT)) == pytest.approx(0.77)
    unknown = {**values, TermKind.FIT: None}
    assert score_of(terms_of(unknown, WORKOUT_WEIGHT_PERCENT)) == pytest.approx(0.68 / 0.9)


@pytest.mark.parametrize(
    ("sets", "more", "value"),
    [
        ((10, 0), (0, 5), 1),
        ((10, 0), (5, 0), 0.5),  # it was nothing but pushing, and stays that
        ((10, 5), (5, 0), 0),
        ((10, 5), (0, 5), 1),
        ((10, 5), (0, 0), 0.5),
        ((10, 8), (0, 0), 0.5),
        ((10, 10), (2, 0), 0.5),  # 1.2 is fine
        ((10, 10), (3, 0), 0),  # 1.3 is not
        ((8, 10), (0, 1), 0),
        ((0, 0), (5, 0), 0.5),
    ],
)
def test_balance(sets: tuple[float, float], more: tuple[float, float], value: float) -> None:
    assert balance(*sets, *more) == value
    assert balance(*sets[::-1], *more[::-1]) == value


# Histories, and what becomes of reasons.


def workout(*muscles: str, number: int = 1, days_ago: int | None = None) -> Workout:
    planned = [
        PlannedExercise(
            exercise=ExerciseTraits(
                category=PATTERNS[muscle],
                difficulty=6,
                movement_kind=MovementKind.DYNAMIC,
                bodyweight_fraction=0.9,
            ),
            primary_muscles=[muscle],
            secondary_muscles=[],
            set_count=3,
            reps=8,
            rpe=8,
        )
        for muscle in muscles
    ]
    last = None
    if days_ago is not None:
        last = WorkoutHistory(UUID(int=number), TODAY - timedelta(days_ago), None)
    return Workout(
        id=UUID(int=number),
        revision=1,
        name=f"Workout {number}",
        statistics=workout_statistics(planned, None),
        exercise_ids=[IDS[muscle] for muscle in muscles],
        equipment=frozenset(),
        history=last,
    )


def trained(muscle: str, hours: float, number: int) -> Trained:
    return Trained(
        session_id=UUID(int=number),
        ended_at=NOW - timedelta(hours=hours),
        session_rpe=8,
        exercises=[(Muscles([muscle], []), [WorkingSet(reps=8)] * 3)],
    )


def athlete(
    sessions: list[Trained], goals: list[GoalRef], push: float, pull: float, band: Band | None
) -> Athlete:
    sets = dict.fromkeys(Pattern, 0.0)
    return Athlete(
        today=TODAY,
        recoveries=muscle_recoveries(MUSCLES, sessions, NOW),
        goals=goals,
        sets={**sets, Pattern.PUSH: push, Pattern.PULL: pull},
        band=band,
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Workout], list[Trained], list[GoalRef], Athlete]:
    some = st.lists(st.sampled_from(MUSCLES), min_size=1, max_size=4, unique=True)
    workouts = [
        workout(*draw(some), number=n, days_ago=draw(st.none() | st.integers(0, 20)))
        for n in range(1, draw(st.integers(2, 6)))
    ]
    sessions = [
        trained(draw(st.sampled_from(MUSCLES)), draw(st.floats(0, 90)), n)
        for n in range(draw(st.integers(0, 5)))
    ]
    goals = [
        GoalRef(UUID(int=100 + n), f"Goal {n}", frozenset({IDS[one] for one in draw(some)}))
        for n in range(draw(st.integers(0, 2)))
    ]
    counts = st.integers(0, 30)
    band = draw(st.none() | st.sampled_from(Band))
    return workouts, sessions, goals, athlete(sessions, goals, draw(counts), draw(counts), band)


def again(one: WorkoutRecommendation, changed: Athlete) -> WorkoutRecommendation:
    [found] = recommend_workouts([one.workout], changed)
    return found


@given(situations(), st.integers())
def test_no_order_matters(
    given: tuple[list[Workout], list[Trained], list[GoalRef], Athlete], seed: int
) -> None:
    workouts, sessions, goals, of = given
    shuffled = [[*workouts], [*sessions], [*goals]]
    for one in shuffled:
        Random(seed).shuffle(one)
    other = replace(of, recoveries=muscle_recoveries(MUSCLES, shuffled[1], NOW), goals=shuffled[2])
    assert recommend_workouts(shuffled[0], other) == recommend_workouts(workouts, of)


@given(situations())
def test_a_reason_goes_with_its_cause(
    given: tuple[list[Workout], list[Trained], list[GoalRef], Athlete],
) -> None:
    workouts, sessions, goals, of = given
    for one in recommend_workouts(workouts, of):
        assert len(one.reasons) <= 2
        for reason in one.reasons:
            match reason.kind:
                case ReasonKind.TOWARDS_GOAL:
                    assert set(reason.exercise_ids) <= set(one.workout.exercise_ids)
                    rest = [goal for goal in goals if goal.id not in reason.goal_ids]
                    changed = replace(of, goals=rest)
                case ReasonKind.EVENS_BALANCE:
                    assert reason.push_set_count == of.sets[Pattern.PUSH]
                    assert reason.pull_set_count == of.sets[Pattern.PULL]
                    changed = replace(of, sets={**of.sets, Pattern.PUSH: 9, Pattern.PULL: 9})
                case ReasonKind.FITS_READINESS:
                    changed = replace(of, band=None)
                case ReasonKind.RECOVERED:
                    named = set(reason.session_ids)
                    kept = [each for each in sessions if each.session_id not in named]
                    rested = replace(of, recoveries=muscle_recoveries(MUSCLES, kept, NOW))
                    assert again(one, rested).terms[0].value == 1
                    now = [trained(muscle, 0, 50 + n) for n, muscle in enumerate(MUSCLES)]
                    changed = replace(of, recoveries=muscle_recoveries(MUSCLES, now, NOW))
                case ReasonKind.NOT_DONE_LATELY:
                    last = WorkoutHistory(one.workout.id, TODAY, None)
                    done = replace(one, workout=replace(one.workout, history=last))
                    assert reason.kind not in {r.kind for r in again(done, of).reasons}
                    continue
                case _:
                    raise AssertionError(reason.kind)
            assert reason.kind not in {r.kind for r in again(one, changed).reasons}


def test_the_worked_example() -> None:
    """That of docs/recommendations.md."""
    goal = GoalRef(UUID(int=100), "Pull-ups", frozenset({IDS["LATS"]}))
    of = athlete([trained("LATS", 30, 7)], [goal], 10, 5, Band.TRAIN_AS_PLANNED)
    [found] = recommend_workouts([workout("LATS", days_ago=3)], of)
    assert [term.value for term in found.terms] == [0.625, 1, 1, 3 / 7, pytest.approx(0.85)]
    assert found.score == pytest.approx(0.79661, abs=1e-5)
    first, second = found.reasons
    assert (first.kind, second.kind) == (ReasonKind.TOWARDS_GOAL, ReasonKind.RECOVERED)
    assert second.session_ids == [UUID(int=7)]


def test_equal_scores_are_ordered_by_id() -> None:
    of = athlete([], [], 0, 0, None)
    ranked = recommend_workouts([workout("LATS", number=n) for n in (3, 1, 2)], of)
    assert [one.workout.id.int for one in ranked] == [1, 2, 3]


# Exercises.


def exercise(slug: str, muscle: str, difficulty: int, *equipment: str) -> Exercise:
    return Exercise(
        id=UUID(int=sum(map(ord, slug)) * 100 + difficulty),
        slug=slug,
        name=slug,
        family=slug.split("-", maxsplit=1)[0],
        category=PATTERNS[muscle],
        difficulty=difficulty,
        movement_kind=MovementKind.DYNAMIC,
        muscles=Muscles([muscle], []),
        equipment=frozenset(equipment),
    )


ROW, PULL, CHIN, PUSH = (
    exercise("row-easy", "LATS", 3, "LOW_BAR"),
    exercise("pull-up", "LATS", 6, "PULL_UP_BAR"),
    exercise("chin-up", "LATS", 6, "PULL_UP_BAR"),
    exercise("push-up", "CHEST", 3),
)
ALL = {one.id: one for one in (ROW, PULL, CHIN, PUSH)}


def choices(
    *passed: Exercise,
    sets: dict[Pattern, float] | None = None,
    equipment: frozenset[str] | None = None,
) -> Exercises:
    skills = {
        one.id: Skill(
            id=one.id,
            slug=one.slug,
            difficulty=one.difficulty,
            criterion=Criterion(3, 8, 2),
            easier_ids=(ROW.id,) if one is PULL else (),
        )
        for one in ALL.values()
    }
    practices = {
        one.id: Practice(one.id, 2, TODAY, TODAY, 2, [8], [8], UUID(int=7)) for one in passed
    }
    of = athlete([], [], 0, 0, None)
    return Exercises(
        athlete=replace(of, sets={**of.sets, **(sets or {})}),
        graph=graph_of(skills, practices),
        known=ALL,
        done_ids=frozenset(),
        equipment=equipment,
    )


def slugs(found: list[object]) -> set[str]:
    return {one.exercise.slug for one in found}  # type: ignore[attr-defined]


def test_what_lacks_is_added() -> None:
    assert slugs([*choices().additions()]) == {"row-easy", "chin-up", "push-up"}
    sets = {Pattern.PULL: 10.0, Pattern.PUSH: 1.0, Pattern.LEGS: 5.0, Pattern.CORE: 5.0}
    [one] = choices(sets=sets).additions()
    assert one.exercise is PUSH
    reason = one.reasons[0]
    assert (reason.kind, reason.value, reason.threshold) == (
        ReasonKind.PATTERN_LACKING,
        1,
        21 / 8,
    )
    assert choices(sets={**sets, Pattern.PUSH: 5.0}).additions() == []


def test_who_passed_goes_on() -> None:
    assert choices().progressions() == []
    [one] = choices(ROW).progressions()
    assert one.exercise is PULL
    assert one.reasons[0].kind is ReasonKind.CRITERION_MET
    assert one.reasons[0].session_ids == [UUID(int=7)]
    assert choices(ROW, equipment=frozenset({"LOW_BAR"})).progressions() == []
    assert choices(ROW, PULL).progressions() == []


def test_swaps_are_of_like_difficulty_and_muscles() -> None:
    [one] = choices().swaps(PULL)
    assert one.exercise is CHIN
    assert one.difference is not None
    assert (one.difference.difficulty_change, one.difference.other_family) == (0, True)
    assert one.reasons[0].kind is ReasonKind.SAME_MUSCLES
    assert choices(equipment=frozenset()).swaps(PULL) == []


def test_a_swap_that_is_more_alike_is_better() -> None:
    before = choices().swaps(PULL)
    [known] = replace(choices(), similarities={CHIN.id: 0.9}).swaps(PULL)
    [unlike] = replace(choices(), similarities={CHIN.id: -0.4}).swaps(PULL)
    [unknown] = replace(choices(), similarities={}).swaps(PULL)
    assert {term.kind for one in before for term in one.terms} == {*EXERCISE_WEIGHT_PERCENT}
    for one, value in ((known, 0.9), (unlike, 0.0), (unknown, None)):
        assert one.terms[-1] == Term(TermKind.SIMILARITY, value, 0.2)
        assert sum(term.weight for term in one.terms) == pytest.approx(1)
    # Recovered, on no way to a goal, the same muscle, the same difficulty.
    assert known.score == pytest.approx(0.25 + 0.2 + 0.1 + 0.2 * 0.9)
    assert unlike.score == pytest.approx(0.25 + 0.2 + 0.1)
    assert unknown.score == pytest.approx(unlike.score / 0.8)


def test_likeness_counts_for_swaps_alone() -> None:
    alike = replace(choices(ROW), similarities=dict.fromkeys(ALL, 1.0))
    assert alike.additions() == choices(ROW).additions() != []
    assert alike.progressions() == choices(ROW).progressions() != []


def test_sets_of_patterns_follow_primary_muscles() -> None:
    muscle_up = replace_muscles(PULL, "LATS", "CHEST", "TRICEPS")
    found = pattern_sets([(muscle_up, 3), (PUSH, 2)])
    assert found == {Pattern.PUSH: 4, Pattern.PULL: 1, Pattern.LEGS: 0, Pattern.CORE: 0}


def replace_muscles(one: Exercise, *muscles: str) -> Exercise:
    return one._replace(muscles=Muscles(muscles, []))
