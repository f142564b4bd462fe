"""Frames in order, and smooth numbers from noisy ones.

A frame whose number is missing is passed over: between its neighbours a straight line would have
numbers between theirs, which change neither a count nor a lowest or highest angle. When nothing was
measured for more than 0.25 s, what came before and what comes after are held apart.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from training_service.domain.form.errors import FrameError

LONGEST_GAP_SECONDS = 0.25
"""Nothing is supposed of what happened in a longer one (own)."""
TIME_TOLERANCE_SECONDS = 1e-6
"""Times are decimal fractions: 5.2 - 4.9 is not quite 0.3."""
LATEST_SECONDS = 1.0
"""A frame that is late by more is no late frame but another clock (own)."""

T = TypeVar("T", bound=tuple[float | None, ...])


class Arrival(StrEnum):
    """How a frame comes after those before it."""

    NEXT = "NEXT"
    DUPLICATE = "DUPLICATE"
    LATE = "LATE"


def is_longer(seconds: float, limit: float) -> bool:
    """Returns whether a time is longer than a limit by more than rounding."""
    return seconds > limit + TIME_TOLERANCE_SECONDS


class Clock:
    """Tells frames that come in order from those that come again or late: they are left out."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now: float | None = None
        """The time of the newest frame in seconds."""

    def place(self, seconds: float) -> Arrival:
        """Takes the time of a frame.

        Raises FrameError when it lies too far before the frames that came.
        """
        if self.now is None or seconds > self.now:
            self.now = seconds
            return Arrival.NEXT
        if seconds == self.now:
            return Arrival.DUPLICATE
        if is_longer(self.now - seconds, LATEST_SECONDS):
            raise FrameError(
                "time_seconds",
                f"lies {self.now - seconds:.3f} s before a frame that came earlier; "
                f"at most {LATEST_SECONDS:g} s is taken as a late frame",
            )
        return Arrival.LATE


class Sample(NamedTuple, Generic[T]):
    """What was measured in one frame."""

    seconds: float
    channels: T
    confidence: float


class MedianOfThree(Generic[T]):
    """Takes each number together with its neighbours and gives the middle one, a frame later.

    A spike of one frame is gone, and an edge stays where it is. The first and the last number of a
    stretch, and one whose neighbour is not known, stay as they are.
    """

    __slots__ = ("_before", "_last", "_make")

    def __init__(self, make: Callable[..., T]) -> None:
        """`make` makes the channels of a sample from numbers."""
        self._make = make
        self._before: Sample[T] | None = None
        self._last: Sample[T] | None = None

    def push(self, sample: Sample[T]) -> Sample[T] | None:
        """Takes a sample and returns the one before it, smoothed."""
        before, last = self._before, self._last
        self._before, self._last = last, sample
        if before is None or last is None:
            return last
        smooth = self._make(*map(_median, before.channels, last.channels, sample.channels))
        return Sample(last.seconds, smooth, last.confidence)

    def flush(self) -> Sample[T] | None:
        """Returns the last sample, after which another stretch begins."""
        last = self._last
        self._before = self._last = None
        return last


def _median(a: float | None, b: float | None, c: float | None) -> float | None:
    if a is None or b is None or c is None:
        return b
    return max(min(a, b), min(max(a, b), c))


class Spread:
    """Mean and variance of numbers that are not kept (Welford 1962)."""

    __slots__ = ("_squares", "count", "mean")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, value: float) -> None:
        """Takes a number."""
        self.count += 1
        difference = value - self.mean
        self.mean += difference / self.count
        self._squares += difference * (value - self.mean)

    @property
    def variance(self) -> float:
        """Of the population; 0 of none."""
        return self._squares / self.count if self.count else 0.0
