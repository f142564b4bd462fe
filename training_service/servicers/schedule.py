"""ScheduleService."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Literal
from uuid import UUID

import uuid6
from calisthenics.training.v1 import schedule_pb2 as pb
from calisthenics.training.v1.schedule_pb2_grpc import ScheduleServiceServicer

from training_service import contract
from training_service.caller import Scope, athlete_scope
from training_service.domain.phase import FIRST_DATE, DateRange
from training_service.domain.schedule import Change, are_numbered_alike
from training_service.errors import (
    FieldViolation,
    Reason,
    TrainingError,
    bad_reference,
    invalid_field,
)
from training_service.servicers.convert import (
    from_date,
    optional_uuid,
    to_date,
    to_timestamp,
    utc_now,
    write_request,
)
from training_service.servicers.dates import EPOCH, today_of
from training_service.servicers.enums import EnumNames
from training_service.servicers.masks import check_etag, masked_fields, merged
from training_service.servicers.once import once
from training_service.servicers.paging import page_by_id
from training_service.servicers.planned_session import PlannedSessionReader
from training_service.storage.schedule import (
    NewSchedule,
    ScheduleChange,
    ScheduleRepository,
    StoredSchedule,
)
from training_service.storage.workout import WorkoutRepository

MISSED_POLICY = EnumNames(pb.MissedSessionPolicy)
DAYS: Sequence[Literal["start_date", "end_date"]] = ("start_date", "end_date")
CHANGEABLE = ["display_name", *DAYS, "weekly", "rotation", "missed_policy"]
MAX_NAMED = 10
"""Most planned sessions that a refusal names: its details travel as metadata."""
MAX_DAYS = 731
MAX_LISTED_DAYS = 92
USUAL_DAYS = 7


class ScheduleServicer(ScheduleServiceServicer):
    """Which workout is due on which day."""

    def __init__(
        self,
        schedules: ScheduleRepository,
        workouts: WorkoutRepository,
        planned: PlannedSessionReader,
    ) -> None:
        self._schedules = schedules
        self._workouts = workouts
        self._planned = planned

    async def CreateSchedule(self, request: pb.CreateScheduleRequest, context: Any) -> pb.Schedule:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        new = new_schedule(request.schedule, write.received_at)
        unknown = await self._unknown_workouts(scope, request.schedule)

        async def work(change: ScheduleChange) -> pb.Schedule:
            _check_workouts(unknown)
            return schedule_message(scope, await change.insert(new))

        return await once(self._schedules.change(scope), write, pb.Schedule, work)

    async def _unknown_workouts(self, scope: Scope, schedule: pb.Schedule) -> Mapping[str, UUID]:
        """Returns the workouts that don't exist or are deleted, by field path.

        Comes before the transaction: one call must not hold two connections. Refuses nothing, since
        a request that came before is answered as it was then.
        """
        named = {path: UUID(id) for path, id in _slots(schedule) if id}
        if not named:
            return {}
        known = await self._workouts.list_named(scope, set(named.values()))
        return {path: id for path, id in named.items() if id not in known}

    async def GetSchedule(self, request: pb.GetScheduleRequest, context: Any) -> pb.Schedule:
        scope = athlete_scope(request.external_user_id)
        stored = await self._schedules.get(scope, UUID(request.schedule_id))
        return schedule_message(scope, _found(stored))

    async def ListSchedules(
        self, request: pb.ListSchedulesRequest, context: Any
    ) -> pb.ListSchedulesResponse:
        scope = athlete_scope(request.external_user_id)
        page, token = await page_by_id(request, scope, partial(self._schedules.list_page, scope))
        return pb.ListSchedulesResponse(
            schedules=[schedule_message(scope, one) for one in page], next_page_token=token
        )

    async def UpdateSchedule(self, request: pb.UpdateScheduleRequest, context: Any) -> pb.Schedule:
        scope = athlete_scope(request.external_user_id)
        fields = masked_fields(request.update_mask, CHANGEABLE)
        write = write_request(request, utc_now())
        given = merged(pb.Schedule(), request.schedule, fields)
        plan = given.WhichOneof("plan")
        if plan:
            contract.check(getattr(given, plan), f"schedule.{plan}")
        unknown = await self._unknown_workouts(scope, given)

        async def work(change: ScheduleChange) -> pb.Schedule:
            stored = await _lock(
                change, request.schedule_id, request.schedule.etag, "schedule.etag"
            )
            message = _changed(schedule_message(scope, stored), given, fields)
            updated = _updated(scope, stored, message, write.received_at)
            _check_workouts(unknown, stored.workout_ids)
            await _keep_changes(change, stored, updated, discard=request.discard_changes)
            await change.update(updated)
            return schedule_message(scope, updated)

        return await once(self._schedules.change(scope), write, pb.Schedule, work)

    async def DeleteSchedule(
        self, request: pb.DeleteScheduleRequest, context: Any
    ) -> pb.DeleteScheduleResponse:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())

        async def work(change: ScheduleChange) -> pb.DeleteScheduleResponse:
            stored = await _lock(change, request.schedule_id, request.etag, "etag")
            await change.delete(stored.id)
            return pb.DeleteScheduleResponse()

        return await once(self._schedules.change(scope), write, pb.DeleteScheduleResponse, work)

    async def ReschedulePlannedSession(
        self, request: pb.ReschedulePlannedSessionRequest, context: Any
    ) -> pb.ReschedulePlannedSessionResponse:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        id = UUID(request.schedule_id)
        new_date = from_date(request.new_date, "new_date") if request.HasField("new_date") else None

        async def work(change: ScheduleChange) -> pb.ReschedulePlannedSessionResponse:
            stored = _found(await change.lock(id))
            if new_date and not stored.start_date <= new_date < stored.end_date:
                raise invalid_field("new_date", "must be one of the schedule's days")
            if request.restore:
                await change.restore(id, request.number)
            else:
                await change.reschedule(id, request.number, Change(new_date), write.received_at)
            return pb.ReschedulePlannedSessionResponse()

        return await once(
            self._schedules.change(scope), write, pb.ReschedulePlannedSessionResponse, work
        )

    async def ListPlannedSessions(
        self, request: pb.ListPlannedSessionsRequest, context: Any
    ) -> pb.ListPlannedSessionsResponse:
        scope = athlete_scope(request.external_user_id)
        today = today_of(request)
        dates = _listed_dates(request, today)
        found = await self._planned.read(scope, dates, today)
        return pb.ListPlannedSessionsResponse(planned_sessions=found)


def new_schedule(message: pb.Schedule, now: datetime) -> NewSchedule:
    """Returns the schedule in a request, to be stored."""
    return NewSchedule(
        id=uuid6.uuid7(),
        phase_id=optional_uuid(message.phase_id),
        **_content(message),
        created_at=now,
    )


def _content(message: pb.Schedule) -> dict[str, Any]:
    """Returns what can be changed of a schedule, as it is stored; its days are None when they are
    those of a phase."""
    return {
        **_dates(message),
        "display_name": message.display_name,
        "workout_ids": [optional_uuid(id) for _, id in _slots(message)],
        "weekdays": [int(slot.weekday) for slot in message.weekly.slots],
        "missed_policy": MISSED_POLICY.name(
            message.missed_policy or pb.MISSED_SESSION_POLICY_LET_GO
        ),
    }


def _found(stored: StoredSchedule | None) -> StoredSchedule:
    if stored is None:
        raise bad_reference(Reason.SCHEDULE_NOT_FOUND, "schedule_id", "there is no such schedule")
    return stored


async def _lock(
    change: ScheduleChange, schedule_id: str, etag: str, etag_path: str
) -> StoredSchedule:
    stored = _found(await change.lock(UUID(schedule_id)))
    check_etag(etag, str(stored.version), etag_path)
    return stored


def _check_workouts(unknown: Mapping[str, UUID], kept: Collection[UUID | None] = ()) -> None:
    """Refuses workouts that don't exist or are deleted, but for those that the schedule has."""
    description = "there is no such workout"
    violations = [
        FieldViolation(path, description) for path, id in unknown.items() if id not in kept
    ]
    if violations:
        raise TrainingError(Reason.UNKNOWN_WORKOUT, description, violations=violations)


def _changed(current: pb.Schedule, given: pb.Schedule, fields: Collection[str]) -> pb.Schedule:
    """Returns a schedule with the fields as they are given; refuses what it may not become."""
    message = merged(current, given, fields)
    plan = message.WhichOneof("plan")
    if plan not in (None, current.WhichOneof("plan")):
        raise invalid_field(f"schedule.{plan}", "a week stays a week, and a rotation a rotation")
    if message.phase_id:
        _clear_days(message, current)
    contract.check(message, "schedule")
    return message


def _updated(
    scope: Scope, stored: StoredSchedule, message: pb.Schedule, now: datetime
) -> StoredSchedule:
    """Returns a stored schedule with what the message says of it; the days of a phase stay."""
    content = _content(message)
    if stored.phase_id is not None:
        content.update(start_date=stored.start_date, end_date=stored.end_date)
    return stored._replace(
        **content,
        version=stored.version + 1,
        updated_at=now,
        author_user_id=scope.author_user_id,
    )


def _clear_days(message: pb.Schedule, current: pb.Schedule) -> None:
    """Leaves a schedule the days of its phase; refuses others."""
    for name in DAYS:
        if message.HasField(name) and getattr(message, name) != getattr(current, name):
            raise invalid_field(f"schedule.{name}", "is that of the phase")
        message.ClearField(name)


async def _keep_changes(
    change: ScheduleChange, stored: StoredSchedule, updated: StoredSchedule, *, discard: bool
) -> None:
    """Refuses what makes other sessions of those that the athlete moved or called off, or leaves
    them no day; or gives these up."""
    if not are_numbered_alike(stored.plan, updated.plan):
        first_day = None
    elif updated.end_date < stored.end_date:
        first_day = updated.end_date
    else:
        return
    if discard:
        await change.discard(stored.id, first_day)
        return
    numbers = await change.changed_numbers(stored.id, first_day, MAX_NAMED)
    if numbers:
        raise TrainingError(
            Reason.SCHEDULE_HAS_CHANGES,
            "planned sessions that were moved or called off would be others, or have no day",
            metadata={"numbers": ",".join(map(str, numbers))},
        )


def _slots(schedule: pb.Schedule) -> Iterator[tuple[str, str]]:
    """Yields the field path and the workout of each slot; rest is empty."""
    for index, slot in enumerate(schedule.weekly.slots):
        yield f"schedule.weekly.slots[{index}].workout_id", slot.workout_id
    for index, id in enumerate(schedule.rotation.workout_ids):
        yield f"schedule.rotation.workout_ids[{index}]", id


def _dates(schedule: pb.Schedule) -> dict[str, date | None]:
    """Returns the days of its own that a schedule has; refuses none, and too many."""
    if schedule.phase_id:
        return {"start_date": None, "end_date": None}
    start = from_date(schedule.start_date, "schedule.start_date")
    end = from_date(schedule.end_date, "schedule.end_date")
    if start < FIRST_DATE:
        raise invalid_field("schedule.start_date", "must not be before 1970")
    if not 0 < (end - start).days <= MAX_DAYS:
        raise invalid_field(
            "schedule.end_date", f"must be 1 to {MAX_DAYS} days after the start_date"
        )
    return {"start_date": start, "end_date": end}


def _listed_dates(request: pb.ListPlannedSessionsRequest, today: date) -> DateRange:
    start = from_date(request.from_date, "from_date") if request.HasField("from_date") else today
    if not EPOCH <= start <= date.max - timedelta(MAX_LISTED_DAYS):
        raise invalid_field("from_date", "must not be before 1970")
    end = start + timedelta(USUAL_DAYS)
    if request.HasField("to_date"):
        end = from_date(request.to_date, "to_date")
    if not 0 < (end - start).days <= MAX_LISTED_DAYS:
        raise invalid_field("to_date", f"must be 1 to {MAX_LISTED_DAYS} days after the from_date")
    return DateRange(start, end)


def schedule_message(scope: Scope, stored: StoredSchedule) -> pb.Schedule:
    """Returns a schedule as it is answered."""
    message = pb.Schedule(
        id=str(stored.id),
        external_user_id=str(scope.external_user_id),
        display_name=stored.display_name,
        phase_id=str(stored.phase_id or ""),
        start_date=to_date(stored.start_date),
        end_date=to_date(stored.end_date),
        missed_policy=MISSED_POLICY.number(stored.missed_policy),
        create_time=to_timestamp(stored.created_at),
        etag=str(stored.version),
        update_time=to_timestamp(stored.updated_at),
        author_user_id=str(stored.author_user_id or ""),
    )
    ids = [str(id or "") for id in stored.workout_ids]
    if stored.weekdays:
        for weekday, id in zip(stored.weekdays, ids, strict=True):
            message.weekly.slots.add(weekday=weekday, workout_id=id)
    else:
        message.rotation.workout_ids.extend(ids)
    return message
