"""Bodies in motion with known angles, as a pose estimator would see them from the side.

Lengths are pixels, directions degrees counterclockwise from the right, and y grows downward.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import cos, pi, radians, sin

from calisthenics.training.v1 import form_pb2

from training_service.domain.form.analyzer import Frame
from training_service.domain.form.skeleton import Keypoint, Layout, Point

TORSO, THIGH, SHANK, UPPER_ARM, FOREARM, NECK = 100.0, 80.0, 80.0, 55.0, 50.0, 35.0
ARM = UPPER_ARM + FOREARM
RIGHT, UP, DOWN = 0.0, 90.0, -90.0
ORIGIN = (400.0, 400.0)
NEAR, FAR = 0.9, 0.8
"""Confidence of the side that faces the camera, the left one, and of the other."""
COUNTS = {Layout.COCO_17: 17, Layout.MEDIAPIPE_33: 33}
MOUTHS = {Layout.COCO_17: (0,), Layout.MEDIAPIPE_33: (9, 10)}
LIMBS = {Layout.COCO_17: (5, 7, 9, 11, 13, 15), Layout.MEDIAPIPE_33: (11, 13, 15, 23, 25, 27)}


@dataclass(frozen=True)
class Figure:
    """One side of a body."""

    mouth: Point
    shoulder: Point
    elbow: Point
    wrist: Point
    hip: Point
    knee: Point
    ankle: Point

    def points(self) -> tuple[Point, ...]:
        """The limbs in the order of the layouts."""
        return self.shoulder, self.elbow, self.wrist, self.hip, self.knee, self.ankle

    def moved(self, dx: float, dy: float) -> "Figure":
        """The same figure elsewhere."""
        return self.mapped(lambda p: (p[0] + dx, p[1] + dy))

    def mapped(self, change: Callable[[Point], Point]) -> "Figure":
        """The figure with every point changed."""
        return Figure(change(self.mouth), *map(change, self.points()))


def step(start: Point, direction: float, length: float) -> Point:
    """Returns the point so far away."""
    angle = radians(direction)
    return start[0] + length * cos(angle), start[1] - length * sin(angle)


def figure(shoulder: Point, elbow: Point, wrist: Point, trunk: float, legs: float) -> Figure:
    """Returns a figure whose trunk and legs point away from the shoulder."""
    hip = step(shoulder, trunk, TORSO)
    knee = step(hip, legs, THIGH)
    mouth = step(shoulder, trunk + 180, NECK)
    return Figure(mouth, shoulder, elbow, wrist, hip, knee, step(knee, legs, SHANK))


def push_up(elbow: float, bend: float = 0.0) -> Figure:
    """A push-up at an angle of the elbow; the hips are bent upwards, or sag below 0."""
    joint = step(ORIGIN, UP, FOREARM)
    shoulder = step(joint, UP + 180 - elbow, UPPER_ARM)
    return figure(shoulder, joint, ORIGIN, -10 + bend / 2, -10 - bend / 2)


def pull_up(elbow: float, swing: float = 0.0) -> Figure:
    """A pull-up with the shoulders below the hands; the body swings by so many degrees. The mouth
    is level with the hands at 39°."""
    fold = (180 - elbow) / 2
    joint = step(ORIGIN, DOWN - fold, FOREARM)
    shoulder = step(joint, DOWN + fold, UPPER_ARM)
    body = figure(shoulder, joint, ORIGIN, DOWN + swing, DOWN + swing)
    return replace(body, mouth=step(shoulder, UP, NECK))


def dip(elbow: float) -> Figure:
    """A dip."""
    joint = step(ORIGIN, UP, FOREARM)
    return figure(step(joint, elbow - 90, UPPER_ARM), joint, ORIGIN, DOWN, DOWN)


def squat(knee: float, lean: float = 0.0) -> Figure:
    """A squat at an angle of the knee, with a lean of the trunk. The thigh is level at 60°."""
    shank = UP - (180 - knee) / 4
    joint = step(ORIGIN, shank, SHANK)
    hip = step(joint, shank + 180 - knee, THIGH)
    shoulder = step(hip, UP - lean, TORSO)
    elbow = step(shoulder, RIGHT, UPPER_ARM)
    mouth, wrist = step(shoulder, UP, NECK), step(elbow, RIGHT, FOREARM)
    return Figure(mouth, shoulder, elbow, wrist, hip, joint, ORIGIN)


def handstand(bend: float = 0.0) -> Figure:
    """A handstand, bent at the hip."""
    return figure(step(ORIGIN, UP, ARM), step(ORIGIN, UP, FOREARM), ORIGIN, UP, UP + bend)


def l_sit(drop: float = 0.0) -> Figure:
    """An L-sit whose legs are lower than level."""
    return figure(step(ORIGIN, UP, ARM), step(ORIGIN, UP, FOREARM), ORIGIN, DOWN, RIGHT - drop)


def planche(tilt: float = 0.0) -> Figure:
    """A planche, feet above level."""
    return figure(step(ORIGIN, UP, ARM), step(ORIGIN, UP, FOREARM), ORIGIN, tilt, tilt)


def lever(tilt: float = 0.0) -> Figure:
    """A front or back lever, which look alike from the side, feet above level."""
    return figure(step(ORIGIN, DOWN, ARM), step(ORIGIN, DOWN, FOREARM), ORIGIN, tilt, tilt)


# Frames


def keypoints(
    near: Figure,
    layout: Layout = Layout.COCO_17,
    far: Figure | None = None,
    confidences: tuple[float, float] = (NEAR, FAR),
) -> list[Keypoint]:
    """Returns what an estimator sees; the far side is a little behind the near one."""
    far = far or near.moved(3, 2)
    found = [Keypoint(*near.mouth, NEAR)] * COUNTS[layout]
    for place, a, b in zip(LIMBS[layout], near.points(), far.points(), strict=True):
        found[place] = Keypoint(*a, confidences[0])
        found[place + 1] = Keypoint(*b, confidences[1])
    return found


def frames(
    figures: Iterable[Figure], rate: float = 30.0, layout: Layout = Layout.COCO_17
) -> list[Frame]:
    """Returns figures as frames at a rate a second."""
    return [Frame(k / rate, keypoints(one, layout)) for k, one in enumerate(figures)]


def swings(
    count: int, lowest: float, highest: float, seconds: float = 2.0, rate: float = 30.0
) -> Iterator[float]:
    """Yields angles that go down and up so many times, from the highest and back."""
    middle, half = (lowest + highest) / 2, (highest - lowest) / 2
    steps = round(seconds * rate)
    for k in range(count * steps + 1):
        yield middle + half * cos(2 * pi * k / steps)


def wobbling(still: Figure, seconds: float, sway: float, rate: float = 30.0) -> list[Figure]:
    """Returns a figure held, whose standard deviation from its middle is a share of its torso."""
    radius = sway * TORSO
    turns = [2 * pi * k / 10 for k in range(round(seconds * rate) + 1)]
    return [still.moved(radius * cos(turn), radius * sin(turn)) for turn in turns]


def to_message(frame: Frame) -> form_pb2.FormFrame:
    """Returns a frame as it is sent."""
    return form_pb2.FormFrame(
        time_seconds=frame.seconds,
        keypoints=[
            form_pb2.Keypoint(x=k.x, y=k.y, confidence=k.confidence) for k in frame.keypoints
        ],
    )


def to_messages(sent: Sequence[Frame]) -> list[form_pb2.FormFrame]:
    """Returns frames as they are sent."""
    return [to_message(frame) for frame in sent]
