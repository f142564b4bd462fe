"""ScheduleService."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import uuid6
from calisthenics.training.v1 import schedule_pb2 as pb
from calisthenics.training.v1.schedule_pb2_grpc import ScheduleServiceServicer

from training_service.caller import Scope, athlete_scope
from training_service.domain.phase import DateRange
from training_service.domain.schedule import (
    Change,
)
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
        await self._check_workouts(scope, request.schedule)

        async def work(change: ScheduleChange) -> pb.Schedule:
            return schedule_message(scope, await change.insert(new))

        return await once(self._schedules.change(scope), write, pb.Schedule, work)

    async def _check_workouts(self, scope: Scope, schedule: pb.Schedule) -> None:
        """Refuses workouts that don't exist or are deleted."""
        named = {path: UUID(id) for path, id in _slots(schedule) if id}
        known = await self._workouts.list_named(scope, set(named.values()))
        violations = [
            FieldViolation(path, "there is no such workout")
            for path, id in named.items()
            if id not in known
        ]
        if violations:
            raise TrainingError(
                Reason.UNKNOWN_WORKOUT, "there is no such workout", violations=violations
            )

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

    async def DeleteSchedule(
        self, request: pb.DeleteScheduleRequest, context: Any
    ) -> pb.DeleteScheduleResponse:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())

        async def work(change: ScheduleChange) -> pb.DeleteScheduleResponse:
            if not await change.delete(UUID(request.schedule_id)):
                raise _not_found()
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
            stored = _found(await change.get(id))
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
        **_dates(message),
        display_name=message.display_name,
        workout_ids=[optional_uuid(id) for _, id in _slots(message)],
        weekdays=[int(slot.weekday) for slot in message.weekly.slots],
        missed_policy=MISSED_POLICY.name(message.missed_policy or pb.MISSED_SESSION_POLICY_LET_GO),
        created_at=now,
    )


def _found(stored: StoredSchedule | None) -> StoredSchedule:
    if stored is None:
        raise _not_found()
    return stored


def _not_found() -> TrainingError:
    return bad_reference(Reason.SCHEDULE_NOT_FOUND, "schedule_id", "there is no such schedule")


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
    if start < EPOCH:
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
    )
    ids = [str(id or "") for id in stored.workout_ids]
    if stored.weekdays:
        for weekday, id in zip(stored.weekdays, ids, strict=True):
            message.weekly.slots.add(weekday=weekday, workout_id=id)
    else:
        message.rotation.workout_ids.extend(ids)
    return message
