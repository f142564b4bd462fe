"""Callers under load, who do as docs/clients.md says: repeat a write with its request_id."""

import asyncio
import contextlib
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import grpc
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub

from tests.drills.ledger import Attempt, Ledger
from tests.support import Refusal, a_session

ATHLETES = 4
WRITERS_OF_EACH = 2
READERS_OF_EACH = 1
THINKING_SECONDS = 0.02
"""Between two calls of a caller: the machine must not be what a drill measures."""
ATTEMPT_SECONDS = 5.0
PATIENCE_SECONDS = 90.0
"""How long a caller repeats a call before it counts as failed."""
LONGEST_PAUSE_SECONDS = 1.0
CALLS_AT_EACH_STEP = 200
STEP_SECONDS = 120.0

FOR_GOOD = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}
"""What to repeat would not help."""

OPTIONS = [
    (
        "grpc.service_config",
        files("calisthenics.training.v1").joinpath("service_config.json").read_text(),
    ),
    # A connection of its own for each caller, as if each were another process.
    ("grpc.use_local_subchannel_pool", 1),
    # An address that was away is tried again soon after it returns, not two minutes later.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A connection that goes nowhere is noticed, and no sooner than the service allows to ask.
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # It waits behind a ping that measures the connection, which has a minute unless told otherwise.
    ("grpc.http2.ping_timeout_ms", 5_000),
]
"""What docs/reliability.md tells callers to set."""

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


class GivenUpError(Exception):
    """A call failed for good."""


class Load:
    """Athletes' clients who go on until the end of the block, and what they were told."""

    def __init__(self, *addresses: str) -> None:
        self.ledger = Ledger()
        self.athletes = [str(uuid.uuid4()) for _ in range(ATHLETES)]
        self.began: float | None = None
        self.ended: float | None = None
        self.most_under_way = 0
        self._is_broken = False
        self.findings: list[str] = []
        self._target = f"ipv4:{','.join(addresses)}"
        self._under_way = 0
        self._writing = 0
        self._is_over = asyncio.Event()
        self._written: dict[str, list[str]] = {athlete: [] for athlete in self.athletes}

    async def __aenter__(self) -> "Load":
        self._tasks = [
            asyncio.create_task(self._go_on(f"{kind} {number}", athlete, act))
            for athlete in self.athletes
            for kind, act, count in (
                (f"writer of {athlete}", self._write, WRITERS_OF_EACH),
                (f"reader of {athlete}", self._read, READERS_OF_EACH),
            )
            for number in range(count)
        ]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_over.set()
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        # Every write is repeated until it is known what became of it.
        ends = await asyncio.gather(*self._tasks, return_exceptions=kind is not None)
        assert kind is not None or len(ends) == len(self._tasks)

    @property
    def calls(self) -> int:
        """How many calls succeeded."""
        return sum(len(ends) for ends in self.ledger.successes.values())

    async def go_on(self, calls: int = CALLS_AT_EACH_STEP) -> None:
        """Returns when some more calls succeeded."""
        enough = self.calls + calls
        await self.until(lambda: self.calls >= enough)

    async def until(self, condition: Callable[[], bool], seconds: float = STEP_SECONDS) -> None:
        """Waits until a condition holds, while the callers go on; fails when it never does."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._raise_faults()
                await asyncio.sleep(0.01)

    def is_every_writer_under_way(self) -> bool:
        """Whether every writer waits for an answer: under a lock, all of them soon do."""
        return self._writing == ATHLETES * WRITERS_OF_EACH

    async def until_recovered(self) -> None:
        """Returns when every caller had an answer after the end of the fault."""
        assert self.ended is not None, "there was no fault"
        end = self.ended
        await self.until(lambda: self.ledger.all_succeeded_after(end) is not None)

    @contextlib.contextmanager
    def fault(self) -> Iterator[None]:
        """Marks when the fault begins and ends."""
        self._is_broken = True
        self.most_under_way = self._under_way
        self.began = time.monotonic()
        yield
        self.ended = time.monotonic()
        self._is_broken = False

    def expect(self, is_so: bool, otherwise: str) -> None:
        """Notes a finding unless something is as it should be."""
        if not is_so:
            self.findings.append(otherwise)

    def _raise_faults(self) -> None:
        """A fault of the drill's own must not look like one of the service."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def _go_on(
        self,
        caller: str,
        athlete: str,
        act: Callable[[SessionServiceStub, str, str], Awaitable[None]],
    ) -> None:
        self.ledger.successes[caller] = []
        async with grpc.aio.insecure_channel(self._target, options=OPTIONS) as channel:
            stub = SessionServiceStub(channel)
            while not self._is_over.is_set():
                began = time.monotonic()
                with contextlib.suppress(GivenUpError):
                    await act(stub, caller, athlete)
                    self.ledger.note_success(caller, began, time.monotonic())
                await asyncio.sleep(THINKING_SECONDS)

    async def _write(self, stub: SessionServiceStub, caller: str, athlete: str) -> None:
        payload = str(uuid.uuid4())
        start = EPOCH + timedelta(minutes=len(self.ledger.acknowledged))
        request = pb.LogSessionRequest(
            session=a_session(notes=payload, start_time=start), request_id=str(uuid.uuid4())
        )
        self._writing += 1
        try:
            logged = await self._repeated(stub.LogSession, request, athlete)
        finally:
            self._writing -= 1
        self.ledger.acknowledge(payload, logged.id)
        self._written[athlete].append(logged.id)

    async def _read(self, stub: SessionServiceStub, caller: str, athlete: str) -> None:
        written = self._written[athlete]
        if written:
            request = pb.GetSessionRequest(session_id=random.choice(written))
            await self._repeated(stub.GetSession, request, athlete)
        else:
            await self._repeated(stub.ListSessions, pb.ListSessionsRequest(page_size=5), athlete)
        self.ledger.reads += 1

    async def _repeated(self, method: Any, request: Any, athlete: str) -> Any:
        """Makes a call again and again until it is answered; raises GivenUpError."""
        metadata = (("x-external-user-id", athlete),)
        pause = 0.05
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            started = time.monotonic()
            self._under_way += 1
            if self._is_broken:
                self.most_under_way = max(self.most_under_way, self._under_way)
            try:
                return await method(request, metadata=metadata, timeout=ATTEMPT_SECONDS)
            except grpc.aio.AioRpcError as error:
                refusal = Refusal(error)
            finally:
                self._under_way -= 1
            why = f"{refusal.code.name} {refusal.reason}".strip()
            self.ledger.repeated.append(Attempt(started, time.monotonic(), why))
            if refusal.code in FOR_GOOD or time.monotonic() > end:
                self.ledger.failed.append(f"{why}: {refusal.message}")
                raise GivenUpError
            await asyncio.sleep(random.uniform(pause / 2, pause))
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
