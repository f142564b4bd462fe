"""Replays what athletes chose: would the recommender have ranked it first?

For each session the workouts that the athlete had done before are ranked as they stood when it
began, by nothing later. A workout is the exercises of a session. The recommender is the service's
own ranking (domain/recommendation.py), beside rankings that need no thought. The first 40 % of
sessions are only looked back at.

An export holds no goals and no readiness: the first term is the same for all, the second is left
out. Agreement is not benefit: that athletes do what is ranked first does not show that it does them
good, so that it is also looked at how sessions went of workouts that were ranked high.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from math import fsum
from statistics import fmean, median
from typing import NamedTuple
from uuid import NAMESPACE_OID, UUID, uuid5

from training_service.domain.exercise import Exercise
from training_service.domain.program import PlannedExercise, workout_statistics
from training_service.domain.recommendation import (
    BALANCE_DAYS,
    Athlete,
    Workout,
    WorkoutHistory,
    pattern_sets,
    recommend_workouts,
)
from training_service.domain.recommendation import Exercise as Looked
from training_service.domain.recovery import LONGEST_WINDOW, Muscles, Trained, muscle_recoveries
from training_service.learning.examples import MEDIAN_SESSIONS, sessions_of
from training_service.learning.folds import Gain, folds_of, gain_of
from training_service.learning.history import Occasion, Progress, catalogue_by_id, traits_of

MAX_CANDIDATES = 50
"""Most workouts that are ranked, those done last."""
AMONG = 3
RECOMMENDER = "recommender"
CHANCE = "chance"
SESSIONS_PER_REPORT = 100

Key = tuple[UUID, ...]
"""A workout: its exercises in the order of their ids."""


class Candidate(NamedTuple):
    """A workout that might be done, and what is known of it before the session."""

    workout: Workout
    done_count: int
    last_at: datetime
    followed_count: int
    """How often it came after the workout that was done last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A session, as it stood when it began, and what it became."""

    user_id: str
    started_at: datetime
    athlete: Athlete
    candidates: Sequence[Candidate]
    """At least two, by id."""
    chosen_id: UUID
    """Of one of them."""
    went: float | None
    """Effective repetitions over the median of the last three sessions, as a mean of exercises;
    None where none was done before."""


def _last_again(one: Candidate) -> float:
    return -one.last_at.timestamp()


def _longest_ago(one: Candidate) -> float:
    return one.last_at.timestamp()


def _most_often(one: Candidate) -> float:
    return -one.done_count


def _as_it_followed(one: Candidate) -> float:
    return -one.followed_count


BASELINES: Mapping[str, Callable[[Candidate], float]] = {
    "the last one again": _last_again,
    "the one longest ago": _longest_ago,
    "the most frequent": _most_often,
    "what followed before": _as_it_followed,
}
"""Rankings, the least first; those alike by _longest_ago. Chance stands beside them."""


class Hit(NamedTuple):
    """How well a ranking told what was chosen: shares, which for one choice are 0 or 1."""

    first: float
    among: float
    """Among the first three."""
    reciprocal_rank: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of one decision."""

    user_id: str
    started_at: datetime
    hits: Mapping[str, Hit]
    """By who ranked."""
    is_upper_half: bool
    """Whether the recommender ranked the workout that was chosen in the upper half."""
    went: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceScore:
    """How one ranking did."""

    name: str
    first: float
    among: float
    reciprocal_rank: float
    fold_ranks: Sequence[float | None]
    """Mean reciprocal ranks by fold, the earliest first."""
    gain: Gain | None = None
    """Of the recommender's reciprocal rank over the best of the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What replaying the choices of all athletes showed."""

    decision_count: int
    user_count: int
    new_count: int
    """Sessions, of those not only looked back at, that were of a workout never done before."""
    lone_count: int
    """Those of an athlete who had done one workout only."""
    scores: Sequence[ChoiceScore]
    """The best first; none where nobody had a choice."""
    benefit: Gain | None
    """How much better sessions went of workouts that were ranked in the upper half than others, in
    shares of the median of three; None where it can't be told."""
    benefit_user_count: int = 0

    def score_of(self, name: str) -> ChoiceScore:
        """Returns how a ranking did."""
        return next(one for one in self.scores if one.name == name)

    @property
    def best_other(self) -> ChoiceScore:
        """Returns the best of those that are not the recommender."""
        return _best_other(self.scores)


def replay_choices(
    occasions: Sequence[Occasion], progress: Progress = lambda _done, _of: None
) -> Choices:
    """Replays what athletes chose. Occasions come by athlete and then by start."""
    asked = [*_asked(occasions, progress)]
    asked.sort(key=lambda one: (one.started_at, one.user_id))
    folds = [fold.of(asked) for fold in folds_of(asked)] if asked else []
    tested = [one for fold in folds for one in fold]
    judged = [[one for one in fold if isinstance(one, Judged)] for fold in folds]
    flat = [one for fold in judged for one in fold]
    benefit, users = _benefit(flat)
    return Choices(
        decision_count=len(flat),
        user_count=len({one.user_id for one in flat}),
        new_count=sum(isinstance(one, _NotAsked) and one.is_new for one in tested),
        lone_count=sum(isinstance(one, _NotAsked) and not one.is_new for one in tested),
        scores=_scores(judged),
        benefit=benefit,
        benefit_user_count=users,
    )


class _NotAsked(NamedTuple):
    """A session that was no choice between known workouts."""

    user_id: str
    started_at: datetime
    is_new: bool


def _asked(occasions: Sequence[Occasion], progress: Progress) -> Iterator[Judged | _NotAsked]:
    past, user_id, done = _Past(), "", 0
    for number, session in enumerate(sessions_of(occasions), start=1):
        if session[0].user_id != user_id:
            past, user_id = _Past(), session[0].user_id
        found = past.decision(session)
        if isinstance(found, Decision):
            yield judge(found)
        elif past.practised:
            yield found
        past.remember(session)
        done += len(session)
        if number % SESSIONS_PER_REPORT == 0:
            progress(done, len(occasions))
    progress(len(occasions), len(occasions))


def judge(decision: Decision) -> Judged:
    """Returns how well each ranking told what was chosen."""
    ranked = recommend_workouts([one.workout for one in decision.candidates], decision.athlete)
    ids = [one.workout.id for one in ranked]
    hits = {RECOMMENDER: _hit(ids, decision.chosen_id)}
    rested = sorted(decision.candidates, key=lambda one: (_longest_ago(one), one.workout.id))
    for name, order in BASELINES.items():
        hits[name] = _hit([one.workout.id for one in sorted(rested, key=order)], decision.chosen_id)
    hits[CHANCE] = _by_chance(len(ranked))
    return Judged(
        user_id=decision.user_id,
        started_at=decision.started_at,
        hits=hits,
        is_upper_half=2 * (ids.index(decision.chosen_id) + 1) <= len(ids),
        went=decision.went,
    )


def _hit(ids: Sequence[UUID], chosen_id: UUID) -> Hit:
    rank = ids.index(chosen_id) + 1
    return Hit(float(rank == 1), float(rank <= AMONG), 1 / rank)


def _by_chance(count: int) -> Hit:
    """Returns what a random order of so many comes to in the mean."""
    harmonic = fsum(1 / rank for rank in range(1, count + 1))
    return Hit(1 / count, min(AMONG / count, 1.0), harmonic / count)


def _scores(folds: Sequence[Sequence[Judged]]) -> list[ChoiceScore]:
    judged = [one for fold in folds for one in fold]
    if not judged:
        return []
    names = [RECOMMENDER, *BASELINES, CHANCE]
    found = sorted((_score(name, folds) for name in names), key=lambda one: -one.reciprocal_rank)
    best = _best_other(found)
    gains: dict[str, list[float]] = defaultdict(list)
    for one in judged:
        own, other = one.hits[RECOMMENDER], one.hits[best.name]
        gains[one.user_id].append(own.reciprocal_rank - other.reciprocal_rank)
    return [replace(one, gain=gain_of(gains)) if one.name == RECOMMENDER else one for one in found]


def _best_other(scores: Iterable[ChoiceScore]) -> ChoiceScore:
    return next(one for one in scores if one.name != RECOMMENDER)


def _score(name: str, folds: Sequence[Sequence[Judged]]) -> ChoiceScore:
    hits = [[one.hits[name] for one in fold] for fold in folds]
    flat = [hit for fold in hits for hit in fold]
    ranks = [[hit.reciprocal_rank for hit in fold] for fold in hits]
    return ChoiceScore(
        name=name,
        first=fmean(hit.first for hit in flat),
        among=fmean(hit.among for hit in flat),
        reciprocal_rank=fmean(hit.reciprocal_rank for hit in flat),
        fold_ranks=[fmean(of) if of else None for of in ranks],
    )


def _benefit(judged: Iterable[Judged]) -> tuple[Gain | None, int]:
    """Returns how much better sessions went of workouts ranked in the upper half, and of how many
    athletes that is: each counts once."""
    by_user: dict[str, dict[bool, list[float]]] = defaultdict(lambda: {True: [], False: []})
    for one in judged:
        if one.went is not None:
            by_user[one.user_id][one.is_upper_half].append(one.went)
    differences = {
        user_id: [fmean(of[True]) - fmean(of[False])]
        for user_id, of in by_user.items()
        if of[True] and of[False]
    }
    return (gain_of(differences) if differences else None), len(differences)


class _Practised(NamedTuple):
    """A workout as it was done last."""

    workout: Workout
    done_count: int
    last_at: datetime


@dataclass(slots=True)
class _Past:
    """What is known of an athlete up to a session."""

    practised: dict[Key, _Practised] = field(default_factory=dict)
    followers: dict[Key, Counter[Key]] = field(default_factory=lambda: defaultdict(Counter))
    last: Key = ()
    trained: deque[Trained] = field(default_factory=deque)
    """Sessions of the last 72 hours."""
    done: deque[tuple[date, Looked, int]] = field(default_factory=deque)
    """Working sets of the last 14 days."""
    amounts: dict[UUID, deque[float]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=MEDIAN_SESSIONS))
    )

    def decision(self, session: Sequence[Occasion]) -> Decision | _NotAsked:
        """Returns a session as it stood when it began."""
        first, key = session[0], _key(session)
        if key not in self.practised or len(self.practised) == 1:
            return _NotAsked(first.user_id, first.started_at, key not in self.practised)
        newest = sorted(self.practised, key=lambda each: self.practised[each].last_at)
        known = {*newest[-MAX_CANDIDATES:], key}
        followers = self.followers[self.last]
        candidates = [Candidate(*self.practised[each], followers[each]) for each in known]
        return Decision(
            user_id=first.user_id,
            started_at=first.started_at,
            athlete=self._athlete(first.started_at, first.day),
            candidates=sorted(candidates, key=lambda one: one.workout.id),
            chosen_id=self.practised[key].workout.id,
            went=self._went(session),
        )

    def remember(self, session: Sequence[Occasion]) -> None:
        """Adds a session to what is known."""
        key, first = _key(session), session[0]
        before = self.practised.get(key)
        count = before.done_count + 1 if before else 1
        self.practised[key] = _Practised(_workout(key, session), count, first.started_at)
        if self.last:
            self.followers[self.last][key] += 1
        self.last = key
        self.trained.append(_trained(session))
        for one in session:
            sets = sum(each.is_done for each in one.sets)
            self.done.append((one.day, LOOKED[one.exercise_id], sets))
            self.amounts[one.exercise_id].append(one.effective_reps)

    def _athlete(self, now: datetime, today: date) -> Athlete:
        while self.trained and self.trained[0].ended_at <= now - LONGEST_WINDOW:
            self.trained.popleft()
        while self.done and self.done[0][0] <= today - timedelta(days=BALANCE_DAYS):
            self.done.popleft()
        return Athlete(
            today=today,
            recoveries=muscle_recoveries(MUSCLES, self.trained, now),
            goals=[],
            sets=pattern_sets((exercise, sets) for _, exercise, sets in self.done),
        )

    def _went(self, session: Sequence[Occasion]) -> float | None:
        shares = []
        for one in session:
            usual = median(self.amounts[one.exercise_id]) if self.amounts[one.exercise_id] else 0.0
            if usual:
                shares.append(one.effective_reps / usual)
        return fmean(shares) if shares else None


def _key(session: Iterable[Occasion]) -> Key:
    return tuple(sorted({one.exercise_id for one in session}))


def _workout(key: Key, session: Sequence[Occasion]) -> Workout:
    """Returns a workout as it was just done."""
    by_exercise = {one.exercise_id: one for one in session}
    id = uuid5(NAMESPACE_OID, " ".join(map(str, key)))
    return Workout(
        id=id,
        revision=1,
        name="",
        statistics=workout_statistics([_planned(by_exercise[each]) for each in key], None),
        exercise_ids=key,
        equipment=frozenset(),
        history=WorkoutHistory(id, session[0].day, None),
    )


def _planned(one: Occasion) -> PlannedExercise:
    exercise = CATALOGUE[one.exercise_id]
    done = [each for each in one.sets if each.is_done]
    return PlannedExercise(
        exercise=traits_of(exercise),
        primary_muscles=exercise.primary_muscles,
        secondary_muscles=exercise.secondary_muscles,
        set_count=len(done),
        reps=_middle(each.reps for each in done),
        hold_seconds=_middle(each.hold_seconds for each in done),
        load_kg=_middle(each.external_load_kg for each in done) or 0.0,
        rpe=one.rpe,
    )


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _trained(session: Sequence[Occasion]) -> Trained:
    """Returns what a session asked of muscles. An export's rows say when it began, and so much is
    not known of when it ended."""
    return Trained(
        session_id=UUID(session[0].session_id),
        ended_at=session[0].started_at,
        session_rpe=None,
        exercises=[(LOOKED[one.exercise_id].muscles, one.sets) for one in session],
    )


def _looked(one: Exercise) -> Looked:
    return Looked(
        id=one.id,
        slug=one.slug,
        name=one.display_name,
        family=one.family,
        category=one.category,
        difficulty=one.difficulty,
        movement_kind=one.movement_kind,
        muscles=Muscles(one.primary_muscles, one.secondary_muscles),
        equipment=frozenset(one.equipment),
    )


CATALOGUE = catalogue_by_id()
LOOKED = {id: _looked(one) for id, one in CATALOGUE.items()}
MUSCLES = sorted({muscle for one in LOOKED.values() for muscle, _ in one.muscles.weights()})
