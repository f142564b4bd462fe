"""Exports: all sessions, as they are at one moment."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import errors
from sqlalchemy import (
    ColumnElement,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    select,
    tuple_,
)

from training_service.caller import Scope
from training_service.domain.paging import invalid_page_token
from training_service.domain.session import SessionFilter
from training_service.storage.archive import Archive
from training_service.storage.author import signed
from training_service.storage.database import Transaction
from training_service.storage.reads import Reads
from training_service.storage.session import (
    FILTERS,
    NO_RETRACTION,
    RETRACTION,
    filter_names,
    filter_parameters,
)
from training_service.storage.statements import Statement, own, parameter, prepare
from training_service.storage.tables import PgSnapshot, session_retractions, sessions

EXPORT_BATCH = 100
"""How many sessions an export holds in memory."""


class ExportPlace(NamedTuple):
    """How far an export came, and of which moment it is."""

    external_user_id: UUID
    session_id: UUID
    snapshot: str


class ExportedSession(NamedTuple):
    """A session of an export, as acknowledged, and what became of it since."""

    external_user_id: UUID
    id: UUID
    retraction: str | None
    superseded_by_id: UUID | None
    retract_reason: str | None
    retracted_at: datetime | None
    retract_author_user_id: UUID | None
    record: bytes
    """With its author."""


def _was_there(table: Table) -> ColumnElement[bool]:
    """Returns the condition that a row was there at the moment of a snapshot."""
    snapshot = bindparam("snapshot", type_=PgSnapshot)
    return func.pg_visible_in_snapshot(table.c.transaction_id, snapshot)


@cache
def _export(
    filters: frozenset[str], *, of_all: bool, show_retracted: bool
) -> Statement[ExportedSession]:
    """Returns the next sessions of an export, in the order of their athletes and ids."""
    place = (sessions.c.external_user_id, sessions.c.id)
    after = tuple_(parameter("after_user_id", place[0]), parameter("after_id", place[1]))
    retracted_place = (session_retractions.c.external_user_id, session_retractions.c.session_id)
    retracted = and_(
        tuple_(*retracted_place) == tuple_(*place),
        # Follows from the rest, but PostgreSQL would begin with the first retraction of all.
        tuple_(*retracted_place) > after,
        _was_there(session_retractions),
    )
    if show_retracted:
        joined = sessions.outerjoin(session_retractions, retracted)
        statement = select(*place, *RETRACTION, signed(sessions)).select_from(joined)
    else:
        statement = select(*place, *NO_RETRACTION, signed(sessions)).where(
            ~exists().where(retracted)
        )
    limits = [] if of_all else [own(sessions)]
    return prepare(
        statement.where(
            *limits,
            *(FILTERS[name] for name in sorted(filters)),
            _was_there(sessions),
            tuple_(*place) > after,
        )
        .order_by(*place)
        # No parameter: a plan for any number of rows might sort them all.
        .limit(literal_column(str(EXPORT_BATCH))),
        ExportedSession,
    )


async def _next_batch(
    transaction: Transaction,
    archive: Archive,
    statement: Statement[ExportedSession],
    parameters: dict[str, Any],
) -> list[ExportedSession]:
    found = await transaction.fetch(statement, parameters)
    if transaction.external_user_id:
        return await archive.rows_by(transaction.fetch, found)
    return await archive.rows_of_many(transaction.fetch, found)


def _begin_batch(
    transaction: Transaction,
    archive: Archive,
    statement: Statement[ExportedSession],
    parameters: dict[str, Any],
    place: ExportPlace,
) -> asyncio.Task[list[ExportedSession]]:
    """Begins to read the sessions behind a place."""
    behind = {
        "after_user_id": place.external_user_id,
        "after_id": place.session_id,
        "snapshot": place.snapshot,
    }
    return asyncio.create_task(
        _next_batch(transaction, archive, statement, {**parameters, **behind})
    )


class SessionExportRepository:
    """Reads all sessions of an athlete, or of all athletes."""

    def __init__(self, database: Reads, archive: Archive) -> None:
        self._database = database
        self._archive = archive

    async def export(
        self, scope: Scope | None, filters: SessionFilter, place: ExportPlace | None
    ) -> AsyncGenerator[tuple[list[ExportedSession], str]]:
        """Yields all sessions of an athlete or, without a scope, of all athletes, in batches, each
        with the snapshot that all are of.

        All as they are at one moment: that of the place an export goes on from, or else now. The
        last batch may be empty. Holds a connection until it is closed: close it
        (`contextlib.aclosing`). Raises INVALID_PAGE_TOKEN for a place that is none.
        """
        parameters = filter_parameters(filters)
        statement = _export(
            filter_names(filters), of_all=scope is None, show_retracted=filters.show_retracted
        )
        # Asked when it goes on too: what is read must not be older than the moment it is of.
        snapshot = await self._database.visible()
        if place is None:
            place = ExportPlace(UUID(int=0), UUID(int=0), snapshot)
        opened = self._database.snapshot(scope) if scope else self._database.snapshot_of_all()
        async with opened as transaction:
            # PostgreSQL reads the next batch while this one is sent.
            upcoming = _begin_batch(transaction, self._archive, statement, parameters, place)
            try:
                while True:
                    rows = await upcoming
                    is_last = len(rows) < EXPORT_BATCH
                    if not is_last:
                        place = ExportPlace(rows[-1].external_user_id, rows[-1].id, place.snapshot)
                        upcoming = _begin_batch(
                            transaction, self._archive, statement, parameters, place
                        )
                    yield rows, place.snapshot
                    if is_last:
                        return
            except errors.InvalidTextRepresentation:
                raise invalid_page_token() from None
            finally:
                upcoming.cancel()
                await asyncio.wait([upcoming])
