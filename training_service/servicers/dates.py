"""The days that a request asks for."""

from datetime import date, timedelta
from typing import Any

from training_service.domain.session import local_date
from training_service.servicers.convert import from_date, utc_now

EPOCH = date(1969, 12, 31)
"""No session is earlier, in any time zone."""
ONE_DAY = timedelta(days=1)


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
