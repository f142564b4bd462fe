"""Rules of progression: what each prescribes, when it is met, and what follows.

Numbers are conventions of training practice; where a source is known it is named, and all else is
our choice. Loads are in kilograms beyond the body, negative ones are assistance. Amounts are
repetitions of a dynamic exercise and seconds of a hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import ceil, floor, trunc
from statistics import fmean
from typing import ClassVar, NamedTuple
from uuid import UUID

from training_service.domain.exercise import MovementKind
from training_service.domain.metrics import MAX_RPE
from training_service.domain.prescription import DayFactors, prescribed_sets
from training_service.domain.progression_track import (
    Cause,
    Change,
    EventKind,
    Goal,
    Numbers,
    Outcome,
    Rung,
    State,
    Track,
)

SUCCESSES_WITH_LOAD = 1
SUCCESSES_WITHOUT_LOAD = 2
"""Successes in a row before something is raised."""
FAIL_LIMIT = 3
"""Failures in a row before something is lowered: a convention."""
MAX_RPE_OF_SUCCESS = 9.0
RESET_SHARE = 0.1
"""Part of the load that is taken off after too many failures: a convention."""
RESET_LIMIT = 2
"""Resets without success before the exercise itself is made easier."""
INCREMENT_PERCENT = 5.0
"""ACSM 2009 advises 2 to 10 % when one or two repetitions more than the goal can be done."""
RIR_SHARE = 0.03
MAX_RIR_DROP = -0.10
MAX_RIR_RAISE = 0.05
"""Of the load, for each repetition in reserve off the target: a rule of thumb."""
WEEK_FACTORS = (1.00, 1.05, 1.10, 0.60)
"""Three weeks up and one down (pattern: Bompa & Haff, Periodization, 2009; numbers: our choice)."""
MAX_EXTRA_SETS = 2
"""Sets added when there is neither a harder exercise nor a load to raise."""
LOAD_TOLERANCE = 0.5
"""Of a plate step: loads nearer than this are the same."""
DAYS_PER_WEEK = 7


class DoneSet(NamedTuple):
    """A working set as it was done. None is unknown."""

    amount: float | None
    load_kg: float = 0.0
    rpe: float | None = None


class SetTarget(NamedTuple):
    """A working set as it is prescribed."""

    low: float
    high: float | None
    """None is as many as possible."""
    load_kg: float


Targets = Sequence[SetTarget]
Done = Sequence[DoneSet]


class Loading(NamedTuple):
    """How the load of an exercise can be raised."""

    start_kg: float = 0.0
    plate_step_kg: float = 2.5
    """The smallest step that the plates allow."""
    increment_percent: float = INCREMENT_PERCENT
    max_kg: float | None = None
    is_last_resort: bool = False
    """Whether harder exercises are preferred to load."""

    def floored(self, load_kg: float) -> float:
        """Returns the next load down that the plates allow."""
        return round(floor(load_kg / self.plate_step_kg + 1e-9) * self.plate_step_kg, 6)

    def raised(self, load_kg: float, times: int = 1) -> float:
        """Returns the load after an increment: rounded down to the plates, one step at least, and
        never beyond the most that is allowed."""
        step = self.floored(abs(load_kg) * self.increment_percent / 100)
        raised = load_kg + max(step, self.plate_step_kg) * times
        return raised if self.max_kg is None else max(min(raised, self.max_kg), load_kg)

    def lowered(self, load_kg: float, share: float = RESET_SHARE) -> float:
        """Returns the load without a share of it: one step lower at least. Weight never turns into
        assistance."""
        lowered = self.floored(load_kg - abs(load_kg) * share)
        lowered = min(lowered, round(load_kg - self.plate_step_kg, 6))
        return max(lowered, 0.0) if load_kg > 0 else lowered

    def is_at(self, load_kg: float, wanted_kg: float) -> bool:
        """Returns whether two loads are the same."""
        return abs(load_kg - wanted_kg) < self.plate_step_kg * LOAD_TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What differs between kinds of rules; this is double progression, which most others vary.

    Straight sets within a range; all of them at its upper end, often enough in a row, raise
    something.
    """

    follows_effort: ClassVar[bool] = False
    """Whether every session may change something, and not a success alone."""

    def targets(self, rule: "Rule", numbers: Numbers, day: date) -> Targets:  # noqa: ARG002
        """Returns the sets of a day."""
        one = SetTarget(numbers.low, numbers.high, numbers.load_kg)
        return [one] * numbers.set_count

    def outcome(self, rule: "Rule", targets: Targets, sets: Done) -> tuple[Outcome, Cause]:
        """Returns how sets went that were done with the load prescribed."""
        judged = sets[: len(targets)]
        if len(judged) < len(targets):
            return Outcome.FAIL, Cause.SET_MISSING
        pairs = list(zip(judged, targets, strict=True))
        if any(one.amount is not None and one.amount < target.low for one, target in pairs):
            return Outcome.FAIL, Cause.BELOW_RANGE
        if any(one.amount is None for one in judged):
            return Outcome.HOLD, Cause.AMOUNT_UNKNOWN
        if any((one.amount or 0) < (target.high or target.low) for one, target in pairs):
            return Outcome.HOLD, Cause.WITHIN_RANGE
        # A set of as many as possible is as hard as possible.
        if any((one.rpe or 0) > rule.max_rpe for one, target in pairs if target.high is not None):
            return Outcome.HOLD, Cause.TOO_HARD
        return Outcome.SUCCESS, Cause.ALL_SETS_MET

    def progress(self, at: "Situation") -> Change | None:
        """Returns what is to change after a success that was counted."""
        return raised(at) if at.is_due else None

    def is_light(self, rule: "Rule", day: date) -> bool:  # noqa: ARG002
        """Returns whether a day is lightened by the rule itself: then it is not judged."""
        return False

    def cycle(self, rule: "Rule", day: date) -> int:  # noqa: ARG002
        """Returns the number of a day's cycle, from 0."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubleProgression(Policy):
    """First repetitions, up to the end of a range, then load or the next exercise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearProgression(Policy):
    """A fixed number of repetitions; each success raises the load."""

    def progress(self, at: "Situation") -> Change | None:
        """See Policy."""
        if at.way_back:
            return raised(at) if at.is_due else None
        return load_up(at.rule, at.state.numbers, Cause.SUCCESSES)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepSumProgression(Policy):
    """A total over the sets, spread over them as it comes."""

    def targets(self, rule: "Rule", numbers: Numbers, day: date) -> Targets:  # noqa: ARG002
        """See Policy. The sets' shares of the range, for orientation."""
        lows = _spread(numbers.low, numbers.set_count)
        highs = _spread(numbers.high, numbers.set_count)
        return [
            SetTarget(low, high, numbers.load_kg) for low, high in zip(lows, highs, strict=True)
        ]

    def outcome(self, rule: "Rule", targets: Targets, sets: Done) -> tuple[Outcome, Cause]:
        """See Policy."""
        judged = sets[: len(targets)]
        total = sum(one.amount or 0 for one in judged)
        if total >= sum(target.high or 0 for target in targets):
            if any((one.rpe or 0) > rule.max_rpe for one in judged):
                return Outcome.HOLD, Cause.TOO_HARD
            return Outcome.SUCCESS, Cause.ALL_SETS_MET
        if any(one.amount is None for one in judged):
            return Outcome.HOLD, Cause.AMOUNT_UNKNOWN
        if total < sum(target.low for target in targets):
            return Outcome.FAIL, Cause.BELOW_RANGE
        return Outcome.HOLD, Cause.WITHIN_RANGE


@dataclass(frozen=True, slots=True, kw_only=True)
class RirAutoregulation(Policy):
    """The load follows the repetitions in reserve: 3 % for each that is off the target, at most 5 %
    up and 10 % down. Without a step that small, one repetition."""

    follows_effort: ClassVar[bool] = True

    target_rir: float

    def progress(self, at: "Situation") -> Change | None:
        """See Policy. Looks at every session whose effort is known, and not at successes alone."""
        rule, numbers = at.rule, at.state.numbers
        rpes = [one.rpe for one in at.sets[: numbers.set_count] if one.rpe is not None]
        if not rpes:
            return None
        off = MAX_RPE - fmean(rpes) - self.target_rir
        share = min(max(RIR_SHARE * off, MAX_RIR_DROP), MAX_RIR_RAISE)
        loading = rule.loading
        if loading and numbers.load_kg:
            # Towards the load as it is: never further than the share allows.
            steps = trunc(abs(numbers.load_kg) * share / loading.plate_step_kg + 1e-9 * share)
            load_kg = round(numbers.load_kg + steps * loading.plate_step_kg, 6)
            if loading.max_kg is not None:
                load_kg = min(load_kg, max(loading.max_kg, numbers.load_kg))
            if load_kg != numbers.load_kg:
                kind = EventKind.LOAD_UP if share > 0 else EventKind.LOAD_DOWN
                return Change(kind, replace(numbers, load_kg=load_kg), Cause.EFFORT)
        rep = _one_more_or_less(at, off)
        return raised(at) if rep is None and off >= 1 and at.is_due else rep


def _one_more_or_less(at: "Situation", off: float) -> Change | None:
    """Returns a change by one repetition, or a step of seconds, when effort was off by one."""
    if abs(off) < 1:
        return None
    numbers = at.state.numbers
    step = at.amount_step if off > 0 else -at.amount_step
    aim = min(max(numbers.aim + step, numbers.low), numbers.high)
    if aim == numbers.aim:
        return None
    kind = EventKind.AMOUNT_UP if off > 0 else EventKind.AMOUNT_DOWN
    return Change(kind, replace(numbers, aim=aim), Cause.EFFORT)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLoading(Policy):
    """The volume of a week is a factor of the base; after a cycle that went well the base rises."""

    week_factors: Sequence[float] = WEEK_FACTORS

    def _week(self, rule: "Rule", day: date) -> int:
        return max((day - rule.start_date).days, 0) // DAYS_PER_WEEK

    def factor(self, rule: "Rule", day: date) -> float:
        """Returns the factor of a day's week."""
        return self.week_factors[self._week(rule, day) % len(self.week_factors)]

    def targets(self, rule: "Rule", numbers: Numbers, day: date) -> Targets:
        """See Policy. What the factor adds is spread over the sets, in whole units."""
        total = numbers.set_count * numbers.aim * self.factor(rule, day)
        amounts = _spread(max(total, numbers.set_count), numbers.set_count)
        return [SetTarget(min(numbers.low, one), one, numbers.load_kg) for one in amounts]

    def progress(self, at: "Situation") -> Change | None:
        """See Policy. Once a cycle, in its hardest week."""
        state = at.state
        is_peak = self.factor(at.rule, at.day) == max(self.week_factors)
        if not is_peak or state.cycle_fail_count or state.raised_cycle == state.cycle:
            return None
        return _amount_up(at) or raised(at)

    def cycle(self, rule: "Rule", day: date) -> int:
        """See Policy."""
        return self._week(rule, day) // len(self.week_factors)

    def is_light(self, rule: "Rule", day: date) -> bool:
        """See Policy."""
        return self.factor(rule, day) < 1


class WaveSet(NamedTuple):
    """A set of a wave."""

    percent: float
    """Of the training maximum."""
    reps: float
    is_amrap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PercentWave(Policy):
    """Sessions that follow one another in percent of a training maximum, which rises after a wave
    without a failure."""

    sessions: Sequence[Sequence[WaveSet]]

    def targets(self, rule: "Rule", numbers: Numbers, day: date) -> Targets:  # noqa: ARG002
        """See Policy. The sets of the wave's next session."""
        loading = rule.loading or Loading()
        return [
            SetTarget(
                one.reps,
                None if one.is_amrap else one.reps,
                loading.floored(numbers.load_kg * one.percent / 100),
            )
            for one in self.sessions[numbers.wave_index]
        ]

    def progress(self, at: "Situation") -> Change | None:
        """See Policy. Called at the end of a wave that went well."""
        return load_up(at.rule, at.state.numbers, Cause.SUCCESSES)


@dataclass(frozen=True, slots=True, kw_only=True)
class AmrapProgression(Policy):
    """The last set is as many as possible, and says by how much to go up: with load, twice the
    increment from the upper end of the range on."""

    def targets(self, rule: "Rule", numbers: Numbers, day: date) -> Targets:  # noqa: ARG002
        """See Policy."""
        plain = SetTarget(numbers.low, numbers.low, numbers.load_kg)
        return [*[plain] * (numbers.set_count - 1), plain._replace(high=None)]

    def progress(self, at: "Situation") -> Change | None:
        """See Policy."""
        rule, numbers = at.rule, at.state.numbers
        last = at.sets[: numbers.set_count][-1].amount or 0
        if rule.is_load_first and not at.way_back:
            times = 2 if last >= numbers.high else 1
            return load_up(rule, numbers, Cause.SUCCESSES, times)
        return raised(at) if last >= numbers.high and at.is_due else None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldTimeProgression(Policy):
    """Double progression in seconds: the time aimed for rises step by step within the range."""

    step_seconds: float
    max_session_seconds: float | None = None
    """Most seconds of a session in all: sets are left out rather than holds shortened. For
    straight-arm holds 60 s are advised (Low, Overcoming Gravity, second-hand)."""

    def targets(self, rule: "Rule", numbers: Numbers, day: date) -> Targets:  # noqa: ARG002
        """See Policy."""
        count = numbers.set_count
        if self.max_session_seconds is not None:
            count = min(count, max(int(self.max_session_seconds // numbers.aim), 1))
        low = max(numbers.aim - self.step_seconds, numbers.low)
        return [SetTarget(low, numbers.aim, numbers.load_kg)] * count

    def progress(self, at: "Situation") -> Change | None:
        """See Policy."""
        return (_amount_up(at) or raised(at)) if at.is_due else None


@dataclass(frozen=True, slots=True, kw_only=True)
class VariationLadder(Policy):
    """Exercises that the athlete put in order, each with a goal of its own."""

    steps: Sequence[tuple[UUID, Goal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How an athlete wants to progress."""

    policy: Policy
    exercise_id: UUID
    start_date: date
    set_count: int
    goal: Goal
    loading: Loading | None = None
    """None: by the body alone."""
    success_count: int | None = None
    fail_limit: int = FAIL_LIMIT
    max_rpe: float = MAX_RPE_OF_SUCCESS
    auto_apply: bool = False
    tempos: Sequence[str] = ()
    """Tempos to go through, the easiest first, before the exercise gets harder."""
    deload_weeks: int | None = None
    """The last of so many weeks is a deload. None: never by the calendar."""

    @property
    def successes(self) -> int:
        """Successes in a row before something is raised."""
        if self.success_count is not None:
            return self.success_count
        return SUCCESSES_WITH_LOAD if self.is_load_first else SUCCESSES_WITHOUT_LOAD

    def successes_after(self, regress_count: int) -> int:
        """Returns successes in a row before something is raised once failures led back so often:
        from the second time on as many more each (our choice), or an athlete would go to and fro
        between an exercise that is too easy and one that is too hard."""
        return self.successes * max(regress_count, 1)

    @property
    def is_load_first(self) -> bool:
        """Whether load is raised before the exercise gets harder."""
        return self.loading is not None and not self.loading.is_last_resort

    @property
    def sets_of_goal(self) -> int:
        """How many sets the goal is for together."""
        return self.set_count if isinstance(self.policy, RepSumProgression) else 1

    def amount_step(self, rung: Rung) -> float:
        """Returns the least by which repetitions or seconds are raised or lowered."""
        if isinstance(self.policy, HoldTimeProgression):
            return self.policy.step_seconds
        return USUAL_STEP_SECONDS if rung.kind is MovementKind.ISOMETRIC else 1.0


class Situation(NamedTuple):
    """A rule, where it stands after a session that was counted, and what was done in it."""

    rule: Rule
    track: Track
    state: State
    sets: Done
    day: date

    @property
    def rung(self) -> Rung:
        """The exercise."""
        return self.track.rungs[self.state.numbers.exercise_id]

    @property
    def amount_step(self) -> float:
        """See Rule."""
        return self.rule.amount_step(self.rung)

    @property
    def way_back(self) -> UUID | None:
        """What leads back to the exercise of the rule; None unless failures led below it."""
        return self.track.way_back(self.state.numbers.exercise_id)

    @property
    def is_due(self) -> bool:
        """Whether there were successes enough in a row."""
        return self.state.success_count >= self.rule.successes_after(self.state.regress_count)


USUAL_STEP_SECONDS = 2.0
"""Holds are raised by 2 to 5 s (Low, second-hand)."""


def _spread(total: float, count: int) -> list[float]:
    """Returns a total in whole parts as even as can be, the greater ones first; halves go up."""
    each, more = divmod(floor(total + 0.5), count)
    return [float(each + (place < more)) for place in range(count)]


def load_up(rule: Rule, numbers: Numbers, cause: Cause, times: int = 1) -> Change | None:
    """Returns a raise of the load with the range begun anew; None without one that is allowed."""
    if rule.loading is None:
        return None
    load_kg = rule.loading.raised(numbers.load_kg, times)
    if load_kg == numbers.load_kg:
        return None
    raised = replace(numbers, load_kg=load_kg, aim=numbers.low)
    return Change(EventKind.LOAD_UP, raised, cause)


def _amount_up(at: Situation) -> Change | None:
    numbers = at.state.numbers
    aim = min(numbers.aim + at.amount_step, numbers.high)
    if aim == numbers.aim:
        return None
    return Change(EventKind.AMOUNT_UP, replace(numbers, aim=aim), Cause.SUCCESSES)


def raised(at: Situation) -> Change:
    """Returns what to raise when the upper end of a range was reached often enough.

    Below the exercise of the rule: the way back to it. With load first: load. Else tempo, then
    leverage, which is the next exercise, then load, and at last a set more.
    """
    rule, numbers = at.rule, at.state.numbers
    if at.way_back:
        back = begun(rule, at.track.rungs[at.way_back])
        return Change(EventKind.ADVANCE, back, Cause.SUCCESSES)
    loaded = load_up(rule, numbers, Cause.SUCCESSES)
    if rule.is_load_first and loaded:
        return loaded
    if numbers.tempo_index + 1 < len(rule.tempos):
        slower = replace(numbers, tempo_index=numbers.tempo_index + 1, aim=numbers.low)
        return Change(EventKind.TEMPO_UP, slower, Cause.SUCCESSES)
    harder = at.rung.harder_ids
    if len(harder) > 1:
        return Change(EventKind.CHOICE, numbers, Cause.SEVERAL_SUCCESSORS, tuple(harder))
    if harder:
        return Change(EventKind.ADVANCE, begun(rule, at.track.rungs[harder[0]]), Cause.SUCCESSES)
    if loaded:
        return loaded
    if numbers.set_count < rule.set_count + MAX_EXTRA_SETS:
        more = replace(numbers, set_count=numbers.set_count + 1, aim=numbers.low)
        return Change(EventKind.SETS_UP, more, Cause.SUCCESSES)
    return Change(EventKind.TOP, numbers, Cause.NOTHING_TO_RAISE)


def begun(rule: Rule, rung: Rung, *, at_high: bool = False) -> Numbers:
    """Returns the numbers that an exercise is begun with: the lower end of its range, or the upper
    one for who comes back to it. Load is that of the rule for its own exercise alone."""
    is_own = rung.exercise_id == rule.exercise_id
    return Numbers(
        exercise_id=rung.exercise_id,
        set_count=rule.set_count,
        low=rung.goal.low,
        high=rung.goal.high,
        aim=rung.goal.high if at_high else rung.goal.low,
        load_kg=rule.loading.start_kg if rule.loading and is_own else 0.0,
    )


def lowered(at: Situation) -> Change:
    """Returns what to lower after too many failures: the load, once, or where load comes first as
    long as it stays above what the rule began with; else the exercise; else the sets and the
    range."""
    rule, state, numbers = at.rule, at.state, at.state.numbers
    loading = rule.loading
    drops = loading is not None and numbers.load_kg != 0
    lighter = replace(
        numbers,
        load_kg=loading.lowered(numbers.load_kg) if loading and drops else numbers.load_kg,
        aim=numbers.low,
        wave_index=0,
    )
    is_wave = isinstance(rule.policy, PercentWave)
    is_above = rule.is_load_first and loading and lighter.load_kg >= loading.start_kg
    if drops and (is_wave or is_above or state.reset_count + 1 < RESET_LIMIT):
        return Change(EventKind.RESET, lighter, Cause.FAILURES)
    cause = Cause.RESETS if drops else Cause.FAILURES
    easier_id = state.previous_exercise_id or at.rung.easier_id
    if easier_id is not None and easier_id in at.track.rungs:
        back = begun(rule, at.track.rungs[easier_id], at_high=True)
        return Change(EventKind.REGRESS, back, cause)
    low = max(numbers.low - at.amount_step, 1.0)
    eased = replace(lighter, set_count=max(numbers.set_count - 1, 1), low=low, aim=low)
    return Change(EventKind.EASE, eased, cause)


def phase_targets(rule: Rule, targets: Targets, factors: DayFactors) -> Targets:
    """Returns the sets of a day with what the phases of the day do to them: fewer of them are the
    first, more repeat the last. The sets of a wave are its own business, but for a deload."""
    count = prescribed_sets(len(targets), factors)
    if isinstance(rule.policy, PercentWave) and not factors.is_deload:
        count = len(targets)
    kept = [*targets[:count], *[targets[-1]] * (count - len(targets))]
    if rule.loading is None or factors.of_load == 1:
        return kept
    return [
        one._replace(load_kg=rule.loading.floored(one.load_kg * factors.of_load))
        if one.load_kg > 0
        else one
        for one in kept
    ]


def deload_targets(rule: Rule, targets: Targets) -> Targets:
    """Returns the sets of a deload: half of them, rounded up, with nine tenths of the load."""
    kept = targets[: ceil(len(targets) / 2)]
    if rule.loading is None:
        return kept
    return [
        one._replace(load_kg=rule.loading.lowered(one.load_kg) if one.load_kg else 0.0)
        for one in kept
    ]
