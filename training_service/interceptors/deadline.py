"""Every call has a deadline; when it passes, the work is cancelled down to the database."""

import asyncio
from types import TracebackType

from training_service.errors import Reason, TrainingError
from training_service.interceptors.call import Call


class _Limit:
    """Bounds the time of a block: `async with`."""

    __slots__ = ("_message", "_reason", "_timeout")

    def __init__(self, seconds: float, reason: Reason, message: str) -> None:
        self._timeout = asyncio.timeout(seconds)
        self._reason = reason
        self._message = message

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
            raise TrainingError(self._reason, self._message) from None


class Deadline(_Limit):
    """Bounds a call by the caller's deadline, or by the service's own when that comes sooner."""

    __slots__ = ()

    def __init__(self, call: Call, longest_seconds: float) -> None:
        remaining = call.context.time_remaining()
        seconds = longest_seconds if remaining is None else min(remaining, longest_seconds)
        super().__init__(seconds, Reason.DEADLINE_EXCEEDED, "the deadline passed")


class Patience(_Limit):
    """Bounds the wait for the other end of a stream."""

    __slots__ = ()

    def __init__(self, seconds: float) -> None:
        message = f"for {seconds:g} s no message came, or none was taken"
        super().__init__(seconds, Reason.FORM_STREAM_IDLE, message)
