"""The one place where an error becomes an answer."""

import logging
from types import TracebackType

import grpc
import structlog
from grpc_status import rpc_status

from training_service.contract import redacted, to_status
from training_service.errors import Reason, TrainingError
from training_service.interceptors.abuse import SIGNALS, AbuseSignals
from training_service.interceptors.call import Call

logger = structlog.get_logger(__name__)


class Refusals:
    """Answers a refusal with its status and details, and a fault without saying anything of it."""

    __slots__ = ("_call", "_signals")

    def __init__(self, call: Call, signals: AbuseSignals) -> None:
        self._call = call
        self._signals = signals

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, TrainingError):
            if error.reason in SIGNALS:
                self._signals.note(error.reason, self._call.caller_key)
            self._log_request(error)
            await _abort(self._call, error)
        elif isinstance(error, Exception) and not isinstance(error, grpc.aio.AbortError):
            path = self._call.method.path
            logger.error("fault", method=path, request_id=self._call.logged_id, exc_info=error)
            await _abort(self._call, TrainingError(Reason.INTERNAL, "internal error"))

    def _log_request(self, error: TrainingError) -> None:
        """The one place where a message is logged."""
        call = self._call
        if call.request is None or not logger.is_enabled_for(logging.DEBUG):
            return
        logger.debug(
            "refused",
            method=call.method.path,
            reason=error.reason,
            request_id=call.logged_id,
            request=redacted(call.request),
        )


async def _abort(call: Call, error: TrainingError) -> None:
    call.refused_for = error.reason
    status = rpc_status.to_status(to_status(error, call.request_id))
    await call.context.abort(
        status.code,
        status.details,
        trailing_metadata=(*status.trailing_metadata, *call.trailing_metadata),
    )
