"""What a logged session is, and the rules it must keep."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cache
from importlib import resources
from uuid import UUID
from zoneinfo import ZoneInfo

from training_service.domain.exercise import MovementKind
from training_service.domain.metrics import SessionMetrics
from training_service.errors import invalid_field

LOCAL_DATE_MARGIN = timedelta(days=1)
"""No local date begins or ends further than this from the same date in UTC."""


MAX_SETS = 2_000
"""Most sets of a session, and of a workout: how much a single record may hold."""


class RetractionKind(StrEnum):
    """How a session came to count no more."""

    SUPERSEDED = "SUPERSEDED"
    VOIDED = "VOIDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A session about to be stored.

    `record` is the message that was acknowledged, serialized; the rest is what the database must
    constrain, search and add up. `exercises` holds, in order, each exercise with its number of
    sets; `metrics` is what it amounts to.
    """

    id: UUID
    started_at: datetime
    time_zone: str
    local_date: date
    duration_seconds: int | None
    session_rpe: float | None
    body_mass_kg: float | None
    completion: str
    group_external_id: str
    workout_id: UUID | None
    workout_revision: int | None
    request_id: UUID | None
    request_digest: bytes
    exercises: tuple[tuple[UUID, int], ...]
    created_at: datetime
    record: bytes
    metrics: SessionMetrics
    supersedes_id: UUID | None = None
    original_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions a listing asks for; None is no limit. Ranges are half-open."""

    from_time: datetime | None = None
    to_time: datetime | None = None
    from_date: date | None = None
    to_date: date | None = None
    workout_id: UUID | None = None
    exercise_id: UUID | None = None
    oldest_first: bool = False
    show_retracted: bool = False


@cache
def time_zone_names() -> frozenset[str]:
    """Returns the names of the IANA time zone database that this service comes with."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text().split())


@cache
def _time_zone(name: str) -> ZoneInfo:
    """Returns a time zone of that database, whatever the machine has of its own."""
    file = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with file.open("rb") as stream:
        return ZoneInfo.from_file(stream, key=name)


def local_date(started_at: datetime, time_zone: str, path: str) -> date:
    """Returns the calendar date of an instant in a time zone; `path` is the field of the zone."""
    if time_zone not in time_zone_names():
        raise invalid_field(path, "must be a name of the IANA time zone database")
    return started_at.astimezone(_time_zone(time_zone)).date()


def earliest_start(day: date) -> datetime:
    """Returns an instant before any that falls on this local date, in any time zone."""
    if day == date.min:
        return datetime.min.replace(tzinfo=UTC)
    return datetime(day.year, day.month, day.day, tzinfo=UTC) - LOCAL_DATE_MARGIN


def latest_start(day: date) -> datetime:
    """Returns an instant after any that falls before this local date, in any time zone."""
    if day == date.max:
        return datetime.max.replace(tzinfo=UTC)
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + LOCAL_DATE_MARGIN


def check_set_count(count: int, path: str) -> None:
    """Refuses more sets than a record may hold; `path` is the field of the exercises."""
    if count > MAX_SETS:
        raise invalid_field(path, f"must not have more than {MAX_SETS} sets in all")


def check_counted_in_reps(kind: MovementKind, path: str) -> None:
    """Refuses repetitions, at this field, of an isometric exercise."""
    if kind is MovementKind.ISOMETRIC:
        raise invalid_field(path, "an isometric exercise is counted in seconds")


def check_counted_in_seconds(kind: MovementKind, path: str) -> None:
    """Refuses a hold time, at this field, of a dynamic exercise."""
    if kind is MovementKind.DYNAMIC:
        raise invalid_field(path, "a dynamic exercise is counted in repetitions")
