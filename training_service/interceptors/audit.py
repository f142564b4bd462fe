"""One access record for each call: who, whose data, which RPC, how it ended; never what it carried.

Each goes to standard output as a line of JSON. Those of accesses to others' data and by
administrators are stored too, before a read is answered.
"""

import asyncio
import os
import time
from collections import deque
from datetime import UTC, datetime
from select import PIPE_BUF
from threading import Event, Thread
from types import TracebackType
from uuid import UUID

import orjson
import structlog
import uuid6
from google.rpc import code_pb2

from training_service.contract import STATUS_CODES
from training_service.errors import Reason, TrainingError, database_unavailable
from training_service.interceptors.call import Call
from training_service.pseudonym import Pseudonyms
from training_service.storage.audit import AuditRecord, AuditRepository

logger = structlog.get_logger(__name__)

STORE_TIMEOUT_SECONDS = 5.0
"""Longest that a call waits for its record to be stored."""
MAX_WAITING_LINES = 10_000
"""When nobody takes what is written, records beyond this are lost rather than memory."""
GATHER_SECONDS = 0.05
"""How long lines wait for others to be written with."""
CLOSE_TIMEOUT_SECONDS = 2.0
STDOUT = 1


class AccessLog:
    """Writes lines to a file descriptor from a thread: a pipe that is full holds up no call.

    The thread is woken for many lines together, since each time costs the calls under way more than
    the line does.
    """

    def __init__(self, file: int = STDOUT) -> None:
        self._file = file
        self._lines: deque[bytes] = deque()
        self._is_losing = False
        self.lost = 0
        """Lines that were not queued, or not written."""
        self._has_lines = Event()
        self._is_closing = Event()
        self._thread = Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def add(self, line: bytes) -> None:
        """Queues a line, unless too many wait."""
        is_full = len(self._lines) >= MAX_WAITING_LINES
        if is_full and not self._is_losing:
            logger.error("access records lost: nobody reads standard output")
        self._is_losing = is_full
        if is_full:
            self.lost += 1
            return
        self._lines.append(line)
        if not self._has_lines.is_set():
            self._has_lines.set()

    def close(self) -> None:
        """Writes what waits, if somebody takes it in time."""
        self._is_closing.set()
        self._has_lines.set()
        self._thread.join(CLOSE_TIMEOUT_SECONDS)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._has_lines.wait()
            is_last = self._is_closing.wait(GATHER_SECONDS)
            self._has_lines.clear()
            while self._lines:
                lines = self._group()
                try:
                    self._write(lines)
                except OSError as error:
                    self.lost += lines.count(b"\n")
                    logger.error("access record not written", why=type(error).__name__)
                    if isinstance(error, BrokenPipeError):
                        return  # nobody will read what comes

    def _group(self) -> bytes:
        """Takes as many lines as a pipe keeps together when several workers write to it."""
        group = self._lines.popleft()
        while self._lines and len(group) + len(self._lines[0]) <= PIPE_BUF:
            group += self._lines.popleft()
        return group

    def _write(self, lines: bytes) -> None:
        while lines:
            lines = lines[os.write(self._file, lines) :]


class Auditor:
    """Makes the records of this process's calls."""

    def __init__(
        self, pseudonyms: Pseudonyms, records: AuditRepository, log: AccessLog | None
    ) -> None:
        self._pseudonyms = pseudonyms
        self._records = records
        self._log = log
        self.unstored = 0
        """Records that the database did not take."""

    def of(self, call: Call) -> "Audit":
        """Returns the block that records a call: `async with`."""
        return Audit(call, self)

    async def record(self, call: Call, error: BaseException | None, duration_ms: float) -> None:
        """Records how a call ended.

        Raises DATABASE_UNAVAILABLE for a read that would be answered without its record.
        """
        record = self._make(call, error, duration_ms)
        failure = await self._store(record) if call.is_about_others else None
        if failure is None or error is not None or not call.method.is_read:
            self._print(record, call)
            return
        status, reason = _outcome(failure)
        self._print(record._replace(status=status, reason=reason), call)
        raise failure

    def _print(self, record: AuditRecord, call: Call) -> None:
        if self._log:
            self._log.add(_line(record, call))

    async def _store(self, record: AuditRecord) -> TrainingError | None:
        """Stores a record; returns why it could not be."""
        try:
            async with asyncio.timeout(STORE_TIMEOUT_SECONDS):
                await self._records.add(record)
        except Exception as error:
            self.unstored += 1
            logger.error("access record not stored", why=type(error).__name__, **_shown(record))
            return database_unavailable()
        return None

    def _make(self, call: Call, error: BaseException | None, duration_ms: float) -> AuditRecord:
        status, reason = _outcome(error)
        caller = call.caller
        return AuditRecord(
            id=uuid6.uuid7(),
            recorded_at=datetime.now(UTC),
            request_id=call.logged_id,
            method=call.method.path,
            status=status,
            reason=reason,
            duration_ms=duration_ms,
            caller=self._name(caller.external_user_id if caller else None) or "",
            caller_roles=sorted(caller.roles) if caller else [],
            subject=self._name(call.subject),
            grant_id=call.grant_id,
        )

    def _name(self, user_id: UUID | None) -> str | None:
        return None if user_id is None else self._pseudonyms.of(user_id)


class Audit:
    """Records a call when it is over."""

    __slots__ = ("_auditor", "_began", "_call")

    def __init__(self, call: Call, auditor: Auditor) -> None:
        self._call = call
        self._auditor = auditor

    async def __aenter__(self) -> None:
        self._began = time.perf_counter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        duration_ms = round((time.perf_counter() - self._began) * 1000, 2)
        await self._auditor.record(self._call, error, duration_ms)


def _outcome(error: BaseException | None) -> tuple[str, str]:
    """Returns the status of a call and the reason of its refusal."""
    if error is None:
        return "OK", ""
    if isinstance(error, TrainingError):
        return code_pb2.Code.Name(STATUS_CODES[error.reason]), error.reason.value
    if isinstance(error, Exception):
        return "INTERNAL", Reason.INTERNAL.value
    return "CANCELLED", ""


def _shown(record: AuditRecord) -> dict[str, object]:
    """Returns a record as it is printed."""
    shown = record._asdict()
    del shown["id"]
    return {"time": shown.pop("recorded_at"), **shown}


def _line(record: AuditRecord, call: Call) -> bytes:
    shown = _shown(record)
    if call.trace is not None:
        shown["trace_id"] = call.trace.trace_id
    return orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)
