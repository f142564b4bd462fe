"""Holds: how long a position was kept, how still, and how straight."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from math import sqrt
from typing import NamedTuple

from training_service.domain.form.signal import Sample, Spread, is_longer

BRIDGED_SECONDS = 0.3
"""Frames out of the position for so long do not end a hold (own)."""
LEAST_SECONDS = 1.0
"""A hold is at least this long (own)."""
STILL, RESTLESS = 0.01, 0.10
"""Sway that scores 100 and 0, as a share of the torso's length (own)."""
ROUNDING = 1e-9


class LineBand(StrEnum):
    """How straight a hold was; the bands follow the deductions of gymnastics."""

    UP_TO_15 = "UP_TO_15"
    UP_TO_30 = "UP_TO_30"
    UP_TO_45 = "UP_TO_45"
    ABOVE_45 = "ABOVE_45"


LINE_BANDS = ((15.0, LineBand.UP_TO_15), (30.0, LineBand.UP_TO_30), (45.0, LineBand.UP_TO_45))


class HoldChannels(NamedTuple):
    """What is measured in each frame of a held movement."""

    position: float
    """By how many degrees the position is met; negative is out of it."""
    line_error: float
    """The largest deviation from the ideal line in degrees."""
    hips_x: float | None
    hips_y: float | None
    """The middle of both hips."""
    hip_x: float | None
    hip_y: float | None
    """The hip of the side that is measured."""
    torso: float | None
    """Its length, in the unit of the coordinates."""


@dataclass(frozen=True, slots=True)
class HoldStarted:
    """A position has been kept for as long as the shortest hold."""

    number: int
    start_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A position that was kept."""

    number: int
    """From 1."""
    start_seconds: float
    end_seconds: float
    line_error_degrees: float
    """The mean of the largest deviations from the ideal line."""
    line_band: LineBand
    sway: float | None
    """Standard deviation of the middle of the hips, or of one that hides the other, as a share of
    the torso's length; None when they were not seen."""
    stability_score: float | None
    """100 is still, 0 is restless."""
    confidence: float

    @property
    def seconds(self) -> float:
        """How long it was kept."""
        return self.end_seconds - self.start_seconds


def stability_score(sway: float) -> float:
    """Returns 100 for a sway of a hundredth of the torso or less, 0 for a tenth or more."""
    return max(0.0, min(100.0, 100 * (RESTLESS - sway) / (RESTLESS - STILL)))


def line_band(degrees: float) -> LineBand:
    """Returns the band of a deviation."""
    return next((band for limit, band in LINE_BANDS if degrees <= limit), LineBand.ABOVE_45)


@dataclass(slots=True)
class _Sway:
    """How much a point moves."""

    x: Spread = field(default_factory=Spread)
    y: Spread = field(default_factory=Spread)
    torso: Spread = field(default_factory=Spread)

    def add(self, x: float | None, y: float | None, torso: float | None) -> None:
        if x is not None and y is not None and torso is not None:
            self.x.add(x)
            self.y.add(y)
            self.torso.add(torso)

    def share(self) -> float | None:
        """Returns its standard deviation as a share of the torso's length."""
        if not self.torso.mean:
            return None
        return sqrt(self.x.variance + self.y.variance) / self.torso.mean


@dataclass(slots=True)
class _Run:
    """Frames in position, so close that they are one hold."""

    start_seconds: float
    last_seconds: float
    hips: _Sway = field(default_factory=_Sway)
    hip: _Sway = field(default_factory=_Sway)
    line_error: Spread = field(default_factory=Spread)
    confidence: Spread = field(default_factory=Spread)

    def add(self, sample: Sample[HoldChannels]) -> None:
        _, line_error, hips_x, hips_y, hip_x, hip_y, torso = sample.channels
        self.last_seconds = sample.seconds
        self.line_error.add(line_error)
        self.confidence.add(sample.confidence)
        self.hips.add(hips_x, hips_y, torso)
        self.hip.add(hip_x, hip_y, torso)

    @property
    def is_hold(self) -> bool:
        return not is_longer(LEAST_SECONDS, self.last_seconds - self.start_seconds)

    def sway(self) -> float | None:
        """Returns that of the middle of the hips or, when the far one was mostly hidden, of the
        near one: the two are not mixed, for to change from one to the other would look like sway.
        """
        is_mostly_seen = 2 * self.hips.torso.count >= self.hip.torso.count
        return (self.hips if is_mostly_seen else self.hip).share()


@dataclass(slots=True)
class HoldDetector:
    """Finds holds in samples."""

    _count: int = 0
    _run: _Run | None = None
    _is_announced: bool = False

    def add(self, sample: Sample[HoldChannels]) -> Iterator[HoldStarted | Hold]:
        """Takes a sample and yields what is known with it."""
        yield from self.pass_time(sample.seconds)
        if sample.channels.position < -ROUNDING:
            return
        if self._run is None:
            self._run = _Run(sample.seconds, sample.seconds)
        self._run.add(sample)
        if self._run.is_hold and not self._is_announced:
            self._is_announced = True
            self._count += 1
            yield HoldStarted(self._count, self._run.start_seconds)

    def pass_time(self, seconds: float) -> Iterator[Hold]:
        """Ends the hold when it was left too long ago."""
        if self._run is not None and is_longer(seconds - self._run.last_seconds, BRIDGED_SECONDS):
            yield from self.finish()

    def split(self) -> Iterator[Hold]:
        """Does nothing: a hold ends by its own time."""
        return iter(())

    def finish(self) -> Iterator[Hold]:
        """Ends the hold that goes on, if there is one."""
        run, self._run, self._is_announced = self._run, None, False
        if run is None or not run.is_hold:
            return
        sway = run.sway()
        yield Hold(
            number=self._count,
            start_seconds=run.start_seconds,
            end_seconds=run.last_seconds,
            line_error_degrees=run.line_error.mean,
            line_band=line_band(run.line_error.mean),
            sway=sway,
            stability_score=None if sway is None else stability_score(sway),
            confidence=run.confidence.mean,
        )
