"""What the clients in this package share: who calls, why a call was refused, who answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
import typer
from calisthenics.training.v1 import session_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from rich.console import Console
from rich.text import Text

HEALTH_TIMEOUT_SECONDS = 5.0
CALL_TIMEOUT_SECONDS = 30.0

SERVICE_NAME = session_pb2.DESCRIPTOR.services_by_name["SessionService"].full_name


class ClientError(Exception):
    """A client can't go on; the message says why in one line."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the service refused a call."""

    status: str
    reason: str
    message: str

    @classmethod
    def of(cls, error: grpc.RpcError) -> "Refusal":
        """Reads the google.rpc.ErrorInfo that comes with every refusal of the service."""
        status = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
        info = error_details_pb2.ErrorInfo()
        found = status is not None and any(detail.Unpack(info) for detail in status.details)
        return cls(error.code().name, info.reason if found else "", error.details() or "")

    def __str__(self) -> str:
        return f"{self.reason or self.status}, {self.message}"


@dataclass(frozen=True)
class _CallDetails(grpc.ClientCallDetails):
    method: str
    timeout: float | None
    metadata: Any
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class AsAthlete(grpc.UnaryUnaryClientInterceptor):
    """Says with every call who makes it, and for how long it may take."""

    def __init__(self, external_user_id: str) -> None:
        self._identity = ("x-external-user-id", external_user_id)

    def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.ClientCallDetails, Any], Any],
        client_call_details: grpc.ClientCallDetails,
        request: Any,
    ) -> Any:
        """Passes a call on with the identity and a deadline."""
        given = client_call_details
        details = _CallDetails(
            method=given.method,
            timeout=given.timeout or CALL_TIMEOUT_SECONDS,
            metadata=[*(given.metadata or ()), self._identity],
            credentials=given.credentials,
            wait_for_ready=given.wait_for_ready,
            compression=given.compression,
        )
        return continuation(details, request)


def end_command(console: Console, message: str, code: int = 1) -> NoReturn:
    """Ends a command with a message and an exit code."""
    console.print(Text(message, "red"), soft_wrap=True)
    raise typer.Exit(code)


def check_serving(channel: grpc.Channel, target: str) -> None:
    """Raises ClientError unless a Training Service that is ready for calls is at the other end."""
    request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
    health: Any = health_pb2_grpc.HealthStub(channel)
    try:
        answer = health.Check(request, timeout=HEALTH_TIMEOUT_SECONDS)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED):
            raise ClientError(f"What answers at {target} is not a Training Service.") from None
        raise ClientError(
            f"No service answers at {target}. `training-service serve` starts one."
        ) from None
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise ClientError(
            f"The service at {target} is not serving: its database is down or not migrated."
        )
