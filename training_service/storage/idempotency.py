"""Writes that may safely be sent twice.

The first statement of such a write claims its request_id. A second one with the same id waits for
the first to end and then finds its answer there. Logged sessions don't pass through here: their
row carries the request_id itself.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Table, func, select, update
from sqlalchemy.dialects.postgresql import insert

from training_service.errors import Reason, TrainingError
from training_service.storage.database import Transaction
from training_service.storage.statements import own, parameter, prepare, prepare_command, written
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


class RequestLog:
    """The answers given so far, in one table."""

    def __init__(self, table: Table) -> None:
        is_user_owned = "external_user_id" in table.c
        scoped = [own(table)] if is_user_owned else []
        is_request = table.c.request_id == parameter("request_id", table.c.request_id)
        self._claim = prepare(
            insert(table)
            .values({c.name: parameter(c.name, c) for c in written(table) if c.name != "response"})
            .on_conflict_do_nothing()
            .returning(table.c.request_id),
            lambda request_id: request_id,
        )
        self._answer = prepare(
            select(table.c.request_digest, table.c.response).where(*scoped, is_request), _Answer
        )
        kept = {"response": parameter("response", table.c.response)}
        if is_user_owned:
            author = table.c.author_user_id
            kept[author.name] = func.coalesce(parameter("named_user_id", author), author)
        self._record = prepare_command(update(table).where(*scoped, is_request).values(kept))

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
        """Keeps the answer for the next time, and whom it names as an author.

        That need not be who wrote: an answer may show what somebody else wrote and this request
        deleted. Whoever must be forgotten is found by it.
        """
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
        self, request: WriteRequest, response: bytes, named_user_id: UUID | None
    ) -> None:
        """See RequestLog.record."""
        await write_log.record(self._transaction, request, response, named_user_id)
