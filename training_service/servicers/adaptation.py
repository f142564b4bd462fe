"""AdaptationService."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from math import ceil, floor
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import adaptation_pb2 as pb
from calisthenics.training.v1 import exercise_pb2, schedule_pb2, session_pb2, set_pb2
from calisthenics.training.v1.adaptation_pb2_grpc import AdaptationServiceServicer

from training_service.caller import Scope, athlete_scope
from training_service.domain.adaptation import (
    MUSCLES_OF_JOINT,
    Action,
    Adaptation,
    Adjusted,
    Item,
    Joint,
    Limits,
    Option,
    Reason,
    ReasonKind,
    adapt,
)
from training_service.domain.load import LoadHistory, RatioMethod, load_cap
from training_service.domain.load_flag import RATIO_HIGH
from training_service.domain.periods import ONE_DAY
from training_service.domain.phase import DateRange
from training_service.domain.readiness import Readiness, band_of
from training_service.errors import Reason as ErrorReason
from training_service.errors import TrainingError, bad_reference, invalid_field
from training_service.servicers.convert import exercise_uuid, optional_field, utc_now
from training_service.servicers.dates import day_of, today_of
from training_service.servicers.enums import EnumNames
from training_service.servicers.expected_load import ExpectedLoadReader, ExpectedSession
from training_service.servicers.load import EXPECTED_BY
from training_service.servicers.planned_session import PlannedSessionReader
from training_service.servicers.readiness import BAND, readiness_of
from training_service.servicers.session_metrics import working_sets
from training_service.storage.exercise import Catalogue, ExerciseFacts
from training_service.storage.readiness import ReadinessInputs, ReadinessRepository
from training_service.storage.schedule import ScheduleRepository

ACTION = EnumNames(pb.AdaptationAction)
KIND = EnumNames(pb.AdaptationReasonKind)
JOINT = EnumNames(pb.Joint)
UNCHECKED = EnumNames(pb.AdaptationUncheckedReason)
MUSCLE = EnumNames(exercise_pb2.Muscle)
EQUIPMENT = EnumNames(exercise_pb2.Equipment)

NOTE = (
    "A suggestion by rules of thumb that no study has tried; you decide. It says nothing of "
    "injuries: with pain, ask somebody who can look at it."
)
WORDS = {
    (ReasonKind.SPARED_MUSCLE, Action.DROPPED): "It works above all what is to be spared: {names}.",
    (ReasonKind.SPARED_MUSCLE, Action.SETS_REDUCED): "It works besides what is to be spared: "
    "{names}.",
    (ReasonKind.MISSING_EQUIPMENT, Action.SWAPPED): "Not at hand: {names}. {other} needs none of "
    "it and is no harder.",
    (ReasonKind.MISSING_EQUIPMENT, Action.DROPPED): "Not at hand: {names}. Nothing alike and no "
    "harder can be done without.",
    (ReasonKind.LAST_LOAD, Action.LOAD_REDUCED): "The last time it was done with {limit:g} kg, "
    "and today is no day for more: {value:g} kg are planned.",
    (ReasonKind.READINESS, Action.SETS_REDUCED): "Readiness is {value:.0f}, below {limit:.0f}: "
    "fewer sets.",
    (ReasonKind.READINESS, Action.LOAD_REDUCED): "Readiness is {value:.0f}, below {limit:.0f}: "
    "nine tenths of the load.",
    (ReasonKind.LOAD_CAP, Action.SETS_REDUCED): "About {value:.0f} AU are too many for today: "
    "above {limit:.0f} AU the last 7 days would be more than 1.5 times the 21 before.",
    (ReasonKind.TIME, Action.SETS_REDUCED): "It would take {value:.0f} minutes, and there are "
    "{limit:.0f}: fewer sets.",
    (ReasonKind.TIME, Action.DROPPED): "It would take {value:.0f} minutes, and there are "
    "{limit:.0f}.",
}


class AdaptationServicer(AdaptationServiceServicer):
    """Today's session, fitted to today."""

    def __init__(
        self,
        planned: PlannedSessionReader,
        schedules: ScheduleRepository,
        expected: ExpectedLoadReader,
        readiness: ReadinessRepository,
        catalogue: Catalogue,
    ) -> None:
        self._planned = planned
        self._schedules = schedules
        self._expected = expected
        self._readiness = readiness
        self._catalogue = catalogue

    async def AdaptSession(
        self, request: pb.AdaptSessionRequest, context: Any
    ) -> pb.AdaptedSession:
        scope = athlete_scope(request.external_user_id)
        day = day_of(request)
        session, inputs = await asyncio.gather(
            self._session(scope, request, day), self._readiness.inputs(scope, day)
        )
        [expected] = await self._expected.of(scope, [session], utc_now())
        facts = await self._catalogue.everything()
        readiness = await readiness_of(self._catalogue, inputs, day)
        found = _Found(request, expected, inputs, readiness)
        items = _items(expected, facts, _last_loads(inputs))
        adaptation = adapt(items, found.limits(), map(_option, facts.values()))
        return _answer(found, adaptation, facts)

    async def _session(
        self, scope: Scope, request: pb.AdaptSessionRequest, day: date
    ) -> schedule_pb2.PlannedSession:
        if request.workout_id:
            session = await self._planned.unscheduled(scope, UUID(request.workout_id), day)
            if session is None:
                raise bad_reference(
                    ErrorReason.WORKOUT_NOT_FOUND, "workout_id", "there is no such workout"
                )
            return session
        dates = DateRange(day, day + ONE_DAY)
        planned = await self._planned.read(scope, dates, today_of(request))
        wanted = request.schedule_id, request.number, schedule_pb2.PLANNED_SESSION_STATE_PLANNED
        session = next(
            (one for one in planned if (one.schedule_id, one.number, one.state) == wanted), None
        )
        if session is None:
            raise await self._not_planned(scope, UUID(request.schedule_id))
        if not session.workout_revision:
            raise TrainingError(ErrorReason.WORKOUT_DELETED, "the workout is deleted")
        return session

    async def _not_planned(self, scope: Scope, schedule_id: UUID) -> TrainingError:
        if await self._schedules.get(scope, schedule_id) is None:
            return bad_reference(
                ErrorReason.SCHEDULE_NOT_FOUND, "schedule_id", "there is no such schedule"
            )
        return invalid_field("number", "must be planned for the day, and not done or called off")


class _Found:
    """A session, what is asked of it, and what is known of the day."""

    def __init__(
        self,
        request: pb.AdaptSessionRequest,
        expected: ExpectedSession,
        inputs: ReadinessInputs,
        readiness: Readiness,
    ) -> None:
        self.request = request
        self.expected = expected
        self.unchecked: list[tuple[ReasonKind, str]] = []
        given = optional_field(request, "readiness_score")
        self.score: float | None = readiness.score if given is None else given
        if self.score is None:
            self.unchecked.append((ReasonKind.READINESS, "INSUFFICIENT_COVERAGE"))
        self.load_room_au, why_not = _load_room(inputs.loads)
        if not why_not and expected.load.load_au is None:
            why_not = "NO_EXPECTED_LOAD"
        if why_not:
            self.unchecked.append((ReasonKind.LOAD_CAP, why_not))

    def limits(self) -> Limits:
        """Returns what the session is fitted to."""
        request = self.request
        at_hand = frozenset(map(EQUIPMENT.name, request.equipment_at_hand))
        return Limits(
            minutes_available=optional_field(request, "minutes_available"),
            at_hand=at_hand or None,
            spared_muscles=frozenset(_spared_muscles(request)),
            readiness_score=self.score,
            load_room_au=self.load_room_au,
            expected_load_au=self.expected.load.load_au,
        )


def _spared_muscles(request: pb.AdaptSessionRequest) -> set[str]:
    muscles = set(map(MUSCLE.name, request.spared_muscles))
    for joint in request.spared_joints:
        muscles.update(MUSCLES_OF_JOINT[Joint(JOINT.name(joint))])
    return muscles


def _load_room(history: LoadHistory) -> tuple[float | None, str]:
    """Returns the load that the last day of a history has room for, without what was logged on it;
    or why that can't be told."""
    status = history.status()
    if status is None:
        return None, "INSUFFICIENT_HISTORY"
    ratio = status.ratio(RatioMethod.ROLLING_UNCOUPLED)
    cap = load_cap(history.loads[:-1], RATIO_HIGH)
    if ratio.withheld:
        return None, ratio.withheld
    if cap is None:
        return None, "INSUFFICIENT_HISTORY"
    if status.is_poor:
        return None, "UNCERTAIN_LOAD"
    return cap - history.loads[-1], ""


def _last_loads(inputs: ReadinessInputs) -> dict[UUID, float]:
    """Returns the largest added load of each exercise in the last session that had it."""
    found: dict[UUID, float] = {}
    for session in map(session_pb2.Session.FromString, inputs.records):
        loads: dict[UUID, list[float]] = {}
        for exercise in session.exercises:
            done = [one.external_load_kg for one in working_sets(exercise) if one.is_done]
            loads.setdefault(exercise_uuid(exercise.exercise_id), []).extend(done)
        for id, of_exercise in loads.items():
            if of_exercise and id not in found:
                found[id] = max(of_exercise)
    return found


def _option(facts: ExerciseFacts) -> Option:
    return Option(
        id=facts.id,
        slug=facts.skill.slug,
        traits=facts.traits,
        family=facts.family,
        easier_ids=facts.skill.easier_ids,
        unilateral=facts.unilateral,
        is_active=facts.active,
        primary_muscles=tuple(facts.primary_muscles),
        secondary_muscles=tuple(facts.secondary_muscles),
        equipment=tuple(facts.equipment),
    )


def _items(
    expected: ExpectedSession,
    facts: Mapping[UUID, ExerciseFacts],
    last_loads: Mapping[UUID, float],
) -> list[Item]:
    items = []
    for message, planned in zip(expected.session.exercises, expected.exercises, strict=True):
        id = exercise_uuid(message.exercise.exercise_id)
        items.append(
            Item(
                option=_option(facts[id]),
                planned=planned,
                loads_kg=_loads_kg(message),
                last_load_kg=last_loads.get(id),
            )
        )
    return items


def _loads_kg(message: schedule_pb2.PrescribedExercise) -> tuple[float | None, ...]:
    if message.sets:
        return tuple(optional_field(one.target, "load_kg") for one in message.sets)
    return (optional_field(message.exercise, "load_kg"),) * message.exercise.sets


def _answer(
    found: _Found, adaptation: Adaptation, facts: Mapping[UUID, ExerciseFacts]
) -> pb.AdaptedSession:
    session, load = found.expected.session, found.expected.load
    return pb.AdaptedSession(
        schedule_id=session.schedule_id,
        number=session.number,
        workout_id=session.workout_id,
        workout_revision=session.workout_revision,
        local_date=session.local_date,
        exercises=[
            _exercise(before, after, facts)
            for before, after in zip(session.exercises, adaptation.exercises, strict=True)
        ],
        plan_reasons=session.reasons,
        readiness_score=found.score,
        readiness_band=BAND.number("UNSPECIFIED" if found.score is None else band_of(found.score)),
        minutes_before=adaptation.minutes_before,
        minutes_after=adaptation.minutes_after,
        load_before=adaptation.load_before_au,
        load_after=adaptation.load_after_au,
        load_basis=EXPECTED_BY.number(load.basis or "UNSPECIFIED"),
        load_room=found.load_room_au,
        rest_suggested=adaptation.is_rest_suggested,
        unchecked=[
            pb.AdaptationUnchecked(kind=KIND.number(kind), reason=UNCHECKED.number(why))
            for kind, why in found.unchecked
        ],
        note=NOTE,
    )


def _exercise(
    before: schedule_pb2.PrescribedExercise,
    adjusted: Adjusted,
    facts: Mapping[UUID, ExerciseFacts],
) -> pb.AdaptedExercise:
    message = pb.AdaptedExercise(
        before=before,
        actions=map(ACTION.number, adjusted.actions),
        reasons=[_reason(one, facts[adjusted.option.id].display_name) for one in adjusted.reasons],
    )
    if adjusted.loads_kg:
        message.after.CopyFrom(_after(before, adjusted))
    return message


def _after(
    before: schedule_pb2.PrescribedExercise, adjusted: Adjusted
) -> schedule_pb2.PrescribedExercise:
    """Returns an exercise with what is left of it, without what a rule proposes instead."""
    after = schedule_pb2.PrescribedExercise()
    after.CopyFrom(before)
    if not adjusted.reasons:
        return after
    after.ClearField("proposal")
    if adjusted.option.id != adjusted.item.option.id:
        after.exercise.exercise_id = str(adjusted.option.id)
        after.ClearField("progression_rule_id")
        after.ClearField("reasons")
    after.exercise.sets = adjusted.set_count
    _set_load(after.exercise, adjusted.loads_kg)
    del after.sets[adjusted.set_count :]
    for one, load_kg in zip(after.sets, adjusted.loads_kg, strict=False):
        _set_load(one.target, [load_kg])
    return after


def _set_load(message: set_pb2.SetTarget | Any, loads_kg: Sequence[float | None]) -> None:
    """Writes the greatest load of some sets, if there is any."""
    known = [load for load in loads_kg if load is not None]
    message.ClearField("load_kg")
    if known:
        message.load_kg = max(known)


def _reason(reason: Reason, other: str) -> pb.AdaptationReason:
    message = pb.AdaptationReason(
        kind=KIND.number(reason.kind),
        action=ACTION.number(reason.action),
        value=reason.value,
        limit=reason.limit,
        description=_description(reason, other),
    )
    if reason.kind is ReasonKind.SPARED_MUSCLE:
        message.muscles.extend(map(MUSCLE.number, reason.names))
    elif reason.kind is ReasonKind.MISSING_EQUIPMENT:
        message.equipment.extend(map(EQUIPMENT.number, reason.names))
    return message


def _description(reason: Reason, other: str) -> str:
    """Returns a reason in words. Numbers are rounded away from each other: none seems to be within
    the limit that it is beyond."""
    value, limit = reason.value, reason.limit
    if value is not None and limit is not None and reason.kind is not ReasonKind.LAST_LOAD:
        is_below = value < limit
        value, limit = (floor(value), limit) if is_below else (ceil(value), floor(limit))
    names = ", ".join(name.lower().replace("_", " ") for name in reason.names)
    words = WORDS[reason.kind, reason.action]
    return words.format(value=value, limit=limit, names=names, other=other)
