"""What came of a rule, as it is answered."""

from collections.abc import Sequence
from datetime import date

from calisthenics.training.v1 import progression_pb2 as pb
from calisthenics.training.v1 import set_pb2

from training_service.domain import progression as domain
from training_service.domain.exercise import MovementKind
from training_service.domain.progression import Event, Performance
from training_service.domain.progression_policy import PercentWave, Rule, SetTarget, Targets
from training_service.domain.progression_track import (
    EventKind,
    Numbers,
    Phase,
    State,
    Track,
)
from training_service.domain.progression_words import reason, standing
from training_service.servicers.convert import to_date
from training_service.servicers.enums import EnumNames

KIND = EnumNames(pb.ProgressionEventKind)
CAUSE = EnumNames(pb.ProgressionCause)
PHASE = EnumNames(pb.ProgressionPhase)


def numbers_message(numbers: Numbers, rule: Rule) -> pb.ProgressionNumbers:
    """Returns what is prescribed, in numbers."""
    return pb.ProgressionNumbers(
        exercise_id=str(numbers.exercise_id),
        set_count=numbers.set_count,
        low=numbers.low,
        high=numbers.high,
        aim=numbers.aim,
        load_kg=numbers.load_kg,
        tempo=_tempo(numbers, rule),
        wave_session=numbers.wave_index + 1 if isinstance(rule.policy, PercentWave) else 0,
    )


def _tempo(numbers: Numbers, rule: Rule) -> str:
    return rule.tempos[numbers.tempo_index] if rule.tempos else ""


def event_message(event: Event, rule: Rule, track: Track) -> pb.ProgressionEvent:
    """Returns something that happened, with its reason in words."""
    return pb.ProgressionEvent(
        kind=KIND.number(event.kind),
        cause=CAUSE.number(event.cause),
        session_id=str(event.session_id or ""),
        local_date=to_date(event.day),
        before=numbers_message(event.before, rule),
        after=numbers_message(event.after, rule),
        applied=event.is_applied,
        candidate_exercise_ids=map(str, event.candidate_ids),
        count=event.amount,
        reason=reason(event, rule, track),
    )


def prescription_message(
    rule: Rule,
    track: Track,
    state: State,
    day: date,
    performances: Sequence[Performance],
    events: Sequence[Sequence[Event]],
) -> pb.Prescription:
    """Returns what to do on a day after these sessions, and why."""
    found = domain.prescription(rule, state, day)
    message = pb.Prescription(
        local_date=to_date(day),
        exercise_id=str(state.numbers.exercise_id),
        sets=_sets(found.targets, state.numbers, rule, track),
        state=_state(found.state, rule, performances),
        events=[event_message(one, rule, track) for one in _last_counted(events)],
        outlook=standing(found.state, rule),
    )
    if found.proposed_targets is not None and state.proposed is not None:
        change = state.proposed
        message.proposal.CopyFrom(
            pb.ProgressionProposal(
                kind=KIND.number(change.kind),
                cause=CAUSE.number(change.cause),
                numbers=numbers_message(change.numbers, rule),
                sets=_sets(found.proposed_targets, change.numbers, rule, track),
            )
        )
    return message


def _last_counted(events: Sequence[Sequence[Event]]) -> Sequence[Event]:
    """Returns the events of the last session that counted."""
    counted = (of for of in reversed(events) if all(one.kind is not EventKind.SKIP for one in of))
    return next(counted, ())


def _state(state: State, rule: Rule, performances: Sequence[Performance]) -> pb.ProgressionState:
    message = pb.ProgressionState(
        numbers=numbers_message(state.numbers, rule),
        success_count=state.success_count,
        fail_count=state.fail_count,
        reset_count=state.reset_count,
        phase=PHASE.number(state.phase),
        previous_exercise_id=str(state.previous_exercise_id or ""),
        evaluated_session_count=state.evaluated_count,
        last_session_id=str((performances[-1].session_id or "") if performances else ""),
    )
    if state.phase is Phase.DELOAD and state.deload_end:
        message.deload_end_date.CopyFrom(to_date(state.deload_end))
    return message


def _sets(targets: Targets, numbers: Numbers, rule: Rule, track: Track) -> list[pb.PrescribedSet]:
    kind = track.rungs[numbers.exercise_id].kind
    tempo = _tempo(numbers, rule) if kind is MovementKind.DYNAMIC else ""
    return [_set(one, kind, tempo) for one in targets]


def _set(target: SetTarget, kind: MovementKind, tempo: str) -> pb.PrescribedSet:
    high = target.low if target.high is None else target.high
    message = set_pb2.SetTarget(tempo=tempo)
    if kind is MovementKind.ISOMETRIC:
        message.hold.min_seconds, message.hold.max_seconds = target.low, high
    else:
        message.reps.min, message.reps.max = int(target.low), int(high)
    if target.load_kg:
        message.load_kg = target.load_kg
    is_amrap = target.high is None
    purpose = set_pb2.SET_KIND_AMRAP if is_amrap else set_pb2.SET_KIND_STRAIGHT
    return pb.PrescribedSet(kind=purpose, target=message)
