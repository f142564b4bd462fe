"""The one place where an error becomes an answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import structlog
from grpc_status import rpc_status

from training_service.contract import to_status
from training_service.errors import Reason, TrainingError
from training_service.interceptors.call import Call

logger = structlog.get_logger(__name__)


@asynccontextmanager
async def refusals(call: Call) -> AsyncIterator[None]:
    """Answers a refusal with its status and details, and a fault without saying anything of it."""
    try:
        yield
    except TrainingError as error:
        await _abort(call, error)
    except grpc.aio.AbortError:
        raise
    except Exception:
        logger.exception("fault", method=call.method.path, request_id=call.request_id)
        await _abort(call, TrainingError(Reason.INTERNAL, "internal error"))


async def _abort(call: Call, error: TrainingError) -> None:
    status = rpc_status.to_status(to_status(error, call.request_id))
    await call.context.abort(
        status.code,
        status.details,
        trailing_metadata=(*status.trailing_metadata, ("x-request-id", call.request_id)),
    )
