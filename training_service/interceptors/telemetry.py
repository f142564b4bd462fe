"""One log record for each call: which, how it ended, how long it took; never what it carried."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog

from training_service.interceptors.call import Call

logger = structlog.get_logger(__name__)

_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


def _status_name(code: grpc.StatusCode | int) -> str:
    """Returns the name of a status; grpc.aio gives its number where its types promise the enum."""
    return code.name if isinstance(code, grpc.StatusCode) else _NAMES[code]


@asynccontextmanager
async def telemetry(call: Call) -> AsyncIterator[None]:
    """Records the end of a call, and returns its request id to the caller."""
    began = time.perf_counter()
    call.context.set_trailing_metadata((("x-request-id", call.request_id),))
    status = "OK"
    try:
        yield
    except grpc.aio.AbortError:
        status = _status_name(call.context.code())
        raise
    except BaseException:
        status = "CANCELLED"
        raise
    finally:
        logger.info(
            "rpc",
            method=call.method.path,
            status=status,
            duration_ms=round((time.perf_counter() - began) * 1000, 2),
            request_id=call.request_id,
        )
