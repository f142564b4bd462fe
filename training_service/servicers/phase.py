"""PhaseService."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import uuid6
from calisthenics.training.v1 import phase_pb2 as pb
from calisthenics.training.v1.phase_pb2_grpc import PhaseServiceServicer

from training_service import contract
from training_service.caller import Scope, athlete_scope
from training_service.domain import paging, phase_template
from training_service.domain.periods import ONE_DAY
from training_service.domain.phase import (
    FIRST_DATE,
    LAST_END_DATE,
    MAX_DAYS,
    DateRange,
    DayPlan,
    Neighbours,
    Phase,
    PhaseKind,
    check_alone,
    day_plans,
    in_order_of_writing,
    lost_days,
    week_of,
)
from training_service.domain.phase_template import USUAL_MESOCYCLE_WEEKS, Model, Template
from training_service.errors import Reason, TrainingError, bad_reference, invalid_field
from training_service.servicers.convert import (
    from_date,
    optional_field,
    optional_uuid,
    to_date,
    to_timestamp,
    utc_now,
    uuid_or_none,
    write_request,
)
from training_service.servicers.dates import today_of
from training_service.servicers.enums import EnumNames
from training_service.servicers.masks import check_etag, masked_fields, merged
from training_service.servicers.once import once
from training_service.servicers.paging import date_of_token, listing_digest, uuid_of_token
from training_service.storage.phase import PhaseChange, PhasePlace, PhaseRepository

KIND = EnumNames(pb.PhaseKind)
FOCUS = EnumNames(pb.PhaseFocus)
EMPHASIS = EnumNames(pb.DayEmphasis)
MODEL = EnumNames(pb.PeriodizationModel)

CHANGEABLE = [
    "kind",
    "parent_id",
    "start_date",
    "end_date",
    "display_name",
    "focus",
    "volume_factors",
    "intensity_factors",
    "deload_weeks",
    "day_emphases",
    "description",
]
USUAL_CALENDAR_DAYS = 28
MAX_CALENDAR_DAYS = 366


class PhaseServicer(PhaseServiceServicer):
    """Training phases, and the days that they are made of."""

    def __init__(self, phases: PhaseRepository) -> None:
        self._phases = phases

    async def CreatePhase(self, request: pb.CreatePhaseRequest, context: Any) -> pb.Phase:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        phase = _phase(scope, request.phase, uuid6.uuid7(), write.received_at)
        check_alone(phase, "phase.")

        async def work(change: PhaseChange) -> pb.Phase:
            near = await change.neighbours(
                parent_id=phase.parent_id, from_date=phase.start_date, to_date=phase.end_date
            )
            near.check(phase)
            await change.insert([phase])
            return phase_message(scope, phase)

        return await once(self._phases.change(scope), write, pb.Phase, work)

    async def GetPhase(self, request: pb.GetPhaseRequest, context: Any) -> pb.Phase:
        scope = athlete_scope(request.external_user_id)
        return phase_message(scope, _found(await self._phases.get(scope, UUID(request.phase_id))))

    async def ListPhases(
        self, request: pb.ListPhasesRequest, context: Any
    ) -> pb.ListPhasesResponse:
        scope = athlete_scope(request.external_user_id)
        filters = {
            "from_date": _optional_date(request, "from_date"),
            "to_date": _optional_date(request, "to_date"),
            "kind": KIND.name(request.kind) if request.kind else None,
            "parent_id": optional_uuid(request.parent_id),
        }
        listing = listing_digest(request, scope)
        key = paging.decode_page_token(listing, request.page_token, (str, str, str))
        after = _place_of_token(key) if key else None
        limit = paging.page_limit(request.page_size)
        found = await self._phases.list_page(scope, filters, after, limit + 1)
        phases = [phase_message(scope, one) for one in found[:limit]]
        count = paging.fitting_count(phase.ByteSize() for phase in phases)
        response = pb.ListPhasesResponse(phases=phases[:count])
        if count < len(found):
            last = found[count - 1]
            place = (last.start_date.isoformat(), str(last.kind), str(last.id))
            response.next_page_token = paging.encode_page_token(listing, place)
        return response

    async def UpdatePhase(self, request: pb.UpdatePhaseRequest, context: Any) -> pb.Phase:
        scope = athlete_scope(request.external_user_id)
        fields = masked_fields(request.update_mask, CHANGEABLE)
        write = write_request(request, utc_now())
        id = UUID(request.phase_id)
        given = merged(pb.Phase(), request.phase, fields)
        window = {
            name: _optional_date(given, name, "phase.") for name in ("start_date", "end_date")
        }

        async def work(change: PhaseChange) -> pb.Phase:
            near = await change.neighbours(
                phase_id=id,
                parent_id=uuid_or_none(given.parent_id),
                from_date=window["start_date"],
                to_date=window["end_date"],
            )
            current = _current(near, id, request.phase.etag, "phase.etag")
            message = merged(phase_message(scope, current), request.phase, fields)
            contract.check(message, "phase")
            phase = replace(
                _phase(scope, message, id, write.received_at),
                version=current.version + 1,
                created_at=current.created_at,
            )
            check_alone(phase, "phase.")
            near.check(phase)
            await _keep_sessions(change, near, [phase])
            await change.update(phase)
            return phase_message(scope, phase)

        return await once(self._phases.change(scope), write, pb.Phase, work)

    async def DeletePhase(
        self, request: pb.DeletePhaseRequest, context: Any
    ) -> pb.DeletePhaseResponse:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        id = UUID(request.phase_id)

        async def work(change: PhaseChange) -> pb.DeletePhaseResponse:
            near = await change.neighbours(phase_id=id)
            current = _current(near, id, request.etag)
            if near.children(id) and not request.force:
                raise TrainingError(Reason.PHASE_HAS_CHILDREN, "other phases are within it")
            ids = [phase.id for phase in near.with_descendants(current)]
            await change.delete(ids)
            return pb.DeletePhaseResponse(phase_ids=map(str, ids))

        return await once(self._phases.change(scope), write, pb.DeletePhaseResponse, work)

    async def MovePhase(self, request: pb.MovePhaseRequest, context: Any) -> pb.MovePhaseResponse:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        id = UUID(request.phase_id)
        start_date = date_in_range(request, "start_date")
        furthest = LAST_END_DATE if request.shift_later else start_date + timedelta(days=MAX_DAYS)

        async def work(change: PhaseChange) -> pb.MovePhaseResponse:
            near = await change.neighbours(phase_id=id, from_date=start_date, to_date=furthest)
            current = _current(near, id, request.etag)
            moved = [
                replace(
                    phase,
                    version=phase.version + 1,
                    updated_at=write.received_at,
                    author_user_id=scope.author_user_id,
                )
                for phase in near.moved(current, start_date, shift_later=request.shift_later)
            ]
            await _keep_sessions(change, near, moved)
            await change.move(in_order_of_writing(near, moved))
            in_order = sorted(moved, key=lambda phase: phase.place)
            return pb.MovePhaseResponse(phases=map(_moved, in_order))

        return await once(self._phases.change(scope), write, pb.MovePhaseResponse, work)

    async def GeneratePhases(
        self, request: pb.GeneratePhasesRequest, context: Any
    ) -> pb.GeneratePhasesResponse:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        template = phase_template_of(request)
        phases = generated_phases(scope, template, write.received_at)
        macrocycle = phases[0]
        response = pb.GeneratePhasesResponse(phases=[phase_message(scope, one) for one in phases])

        if request.validate_only:
            near = await self._phases.near(scope, macrocycle.dates)
            near.check_free([macrocycle], "start_date")
            for phase in response.phases:
                phase.ClearField("etag")
            return response

        async def work(change: PhaseChange) -> pb.GeneratePhasesResponse:
            await insert_tree(change, phases)
            return response

        return await once(self._phases.change(scope), write, pb.GeneratePhasesResponse, work)

    async def GetActivePhase(
        self, request: pb.GetActivePhaseRequest, context: Any
    ) -> pb.ActivePhase:
        scope = athlete_scope(request.external_user_id)
        today = today_of(request)
        day = date_in_range(request, "local_date") if request.HasField("local_date") else today
        dates = DateRange(day, day + ONE_DAY)
        phases, counts = await self._phases.calendar(scope, dates)
        [plan] = day_plans(phases, dates)
        return pb.ActivePhase(
            external_user_id=str(scope.external_user_id),
            phases=[phase_message(scope, phase) for phase in plan.phases],
            day=_day(plan, counts.get(day, 0)),
        )

    async def GetCalendar(self, request: pb.GetCalendarRequest, context: Any) -> pb.Calendar:
        scope = athlete_scope(request.external_user_id)
        dates = _calendar_dates(request)
        phases, counts = await self._phases.calendar(scope, dates)
        return pb.Calendar(
            external_user_id=str(scope.external_user_id),
            days=[_day(plan, counts.get(plan.local_date, 0)) for plan in day_plans(phases, dates)],
        )


def _found(phase: Phase | None) -> Phase:
    if phase is None:
        raise phase_not_found()
    return phase


def phase_not_found() -> TrainingError:
    """Returns the refusal of a phase that is not there."""
    return bad_reference(Reason.PHASE_NOT_FOUND, "phase_id", "there is no such phase")


def _current(near: Neighbours, phase_id: UUID, etag: str, etag_path: str = "etag") -> Phase:
    """Returns the phase that a write is about; refuses one that is not there or not as expected."""
    phase = _found(near.get(phase_id))
    check_etag(etag, str(phase.version), etag_path)
    return phase


async def _keep_sessions(change: PhaseChange, near: Neighbours, changed: Sequence[Phase]) -> None:
    """Refuses changes by which a phase loses a day with a session."""
    found = await change.first_session(lost_days(near, changed))
    if found is not None:
        raise TrainingError(
            Reason.PHASE_HAS_SESSIONS,
            f"there is a session on {found.local_date}, which the phase would lose",
            metadata={
                "phase_id": str(found.phase_id),
                "local_date": found.local_date.isoformat(),
            },
        )


def generated_phases(scope: Scope, template: Template, now: datetime) -> list[Phase]:
    """Returns the phases of a template as new ones, the macrocycle first."""
    return [
        replace(phase, author_user_id=scope.author_user_id)
        for phase in phase_template.generate(template, uuid6.uuid7, now)
    ]


async def insert_tree(change: PhaseChange, phases: Sequence[Phase]) -> None:
    """Stores a phase at the top, which comes first, with the phases within it."""
    dates = phases[0].dates
    near = await change.neighbours(from_date=dates.start_date, to_date=dates.end_date)
    near.check_free(phases[:1], "start_date")
    await change.insert(phases)


def _optional_date(message: Any, name: str, prefix: str = "") -> date | None:
    if not message.HasField(name):
        return None
    return from_date(getattr(message, name), f"{prefix}{name}")


def date_in_range(message: Any, name: str) -> date:
    """Returns the date in a field; refuses one that no phase can have."""
    day = from_date(getattr(message, name), name)
    if not FIRST_DATE <= day < LAST_END_DATE:
        raise invalid_field(name, f"must be from {FIRST_DATE} on and before {LAST_END_DATE}")
    return day


def _calendar_dates(request: pb.GetCalendarRequest) -> DateRange:
    today = today_of(request)
    first = date_in_range(request, "from_date") if request.HasField("from_date") else today
    end = _optional_date(request, "to_date") or first + timedelta(days=USUAL_CALENDAR_DAYS)
    if not 1 <= (end - first).days <= MAX_CALENDAR_DAYS:
        raise invalid_field("to_date", f"must be 1 to {MAX_CALENDAR_DAYS} days after the first day")
    return DateRange(first, end)


def _place_of_token(key: tuple[paging.KeyPart, ...]) -> PhasePlace:
    return date_of_token(key[0]), str(key[1]), uuid_of_token(key[2])


def phase_template_of(request: pb.GeneratePhasesRequest) -> Template:
    """Returns what phases a request asks for."""
    template = Template(
        model=Model(MODEL.name(request.model)),
        start_date=date_in_range(request, "start_date"),
        week_count=request.week_count,
        mesocycle_week_count=request.mesocycle_week_count or USUAL_MESOCYCLE_WEEKS,
        deload_every_weeks=optional_field(request, "deload_every_weeks"),
        with_microcycles=request.with_microcycles,
        display_name=request.display_name,
        focus=FOCUS.name(request.focus),
    )
    if template.end_date > LAST_END_DATE:
        raise invalid_field("start_date", f"must leave its weeks before {LAST_END_DATE}")
    return template


def _phase(scope: Scope, message: pb.Phase, id: UUID, now: datetime) -> Phase:
    """Returns the phase in a request, as one that is new."""
    return Phase(
        id=id,
        parent_id=optional_uuid(message.parent_id),
        kind=PhaseKind(KIND.name(message.kind)),
        start_date=from_date(message.start_date, "phase.start_date"),
        end_date=from_date(message.end_date, "phase.end_date"),
        display_name=message.display_name,
        focus=FOCUS.name(message.focus),
        volume_factors=tuple(message.volume_factors),
        intensity_factors=tuple(message.intensity_factors),
        deload_weeks=tuple(sorted(message.deload_weeks)),
        day_emphases=tuple(map(EMPHASIS.name, message.day_emphases)),
        description=message.description,
        created_at=now,
        updated_at=now,
        author_user_id=scope.author_user_id,
    )


def phase_message(scope: Scope, phase: Phase) -> pb.Phase:
    """Returns a phase as it is answered."""
    return pb.Phase(
        id=str(phase.id),
        external_user_id=str(scope.external_user_id),
        kind=KIND.number(phase.kind),
        parent_id=str(phase.parent_id) if phase.parent_id else "",
        start_date=to_date(phase.start_date),
        end_date=to_date(phase.end_date),
        display_name=phase.display_name,
        focus=FOCUS.number(phase.focus),
        volume_factors=phase.volume_factors,
        intensity_factors=phase.intensity_factors,
        deload_weeks=phase.deload_weeks,
        day_emphases=map(EMPHASIS.number, phase.day_emphases),
        description=phase.description,
        etag=str(phase.version),
        create_time=to_timestamp(phase.created_at),
        update_time=to_timestamp(phase.updated_at),
        author_user_id=str(phase.author_user_id or ""),
    )


def _moved(phase: Phase) -> pb.MovedPhase:
    return pb.MovedPhase(
        phase_id=str(phase.id),
        start_date=to_date(phase.start_date),
        end_date=to_date(phase.end_date),
        etag=str(phase.version),
    )


def _day(plan: DayPlan, session_count: int) -> pb.CalendarDay:
    return pb.CalendarDay(
        local_date=to_date(plan.local_date),
        phases=[
            pb.PhaseWeek(
                phase_id=str(phase.id),
                kind=KIND.number(phase.kind),
                week=week_of(plan.local_date, phase.start_date),
            )
            for phase in plan.phases
        ],
        volume_factor=plan.volume_factor,
        intensity_factor=plan.intensity_factor,
        deload=plan.is_deload,
        session_count=session_count,
    )
