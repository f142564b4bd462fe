"""Reads that may be somewhat behind, from streaming replicas of the primary.

Which reads those are is said in one place: the server gives some repositories `Analytics` where
others get `Database`. Whether a replica may answer is decided in one place too, by
`Analytics._choose`:

- A call that writes reads from the primary alone.
- A replica must have all that the call has to see (`consistency.py`): what its tokens name, and
  what it wrote itself. A call waits for that, but not for long.
- A replica must have all that was committed on the primary until some moment, not too long ago.
  Both are asked again and again how far they are; no clock but that of this process has a say.

A read that fails on a replica is done once more, on the primary.
"""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import structlog

from training_service.caller import Scope
from training_service.consistency import UNKNOWN, History, Position, current_consistency
from training_service.errors import Reason, TrainingError, database_unavailable
from training_service.settings import Settings
from training_service.storage.database import (
    LOG_END,
    Database,
    ManyTransaction,
    Parameters,
    Transaction,
)
from training_service.storage.statements import Row, Statement

logger = structlog.get_logger(__name__)

CHECK_SECONDS = 1.0
"""How often replicas and the primary are asked how far they are."""
POLL_SECONDS = 0.005
"""How often a replica is asked while a call waits for it."""
ANSWER_SECONDS = 2.0
"""Longest time for an answer."""
CANCEL_AGAIN_SECONDS = 0.5

_LOST = frozenset({Reason.DATABASE_UNAVAILABLE, Reason.CONFLICT})
"""How a read ends that a replica did not finish. A conflict is one with what it replays."""

Result = TypeVar("Result")
Opened = TypeVar("Opened", bound=Transaction)


class _Replayed(NamedTuple):
    """How far a server replayed its primary's log."""

    is_replica: bool
    cluster: int
    timeline: int
    lsn: int | None


REPLAYED = Statement(
    """
    SELECT pg_is_in_recovery(), s.system_identifier,
           greatest(r.min_recovery_end_timeline, c.timeline_id),
           (pg_last_wal_replay_lsn() - '0/0')::int8
    FROM pg_control_system() s, pg_control_recovery() r, pg_control_checkpoint() c
    """,
    _Replayed,
)
_CLUSTER = Statement("SELECT system_identifier FROM pg_control_system()", int)
_ANY = Statement("SELECT 1", int)


class Progress:
    """How far the primary's log was at moments of the past, as often as it was asked."""

    def __init__(self, longest_seconds: float) -> None:
        self._marks: deque[tuple[float, Position]] = deque(
            maxlen=math.ceil(longest_seconds / CHECK_SECONDS) + 1
        )

    def note(self, asked_at: float, position: Position) -> None:
        """Records an answer, and when the question was asked."""
        self._marks.append((asked_at, position))

    def moment(self, reached: Position) -> float | None:
        """Returns the last moment at which all that was committed was before a position, None when
        there is none that is remembered."""
        history, lsn = reached
        return next(
            (
                at
                for at, mark in reversed(self._marks)
                if mark.history == history and mark.lsn <= lsn
            ),
            None,
        )


class Replica:
    """One replica, and what is known of it."""

    def __init__(
        self, name: str, database: Database, progress: Progress, max_lag_seconds: float
    ) -> None:
        self.name = name
        self.database = database
        self.in_use = 0
        """How many reads it has under way."""
        self.used = 0
        """How many it ever had."""
        self._progress = progress
        self._max_lag_seconds = max_lag_seconds
        self._reached = Position(UNKNOWN, 0)
        self._complete_until = -math.inf
        self._trouble: str | None = "it was not asked yet"
        self._was_well: bool | None = None
        self._waiting = 0
        self._wanted = asyncio.Event()
        self._answered = asyncio.Condition()

    @property
    def lag_seconds(self) -> float:
        """How long ago the last moment is of which it is known that all that was committed by then
        is here."""
        return time.monotonic() - self._complete_until

    @property
    def trouble(self) -> str | None:
        """Why it is left out; None when it is well."""
        if self._trouble is not None:
            return self._trouble
        if self._complete_until == -math.inf:
            return "it has not caught up yet"
        return "it is too far behind the primary" if self._is_late else None

    @property
    def _is_late(self) -> bool:
        return self.lag_seconds > self._max_lag_seconds

    def has(self, needed: Sequence[Position]) -> bool:
        """Whether it replayed the log up to all of the positions."""
        return self.may_have(needed) and all(one.lsn <= self._reached.lsn for one in needed)

    def may_have(self, needed: Sequence[Position]) -> bool:
        """Whether it follows the log that the positions are of."""
        return all(one.history == self._reached.history for one in needed)

    async def wait_for(self, needed: Sequence[Position], seconds: float) -> bool:
        """Returns whether it has the positions, as soon as it does, but not later than said."""
        self._waiting += 1
        self._wanted.set()
        try:
            async with asyncio.timeout(seconds), self._answered:
                await self._answered.wait_for(lambda: self.has(needed))
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    async def answers(self) -> bool:
        """Returns whether it answers now."""
        try:
            with self.at_work() as database:
                await database.read_shared(_ANY, {})
        except TrainingError:
            return False
        return True

    @contextlib.contextmanager
    def at_work(self) -> Iterator[Database]:
        """Counts a read, and takes note when the replica does not finish it."""
        self.in_use += 1
        self.used += 1
        try:
            yield self.database
        except TrainingError as error:
            if error.reason is Reason.DATABASE_UNAVAILABLE:
                self._is_in_trouble("a read failed")
            raise
        finally:
            self.in_use -= 1

    async def watch(self) -> None:
        """Asks how far it is, for ever: often while somebody waits for that."""
        while True:
            await self._ask()
            async with self._answered:
                self._answered.notify_all()
            if self._waiting:
                await asyncio.sleep(POLL_SECONDS)
                continue
            self._wanted.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await self._wanted.wait()

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if self._trouble:
                    await self.database.renew()
                [replayed] = await self.database.read_shared(REPLAYED, {})
        except (TimeoutError, TrainingError):
            self._is_in_trouble("it does not answer")
        except Exception:
            logger.exception("a replica could not be asked", replica=self.name)
            self._is_in_trouble("it could not be asked")
        else:
            self._take(replayed)

    def _take(self, replayed: _Replayed) -> None:
        if not replayed.is_replica or replayed.lsn is None:
            self._is_in_trouble("it is not a replica")
            return
        history = History(replayed.cluster, replayed.timeline)
        self._reached = Position(history, replayed.lsn)
        moment = self._progress.moment(self._reached)
        if moment is not None:
            self._complete_until = moment
        self._trouble = None
        self._tell()

    def _is_in_trouble(self, why: str) -> None:
        self._trouble = why
        self._tell()

    def _tell(self) -> None:
        """Says in the log, once each way, that it is left out or back."""
        trouble = self.trouble
        is_well = trouble is None
        if is_well != self._was_well:
            self._was_well = is_well
            if is_well:
                logger.info("replica is read from", replica=self.name)
            else:
                logger.warning("replica is left out", replica=self.name, why=trouble)


class Analytics:
    """Has the methods of Database for those who read (`Reads`), and the same results, from a
    replica where one may answer. What is written goes to the primary."""

    def __init__(self, settings: Settings, primary: Database) -> None:
        self._primary = primary
        self._wait_seconds = settings.replica_wait_ms / 1000
        longest = settings.replica_max_lag_seconds
        self._progress = Progress(longest)
        self.replicas = [
            Replica(f"replica {number}", Database(settings, url), self._progress, longest)
            for number, url in enumerate(settings.replica_urls, start=1)
        ]
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Starts to connect and to ask; returns at once, whether or not the replicas answer."""
        for replica in self.replicas:
            await replica.database.open()
            self._begin(replica.watch())
        if self.replicas:
            self._begin(self._watch_primary())

    def _begin(self, task: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(task))

    async def close(self) -> None:
        """Closes all connections to replicas."""
        while running := [task for task in self._tasks if not task.done()]:
            for task in running:
                # Before Python 3.12 asyncio.wait_for, which the pool waits with, may swallow one.
                task.cancel()
            await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)
        for replica in self.replicas:
            await replica.database.close()

    async def read(
        self, scope: Scope, statement: Statement[Row], parameters: Parameters
    ) -> list[Row]:
        """See Database."""
        return await self._of(lambda database: database.read(scope, statement, parameters))

    async def read_all(
        self, scope: Scope, statements: Sequence[Statement[Any]], parameters: Parameters
    ) -> list[list[Any]]:
        """See Database."""
        return await self._of(lambda database: database.read_all(scope, statements, parameters))

    async def read_each(
        self, scope: Scope, queries: Sequence[tuple[Statement[Row], Parameters]]
    ) -> list[list[Row]]:
        """See Database."""
        return await self._of(lambda database: database.read_each(scope, queries))

    def snapshot(self, scope: Scope) -> AbstractAsyncContextManager[Transaction]:
        """See Database."""
        return self._transaction_of(lambda database: database.snapshot(scope))

    def snapshot_of_all(self) -> AbstractAsyncContextManager[Transaction]:
        """See Database."""
        return self._transaction_of(lambda database: database.snapshot_of_all())

    def snapshot_of_many(self, user_id: UUID) -> AbstractAsyncContextManager[ManyTransaction]:
        """See Database."""
        return self._transaction_of(lambda database: database.snapshot_of_many(user_id))

    async def visible(self) -> str:
        """See Database. Asked of the primary: a replica's own snapshot does not name the
        transactions that are under way."""
        return await self._primary.visible()

    def transaction(self, scope: Scope | None) -> AbstractAsyncContextManager[Transaction]:
        """See Database."""
        return self._primary.transaction(scope)

    async def _of(self, read: Callable[[Database], Awaitable[Result]]) -> Result:
        """Reads from a replica if one may answer, else or if that fails from the primary."""
        replica = await self._choose()
        if replica is not None:
            try:
                with replica.at_work() as database:
                    return await read(database)
            except TrainingError as error:
                if error.reason not in _LOST:
                    raise
        return await read(self._primary)

    @contextlib.asynccontextmanager
    async def _transaction_of(
        self, open_on: Callable[[Database], AbstractAsyncContextManager[Opened]]
    ) -> AsyncIterator[Opened]:
        """Opens a transaction likewise. It stays where it began: if the replica fails then, so does
        the call."""
        replica = await self._choose()
        if replica is None or not await replica.answers():
            async with open_on(self._primary) as transaction:
                yield transaction
            return
        with replica.at_work() as database:
            try:
                async with open_on(database) as transaction:
                    yield transaction
            except TrainingError as error:
                if error.reason is Reason.CONFLICT:
                    raise database_unavailable() from error
                raise

    async def _choose(self) -> Replica | None:
        """Returns a replica that may answer the call under way, None if none may."""
        consistency = current_consistency()
        if consistency is not None and consistency.is_write:
            return None
        needed = consistency.needed if consistency else []
        well = [one for one in self.replicas if one.trouble is None and one.may_have(needed)]
        if not well:
            return None
        ready = [one for one in well if one.has(needed)]
        chosen = min(ready or well, key=lambda one: (one.in_use, one.used))
        if ready or await chosen.wait_for(needed, self._wait_seconds):
            return chosen
        return None

    async def _watch_primary(self) -> None:
        """Asks how far the primary's log is, for ever."""
        while True:
            asked_at = time.monotonic()
            try:
                [self._primary.cluster] = await self._primary.read_shared(_CLUSTER, {})
                [end] = await self._primary.read_shared(LOG_END, {})
                self._progress.note(asked_at, self._primary.position(end))
            except TrainingError:
                pass  # the health of the service says so
            except Exception:
                logger.exception("the primary could not be asked how far it is")
            await asyncio.sleep(CHECK_SECONDS)
