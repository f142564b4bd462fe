"""Reasons of recommended exercises and of what is left out: each goes with its cause."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_recommendation import (
    IDS,
    MUSCLES,
    NOW,
    PATTERNS,
    TODAY,
    athlete,
    trained,
    workout,
)
from training_service.domain.exercise import Criterion, MovementKind
from training_service.domain.readiness import Band
from training_service.domain.recommendation import (
    NEAR_INTENSITY,
    NEAR_STEPS,
    SIMILAR,
    Athlete,
    ExclusionKind,
    Exercise,
    ExerciseRecommendation,
    Exercises,
    Filters,
    GoalRef,
    Pattern,
    Reason,
    ReasonKind,
    Workout,
    recommend_workouts,
)
from training_service.domain.recovery import Muscles, muscle_recoveries
from training_service.domain.skill import Practice, Skill, graph_of

OF_WORKOUTS = {
    ReasonKind.RECOVERED,
    ReasonKind.TOWARDS_GOAL,
    ReasonKind.EVENS_BALANCE,
    ReasonKind.NOT_DONE_LATELY,
    ReasonKind.FITS_READINESS,
}
"""Of these tests/unit/test_recommendation.py takes the cause away."""


def exercise(number: int, muscle: str, difficulty: int, family: str = "") -> Exercise:
    return Exercise(
        id=UUID(int=number),
        slug=f"exercise-{number}",
        name=f"Exercise {number}",
        family=family,
        category=PATTERNS[muscle],
        difficulty=difficulty,
        movement_kind=MovementKind.DYNAMIC,
        muscles=Muscles([muscle], []),
        equipment=frozenset(),
    )


LADDERS = {
    muscle: [
        exercise(10 * n + step, muscle, step, f"{muscle}-family" if step != 2 else "")
        for step in range(1, 6)
    ]
    for n, muscle in enumerate(MUSCLES, start=1)
}
"""Of each muscle five exercises, each of which leads to the next."""
ALL = {one.id: one for ladder in LADDERS.values() for one in ladder}
STEPS = {one.id: (ladder, n) for ladder in LADDERS.values() for n, one in enumerate(ladder)}


@dataclass(frozen=True)
class Situation:
    """An athlete, of whom one thing at a time can be taken away."""

    passed: frozenset[UUID]
    sets: dict[Pattern, float]
    sessions: list[tuple[str, float]]
    goals: list[GoalRef]
    swapped: UUID
    similarities: dict[UUID, float] | None = None
    order: int = 0

    def exercises(self) -> Exercises:
        ids = [*ALL]
        Random(self.order).shuffle(ids)
        skills = {id: self._skill(id) for id in ids}
        practices = {
            id: Practice(id, 2, TODAY, TODAY, 2, [8], [8], UUID(int=1000 + id.int))
            for id in ids
            if id in self.passed
        }
        logged = [trained(muscle, hours, n) for n, (muscle, hours) in enumerate(self.sessions, 1)]
        Random(self.order).shuffle(logged)
        return Exercises(
            athlete=Athlete(
                today=TODAY,
                recoveries=muscle_recoveries(MUSCLES, logged, NOW),
                goals=self.goals,
                sets={pattern: self.sets.get(pattern, 0.0) for pattern in Pattern},
            ),
            graph=graph_of(skills, practices),
            known={id: ALL[id] for id in ids},
            done_ids=frozenset(),
            similarities=self.similarities,
        )

    @staticmethod
    def _skill(id: UUID) -> Skill:
        ladder, n = STEPS[id]
        return Skill(
            id=id,
            slug=ALL[id].slug,
            difficulty=ALL[id].difficulty,
            criterion=Criterion(3, 8, 2),
            easier_ids=(ladder[n - 1].id,) if n else (),
        )

    def found(self) -> list[ExerciseRecommendation]:
        exercises = self.exercises()
        return [
            *exercises.additions(),
            *exercises.progressions(),
            *exercises.swaps(ALL[self.swapped]),
        ]

    def reasons(self, like: ExerciseRecommendation) -> list[Reason]:
        """Returns the reasons for the same exercise in the same role; none if it is not offered."""
        return [
            reason
            for one in self.found()
            if (one.kind, one.exercise.id) == (like.kind, like.exercise.id)
            for reason in one.reasons
        ]


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    ids = st.sampled_from(sorted(ALL))
    goals = [
        GoalRef(UUID(int=2000 + n), f"Goal {n}", frozenset(draw(st.sets(ids, max_size=4))))
        for n in range(draw(st.integers(0, 2)))
    ]
    return Situation(
        passed=frozenset(draw(st.sets(ids, max_size=10))),
        sets={pattern: float(draw(st.integers(0, 12))) for pattern in Pattern},
        sessions=draw(st.lists(st.tuples(st.sampled_from(MUSCLES), st.floats(0, 90)), max_size=4)),
        goals=goals,
        swapped=draw(ids),
        similarities=draw(st.none() | st.dictionaries(ids, st.floats(-1, 1))),
    )


def without_lack(of: Situation, one: ExerciseRecommendation, reason: Reason) -> Situation:
    assert reason.pattern is not None
    assert reason.value == of.sets[reason.pattern]
    return replace(of, sets=dict.fromkeys(Pattern, 9.0))


def without_passing(of: Situation, one: ExerciseRecommendation, reason: Reason) -> Situation:
    [id] = reason.exercise_ids
    assert id in of.passed
    assert reason.session_ids == [UUID(int=1000 + id.int)]
    return replace(of, passed=of.passed - {id})


def swapping_for_another(of: Situation, one: ExerciseRecommendation, reason: Reason) -> Situation:
    assert reason.exercise_ids == [of.swapped]
    other = next(m for m in MUSCLES if m not in one.exercise.muscles.primary)
    return replace(of, swapped=LADDERS[other][0].id)


def without_level(of: Situation, one: ExerciseRecommendation, reason: Reason) -> Situation:
    [id] = reason.exercise_ids
    assert id in of.passed
    assert reason.threshold == ALL[id].difficulty
    assert abs(one.exercise.difficulty - ALL[id].difficulty) <= NEAR_STEPS
    return replace(of, passed=frozenset())


def without_goals(of: Situation, one: ExerciseRecommendation, reason: Reason) -> Situation:
    cited = [goal for goal in of.goals if goal.id in reason.goal_ids]
    assert cited
    assert all(one.exercise.id in goal.exercise_ids for goal in cited)
    return replace(of, goals=[goal for goal in of.goals if goal not in cited])


def having_just_trained(of: Situation, one: ExerciseRecommendation, reason: Reason) -> Situation:
    named = {id.int for id in reason.session_ids}
    assert named <= set(range(1, len(of.sessions) + 1))
    return replace(of, sessions=[(muscle, 0.0) for muscle in MUSCLES])


def without_what_leads_to_it(
    of: Situation, one: ExerciseRecommendation, reason: Reason
) -> Situation:
    assert set(reason.exercise_ids) <= of.passed
    return replace(of, passed=of.passed - {*reason.exercise_ids} | {one.exercise.id})


def without_likeness(of: Situation, one: ExerciseRecommendation, reason: Reason) -> Situation:
    assert of.similarities is not None
    assert reason.exercise_ids == [of.swapped]
    assert reason.value == of.similarities[one.exercise.id] >= SIMILAR == reason.threshold
    return replace(of, similarities={**of.similarities, one.exercise.id: SIMILAR - 0.001})


REMOVALS: dict[ReasonKind, Callable[[Situation, ExerciseRecommendation, Reason], Situation]] = {
    ReasonKind.RECOVERED: having_just_trained,
    ReasonKind.TOWARDS_GOAL: without_goals,
    ReasonKind.PATTERN_LACKING: without_lack,
    ReasonKind.CRITERION_MET: without_passing,
    ReasonKind.SAME_FAMILY: swapping_for_another,
    ReasonKind.SAME_MUSCLES: swapping_for_another,
    ReasonKind.SIMILAR_DIFFICULTY: swapping_for_another,
    ReasonKind.SUITS_LEVEL: without_level,
    ReasonKind.TURN_HAS_COME: without_what_leads_to_it,
    ReasonKind.SIMILAR: without_likeness,
}
"""What is done so that the cause of a reason is gone."""


def test_no_kind_of_reason_is_forgotten() -> None:
    assert {*REMOVALS} | OF_WORKOUTS == {*ReasonKind}


@given(situations())
def test_a_reason_goes_with_its_cause(of: Situation) -> None:
    for one in of.found():
        assert len({reason.kind for reason in one.reasons}) == len(one.reasons) <= 2
        for reason in one.reasons:
            changed = REMOVALS[reason.kind](of, one, reason)
            assert reason not in changed.reasons(one)
            assert reason.kind not in {other.kind for other in changed.reasons(one)}


@pytest.mark.parametrize("kind", REMOVALS)
def test_each_kind_is_given_to_somebody(kind: ReasonKind) -> None:
    """Or the test above would say nothing of it."""
    chance = Random(7)
    for _ in range(500):
        one = Situation(
            passed=frozenset(chance.sample(sorted(ALL), chance.randint(0, 10))),
            sets={pattern: float(chance.randint(0, 12)) for pattern in Pattern},
            sessions=[(muscle, 0.0) for muscle in chance.sample(MUSCLES, chance.randint(0, 4))],
            goals=[GoalRef(UUID(int=2000), "Goal", frozenset(chance.sample(sorted(ALL), 2)))],
            swapped=chance.choice(sorted(ALL)),
            similarities={id: chance.random() for id in sorted(ALL)},
        )
        if any(reason.kind is kind for found in one.found() for reason in found.reasons):
            return
    raise AssertionError(kind)


@given(situations(), st.integers(1, 10**6))
def test_no_order_matters(of: Situation, order: int) -> None:
    shuffled = replace(of, order=order, goals=of.goals[::-1])
    assert shuffled.found() == of.found()


# Workouts: what is near, and what is left out.


@pytest.mark.parametrize("band", Band)
def test_only_an_intensity_near_to_the_target_is_a_reason(band: Band) -> None:
    rested = athlete([trained(m, 0, 1) for m in MUSCLES], [], 0, 0, band)
    [found] = recommend_workouts([workout("LATS", days_ago=0)], rested)
    kinds = {reason.kind: reason for reason in found.reasons}
    planned, target = 55.0, {"TRAIN_AS_PLANNED": 70, "REDUCE": 50, "EASY_OR_REST": 30}[band]
    is_near = abs(planned - target) <= NEAR_INTENSITY
    assert (ReasonKind.FITS_READINESS in kinds) == is_near


def a_workout(**fields: object) -> Workout:
    return replace(workout("LATS"), **fields)  # type: ignore[arg-type]


OWN = UUID(int=77)
LATS = IDS["LATS"]
LEFT_OUT: list[tuple[ExclusionKind, Workout, Filters]] = [
    (ExclusionKind.EMPTY, replace(workout(), id=OWN), Filters()),
    (
        ExclusionKind.EQUIPMENT,
        a_workout(equipment=frozenset({"RINGS"})),
        Filters(equipment=frozenset({"WALL"})),
    ),
    (ExclusionKind.TRACK_RESTS, a_workout(), Filters(resting={UUID(int=1): frozenset({LATS})})),
    (ExclusionKind.DELOAD_WEEK, a_workout(), Filters(is_deload_week=True)),
    (
        ExclusionKind.LIKE_OWN,
        a_workout(program_slug="a-programme"),
        Filters(own_by_exercises={(LATS,): OWN}),
    ),
]


@pytest.mark.parametrize(("kind", "one", "filters"), LEFT_OUT, ids=[k for k, _, _ in LEFT_OUT])
def test_what_is_left_out_goes_with_its_cause(
    kind: ExclusionKind, one: Workout, filters: Filters
) -> None:
    why = filters.exclusion(one)
    assert why
    assert why.kind is kind
    if kind is not ExclusionKind.EMPTY:
        assert Filters().exclusion(one) is None


def test_no_way_of_being_left_out_is_forgotten() -> None:
    assert [kind for kind, _, _ in LEFT_OUT] == [*ExclusionKind]


def test_the_first_cause_in_the_documented_order_is_given() -> None:
    one = a_workout(equipment=frozenset({"RINGS"}), program_slug="a-programme")
    causes: list[dict[str, object]] = [
        {"own_by_exercises": {(LATS,): OWN}},
        {"is_deload_week": True},
        {"resting": {one.id: frozenset({LATS})}},
        {"equipment": frozenset()},
    ]
    given: dict[str, object] = {}
    for cause, kind in zip(causes, reversed(ExclusionKind), strict=False):
        given.update(cause)
        why = Filters(**given).exclusion(one)  # type: ignore[arg-type]
        assert why
        assert why.kind is kind


def test_a_rule_of_another_workout_leaves_nothing_out() -> None:
    resting = {UUID(int=2): frozenset({LATS})}
    assert Filters(resting=resting).exclusion(a_workout()) is None


def test_days_are_counted_by_dates() -> None:
    of = athlete([trained(m, 0, 1) for m in MUSCLES], [], 0, 0, None)
    [yesterday] = recommend_workouts([workout("LATS", days_ago=1)], of)
    [reason] = yesterday.reasons
    assert (reason.value, reason.local_date) == (1, TODAY - timedelta(1))
    # Done further east, where it is tomorrow: not a reason to do it again.
    [ahead] = recommend_workouts([workout("LATS", days_ago=-1)], of)
    assert ahead.reasons == []
