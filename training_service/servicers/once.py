"""Writes that take effect once however often they are sent."""

from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar
from uuid import UUID

from google.protobuf.message import Message

from training_service.storage.idempotency import WriteRequest

Answer = TypeVar("Answer", bound=Message)


class Change(Protocol):
    """A transaction that keeps the answers it gave."""

    async def replay(self, request: WriteRequest) -> bytes | None:
        """Returns the answer given before, None for a new request."""

    async def record(
        self, request: WriteRequest, response: bytes, named_user_ids: Collection[UUID]
    ) -> None:
        """Keeps an answer, and whom it names."""


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
        await change.record(request, response.SerializeToString(), _named_user_ids(response))
        return response


def _named_user_ids(answer: Message) -> set[UUID]:
    """Returns the users whom an answer names, by the names of its fields."""
    return {
        UUID(value)
        for field, value in answer.ListFields()
        if field.name.endswith("user_id") and isinstance(value, str)
    }
