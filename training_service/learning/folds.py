"""How a replay is cut in time, and how sure a gain is.

Intervals come from drawing whole athletes with replacement, since an athlete's sessions are not
independent of each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import fsum
from random import Random
from typing import NamedTuple, Protocol, TypeVar

FOLDS = 5
FIRST_TEST_SHARE = 0.4
"""Of what is replayed, that which is only learned from (our choice)."""
BOOTSTRAPS = 1_000


class Timed(Protocol):
    """What has its place in time."""

    @property
    def started_at(self) -> datetime:
        """When it began."""


Event = TypeVar("Event", bound=Timed)


class Fold(NamedTuple):
    """A stretch of time that is forecast from what came before it."""

    begin: datetime
    end: datetime | None
    """Where the next one begins; None: it goes on to the end."""

    def of(self, ordered: Sequence[Event]) -> list[Event]:
        """Returns what falls into it."""
        return [
            one
            for one in ordered
            if one.started_at >= self.begin and (self.end is None or one.started_at < self.end)
        ]


def folds_of(ordered: Sequence[Timed]) -> list[Fold]:
    """Returns the folds of what is given by time; each has about as much of it."""
    first = int(len(ordered) * FIRST_TEST_SHARE)
    places = [first + (len(ordered) - first) * fold // FOLDS for fold in range(FOLDS)]
    begins = [ordered[place].started_at for place in places]
    return [Fold(*ends) for ends in zip(begins, [*begins[1:], None], strict=True)]


@dataclass(frozen=True, slots=True)
class Gain:
    """A mean, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def gain_of(by_user: Mapping[str, Sequence[float]]) -> Gain:
    """Returns the mean of numbers of several athletes, each of whom has at least one."""
    sums = [(fsum(of), len(of)) for of in by_user.values()]
    drawn = sorted(_resampled(sums))
    return Gain(
        mean=fsum(each for each, _ in sums) / sum(count for _, count in sums),
        low=drawn[round(0.025 * (BOOTSTRAPS - 1))],
        high=drawn[round(0.975 * (BOOTSTRAPS - 1))],
    )


def _resampled(sums: Sequence[tuple[float, int]]) -> Iterator[float]:
    chance = Random(0)  # noqa: S311
    for _ in range(BOOTSTRAPS):
        sample = chance.choices(sums, k=len(sums))
        yield fsum(each for each, _ in sample) / sum(count for _, count in sample)
