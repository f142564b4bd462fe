"""One log record for each call: which, how it ended, how long it took; never what it carried."""

import time
from types import TracebackType

import grpc
import structlog

from training_service.interceptors.call import Call

logger = structlog.get_logger(__name__)

_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


def _status_name(code: grpc.StatusCode | int) -> str:
    """Returns the name of a status; grpc.aio gives its number where its types promise the enum."""
    return code.name if isinstance(code, grpc.StatusCode) else _NAMES[code]


class Telemetry:
    """Records the end of a call, and returns its request id to the caller."""

    __slots__ = ("_began", "_call")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._began = time.perf_counter()

    def __enter__(self) -> None:
        self._call.context.set_trailing_metadata((("x-request-id", self._call.request_id),))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        status = "OK"
        if isinstance(error, grpc.aio.AbortError):
            status = _status_name(self._call.context.code())
        elif error is not None:
            status = "CANCELLED"
        logger.info(
            "rpc",
            method=self._call.method.path,
            status=status,
            duration_ms=round((time.perf_counter() - self._began) * 1000, 2),
            request_id=self._call.request_id,
        )
