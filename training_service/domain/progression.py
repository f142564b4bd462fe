"""Auto-progression: what comes next after each session, by a rule, and why.

Where an athlete stands is a replay of the sessions in the order of their starts, from the numbers
that the rule begins with: nothing is remembered that the log does not say. So a session that is
amended, voided or logged late gives what it would have given in its place.

What a rule asks for is a proposal. It holds when the athlete trains by it, or at once where the
rule says so (`auto_apply`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from statistics import fmean
from typing import NamedTuple
from uuid import UUID

from training_service.domain.exercise import MovementKind
from training_service.domain.metrics import Side, WorkingSet
from training_service.domain.prescription import DayFactors
from training_service.domain.progression_policy import (
    DAYS_PER_WEEK,
    Done,
    DoneSet,
    Loading,
    PercentWave,
    Rule,
    Situation,
    Targets,
    begun,
    deload_targets,
    lowered,
    phase_targets,
)
from training_service.domain.progression_track import (
    Cause,
    Change,
    EventKind,
    Numbers,
    Outcome,
    Phase,
    State,
    Track,
)

STALL_SESSIONS = 6
"""Sessions without a best after which something else should be tried (our choice)."""
PREVIOUS_DAYS = 28
"""How long the exercise before is kept in mind after an advance."""
DELOAD_DAYS = 7
DELOAD_CONDITIONS = 2
"""Signs that must come together for a deload out of turn."""
DELOAD_PAUSE_DAYS = 14
"""Days after a deload out of turn in which no other begins."""
LOW_READINESS = 50.0
"""Below it a failure says more of the day than of the rule."""


class Intent(StrEnum):
    """What a session was for."""

    NORMAL = "NORMAL"
    TECHNIQUE = "TECHNIQUE"
    DELOAD = "DELOAD"
    ILL = "ILL"


UNJUDGED = {
    Intent.TECHNIQUE: Cause.TECHNIQUE,
    Intent.DELOAD: Cause.DELOAD,
    Intent.ILL: Cause.ILL,
}


class DeloadCondition(StrEnum):
    """Signs of the last seven days that a deload may be due."""

    LOW_READINESS = "LOW_READINESS"
    """Readiness below 50 on three days."""
    FAILURES = "FAILURES"
    """Two failures in a row on two tracks."""
    RPE_DRIFT = "RPE_DRIFT"
    """The same work felt harder by a point of RPE."""
    MONOTONY = "MONOTONY"
    """Above 2."""
    PAIN = "PAIN"
    """Reported by the athlete."""


AS_USUAL = DayFactors()


class Context(NamedTuple):
    """What else is known of a day. None is unknown."""

    readiness: float | None = None
    deload_conditions: frozenset[DeloadCondition] = frozenset()
    factors: DayFactors = AS_USUAL
    """What the phases of the day ask for."""


NOTHING_KNOWN = Context()


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """What a session had of a track."""

    day: date
    sets: Mapping[UUID, Done]
    """Of each exercise, the working sets that were done, in their order."""
    session_id: UUID | None = None
    intent: Intent = Intent.NORMAL
    context: Context = field(default=NOTHING_KNOWN)


def done_sets(sets: Sequence[WorkingSet], kind: MovementKind) -> Done:
    """Returns the sets of an exercise that were done. Of one-sided work, left and right make one
    set, of which the weaker side counts; a side without the other is none."""
    done = [one for one in sets if one.is_done]
    both = [[one] for one in done if one.side is Side.BOTH]
    sides = [[one for one in done if one.side is side] for side in (Side.LEFT, Side.RIGHT)]
    return [_done_set(of, kind) for of in (*both, *map(list, zip(*sides, strict=False)))]


def _done_set(sides: Sequence[WorkingSet], kind: MovementKind) -> DoneSet:
    is_hold = kind is MovementKind.ISOMETRIC
    amounts = [one.hold_seconds if is_hold else one.reps for one in sides]
    known = [float(amount) for amount in amounts if amount is not None]
    rpes = [one.rpe for one in sides if one.rpe is not None]
    return DoneSet(
        min(known) if len(known) == len(amounts) else None,
        min(one.external_load_kg for one in sides),
        max(rpes, default=None),
    )


class Event(NamedTuple):
    """Something that happened on a track, and why."""

    kind: EventKind
    cause: Cause
    day: date
    session_id: UUID | None
    before: Numbers
    after: Numbers
    """What is prescribed from then on; of a proposal, what is proposed."""
    is_applied: bool = True
    candidate_ids: Sequence[UUID] = ()
    amount: int = 0
    """What the cause speaks of: how many sets, sessions or resets."""


class Advanced(NamedTuple):
    """A state, and what happened on the way to it."""

    state: State
    events: Sequence[Event]


def beginning(rule: Rule, track: Track) -> State:
    """Returns where a rule begins."""
    return State(begun(rule, track.rungs[track.start_id]))


def replay(
    rule: Rule, track: Track, performances: Iterable[Performance]
) -> tuple[State, Sequence[Sequence[Event]]]:
    """Returns where the sessions of a track, in order, lead to, and the events of each."""
    state = beginning(rule, track)
    events = []
    for performance in performances:
        state, happened = step(rule, track, state, performance)
        events.append(happened)
    return state, events


def step(rule: Rule, track: Track, state: State, performance: Performance) -> Advanced:
    """Returns where one more session leads to, and what happened in it."""
    state, events = on_day(rule, state, performance.day, performance.context)
    log = _Log(rule, track, performance, [*events])
    return Advanced(log.advance(state), log.events)


def on_day(rule: Rule, state: State, day: date, context: Context = NOTHING_KNOWN) -> Advanced:
    """Returns a state as it is on a day: deloads begin and end by the calendar."""
    events = []
    if state.phase is Phase.DELOAD and state.deload_end and day >= state.deload_end:
        ended = replace(state, phase=Phase.BUILD, success_count=0, fail_count=0)
        events.append(_of_phase(EventKind.DELOAD_END, Cause.SCHEDULE, ended, day))
        state = ended
    if state.advanced_on and day >= state.advanced_on + timedelta(days=PREVIOUS_DAYS):
        state = replace(state, previous_exercise_id=None, advanced_on=None)
    begins = _deload_begun(rule, state, day, context) if state.phase is Phase.BUILD else None
    if begins:
        state, cause = begins
        events.append(_of_phase(EventKind.DELOAD_BEGIN, cause, state, day))
    return Advanced(state, events)


def _of_phase(kind: EventKind, cause: Cause, state: State, day: date) -> Event:
    return Event(kind, cause, day, None, state.numbers, state.numbers)


def _deload_begun(
    rule: Rule, state: State, day: date, context: Context
) -> tuple[State, Cause] | None:
    """Returns the state in a deload if one is due on a day, and why it is."""
    last = state.deload_end if state.was_reactive else None
    if last and day < last + timedelta(days=DELOAD_PAUSE_DAYS):
        return None
    if len(context.deload_conditions) >= DELOAD_CONDITIONS:
        end = day + timedelta(days=DELOAD_DAYS)
        return replace(
            state, phase=Phase.DELOAD, deload_end=end, was_reactive=True
        ), Cause.CONDITIONS
    week = (day - rule.start_date).days // DAYS_PER_WEEK
    if rule.deload_weeks is None or week < 0 or week % rule.deload_weeks != rule.deload_weeks - 1:
        return None
    end = rule.start_date + timedelta(weeks=week + 1)
    return replace(state, phase=Phase.DELOAD, deload_end=end, was_reactive=False), Cause.SCHEDULE


class _Log:
    """One session under evaluation, and the events of it so far."""

    def __init__(
        self, rule: Rule, track: Track, performance: Performance, events: list[Event]
    ) -> None:
        self._rule = rule
        self._track = track
        self._performance = performance
        self._day = performance.day
        self.events = events

    def advance(self, state: State) -> State:
        """Returns the state after the session."""
        if self._performance.intent in UNJUDGED:
            return self._skipped(state, UNJUDGED[self._performance.intent])
        is_light = self._rule.policy.is_light(self._rule, self._day)
        if state.phase is Phase.DELOAD or is_light or self._factors.is_deload:
            return self._skipped(state, Cause.DELOAD)
        if self._is_light(state.numbers):
            return self._skipped(state, Cause.LIGHT_WEEK)
        state = self._accepted(state)
        sets = self._sets_of(state.numbers)
        if not sets:
            return self._skipped(state, Cause.NOT_DONE)
        targets = self._targets(state.numbers)
        outcome, cause = judged(self._rule, targets, sets, self._performance.context)
        if outcome is Outcome.SKIP:
            return self._skipped(state, cause)
        return self._evaluated(state, outcome, cause, sets, targets)

    def _sets_of(self, numbers: Numbers) -> Done:
        return self._performance.sets.get(numbers.exercise_id, ())

    @property
    def _factors(self) -> DayFactors:
        return self._performance.context.factors

    def _is_light(self, numbers: Numbers) -> bool:
        """Returns whether the phase takes load off: what was done then says nothing of the rule's
        own load."""
        return self._factors.of_load < 1 and numbers.load_kg > 0

    def _targets(self, numbers: Numbers) -> Targets:
        """Returns the sets that are judged: as many as the phase asked for, with the load of the
        rule. Of more load than that a success counts, and a failure is none."""
        targets = self._rule.policy.targets(self._rule, numbers, self._day)
        return phase_targets(self._rule, targets, replace(self._factors, intensity=1.0))

    def _skipped(self, state: State, cause: Cause) -> State:
        self._note(EventKind.SKIP, cause, state.numbers, state.numbers)
        return state

    def _note(
        self,
        kind: EventKind,
        cause: Cause,
        before: Numbers,
        after: Numbers,
        *,
        is_applied: bool = True,
        candidate_ids: Sequence[UUID] = (),
        amount: int = 0,
    ) -> None:
        session_id = self._performance.session_id
        self.events.append(
            Event(
                kind,
                cause,
                self._day,
                session_id,
                before,
                after,
                is_applied,
                tuple(candidate_ids),
                amount,
            )
        )

    def _accepted(self, state: State) -> State:
        """Returns the state with what was proposed, if the session was done by it."""
        if state.proposed is None or not self._follows(state.numbers, state.proposed.numbers):
            return state
        after = adopted(state, state.proposed, self._day)
        self._note(EventKind.ACCEPTED, Cause.FOLLOWED, state.numbers, after.numbers)
        return after

    def _follows(self, current: Numbers, proposed: Numbers) -> bool:
        """Returns whether the session is nearer to what was proposed than to what holds: in the
        first of exercise, load, amount and number of sets that they differ in."""
        sets = self._sets_of(proposed)
        if proposed.exercise_id != current.exercise_id:
            return bool(sets) and len(sets) >= len(self._sets_of(current))
        if not sets:
            return False
        new, old = self._targets(proposed), self._targets(current)
        for of_sets, of_targets in _MEASURES:
            wanted, now = of_targets(new), of_targets(old)
            if wanted != now:
                done = of_sets(sets[: len(new)])
                return abs(done - wanted) < abs(done - now)
        # They differ in what a log does not say, such as the tempo.
        return True

    def _evaluated(
        self, state: State, outcome: Outcome, cause: Cause, sets: Done, targets: Targets
    ) -> State:
        before = state.numbers
        state = self._ahead(state, outcome, sets, targets)
        state = self._counted(state, outcome)
        self._note(EventKind(outcome), cause, before, state.numbers, amount=len(targets))
        state = self._compared(state, sets[: len(targets)])
        state, is_wave_over = self._waved(state)
        change = self._change(state, outcome, sets, is_wave_over=is_wave_over)
        if is_wave_over:
            state = replace(state, cycle_fail_count=0)
        return state if change is None else self._changed(state, change)

    def _ahead(self, state: State, outcome: Outcome, sets: Done, targets: Targets) -> State:
        """Returns the state with the load that was done, if it was more than prescribed and went
        well: who is ahead of a rule is not held back by it. What a phase asked for is not ahead."""
        loading = self._rule.loading
        is_wave = isinstance(self._rule.policy, PercentWave)
        is_asked = self._factors.of_load > 1
        is_below = self._track.way_back(state.numbers.exercise_id) is not None
        if outcome is not Outcome.SUCCESS or not loading or is_wave or is_asked or is_below:
            return state
        done_kg = min(one.load_kg for one in sets[: len(targets)])
        load_kg = loading.floored(done_kg)
        if loading.max_kg is not None:
            load_kg = min(load_kg, loading.max_kg)
        if load_kg <= state.numbers.load_kg:
            return state
        return replace(state, numbers=replace(state.numbers, load_kg=load_kg))

    def _counted(self, state: State, outcome: Outcome) -> State:
        cycle = self._rule.policy.cycle(self._rule, self._day)
        fails = 0 if cycle != state.cycle else state.cycle_fail_count
        state = replace(
            state, proposed=None, evaluated_count=state.evaluated_count + 1, cycle=cycle
        )
        if outcome is Outcome.FAIL:
            return replace(
                state,
                success_count=0,
                fail_count=state.fail_count + 1,
                cycle_fail_count=fails + 1,
            )
        successes = state.success_count + 1 if outcome is Outcome.SUCCESS else 0
        state = replace(state, success_count=successes, fail_count=0, cycle_fail_count=fails)
        if successes and state.numbers.exercise_id == state.regressed_from_id:
            state = replace(state, regress_count=0, regressed_from_id=None)
        reset_kg = state.reset_load_kg
        if successes and reset_kg is not None and state.numbers.load_kg >= reset_kg:
            return replace(state, reset_count=0, reset_load_kg=None)
        return state

    def _compared(self, state: State, sets: Done) -> State:
        """Returns the state with the bests that the session set; too long without one is noted."""
        load_kg = min((one.load_kg for one in sets), default=0.0)
        total = sum(one.amount or 0 for one in sets)
        best_kg = state.best_load_kg
        if (
            best_kg is None
            or load_kg > best_kg
            or (load_kg == best_kg and total > state.best_total)
        ):
            return replace(state, best_load_kg=load_kg, best_total=total, sessions_since_best=0)
        since = state.sessions_since_best + 1
        if since >= STALL_SESSIONS:
            numbers = state.numbers
            self._note(EventKind.STALL, Cause.NO_BEST, numbers, numbers, amount=since)
            since = 0
        return replace(state, sessions_since_best=since)

    def _waved(self, state: State) -> tuple[State, bool]:
        """Returns the state with the next session of a wave, and whether the wave is over."""
        policy = self._rule.policy
        if not isinstance(policy, PercentWave):
            return state, False
        index = (state.numbers.wave_index + 1) % len(policy.sessions)
        return replace(state, numbers=replace(state.numbers, wave_index=index)), index == 0

    def _change(
        self, state: State, outcome: Outcome, sets: Done, *, is_wave_over: bool
    ) -> Change | None:
        rule = self._rule
        at = Situation(rule, self._track, state, sets, self._day)
        if state.fail_count >= rule.fail_limit:
            return lowered(at)
        if isinstance(rule.policy, PercentWave):
            is_due = is_wave_over and not state.cycle_fail_count
        else:
            is_due = outcome is Outcome.SUCCESS or rule.policy.follows_effort
        return rule.policy.progress(at) if is_due else None

    def _changed(self, state: State, change: Change) -> State:
        """Returns the state after what a rule asks for: made, proposed, or only said."""
        amounts = {
            Cause.SUCCESSES: state.success_count,
            Cause.FAILURES: state.fail_count,
            Cause.RESETS: state.reset_count + 1,
        }
        is_told = change.kind in (EventKind.CHOICE, EventKind.TOP)
        if is_told and state.is_at_end:
            return state
        is_applied = self._rule.auto_apply and not is_told
        self._note(
            change.kind,
            change.cause,
            state.numbers,
            change.numbers,
            is_applied=is_applied,
            candidate_ids=change.candidate_ids,
            amount=amounts.get(change.cause, 0),
        )
        if is_told:
            return replace(state, is_at_end=True)
        if change.kind in (EventKind.AMOUNT_UP, EventKind.LOAD_UP, *_RAISES):
            state = replace(state, raised_cycle=state.cycle)
        if is_applied:
            return adopted(state, change, self._day)
        return replace(state, proposed=change)


_RAISES = (EventKind.TEMPO_UP, EventKind.SETS_UP, EventKind.ADVANCE)

_MEASURES = (
    (
        lambda sets: fmean(one.load_kg for one in sets),
        lambda targets: fmean(one.load_kg for one in targets),
    ),
    (
        lambda sets: fmean(one.amount or 0 for one in sets),
        lambda targets: fmean(one.high or one.low for one in targets),
    ),
    (len, len),
)
"""What tells sessions apart, of sets done and of sets prescribed, the weightiest first."""


def judged(
    rule: Rule, targets: Targets, sets: Done, context: Context = NOTHING_KNOWN
) -> tuple[Outcome, Cause]:
    """Returns how the sets of an exercise went, and why it is seen so.

    The load counts as much as the repetitions: less of it than prescribed is no success. Done with
    ease it is a deload of one's own and no failure either.
    """
    outcome, cause = rule.policy.outcome(rule, targets, sets)
    loading = rule.loading or Loading()
    pairs = list(zip(sets, targets, strict=False))
    off = [(one, t) for one, t in pairs if not loading.is_at(one.load_kg, t.load_kg)]
    is_lighter = any(one.load_kg < target.load_kg for one, target in off)
    is_heavier = len(off) == len(pairs) and not is_lighter
    if is_lighter and cause is not Cause.BELOW_RANGE:
        return Outcome.SKIP, Cause.LIGHTER
    if is_heavier and cause is Cause.BELOW_RANGE:
        return Outcome.HOLD, Cause.HEAVIER
    is_low = context.readiness is not None and context.readiness < LOW_READINESS
    if outcome is Outcome.FAIL and is_low:
        return Outcome.HOLD, Cause.LOW_READINESS
    return outcome, cause


def adopted(state: State, change: Change, day: date) -> State:
    """Returns the state in which a change holds."""
    before = state.numbers
    state = replace(state, numbers=change.numbers, proposed=None, is_at_end=False)
    if change.cause is Cause.EFFORT:
        # Made after every session: it says nothing of the successes and failures so far.
        return state
    state = replace(state, success_count=0, fail_count=0)
    if change.kind is EventKind.RESET:
        highest_kg = max(before.load_kg, state.reset_load_kg or before.load_kg)
        return replace(state, reset_count=state.reset_count + 1, reset_load_kg=highest_kg)
    if change.kind is EventKind.EASE:
        return replace(state, reset_count=0, reset_load_kg=None)
    if change.kind not in (EventKind.ADVANCE, EventKind.REGRESS):
        return state
    is_advance = change.kind is EventKind.ADVANCE
    if not is_advance:
        state = replace(
            state,
            regress_count=state.regress_count + 1,
            regressed_from_id=before.exercise_id,
        )
    return replace(
        state,
        reset_count=0,
        reset_load_kg=None,
        previous_exercise_id=before.exercise_id if is_advance else None,
        advanced_on=day if is_advance else None,
        best_load_kg=None,
        best_total=0.0,
        sessions_since_best=0,
    )


class Prescription(NamedTuple):
    """The next session of a track."""

    state: State
    targets: Targets
    proposed_targets: Targets | None
    """If the athlete takes what is proposed."""


def prescription(
    rule: Rule, state: State, day: date, context: Context = NOTHING_KNOWN
) -> Prescription:
    """Returns what is to be done on a day, by where an athlete stands after the last session."""
    state, _ = on_day(rule, state, day, context)
    targets = rule.policy.targets(rule, state.numbers, day)
    if state.phase is Phase.DELOAD:
        # Not lightened again by a phase that has a deload too.
        return Prescription(state, deload_targets(rule, targets), None)
    proposed = None
    if state.proposed:
        wanted = rule.policy.targets(rule, state.proposed.numbers, day)
        proposed = phase_targets(rule, wanted, context.factors)
    return Prescription(state, phase_targets(rule, targets, context.factors), proposed)


def sessions_ahead(rule: Rule, state: State, count: int) -> State:
    """Returns a state as it is for a session with so many before it that are still to come. What
    they will lead to is not foreseen; only the place in a wave goes on."""
    policy = rule.policy
    if not isinstance(policy, PercentWave):
        return state
    index = (state.numbers.wave_index + count) % len(policy.sessions)
    return replace(state, numbers=replace(state.numbers, wave_index=index))
