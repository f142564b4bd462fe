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
        usable = len(given) == 1 and 0 < len(given[0]) <= MAX_REQUEST_ID_LENGTH
        self.request_id = given[0] if usable and given[0].isprintable() else str(uuid4())

    def metadata(self, key: str) -> list[str]:
        """Returns all values of a metadata key; bytes that are no text become an unusable one."""
        pairs = self.context.invocation_metadata() or ()
        return [v if isinstance(v, str) else "\0" for k, v in pairs if k == key]
