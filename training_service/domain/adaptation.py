"""A session fitted to the day: to the time, the equipment and the athlete's state.

All rules are our choice. They hold or take away, and never go beyond the plan. Their order is
fixed: first what can't or should not be done at all, then what the athlete's state asks for, then
what the load of the last weeks has room for, and last what time allows, which the others may have
saved.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil
from statistics import fmean
from uuid import UUID

from training_service.domain.distribution import push_share_of
from training_service.domain.metrics import SECONDS_PER_MINUTE, ExerciseTraits
from training_service.domain.prescription import DayFactors, prescribed_load_kg, prescribed_sets
from training_service.domain.program import PlannedExercise, estimated_seconds
from training_service.domain.readiness import (
    REDUCE_SCORE,
    TRAIN_AS_PLANNED_SCORE,
    Band,
    band_of,
)

EASY = DayFactors(volume=0.6, intensity=0.9)
"""What is left of sets and loads on a day for something easy."""
LEAST_SHARE = 0.5
"""Of the planned sets, which only the time or giving an exercise up takes away."""
NO_EQUIPMENT = "NONE"


class Joint(StrEnum):
    """A joint that can be spared."""

    SHOULDER = "SHOULDER"
    ELBOW = "ELBOW"
    HIP = "HIP"
    KNEE = "KNEE"
    ANKLE = "ANKLE"


MUSCLES_OF_JOINT = {
    Joint.SHOULDER: ("FRONT_DELTS", "REAR_DELTS", "ROTATOR_CUFF", "CHEST", "LATS", "SERRATUS"),
    Joint.ELBOW: ("BICEPS", "TRICEPS"),
    Joint.HIP: ("GLUTES", "HIP_FLEXORS", "ADDUCTORS", "ABDUCTORS"),
    Joint.KNEE: ("QUADS", "HAMSTRINGS"),
    Joint.ANKLE: ("CALVES", "TIBIALIS"),
}
"""The muscles that move it."""


class Action(StrEnum):
    """What was done to an exercise."""

    KEPT = "KEPT"
    SETS_REDUCED = "SETS_REDUCED"
    LOAD_REDUCED = "LOAD_REDUCED"
    SWAPPED = "SWAPPED"
    DROPPED = "DROPPED"


class ReasonKind(StrEnum):
    """Why something was done, in the order in which it is looked at."""

    SPARED_MUSCLE = "SPARED_MUSCLE"
    MISSING_EQUIPMENT = "MISSING_EQUIPMENT"
    LAST_LOAD = "LAST_LOAD"
    READINESS = "READINESS"
    LOAD_CAP = "LOAD_CAP"
    TIME = "TIME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something was done to an exercise."""

    kind: ReasonKind
    action: Action
    value: float | None = None
    """The measure, before what was done."""
    limit: float | None = None
    """What it is held against."""
    names: tuple[str, ...] = ()
    """Of muscles or equipment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An exercise of the catalogue, as far as it matters for standing in another's place."""

    id: UUID
    slug: str
    traits: ExerciseTraits
    family: str
    easier_ids: tuple[UUID, ...]
    """Those that lead to it in the progression graph."""
    unilateral: bool
    is_active: bool
    primary_muscles: tuple[str, ...]
    secondary_muscles: tuple[str, ...]
    equipment: tuple[str, ...]

    @property
    def muscles(self) -> set[str]:
        """All muscles that it works."""
        return {*self.primary_muscles, *self.secondary_muscles}

    @property
    def side(self) -> str:
        """Whether it pushes or pulls, or neither more than the other."""
        share = push_share_of(self.primary_muscles)
        if share is None or share == 0.5:
            return "OTHER"
        return "PUSH" if share > 0.5 else "PULL"

    def missing(self, at_hand: frozenset[str] | None) -> tuple[str, ...]:
        """Returns what it needs and is not at hand; None is that all is."""
        if at_hand is None:
            return ()
        return tuple(one for one in self.equipment if one not in at_hand | {NO_EQUIPMENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """An exercise of a session as it is planned."""

    option: Option
    planned: PlannedExercise
    loads_kg: tuple[float | None, ...]
    """Added load of each set; negative is assistance, None is not prescribed."""
    last_load_kg: float | None = None
    """The largest added load of a set of the last session with it; None without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjusted:
    """An exercise as it would be done."""

    item: Item
    option: Option
    loads_kg: tuple[float | None, ...]
    """Of each set that is left; empty when it is dropped."""
    reasons: tuple[Reason, ...] = ()

    @property
    def is_warm_up(self) -> bool:
        """Whether it prepares for the others."""
        return self.item.planned.is_warm_up

    @property
    def set_count(self) -> int:
        """Sets that are left."""
        return len(self.loads_kg)

    @property
    def planned_sets(self) -> int:
        """Sets of the plan."""
        return len(self.item.loads_kg)

    @property
    def least_sets(self) -> int:
        """Sets that are left at least, unless the exercise is given up or time is short."""
        return ceil(self.planned_sets * LEAST_SHARE)

    @property
    def actions(self) -> list[Action]:
        """What was done to it: KEPT or DROPPED alone, or the others, each once."""
        if not self.loads_kg:
            return [Action.DROPPED]
        done = {reason.action for reason in self.reasons}
        return [action for action in Action if action in done] or [Action.KEPT]

    @property
    def planned(self) -> PlannedExercise:
        """What is left of the plan."""
        known = [load for load in self.loads_kg if load is not None]
        return replace(
            self.item.planned,
            exercise=self.option.traits,
            primary_muscles=self.option.primary_muscles,
            secondary_muscles=self.option.secondary_muscles,
            set_count=self.set_count,
            load_kg=fmean(known) if known else 0.0,
        )

    def changed(
        self,
        reason: Reason,
        *,
        loads_kg: tuple[float | None, ...],
        option: Option | None = None,
    ) -> "Adjusted":
        """Returns it with something taken away, for a reason."""
        return replace(
            self,
            option=option or self.option,
            loads_kg=loads_kg,
            reasons=(*self.reasons, reason),
        )

    def with_sets(self, set_count: int, reason: Reason) -> "Adjusted":
        """Returns it with fewer sets, the first of them, for a reason; as it is with as many."""
        if set_count >= self.set_count:
            return self
        return self.changed(reason, loads_kg=self.loads_kg[:set_count])


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a session is fitted to. None is no limit, or not known."""

    minutes_available: float | None = None
    at_hand: frozenset[str] | None = None
    spared_muscles: frozenset[str] = frozenset()
    readiness_score: float | None = None
    load_room_au: float | None = None
    """Load that there is room for on the day."""
    expected_load_au: float | None = None
    """Load of the session as it is planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adaptation:
    """A session as it would be done."""

    exercises: Sequence[Adjusted]
    minutes_before: float
    minutes_after: float
    load_before_au: float | None
    load_after_au: float | None
    is_rest_suggested: bool
    """Whether even what is left has more load than there is room for."""


def adapt(items: Sequence[Item], limits: Limits, options: Iterable[Option]) -> Adaptation:
    """Returns a session fitted to limits. `options` are what exercises may be swapped for."""
    plan = _Plan(items, limits.expected_load_au)
    exercises = plan.exercises
    exercises = [_spare(one, limits.spared_muscles) for one in exercises]
    exercises = _equip(exercises, limits, options)
    exercises = [_hold(one, limits.readiness_score) for one in exercises]
    exercises = [_ease(one, limits.readiness_score) for one in exercises]
    exercises = _fit_load(exercises, plan, limits.load_room_au)
    exercises = _fit_time(exercises, limits.minutes_available)
    load = plan.load_au(exercises)
    room = limits.load_room_au
    return Adaptation(
        exercises=exercises,
        minutes_before=plan.minutes,
        minutes_after=minutes(exercises),
        load_before_au=limits.expected_load_au,
        load_after_au=load,
        is_rest_suggested=room is not None and load is not None and load > max(room, 0.0),
    )


def minutes(exercises: Iterable[Adjusted]) -> float:
    """Returns how long exercises take, without those that are dropped."""
    return (
        estimated_seconds([one.planned for one in exercises if one.loads_kg]) / SECONDS_PER_MINUTE
    )


class _Plan:
    """The session as it is planned, which what is left is measured by."""

    def __init__(self, items: Sequence[Item], load_au: float | None) -> None:
        self.exercises = [
            Adjusted(item=item, option=item.option, loads_kg=item.loads_kg) for item in items
        ]
        self.minutes = minutes(self.exercises)
        self._load_au = load_au

    def load_au(self, exercises: Sequence[Adjusted]) -> float | None:
        """Returns the load of what is left. Load is effort times minutes: the effort is taken to be
        that of the plan."""
        if self._load_au is None or not self.minutes:
            return self._load_au
        return self._load_au * minutes(exercises) / self.minutes


def _spare(one: Adjusted, muscles: frozenset[str]) -> Adjusted:
    """Drops what works a muscle to spare above all, and halves what works it besides."""
    primary = tuple(name for name in one.option.primary_muscles if name in muscles)
    if primary:
        return one.changed(_spared(Action.DROPPED, primary), loads_kg=())
    secondary = tuple(name for name in one.option.secondary_muscles if name in muscles)
    if not secondary or one.is_warm_up:
        return one
    return one.with_sets(one.least_sets, _spared(Action.SETS_REDUCED, secondary))


def _spared(action: Action, muscles: tuple[str, ...]) -> Reason:
    return Reason(kind=ReasonKind.SPARED_MUSCLE, action=action, names=muscles)


def _equip(
    exercises: Sequence[Adjusted], limits: Limits, options: Iterable[Option]
) -> list[Adjusted]:
    """Swaps exercises for which something is missing, or drops those that nothing can stand for."""
    pool = [
        one
        for one in options
        if one.is_active
        and not one.missing(limits.at_hand)
        and not one.muscles & limits.spared_muscles
    ]
    used = {one.option.id for one in exercises}
    found = []
    for one in exercises:
        missing = one.option.missing(limits.at_hand)
        if not one.loads_kg or not missing:
            found.append(one)
            continue
        other = _substitute(one, [option for option in pool if option.id not in used])
        if other is None:
            found.append(one.changed(_missing(Action.DROPPED, missing), loads_kg=()))
            continue
        used.add(other.id)
        # A load is of its exercise: what another would take is not known.
        unloaded = (None,) * one.set_count
        found.append(
            one.changed(_missing(Action.SWAPPED, missing), loads_kg=unloaded, option=other)
        )
    return found


def _missing(action: Action, equipment: tuple[str, ...]) -> Reason:
    return Reason(kind=ReasonKind.MISSING_EQUIPMENT, action=action, names=equipment)


def _substitute(one: Adjusted, pool: Iterable[Option]) -> Option | None:
    """Returns what can stand for an exercise: of its family, or else of its category and direction
    with a primary muscle in common; no harder. Of those one that leads to it in the progression
    graph, or else of its family, or else the most alike.

    Nothing can for one that is assisted: how much assistance another needs is not known.
    """
    if any(load is not None and load < 0 for load in one.loads_kg):
        return None
    primary = set(one.option.primary_muscles)

    def rank(option: Option) -> tuple[bool, bool, int, int, str]:
        is_no_step = option.id not in one.option.easier_ids
        in_common = len(primary & set(option.primary_muscles))
        is_other_family = not _is_of_family(option, one.option)
        return is_no_step, is_other_family, -in_common, -option.traits.difficulty, option.slug

    return min(
        (option for option in pool if _can_stand_for(option, one.option)), key=rank, default=None
    )


def _is_of_family(option: Option, other: Option) -> bool:
    return bool(option.family) and option.family == other.family


def _can_stand_for(option: Option, other: Option) -> bool:
    one, two = option.traits, other.traits
    are_counted_alike = (one.movement_kind, one.is_negative, option.unilateral) == (
        two.movement_kind,
        two.is_negative,
        other.unilateral,
    )
    if not are_counted_alike or one.difficulty > two.difficulty:
        return False
    return _is_of_family(option, other) or (
        one.category == two.category
        and option.side == other.side
        and bool(set(option.primary_muscles) & set(other.primary_muscles))
    )


def _hold(one: Adjusted, score: float | None) -> Adjusted:
    """Keeps loads at those of the last time on a day that is not one to raise them."""
    last = one.item.last_load_kg
    if score is None or band_of(score) is Band.TRAIN_AS_PLANNED:
        return one
    if last is None or one.is_warm_up or one.option.id != one.item.option.id:
        return one
    highest = max((load for load in one.loads_kg if load is not None), default=last)
    if highest <= last:
        return one
    reason = Reason(
        kind=ReasonKind.LAST_LOAD, action=Action.LOAD_REDUCED, value=highest, limit=last
    )
    return one.changed(
        reason, loads_kg=tuple(None if load is None else min(load, last) for load in one.loads_kg)
    )


def _ease(one: Adjusted, score: float | None) -> Adjusted:
    """Takes sets, and below 50 load, off an exercise by the band of readiness."""
    if score is None or one.is_warm_up or not one.loads_kg:
        return one
    band = band_of(score)
    if band is Band.TRAIN_AS_PLANNED:
        return one
    is_easy = band is Band.EASY_OR_REST
    limit = REDUCE_SCORE if is_easy else TRAIN_AS_PLANNED_SCORE
    fewer = prescribed_sets(one.set_count, EASY) if is_easy else one.set_count - 1
    one = one.with_sets(max(fewer, one.least_sets), _unready(Action.SETS_REDUCED, score, limit))
    if not is_easy:
        return one
    lighter = tuple(None if kg is None else prescribed_load_kg(kg, EASY) for kg in one.loads_kg)
    if lighter == one.loads_kg:
        return one
    return one.changed(_unready(Action.LOAD_REDUCED, score, limit), loads_kg=lighter)


def _unready(action: Action, score: float, limit: float) -> Reason:
    return Reason(kind=ReasonKind.READINESS, action=action, value=score, limit=limit)


def _fit_load(exercises: Sequence[Adjusted], plan: _Plan, room_au: float | None) -> list[Adjusted]:
    """Takes sets away until the load fits, or half of the plan is left."""
    load = plan.load_au(exercises)
    if room_au is None or load is None:
        return list(exercises)

    def fits(left: Sequence[Adjusted]) -> bool:
        return (plan.load_au(left) or 0.0) <= room_au

    if fits(exercises):
        return list(exercises)
    cuts = _Cuts(exercises)
    cuts.take_sets([one.least_sets for one in exercises])
    reason = Reason(kind=ReasonKind.LOAD_CAP, action=Action.SETS_REDUCED, value=load, limit=room_au)
    return _fitted(exercises, cuts.states, fits, reason)


def _fit_time(exercises: Sequence[Adjusted], available: float | None) -> list[Adjusted]:
    """Takes sets away until half of the plan is left, then whole exercises but for one, its sets,
    and then warm-ups: until the time is enough."""
    if available is None:
        return list(exercises)

    def fits(left: Sequence[Adjusted]) -> bool:
        return minutes(left) <= available

    if fits(exercises):
        return list(exercises)
    cuts = _Cuts(exercises)
    cuts.take_sets([one.least_sets for one in exercises])
    cuts.drop_exercises()
    cuts.take_sets([0] * len(exercises))
    cuts.drop_warm_ups()
    needed = minutes(exercises)
    reason = Reason(kind=ReasonKind.TIME, action=Action.SETS_REDUCED, value=needed, limit=available)
    return _fitted(exercises, cuts.states, fits, reason)


_Counts = tuple[int, ...]
"""Sets of each exercise."""


def _fitted(
    exercises: Sequence[Adjusted],
    states: Sequence[_Counts],
    fits: Callable[[Sequence[Adjusted]], bool],
    reason: Reason,
) -> list[Adjusted]:
    """Returns the first of ever shorter states that fits, or the last, with a reason for what is
    shorter."""
    index = bisect_left(states, True, key=lambda counts: fits(_shortened(exercises, counts)))
    found = []
    for one, count in zip(exercises, states[min(index, len(states) - 1)], strict=True):
        why = reason if count else replace(reason, action=Action.DROPPED)
        found.append(one.with_sets(count, why))
    return found


def _shortened(exercises: Sequence[Adjusted], counts: _Counts) -> list[Adjusted]:
    pairs = zip(exercises, counts, strict=True)
    return [replace(one, loads_kg=one.loads_kg[:count]) for one, count in pairs]


class _Cuts:
    """Takes sets away one after another, and keeps what is left after each time.

    Push, pull and what is neither stay in balance: a set goes from the direction that has most left
    of its plan.
    """

    def __init__(self, exercises: Sequence[Adjusted]) -> None:
        self._exercises = exercises
        self._sides = [one.option.side for one in exercises]
        self._left = [one.set_count for one in exercises]
        self._planned_of: Counter[str] = Counter()
        self._left_of: Counter[str] = Counter()
        for one, side in zip(exercises, self._sides, strict=True):
            if not one.is_warm_up:
                self._planned_of[side] += one.planned_sets
                self._left_of[side] += one.set_count
        self.states: list[_Counts] = [tuple(self._left)]
        """What is left at first, and after each cut."""

    def take_sets(self, least: Sequence[int]) -> None:
        """Takes sets of work away until as many are left of each exercise: always of the one that
        has most left of its plan, and of equal ones the last."""
        while indices := [n for n in self._working() if self._left[n] > least[n]]:
            index = max(indices, key=lambda n: (self._share_of_side(n), self._share(n), n))
            self._cut(index, self._left[index] - 1)

    def drop_exercises(self) -> None:
        """Takes exercises away, the last first, until one is left that is no warm-up."""
        while len(indices := self._working()) > 1:
            self._cut(max(indices, key=lambda n: (self._share_of_side(n), n)), 0)

    def drop_warm_ups(self) -> None:
        """Takes warm-ups away, the last first."""
        for index, one in reversed(list(enumerate(self._exercises))):
            if one.is_warm_up and self._left[index]:
                self._cut(index, 0)

    def _working(self) -> list[int]:
        pairs = zip(self._exercises, self._left, strict=True)
        return [n for n, (one, left) in enumerate(pairs) if left and not one.is_warm_up]

    def _share(self, index: int) -> float:
        return self._left[index] / self._exercises[index].planned_sets

    def _share_of_side(self, index: int) -> float:
        side = self._sides[index]
        return self._left_of[side] / self._planned_of[side]

    def _cut(self, index: int, set_count: int) -> None:
        if not self._exercises[index].is_warm_up:
            self._left_of[self._sides[index]] -= self._left[index] - set_count
        self._left[index] = set_count
        self.states.append(tuple(self._left))
