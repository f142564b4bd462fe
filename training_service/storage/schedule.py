"""Schedules, and the planned sessions that athletes moved or called off."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import errors
from sqlalchemy import Date, Integer, Uuid, and_, any_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from training_service.caller import Scope
from training_service.domain.phase import DateRange
from training_service.domain.schedule import Change, Done, MissedPolicy, Plan, Slot
from training_service.errors import Reason, bad_reference
from training_service.storage.author import PRESENT_AUTHOR
from training_service.storage.database import Database
from training_service.storage.idempotency import AthleteChange
from training_service.storage.statements import (
    Statement,
    newest_first,
    own,
    parameter,
    prepare,
    prepare_command,
    written,
)
from training_service.storage.tables import (
    schedule_changes,
    schedules,
    session_metrics,
    training_phases,
)


class StoredSchedule(NamedTuple):
    """A schedule, with the days of its phase if it has one."""

    id: UUID
    phase_id: UUID | None
    start_date: date
    end_date: date
    """The day after the last."""
    display_name: str
    workout_ids: Sequence[UUID | None]
    """Of its slots; None is rest."""
    weekdays: Sequence[int]
    """Of its slots, 1 is Monday; empty for a rotation."""
    missed_policy: str
    created_at: datetime
    version: int
    updated_at: datetime
    author_user_id: UUID | None

    @property
    def plan(self) -> Plan:
        """What is due when."""
        weekdays: Sequence[int | None] = self.weekdays or [None] * len(self.workout_ids)
        return Plan(
            start=self.start_date,
            end=self.end_date,
            slots=[
                Slot(number=number, workout_id=workout_id, weekday=weekday)
                for number, (workout_id, weekday) in enumerate(
                    zip(self.workout_ids, weekdays, strict=True), start=1
                )
            ],
            is_rotation=not self.weekdays,
            missed=MissedPolicy(self.missed_policy),
        )


class NewSchedule(NamedTuple):
    """A schedule to be stored; its days are None when it has those of a phase."""

    id: UUID
    phase_id: UUID | None
    start_date: date | None
    end_date: date | None
    display_name: str
    workout_ids: Sequence[UUID | None]
    weekdays: Sequence[int]
    missed_policy: str
    created_at: datetime


_OF = schedules.c
_START = func.coalesce(_OF.start_date, training_phases.c.start_date)
_END = func.coalesce(_OF.end_date, training_phases.c.end_date)
_SCHEDULES = (
    select(
        _OF.id,
        _OF.phase_id,
        _START,
        _END,
        _OF.display_name,
        _OF.workout_ids,
        _OF.weekdays,
        _OF.missed_policy,
        _OF.created_at,
        _OF.version,
        func.coalesce(_OF.updated_at, _OF.created_at),
        _OF.author_user_id,
    )
    .outerjoin(
        training_phases,
        and_(
            training_phases.c.external_user_id == _OF.external_user_id,
            training_phases.c.id == _OF.phase_id,
        ),
    )
    .where(own(schedules))
)
_IS_SCHEDULE = _OF.id == parameter("schedule_id", _OF.id)
_GET_ONE = _SCHEDULES.where(_IS_SCHEDULE)
_GET = prepare(_GET_ONE, StoredSchedule)
_LOCK = prepare(_GET_ONE.with_for_update(of=schedules), StoredSchedule)


@cache
def _list(*, continued: bool) -> Statement[StoredSchedule]:
    return newest_first(_SCHEDULES, _OF.id, StoredSchedule, continued=continued)


_IN_RANGE = _SCHEDULES.where(
    bindparam("to_date", type_=Date) > _START, bindparam("from_date", type_=Date) < _END
)
_LIST_IN_RANGE = prepare(_IN_RANGE.order_by(_OF.id), StoredSchedule)


_LIST_OF_PHASES = prepare(
    _SCHEDULES.where(_OF.phase_id == any_(bindparam("phase_ids", type_=ARRAY(Uuid)))).order_by(
        _OF.id
    ),
    StoredSchedule,
)


class StoredChange(NamedTuple):
    """What became of a planned session by the athlete's will."""

    schedule_id: UUID
    number: int
    change: Change
    author_user_id: UUID | None


_CHANGED = schedule_changes.c
_LIST_CHANGES = prepare(
    select(_CHANGED.schedule_id, _CHANGED.number, _CHANGED.new_date, _CHANGED.author_user_id).where(
        own(schedule_changes),
        _CHANGED.schedule_id.in_(_IN_RANGE.with_only_columns(_OF.id)),
    ),
    lambda schedule_id, number, new_date, author_user_id: StoredChange(
        schedule_id, number, Change(new_date), author_user_id
    ),
)
_LIST_DONE = prepare(
    select(session_metrics.c.session_id, session_metrics.c.local_date, session_metrics.c.workout_id)
    .where(
        own(session_metrics),
        session_metrics.c.workout_id.is_not(None),
        session_metrics.c.local_date
        >= _IN_RANGE.with_only_columns(func.min(_START)).scalar_subquery(),
        session_metrics.c.local_date < bindparam("to_date", type_=Date),
    )
    .order_by(session_metrics.c.started_at, session_metrics.c.session_id),
    Done,
)
_INSERT = prepare_command(
    insert(schedules).values(
        {name: parameter(name, _OF[name]) for name in ("external_user_id", *NewSchedule._fields)}
    )
)
_UPDATED = (
    "display_name",
    "start_date",
    "end_date",
    "workout_ids",
    "weekdays",
    "missed_policy",
    "version",
    "updated_at",
)
_UPDATE = prepare_command(
    update(schedules)
    .where(own(schedules), _IS_SCHEDULE)
    .values({name: parameter(name, _OF[name]) for name in _UPDATED})
    .values(PRESENT_AUTHOR)
)
_DELETE = prepare_command(delete(schedules).where(own(schedules), _IS_SCHEDULE))
_INSERT_CHANGE = insert(schedule_changes).values(
    {c.name: parameter(c.name, c) for c in written(schedule_changes)}
)
_CHANGE = prepare_command(
    _INSERT_CHANGE.on_conflict_do_update(
        index_elements=list(schedule_changes.primary_key.columns),
        set_={
            name: _INSERT_CHANGE.excluded[name]
            for name in ("new_date", "created_at", "author_user_id")
        },
    )
)
_OF_SCHEDULE = (
    own(schedule_changes),
    _CHANGED.schedule_id == parameter("schedule_id", _CHANGED.schedule_id),
)
_RESTORE = prepare_command(
    delete(schedule_changes).where(
        *_OF_SCHEDULE, _CHANGED.number == parameter("number", _CHANGED.number)
    )
)
_FIRST_DAY = bindparam("first_day", type_=Date)
_FROM_DAY = or_(_FIRST_DAY.is_(None), _CHANGED.new_date >= _FIRST_DAY)
_CHANGED_NUMBERS = prepare(
    select(_CHANGED.number)
    .where(*_OF_SCHEDULE, _FROM_DAY)
    .order_by(_CHANGED.number)
    .limit(bindparam("limit", type_=Integer)),
    lambda number: number,
)
_DISCARD = prepare_command(delete(schedule_changes).where(*_OF_SCHEDULE, _FROM_DAY))


PLANNED: tuple[Statement[Any], ...] = (_LIST_IN_RANGE, _LIST_CHANGES, _LIST_DONE)
"""What a `Planned` is made of, of a range (`from_date`, `to_date`)."""


class Planned(NamedTuple):
    """What planned sessions of a range are told by."""

    schedules: Sequence[StoredSchedule]
    changes: Sequence[StoredChange]
    done: Sequence[Done]
    """Sessions of workouts since the first of the schedules began."""


class ScheduleRepository:
    """Reads and writes the schedules of one athlete at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, scope: Scope, schedule_id: UUID) -> StoredSchedule | None:
        """Returns a schedule."""
        rows = await self._database.read(scope, _GET, {"schedule_id": schedule_id})
        return rows[0] if rows else None

    async def list_page(
        self, scope: Scope, before_id: UUID | None, limit: int
    ) -> list[StoredSchedule]:
        """Returns up to `limit` schedules, newest first, older than `before_id`."""
        statement = _list(continued=before_id is not None)
        return await self._database.read(scope, statement, {"before_id": before_id, "limit": limit})

    async def of_phases(self, scope: Scope, phase_ids: Sequence[UUID]) -> list[StoredSchedule]:
        """Returns the schedules that have the days of these phases."""
        return await self._database.read(scope, _LIST_OF_PHASES, {"phase_ids": list(phase_ids)})

    async def planned(self, scope: Scope, dates: DateRange) -> Planned:
        """Returns the schedules with a day in a range, and what became of their sessions; in one
        round trip."""
        parameters = {"from_date": dates.start_date, "to_date": dates.end_date}
        return Planned(*await self._database.read_all(scope, PLANNED, parameters))

    @asynccontextmanager
    async def change(self, scope: Scope) -> AsyncIterator["ScheduleChange"]:
        """Opens a change of an athlete's schedules.

        Raises UNKNOWN_PHASE at the end when a new one names a phase that does not exist.
        """
        try:
            async with self._database.transaction(scope) as transaction:
                yield ScheduleChange(transaction)
        except errors.ForeignKeyViolation:
            raise bad_reference(
                Reason.UNKNOWN_PHASE, "schedule.phase_id", "there is no such phase"
            ) from None


class ScheduleChange(AthleteChange):
    """One transaction that changes an athlete's schedules."""

    async def add(self, new: NewSchedule) -> None:
        """Stores a schedule."""
        await self._transaction.execute(_INSERT, new._asdict())

    async def insert(self, new: NewSchedule) -> StoredSchedule:
        """Stores a schedule, and returns it with its days."""
        await self.add(new)
        [stored] = await self._transaction.fetch(_GET, {"schedule_id": new.id})
        return stored

    async def lock(self, schedule_id: UUID) -> StoredSchedule | None:
        """Returns a schedule, and keeps others from changing it or its sessions until the end."""
        return await self._transaction.fetch_first(_LOCK, {"schedule_id": schedule_id})

    async def update(self, schedule: StoredSchedule) -> None:
        """Stores a schedule in place of what it was; days of a phase are not stored with it."""
        values = {"schedule_id": schedule.id, **schedule._asdict()}
        if schedule.phase_id is not None:
            values.update(start_date=None, end_date=None)
        await self._transaction.execute(_UPDATE, values)

    async def delete(self, schedule_id: UUID) -> None:
        """Removes a schedule with its changes."""
        await self._transaction.execute(_DELETE, {"schedule_id": schedule_id})

    async def changed_numbers(
        self, schedule_id: UUID, first_day: date | None, limit: int
    ) -> Sequence[int]:
        """Returns the numbers of up to `limit` planned sessions that were moved to a day or later;
        with None, of all that were moved or called off."""
        parameters = {"schedule_id": schedule_id, "first_day": first_day, "limit": limit}
        return await self._transaction.fetch(_CHANGED_NUMBERS, parameters)

    async def discard(self, schedule_id: UUID, first_day: date | None) -> None:
        """Puts all of those back where the schedule has them."""
        parameters = {"schedule_id": schedule_id, "first_day": first_day}
        await self._transaction.execute(_DISCARD, parameters)

    async def reschedule(
        self, schedule_id: UUID, number: int, change: Change, now: datetime
    ) -> None:
        """Moves a planned session, or calls it off."""
        parameters = {
            "schedule_id": schedule_id,
            "number": number,
            "new_date": change.new_date,
            "created_at": now,
        }
        await self._transaction.execute(_CHANGE, parameters)

    async def restore(self, schedule_id: UUID, number: int) -> None:
        """Puts a planned session back where the schedule has it."""
        parameters: dict[str, Any] = {"schedule_id": schedule_id, "number": number}
        await self._transaction.execute(_RESTORE, parameters)
