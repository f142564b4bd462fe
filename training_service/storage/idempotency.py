"""Writes that may safely be sent twice.

The first statement of such a write claims its request_id. A second one with the same id waits for
the first to end and then finds its answer there. Logged sessions don't pass through here: their
row carries the request_id itself.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Table, select, update
from sqlalchemy.dialects.postgresql import insert

from training_service.errors import Reason, TrainingError
from training_service.storage.database import Transaction
from training_service.storage.statements import own, parameter, prepare, prepare_command
from training_service.storage.tables import catalogue_requests, write_requests


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """The request_id of a write, and a digest of the rest of it."""

    request_id: UUID | None
    digest: bytes
    received_at: datetime


class _Answer(NamedTuple):
    request_digest: bytes
    response: bytes


def request_reused(request_id: UUID | None) -> TrainingError:
    """Returns the refusal of a request_id that came before with a different body."""
    return TrainingError(
        Reason.REQUEST_ID_REUSED,
        "this request_id was used for a different request",
        metadata={"request_id": str(request_id)},
    )


_ANSWERED = frozenset({"response", "named_user_id"})
"""Columns that are known when the work is done."""


class RequestLog:
    """The answers given so far, in one table."""

    def __init__(self, table: Table) -> None:
        is_user_owned = "external_user_id" in table.c
        scoped = [own(table)] if is_user_owned else []
        is_request = table.c.request_id == parameter("request_id", table.c.request_id)
        self._claim = prepare(
            insert(table)
            .values({c.name: parameter(c.name, c) for c in table.c if c.name not in _ANSWERED})
            .on_conflict_do_nothing()
            .returning(table.c.request_id),
            lambda request_id: request_id,
        )
        self._answer = prepare(
            select(table.c.request_digest, table.c.response).where(*scoped, is_request), _Answer
        )
        self._record = prepare_command(
            update(table)
            .where(*scoped, is_request)
            .values({name: parameter(name, table.c[name]) for name in _ANSWERED if name in table.c})
        )

    async def replay(self, transaction: Transaction, request: WriteRequest) -> bytes | None:
        """Claims the request_id. Returns the answer given before, or None for a new request.

        Raises REQUEST_ID_REUSED when the id came before with a different body.
        """
        if request.request_id is None:
            return None
        claimed = await transaction.fetch(
            self._claim,
            {
                "request_id": request.request_id,
                "request_digest": request.digest,
                "created_at": request.received_at,
            },
        )
        if claimed:
            return None
        [answer] = await transaction.fetch(self._answer, {"request_id": request.request_id})
        if answer.request_digest != request.digest:
            raise request_reused(request.request_id)
        return answer.response

    async def record(
        self,
        transaction: Transaction,
        request: WriteRequest,
        response: bytes,
        named_user_id: UUID | None = None,
    ) -> None:
        """Keeps the answer for the next time, and whom it names: so it is found when that user must
        be forgotten."""
        if request.request_id is not None:
            values = {
                "request_id": request.request_id,
                "response": response,
                "named_user_id": named_user_id,
            }
            await transaction.execute(self._record, values)


catalogue_log = RequestLog(catalogue_requests)
write_log = RequestLog(write_requests)


class AthleteChange:
    """One transaction that changes an athlete's data and keeps the answers it gave."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def replay(self, request: WriteRequest) -> bytes | None:
        """See RequestLog.replay."""
        return await write_log.replay(self._transaction, request)

    async def record(
        self, request: WriteRequest, response: bytes, named_user_ids: Collection[UUID]
    ) -> None:
        """See RequestLog.record. Beside the athlete an answer names one other at most."""
        others = set(named_user_ids) - {self._transaction.external_user_id}
        await write_log.record(self._transaction, request, response, next(iter(others), None))
