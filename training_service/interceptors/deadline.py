"""Every call has a deadline; when it passes, the work is cancelled down to the database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from training_service.errors import Reason, TrainingError
from training_service.interceptors.call import Call


@asynccontextmanager
async def deadline(call: Call, longest_seconds: float) -> AsyncIterator[None]:
    """Bounds a call by the caller's deadline, or by the service's own when that comes sooner."""
    remaining = call.context.time_remaining()
    seconds = longest_seconds if remaining is None else min(remaining, longest_seconds)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TrainingError(Reason.DEADLINE_EXCEEDED, "the deadline passed") from None
