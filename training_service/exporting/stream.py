"""The stream of an export, taken up again where it breaks."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import grpc
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub

MAX_ATTEMPTS = 5
"""How often in a row a stream may break before anything comes."""
WAIT_SECONDS = 0.5
PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED}
"""What a stream may end with that goes on at the second try: a service that is replaced, or the
longest time of a stream."""


class BrokenExportError(Exception):
    """An export is not what the service says that it sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for; without an `external_user_id`, the sessions of all athletes."""

    external_user_id: UUID | None
    from_time: datetime | None = None
    to_time: datetime | None = None
    show_retracted: bool = False


class Sessions:
    """The sessions of an export, as they come."""

    def __init__(self, channel: grpc.Channel, order: Order) -> None:
        stub = SessionServiceStub(channel)
        request: Any
        if order.external_user_id is None:
            self._call: Any = stub.ExportAllSessions
            request = pb.ExportAllSessionsRequest()
            self._metadata = [
                ("x-external-user-id", str(uuid4())),
                ("x-caller-scope", "training:service"),
            ]
        else:
            self._call = stub.ExportSessions
            request = pb.ExportSessionsRequest()
            self._metadata = [("x-external-user-id", str(order.external_user_id))]
        request.show_retracted = order.show_retracted
        if order.from_time:
            request.from_time.FromDatetime(order.from_time)
        if order.to_time:
            request.to_time.FromDatetime(order.to_time)
        self._request = request
        self.count = 0
        """How many sessions have come."""

    def parts(self) -> Iterator[Sequence[pb.Session]]:
        """Yields all sessions, some at a time.

        Raises grpc.RpcError when the service refuses, or the stream breaks again and again, and
        BrokenExportError when not all has come.
        """
        attempts = 0
        while True:
            before = self.count
            try:
                yield from self._stream()
            except grpc.RpcError as error:
                attempts = 1 if self.count > before else attempts + 1
                if error.code() not in PASSING or attempts >= MAX_ATTEMPTS:
                    raise
                time.sleep(WAIT_SECONDS * 2 ** (attempts - 1))
            else:
                return

    def _stream(self) -> Iterator[Sequence[pb.Session]]:
        """Yields the sessions of one stream, from the last cursor on."""
        ids = hashlib.sha256()
        count = 0
        for message in self._call(self._request, metadata=self._metadata):
            if message.HasField("summary"):
                summary = message.summary
                if (summary.session_count, summary.ids_sha256) != (count, ids.hexdigest()):
                    raise BrokenExportError("The stream does not hold what its summary says.")
                return
            ids.update("".join(f"{session.id}\n" for session in message.sessions).encode())
            count += len(message.sessions)
            # Before it is passed on: whoever takes it has it.
            self.count += len(message.sessions)
            self._request.cursor = message.cursor
            yield message.sessions
        raise BrokenExportError("The stream ended without a summary.")
