"""Bodies from the keypoints of a pose estimator."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import asin, atan2, degrees, hypot, isfinite
from typing import NamedTuple, TypeAlias

from training_service.domain.form.errors import FrameError

Point: TypeAlias = tuple[float, float]
"""In pixels, or any unit that is the same across and down; y grows downward."""

LEAST_CONFIDENCE = 0.5
"""Keypoints that the estimator is less sure of count as not seen (own)."""


class Layout(StrEnum):
    """In what order an estimator gives its keypoints."""

    COCO_17 = "COCO_17"
    MEDIAPIPE_33 = "MEDIAPIPE_33"


class Side(StrEnum):
    """A side of the body."""

    LEFT = "LEFT"
    RIGHT = "RIGHT"


class Keypoint(NamedTuple):
    """Where an estimator sees a part of the body, and how sure it is, 0 to 1."""

    x: float
    y: float
    confidence: float


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a layout has what is measured."""

    count: int
    mouth: tuple[int, ...]
    left: tuple[int, ...]
    """Shoulder, elbow, wrist, hip, knee, ankle; each on the right is the next number."""


_LAYOUTS = {
    # The nose stands in for the mouth, which COCO does not have.
    Layout.COCO_17: _Places(17, (0,), (5, 7, 9, 11, 13, 15)),
    Layout.MEDIAPIPE_33: _Places(33, (9, 10), (11, 13, 15, 23, 25, 27)),
}


class Limbs(NamedTuple):
    """One side of a body; None is what is not seen."""

    shoulder: Point | None
    elbow: Point | None
    wrist: Point | None
    hip: Point | None
    knee: Point | None
    ankle: Point | None
    confidence: float
    """The mean of the six."""


class Body(NamedTuple):
    """A body in a frame."""

    left: Limbs
    right: Limbs
    mouth: Point | None

    def limbs(self, side: Side) -> Limbs:
        """Returns one side."""
        return self.left if side is Side.LEFT else self.right

    def torso(self, limbs: Limbs) -> float | None:
        """Returns the length from shoulders to hips, None when it is not seen: from between the
        two, or from that of one side when the other's is not seen."""
        shoulders = middle(self.left.shoulder, self.right.shoulder) or limbs.shoulder
        hips = middle(self.left.hip, self.right.hip) or limbs.hip
        if shoulders is None or hips is None:
            return None
        return distance(shoulders, hips) or None


class BodyReader:
    """Reads bodies from keypoints of one layout, in pixels or as shares of a picture's size."""

    def __init__(self, layout: Layout, width: float = 1.0, height: float = 1.0) -> None:
        """Width and height are what the coordinates are multiplied with."""
        self._places = _LAYOUTS[layout]
        self._right = tuple(place + 1 for place in self._places.left)
        self._width = width
        self._height = height

    def read(self, keypoints: Sequence[Keypoint]) -> Body:
        """Returns the body.

        Raises FrameError for keypoints that are not of the layout or no numbers.
        """
        self._check(keypoints)
        return Body(
            self._limbs(keypoints, self._places.left),
            self._limbs(keypoints, self._right),
            self._mouth(keypoints),
        )

    def _check(self, keypoints: Sequence[Keypoint]) -> None:
        count = self._places.count
        if len(keypoints) != count:
            raise FrameError(
                "keypoints", f"has {len(keypoints)} keypoints; the layout has {count} in each frame"
            )
        # One comparison for the usual case: what is no number makes a sum that is none.
        if isfinite(sum(map(sum, keypoints))) and all(0 <= k[2] <= 1 for k in keypoints):
            return
        for number, keypoint in enumerate(keypoints):
            for name, value in zip(Keypoint._fields, keypoint, strict=True):
                if not isfinite(value):
                    raise FrameError(f"keypoints[{number}].{name}", "must be a finite number")
            if not 0 <= keypoint[2] <= 1:
                raise FrameError(f"keypoints[{number}].confidence", "must be between 0 and 1")

    def _limbs(self, keypoints: Sequence[Keypoint], places: tuple[int, ...]) -> Limbs:
        found = [keypoints[place] for place in places]
        shoulder, elbow, wrist, hip, knee, ankle = map(self._point, found)
        confidence = sum(k[2] for k in found) / len(found)
        return Limbs(shoulder, elbow, wrist, hip, knee, ankle, confidence)

    def _point(self, keypoint: Keypoint) -> Point | None:
        x, y, confidence = keypoint
        return (x * self._width, y * self._height) if confidence >= LEAST_CONFIDENCE else None

    def _mouth(self, keypoints: Sequence[Keypoint]) -> Point | None:
        first, *others = (self._point(keypoints[place]) for place in self._places.mouth)
        return middle(first, others[0]) if others else first


# Geometry


def middle(a: Point | None, b: Point | None) -> Point | None:
    """Returns the point half-way, None unless both are seen."""
    if a is None or b is None:
        return None
    return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def distance(a: Point, b: Point) -> float:
    """Returns how far apart two points are."""
    return hypot(a[0] - b[0], a[1] - b[1])


def angle(a: Point | None, b: Point | None, c: Point | None) -> float | None:
    """Returns the angle at b between a and c in degrees, 0 to 180: atan2(|u×v|, u·v), which is
    exact where an arccosine is not. None when a point is not seen or lies on b."""
    if a is None or b is None or c is None:
        return None
    ux, uy, vx, vy = a[0] - b[0], a[1] - b[1], c[0] - b[0], c[1] - b[1]
    if not (ux or uy) or not (vx or vy):
        return None
    return degrees(atan2(abs(ux * vy - uy * vx), ux * vx + uy * vy))


def from_horizontal(a: Point | None, b: Point | None) -> float | None:
    """Returns how far the line through two points is from level, in degrees, 0 to 90."""
    if a is None or b is None or a == b:
        return None
    return degrees(atan2(abs(a[1] - b[1]), abs(a[0] - b[0])))


def rise(low: Point | None, high: Point | None, length: float | None) -> float | None:
    """Returns how much higher one point is than another in degrees, -90 to 90: as the slope of a
    segment of a length, so that heights have the same margin as angles."""
    if low is None or high is None or length is None:
        return None
    return degrees(asin(max(-1.0, min(1.0, (low[1] - high[1]) / length))))
