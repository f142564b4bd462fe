"""What came of a rule, as it is answered."""

from collections.abc import Sequence
from datetime import date

from calisthenics.training.v1 import prescription_pb2, set_pb2
from calisthenics.training.v1 import progression_pb2 as pb

from training_service.domain import progression as domain
from training_service.domain.exercise import MovementKind
from training_service.domain.prescription import DayFactors, ReasonKind
from training_service.domain.progression import Event
from training_service.domain.progression_policy import PercentWave, Rule, SetTarget, Targets
from training_service.domain.progression_track import (
    EventKind,
    Numbers,
    Phase,
    State,
    Track,
)
from training_service.domain.progression_words import outlook, reason
from training_service.servicers.convert import to_date, to_timestamp
from training_service.servicers.enums import EnumNames
from training_service.servicers.progression_standing import Standing
from training_service.storage.progression import StoredRule

KIND = EnumNames(pb.ProgressionEventKind)
CAUSE = EnumNames(pb.ProgressionCause)
PHASE = EnumNames(pb.ProgressionPhase)
REASON = EnumNames(prescription_pb2.PrescriptionReasonKind)
WORDS = {
    ReasonKind.PHASE_VOLUME: "This week's volume is {factor:g} times the usual: sets.",
    ReasonKind.PHASE_INTENSITY: "This week's intensity is {factor:g} times the usual: load.",
    ReasonKind.DELOAD: "A deload week has {factor:g} times the usual volume: sets, rounded up.",
}


def rule_message(stored: StoredRule) -> pb.ProgressionRule:
    """Returns a rule as it is answered."""
    rule = pb.ProgressionRule.FromString(stored.record)
    rule.etag = str(stored.version)
    rule.update_time.CopyFrom(to_timestamp(stored.updated_at))
    rule.author_user_id = str(stored.author_user_id or "")
    return rule


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


def prescription_message(standing: Standing, day: date, factors: DayFactors) -> pb.Prescription:
    """Returns what to do on a day, of which the phases ask for something, and why."""
    rule, track, state = standing.rule, standing.track, standing.state
    found = domain.prescription(rule, state, day, domain.Context(factors=factors))
    message = pb.Prescription(
        local_date=to_date(day),
        exercise_id=str(state.numbers.exercise_id),
        sets=set_messages(found.targets, state.numbers, rule, track),
        state=_state(found.state, standing),
        events=[event_message(one, rule, track) for one in last_counted(standing.events)],
        outlook=outlook(found.state, rule),
    )
    if found.state.phase is not Phase.DELOAD:
        message.reasons.extend(phase_reasons(factors))
    proposal = proposal_message(standing, found)
    if proposal:
        message.proposal.CopyFrom(proposal)
    return message


def proposal_message(
    standing: Standing, found: domain.Prescription
) -> pb.ProgressionProposal | None:
    """Returns what a rule proposes; None when it proposes nothing, or not on that day."""
    change = standing.state.proposed
    if change is None or found.proposed_targets is None:
        return None
    rule, track = standing.rule, standing.track
    return pb.ProgressionProposal(
        kind=KIND.number(change.kind),
        cause=CAUSE.number(change.cause),
        numbers=numbers_message(change.numbers, rule),
        sets=set_messages(found.proposed_targets, change.numbers, rule, track),
    )


def phase_reasons(factors: DayFactors) -> list[prescription_pb2.PrescriptionReason]:
    """Returns what the phases of a day do, in numbers and words."""
    return [
        prescription_pb2.PrescriptionReason(
            kind=REASON.number(one.kind),
            factor=one.factor,
            description=WORDS[one.kind].format(factor=one.factor),
        )
        for one in factors.reasons
    ]


def last_counted(events: Sequence[Sequence[Event]]) -> Sequence[Event]:
    """Returns the events of the last session that counted."""
    counted = (of for of in reversed(events) if all(one.kind is not EventKind.SKIP for one in of))
    return next(counted, ())


def _state(state: State, standing: Standing) -> pb.ProgressionState:
    performed = standing.performed
    message = pb.ProgressionState(
        numbers=numbers_message(state.numbers, standing.rule),
        success_count=state.success_count,
        fail_count=state.fail_count,
        reset_count=state.reset_count,
        phase=PHASE.number(state.phase),
        previous_exercise_id=str(state.previous_exercise_id or ""),
        evaluated_session_count=state.evaluated_count,
        last_session_id=str(performed[-1].session_id) if performed else "",
    )
    if state.phase is Phase.DELOAD and state.deload_end:
        message.deload_end_date.CopyFrom(to_date(state.deload_end))
    return message


def set_messages(
    targets: Targets, numbers: Numbers, rule: Rule, track: Track
) -> list[prescription_pb2.PrescribedSet]:
    """Returns the sets to do."""
    kind = track.rungs[numbers.exercise_id].kind
    tempo = _tempo(numbers, rule) if kind is MovementKind.DYNAMIC else ""
    return [_set(one, kind, tempo) for one in targets]


def _set(target: SetTarget, kind: MovementKind, tempo: str) -> prescription_pb2.PrescribedSet:
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
    return prescription_pb2.PrescribedSet(kind=purpose, target=message)
