"""How often a caller may call, and how many streams they may have open."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog
from cachetools import LRUCache, TLRUCache

from training_service.caller import Role
from training_service.domain.rate import CostClass, Rate, take
from training_service.errors import Limit, Reason, TrainingError
from training_service.interceptors.call import Call
from training_service.pseudonym import Pseudonyms
from training_service.settings import Settings
from training_service.storage.rate import RateBucketRepository

logger = structlog.get_logger(__name__)

MAX_BUCKETS = 100_000
"""Most buckets that a process remembers: of those used longest ago one is taken for full."""
STREAM_RETRY_SECONDS = 1.0
"""When a stream of the caller's ends nobody knows."""

ASK_SECONDS = 0.1
"""Longest that a call waits for a shared bucket: a database in trouble must not slow all calls."""
AWAY_SECONDS = 5.0
"""For how long it is then not asked: the process's own buckets stand in."""
BORROWED_SHARE = 0.1
"""How much of what a bucket gains in a second is borrowed at once."""
BORROWED_SECONDS = 1.0
"""Tokens that are borrowed and not spent in this time are gone."""
FORGET_SECONDS = 60.0
"""How often a process removes full buckets from the shared table."""

NAMES = {
    CostClass.READ: "reads",
    CostClass.WRITE: "writes",
    CostClass.STREAM: "streams",
    CostClass.CHART: "charts",
}
"""What a limit is called in an answer."""

Key = tuple[UUID, CostClass]


class Buckets(Protocol):
    """The buckets of all callers."""

    async def take(self, key: Key, rate: Rate) -> float:
        """Takes a token; returns 0, or after how many seconds there may be one."""


class ProcessBuckets:
    """Buckets of this process alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # A bucket is the moment when it is full, and forgotten then.
        self._full_at: TLRUCache[Key, float] = TLRUCache(
            MAX_BUCKETS, ttu=lambda _, full_at, __: full_at, timer=clock
        )

    def __len__(self) -> int:
        """Returns how many buckets are remembered."""
        return len(self._full_at)

    async def take(self, key: Key, rate: Rate) -> float:
        """See Buckets."""
        now = self._clock()
        full_at, wait = take(rate, self._full_at.get(key, now), now)
        if not wait:
            self._full_at[key] = full_at
        return wait


@dataclass(slots=True)
class _Pocket:
    """What this process has of a shared bucket."""

    tokens: float = 0.0
    borrowed_until: float = 0.0
    empty_until: float = 0.0
    """Before this the bucket has no token, whoever asks."""
    is_trusted: bool = True
    """Whether one call may go ahead of the answer: not when the last answer was no."""
    asking: asyncio.Task[None] | None = None


class SharedBuckets:
    """Buckets that all processes on a database share.

    A process borrows some tokens at a time and gives calls theirs from its pocket. Who was not
    refused lately does not wait for the database: one call goes ahead while it is asked, and the
    token is owed. Who was refused is refused here until there can be a token again, so that noise
    does not reach the database.
    """

    def __init__(
        self,
        repository: RateBucketRepository,
        pseudonyms: Pseudonyms,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._pseudonyms = pseudonyms
        # Not the monotonic clock, which begins at each machine's start.
        self._clock = clock
        self._pockets: LRUCache[Key, _Pocket] = LRUCache(MAX_BUCKETS)
        self._own = ProcessBuckets()
        self._away_until = 0.0
        self._forget_at = 0.0

    async def take(self, key: Key, rate: Rate) -> float:
        """See Buckets."""
        pocket = self._pockets.get(key)
        if pocket is None:
            pocket = self._pockets[key] = _Pocket()
        while True:
            now = self._clock()
            if pocket.tokens >= 1 and now < pocket.borrowed_until:
                pocket.tokens -= 1
                return 0.0
            if now < pocket.empty_until:
                return pocket.empty_until - now
            if now < self._away_until or not self._pseudonyms.is_known:
                return await self._own.take(key, rate)
            if pocket.asking is None:
                pocket.tokens = min(pocket.tokens, 0.0)
                pocket.asking = asyncio.create_task(self._ask(pocket, key, rate))
                if pocket.is_trusted:
                    pocket.tokens -= 1
                    return 0.0
            done, _ = await asyncio.wait({pocket.asking}, timeout=ASK_SECONDS)
            if not done:
                self._stay_away("slow")

    async def _ask(self, pocket: _Pocket, key: Key, rate: Rate) -> None:
        """Borrows tokens, or learns when there may be some."""
        try:
            now = self._clock()
            caller, cost = self._pseudonyms.of(key[0]), key[1]
            wanted = min(max(1.0, rate.per_second * BORROWED_SHARE // 1), rate.burst)
            granted, full_at = await self._repository.borrow(caller, cost, rate, now, wanted)
            pocket.tokens += granted
            pocket.borrowed_until = now + BORROWED_SECONDS
            pocket.is_trusted = granted > 0
            if not granted:
                pocket.empty_until = now + take(rate, full_at, now).wait_seconds
            if now >= self._forget_at:
                self._forget_at = now + FORGET_SECONDS
                await self._repository.forget(now)
        except TrainingError as error:
            self._stay_away(error.message)
        except Exception:
            logger.exception("shared buckets failed")
            self._stay_away("fault")
        finally:
            pocket.asking = None

    def _stay_away(self, why: str) -> None:
        now = self._clock()
        if now >= self._away_until:
            logger.warning("shared buckets not used", why=why, seconds=AWAY_SECONDS)
        self._away_until = now + AWAY_SECONDS


class RateLimit:
    """Refuses a call of who makes more than they may, before anything is done for it."""

    def __init__(self, settings: Settings, buckets: Buckets) -> None:
        self._buckets = buckets
        self._rates = _rates(settings)
        factor = settings.rate_service_factor
        self._service_rates = {cost: rate.times(factor) for cost, rate in self._rates.items()}

    async def admit(self, call: Call) -> None:
        """Takes a token of the caller's.

        Raises RATE_LIMITED when there is none.
        """
        cost = call.method.cost
        rate = (self._service_rates if _is_service(call) else self._rates).get(cost)
        if rate is None:
            return
        wait = await self._buckets.take((call.caller_key, cost), rate)
        if wait:
            name = NAMES[cost]
            raise TrainingError(
                Reason.RATE_LIMITED,
                f"too many {name}: {rate.per_second:g} a second may be made, and {rate.burst:g} "
                "at once",
                retry_after_seconds=wait,
                limit=Limit("caller", f"{name}_per_second", rate.per_second),
            )


class StreamLimit:
    """Refuses a stream of who has as many open as they may, in this process."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.max_streams_per_caller
        self._service_most = int(self._most * settings.rate_service_factor)
        self._open: Counter[UUID] = Counter()

    @contextmanager
    def one(self, call: Call) -> Iterator[None]:
        """Counts a stream for as long as the block lasts.

        Raises TOO_MANY_STREAMS.
        """
        most = self._service_most if _is_service(call) else self._most
        key = call.caller_key
        if most and self._open[key] >= most:
            raise TrainingError(
                Reason.TOO_MANY_STREAMS,
                f"too many streams: {most} may be open",
                retry_after_seconds=STREAM_RETRY_SECONDS,
                limit=Limit("caller", "open_streams", most),
            )
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


def _is_service(call: Call) -> bool:
    return call.caller is not None and Role.SERVICE in call.caller.roles


def _rates(settings: Settings) -> Mapping[CostClass, Rate]:
    """Returns how often callers may call; a class without a limit is not among them."""
    given = {
        CostClass.READ: (settings.rate_reads_per_second, settings.rate_reads_burst),
        CostClass.WRITE: (settings.rate_writes_per_second, settings.rate_writes_burst),
        CostClass.STREAM: (settings.rate_streams_per_second, settings.rate_streams_burst),
        CostClass.CHART: (settings.rate_charts_per_second, settings.rate_charts_burst),
    }
    return {cost: Rate(rate, burst) for cost, (rate, burst) in given.items() if rate}
