"""What a coach may know of a group's athletes, read of all of them at once.

The statements are those that read of one athlete (`for_each`), all of one moment. What an athlete
did not grant, the database's policies leave out, whatever is asked for.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from sqlalchemy import literal_column, or_, select

from training_service.domain.group import Role
from training_service.domain.load import DayLoad, LoadHistory, LoadUnit
from training_service.domain.load_flag import Hold, return_day
from training_service.domain.phase import DateRange
from training_service.storage.database import Database, ManyTransaction
from training_service.storage.grant import READ_METRICS, READ_WELLNESS, Look
from training_service.storage.load import HISTORY, LIST_DAYS_BEFORE_BREAK, LIST_HOLDS, history_of
from training_service.storage.personal_record import LIST_RECORDS, PersonalRecord
from training_service.storage.readiness import LAST_DATE, RECORDS, ReadinessInputs, of_day
from training_service.storage.reads import Reads
from training_service.storage.schedule import PLANNED, Planned
from training_service.storage.statements import Statement, for_each, parameter, prepare
from training_service.storage.tables import access_log, group_members
from training_service.storage.wellness import CURRENT_WELLNESS

UNIT = LoadUnit.SESSION_RPE
"""What load is counted in."""
GRANT_SCOPES = (READ_METRICS, READ_WELLNESS)
"""What a roster shows, each of those who granted it."""
MAX_RECORDS = 1_000
"""Most records of an athlete's week that are counted."""

Row = TypeVar("Row")

_MEMBER = group_members.c


class Member(NamedTuple):
    """Somebody in a group."""

    user_id: UUID
    role: str


_LIST_MEMBERS = prepare(
    select(_MEMBER.member_user_id, _MEMBER.role)
    .where(
        _MEMBER.group_id == parameter("group_id", _MEMBER.group_id),
        or_(
            _MEMBER.role == literal_column(f"'{Role.ATHLETE}'"),
            _MEMBER.member_user_id == parameter("user_id", _MEMBER.member_user_id),
        ),
    )
    .order_by(_MEMBER.member_user_id),
    Member,
)
_HISTORY = tuple(for_each(one) for one in HISTORY[UNIT])
METRICS_QUERIES = (
    *_HISTORY,
    *(for_each(one) for one in (*PLANNED, LIST_HOLDS, LAST_DATE, LIST_RECORDS)),
)
_BEFORE_BREAK = for_each(LIST_DAYS_BEFORE_BREAK[UNIT], "return_date")
WELLNESS_QUERIES = (for_each(RECORDS), for_each(CURRENT_WELLNESS))
LOAD_QUERIES = (*_HISTORY, for_each(LAST_DATE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked about each athlete."""

    day: date
    load_from: date
    """From when on every day's load is needed."""
    holds_from: date
    exercise_ids: Sequence[UUID]
    """Whose holds count."""
    planned: DateRange
    records_from: date

    @property
    def of_metrics(self) -> dict[str, Any]:
        """The parameters of what READ_METRICS shows."""
        return {
            **self._of_loads,
            "holds_from": self.holds_from,
            "exercise_ids": self.exercise_ids,
            "from_date": self.planned.start_date,
            "to_date": self.planned.end_date,
            "first": self.records_from,
            "limit": MAX_RECORDS,
        }

    @property
    def of_readiness(self) -> dict[str, Any]:
        """The parameters of what READ_WELLNESS shows."""
        return {**self._of_loads, **of_day(self.day)}

    @property
    def _of_loads(self) -> dict[str, Any]:
        return {
            "unit": UNIT.value,
            "before": self.load_from,
            "last": self.day,
            "local_date": self.day,
        }


class Metrics(NamedTuple):
    """What READ_METRICS shows of an athlete."""

    history: LoadHistory
    days_before_break: Sequence[DayLoad]
    """The days with sessions of the four weeks before a break that ended in the last week."""
    holds: Sequence[Hold]
    last_date: date | None
    """Of the last session until the day."""
    planned: Planned
    records: Sequence[PersonalRecord]
    """First reached since a day, the newest first."""


Admitted = Mapping[str, frozenset[UUID]]
"""Who granted what, by its name in GrantScope."""


class RosterRepository:
    """Reads of a group's athletes, on behalf of one user at a time.

    That they are looked at is stored before anything is read, and in a transaction of its own, so
    that the reads may be a replica's.
    """

    def __init__(self, database: Database, reads: Reads) -> None:
        self._database = database
        self._reads = reads

    @asynccontextmanager
    async def admission(self, look: Look) -> AsyncIterator["RosterAdmission"]:
        """Opens the transaction that makes out whom somebody may look at."""
        async with self._database.of_many(look.user_id) as transaction:
            yield RosterAdmission(transaction, look)

    @asynccontextmanager
    async def view(self, look: Look, admitted: Admitted) -> AsyncIterator["RosterView"]:
        """Opens the transaction in which they look at them."""
        async with self._reads.snapshot_of_many(look.user_id) as transaction:
            yield RosterView(transaction, look, admitted)


class RosterAdmission:
    """One transaction that makes out whom somebody may look at, and notes that they do."""

    def __init__(self, transaction: ManyTransaction, look: Look) -> None:
        self._transaction = transaction
        self._look = look

    async def members(self, group_id: UUID) -> list[Member]:
        """Returns the athletes of a group, and who looks if they are in it, by user id."""
        parameters = {"group_id": group_id, "user_id": self._look.user_id}
        return await self._transaction.fetch(_LIST_MEMBERS, parameters)

    async def admit(self, athletes: Sequence[UUID], now: datetime) -> Admitted:
        """Returns who of the athletes granted what; that they are looked at is then on record."""
        found = await self._transaction.fetch_each(
            [self._look.held(athletes, scope) for scope in GRANT_SCOPES]
        )
        held = dict(zip(GRANT_SCOPES, found, strict=True))
        for scope, grants in held.items():
            if not grants:
                continue
            await self._transaction.act_by(scope)
            # Row by row: Citus would copy what an INSERT … SELECT finds, past row-level security.
            await self._transaction.insert(access_log, self._look.rows(grants, scope, now))
        return {
            scope: frozenset(one.external_user_id for one in grants)
            for scope, grants in held.items()
        }


class RosterView:
    """One moment of those whom somebody may look at."""

    def __init__(self, transaction: ManyTransaction, look: Look, admitted: Admitted) -> None:
        self._transaction = transaction
        self._look = look
        self._admitted = admitted

    async def metrics(self, question: Question) -> dict[UUID, Metrics]:
        """Returns what there is of those who granted READ_METRICS."""
        found = await self._read(READ_METRICS, METRICS_QUERIES, question.of_metrics)
        histories = {
            one: history_of(rows[: len(_HISTORY)], question.day) for one, rows in found.items()
        }
        earlier = await self._days_before_break(histories)
        read = {}
        for athlete, rows in found.items():
            *_, schedules, changes, done, holds, [last_date], records = rows
            read[athlete] = Metrics(
                history=histories[athlete],
                days_before_break=earlier.get(athlete, ()),
                holds=holds,
                last_date=last_date,
                planned=Planned(schedules, changes, done),
                records=records,
            )
        return read

    async def _days_before_break(
        self, histories: Mapping[UUID, LoadHistory]
    ) -> Mapping[UUID, list[DayLoad]]:
        """Returns the days before a break of those who may just have ended one."""
        returned = {
            athlete: day for athlete, history in histories.items() if (day := return_day(history))
        }
        if not returned:
            return {}
        parameters = {
            "external_user_ids": list(returned),
            "return_dates": list(returned.values()),
        }
        return _by_athlete(await self._transaction.fetch(_BEFORE_BREAK, parameters))

    async def readiness(
        self, metrics: Mapping[UUID, Metrics], question: Question
    ) -> dict[UUID, ReadinessInputs]:
        """Returns what the readiness is made of, of those who granted READ_WELLNESS. Loads are not
        read again of those of whom there are metrics."""
        found = await self._read(READ_WELLNESS, WELLNESS_QUERIES, question.of_readiness)
        loads = {one: (m.history, m.last_date) for one, m in metrics.items()}
        loads.update(await self._loads([one for one in found if one not in loads], question))
        read = {}
        for athlete, (records, entries) in found.items():
            history, last_date = loads[athlete]
            wellness = entries[0] if entries else None
            read[athlete] = ReadinessInputs(records, last_date, wellness, history)
        return read

    async def _loads(
        self, athletes: Sequence[UUID], question: Question
    ) -> dict[UUID, tuple[LoadHistory, date | None]]:
        """Returns the loads until the day, and the last day with a session."""
        if not athletes:
            return {}
        parameters = {**question.of_readiness, "external_user_ids": athletes}
        queries = [(one, parameters) for one in LOAD_QUERIES]
        found = _of_each(athletes, await self._transaction.fetch_each(queries))
        return {
            athlete: (history_of(rows, question.day), last_date)
            for athlete, (*rows, [last_date]) in found.items()
        }

    async def _read(
        self,
        grant_scope: str,
        statements: Sequence[Statement[Any]],
        parameters: Mapping[str, Any],
    ) -> dict[UUID, list[list[Any]]]:
        """Returns the rows of each statement, by athlete, of those who were let in by what they
        granted and have not taken it back since."""
        athletes = sorted(self._admitted[grant_scope])
        if not athletes:
            return {}
        await self._transaction.act_by(grant_scope)
        given = {**parameters, "external_user_ids": athletes}
        held, *found = await self._transaction.fetch_each(
            [self._look.held(athletes, grant_scope), *((one, given) for one in statements)]
        )
        return _of_each([one.external_user_id for one in held], found)


def _of_each(
    athletes: Sequence[UUID], found: Sequence[list[tuple[UUID, Any]]]
) -> dict[UUID, list[list[Any]]]:
    """Returns the rows of each statement, by athlete."""
    by_statement = [_by_athlete(rows) for rows in found]
    return {athlete: [rows[athlete] for rows in by_statement] for athlete in athletes}


def _by_athlete(rows: Sequence[tuple[UUID, Row]]) -> Mapping[UUID, list[Row]]:
    found: dict[UUID, list[Row]] = defaultdict(list)
    for athlete, row in rows:
        found[athlete].append(row)
    return found
