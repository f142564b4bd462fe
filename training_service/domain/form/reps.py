"""Repetitions from the angle of a joint, counted with two thresholds.

Between the thresholds nothing changes, so that noise narrower than they are apart is never counted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from training_service.domain.form.signal import Sample, Spread, is_longer

EXTENDED_DEGREES = 150.0
"""From here on the joint is extended (own)."""
FLEXED_DEGREES = 100.0
"""From here down it is flexed (own)."""
DESCENT_DEGREES = 140.0
"""Below it a descent has begun: 10° below what is extended (own)."""
LEAST_SECONDS = 0.4
MOST_SECONDS = 15.0
"""A repetition takes this long, from the last extended frame until it is extended again (own)."""
MARGIN_DEGREES = 5.0
"""By so much an angle of a monocular estimate may be wrong."""
ROUNDING = 1e-9
STRAIGHT_DEGREES = 180.0


class Judgement(StrEnum):
    """How what was measured stands to a limit."""

    UNSEEN = "UNSEEN"
    """What decides was not seen."""
    MISSED = "MISSED"
    MISSED_NARROWLY = "MISSED_NARROWLY"
    """By less than the margin: it may have been met."""
    MET_NARROWLY = "MET_NARROWLY"
    """By less than the margin: it may have been missed."""
    MET = "MET"


class Verdict(StrEnum):
    """What is said of a repetition."""

    VALID = "VALID"
    BORDERLINE = "BORDERLINE"
    """A limit was missed narrowly or not seen, and none was missed clearly."""
    FAILED = "FAILED"
    PARTIAL = "PARTIAL"
    """A descent that came back before the joint was flexed; not counted."""


class FaultKind(StrEnum):
    """What can be wrong with how a repetition was done."""

    PIKE = "PIKE"
    SAG = "SAG"
    KIP = "KIP"
    UNEVEN_ARMS = "UNEVEN_ARMS"
    TRUNK_LEAN = "TRUNK_LEAN"
    KNEES_IN = "KNEES_IN"


class Extreme(StrEnum):
    """Which number of a repetition is held against the limit of a fault."""

    HIGHEST = "HIGHEST"
    LOWEST = "LOWEST"
    """With its sign turned."""
    RANGE = "RANGE"


@dataclass(frozen=True, slots=True)
class FaultRule:
    """When there is a fault."""

    kind: FaultKind
    extreme: Extreme
    limit: float
    """Up to here all is well, in the unit of what is measured."""
    margin: float
    """A fault that goes beyond the limit by less is borderline."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a repetition."""

    kind: FaultKind
    value: float
    """The worst of the repetition: degrees, or a share of the torso's length."""
    is_borderline: bool


class RepChannels(NamedTuple):
    """What is measured in each frame of a movement with repetitions."""

    angle: float
    """Of the joint that is counted by, in degrees."""
    depth: float | None
    """By how many degrees the limit of depth is met; negative is missed."""
    lockout: float | None
    """The same of the lockout."""
    form: float | None = None
    """What faults are told by."""


@dataclass(frozen=True, slots=True)
class RepCounted:
    """A repetition has ended; what it was worth follows, when its lockout is over."""

    number: int
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class RepDiscarded:
    """What would have been a repetition was too short or too long to be one, and is not counted."""

    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rep:
    """A repetition with what it was worth."""

    number: int | None
    """From 1; None when it is not counted."""
    start_seconds: float
    """The last extended frame before it."""
    end_seconds: float
    """When it was extended again."""
    verdict: Verdict
    depth_degrees: float
    """The least angle."""
    lockout_degrees: float | None
    """The greatest angle from its end until the next descent; None of a partial one."""
    depth: Judgement
    lockout: Judgement | None
    """None of a partial one."""
    faults: tuple[Fault, ...]
    confidence: float
    """Mean confidence of the keypoints, 0 to 1."""


RepResult: TypeAlias = RepCounted | RepDiscarded | Rep


def judge(excess: float | None) -> Judgement:
    """Returns how a limit was met or missed by so many degrees."""
    if excess is None:
        return Judgement.UNSEEN
    if excess >= MARGIN_DEGREES:
        return Judgement.MET
    if excess >= -ROUNDING:
        return Judgement.MET_NARROWLY
    if excess > ROUNDING - MARGIN_DEGREES:
        return Judgement.MISSED_NARROWLY
    return Judgement.MISSED


def verdict_of(depth: Judgement, lockout: Judgement) -> Verdict:
    """Returns what a repetition is worth."""
    both = {depth, lockout}
    if Judgement.MISSED in both:
        return Verdict.FAILED
    if both <= {Judgement.MET, Judgement.MET_NARROWLY}:
        return Verdict.VALID
    return Verdict.BORDERLINE


def greater(a: float | None, b: float | None) -> float | None:
    """Returns the greater of two numbers that may be unknown."""
    if a is None or b is None:
        return b if a is None else a
    return max(a, b)


class _Descent:
    """What was measured since the joint was last extended."""

    __slots__ = ("_depth_at_least", "_highest", "_lowest", "angle", "confidence", "depth")

    def __init__(self) -> None:
        self.angle = STRAIGHT_DEGREES
        """The least."""
        self.depth: float | None = None
        """The greatest."""
        self.confidence = Spread()
        self._depth_at_least: float | None = None
        self._lowest: float | None = None
        self._highest: float | None = None

    def add(self, sample: Sample[RepChannels]) -> None:
        angle, depth, _, form = sample.channels
        if angle < self.angle:
            self.angle, self._depth_at_least = angle, depth
        self.depth = greater(self.depth, depth)
        self._highest = greater(self._highest, form)
        self._lowest = greater(self._lowest, None if form is None else -form)
        self.confidence.add(sample.confidence)

    def depth_judgement(self) -> Judgement:
        """Unseen at the lowest point, the depth may have been met there."""
        found = judge(self.depth)
        is_missed = found in (Judgement.MISSED, Judgement.MISSED_NARROWLY)
        return Judgement.UNSEEN if is_missed and self._depth_at_least is None else found

    def faults(self, rules: Sequence[FaultRule]) -> tuple[Fault, ...]:
        found = []
        for rule in rules:
            value = self._worst(rule.extreme)
            if value is not None and value > rule.limit:
                found.append(Fault(rule.kind, value, value - rule.limit < rule.margin))
        return tuple(found)

    def _worst(self, extreme: Extreme) -> float | None:
        if self._highest is None or self._lowest is None:
            return None
        if extreme is Extreme.RANGE:
            return self._highest + self._lowest
        return self._highest if extreme is Extreme.HIGHEST else self._lowest


@dataclass(slots=True)
class _Pending:
    """A counted repetition whose lockout is not over."""

    counted: RepCounted
    descent: _Descent
    lockout: float | None = None
    lockout_degrees: float = 0.0

    def extend(self, channels: RepChannels) -> None:
        self.lockout = greater(self.lockout, channels.lockout)
        self.lockout_degrees = max(self.lockout_degrees, channels.angle)


class _State(StrEnum):
    UNKNOWN = "UNKNOWN"
    EXTENDED = "EXTENDED"
    FLEXED = "FLEXED"


@dataclass(slots=True)
class RepCounter:
    """Counts the repetitions of a stretch of samples, and of the next after a split.

    UNKNOWN → EXTENDED (θ ≥ 150°) → FLEXED (θ ≤ 100°) → EXTENDED is one repetition. Google's ML Kit
    sample counts by two thresholds too, of a class's confidence.
    """

    rules: Sequence[FaultRule] = ()
    _count: int = 0
    _state: _State = _State.UNKNOWN
    _extended_seconds: float = 0.0
    _descent: _Descent | None = None
    _pending: _Pending | None = None

    def add(self, sample: Sample[RepChannels]) -> Iterator[RepResult]:
        """Takes a sample and yields what is known with it."""
        angle = sample.channels.angle
        if angle >= EXTENDED_DEGREES:
            yield from self._extend(sample)
            return
        if self._state is _State.UNKNOWN:
            return
        if angle < DESCENT_DEGREES:
            yield from self._judge()
        if self._descent is None:
            self._descent = _Descent()
        self._descent.add(sample)
        if angle <= FLEXED_DEGREES:
            self._state = _State.FLEXED

    def pass_time(self, _seconds: float) -> Iterator[RepResult]:
        """Does nothing: a repetition does not end by waiting."""
        return iter(())

    def split(self) -> Iterator[RepResult]:
        """Ends a stretch: a repetition under way is given up, one that was counted is judged."""
        yield from self._judge()
        self._state = _State.UNKNOWN
        self._descent = None

    def finish(self) -> Iterator[RepResult]:
        """Ends the last stretch."""
        return self.split()

    def _extend(self, sample: Sample[RepChannels]) -> Iterator[RepResult]:
        descent, self._descent = self._descent, None
        if descent is not None and self._state is _State.FLEXED:
            yield self._count_rep(descent, sample.seconds)
        elif descent is not None and descent.angle < DESCENT_DEGREES:
            yield self._partial(descent, sample.seconds)
        self._state = _State.EXTENDED
        self._extended_seconds = sample.seconds
        if self._pending is not None:
            self._pending.extend(sample.channels)

    def _count_rep(self, descent: _Descent, seconds: float) -> RepCounted | RepDiscarded:
        start = self._extended_seconds
        if is_longer(LEAST_SECONDS, seconds - start) or is_longer(seconds - start, MOST_SECONDS):
            return RepDiscarded(start, seconds)
        self._count += 1
        counted = RepCounted(self._count, start, seconds)
        self._pending = _Pending(counted, descent)
        return counted

    def _judge(self) -> Iterator[Rep]:
        pending, self._pending = self._pending, None
        if pending is None:
            return
        counted, descent = pending.counted, pending.descent
        depth, lockout = descent.depth_judgement(), judge(pending.lockout)
        yield Rep(
            number=counted.number,
            start_seconds=counted.start_seconds,
            end_seconds=counted.end_seconds,
            verdict=verdict_of(depth, lockout),
            depth_degrees=descent.angle,
            lockout_degrees=pending.lockout_degrees,
            depth=depth,
            lockout=lockout,
            faults=descent.faults(self.rules),
            confidence=descent.confidence.mean,
        )

    def _partial(self, descent: _Descent, seconds: float) -> Rep:
        return Rep(
            number=None,
            start_seconds=self._extended_seconds,
            end_seconds=seconds,
            verdict=Verdict.PARTIAL,
            depth_degrees=descent.angle,
            lockout_degrees=None,
            depth=descent.depth_judgement(),
            lockout=None,
            faults=descent.faults(self.rules),
            confidence=descent.confidence.mean,
        )
