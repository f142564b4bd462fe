"""A queue of calls before workers: simulated, and by Erlang's formula to compare it with.

A worker does one thing at a time. Each wait follows from the one before it (Lindley's recursion;
of several workers with one queue Kiefer and Wolfowitz's: who is free first takes the next call).
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
PERCENT_95 = 1.6449
"""How many standard deviations the 95th percentile of a normal distribution is above its median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of call."""

    share: float
    """Of all calls."""
    seconds: float
    """Mean time a worker is busy with it."""
    spread: float
    """95th percentile of the time beside its median."""


def mean_seconds(kinds: Sequence[Kind]) -> float:
    """Returns how long a worker is busy with a call, of whatever kind."""
    return sum(kind.share * kind.seconds for kind in kinds)


def arrivals(rng: np.random.Generator, a_second: float, seconds: float) -> Numbers:
    """Returns when calls come that have nothing to do with one another (Poisson), in order."""
    return np.sort(rng.uniform(0, seconds, rng.poisson(a_second * seconds)))


def service_times(rng: np.random.Generator, kinds: Sequence[Kind], count: int) -> Numbers:
    """Returns how long a worker is busy with each of so many calls: lognormal for each kind."""
    drawn = rng.choice(len(kinds), count, p=[kind.share for kind in kinds])
    sigma = np.array([math.log(max(1.0, kind.spread)) / PERCENT_95 for kind in kinds])
    # A lognormal distribution's mean is above its median by half the variance.
    middle = np.log([kind.seconds for kind in kinds]) - sigma**2 / 2
    return rng.lognormal(middle[drawn], sigma[drawn])


def waits_shared(times: Numbers, busy: Numbers, workers: int) -> Numbers:
    """Returns how long each call waits in one queue for all workers."""
    free = [0.0] * workers
    waited = np.empty(len(times))
    for index, (time, taken) in enumerate(zip(times.tolist(), busy.tolist(), strict=True)):
        begin = max(time, free[0])
        heapq.heapreplace(free, begin + taken)
        waited[index] = begin - time
    return waited


def waits_apart(rng: np.random.Generator, times: Numbers, busy: Numbers, workers: int) -> Numbers:
    """Returns how long each call waits when chance gives it to a worker, each with its own queue.

    That is how connections meet workers that share a port: the kernel does not know who is free.
    """
    chosen = rng.integers(workers, size=len(times))
    waited = np.empty(len(times))
    for worker in range(workers):
        mine = chosen == worker
        waited[mine] = waits_shared(times[mine], busy[mine], 1)
    return waited


def erlang_c(workers: int, offered: float) -> float:
    """Returns the share of calls that wait (M/M/k), of a load in busy workers below `workers`."""
    blocked = 1.0
    for k in range(1, workers + 1):
        blocked = offered * blocked / (k + offered * blocked)
    used = offered / workers
    return blocked / (1 - used * (1 - blocked))


def erlang_wait(workers: int, a_second: float, seconds: float) -> float:
    """Returns the mean wait of an M/M/k queue, in seconds; times of service are exponential."""
    offered = a_second * seconds
    return erlang_c(workers, offered) * seconds / (workers - offered)


def by_percent(waited: Numbers) -> Mapping[int, float]:
    """Returns waits by percentile."""
    return {percent: float(np.percentile(waited, percent)) for percent in (50, 95, 99)}
