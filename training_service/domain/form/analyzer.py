"""The analysis of one movement, a frame at a time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from training_service.domain.form.errors import FrameError
from training_service.domain.form.holds import Hold, HoldChannels, HoldDetector, HoldStarted
from training_service.domain.form.movements import HOLDS, REPS, Movement, View, view_of
from training_service.domain.form.reps import (
    FaultKind,
    Rep,
    RepChannels,
    RepCounter,
    RepDiscarded,
    RepResult,
    Verdict,
)
from training_service.domain.form.signal import (
    LONGEST_GAP_SECONDS,
    Arrival,
    Clock,
    MedianOfThree,
    Sample,
    Spread,
    is_longer,
)
from training_service.domain.form.skeleton import Body, BodyReader, Keypoint, Layout, Limbs, Side

CONFIDENCE_WEIGHT = 1 / 30
"""How much a frame counts in the confidence that the side is chosen by: about a second (own)."""
SIDE_LEAD = 0.1
"""The other side takes over when its confidence is higher by more, so that it does not change to
and fro (own)."""
MOST_TIME_SECONDS = 1e10
"""Times may be counted from 1970."""

T = TypeVar("T", bound=tuple[float | None, ...])


class GapReason(StrEnum):
    """Why nothing is measured."""

    NO_FRAMES = "NO_FRAMES"
    NOT_SEEN = "NOT_SEEN"
    WRONG_VIEW = "WRONG_VIEW"


@dataclass(frozen=True, slots=True)
class Gap:
    """Nothing was measured for longer than is passed over."""

    start_seconds: float
    """Of the last frame that was measured, or the first of all."""
    reason: GapReason


Result: TypeAlias = RepResult | HoldStarted | Hold | Gap


class Event(NamedTuple):
    """Something that was found."""

    seconds: float
    """Of the frame that it was found with."""
    result: Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What is analysed, and how it is filmed."""

    movement: Movement
    layout: Layout
    view: View = View.SIDE
    side: Side | None = None
    """The side that faces the camera; None is the one that is seen better."""
    width: float = 1.0
    height: float = 1.0
    """What coordinates are multiplied with: the picture's size when they are shares of it."""
    frame_rate: float | None = None
    """Frames a second, for those without a time."""
    wider_degrees: float = 0.0
    """By how much a held position may be further from its line than usual."""


class Frame(NamedTuple):
    """The keypoints of a moment."""

    seconds: float | None
    """From any beginning; None is by the frame rate."""
    keypoints: Sequence[Keypoint]


@dataclass(slots=True)
class FrameCounts:
    """What became of the frames."""

    received: int = 0
    measured: int = 0
    duplicate: int = 0
    late: int = 0
    not_seen: int = 0
    wrong_view: int = 0


@dataclass(slots=True)
class Summary:
    """What a set was, as running sums."""

    frames: FrameCounts = field(default_factory=FrameCounts)
    first_seconds: float | None = None
    last_seconds: float | None = None
    verdicts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    discarded: int = 0
    depth: Spread = field(default_factory=Spread)
    lockout: Spread = field(default_factory=Spread)
    faults: dict[FaultKind, int] = field(default_factory=lambda: dict.fromkeys(FaultKind, 0))
    """How many repetitions have each."""
    holds: int = 0
    held_seconds: float = 0.0
    longest_hold_seconds: float = 0.0
    stability: Spread = field(default_factory=Spread)
    line_error: Spread = field(default_factory=Spread)
    confidence: Spread = field(default_factory=Spread)

    @property
    def counted(self) -> int:
        """Repetitions without the partial ones."""
        return sum(n for verdict, n in self.verdicts.items() if verdict is not Verdict.PARTIAL)

    def add(self, result: Result) -> None:
        """Takes what was found."""
        if isinstance(result, Rep):
            self._add_rep(result)
        elif isinstance(result, RepDiscarded):
            self.discarded += 1
        elif isinstance(result, Hold):
            self._add_hold(result)

    def _add_rep(self, rep: Rep) -> None:
        self.verdicts[rep.verdict] += 1
        for fault in rep.faults:
            self.faults[fault.kind] += 1
        if rep.lockout_degrees is not None:
            self.depth.add(rep.depth_degrees)
            self.lockout.add(rep.lockout_degrees)

    def _add_hold(self, hold: Hold) -> None:
        self.holds += 1
        self.held_seconds += hold.seconds
        self.longest_hold_seconds = max(self.longest_hold_seconds, hold.seconds)
        self.line_error.add(hold.line_error_degrees)
        if hold.stability_score is not None:
            self.stability.add(hold.stability_score)


class _Tracker(Protocol[T]):
    """What becomes of the numbers of a movement."""

    def add(self, sample: Sample[T]) -> Iterator[Result]:
        """Takes a sample."""

    def pass_time(self, seconds: float, /) -> Iterator[Result]:
        """Notes that there is no sample at a moment."""

    def split(self) -> Iterator[Result]:
        """Notes that there was none for longer than is passed over."""

    def finish(self) -> Iterator[Result]:
        """Notes that there will be no more."""


class _Track(Generic[T]):
    """Smooths samples on their way to a tracker, and finds the gaps between them."""

    def __init__(self, make: Callable[..., T], tracker: _Tracker[T]) -> None:
        self._median = MedianOfThree(make)
        self._tracker = tracker
        self._last: float | None = None
        """When there was a sample last."""
        self._reason = GapReason.NO_FRAMES
        self._is_split = False

    def take(self, sample: Sample[T]) -> Iterator[Result]:
        """Takes a sample."""
        yield from self._look_for_gap(sample.seconds)
        self._last, self._reason, self._is_split = sample.seconds, GapReason.NO_FRAMES, False
        smooth = self._median.push(sample)
        if smooth is not None:
            yield from self._tracker.add(smooth)

    def miss(self, seconds: float, reason: GapReason) -> Iterator[Result]:
        """Takes note of a frame without a sample."""
        if self._last is None:
            self._last = seconds
        self._reason = reason
        yield from self._look_for_gap(seconds)
        if self._is_split:
            yield from self._tracker.pass_time(seconds)

    def finish(self) -> Iterator[Result]:
        """Ends it."""
        yield from self._flush()
        yield from self._tracker.finish()

    def _look_for_gap(self, seconds: float) -> Iterator[Result]:
        if self._last is None or self._is_split:
            return
        if is_longer(seconds - self._last, LONGEST_GAP_SECONDS):
            self._is_split = True
            yield from self._flush()
            yield from self._tracker.split()
            yield Gap(self._last, self._reason)

    def _flush(self) -> Iterator[Result]:
        last = self._median.flush()
        if last is not None:
            yield from self._tracker.add(last)


class FormAnalyzer:
    """Analyses frames as they come. What it remembers does not grow with their number."""

    def __init__(self, setup: Setup) -> None:
        self.summary = Summary()
        self._setup = setup
        self._reader = BodyReader(setup.layout, setup.width, setup.height)
        self._clock = Clock()
        self._side = _SideChooser(setup.side)
        self._measure, self._track = _track_of(setup)

    @property
    def index(self) -> int:
        """The number of the newest frame, from 0."""
        return self.summary.frames.received - 1

    def add(self, frame: Frame) -> list[Event]:
        """Takes a frame and returns what is known with it.

        Raises FrameError for one that can't be analysed.
        """
        counts = self.summary.frames
        counts.received += 1
        body = self._reader.read(frame.keypoints)
        seconds = self._seconds(frame)
        arrival = self._clock.place(seconds)
        if arrival is Arrival.DUPLICATE:
            counts.duplicate += 1
            return []
        if arrival is Arrival.LATE:
            counts.late += 1
            return []
        return self._record(seconds, self._next(seconds, body))

    def finish(self) -> list[Event]:
        """Returns what is known when there are no more frames."""
        return self._record(self._clock.now or 0.0, self._track.finish())

    def _record(self, seconds: float, results: Iterator[Result]) -> list[Event]:
        events = [Event(seconds, result) for result in results]
        for event in events:
            self.summary.add(event.result)
        return events

    def _seconds(self, frame: Frame) -> float:
        seconds = frame.seconds
        if seconds is None:
            if self._setup.frame_rate is None:
                raise FrameError("time_seconds", "must be given when the header has no frame rate")
            seconds = self.index / self._setup.frame_rate
        if not 0 <= seconds <= MOST_TIME_SECONDS:  # what is no number is not either
            raise FrameError("time_seconds", f"must be between 0 and {MOST_TIME_SECONDS:g}")
        return seconds

    def _next(self, seconds: float, body: Body) -> Iterator[Result]:
        summary, limbs = self.summary, body.limbs(self._side.choose(body))
        if summary.first_seconds is None:
            summary.first_seconds = seconds
        summary.last_seconds = seconds
        if view_of(body, limbs) not in (None, self._setup.view):
            summary.frames.wrong_view += 1
            return self._track.miss(seconds, GapReason.WRONG_VIEW)
        channels = self._measure(body, limbs)
        if channels is None:
            summary.frames.not_seen += 1
            return self._track.miss(seconds, GapReason.NOT_SEEN)
        summary.frames.measured += 1
        summary.confidence.add(limbs.confidence)
        return self._track.take(Sample(seconds, channels, limbs.confidence))


class _SideChooser:
    """Chooses the side that is seen better."""

    def __init__(self, given: Side | None) -> None:
        self._given = given
        self._side = Side.LEFT
        self._lead: float | None = None
        """By how much the confidence of the left side was higher lately."""

    def choose(self, body: Body) -> Side:
        """Returns the side."""
        if self._given is not None:
            return self._given
        lead = body.left.confidence - body.right.confidence
        if self._lead is None:
            self._lead = lead
            self._side = Side.LEFT if lead >= 0 else Side.RIGHT
        self._lead += (lead - self._lead) * CONFIDENCE_WEIGHT
        if abs(self._lead) > SIDE_LEAD:
            self._side = Side.LEFT if self._lead > 0 else Side.RIGHT
        return self._side


def _track_of(setup: Setup) -> tuple[Callable[[Body, Limbs], Any], _Track[Any]]:
    """Returns how a movement is measured and what becomes of its samples."""
    if setup.movement in HOLDS:
        hold = HOLDS[setup.movement]

        def measure(body: Body, limbs: Limbs) -> HoldChannels | None:
            return hold.measure(body, limbs, setup.wider_degrees)

        return measure, _Track(HoldChannels, HoldDetector())
    reps = REPS[setup.movement, setup.view]
    return reps.measure, _Track(RepChannels, RepCounter(reps.faults))
