"""ProgressionService."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
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
    Intent,
    Performance,
    beginning,
    done_sets,
    replay,
    step,
)
from training_service.domain.progression_policy import Done, Rule
from training_service.domain.progression_track import State, Track
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
from training_service.servicers.paging import listing_digest, uuid_of_token
from training_service.servicers.progression_answer import (
    event_message,
    numbers_message,
    prescription_message,
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
from training_service.servicers.references import check_exercises_known
from training_service.servicers.session_metrics import working_sets
from training_service.storage.exercise import Catalogue
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

SESSIONS_PER_TURN = 100
"""How many sessions are read before other calls have their turn."""
LATEST_HYPOTHESIS = timedelta(days=3660)
"""How far ahead a session can be made up."""
EventPlace = tuple[int, str, int]
"""Sort key of events: start of the session in microseconds, its id, number of the event in it."""


@dataclass(frozen=True, slots=True)
class _Replayed:
    """A rule, and what came of it."""

    rule: Rule
    track: Track
    sessions: Sequence[session_pb2.Session]
    performances: Sequence[Performance]
    state: State
    events: Sequence[Sequence[Event]]

    def prescription(self, day: date) -> pb.Prescription:
        """Returns what to do on a day."""
        return prescription_message(
            self.rule, self.track, self.state, day, self.performances, self.events
        )

    def placed(self) -> Iterator[tuple[EventPlace, Event]]:
        """Yields the events with their places, the newest first."""
        for session, events in zip(reversed(self.sessions), reversed(self.events), strict=True):
            started_at = session.start_time.ToMicroseconds()
            for number in reversed(range(len(events))):
                yield (started_at, session.id, number), events[number]


class ProgressionServicer(ProgressionServiceServicer):
    """Rules by which what is prescribed follows from what was done."""

    def __init__(self, rules: ProgressionRepository, catalogue: Catalogue) -> None:
        self._rules = rules
        self._catalogue = catalogue

    async def CreateProgressionRule(
        self, request: pb.CreateProgressionRuleRequest, context: Any
    ) -> pb.ProgressionRule:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        facts = await self._frozen(request.rule)

        async def work(change: ProgressionChange) -> pb.ProgressionRule:
            _check(request.rule, facts, write.received_at.date())
            rule = merged(pb.ProgressionRule(), request.rule, [*FIXED, *CHANGEABLE])
            rule.id = str(uuid6.uuid7())
            rule.external_user_id = str(scope.external_user_id)
            rule.create_time.FromDatetime(write.received_at)
            if not rule.HasField("start_date"):
                rule.start_date.CopyFrom(to_date(write.received_at.date()))
            row = _row(rule, 1, write.received_at)
            await change.insert(row)
            return _answer(StoredRule(row.id, row.version, row.updated_at, row.record))

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
        listing = listing_digest(request, scope)
        key = paging.decode_page_token(listing, request.page_token, (str,))
        limit = paging.page_limit(request.page_size)
        before_id = uuid_of_token(key[0]) if key else None
        page = await self._rules.list_page(scope, before_id, limit + 1)
        count = paging.fitting_count(len(one.record) for one in page[:limit])
        response = pb.ListProgressionRulesResponse(rules=map(_answer, page[:count]))
        if len(page) > count:
            last = str(page[count - 1].id)
            response.next_page_token = paging.encode_page_token(listing, (last,))
        return response

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
            return _answer(StoredRule(row.id, row.version, row.updated_at, row.record))

        return await once(self._rules.change(scope), write, pb.ProgressionRule, work)

    async def DeleteProgressionRule(
        self, request: pb.DeleteProgressionRuleRequest, context: Any
    ) -> pb.ProgressionRule:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())

        async def work(change: ProgressionChange) -> pb.ProgressionRule:
            stored = await _lock(change, request.progression_rule_id, request.etag, "etag")
            await change.delete(stored.id)
            return _answer(stored)

        return await once(self._rules.change(scope), write, pb.ProgressionRule, work)

    async def GetPrescription(
        self, request: pb.GetPrescriptionRequest, context: Any
    ) -> pb.Prescription:
        scope = athlete_scope(request.external_user_id)
        day = _day(request)
        message = await self._get(scope, request.progression_rule_id)
        replayed = await self._replayed(scope, message, day)
        answer = replayed.prescription(day)
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
        replayed = await self._replayed(scope, message, date.max)
        found = [one for one in replayed.placed() if key is None or one[0] < key]
        response = pb.ListProgressionEventsResponse(
            events=[
                event_message(event, replayed.rule, replayed.track) for _, event in found[:limit]
            ]
        )
        if len(found) > limit:
            response.next_page_token = paging.encode_page_token(listing, found[limit - 1][0])
        return response

    async def SimulateProgression(
        self, request: pb.SimulateProgressionRequest, context: Any
    ) -> pb.SimulateProgressionResponse:
        scope = athlete_scope(request.external_user_id)
        facts = await self._facts(request.rule)
        _check(request.rule, facts, utc_now().date())
        if request.WhichOneof("performed") == "past":
            replayed = await self._simulated_past(scope, request, facts)
        else:
            replayed = _simulated(request, facts)
        last = replayed.performances[-1].day if replayed.performances else None
        begin = replayed.rule.start_date
        day = begin if last is None else max(last + ONE_DAY, begin)
        return pb.SimulateProgressionResponse(
            sessions=list(_simulated_sessions(replayed)), prescription=replayed.prescription(day)
        )

    async def _simulated_past(
        self, scope: Scope, request: pb.SimulateProgressionRequest, facts: Facts
    ) -> _Replayed:
        first, last = dates_of(request.past)
        if not request.past.HasField("from_date") and request.rule.HasField("start_date"):
            first = from_date(request.rule.start_date, "rule.start_date")
        rule = to_rule(request.rule, _start(request.rule, EPOCH))
        track = to_track(request.rule, rule, facts)
        sessions = await self._sessions(scope, request.rule, track, first, last)
        if sessions and not request.rule.HasField("start_date"):
            begin = from_date(sessions[0].local_date, "local_date")
            rule = to_rule(request.rule, begin)
        return _replay(request.rule, rule, track, sessions)

    async def _get(self, scope: Scope, rule_id: str) -> pb.ProgressionRule:
        stored = await self._rules.get(scope, UUID(rule_id))
        if stored is None:
            raise _not_found()
        return _answer(stored)

    async def _replayed(self, scope: Scope, message: pb.ProgressionRule, last: date) -> _Replayed:
        """Returns where a rule stands, by the sessions up to a day."""
        facts = await self._facts(message)
        rule = to_rule(message, _start(message, EPOCH))
        track = to_track(message, rule, facts)
        sessions = await self._sessions(scope, message, track, rule.start_date, last)
        return _replay(message, rule, track, sessions)

    async def _sessions(
        self,
        scope: Scope,
        message: pb.ProgressionRule,
        track: Track,
        first: date,
        last: date,
    ) -> list[session_pb2.Session]:
        workout_id = optional_uuid(message.workout_id)
        records = await self._rules.records(scope, track.ids(), workout_id, first, last)
        sessions = []
        for number, record in enumerate(records):
            if number % SESSIONS_PER_TURN == 0:
                await asyncio.sleep(0)  # other calls have their turn
            sessions.append(session_pb2.Session.FromString(record))
        return sessions

    async def _facts(self, message: pb.ProgressionRule) -> Facts:
        """Returns the facts of all exercises; asks the database for those that a rule names and
        that are not known for certain."""
        await self._catalogue.facts([id for _, id in named_exercises(message)])
        return await self._catalogue.everything()

    async def _frozen(self, message: pb.ProgressionRule) -> Facts:
        """Returns the facts of all exercises, with the definitions of those that a rule names
        frozen if nothing speaks against it.

        Comes before the transaction: one call must not hold two connections. Refuses nothing, since
        a request that came before is answered as it was then.
        """
        facts = await self._facts(message)
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


def _answer(stored: StoredRule) -> pb.ProgressionRule:
    """Returns a rule as it is answered."""
    rule = pb.ProgressionRule.FromString(stored.record)
    rule.etag = str(stored.version)
    rule.update_time.CopyFrom(to_timestamp(stored.updated_at))
    return rule


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


def _replay(
    message: pb.ProgressionRule,
    rule: Rule,
    track: Track,
    sessions: Sequence[session_pb2.Session],
) -> _Replayed:
    performances = [_performance(one, message, track) for one in sessions]
    state, events = replay(rule, track, performances)
    return _Replayed(rule, track, sessions, performances, state, events)


def _performance(
    session: session_pb2.Session, message: pb.ProgressionRule, track: Track
) -> Performance:
    order = message.workout_order
    return Performance(
        day=from_date(session.local_date, "local_date"),
        sets=_sets(session.exercises, track, order),
        session_id=UUID(session.id),
        intent=_intent(session.intent),
    )


def _intent(number: int) -> Intent:
    return Intent(INTENT.name(number)) if number else Intent.NORMAL


def _sets(
    exercises: Sequence[session_pb2.SessionExercise], track: Track, order: int
) -> dict[UUID, Done]:
    """Returns the sets of each exercise of a track. What a session has of an exercise counts
    together; where it is in the place of a rule, that alone."""
    found: dict[UUID, list[session_pb2.SessionExercise]] = {}
    for exercise in exercises:
        found.setdefault(exercise_uuid(exercise.exercise_id), []).append(exercise)
    sets = {}
    for id, of in found.items():
        if id in track.rungs:
            placed = [one for one in of if order and one.order == order] or of
            all_sets = [each for one in placed for each in working_sets(one)]
            sets[id] = done_sets(all_sets, track.rungs[id].kind)
    return sets


def _simulated(request: pb.SimulateProgressionRequest, facts: Facts) -> _Replayed:
    """Returns what comes of sessions made up."""
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
            sets=_sets(one.exercises, track, request.rule.workout_order),
            intent=_intent(one.intent),
            context=Context(
                readiness=optional_field(one, "readiness"),
                deload_conditions=frozenset(
                    DeloadCondition(CONDITION.name(number)) for number in one.deload_conditions
                ),
            ),
        )
        for day, one in sorted(zip(days, given, strict=True), key=lambda pair: pair[0])
    ]
    state, events = replay(rule, track, performances)
    return _Replayed(rule, track, (), performances, state, events)


def _simulated_sessions(replayed: _Replayed) -> Iterator[pb.SimulatedSession]:
    state = beginning(replayed.rule, replayed.track)
    for performance in replayed.performances:
        state, events = step(replayed.rule, replayed.track, state, performance)
        yield pb.SimulatedSession(
            session_id=str(performance.session_id or ""),
            local_date=to_date(performance.day),
            events=[event_message(one, replayed.rule, replayed.track) for one in events],
            numbers=numbers_message(state.numbers, replayed.rule),
        )
