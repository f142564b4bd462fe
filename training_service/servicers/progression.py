"""ProgressionService."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import uuid6
from calisthenics.training.v1 import progression_pb2 as pb
from calisthenics.training.v1 import session_pb2
from calisthenics.training.v1.progression_pb2_grpc import ProgressionServiceServicer

from training_service import contract
from training_service.caller import Scope, athlete_scope
from training_service.domain import paging
from training_service.domain.periods import ONE_DAY
from training_service.domain.progression import (
    Context,
    DeloadCondition,
    Event,
    Performance,
    beginning,
    step,
)
from training_service.errors import Reason, TrainingError, bad_reference, invalid_field
from training_service.servicers.convert import (
    exercise_uuid,
    from_date,
    optional_field,
    optional_uuid,
    to_date,
    to_timestamp,
    utc_now,
    write_request,
)
from training_service.servicers.dates import EPOCH, dates_of, today_of
from training_service.servicers.enums import EnumNames
from training_service.servicers.masks import check_etag, masked_fields, merged
from training_service.servicers.once import once
from training_service.servicers.paging import listing_digest, page_by_id
from training_service.servicers.progression_answer import (
    event_message,
    numbers_message,
    prescription_message,
    rule_message,
)
from training_service.servicers.progression_rule import (
    LATEST_START,
    Facts,
    check_exercises,
    check_rule,
    named_exercises,
    policy_name,
    to_rule,
    to_track,
)
from training_service.servicers.progression_standing import (
    Standing,
    StandingReader,
    intent_of,
    sets_of,
)
from training_service.servicers.references import check_exercises_known
from training_service.storage.exercise import Catalogue
from training_service.storage.idempotency import WriteRequest
from training_service.storage.progression import (
    ProgressionChange,
    ProgressionRepository,
    RuleRow,
    StoredRule,
)

INTENT = EnumNames(session_pb2.SessionIntent)
CONDITION = EnumNames(pb.DeloadCondition)
CHANGEABLE = [
    "goal",
    "loading",
    "policy",
    "success_count",
    "fail_limit",
    "max_rpe",
    "auto_apply",
    "tempos",
    "deload_every_weeks",
    "choices",
    "start_date",
]
FIXED = ["exercise_id", "workout_id", "workout_order"]

LATEST_HYPOTHESIS = timedelta(days=3660)
"""How far ahead a session can be made up."""
EventPlace = tuple[int, str, int]
"""Sort key of events: start of the session in microseconds, its id, number of the event in it."""


class ProgressionServicer(ProgressionServiceServicer):
    """Rules by which what is prescribed follows from what was done."""

    def __init__(
        self, rules: ProgressionRepository, standings: StandingReader, catalogue: Catalogue
    ) -> None:
        self._rules = rules
        self._standings = standings
        self._catalogue = catalogue

    async def CreateProgressionRule(
        self, request: pb.CreateProgressionRuleRequest, context: Any
    ) -> pb.ProgressionRule:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        facts = await self._frozen(request.rule)

        async def work(change: ProgressionChange) -> pb.ProgressionRule:
            return await insert_rule(change, scope, request.rule, facts, write)

        return await once(self._rules.change(scope), write, pb.ProgressionRule, work)

    async def GetProgressionRule(
        self, request: pb.GetProgressionRuleRequest, context: Any
    ) -> pb.ProgressionRule:
        scope = athlete_scope(request.external_user_id)
        return await self._get(scope, request.progression_rule_id)

    async def ListProgressionRules(
        self, request: pb.ListProgressionRulesRequest, context: Any
    ) -> pb.ListProgressionRulesResponse:
        scope = athlete_scope(request.external_user_id)
        read = partial(self._rules.list_page, scope)
        page, token = await page_by_id(request, scope, read, size=lambda one: len(one.record))
        return pb.ListProgressionRulesResponse(rules=map(rule_message, page), next_page_token=token)

    async def UpdateProgressionRule(
        self, request: pb.UpdateProgressionRuleRequest, context: Any
    ) -> pb.ProgressionRule:
        scope = athlete_scope(request.external_user_id)
        fields = masked_fields(request.update_mask, CHANGEABLE)
        write = write_request(request, utc_now())
        # What a change names is frozen before its transaction; all else was when it was stored.
        facts = await self._frozen_changes(scope, request, fields)

        async def work(change: ProgressionChange) -> pb.ProgressionRule:
            stored = await _lock(change, request.progression_rule_id, request.rule.etag)
            current = pb.ProgressionRule.FromString(stored.record)
            rule = merged(current, request.rule, fields)
            if not rule.HasField("start_date"):
                rule.start_date.CopyFrom(current.start_date)
            contract.check(rule, "rule")
            kept = {id for _, id in named_exercises(current)}
            _check(rule, facts, write.received_at.date(), kept)
            row = _row(rule, stored.version + 1, write.received_at)
            await change.update(row)
            return _written(scope, row)

        return await once(self._rules.change(scope), write, pb.ProgressionRule, work)

    async def DeleteProgressionRule(
        self, request: pb.DeleteProgressionRuleRequest, context: Any
    ) -> pb.ProgressionRule:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())

        async def work(change: ProgressionChange) -> pb.ProgressionRule:
            stored = await _lock(change, request.progression_rule_id, request.etag, "etag")
            await change.delete(stored.id)
            return rule_message(stored)

        return await once(self._rules.change(scope), write, pb.ProgressionRule, work)

    async def GetPrescription(
        self, request: pb.GetPrescriptionRequest, context: Any
    ) -> pb.Prescription:
        scope = athlete_scope(request.external_user_id)
        day = _day(request)
        message = await self._get(scope, request.progression_rule_id)
        [standing] = await self._standings.of(scope, [message], day)
        answer = prescription_message(standing, day, standing.factors(day))
        answer.progression_rule_id = message.id
        answer.external_user_id = message.external_user_id
        return answer

    async def ListProgressionEvents(
        self, request: pb.ListProgressionEventsRequest, context: Any
    ) -> pb.ListProgressionEventsResponse:
        scope = athlete_scope(request.external_user_id)
        listing = listing_digest(request, scope)
        key = paging.decode_page_token(listing, request.page_token, (int, str, int))
        limit = paging.page_limit(request.page_size)
        message = await self._get(scope, request.progression_rule_id)
        [standing] = await self._standings.of(scope, [message], date.max)
        found = [one for one in _placed(standing) if key is None or one[0] < key]
        response = pb.ListProgressionEventsResponse(
            events=[
                event_message(event, standing.rule, standing.track) for _, event in found[:limit]
            ]
        )
        if len(found) > limit:
            response.next_page_token = paging.encode_page_token(listing, found[limit - 1][0])
        return response

    async def SimulateProgression(
        self, request: pb.SimulateProgressionRequest, context: Any
    ) -> pb.SimulateProgressionResponse:
        scope = athlete_scope(request.external_user_id)
        facts = await self._standings.facts([request.rule])
        _check(request.rule, facts, utc_now().date())
        if request.WhichOneof("performed") == "hypothetical":
            standing, days = _simulated(request, facts)
        else:
            standing = await self._simulated_past(scope, request, facts)
            days = [one.local_date for one in standing.performed]
        begin = standing.rule.start_date
        day = max(days[-1] + ONE_DAY, begin) if days else begin
        return pb.SimulateProgressionResponse(
            sessions=_simulated_sessions(standing, days),
            prescription=prescription_message(standing, day, standing.factors(day)),
        )

    async def _simulated_past(
        self, scope: Scope, request: pb.SimulateProgressionRequest, facts: Facts
    ) -> Standing:
        first, last = dates_of(request.past)
        if not request.past.HasField("from_date"):
            first = _start(request.rule, EPOCH)
        return await self._standings.past(scope, request.rule, facts, first, last)

    async def _get(self, scope: Scope, rule_id: str) -> pb.ProgressionRule:
        stored = await self._rules.get(scope, UUID(rule_id))
        if stored is None:
            raise _not_found()
        return rule_message(stored)

    async def _frozen(self, message: pb.ProgressionRule) -> Facts:
        """Returns the facts of all exercises, with the definitions of those that a rule names
        frozen if nothing speaks against it.

        Comes before the transaction: one call must not hold two connections. Refuses nothing, since
        a request that came before is answered as it was then.
        """
        facts = await self._standings.facts([message])
        named = {id: facts[id] for _, id in named_exercises(message) if id in facts}
        try:
            _check(message, facts, utc_now().date(), named)
        except TrainingError:
            return facts
        await self._catalogue.freeze(named, utc_now())
        return await self._catalogue.everything()

    async def _frozen_changes(
        self, scope: Scope, request: pb.UpdateProgressionRuleRequest, fields: Sequence[str]
    ) -> Facts:
        """The same for a rule as a change would leave it."""
        stored = await self._rules.get(scope, UUID(request.progression_rule_id))
        if stored is None:
            return {}
        rule = merged(pb.ProgressionRule.FromString(stored.record), request.rule, fields)
        try:
            contract.check(rule, "rule")
        except TrainingError:
            return await self._catalogue.everything()
        return await self._frozen(rule)


async def insert_rule(
    change: ProgressionChange,
    scope: Scope,
    message: pb.ProgressionRule,
    facts: Facts,
    write: WriteRequest,
) -> pb.ProgressionRule:
    """Stores a new rule. `facts` are those of all exercises."""
    _check(message, facts, write.received_at.date())
    rule = merged(pb.ProgressionRule(), message, [*FIXED, *CHANGEABLE])
    rule.id = str(uuid6.uuid7())
    rule.external_user_id = str(scope.external_user_id)
    rule.create_time.FromDatetime(write.received_at)
    if not rule.HasField("start_date"):
        rule.start_date.CopyFrom(to_date(write.received_at.date()))
    row = _row(rule, 1, write.received_at)
    await change.insert(row)
    return _written(scope, row)


def _written(scope: Scope, row: RuleRow) -> pb.ProgressionRule:
    """Returns a rule that was just stored."""
    return rule_message(
        StoredRule(row.id, row.version, row.updated_at, row.record, scope.author_user_id)
    )


def _check(message: pb.ProgressionRule, facts: Facts, today: date, allowed: Any = ()) -> None:
    check_exercises(message, facts, allowed=allowed)
    check_rule(message, facts, today)


def _row(rule: pb.ProgressionRule, version: int, now: Any) -> RuleRow:
    """Returns a rule as it is stored: with ids written as everywhere."""
    rule.exercise_id = str(exercise_uuid(rule.exercise_id))
    if rule.workout_id:
        rule.workout_id = str(UUID(rule.workout_id))
    rule.ClearField("etag")
    rule.ClearField("update_time")
    return RuleRow(
        id=UUID(rule.id),
        exercise_id=exercise_uuid(rule.exercise_id),
        workout_id=optional_uuid(rule.workout_id),
        workout_order=rule.workout_order or None,
        policy=policy_name(rule),
        auto_apply=rule.auto_apply,
        start_date=from_date(rule.start_date, "rule.start_date"),
        version=version,
        created_at=rule.create_time.ToDatetime(now.tzinfo),
        updated_at=now,
        record=rule.SerializeToString(),
    )


def _not_found() -> TrainingError:
    return bad_reference(
        Reason.PROGRESSION_RULE_NOT_FOUND, "progression_rule_id", "there is no such rule"
    )


async def _lock(
    change: ProgressionChange, rule_id: str, etag: str, etag_path: str = "rule.etag"
) -> StoredRule:
    stored = await change.lock(UUID(rule_id))
    if stored is None:
        raise _not_found()
    check_etag(etag, str(stored.version), etag_path)
    return stored


def _start(message: pb.ProgressionRule, default: date) -> date:
    if not message.HasField("start_date"):
        return default
    return from_date(message.start_date, "rule.start_date")


def _day(request: pb.GetPrescriptionRequest) -> date:
    """Returns the day that a prescription is asked for."""
    today = today_of(request)
    if not request.HasField("local_date"):
        return today
    day = from_date(request.local_date, "local_date")
    if not EPOCH <= day <= today + LATEST_START:
        raise invalid_field("local_date", "must be after 1969 and at most a year ahead")
    return day


def _simulated(request: pb.SimulateProgressionRequest, facts: Facts) -> tuple[Standing, list[date]]:
    """Returns what comes of sessions made up, and their days."""
    path = "hypothetical.sessions"
    given = request.hypothetical.sessions
    days = [
        from_date(one.local_date, f"{path}[{index}].local_date") for index, one in enumerate(given)
    ]
    latest = utc_now().date() + LATEST_HYPOTHESIS
    for index, (day, one) in enumerate(zip(days, given, strict=True)):
        if not EPOCH <= day <= latest:
            raise invalid_field(
                f"{path}[{index}].local_date", "must be after 1969 and at most ten years ahead"
            )
        ids = [exercise_uuid(exercise.exercise_id) for exercise in one.exercises]
        check_exercises_known(ids, facts, f"{path}[{index}].exercises")
    rule = to_rule(request.rule, _start(request.rule, min(days, default=EPOCH)))
    track = to_track(request.rule, rule, facts)
    performances = [
        Performance(
            day=day,
            sets=sets_of(one.exercises, track, request.rule.workout_order),
            intent=intent_of(one.intent),
            context=Context(
                readiness=optional_field(one, "readiness"),
                deload_conditions=frozenset(
                    DeloadCondition(CONDITION.name(number)) for number in one.deload_conditions
                ),
            ),
        )
        for day, one in sorted(zip(days, given, strict=True), key=lambda pair: pair[0])
    ]
    states, events = [beginning(rule, track)], []
    for performance in performances:
        state, happened = step(rule, track, states[-1], performance)
        states.append(state)
        events.append(happened)
    return Standing(rule, track, (), states, events), sorted(days)


def _placed(standing: Standing) -> Iterator[tuple[EventPlace, Event]]:
    """Yields the events with their places, the newest first."""
    pairs = zip(reversed(standing.performed), reversed(standing.events), strict=True)
    for session, events in pairs:
        started_at = to_timestamp(session.started_at).ToMicroseconds()
        for number in reversed(range(len(events))):
            yield (started_at, str(session.session_id), number), events[number]


def _simulated_sessions(standing: Standing, days: Sequence[date]) -> list[pb.SimulatedSession]:
    ids = [str(one.session_id) for one in standing.performed] or [""] * len(days)
    return [
        pb.SimulatedSession(
            session_id=id,
            local_date=to_date(day),
            events=[event_message(one, standing.rule, standing.track) for one in events],
            numbers=numbers_message(state.numbers, standing.rule),
        )
        for id, day, state, events in zip(
            ids, days, standing.states[1:], standing.events, strict=True
        )
    ]
