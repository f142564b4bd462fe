"""Writes that take effect once however often they are sent."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from training_service.servicers.convert import optional_uuid
from training_service.storage.idempotency import WriteRequest

Answer = TypeVar("Answer", bound=Message)


class Change(Protocol):
    """A transaction that keeps the answers it gave."""

    async def replay(self, request: WriteRequest) -> bytes | None:
        """Returns the answer given before, None for a new request."""

    async def record(
        self, request: WriteRequest, response: bytes, named_user_id: UUID | None
    ) -> None:
        """Keeps an answer, and whom it names as an author."""


AnyChange = TypeVar("AnyChange", bound=Change)


async def once(
    opening: AbstractAsyncContextManager[AnyChange],
    request: WriteRequest,
    answer: type[Answer],
    work: Callable[[AnyChange], Awaitable[Answer]],
) -> Answer:
    """Does the work in one transaction and keeps its answer, or returns the answer kept before."""
    async with opening as change:
        replayed = await change.replay(request)
        if replayed is not None:
            return answer.FromString(replayed)
        response = await work(change)
        named_user_id = optional_uuid(getattr(response, "author_user_id", ""))
        await change.record(request, response.SerializeToString(), named_user_id)
        return response
