"""Training phases, and the calendar that they make with sessions."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import errors
from sqlalchemy import (
    Date,
    Integer,
    Uuid,
    and_,
    any_,
    bindparam,
    column,
    delete,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from training_service.caller import Scope
from training_service.domain.phase import DateRange, LostDays, Neighbours, Phase, PhaseKind, overlap
from training_service.domain.quota import Quota
from training_service.storage.athlete_lock import AthleteLock
from training_service.storage.author import PRESENT_AUTHOR
from training_service.storage.database import Database, Transaction
from training_service.storage.idempotency import AthleteChange
from training_service.storage.statements import (
    Doubles,
    Statement,
    own,
    parameter,
    prepare,
    prepare_command,
    written,
)
from training_service.storage.tables import phase_calendars, session_metrics, training_phases

_OF = training_phases.c
_COLUMNS = [c for c in training_phases.c if c.name != "external_user_id"]
_WRITTEN = [c for c in written(training_phases) if c.name != "external_user_id"]


def _phase(
    id: UUID,
    parent_id: UUID | None,
    kind: str,
    start_date: date,
    end_date: date,
    display_name: str,
    focus: str,
    *rest: Any,
) -> Phase:
    volume, intensity, deload_weeks, day_emphases, description, *state = rest
    version, created, updated, author_user_id = state
    return Phase(
        id=id,
        parent_id=parent_id,
        kind=PhaseKind(kind),
        start_date=start_date,
        end_date=end_date,
        display_name=display_name,
        focus=focus,
        volume_factors=tuple(volume),
        intensity_factors=tuple(intensity),
        deload_weeks=tuple(deload_weeks),
        day_emphases=tuple(day_emphases),
        description=description,
        version=version,
        created_at=created,
        updated_at=updated,
        author_user_id=author_user_id,
    )


def _values(phase: Phase) -> dict[str, Any]:
    """Returns the columns of a phase that are written, in the table's order."""
    return {
        "id": phase.id,
        "parent_id": phase.parent_id,
        "kind": phase.kind,
        "start_date": phase.start_date,
        "end_date": phase.end_date,
        "display_name": phase.display_name,
        "focus": phase.focus,
        "volume_factors": Doubles(phase.volume_factors),
        "intensity_factors": Doubles(phase.intensity_factors),
        "deload_weeks": list(phase.deload_weeks),
        "day_emphases": list(phase.day_emphases),
        "description": phase.description,
        "version": phase.version,
        "created_at": phase.created_at,
        "updated_at": phase.updated_at,
    }


_PHASES = select(*_COLUMNS).where(own(training_phases))
_IS_PHASE = _OF.id == parameter("id", _OF.id)
_GET = prepare(_PHASES.where(_IS_PHASE), _phase)

_PLACE = (_OF.start_date, _OF.kind, _OF.id)
"""Each phase before those within it: of those that begin on a day the largest comes first, as their
kinds do in the alphabet."""
_FILTERS: dict[str, Any] = {
    "from_date": _OF.end_date > bindparam("from_date", type_=Date),
    "to_date": _OF.start_date < bindparam("to_date", type_=Date),
    "kind": _OF.kind == parameter("kind", _OF.kind),
    "parent_id": _OF.parent_id == parameter("parent_id", _OF.parent_id),
    "after_id": tuple_(*_PLACE)
    > tuple_(
        parameter("after_date", _OF.start_date),
        parameter("after_kind", _OF.kind),
        parameter("after_id", _OF.id),
    ),
}


@cache
def _list(filters: frozenset[str]) -> Statement[Phase]:
    """Returns the listing with these filters: one statement for each combination in use."""
    return prepare(
        _PHASES.where(*(_FILTERS[name] for name in sorted(filters)))
        .order_by(*_PLACE)
        .limit(bindparam("limit", type_=Integer)),
        _phase,
    )


def _neighbours() -> Statement[Phase]:
    """Returns the phases with a day between two dates, which the days of one phase extend; and the
    parent that is meant, wherever it is."""
    changed = training_phases.alias("changed")
    is_changed = and_(own(changed), changed.c.id == parameter("phase_id", _OF.id))
    start_date, end_date = (
        select(changed.c[name]).where(is_changed).scalar_subquery()
        for name in ("start_date", "end_date")
    )
    # Of several arguments that are null, greatest and least take the others.
    first = func.least(bindparam("from_date", type_=Date), start_date)
    end = func.greatest(bindparam("to_date", type_=Date), end_date)
    is_near = and_(_OF.start_date < end, _OF.end_date > first)
    is_parent = _OF.id == parameter("parent_id", _OF.parent_id)
    return prepare(
        select(*_COLUMNS).where(own(training_phases), or_(is_near, is_parent)).order_by(*_PLACE),
        _phase,
    )


_NEIGHBOURS = _neighbours()
_LOCK = AthleteLock(phase_calendars)


def _update(*left_out: str) -> Statement[None]:
    kept = {"id", "created_at", *left_out}
    changed = {c.name: parameter(c.name, c) for c in _WRITTEN if c.name not in kept}
    return prepare_command(
        update(training_phases)
        .where(own(training_phases), _IS_PHASE)
        .values({**changed, **PRESENT_AUTHOR})
    )


_UPDATE = _update()
_MOVED = {"start_date", "end_date", "version", "updated_at"}
_MOVE = _update(*(c.name for c in _WRITTEN if c.name not in _MOVED))
# One statement: a phase and those within it refer to one another.
_DELETE = prepare_command(
    delete(training_phases).where(
        own(training_phases), _OF.id == any_(bindparam("ids", type_=ARRAY(Uuid)))
    )
)


class DayWithSession(NamedTuple):
    """A day that a phase would lose although there is a session on it."""

    phase_id: UUID
    local_date: date


def _first_session() -> Statement[DayWithSession]:
    """Returns the earliest day with a session among those that phases lose."""
    lost = (
        func.unnest(
            bindparam("phase_ids", type_=ARRAY(Uuid)),
            bindparam("start_dates", type_=ARRAY(Date)),
            bindparam("end_dates", type_=ARRAY(Date)),
        )
        .table_valued(
            column("phase_id", Uuid), column("start_date", Date), column("end_date", Date)
        )
        .render_derived(name="lost")
    )
    day = session_metrics.c.local_date
    return prepare(
        select(lost.c.phase_id, day)
        .join(lost, and_(day >= lost.c.start_date, day < lost.c.end_date))
        .where(own(session_metrics))
        .order_by(day, lost.c.phase_id)
        .limit(literal_column("1")),
        DayWithSession,
    )


_FIRST_SESSION = _first_session()


class SessionCount(NamedTuple):
    """How many sessions of a day count."""

    local_date: date
    session_count: int


_SESSION_COUNTS = prepare(
    select(session_metrics.c.local_date, func.count())
    .where(
        own(session_metrics),
        session_metrics.c.local_date >= bindparam("from_date", type_=Date),
        session_metrics.c.local_date < bindparam("to_date", type_=Date),
    )
    .group_by(session_metrics.c.local_date),
    SessionCount,
)
IN_RANGE = prepare(
    _PHASES.where(_FILTERS["from_date"], _FILTERS["to_date"]).order_by(*_PLACE), _phase
)
"""The phases with a day from `from_date` on, before `to_date`."""

PhasePlace = tuple[date, str, UUID]
"""Sort key of a listing: first day, kind and id."""


class PhaseRepository:
    """Reads and writes the phases of one athlete at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, scope: Scope, phase_id: UUID) -> Phase | None:
        """Returns a phase."""
        rows = await self._database.read(scope, _GET, {"id": phase_id})
        return rows[0] if rows else None

    async def list_page(
        self, scope: Scope, filters: Mapping[str, Any], after: PhasePlace | None, limit: int
    ) -> Sequence[Phase]:
        """Returns up to `limit` phases behind a place, by their first day. Filters that are None
        are no limit: `from_date`, `to_date`, `kind`, `parent_id`."""
        given = {name: value for name, value in filters.items() if value is not None}
        names = frozenset({*given, "after_id"} if after else given)
        after_date, after_kind, after_id = after or (None, None, None)
        place = {"after_date": after_date, "after_kind": after_kind, "after_id": after_id}
        return await self._database.read(scope, _list(names), {**given, **place, "limit": limit})

    async def around(self, scope: Scope, phase_id: UUID) -> Neighbours:
        """Returns the phases with a day that a phase has too, and so all within it; none when there
        is no such phase."""
        parameters = {"phase_id": phase_id, "parent_id": None, "from_date": None, "to_date": None}
        return Neighbours(await self._database.read(scope, _NEIGHBOURS, parameters))

    async def near(self, scope: Scope, dates: DateRange) -> Neighbours:
        """Returns the phases with a day in a range; others may change them meanwhile."""
        return Neighbours(await self.in_range(scope, dates))

    async def in_range(self, scope: Scope, dates: DateRange) -> Sequence[Phase]:
        """Returns the phases with a day in a range, each before those within it."""
        parameters = {"from_date": dates.start_date, "to_date": dates.end_date}
        return await self._database.read(scope, IN_RANGE, parameters)

    async def calendar(
        self, scope: Scope, dates: DateRange
    ) -> tuple[Sequence[Phase], Mapping[date, int]]:
        """Returns the phases with a day in a range, and how many sessions the days with any have,
        in one round trip."""
        parameters = {"from_date": dates.start_date, "to_date": dates.end_date}
        statements = (IN_RANGE, _SESSION_COUNTS)
        phases, counts = await self._database.read_all(scope, statements, parameters)
        return phases, dict(counts)

    @asynccontextmanager
    async def change(self, scope: Scope) -> AsyncIterator["PhaseChange"]:
        """Opens a change of an athlete's phases.

        Raises PHASE_OVERLAP when the database finds what the rules here did not.
        """
        try:
            async with self._database.transaction(scope) as transaction:
                yield PhaseChange(transaction, scope)
        except errors.ExclusionViolation:
            raise overlap() from None


class PhaseChange(AthleteChange):
    """One transaction that changes an athlete's phases."""

    def __init__(self, transaction: Transaction, scope: Scope) -> None:
        super().__init__(transaction)
        self._scope = scope

    async def neighbours(
        self,
        *,
        phase_id: UUID | None = None,
        parent_id: UUID | None = None,
        from_date: date | None = None,
        to_date: date | None = None,
    ) -> Neighbours:
        """Returns the phases between two dates, which the days of one phase extend, with a parent
        wherever it is; keeps others from changing any of the athlete's until the end."""
        await _LOCK.take(self._transaction)
        parameters = {
            "phase_id": phase_id,
            "parent_id": parent_id,
            "from_date": from_date,
            "to_date": to_date,
        }
        return Neighbours(await self._transaction.fetch(_NEIGHBOURS, parameters))

    async def first_session(self, lost: Sequence[LostDays]) -> DayWithSession | None:
        """Returns the earliest day with a session among days that phases would lose."""
        if not lost:
            return None
        parameters = {
            "phase_ids": [one.phase_id for one in lost],
            "start_dates": [one.dates.start_date for one in lost],
            "end_dates": [one.dates.end_date for one in lost],
        }
        return await self._transaction.fetch_first(_FIRST_SESSION, parameters)

    async def insert(self, phases: Sequence[Phase]) -> None:
        """Stores new phases; each comes behind the one it is in.

        The transaction ends with QUOTA_EXCEEDED when there are too many.
        """
        self._transaction.added.add(Quota.PHASES)
        rows = [(self._scope.external_user_id, *_values(phase).values()) for phase in phases]
        await self._transaction.insert(training_phases, rows)

    async def update(self, phase: Phase) -> None:
        """Stores a phase that is there already."""
        await self._transaction.execute(_UPDATE, _values(phase))

    async def move(self, phases: Sequence[Phase]) -> None:
        """Stores where phases are now, one after the other in this order."""
        for phase in phases:
            await self._transaction.execute(_MOVE, _values(phase))

    async def delete(self, ids: Sequence[UUID]) -> None:
        """Removes phases, together with all that are within them."""
        await self._transaction.execute(_DELETE, {"ids": ids})
