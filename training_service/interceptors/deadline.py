"""Every call has a deadline; when it passes, the work is cancelled down to the database."""

import asyncio
from types import TracebackType

from training_service.errors import Reason, TrainingError
from training_service.interceptors.call import Call


class Deadline:
    """Bounds a call by the caller's deadline, or by the service's own when that comes sooner."""

    __slots__ = ("_timeout",)

    def __init__(self, call: Call, longest_seconds: float) -> None:
        remaining = call.context.time_remaining()
        seconds = longest_seconds if remaining is None else min(remaining, longest_seconds)
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, traceback)
        except TimeoutError:
            raise TrainingError(Reason.DEADLINE_EXCEEDED, "the deadline passed") from None
