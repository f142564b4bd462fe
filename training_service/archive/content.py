"""What is in an object: records of one athlete's sessions, as a Parquet file.

The file says nothing of who the athlete is. A record holds their id, so it is cut wherever the id
stands in it, and put together again when it is read.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

SCHEMA_VERSION = 1
"""Rises when a column means something else."""


class ArchivedRecord(NamedTuple):
    """A session's record on its way into the archive."""

    session_id: UUID
    started_at: datetime
    record: bytes


class DamagedObjectError(Exception):
    """An object is not what was stored; the message says which."""


def sha256_of(data: bytes) -> bytes:
    """Returns the checksum of an object, or of a record."""
    return hashlib.sha256(data).digest()


def encode(user_id: UUID, records: Sequence[ArchivedRecord]) -> bytes:
    """Returns the object that holds some records of an athlete."""
    import pyarrow
    from pyarrow import parquet

    own_id = str(user_id).encode()
    table = pyarrow.table(
        {
            "session_id": [str(one.session_id) for one in records],
            "started_at": [one.started_at for one in records],
            "record_parts": [one.record.split(own_id) for one in records],
        },
        schema=_schema(),
    )
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def decode(user_id: UUID, key: str, data: bytes, sha256: bytes) -> Mapping[UUID, bytes]:
    """Returns the records in an object of an athlete, by their sessions.

    Raises DamagedObjectError when it has another checksum than it was stored with.
    """
    if sha256_of(data) != sha256:
        raise DamagedObjectError(f"the archived object {key} has not the checksum it had")
    from pyarrow import parquet

    own_id = str(user_id).encode()
    columns = parquet.read_table(io.BytesIO(data), use_threads=False).to_pydict()
    return {
        UUID(session_id): own_id.join(parts)
        for session_id, parts in zip(columns["session_id"], columns["record_parts"], strict=True)
    }


def _schema() -> Any:
    import pyarrow

    columns = {
        "session_id": pyarrow.string(),
        "started_at": pyarrow.timestamp("us", tz="UTC"),
        "record_parts": pyarrow.list_(pyarrow.binary()),
    }
    return pyarrow.schema(
        [pyarrow.field(name, of, nullable=False) for name, of in columns.items()],
        metadata={"schema_version": str(SCHEMA_VERSION)},
    )
