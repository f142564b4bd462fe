"""Between protobuf's types and Python's."""

import hashlib
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from training_service.errors import invalid_field
from training_service.storage.idempotency import WriteRequest


def utc_now() -> datetime:
    """Returns the time."""
    return datetime.now(UTC)


def optional_uuid(text: str) -> UUID | None:
    """Returns the UUID in a field that may be empty."""
    return UUID(text) if text else None


def uuid_or_none(text: str) -> UUID | None:
    """Returns the UUID in a field that has not been checked yet."""
    try:
        return UUID(text)
    except ValueError:
        return None


def optional_field(message: Any, name: str) -> Any:
    """Returns the value of an optional field; None when it is absent."""
    return getattr(message, name) if message.HasField(name) else None


@lru_cache(maxsize=4096)
def exercise_uuid(text: str) -> UUID:
    """Returns the UUID of an exercise: there are few, and they come again and again."""
    return UUID(text)


def to_datetime(timestamp: Timestamp, path: str) -> datetime:
    """Returns an instant; refuses one outside the years 1 to 9999."""
    try:
        return timestamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid_field(path, "is not an instant") from None


def optional_time(message: Any, name: str, path: str) -> datetime | None:
    """Returns the instant in a field; None when it is absent."""
    return to_datetime(getattr(message, name), path) if message.HasField(name) else None


def optional_future_time(message: Any, name: str, path: str, now: datetime) -> datetime | None:
    """Returns the same; refuses an instant that is not after now."""
    instant = optional_time(message, name, path)
    if instant and instant <= now:
        raise invalid_field(path, "must be in the future")
    return instant


def to_timestamp(instant: datetime) -> Timestamp:
    """Returns an instant as a message."""
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


def from_date(value: Date, path: str) -> date:
    """Returns a whole calendar date; refuses a partial one."""
    try:
        return date(value.year, value.month, value.day)
    except (ValueError, OverflowError):
        raise invalid_field(path, "is not a calendar date") from None


def to_date(value: date) -> Date:
    """Returns a calendar date as a message."""
    return Date(year=value.year, month=value.month, day=value.day)


def digest(tag: str, *parts: Message | str) -> bytes:
    """Returns what tells a request from another: of its RPC and what it asks for."""
    hasher = hashlib.blake2b(tag.encode(), digest_size=32)
    for part in parts:
        data = (
            part.encode() if isinstance(part, str) else part.SerializeToString(deterministic=True)
        )
        hasher.update(len(data).to_bytes(8, "big"))
        hasher.update(data)
    return hasher.digest()


def write_request(request: Message, received_at: datetime) -> WriteRequest:
    """Returns the request_id of a write with a digest of all its other fields.

    Whether the athlete was named or left to be the caller makes no difference.
    """
    body = type(request)()
    body.CopyFrom(request)
    for name in ("request_id", "external_user_id"):
        if name in body.DESCRIPTOR.fields_by_name:
            body.ClearField(name)
    request_id = optional_uuid(request.request_id)  # type: ignore[attr-defined]
    return WriteRequest(request_id, digest(body.DESCRIPTOR.full_name, body), received_at)
