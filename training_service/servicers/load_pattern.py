"""What the flags of an athlete's load pattern are made from."""

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

from training_service.caller import Scope
from training_service.domain.exercise import MovementKind
from training_service.domain.load import ACUTE_DAYS, DayLoad, DayStatus, LoadHistory, LoadUnit
from training_service.domain.load_flag import (
    DAYS_BEFORE_BREAK,
    HOLD_DAYS,
    STRAIGHT_ARM_FAMILIES,
    WINDOW_DAYS,
    Break,
    Hold,
    LoadFlag,
    break_before,
    load_flag,
    return_day,
)
from training_service.servicers.dates import EPOCH
from training_service.storage.exercise import Catalogue
from training_service.storage.load import LoadRepository


def days_before(day: date, days: int) -> date:
    """Returns the date some days before another, but none before there was any session."""
    return max(day, EPOCH + timedelta(days)) - timedelta(days)


async def straight_arm_ids(catalogue: Catalogue) -> list[UUID]:
    """Returns the exercises whose holds are looked at."""
    exercises = await catalogue.families(STRAIGHT_ARM_FAMILIES)
    return [one.id for one in exercises if one.movement_kind is MovementKind.ISOMETRIC]


def history_from(day: date) -> date:
    """Returns from when on the flag of a day needs every day."""
    return days_before(day, WINDOW_DAYS - 1)


def holds_from(day: date) -> date:
    """Returns from when on the flag of a day looks at holds."""
    return days_before(day, HOLD_DAYS + ACUTE_DAYS - 1)


class LoadPattern:
    """The days of an athlete, as many as flags look back, and what else flags look at."""

    def __init__(
        self,
        loads: LoadRepository,
        scope: Scope,
        unit: LoadUnit,
        history: LoadHistory,
        holds: Sequence[Hold],
    ) -> None:
        self._loads = loads
        self._scope = scope
        self._unit = unit
        self.history = history
        self.holds = holds
        self._breaks: dict[date, Break | None] = {}

    async def flag(
        self, history: LoadHistory, status: DayStatus, holds: Sequence[Hold]
    ) -> LoadFlag:
        """Returns what is out of the ordinary on the last day of a history, which may be longer
        than the athlete's own by days to come. `holds` are those up to the day."""
        return load_flag(history, status, await self._break(history), holds)

    async def _break(self, history: LoadHistory) -> Break | None:
        """Returns the break that ended in the last week, if one did."""
        returned = return_day(history)
        if returned is None:
            return None
        if returned not in self._breaks:
            self._breaks[returned] = await self._break_before(history, returned)
        return self._breaks[returned]

    async def _break_before(self, history: LoadHistory, returned: date) -> Break | None:
        earlier = _days_before_break(history, returned)
        if earlier is None:
            earlier = await self._loads.days_before_break(self._scope, self._unit, returned)
        return break_before(history, returned, earlier)


def _days_before_break(history: LoadHistory, returned: date) -> list[DayLoad] | None:
    """Returns the days of the four weeks up to the last with a session before a day; None when a
    history does not reach back to them."""
    trained = [d.local_date for d in history.days if d.session_count and d.local_date < returned]
    is_whole = history.before is None
    if not trained:
        return [] if is_whole else None
    first = trained[-1] - timedelta(DAYS_BEFORE_BREAK - 1)
    if not is_whole and first < history.days[0].local_date:
        return None
    return [day for day in history.days if first <= day.local_date <= trained[-1]]


class LoadPatternReader:
    """Reads what flags are made from."""

    def __init__(self, loads: LoadRepository, catalogue: Catalogue) -> None:
        self._loads = loads
        self._catalogue = catalogue

    async def read(self, scope: Scope, unit: LoadUnit, day: date, last: date) -> LoadPattern:
        """Returns what the flags of a day, and of those after it up to the last, are made from; in
        one round trip."""
        history, holds = await self._loads.history_and_holds(
            scope,
            unit,
            history_from(day),
            last,
            await straight_arm_ids(self._catalogue),
            holds_from(day),
        )
        return LoadPattern(self._loads, scope, unit, history, holds)
