"""The load pattern that would come of what is planned."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from math import fsum

from calisthenics.training.v1 import schedule_pb2

from training_service.caller import Scope
from training_service.domain.load import DayStatus, Deviation, LoadUnit
from training_service.domain.load_flag import Hold, LoadFlag
from training_service.domain.load_outlook import first_rise, until, with_planned
from training_service.domain.phase import DateRange
from training_service.servicers.convert import exercise_uuid, from_date
from training_service.servicers.expected_load import ExpectedLoadReader, ExpectedSession
from training_service.servicers.load_pattern import (
    LoadPattern,
    LoadPatternReader,
    straight_arm_ids,
)
from training_service.servicers.planned_session import PlannedSessionReader
from training_service.storage.exercise import Catalogue


@dataclass(frozen=True, slots=True)
class OutlookDay:
    """What would come of a day; without status and flag as long as there is no session."""

    local_date: date
    sessions: Sequence[ExpectedSession]
    status: DayStatus | None
    flag: LoadFlag | None

    @property
    def lacks_basis(self) -> bool:
        """Whether the load of one of its planned sessions is unknown."""
        return any(one.load.load_au is None for one in self.sessions)


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would come of what is planned."""

    now: LoadFlag | None
    """Today, without what is still planned for it; None before the first session."""
    days: Sequence[OutlookDay]
    """From today on."""

    @property
    def rise_date(self) -> date | None:
        """The first day with a higher level than today."""
        index = first_rise(
            self.now.level if self.now else None,
            [day.flag.level if day.flag else None for day in self.days],
        )
        return None if index is None else self.days[index].local_date


class OutlookReader:
    """Reads what is planned and what was done, and puts the one after the other."""

    def __init__(
        self,
        patterns: LoadPatternReader,
        planned: PlannedSessionReader,
        expected: ExpectedLoadReader,
        catalogue: Catalogue,
    ) -> None:
        self._patterns = patterns
        self._planned = planned
        self._expected = expected
        self._catalogue = catalogue

    async def read(
        self, scope: Scope, dates: DateRange, now: datetime, deviation: Deviation
    ) -> Outlook:
        """Returns what would come of the days of a range that begins today."""
        today = dates.start_date
        last = dates.end_date - timedelta(1)
        pattern, planned = await asyncio.gather(
            self._patterns.read(scope, LoadUnit.SESSION_RPE, today, last),
            self._planned.read(scope, dates, today),
        )
        due = [one for one in planned if one.state == schedule_pb2.PLANNED_SESSION_STATE_PLANNED]
        sessions: dict[date, list[ExpectedSession]] = defaultdict(list)
        for one in await self._expected.of(scope, due, now):
            sessions[from_date(one.session.local_date, "local_date")].append(one)
        return Outlook(
            await self._now(pattern, today, deviation),
            await self._ahead(pattern, _days(dates), sessions, deviation),
        )

    @staticmethod
    async def _now(pattern: LoadPattern, today: date, deviation: Deviation) -> LoadFlag | None:
        history = until(pattern.history, today)
        status = history.status(deviation)
        if status is None:
            return None
        holds = [hold for hold in pattern.holds if hold.local_date <= today]
        return await pattern.flag(history, status, holds)

    async def _ahead(
        self,
        pattern: LoadPattern,
        days: Sequence[date],
        sessions: Mapping[date, Sequence[ExpectedSession]],
        deviation: Deviation,
    ) -> list[OutlookDay]:
        loads = {day: [one.load.load_au for one in of] for day, of in sessions.items()}
        whole = with_planned(pattern.history, days, loads)
        holds = sorted(
            [*pattern.holds, *await self._planned_holds(sessions)],
            key=lambda hold: hold.local_date,
        )
        found = []
        for day in days:
            history = until(whole, day)
            status = history.status(deviation)
            flag = None
            if status is not None:
                so_far = [hold for hold in holds if hold.local_date <= day]
                flag = await pattern.flag(history, status, so_far)
            found.append(OutlookDay(day, sessions.get(day, ()), status, flag))
        return found

    async def _planned_holds(
        self, sessions: Mapping[date, Sequence[ExpectedSession]]
    ) -> list[Hold]:
        """Returns for how long planned sessions hold straight-arm positions, in their order."""
        ids = set(await straight_arm_ids(self._catalogue))
        holds = []
        for day, of in sorted(sessions.items()):
            for one in of:
                pairs = zip(one.session.exercises, one.exercises, strict=True)
                seconds = fsum(
                    planned.set_count * planned.work_seconds
                    for message, planned in pairs
                    if exercise_uuid(message.exercise.exercise_id) in ids
                    and planned.hold_seconds is not None
                    and not planned.is_warm_up
                )
                if seconds:
                    holds.append(Hold(day, seconds))
        return holds


def _days(dates: DateRange) -> list[date]:
    count = (dates.end_date - dates.start_date).days
    return [dates.start_date + timedelta(n) for n in range(count)]
