"""What became of sessions, in the order in which it became visible."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    SmallInteger,
    Table,
    Text,
    Uuid,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    null,
    select,
    tuple_,
    union_all,
)

from training_service.storage.archive import Archive
from training_service.storage.author import signed
from training_service.storage.database import Database
from training_service.storage.statements import parameter, prepare
from training_service.storage.tables import Xid8, session_retractions, sessions

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)


class ChangePlace(NamedTuple):
    """How far a reader of the changes came."""

    transaction_id: int
    is_retraction: bool
    """Of the changes of one transaction, retractions come last."""
    external_user_id: UUID
    session_id: UUID


START = ChangePlace(0, is_retraction=False, external_user_id=FIRST_ID, session_id=FIRST_ID)


def place_of_snapshot(snapshot: str) -> ChangePlace:
    """Returns the place behind the changes that a snapshot certainly has: of the transactions
    before the first that was still under way."""
    first_under_way = int(snapshot.partition(":")[0])
    return ChangePlace(
        first_under_way - 1, is_retraction=True, external_user_id=LAST_ID, session_id=LAST_ID
    )


class SessionChange(NamedTuple):
    """A session that was logged, amended or voided."""

    place: ChangePlace
    kind: str
    superseded_id: UUID | None
    changed_at: datetime
    record: bytes | None
    """The session that was stored, as acknowledged and with its author."""


def _change(
    transaction_id: int,
    is_retraction: int,
    external_user_id: UUID,
    session_id: UUID,
    *rest: Any,
) -> SessionChange:
    place = ChangePlace(transaction_id, bool(is_retraction), external_user_id, session_id)
    return SessionChange(place, *rest)


_LIMIT = bindparam("limit", type_=Integer)
_SETTLED = (
    select(func.pg_snapshot_xmin(func.pg_current_snapshot()).label("end"))
    .cte("settled")
    .prefix_with("MATERIALIZED")
)
"""The transactions before it have ended. Made out beforehand: the nodes of a distributed database
have numbers of their own, and the rows bear those of the coordinator."""


def _branch(
    table: Table, session_id: ColumnElement[Any], after: str, *columns: ColumnElement[Any]
) -> Select[Any]:
    """Returns the next changes of one kind; the index on these columns has them in order."""
    place = (table.c.transaction_id, table.c.external_user_id, session_id)
    behind = tuple_(
        bindparam("after_transaction_id", type_=Xid8),
        parameter(f"{after}_user_id", table.c.external_user_id),
        parameter(f"{after}_id", session_id),
    )
    # What a transaction still under way has stored is not visible yet, though later ones are: who
    # passed its place would never see it.
    has_settled = table.c.transaction_id < select(_SETTLED.c.end).scalar_subquery()
    return (
        select(*place, *columns)
        .where(tuple_(*place) > behind, has_settled)
        .order_by(*place)
        .limit(_LIMIT)
    )


_STORED = _branch(
    sessions,
    sessions.c.id,
    "after_session",
    cast(literal_column("0"), SmallInteger).label("is_retraction"),
    case((sessions.c.supersedes_id.is_(None), "LOGGED"), else_="AMENDED").label("kind"),
    sessions.c.supersedes_id.label("superseded_id"),
    sessions.c.created_at,
    signed(sessions),
).subquery("stored")
_VOIDED = (
    _branch(
        session_retractions,
        session_retractions.c.session_id,
        "after_retraction",
        cast(literal_column("1"), SmallInteger).label("is_retraction"),
        session_retractions.c.kind,
        cast(null(), Uuid).label("superseded_id"),
        session_retractions.c.created_at,
        cast(null(), LargeBinary).label("record"),
    )
    .where(session_retractions.c.kind == "VOIDED")
    .subquery("voided")
)
_CHANGES = union_all(select(_STORED), select(_VOIDED)).subquery("changes")
_PLACE = (
    _CHANGES.c.transaction_id,
    _CHANGES.c.is_retraction,
    _CHANGES.c.external_user_id,
    _CHANGES.c.id,
)
_LIST = prepare(
    select(
        cast(cast(_PLACE[0], Text), BigInteger),
        *_PLACE[1:],
        _CHANGES.c.kind,
        _CHANGES.c.superseded_id,
        _CHANGES.c.created_at,
        _CHANGES.c.record,
    )
    .order_by(*_PLACE)
    .limit(_LIMIT),
    _change,
)


class SessionChangeRepository:
    """Reads the changes of all athletes' sessions."""

    def __init__(self, database: Database, archive: Archive) -> None:
        self._database = database
        self._archive = archive

    async def list(
        self, after: ChangePlace, limit: int, *, with_records: bool
    ) -> list[SessionChange]:
        """Returns up to `limit` changes behind a place, none that another may yet come before.

        Without records, those of sessions in the archive are not looked for.
        """
        user_id, session_id = after.external_user_id, after.session_id
        # A retraction comes behind all sessions of its transaction.
        of_sessions = (LAST_ID, LAST_ID) if after.is_retraction else (user_id, session_id)
        of_retractions = (user_id, session_id) if after.is_retraction else (FIRST_ID, FIRST_ID)
        async with self._database.snapshot_of_all() as transaction:
            found = await transaction.fetch(
                _LIST,
                {
                    "after_transaction_id": str(after.transaction_id),
                    "after_session_user_id": of_sessions[0],
                    "after_session_id": of_sessions[1],
                    "after_retraction_user_id": of_retractions[0],
                    "after_retraction_id": of_retractions[1],
                    "limit": limit,
                },
            )
            if not with_records:
                return found
            return await self._archive.rows_of_many(transaction.fetch, found)
