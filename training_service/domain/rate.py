"""How often somebody may call: token buckets.

A bucket holds up to `burst` tokens and gains `per_second` of them each second; a call takes one,
and is refused when there is none. In any t seconds at most burst + per_second·t calls go through
(the token bucket of RFC 2697, section 3, in calls for bytes).

All there is to know of a bucket is the moment at which it is full: the virtual scheduling form of
the same rule (GCRA, ITU-T I.371). One that is full is like one that was never used, and forgotten.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

ROUNDING_SECONDS = 1e-6
"""What adding times up may have lost: a caller who waited as long as they were told is let in."""


class CostClass(StrEnum):
    """What a call costs, by the names in the contract."""

    READ = "READ"
    WRITE = "WRITE"
    STREAM = "STREAM"
    CHART = "CHART"


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a bucket fills, and how much it holds."""

    per_second: float
    """Tokens that it gains in a second; more than 0."""
    burst: float
    """Tokens that it holds; 1 or more."""

    def times(self, factor: float) -> "Rate":
        """Returns a rate for who may call so many times as often."""
        return Rate(self.per_second * factor, max(1.0, self.burst * factor))


class Taken(NamedTuple):
    """What became of an attempt to take tokens."""

    full_at: float
    """When the bucket will be full, in seconds by the caller's clock."""
    wait_seconds: float
    """0 when they were taken; otherwise how long until they can be, if nobody takes any before."""


def take(rate: Rate, full_at: float, now: float, tokens: float = 1.0) -> Taken:
    """Takes tokens from the bucket that is full at `full_at`, a time that may be past; all or none.

    More tokens than it holds can never be taken: ask for no more than `burst`.
    """
    begin = max(full_at, now)
    after = begin + tokens / rate.per_second
    wait = after - now - rate.burst / rate.per_second
    return Taken(begin, wait) if wait > ROUNDING_SECONDS else Taken(after, 0.0)
