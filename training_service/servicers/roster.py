"""RosterService."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import roster_pb2 as pb
from calisthenics.training.v1.roster_pb2_grpc import RosterServiceServicer

from training_service.caller import Grantee, Scope, athlete_scope, current_call_id
from training_service.domain import roster as domain
from training_service.domain.group import Role, check_is_staff
from training_service.domain.load_flag import Break, break_before, load_flag, return_day
from training_service.domain.periods import ONE_DAY, Period
from training_service.domain.phase import DateRange
from training_service.domain.readiness import Readiness
from training_service.domain.roster import Activity, Adherence, AthleteState, Attention
from training_service.servicers.convert import to_date, utc_now
from training_service.servicers.dates import day_of
from training_service.servicers.enums import GRANT_SCOPE, EnumNames
from training_service.servicers.group import group_not_found
from training_service.servicers.load import NOTE, day_message, flag_message
from training_service.servicers.load_pattern import history_from, holds_from, straight_arm_ids
from training_service.servicers.metrics import record_message
from training_service.servicers.planned_session import sessions_until_end
from training_service.servicers.readiness import BAND, WITHHELD, readiness_of
from training_service.storage.exercise import Catalogue
from training_service.storage.grant import READ_METRICS, READ_WELLNESS, Look
from training_service.storage.load import LoadRepository, lacks_checkpoint
from training_service.storage.roster import (
    UNIT,
    Member,
    Metrics,
    Question,
    RosterRepository,
)

REASON = EnumNames(pb.RosterAttentionReason)

MAX_RECORDS = 10
"""Most personal records of an athlete that are shown."""
MAX_KEPT = 10
"""Of how many athletes a call keeps what loads add up to; the next call does more of them."""


class RosterServicer(RosterServiceServicer):
    """How all athletes of a group are doing."""

    def __init__(
        self, rosters: RosterRepository, loads: LoadRepository, catalogue: Catalogue
    ) -> None:
        self._rosters = rosters
        self._loads = loads
        self._catalogue = catalogue

    async def GetRosterStatus(
        self, request: pb.GetRosterStatusRequest, context: Any
    ) -> pb.RosterStatus:
        scope = athlete_scope(request.external_user_id)
        question = await self._question(day_of(request))
        look = Look(scope.external_user_id, "GetRosterStatus", current_call_id())
        async with self._rosters.admission(look) as admission:
            members = await admission.members(UUID(request.group_id))
            _check_may_look(members, look.user_id)
            athletes = [one.user_id for one in members if one.role == Role.ATHLETE]
            admitted = await admission.admit(athletes, utc_now())
        async with self._rosters.view(look, admitted) as view:
            metrics = await view.metrics(question)
            inputs = await view.readiness(metrics, question)
        entries = []
        for athlete in athletes:
            await asyncio.sleep(0)  # other calls have their turn between athletes
            entry = pb.RosterEntry(user_id=str(athlete))
            state = AthleteState()
            if athlete in metrics:
                state = _state(metrics[athlete], question)
                _add_metrics(entry, state, metrics[athlete])
            if athlete in inputs:
                found = await readiness_of(self._catalogue, inputs[athlete], question.day)
                state = replace(state, readiness=found)
                _add_readiness(entry, found)
            _add_attention(entry, domain.attention(state))
            entries.append(entry)
        await self._keep_checkpoints(look, metrics, question)
        return pb.RosterStatus(
            group_id=request.group_id,
            local_date=to_date(question.day),
            entries=sorted(entries, key=lambda one: (-one.attention_points, one.user_id)),
            note=NOTE,
        )

    async def _question(self, day: date) -> Question:
        return Question(
            day=day,
            load_from=history_from(day),
            holds_from=holds_from(day),
            exercise_ids=await straight_arm_ids(self._catalogue),
            planned=DateRange(domain.four_weeks_from(day), day + ONE_DAY),
            records_from=Period.WEEK.start(day),
        )

    async def _keep_checkpoints(
        self, look: Look, metrics: Mapping[UUID, Metrics], question: Question
    ) -> None:
        """Spares the next reader the way back through long histories."""
        lacking = [
            athlete
            for athlete, one in metrics.items()
            if lacks_checkpoint(one.history, question.load_from)
        ]
        for athlete in lacking[:MAX_KEPT]:
            scope = Scope(athlete, Grantee(look.user_id, READ_METRICS))
            await self._loads.try_to_keep_checkpoints(scope, UNIT)


def _check_may_look(members: Sequence[Member], user_id: UUID) -> None:
    role = next((one.role for one in members if one.user_id == user_id), None)
    if role is None:
        raise group_not_found()
    check_is_staff(role)


def _state(metrics: Metrics, question: Question) -> AthleteState:
    """Returns how an athlete is doing, by what READ_METRICS shows."""
    history = metrics.history
    status, flag = history.status(), None
    if status:
        flag = load_flag(history, status, _break(metrics), metrics.holds)
    planned = (
        one
        for _, one in sessions_until_end(metrics.planned, question.day, question.planned)
        if question.planned.start_date <= one.local_date
    )
    return AthleteState(
        activity=domain.activity(history, metrics.last_date, question.day),
        adherence=domain.adherence(planned),
        status=status,
        flag=flag,
    )


def _break(metrics: Metrics) -> Break | None:
    returned = return_day(metrics.history)
    if returned is None:
        return None
    return break_before(metrics.history, returned, metrics.days_before_break)


def _add_metrics(entry: pb.RosterEntry, state: AthleteState, metrics: Metrics) -> None:
    entry.granted_scopes.append(GRANT_SCOPE.number(READ_METRICS))
    if state.activity:
        entry.activity.CopyFrom(_activity(state.activity))
    if state.adherence:
        entry.adherence.CopyFrom(_adherence(state.adherence))
    if state.status and state.flag:
        entry.load.day.CopyFrom(day_message(state.status))
        entry.load.flag.CopyFrom(flag_message(state.flag))
    entry.week_records.record_count = len(metrics.records)
    entry.week_records.records.extend(map(record_message, metrics.records[:MAX_RECORDS]))


def _add_readiness(entry: pb.RosterEntry, found: Readiness) -> None:
    entry.granted_scopes.append(GRANT_SCOPE.number(READ_WELLNESS))
    entry.readiness.CopyFrom(
        pb.RosterReadiness(
            score=found.score,
            band=BAND.number(found.band or "UNSPECIFIED"),
            coverage=found.coverage,
            withheld_reason=WITHHELD.number(found.withheld or "UNSPECIFIED"),
        )
    )


def _add_attention(entry: pb.RosterEntry, attention: Sequence[Attention]) -> None:
    entry.attention_points = sum(one.points for one in attention)
    for reason, points, description in attention:
        entry.attention.add(reason=REASON.number(reason), points=points, description=description)


def _activity(activity: Activity) -> pb.RosterActivity:
    return pb.RosterActivity(
        last_session_date=to_date(activity.last_date) if activity.last_date else None,
        days_since_session=activity.days_since,
        week_session_count=activity.week_count,
        four_week_session_count=activity.four_week_count,
    )


def _adherence(adherence: Adherence) -> pb.RosterAdherence:
    return pb.RosterAdherence(
        planned_session_count=adherence.planned,
        done_session_count=adherence.done,
        skipped_session_count=adherence.skipped,
        done_share=adherence.share,
    )
