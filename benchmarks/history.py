"""Histories of any size: sessions as the service itself would have stored them, by COPY."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from calisthenics.training.v1 import session_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg import sql
from psycopg.copy import Copy
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from benchmarks import data
from training_service.domain import session as domain
from training_service.servicers.convert import to_date
from training_service.storage.tables import session_exercises, session_retractions, sessions

SESSIONS_EACH = 300
SUBJECTS = 3
"""How many athletes the calls are about; their sessions are the same in a history of any size."""

LOADER = "training_loader"
ADVANCE_EVERY = 1000

_PERIOD_SECONDS = 2 * 24 * 3600
_BEGIN = data.NOW - timedelta(seconds=_PERIOD_SECONDS) * SESSIONS_EACH
_LOGGED_AFTER = timedelta(hours=1)
_VOIDED_ONE_IN = 32


class Logged(NamedTuple):
    """A session of a history."""

    athlete: UUID
    id: UUID
    started_at: datetime
    local_date: date
    request_id: UUID
    request_digest: bytes
    created_at: datetime
    is_voided: bool


@dataclass(frozen=True)
class History:
    """The sessions of athletes who train every other day, three in a hundred of them voided.

    The athletes' sessions alternate, as they do where many log at a time: no athlete's stand
    together. The same athlete has the same sessions in a history of any size.
    """

    size: int

    @cached_property
    def athletes(self) -> list[UUID]:
        """Who they are; each has SESSIONS_EACH sessions, the last has what remains."""
        return [UUID(id) for id in data.athletes(-(-self.size // SESSIONS_EACH))]

    def session(self, athlete: int, number: int) -> Logged:
        """Returns a session of the athlete in this place, by its number from 0."""
        user = self.athletes[athlete]
        started_at = _BEGIN + timedelta(seconds=number * _PERIOD_SECONDS + _offset_seconds(athlete))
        # Stands for chance, alike in every run.
        chance = blake2b(user.bytes + number.to_bytes(2, "big")).digest()
        created_at = started_at + _LOGGED_AFTER + timedelta(microseconds=chance[63] * 3000)
        return Logged(
            athlete=user,
            id=_uuid7(created_at, chance[:10]),
            started_at=started_at,
            local_date=domain.local_date(started_at, _GIVEN.time_zone, "time_zone"),
            request_id=UUID(bytes=chance[10:26], version=4),
            request_digest=chance[26:58],
            created_at=created_at,
            is_voided=(athlete + number) % _VOIDED_ONE_IN == 0,
        )

    def sample(self, count: int, seed: str) -> list[Logged]:
        """Returns sessions at random, of whomever; others for another seed."""
        random = Random(seed)  # noqa: S311 - the same in every run
        return [
            self.session(*divmod(random.randrange(self.size), SESSIONS_EACH)) for _ in range(count)
        ]

    def __iter__(self) -> Iterator[Logged]:
        """Yields all sessions in the order they were logged."""
        order = sorted(range(len(self.athletes)), key=_offset_seconds)
        for number in range(SESSIONS_EACH):
            for athlete in order:
                if athlete * SESSIONS_EACH + number < self.size:
                    yield self.session(athlete, number)


def _offset_seconds(athlete: int) -> int:
    """Returns when in each period an athlete trains: spread evenly, however many they are."""
    golden_ratio = 0.6180339887498949
    return int(athlete * golden_ratio % 1 * _PERIOD_SECONDS)


def _uuid7(instant: datetime, chance: bytes) -> UUID:
    milliseconds = int(instant.timestamp() * 1000)
    low = int.from_bytes(chance, "big")
    bits = milliseconds << 80 | low
    return UUID(int=bits & ~(0xF << 76 | 0b11 << 62) | 0x7 << 76 | 0b10 << 62)


def _as_stored() -> pb.Session:
    """Returns what all sessions have in common, filled in as the service does."""
    session = data.a_session()
    session.ClearField("start_time")
    session.completion = pb.SESSION_COMPLETION_COMPLETED
    session.state = pb.SESSION_STATE_CURRENT
    for order, exercise in enumerate(session.exercises, start=1):
        exercise.order = order
    return session


_GIVEN = _as_stored()


def _without(*names: str) -> bytes:
    part = pb.Session()
    part.CopyFrom(_GIVEN)
    for name in names:
        part.ClearField(name)  # type: ignore[arg-type]
    return part.SerializeToString()


_ZONE = pb.Session(time_zone=_GIVEN.time_zone).SerializeToString()
_BODY = _without("time_zone", "state")
_STATE = pb.Session(state=_GIVEN.state).SerializeToString()


def message(logged: Logged) -> pb.Session:
    """Returns a session as the service should answer it."""
    session = pb.Session(id=str(logged.id), external_user_id=str(logged.athlete))
    session.MergeFrom(_GIVEN)
    session.start_time.FromDatetime(logged.started_at)
    session.local_date.CopyFrom(to_date(logged.local_date))
    session.create_time.FromDatetime(logged.created_at)
    if logged.is_voided:
        session.state = pb.SESSION_STATE_VOIDED
        session.retract_time.FromDatetime(logged.created_at)
    return session


def record(logged: Logged) -> bytes:
    """Returns a session as it was when it was logged, serialized, but never a whole message.

    Messages that follow one another are one message with the fields of all.
    """
    start = Timestamp(seconds=int(logged.started_at.timestamp()))
    created = Timestamp()
    created.FromDatetime(logged.created_at)
    head = pb.Session(
        id=str(logged.id), external_user_id=str(logged.athlete), start_time=start
    ).SerializeToString()
    day = pb.Session(local_date=to_date(logged.local_date)).SerializeToString()
    stored = pb.Session(create_time=created).SerializeToString()
    return b"".join((head, _ZONE, day, _BODY, stored, _STATE))


SESSION_COLUMNS = (
    "external_user_id",
    "id",
    "started_at",
    "time_zone",
    "local_date",
    "duration_seconds",
    "session_rpe",
    "body_mass_kg",
    "completion",
    "group_external_id",
    "request_id",
    "request_digest",
    "created_at",
    "record",
)
"""What has a value; the other columns stay null."""

EXERCISE_COLUMNS = ("external_user_id", "session_id", "position", "exercise_id", "set_count")
RETRACTION_COLUMNS = ("external_user_id", "session_id", "kind", "reason", "created_at")

EXERCISES = [(UUID(e.exercise_id), len(e.sets)) for e in _GIVEN.exercises]
"""Exercises of each session, in order, with their numbers of sets."""


def session_row(logged: Logged) -> tuple[Any, ...]:
    """Returns the values of SESSION_COLUMNS."""
    return (
        logged.athlete,
        logged.id,
        logged.started_at,
        _GIVEN.time_zone,
        logged.local_date,
        _GIVEN.duration_seconds,
        _GIVEN.session_rpe,
        _GIVEN.body_mass_kg,
        "COMPLETED",
        _GIVEN.group_external_id,
        logged.request_id,
        logged.request_digest,
        logged.created_at,
        record(logged),
    )


def create_loader(url: str) -> None:
    """Creates the role that loads, with the right to add rows and no other.

    COPY is refused where row-level security would apply, so the role is exempt from it. Foreign
    keys it may leave unchecked: the rows fit one another, and looking up two for each of millions
    of rows takes longer than all the rest.
    """
    role = sql.Identifier(LOADER)
    tables = sql.SQL(", ").join(map(_name, (sessions, session_exercises, session_retractions)))
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in (
            "CREATE ROLE {role} NOLOGIN BYPASSRLS",
            "GRANT USAGE ON SCHEMA training TO {role}",
            "GRANT INSERT ON {tables} TO {role}",
            "GRANT SET ON PARAMETER session_replication_role TO {role}",
        ):
            connection.execute(sql.SQL(statement).format(role=role, tables=tables))


def load(url: str, history: History, progress: Callable[[int], None]) -> None:
    """Fills an empty database with a history; calls `progress` with how many rows came since.

    Each table has its own connection, so that the server's processes work side by side.
    """
    with (
        _copy(url, sessions, SESSION_COLUMNS) as to_sessions,
        _copy(url, session_exercises, EXERCISE_COLUMNS) as to_exercises,
        _copy(url, session_retractions, RETRACTION_COLUMNS) as to_retractions,
    ):
        exercises = [(p, id, count) for p, (id, count) in enumerate(EXERCISES, start=1)]
        for number, logged in enumerate(history, start=1):
            key = (logged.athlete, logged.id)
            to_sessions.write_row(session_row(logged))
            for exercise in exercises:
                to_exercises.write_row(key + exercise)
            if logged.is_voided:
                voided = domain.RetractionKind.VOIDED.value
                to_retractions.write_row((*key, voided, "", logged.created_at))
            if number % ADVANCE_EVERY == 0:
                progress(ADVANCE_EVERY)


@contextmanager
def _copy(url: str, table: Table, columns: Sequence[str]) -> Iterator[Copy]:
    """Copies rows into a table until the end of the block."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(_name(table), names)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(LOADER)))
        connection.execute("SET session_replication_role = replica")
        with connection.cursor().copy(statement) as copy:
            copy.set_types([table.c[name].type.compile(dialect).lower() for name in columns])
            yield copy


def _name(table: Table) -> sql.Identifier:
    return sql.Identifier(table.schema or "", table.name)
