"""What a session amounts to: volume, load and intensity from its sets.

Unknown stays unknown: a sum says of how many sets its part was known, and is None when it was of
none. Warm-up sets and sets that were not done count nowhere. Nothing is rounded. Units are
kilograms, seconds, minutes and arbitrary units (AU).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import fsum
from typing import NamedTuple

from training_service.domain.exercise import MovementKind
from training_service.domain.tempo import parse_tempo

FORMULA_VERSION = 3
"""Rises when a formula changes: what was stored by an older one is then reckoned anew."""
HOLD_SECONDS_PER_REP = 2.0
ECCENTRIC_SECONDS_PER_REP = 3.0
"""Seconds worth one repetition: Low, Overcoming Gravity, 2nd edition, 2016 (second-hand)."""
MAX_DIFFICULTY = 20
MAX_RPE = 10.0
MAX_REPS_FOR_1RM = 10
"""Beyond this many repetitions to failure, estimates of a 1RM are of little worth."""
HARD_SET_RPE = 7.0
"""Effort from which a set is called hard: three repetitions or fewer in reserve (our choice)."""
MOST_UNAIDED_SETS = 10
"""How many of the best sets of an exercise are kept."""
MOST_LOADED_REPS = 20
"""Up to how many repetitions the load of a set is told apart."""
SECONDS_PER_MINUTE = 60.0


class Side(StrEnum):
    """The side of the body that worked."""

    BOTH = "BOTH"
    LEFT = "LEFT"
    RIGHT = "RIGHT"


class IntensityBasis(StrEnum):
    """What an estimated intensity was made of, alike for all sets of a session."""

    DIFFICULTY_AND_EFFORT = "DIFFICULTY_AND_EFFORT"
    DIFFICULTY_ONLY = "DIFFICULTY_ONLY"


class LoadBasis(StrEnum):
    """What a session's load was made of."""

    SESSION_RPE = "SESSION_RPE"
    SET_RPE = "SET_RPE"
    IMPUTED = "IMPUTED"
    """Taken from other sessions of the workout, not from this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseTraits:
    """What the arithmetic needs of an exercise."""

    category: str
    difficulty: int
    movement_kind: MovementKind
    bodyweight_fraction: float
    is_negative: bool = False
    """Whether only the lowering is done, and counts by its seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The least that was prescribed for a set."""

    reps: int | None = None
    hold_seconds: float | None = None
    tempo: str = ""


class WorkingSet(NamedTuple):
    """One set that was to count: no warm-up. None is unknown, and 0 is none."""

    is_done: bool = True
    reps: float | None = None
    """Whole, unless the middle of a prescribed range is meant."""
    hold_seconds: float | None = None
    side: Side = Side.BOTH
    external_load_kg: float = 0.0
    """Beyond the body; negative is assistance."""
    rpe: float | None = None
    tempo: str = ""
    target: Target | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """An exercise and its working sets."""

    exercise: ExerciseTraits
    sets: Sequence[WorkingSet]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedSession:
    """What the arithmetic needs of a session."""

    performances: Sequence[Performance]
    duration_seconds: int | None = None
    session_rpe: float | None = None
    body_mass_kg: float | None = None


class Total(NamedTuple):
    """A sum over sets, and of how many of them the summand was known."""

    amount: float
    known: int
    of: int

    @property
    def value(self) -> float | None:
        """The sum; None when there were sets and nothing was known of any."""
        return self.amount if self.known or not self.of else None

    @property
    def coverage(self) -> float | None:
        """Share of the sets whose summand was known; None without sets."""
        return self.known / self.of if self.of else None


def total(summands: Sequence[float | None]) -> Total:
    """Returns the sum of what is known, exactly rounded, so that no order matters."""
    known = [summand for summand in summands if summand is not None]
    return Total(fsum(known), len(known), len(summands))


def combined(totals: Sequence[Total]) -> Total:
    """Returns the total of everything that the totals are of."""
    return Total(
        fsum([one.amount for one in totals]),
        sum([one.known for one in totals]),
        sum([one.of for one in totals]),
    )


class _Measured(NamedTuple):
    """A set that was done, and what it adds to each sum; None is unknown."""

    exercise: ExerciseTraits
    set: WorkingSet
    load_kg: float | None
    effective_reps: float | None
    dynamic_seconds: float | None
    volume_load_kg: float | None
    impulse_kg_seconds: float | None

    @property
    def is_hold(self) -> bool:
        return self.exercise.movement_kind is MovementKind.ISOMETRIC


def load_per_rep_kg(
    bodyweight_fraction: float, body_mass_kg: float | None, external_load_kg: float
) -> float | None:
    """Returns what a repetition moves: its share of the body and the external load, at least 0.

    None without a body mass, unless the body is not moved. Shares: Ebben 2011, Suprak 2011, Mier
    2014 and the segment model of de Leva 1996; see the catalogue.
    """
    if body_mass_kg is None and bodyweight_fraction:
        return None
    return max(bodyweight_fraction * (body_mass_kg or 0.0) + external_load_kg, 0.0)


def effective_reps(
    exercise: ExerciseTraits, reps: float | None, hold_seconds: float | None, tempo: str
) -> float | None:
    """Returns repetitions and holds in one currency: 1 repetition = 2 s of a hold = 3 s of a slow
    lowering (Low, Overcoming Gravity, second-hand).

    A negative counts by the seconds of its lowering and is unknown without a tempo; the lowering of
    any other repetition is not counted again.
    """
    if exercise.movement_kind is MovementKind.ISOMETRIC:
        return None if hold_seconds is None else hold_seconds / HOLD_SECONDS_PER_REP
    if reps is None or not exercise.is_negative:
        return reps
    parsed = parse_tempo(tempo)
    if parsed is None:
        return None
    return reps * parsed.eccentric_seconds / ECCENTRIC_SECONDS_PER_REP


def one_rep_max_kg(
    load_kg: float, reps: float, reps_in_reserve: float
) -> tuple[float, float] | None:
    """Returns the load that could be moved once, by Epley and by Brzycki.

    Epley: L (1 + n/30); Brzycki: 36 L / (37 − n); n counts the repetitions left in reserve too, and
    the load the body. None without a repetition and beyond 10 to failure.
    """
    to_failure = reps + reps_in_reserve
    if reps < 1 or to_failure > MAX_REPS_FOR_1RM:
        return None
    return load_kg * (1 + to_failure / 30), 36 * load_kg / (37 - to_failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """What sets add up to."""

    reps: Total
    left_reps: float
    right_reps: float
    hold_seconds: Total
    """Time under tension of isometric sets."""
    dynamic_seconds: Total
    """Time under tension of dynamic sets, from their tempo."""
    volume_load_kg: Total
    """Repetitions times load with the body's share; isometric sets move nothing."""
    external_volume_load_kg: Total
    """Repetitions times added load alone; assistance adds nothing."""
    impulse_kg_seconds: Total
    """Load times seconds of isometric sets."""
    effective_reps: Total
    hard_sets: Total
    """Sets of an effort from which they are called hard; the session's rating stands in."""
    planned_effective_reps: Total
    """What was prescribed at least, of the sets that had a target."""
    achieved_effective_reps: Total
    """What was done in those sets."""

    @property
    def completion(self) -> float | None:
        """What was done of what was planned, 1 is all; None when either is unknown or nothing was
        planned."""
        return _share_done(self.planned_effective_reps, self.achieved_effective_reps)


def _share_done(planned: Total, done: Total) -> float | None:
    if not planned.value or planned.coverage != 1 or done.coverage != 1:
        return None
    return done.amount / planned.amount


class Best(NamedTuple):
    """The best of each kind among the sets of one exercise; None where no set tells."""

    most_reps: float | None
    """Of the sets without assistance."""
    longest_hold_seconds: float | None
    """Of the sets without assistance."""
    heaviest_load_kg: float | None
    """The largest added load that was moved or held at all."""
    epley_1rm_kg: float | None
    brzycki_1rm_kg: float | None
    """Of the sets with an added load, known repetitions and known effort."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseMetrics:
    """What the sets of one exercise amount to."""

    set_count: int
    """Working sets that were done."""
    volume: Volume
    best: Best
    unaided_sets: Sequence[float]
    """Repetitions or seconds of the sets without assistance, the most first, ten at most. Of
    one-sided work the weaker side's: the third is what both sides did in three sets."""
    loads_kg_by_reps: Sequence[float]
    """The n-th is the largest added load of a set of n repetitions or more, in kilograms. Of
    one-sided work the weaker side's. As long as the most repetitions with a load, 20 at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMetrics:
    """What a session amounts to."""

    set_count: int
    exercises: Sequence[ExerciseMetrics]
    """In the order of the session."""
    volume: Volume
    skill_effective_reps: Total
    strength_effective_reps: Total
    """Of push, pull and legs."""
    core_effective_reps: Total
    intensity: float | None
    """0 to 100."""
    intensity_basis: IntensityBasis | None
    load_au: float | None
    load_basis: LoadBasis | None
    effective_reps_per_minute: float | None
    volume_load_kg_per_minute: float | None


SKILL = frozenset({"SKILL"})
STRENGTH = frozenset({"PUSH", "PULL", "LEGS"})
CORE = frozenset({"CORE"})


def session_metrics(session: LoggedSession) -> SessionMetrics:
    """Returns what a session, and each exercise of it, amounts to."""
    done_by_exercise = [_measured(p, session.body_mass_kg) for p in session.performances]
    done = [one for sets in done_by_exercise for one in sets]
    exercises = [
        ExerciseMetrics(
            set_count=len(sets),
            volume=_volume(performance, sets, session.session_rpe),
            best=_best(sets),
            unaided_sets=_unaided_sets(sets),
            loads_kg_by_reps=_loads_kg_by_reps(sets),
        )
        for performance, sets in zip(session.performances, done_by_exercise, strict=True)
    ]
    volume = _combined_volume([exercise.volume for exercise in exercises])
    intensity, basis = _intensity(done, session.session_rpe)
    load, load_basis = _session_load(session, done)
    return SessionMetrics(
        set_count=len(done),
        exercises=exercises,
        volume=volume,
        skill_effective_reps=_effective_reps_in(session, exercises, SKILL),
        strength_effective_reps=_effective_reps_in(session, exercises, STRENGTH),
        core_effective_reps=_effective_reps_in(session, exercises, CORE),
        intensity=intensity,
        intensity_basis=basis,
        load_au=load,
        load_basis=load_basis,
        effective_reps_per_minute=_per_minute(volume.effective_reps, session.duration_seconds),
        volume_load_kg_per_minute=_per_minute(volume.volume_load_kg, session.duration_seconds),
    )


def completion(session: LoggedSession) -> float | None:
    """Returns the completion of a session's volume, without reckoning all the rest."""
    planned = [_planned(performance) for performance in session.performances]
    return _share_done(combined([p for p, _ in planned]), combined([done for _, done in planned]))


def _measured(performance: Performance, body_mass_kg: float | None) -> list[_Measured]:
    """Returns the sets that were done, each looked at once."""
    exercise = performance.exercise
    return [_measure(exercise, one, body_mass_kg) for one in performance.sets if one.is_done]


def _measure(exercise: ExerciseTraits, one: WorkingSet, body_mass_kg: float | None) -> _Measured:
    load = load_per_rep_kg(exercise.bodyweight_fraction, body_mass_kg, one.external_load_kg)
    tempo = parse_tempo(one.tempo) if one.tempo else None
    return _Measured(
        exercise,
        one,
        load,
        effective_reps(exercise, one.reps, one.hold_seconds, one.tempo),
        None if tempo is None else _product(one.reps, tempo.seconds_per_rep),
        _product(one.reps, load),
        _product(one.hold_seconds, load),
    )


def _one_rep_max(one: _Measured) -> tuple[float, float] | None:
    """Returns both estimates of a set with an added load; None where something is unknown."""
    reps, rpe, load = one.set.reps, one.set.rpe, one.load_kg
    if one.is_hold or one.set.external_load_kg <= 0:
        return None
    if reps is None or rpe is None or load is None:
        return None
    return one_rep_max_kg(load, reps, MAX_RPE - rpe)


def _best(done: Sequence[_Measured]) -> Best:
    unaided = [one for one in done if one.set.external_load_kg >= 0]
    reps = [one.set.reps for one in unaided if not one.is_hold and one.set.reps]
    holds = [one.set.hold_seconds for one in unaided if one.is_hold and one.set.hold_seconds]
    loads = [
        one.set.external_load_kg
        for one in unaided
        if one.set.external_load_kg and (one.set.hold_seconds if one.is_hold else one.set.reps)
    ]
    estimates = [estimate for one in done if (estimate := _one_rep_max(one))]
    return Best(
        max(reps, default=None),
        max(holds, default=None),
        max(loads, default=None),
        max((epley for epley, _ in estimates), default=None),
        max((brzycki for _, brzycki in estimates), default=None),
    )


def _unaided_sets(done: Sequence[_Measured]) -> list[float]:
    sides = [_amounts_of(done, side) for side in (Side.LEFT, Side.RIGHT)]
    weaker = [min(both) for both in zip(*sides, strict=False)]
    return weaker[:MOST_UNAIDED_SETS]


def _amounts_of(done: Sequence[_Measured], side: Side) -> list[float]:
    """Returns what a side did in each set without assistance, the most first."""
    amounts = [
        one.set.hold_seconds if one.is_hold else one.set.reps
        for one in done
        if one.set.external_load_kg >= 0 and one.set.side in (side, Side.BOTH)
    ]
    return sorted((float(amount) for amount in amounts if amount), reverse=True)


_NONE = Total(0.0, 0, 0)


def _loads_kg_by_reps(done: Sequence[_Measured]) -> list[float]:
    loaded = [one for one in done if one.set.external_load_kg > 0 and one.set.reps]
    if not loaded:
        return []
    sides = [_loads_kg_of(loaded, side) for side in (Side.LEFT, Side.RIGHT)]
    return [min(both) for both in zip(*sides, strict=False)]


def _loads_kg_of(loaded: Sequence[_Measured], side: Side) -> list[float]:
    """Returns the largest load that a side moved for 1, 2, 3 repetitions, and so on."""
    sets = [
        (one.set.reps or 0, one.set.external_load_kg)
        for one in loaded
        if one.set.side in (side, Side.BOTH)
    ]
    most = min(int(max((reps for reps, _ in sets), default=0)), MOST_LOADED_REPS)
    return [max(load for reps, load in sets if reps >= n) for n in range(1, most + 1)]


def _volume(
    performance: Performance, done: Sequence[_Measured], session_rpe: float | None
) -> Volume:
    is_hold = performance.exercise.movement_kind is MovementKind.ISOMETRIC
    planned, achieved = _planned(performance)
    return Volume(
        reps=_NONE if is_hold else total([one.set.reps for one in done]),
        left_reps=0.0 if is_hold else _reps_of(done, Side.LEFT),
        right_reps=0.0 if is_hold else _reps_of(done, Side.RIGHT),
        hold_seconds=total([one.set.hold_seconds for one in done]) if is_hold else _NONE,
        dynamic_seconds=_NONE if is_hold else total([one.dynamic_seconds for one in done]),
        volume_load_kg=_NONE if is_hold else total([one.volume_load_kg for one in done]),
        external_volume_load_kg=_NONE if is_hold else _external_volume_load_kg(done),
        impulse_kg_seconds=total([one.impulse_kg_seconds for one in done]) if is_hold else _NONE,
        effective_reps=total([one.effective_reps for one in done]),
        hard_sets=total([_is_hard(one, session_rpe) for one in done]),
        planned_effective_reps=planned,
        achieved_effective_reps=achieved,
    )


def _planned(performance: Performance) -> tuple[Total, Total]:
    """Returns the effective repetitions prescribed for sets, and those done in them."""
    exercise = performance.exercise
    planned = [(one, one.target) for one in performance.sets if one.target is not None]
    if not planned:
        return _NONE, _NONE
    return (
        total([effective_reps(exercise, t.reps, t.hold_seconds, t.tempo) for _, t in planned]),
        total(
            [
                effective_reps(exercise, s.reps, s.hold_seconds, s.tempo) if s.is_done else 0.0
                for s, _ in planned
            ]
        ),
    )


def _external_volume_load_kg(done: Sequence[_Measured]) -> Total:
    return total([_product(one.set.reps, max(one.set.external_load_kg, 0.0)) for one in done])


def _is_hard(one: _Measured, session_rpe: float | None) -> bool | None:
    """Returns whether a set was hard; None without a rating of it and of the session."""
    rpe = session_rpe if one.set.rpe is None else one.set.rpe
    return None if rpe is None else rpe >= HARD_SET_RPE


def _reps_of(dynamic: Sequence[_Measured], side: Side) -> float:
    return fsum([one.set.reps or 0 for one in dynamic if one.set.side is side])


def _product(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one * other


def _combined_volume(volumes: Sequence[Volume]) -> Volume:
    return Volume(
        reps=combined([one.reps for one in volumes]),
        left_reps=fsum([one.left_reps for one in volumes]),
        right_reps=fsum([one.right_reps for one in volumes]),
        hold_seconds=combined([one.hold_seconds for one in volumes]),
        dynamic_seconds=combined([one.dynamic_seconds for one in volumes]),
        volume_load_kg=combined([one.volume_load_kg for one in volumes]),
        external_volume_load_kg=combined([one.external_volume_load_kg for one in volumes]),
        impulse_kg_seconds=combined([one.impulse_kg_seconds for one in volumes]),
        effective_reps=combined([one.effective_reps for one in volumes]),
        hard_sets=combined([one.hard_sets for one in volumes]),
        planned_effective_reps=combined([one.planned_effective_reps for one in volumes]),
        achieved_effective_reps=combined([one.achieved_effective_reps for one in volumes]),
    )


def _effective_reps_in(
    session: LoggedSession, exercises: Sequence[ExerciseMetrics], categories: frozenset[str]
) -> Total:
    both = zip(session.performances, exercises, strict=True)
    return combined(
        [of.volume.effective_reps for p, of in both if p.exercise.category in categories]
    )


def _intensity(
    done: Sequence[_Measured], session_rpe: float | None
) -> tuple[float | None, IntensityBasis | None]:
    """Returns the mean of the sets' intensities, weighted by effective repetitions (our choice).

    A set's is 100 × (D/20 + RPE/10) / 2, with the set's RPE or else the session's. When a set has
    neither, that of all sets is 100 × D/20: bases are never mixed.
    """
    weighted = [(one, weight) for one in done if (weight := one.effective_reps)]
    if not weighted:
        return None, None
    efforts = [session_rpe if one.set.rpe is None else one.set.rpe for one, _ in weighted]
    shares = [one.exercise.difficulty / MAX_DIFFICULTY for one, _ in weighted]
    basis = IntensityBasis.DIFFICULTY_ONLY
    if None not in efforts:
        basis = IntensityBasis.DIFFICULTY_AND_EFFORT
        shares = [
            (share + (rpe or 0.0) / MAX_RPE) / 2 for share, rpe in zip(shares, efforts, strict=True)
        ]
    mean = _weighted_mean(shares, [weight for _, weight in weighted])
    return 100 * mean, basis


def _session_load(
    session: LoggedSession, done: Sequence[_Measured]
) -> tuple[float | None, LoadBasis | None]:
    """Returns RPE × minutes in AU: Foster 2001, J Strength Cond Res 15:109.

    By the session's RPE, or else by the mean RPE of the sets that have one, weighted by effective
    repetitions. None without a duration or any RPE: unknown, and not 0.
    """
    if session.duration_seconds is None:
        return None, None
    minutes = session.duration_seconds / SECONDS_PER_MINUTE
    if session.session_rpe is not None:
        return session.session_rpe * minutes, LoadBasis.SESSION_RPE
    rated = [
        (one.set.rpe, weight)
        for one in done
        if one.set.rpe is not None and (weight := one.effective_reps)
    ]
    if not rated:
        return None, None
    mean = _weighted_mean([rpe for rpe, _ in rated], [weight for _, weight in rated])
    return mean * minutes, LoadBasis.SET_RPE


def _weighted_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return fsum(v * w for v, w in zip(values, weights, strict=True)) / fsum(weights)


def _per_minute(amount: Total, duration_seconds: int | None) -> float | None:
    """Returns how much it was in a minute; None without a duration and for one of 0."""
    if not duration_seconds or amount.value is None:
        return None
    return amount.value / (duration_seconds / SECONDS_PER_MINUTE)
