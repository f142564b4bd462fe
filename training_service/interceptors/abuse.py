"""Who is refused again and again: counted, and said in the log."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from cachetools import LRUCache

from training_service.errors import Reason
from training_service.pseudonym import Pseudonyms

logger = structlog.get_logger(__name__)

SIGNALS = frozenset(
    {
        Reason.RATE_LIMITED,
        Reason.TOO_MANY_STREAMS,
        Reason.QUOTA_EXCEEDED,
        Reason.UNAUTHENTICATED,
        Reason.PERMISSION_DENIED,
        # Who tries ids of athletes, one after the other.
        Reason.ATHLETE_NOT_FOUND,
    }
)
"""Refusals that tell of abuse when there are many."""
WINDOW_SECONDS = 60.0
MAX_CALLERS = 10_000
"""Most callers that are watched; who was refused longest ago is forgotten first."""


@dataclass(slots=True)
class _Minute:
    """How often one caller was refused."""

    began: float
    refusals: Counter[Reason] = field(default_factory=Counter)
    is_logged: bool = False


class AbuseSignals:
    """Counts refusals by reason, and names who has many, once a minute at most."""

    def __init__(
        self,
        pseudonyms: Pseudonyms,
        threshold: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pseudonyms = pseudonyms
        self._threshold = threshold
        self._clock = clock
        self._callers: LRUCache[UUID, _Minute] = LRUCache(MAX_CALLERS)
        self.totals: Counter[Reason] = Counter()
        """How often each was given since the process began."""
        self.suspected = 0
        """How often a caller was named in the log."""

    def note(self, reason: Reason, caller_key: UUID) -> None:
        """Counts a refusal; those that are no sign of abuse don't count."""
        if reason not in SIGNALS:
            return
        self.totals[reason] += 1
        now = self._clock()
        minute = self._callers.get(caller_key)
        if minute is None or now - minute.began >= WINDOW_SECONDS:
            minute = self._callers[caller_key] = _Minute(now)
        minute.refusals[reason] += 1
        is_much = self._threshold and minute.refusals.total() >= self._threshold
        if is_much and not minute.is_logged:
            minute.is_logged = True
            self.suspected += 1
            logger.warning(
                "abuse suspected",
                caller=self._pseudonyms.of(caller_key),
                refusals={reason.value: count for reason, count in minute.refusals.items()},
                seconds=round(now - minute.began, 1),
            )
