"""How ready for training an athlete seems to be: a heuristic of this service, not validated.

Six things that may be known of a day are each worth a score of 0 to 100; readiness is their mean by
weight. What is not known counts nowhere. Weights, knots and limits are our choice; no study has
tried them.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from itertools import islice
from math import fsum
from statistics import fmean, median
from typing import NamedTuple
from uuid import UUID

from training_service.domain import load
from training_service.domain.load import (
    ACUTE_DAYS,
    MAX_UNCERTAIN_SHARE,
    LoadHistory,
    Monotony,
    Ratio,
    RatioMethod,
)
from training_service.domain.metrics import HOLD_SECONDS_PER_REP, Side, WorkingSet

COMPLETION_SESSIONS = 3
COMPLETION_DAYS = 14
"""The last three sessions of a workout within these days tell how much of a plan gets done."""
RECENT_DAYS = 7
"""A latest session before these days says nothing of today."""
BASELINE_DAYS = 28
"""How far before the latest session sets are looked for that are like its own."""
HISTORY_DAYS = RECENT_DAYS + BASELINE_DAYS
"""How many days, the day itself among them, sessions are looked at in."""
LOAD_TOLERANCE = 0.025
"""Sets are alike when their added loads differ by at most this share."""
REPS_TOLERANCE = 1.0
"""And their repetitions by at most one, 2 s of a hold taken as one."""
MIN_ALIKE_SETS = 2
MAX_EARLIER_SETS = 1_000
"""Most earlier sets of its exercises that the latest session is compared with, the newest: 35 on
each day."""
MIN_COVERAGE_PERCENT = 40


class ComponentKind(StrEnum):
    """What readiness is made of."""

    COMPLETION = "COMPLETION"
    """Share of the planned effective repetitions that was done, at most 1."""
    RPE_DRIFT = "RPE_DRIFT"
    """How much harder than earlier sets like them the latest were rated, in points of RPE."""
    LOAD_RATIO = "LOAD_RATIO"
    """Recent over usual load, rolling and coupled."""
    MONOTONY = "MONOTONY"
    """How even the loads of 7 days were."""
    DAYS_SINCE_SESSION = "DAYS_SINCE_SESSION"
    WELLNESS = "WELLNESS"
    """Hooper's index: 4, the best, to 28, the worst."""


WEIGHT_PERCENT = {
    ComponentKind.COMPLETION: 20,
    ComponentKind.RPE_DRIFT: 20,
    ComponentKind.LOAD_RATIO: 15,
    ComponentKind.MONOTONY: 10,
    ComponentKind.DAYS_SINCE_SESSION: 10,
    ComponentKind.WELLNESS: 25,
}
"""How much each counts. Whole numbers, so that sums of them are exact."""

Knots = Sequence[tuple[float, float]]

KNOTS: dict[ComponentKind, Knots] = {
    ComponentKind.COMPLETION: ((0.5, 0), (1, 100)),
    ComponentKind.RPE_DRIFT: ((0, 100), (2.5, 0)),
    ComponentKind.LOAD_RATIO: (
        *((0, 60), (0.5, 70), (0.8, 100), (1.3, 100)),
        *((1.5, 70), (2, 20), (2.5, 0)),
    ),
    ComponentKind.MONOTONY: ((1.5, 100), (2, 70), (3, 20)),
    ComponentKind.DAYS_SINCE_SESSION: (
        *((0, 40), (1, 75), (2, 100), (4, 100)),
        *((7, 90), (14, 75), (30, 60)),
    ),
    ComponentKind.WELLNESS: ((4, 100), (28, 0)),
}
"""What a value is worth: straight lines between these points, and beyond them as at the ends."""


class Band(StrEnum):
    """What is suggested. The athlete decides."""

    TRAIN_AS_PLANNED = "TRAIN_AS_PLANNED"
    REDUCE = "REDUCE"
    """Keep the load, leave out one set."""
    EASY_OR_REST = "EASY_OR_REST"


TRAIN_AS_PLANNED_SCORE = 75
REDUCE_SCORE = 50
"""The lowest score of each band."""


class Absence(StrEnum):
    """Why a component is not known."""

    NO_PLANNED_SESSION = "NO_PLANNED_SESSION"
    NO_RECENT_SESSION = "NO_RECENT_SESSION"
    NO_RATED_SET = "NO_RATED_SET"
    NO_COMPARABLE_SETS = "NO_COMPARABLE_SETS"
    INSUFFICIENT_HISTORY = "INSUFFICIENT_HISTORY"
    UNCERTAIN_LOAD = "UNCERTAIN_LOAD"
    NO_CHRONIC_LOAD = "NO_CHRONIC_LOAD"
    NO_LOAD = "NO_LOAD"
    NO_SESSION = "NO_SESSION"
    NO_WELLNESS_ENTRY = "NO_WELLNESS_ENTRY"


class Withheld(StrEnum):
    """Why there is no score."""

    INSUFFICIENT_COVERAGE = "INSUFFICIENT_COVERAGE"


@dataclass(frozen=True, slots=True)
class Component:
    """One of the things that readiness is made of; without a score, why it is not known."""

    kind: ComponentKind
    value: float | None
    score: float | None
    absence: Absence | None = None

    @property
    def weight(self) -> float:
        """How much it counts, 0 to 1."""
        return WEIGHT_PERCENT[self.kind] / 100


def measured(kind: ComponentKind, value: float) -> Component:
    """Returns a component whose value is known."""
    return Component(kind, value, interpolated(KNOTS[kind], value))


def absent(kind: ComponentKind, why: Absence) -> Component:
    """Returns a component that is not known."""
    return Component(kind, None, None, why)


def component(kind: ComponentKind, found: float | Absence) -> Component:
    """Returns a component by its value, or by why there is none."""
    return absent(kind, found) if isinstance(found, Absence) else measured(kind, found)


def interpolated(knots: Knots, value: float) -> float:
    """Returns what a value is worth by straight lines between knots, at the ends by the last."""
    after = bisect_right(knots, value, key=lambda knot: knot[0])
    if after == 0:
        return knots[0][1]
    if after == len(knots):
        return knots[-1][1]
    (left, low), (right, high) = knots[after - 1 : after + 1]
    return low + (value - left) / (right - left) * (high - low)


@dataclass(frozen=True, slots=True)
class Readiness:
    """How ready an athlete seems to be, and what that was made of."""

    score: float | None
    """0 to 100; None when too little is known."""
    coverage: float
    """The weight of what is known, 0 to 1."""
    withheld: Withheld | None
    components: Sequence[Component]

    @property
    def band(self) -> Band | None:
        """What is suggested; None without a score."""
        return None if self.score is None else band_of(self.score)


def readiness(components: Sequence[Component]) -> Readiness:
    """Returns the mean of what is known, by weight: R = Σ wᵢ sᵢ / Σ wᵢ.

    There is no score when the weights of what is known add up to less than 0.40.
    """
    known = [(one.kind, one.score) for one in components if one.score is not None]
    percent = sum(WEIGHT_PERCENT[kind] for kind, _ in known)
    if percent < MIN_COVERAGE_PERCENT:
        return Readiness(None, percent / 100, Withheld.INSUFFICIENT_COVERAGE, components)
    score = fsum(WEIGHT_PERCENT[kind] * score for kind, score in known) / percent
    return Readiness(score, percent / 100, None, components)


def band_of(score: float) -> Band:
    """Returns the band of a score."""
    if score >= TRAIN_AS_PLANNED_SCORE:
        return Band.TRAIN_AS_PLANNED
    return Band.REDUCE if score >= REDUCE_SCORE else Band.EASY_OR_REST


class Work(NamedTuple):
    """What was done in a set, as it is compared with others."""

    exercise_id: UUID
    side: Side
    load_kg: float
    """Beyond the body; negative is assistance."""
    reps: float
    """2 s of a hold are one."""


class RatedSet(NamedTuple):
    """A working set that was done and rated."""

    work: Work
    rpe: float


class RatedSession(NamedTuple):
    """A session that counts, and its rated sets."""

    local_date: date
    sets: Sequence[RatedSet]


def rated_sets(exercise_id: UUID, sets: Iterable[WorkingSet]) -> list[RatedSet]:
    """Returns those sets of an exercise that were done, and rated, and whose size is known."""
    return [
        RatedSet(Work(exercise_id, one.side, one.external_load_kg, reps), one.rpe)
        for one in sets
        if one.is_done and one.rpe is not None and (reps := _size_in_reps(one)) is not None
    ]


def _size_in_reps(one: WorkingSet) -> float | None:
    if one.hold_seconds is not None:
        return one.hold_seconds / HOLD_SECONDS_PER_REP
    return one.reps


def rpe_drift(latest: Sequence[RatedSet], earlier: Iterable[RatedSet]) -> float | Absence:
    """Returns how much harder sets of the latest session were rated than earlier ones like them.

    Each set is compared with the median rating of the earlier sets of the same exercise and side
    whose added load differs by at most 2.5 % and whose repetitions by at most 1 (a hold by 2 s); a
    set with fewer than two such is left out. The differences are averaged for each exercise, and
    then over the exercises.
    """
    if not latest:
        return Absence.NO_RATED_SET
    ratings: dict[Work, list[float]] = defaultdict(list)
    for one in earlier:
        ratings[one.work].append(one.rpe)
    usual = {work: _usual_rpe(work, ratings) for work in {one.work for one in latest}}
    differences: dict[UUID, list[float]] = defaultdict(list)
    for work, rpe in latest:
        if (usual_rpe := usual[work]) is not None:
            differences[work.exercise_id].append(rpe - usual_rpe)
    if not differences:
        return Absence.NO_COMPARABLE_SETS
    return fmean(fmean(of_exercise) for of_exercise in differences.values())


def _usual_rpe(work: Work, ratings: Mapping[Work, Sequence[float]]) -> float | None:
    """Returns the median rating of work like this; None of too little."""
    found = [rpe for other, rpes in ratings.items() if _are_alike(work, other) for rpe in rpes]
    return median(found) if len(found) >= MIN_ALIKE_SETS else None


def _are_alike(one: Work, other: Work) -> bool:
    return (
        one.exercise_id == other.exercise_id
        and one.side is other.side
        and abs(other.reps - one.reps) <= REPS_TOLERANCE
        and abs(other.load_kg - one.load_kg) <= abs(one.load_kg) * LOAD_TOLERANCE
    )


def rpe_drift_of(sessions: Iterable[RatedSession], day: date) -> float | Absence:
    """Returns how much harder the latest session was rated than those of the 28 days before it.
    The latest comes first, and must be of the last 7 days."""
    rest = iter(sessions)
    latest = next(rest, None)
    if latest is None or not is_within(RECENT_DAYS, latest.local_date, day):
        return Absence.NO_RECENT_SESSION
    earlier = (
        one
        for session in rest
        if is_within(BASELINE_DAYS + 1, session.local_date, latest.local_date)
        for one in session.sets
    )
    return rpe_drift(latest.sets, islice(earlier, MAX_EARLIER_SETS))


def is_within(days: int, earlier: date, day: date) -> bool:
    """Returns whether a date is one of so many days, the last of which is given."""
    return (day - earlier).days < days


def mean_completion(shares: Sequence[float]) -> float | Absence:
    """Returns how much of their plans the last three sessions got done, each counted as 1 at most.
    The latest comes first."""
    if not shares:
        return Absence.NO_PLANNED_SESSION
    return fmean(min(share, 1.0) for share in shares[:COMPLETION_SESSIONS])


def load_components(history: LoadHistory) -> list[Component]:
    """Returns the load ratio and the monotony of the last day of a history.

    Neither is known when the load of more than a fifth of the days it is made of is not: a session
    nobody rated is no rest.
    """
    status = history.status()
    if status is None:
        why = Absence.INSUFFICIENT_HISTORY
        return [absent(ComponentKind.LOAD_RATIO, why), absent(ComponentKind.MONOTONY, why)]
    week = history.days[-ACUTE_DAYS:]
    is_poor = sum(day.is_uncertain for day in week) / ACUTE_DAYS > MAX_UNCERTAIN_SHARE
    ratio, monotony = status.ratio(RatioMethod.ROLLING_COUPLED), status.monotony
    return [
        _of_load(ComponentKind.LOAD_RATIO, ratio, is_poor=is_poor or status.is_poor),
        _of_load(ComponentKind.MONOTONY, monotony, is_poor=is_poor),
    ]


def _of_load(kind: ComponentKind, found: Ratio | Monotony, *, is_poor: bool) -> Component:
    if is_poor and found.withheld is not load.Withheld.INSUFFICIENT_HISTORY:
        return absent(kind, Absence.UNCERTAIN_LOAD)
    if found.withheld is None:
        assert found.value is not None
        return measured(kind, found.value)
    if found.withheld is load.Withheld.ZERO_VARIANCE:
        # No number tells how even days are that are all alike; nothing is more even.
        _, worst = KNOTS[kind][-1]
        return Component(kind, None, worst)
    return absent(kind, Absence(found.withheld))
