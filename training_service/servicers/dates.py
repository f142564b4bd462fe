"""The days that a request asks for."""

from datetime import date
from typing import Any

from training_service.domain.periods import ONE_DAY
from training_service.domain.session import local_date
from training_service.errors import invalid_field
from training_service.servicers.convert import from_date, utc_now

EPOCH = date(1969, 12, 31)
"""No session is earlier, in any time zone."""


def today_of(request: Any, path: str = "time_zone") -> date:
    """Returns what day it is in the time zone that a request names; without one, in UTC. `path` is
    the field of the zone."""
    return local_date(utc_now(), request.time_zone or "UTC", path)


def dates_of(request: Any) -> tuple[date, date]:
    """Returns the first and the last date that a request asks for."""
    first = from_date(request.from_date, "from_date") if request.HasField("from_date") else EPOCH
    if not request.HasField("to_date"):
        return first, date.max
    end = from_date(request.to_date, "to_date")
    return first, max(end, date.min + ONE_DAY) - ONE_DAY


def day_of(message: Any, path: str = "local_date", time_zone_path: str = "time_zone") -> date:
    """Returns the day that a message names, or today in its time zone; refuses one to come, and
    one before there was any session."""
    today = today_of(message, time_zone_path)
    if not message.HasField("local_date"):
        return today
    day = from_date(message.local_date, path)
    if not EPOCH <= day <= today:
        raise invalid_field(path, "must not be after today or before 1970")
    return day
