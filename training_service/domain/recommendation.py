"""What an athlete might do today: workouts in the order of a score, and exercises to add, to go on
to and to swap for.

A heuristic: all weights and limits are our choice, and no study has tried them. Nothing here
depends on the order in which data come: equal scores are ordered by id. A reason is made only of
the data that it cites.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from math import fsum, isclose
from typing import NamedTuple
from uuid import UUID

from training_service.domain.distribution import push_share_of
from training_service.domain.exercise import MovementKind
from training_service.domain.load import LoadHistory, RatioMethod, Withheld, load_cap
from training_service.domain.program import MuscleStatistics, WorkoutStatistics, program_statistics
from training_service.domain.readiness import Band
from training_service.domain.recovery import MuscleRecovery, Muscles, mean_recovery
from training_service.domain.skill import OPEN, SkillGraph, SkillState

BALANCE_DAYS = 14
"""How far back it is looked what was pushed and pulled, today included."""
FINE_RATIOS = (0.8, 1.25)
"""Push to pull sets that need no evening: Low advises keeping their levels close (second-hand)."""
RECENCY_DAYS = 7
INTENSITY_TARGETS = {Band.TRAIN_AS_PLANNED: 70.0, Band.REDUCE: 50.0, Band.EASY_OR_REST: 30.0}
"""Planned intensity, 0 to 100, that each band of readiness suggests."""
CAP_RATIO, LOW_CAP_RATIO = 1.5, 1.3
"""Highest uncoupled ratios; sets are scaled by the first."""
MIN_SET_FACTOR = 0.5
LACKING_SHARE = 0.5
"""A pattern lacks when it had less than this share of the mean of all four."""
LEVEL_STEPS = 4
"""An exercise so many steps of difficulty away is of no suitable level."""
NEAR_STEPS = 2
"""Within so many it is near, and so a reason."""
NEAR_INTENSITY = 20.0
"""A planned intensity that is further from what suits is no reason."""
SIMILAR = 0.6
"""That an exercise is less like another is no reason to do it instead."""
SWAP_STEPS = 1
"""A difference of one is within the noise of the scale."""


class TermKind(StrEnum):
    """What a score is made of."""

    RECOVERY = "RECOVERY"
    GOAL = "GOAL"
    BALANCE = "BALANCE"
    RECENCY = "RECENCY"
    FIT = "FIT"
    NEED = "NEED"
    LEVEL = "LEVEL"
    SIMILARITY = "SIMILARITY"


WORKOUT_WEIGHT_PERCENT = {
    TermKind.RECOVERY: 35,
    TermKind.GOAL: 25,
    TermKind.BALANCE: 20,
    TermKind.RECENCY: 10,
    TermKind.FIT: 10,
}
EXERCISE_WEIGHT_PERCENT = {
    TermKind.RECOVERY: 25,
    TermKind.GOAL: 25,
    TermKind.NEED: 35,
    TermKind.LEVEL: 15,
}
"""How much each counts."""
SIMILAR_WEIGHT_PERCENT = {
    TermKind.RECOVERY: 25,
    TermKind.GOAL: 25,
    TermKind.NEED: 20,
    TermKind.LEVEL: 10,
    TermKind.SIMILARITY: 20,
}
"""The same of swaps where it is known how alike exercises are: need and level give way to it, which
look at the same in part."""


class Term(NamedTuple):
    """One of the things that a score is made of."""

    kind: TermKind
    value: float | None
    """0 to 1; None when it is not known: then it counts nowhere."""
    weight: float


def terms_of(
    values: Mapping[TermKind, float | None], weights: Mapping[TermKind, int]
) -> list[Term]:
    """Returns terms with their weights, in the order of TermKind."""
    return [Term(kind, values[kind], weights[kind] / 100) for kind in TermKind if kind in weights]


def score_of(terms: Iterable[Term]) -> float:
    """Returns the mean of the terms that are known, by weight."""
    known = [(term.value, term.weight) for term in terms if term.value is not None]
    return fsum(value * weight for value, weight in known) / fsum(weight for _, weight in known)


class Pattern(StrEnum):
    """What a fortnight should have something of."""

    PUSH = "PUSH"
    PULL = "PULL"
    LEGS = "LEGS"
    CORE = "CORE"


class ReasonKind(StrEnum):
    """Why something is recommended."""

    RECOVERED = "RECOVERED"
    TOWARDS_GOAL = "TOWARDS_GOAL"
    EVENS_BALANCE = "EVENS_BALANCE"
    NOT_DONE_LATELY = "NOT_DONE_LATELY"
    FITS_READINESS = "FITS_READINESS"
    PATTERN_LACKING = "PATTERN_LACKING"
    CRITERION_MET = "CRITERION_MET"
    SAME_FAMILY = "SAME_FAMILY"
    SAME_MUSCLES = "SAME_MUSCLES"
    SIMILAR_DIFFICULTY = "SIMILAR_DIFFICULTY"
    SUITS_LEVEL = "SUITS_LEVEL"
    TURN_HAS_COME = "TURN_HAS_COME"
    SIMILAR = "SIMILAR"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A reason, in words and with what it cites."""

    kind: ReasonKind
    description: str
    value: float | None = None
    threshold: float | None = None
    muscles: Sequence[str] = ()
    exercise_ids: Sequence[UUID] = ()
    session_ids: Sequence[UUID] = ()
    goal_ids: Sequence[UUID] = ()
    push_set_count: float | None = None
    pull_set_count: float | None = None
    local_date: date | None = None
    pattern: Pattern | None = None


class GoalRef(NamedTuple):
    """A goal that is neither achieved nor abandoned, and the exercises along the way to it."""

    id: UUID
    name: str
    exercise_ids: frozenset[UUID]


class Exercise(NamedTuple):
    """What is looked at of an exercise of the catalogue."""

    id: UUID
    slug: str
    name: str
    family: str
    category: str
    difficulty: int
    movement_kind: MovementKind
    muscles: Muscles
    equipment: frozenset[str]

    @property
    def patterns(self) -> dict[Pattern, float]:
        """Returns how much of a set of it counts for each pattern."""
        share = push_share_of(self.muscles.primary)
        found = {}
        if share is not None:
            found = {Pattern.PUSH: share, Pattern.PULL: 1 - share}
        if self.category in (Pattern.LEGS, Pattern.CORE):
            found[Pattern(self.category)] = 1.0
        return {pattern: part for pattern, part in found.items() if part}


def pattern_sets(done: Iterable[tuple[Exercise, int]]) -> dict[Pattern, float]:
    """Returns the working sets of each pattern: push and pull by shares of primary muscles."""
    parts: dict[Pattern, list[float]] = {pattern: [] for pattern in Pattern}
    for exercise, sets in done:
        for pattern, share in exercise.patterns.items():
            parts[pattern].append(share * sets)
    return {pattern: fsum(of) for pattern, of in parts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Athlete:
    """How an athlete stands today."""

    today: date
    recoveries: Mapping[str, MuscleRecovery]
    """Of every muscle."""
    goals: Sequence[GoalRef]
    sets: Mapping[Pattern, float]
    """Of 14 days."""
    band: Band | None = None
    """What readiness suggests; None when it is withheld."""


# Workouts.


class WorkoutHistory(NamedTuple):
    """What is known of a workout that was done."""

    workout_id: UUID
    last_date: date
    usual_load_au: float | None
    """The median of its last five sessions whose load is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workout:
    """A workout that might be done."""

    id: UUID
    revision: int
    name: str
    program_slug: str = ""
    """Of a built-in programme; empty for the athlete's own."""
    statistics: WorkoutStatistics
    exercise_ids: Sequence[UUID]
    """Of the exercises of the statistics, in their order."""
    equipment: frozenset[str]
    history: WorkoutHistory | None = None

    @property
    def hard_set_count(self) -> int:
        """Sets that are to be at RPE 7 or more."""
        return int(self.statistics.metrics.volume.hard_sets.amount)

    @property
    def planned_load_au(self) -> float | None:
        """What it was usually, or else what it prescribes; None when neither is known."""
        usual = self.history.usual_load_au if self.history else None
        return self.statistics.metrics.load_au if usual is None else usual

    @property
    def muscles(self) -> Sequence[MuscleStatistics]:
        """What it asks of each muscle."""
        return program_statistics([(self.statistics, 1.0)]).muscles

    @property
    def push_and_pull_sets(self) -> tuple[float, float]:
        """Working sets that push and that pull."""
        both = zip(self.statistics.exercises, self.statistics.metrics.exercises, strict=True)
        shares = [(push_share_of(one.primary_muscles), of.set_count) for one, of in both]
        known = [(share, sets) for share, sets in shares if share is not None]
        return fsum(share * n for share, n in known), fsum((1 - share) * n for share, n in known)


class ExclusionKind(StrEnum):
    """Why a workout is left out."""

    EMPTY = "EMPTY"
    EQUIPMENT = "EQUIPMENT"
    TRACK_RESTS = "TRACK_RESTS"
    DELOAD_WEEK = "DELOAD_WEEK"
    LIKE_OWN = "LIKE_OWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A workout that is left out, and what that is made of."""

    workout: Workout
    kind: ExclusionKind
    description: str
    equipment: Sequence[str] = ()
    exercise_ids: Sequence[UUID] = ()
    hard_set_count: int = 0
    workout_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What leaves workouts out."""

    equipment: frozenset[str] | None = None
    """At hand; None is all."""
    resting: Mapping[UUID, frozenset[UUID]] = field(default_factory=dict)
    """Exercises whose rule of progression is in a deload, by the workout that they are in."""
    is_deload_week: bool = False
    own_by_exercises: Mapping[tuple[UUID, ...], UUID] = field(default_factory=dict)
    """The athlete's workouts by their exercises."""

    def exclusion(self, workout: Workout) -> Exclusion | None:
        """Returns why a workout is left out: the first reason in the order of ExclusionKind."""
        if not workout.statistics.metrics.set_count:
            return Exclusion(
                workout=workout, kind=ExclusionKind.EMPTY, description="It has no working set."
            )
        missing = sorted(workout.equipment - self.equipment) if self.equipment is not None else []
        if missing:
            return Exclusion(
                workout=workout,
                kind=ExclusionKind.EQUIPMENT,
                description=f"It needs {_listed(missing)}, not at hand.",
                equipment=missing,
            )
        resting = sorted(self.resting.get(workout.id, ()))
        if resting:
            return Exclusion(
                workout=workout,
                kind=ExclusionKind.TRACK_RESTS,
                description=f"The progression of {len(resting)} of its exercises is in a deload.",
                exercise_ids=resting,
            )
        return self._of_week(workout) or self._like_own(workout)

    def _of_week(self, workout: Workout) -> Exclusion | None:
        hard = workout.hard_set_count
        if not self.is_deload_week or not hard:
            return None
        return Exclusion(
            workout=workout,
            kind=ExclusionKind.DELOAD_WEEK,
            description=f"It is a deload week, and {hard} of its sets are to be at RPE 7 or more.",
            hard_set_count=hard,
        )

    def _like_own(self, workout: Workout) -> Exclusion | None:
        own_id = self.own_by_exercises.get(tuple(workout.exercise_ids))
        if not workout.program_slug or own_id is None:
            return None
        return Exclusion(
            workout=workout,
            kind=ExclusionKind.LIKE_OWN,
            description="You have a workout of the same exercises.",
            workout_id=own_id,
        )


class Cap(NamedTuple):
    """The largest load of today that keeps the uncoupled ratio at a value."""

    ratio: float
    load_au: float
    left_au: float
    """After what was done today; at least 0."""


def load_caps(history: LoadHistory) -> list[Cap] | Withheld:
    """Returns the caps of the last day of a history for both ratios, or why they are withheld."""
    status = history.status()
    if status is None:
        return Withheld.INSUFFICIENT_HISTORY
    withheld = status.ratio(RatioMethod.ROLLING_UNCOUPLED).withheld
    if withheld:
        return withheld
    *before, done = history.loads
    caps = []
    for ratio in (CAP_RATIO, LOW_CAP_RATIO):
        most = load_cap(before, ratio)
        if most is None:
            return Withheld.INSUFFICIENT_HISTORY
        caps.append(Cap(ratio, most, max(most - done, 0.0)))
    return caps


class Scaling(NamedTuple):
    """What a cap does to the sets of a workout."""

    set_factor: float
    """0.5 to 1."""
    exceeds_cap: bool
    """Whether half of the sets is still too much."""


def scaling(planned_load_au: float | None, cap: Cap | None) -> Scaling | None:
    """Returns what a cap does to a workout; None when its load or the cap is not known."""
    if cap is None or planned_load_au is None:
        return None
    share = cap.left_au / planned_load_au if planned_load_au else 1.0
    return Scaling(min(max(share, MIN_SET_FACTOR), 1.0), share < MIN_SET_FACTOR)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkoutRecommendation:
    """A workout with its score."""

    workout: Workout
    score: float
    terms: Sequence[Term]
    reasons: Sequence[Reason]


def recommend_workouts(
    workouts: Iterable[Workout], athlete: Athlete
) -> list[WorkoutRecommendation]:
    """Returns workouts, the best first, those of equal scores by id."""
    found = [_scored(workout, athlete) for workout in workouts]
    return sorted(found, key=lambda one: (-one.score, one.workout.id))


def _scored(workout: Workout, athlete: Athlete) -> WorkoutRecommendation:
    reasons: dict[TermKind, Reason | None] = {}
    values: dict[TermKind, float | None] = {}
    worked = [(one.muscle, one.set_count) for one in workout.muscles]
    values[TermKind.RECOVERY] = mean_recovery(worked, athlete.recoveries)
    reasons[TermKind.RECOVERY] = _recovered(values[TermKind.RECOVERY], worked, athlete)
    values[TermKind.GOAL], reasons[TermKind.GOAL] = _towards_goals(workout, athlete)
    values[TermKind.BALANCE], reasons[TermKind.BALANCE] = _evens(workout, athlete)
    values[TermKind.RECENCY], reasons[TermKind.RECENCY] = _not_done_lately(workout, athlete)
    values[TermKind.FIT], reasons[TermKind.FIT] = _fits(workout, athlete)
    terms = terms_of(values, WORKOUT_WEIGHT_PERCENT)
    return WorkoutRecommendation(
        workout=workout,
        score=score_of(terms),
        terms=terms,
        reasons=_strongest(terms, reasons, 2),
    )


def _strongest(
    terms: Sequence[Term], reasons: Mapping[TermKind, Reason | None], count: int
) -> list[Reason]:
    """Returns the reasons of the terms that add most, the most first."""
    adding = sorted(terms, key=lambda term: -(term.value or 0.0) * term.weight)
    found = [reasons.get(term.kind) for term in adding if term.value]
    return [reason for reason in found if reason][:count]


def _recovered(
    value: float | None, worked: Sequence[tuple[str, float]], athlete: Athlete
) -> Reason | None:
    if not value:
        return None
    tired = sorted(
        (of for muscle, sets in worked if sets and (of := athlete.recoveries[muscle]).recovery < 1),
        key=lambda one: (one.recovery, one.muscle),
    )
    words = "All muscles that it works have recovered."
    if tired:
        words = f"The muscles that it works have recovered by {_percent(value)}, least of all "
        words += f"{_listed([tired[0].muscle])} ({_percent(tired[0].recovery)})."
    return Reason(
        kind=ReasonKind.RECOVERED,
        description=words,
        value=value,
        muscles=[one.muscle for one in tired],
        session_ids=sorted({strain.session_id for one in tired for strain in one.strains}),
    )


def _towards_goals(workout: Workout, athlete: Athlete) -> tuple[float, Reason | None]:
    """Returns the share of effective repetitions on the way to goals."""
    on_path = frozenset().union(*(goal.exercise_ids for goal in athlete.goals))
    done = [
        (id, of.volume.effective_reps.amount)
        for id, of in zip(workout.exercise_ids, workout.statistics.metrics.exercises, strict=True)
    ]
    whole = fsum(reps for _, reps in done)
    share = fsum(reps for id, reps in done if id in on_path) / whole if whole else 0.0
    if not share:
        return share, None
    ids = sorted({id for id, reps in done if id in on_path and reps})
    words = f"{_percent(share)} of its effective repetitions are on the way to "
    return share, _goal_reason(words, share, ids, athlete)


def _goal_reason(words: str, value: float, ids: Sequence[UUID], athlete: Athlete) -> Reason:
    goals = sorted(
        (goal for goal in athlete.goals if goal.exercise_ids & {*ids}), key=lambda goal: goal.id
    )
    return Reason(
        kind=ReasonKind.TOWARDS_GOAL,
        description=words + ", ".join(f'"{goal.name}"' for goal in goals) + ".",
        value=value,
        exercise_ids=ids,
        goal_ids=[goal.id for goal in goals],
    )


def balance(push: float, pull: float, more_push: float, more_pull: float) -> float:
    """Returns 1 for sets that bring push and pull nearer to one another, 0 for those that take them
    apart, and 0.5 for those that do neither or keep the ratio within 0.8 to 1.25."""
    before, after = _imbalance(push, pull), _imbalance(push + more_push, pull + more_pull)
    low, high = FINE_RATIOS
    fine = [
        low * b <= a <= high * b for a, b in ((push, pull), (push + more_push, pull + more_pull))
    ]
    if all(fine) or isclose(before, after) or not push + pull:
        return 0.5
    return 1.0 if after < before else 0.0


def _imbalance(push: float, pull: float) -> float:
    """Returns how far the share of pushing is from a half; 0 without any."""
    return abs(push / (push + pull) - 0.5) if push + pull else 0.0


def _evens(workout: Workout, athlete: Athlete) -> tuple[float, Reason | None]:
    push, pull = athlete.sets[Pattern.PUSH], athlete.sets[Pattern.PULL]
    value = balance(push, pull, *workout.push_and_pull_sets)
    if value != 1:
        return value, None
    words = f"It evens {push:g} sets that push and {pull:g} that pull in {BALANCE_DAYS} days."
    return value, Reason(
        kind=ReasonKind.EVENS_BALANCE,
        description=words,
        value=value,
        push_set_count=push,
        pull_set_count=pull,
    )


def _not_done_lately(workout: Workout, athlete: Athlete) -> tuple[float, Reason | None]:
    if workout.history is None:
        words = "You have not done it yet."
        return 1.0, Reason(kind=ReasonKind.NOT_DONE_LATELY, description=words)
    days = max((athlete.today - workout.history.last_date).days, 0)
    ago = "1 day" if days == 1 else f"{days} days"
    return min(days, RECENCY_DAYS) / RECENCY_DAYS, Reason(
        kind=ReasonKind.NOT_DONE_LATELY,
        description=f"You last did it {ago} ago.",
        value=float(days),
        local_date=workout.history.last_date,
    )


def _fits(workout: Workout, athlete: Athlete) -> tuple[float | None, Reason | None]:
    planned = workout.statistics.metrics.intensity
    if planned is None or athlete.band is None:
        return None, None
    target = INTENSITY_TARGETS[athlete.band]
    value = 1 - abs(planned - target) / 100
    if abs(planned - target) > NEAR_INTENSITY:
        return value, None
    words = f"Its planned intensity is {planned:.0f}; {target:.0f} suits your readiness."
    return value, Reason(
        kind=ReasonKind.FITS_READINESS, description=words, value=planned, threshold=target
    )


# Exercises.


class ExerciseKind(StrEnum):
    """What is to be done with an exercise."""

    ADD = "ADD"
    PROGRESS = "PROGRESS"
    SWAP = "SWAP"


class Difference(NamedTuple):
    """What is different about an exercise that another is swapped for."""

    difficulty_change: int
    other_family: bool
    other_movement_kind: bool
    added_equipment: Sequence[str]
    removed_equipment: Sequence[str]
    added_muscles: Sequence[str]
    removed_muscles: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseRecommendation:
    """An exercise with its score."""

    kind: ExerciseKind
    exercise: Exercise
    score: float
    terms: Sequence[Term]
    reasons: Sequence[Reason]
    difference: Difference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercises:
    """The exercises that may be recommended to an athlete."""

    athlete: Athlete
    graph: SkillGraph
    known: Mapping[UUID, Exercise]
    """All of the catalogue."""
    done_ids: frozenset[UUID]
    """Those done in 14 days."""
    equipment: frozenset[str] | None = None
    """At hand; None is all."""
    similarities: Mapping[UUID, float] | None = None
    """How like exercises are to the one that is swapped, as far as that is known; None where it is
    known of none."""

    def additions(self) -> list[ExerciseRecommendation]:
        """Returns exercises of the patterns that 14 days lack: those passed or whose turn has come,
        and that were not done in these days."""
        limits = self.athlete.sets.values()
        threshold = LACKING_SHARE * fsum(limits) / len(Pattern)
        found = []
        for pattern in Pattern:
            sets = self.athlete.sets[pattern]
            if sets and sets >= threshold:
                continue
            reason = _lacking(pattern, sets, threshold)
            need = 1 - sets / threshold if threshold else 1.0
            level = self._hardest_passed(pattern)
            found += [
                self._scored(ExerciseKind.ADD, one, need, reason, level)
                for one in self._able()
                if one.patterns.get(pattern, 0.0) >= 0.5 and one.id not in self.done_ids
            ]
        return _ranked(found)

    def progressions(self) -> list[ExerciseRecommendation]:
        """Returns exercises that are not passed, behind one that is."""
        found = []
        for one in self._offered():
            skill = self.graph.skills[one.id]
            passed = [e for e in self.graph.easier[one.id] if self.graph.is_passed(e)]
            state = self.graph.state(skill)
            if state not in OPEN or not passed:
                continue
            hardest = max(passed, key=lambda e: (e.difficulty, e.slug))
            need = 1.0 if state is SkillState.RECOMMENDED else 0.5
            easier = self.known[hardest.id]
            reason = self._criterion_met(easier)
            found.append(self._scored(ExerciseKind.PROGRESS, one, need, reason, easier))
        return _ranked(found)

    def swaps(self, swapped: Exercise) -> list[ExerciseRecommendation]:
        """Returns what may be done in place of an exercise: of its family, or of its category with
        a primary muscle in common, and of a difficulty at most one step away."""
        found = []
        for one in self._offered():
            alike = _alike(one, swapped)
            distance = abs(one.difficulty - swapped.difficulty)
            if one.id == swapped.id or not alike or distance > SWAP_STEPS:
                continue
            need, reason = alike
            found.append(
                self._scored(
                    ExerciseKind.SWAP, one, need, reason, swapped, difference(one, swapped)
                )
            )
        return _ranked(found)

    def _offered(self) -> list[Exercise]:
        """Returns what is active and needs nothing that is not at hand."""
        return [
            self.known[skill.id]
            for skill in self.graph.skills.values()
            if skill.is_active and self._has_equipment_for(self.known[skill.id])
        ]

    def _has_equipment_for(self, one: Exercise) -> bool:
        return self.equipment is None or one.equipment <= self.equipment

    def _able(self) -> list[Exercise]:
        states = {SkillState.PASSED, *OPEN}
        return [
            one for one in self._offered() if self.graph.state(self.graph.skills[one.id]) in states
        ]

    def _hardest_passed(self, pattern: Pattern) -> Exercise | None:
        passed = [
            self.known[skill.id]
            for skill in self.graph.skills.values()
            if self.graph.is_passed(skill) and self.known[skill.id].patterns.get(pattern, 0) >= 0.5
        ]
        return max(passed, key=lambda one: (one.difficulty, one.id), default=None)

    def _criterion_met(self, easier: Exercise) -> Reason:
        practice = self.graph.practices[easier.id]
        return Reason(
            kind=ReasonKind.CRITERION_MET,
            description=f"You passed {easier.name}, which leads to it, on {practice.passed_date}.",
            exercise_ids=[easier.id],
            session_ids=[practice.passed_session_id] if practice.passed_session_id else [],
            local_date=practice.passed_date,
        )

    def _scored(
        self,
        kind: ExerciseKind,
        one: Exercise,
        need: float,
        main: Reason,
        level: Exercise | None,
        different: Difference | None = None,
    ) -> ExerciseRecommendation:
        worked = [*one.muscles.weights()]
        recovery = mean_recovery(worked, self.athlete.recoveries)
        is_on_path = any(one.id in goal.exercise_ids for goal in self.athlete.goals)
        distance = abs(one.difficulty - (level.difficulty if level else 1))
        values: dict[TermKind, float | None] = {
            TermKind.RECOVERY: recovery,
            TermKind.GOAL: float(is_on_path),
            TermKind.NEED: need,
            TermKind.LEVEL: max(1 - distance / LEVEL_STEPS, 0.0),
        }
        goal_words = "It is on the way to "
        reasons = {
            TermKind.RECOVERY: _recovered(recovery, worked, self.athlete),
            TermKind.GOAL: (
                _goal_reason(goal_words, 1.0, [one.id], self.athlete) if is_on_path else None
            ),
            TermKind.LEVEL: _level_reason(kind, one, level),
        }
        weights = EXERCISE_WEIGHT_PERCENT
        if kind is ExerciseKind.SWAP and self.similarities is not None:
            weights = SIMILAR_WEIGHT_PERCENT
            values[TermKind.SIMILARITY] = self._similarity(one)
            reasons[TermKind.SIMILARITY] = _similar(values[TermKind.SIMILARITY], level)
        terms = terms_of(values, weights)
        return ExerciseRecommendation(
            kind=kind,
            exercise=one,
            score=score_of(terms),
            terms=terms,
            reasons=[main, *(_strongest(terms, reasons, 1) or self._turn_has_come(one))],
            difference=different,
        )

    def _similarity(self, one: Exercise) -> float | None:
        found = (self.similarities or {}).get(one.id)
        return None if found is None else max(found, 0.0)

    def _turn_has_come(self, one: Exercise) -> list[Reason]:
        if self.graph.state(self.graph.skills[one.id]) is not SkillState.RECOMMENDED:
            return []
        ids = [easier.id for easier in self.graph.easier[one.id]]
        words = "All exercises that lead to it are passed." if ids else "No exercise leads to it."
        return [Reason(kind=ReasonKind.TURN_HAS_COME, description=words, exercise_ids=ids)]


def _ranked(found: Iterable[ExerciseRecommendation]) -> list[ExerciseRecommendation]:
    """Returns each exercise once, the best first, those of equal scores by id."""
    best: dict[UUID, ExerciseRecommendation] = {}
    for one in sorted(found, key=lambda one: (-one.score, one.exercise.id)):
        best.setdefault(one.exercise.id, one)
    return [*best.values()]


def _lacking(pattern: Pattern, sets: float, threshold: float) -> Reason:
    words = f"In {BALANCE_DAYS} days you did {sets:g} sets of {_listed([pattern])}"
    return Reason(
        kind=ReasonKind.PATTERN_LACKING,
        description=f"{words}, less than half of the mean of push, pull, legs and core."
        if sets
        else f"{words}.",
        value=sets,
        threshold=threshold,
        pattern=pattern,
    )


def _alike(one: Exercise, other: Exercise) -> tuple[float, Reason] | None:
    """Returns how like two exercises are, 0 to 1, and in what; None when they are not."""
    if one.family and one.family == other.family:
        words = f"It is of the same family as {other.name}: {one.family}."
        return 1.0, Reason(kind=ReasonKind.SAME_FAMILY, description=words, exercise_ids=[other.id])
    mine, others = {*one.muscles.primary}, {*other.muscles.primary}
    common = sorted(mine & others)
    if one.category != other.category or not common:
        return None
    return len(common) / len(mine | others), Reason(
        kind=ReasonKind.SAME_MUSCLES,
        description=f"It works {_listed(common)}, as {other.name} does.",
        muscles=common,
        exercise_ids=[other.id],
    )


def _level_reason(kind: ExerciseKind, one: Exercise, level: Exercise | None) -> Reason | None:
    if level is None or abs(one.difficulty - level.difficulty) > NEAR_STEPS:
        return None
    is_swap = kind is ExerciseKind.SWAP
    words = (
        f"Its difficulty of {one.difficulty} is near to {level.difficulty}, that of {level.name}"
    )
    return Reason(
        kind=ReasonKind.SIMILAR_DIFFICULTY if is_swap else ReasonKind.SUITS_LEVEL,
        description=f"{words}." if is_swap else f"{words}, which you passed.",
        value=float(one.difficulty),
        threshold=float(level.difficulty),
        exercise_ids=[level.id],
    )


def _similar(value: float | None, other: Exercise | None) -> Reason | None:
    if value is None or value < SIMILAR or other is None:
        return None
    return Reason(
        kind=ReasonKind.SIMILAR,
        description=f"It is like {other.name}: {value:.2f} of 1.",
        value=value,
        threshold=SIMILAR,
        exercise_ids=[other.id],
    )


def difference(one: Exercise, other: Exercise) -> Difference:
    """Returns what is different about an exercise in place of another."""
    mine, others = {*one.muscles.primary}, {*other.muscles.primary}
    return Difference(
        difficulty_change=one.difficulty - other.difficulty,
        other_family=one.family != other.family,
        other_movement_kind=one.movement_kind is not other.movement_kind,
        added_equipment=sorted(one.equipment - other.equipment),
        removed_equipment=sorted(other.equipment - one.equipment),
        added_muscles=sorted(mine - others),
        removed_muscles=sorted(others - mine),
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(name.replace("_", " ").lower() for name in names)


def _percent(share: float) -> str:
    """Returns a share in words; never rounded up to all."""
    return f"{int(100 * share)} %"
