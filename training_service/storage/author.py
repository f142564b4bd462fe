"""Who wrote what, of those who wrote it under a grant.

PostgreSQL fills the column in by itself (`tables.py`). A record is never changed, and so it must
not hold a name that may have to be forgotten: the name is appended whenever a record is answered.
That makes it a field of the message, since a message is its fields one after the other.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, LargeBinary, Table, Text, case, cast, func, literal_column

from training_service.storage.archive import RECORD
from training_service.storage.tables import sessions, workout_revisions

_HEADS = {sessions: b"\xb2\x01\x24", workout_revisions: b"\x5a\x24"}
"""What the field `author_user_id` begins with in the messages that records of these tables are: its
number, 22 and 11, and the length of a UUID, as protobuf writes them."""

PRESENT_AUTHOR: dict[str, Any] = {"author_user_id": literal_column("DEFAULT")}
"""What an UPDATE sets beside all else: the column is of who wrote the present version, by the same
rule as in an INSERT."""


def signed(table: Table) -> ColumnElement[bytes]:
    """Returns the records of a table with their authors, for a caller."""
    record = RECORD if table is sessions else table.c.record
    author = table.c.author_user_id
    head = literal_column(f"'\\x{_HEADS[table].hex()}'::bytea", LargeBinary)
    name = func.convert_to(cast(author, Text), literal_column("'UTF8'"), type_=LargeBinary)
    with_author = record.concat(head).concat(name)
    return case((author.is_not(None), with_author), else_=record).label(record.name)


def signed_record(table: Table, record: bytes, author_user_id: UUID | None) -> bytes:
    """Returns the same of one record."""
    if author_user_id is None:
        return record
    return record + _HEADS[table] + str(author_user_id).encode()
