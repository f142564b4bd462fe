"""One RPC under way, as the interceptors see it."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import uuid4

import grpc

from training_service.contract import Method

MAX_REQUEST_ID_LENGTH = 128

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


@dataclass(slots=True)
class Call:
    """The RPC, its gRPC context, and the id that finds it in every log."""

    method: Method
    context: Context
    request_id: str = field(init=False)

    def __post_init__(self) -> None:
        given = self.metadata("x-request-id")
        self.request_id = given[0] if len(given) == 1 and _is_usable(given[0]) else str(uuid4())

    def metadata(self, key: str) -> list[str]:
        """Returns all values of a metadata key; bytes that are no text become an unusable one."""
        pairs = self.context.invocation_metadata() or ()
        return [v if isinstance(v, str) else "\0" for k, v in pairs if k == key]


def _is_usable(request_id: str) -> bool:
    """Whether a request id can be sent back as metadata, which takes printable ASCII alone."""
    is_short = 0 < len(request_id) <= MAX_REQUEST_ID_LENGTH
    return is_short and request_id.isascii() and request_id.isprintable()
