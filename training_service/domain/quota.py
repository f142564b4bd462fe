"""How much an athlete may have."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

_RANDOM_BITS = 80
"""Bits of a UUID behind its time (RFC 9562, section 5.7)."""


class Quota(StrEnum):
    """What is counted, by its name in answers."""

    WORKOUTS = "workouts"
    """Those that are not deleted."""
    PHASES = "phases"
    SESSIONS_A_DAY = "sessions_a_day"
    """Those logged since midnight UTC, whatever became of them since."""


def first_id(now: datetime) -> UUID:
    """Returns the least id that is made on the day, in UTC, of a moment: ids of version 7 begin
    with their time in milliseconds."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return UUID(int=round(midnight.timestamp() * 1000) << _RANDOM_BITS)


def day_end(now: datetime) -> datetime:
    """Returns the end, in UTC, of the day of a moment."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day + timedelta(days=1)
