"""What is measured of each movement, and by which limits.

The limits are this service's own choice but for the depth of a squat (hip crease below the knee, as
in powerlifting). Where the field says more than an angle, heights are turned into degrees with the
torso as the yardstick, so that they have the same margin.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import asin, degrees

from training_service.domain.form.holds import HoldChannels
from training_service.domain.form.reps import (
    MARGIN_DEGREES,
    STRAIGHT_DEGREES,
    Extreme,
    FaultKind,
    FaultRule,
    RepChannels,
    greater,
)
from training_service.domain.form.skeleton import (
    Body,
    Limbs,
    Point,
    angle,
    distance,
    from_horizontal,
    middle,
    rise,
)

ELBOW_FLEXED_DEGREES = 90.0
ELBOW_LOCKED_DEGREES = 160.0
KNEE_LOCKED_DEGREES = 165.0
HIP_LOCKED_DEGREES = 165.0
BODY_BEND_DEGREES = 20.0
"""A push-up whose shoulder–hip–ankle is below 160° is piked or sags."""
SWING_TORSOS = 0.25
SWING_MARGIN_TORSOS = 0.05
UNEVEN_DEGREES = 15.0
LEAN_DEGREES = 50.0
KNEES_IN_TORSOS = 0.0
KNEES_IN_MARGIN_TORSOS = 0.05
KNEES_BENT_DEGREES = 120.0
"""Knees are looked at from the front when bent at least to here: in a wide stance they are inside
the ankles when straight."""

LEVEL_DEGREES = 15.0
HOLD_ELBOW_DEGREES = 165.0
LEVER_HIP_DEGREES = 160.0
HANDSTAND_DEGREES = 165.0
L_SIT_DEGREES = 90.0
L_SIT_HIP_TOLERANCE_DEGREES = 20.0
L_SIT_KNEE_DEGREES = 160.0

WIDEST_FROM_SIDE = 0.6
"""Shoulders wider than this share of the torso are not seen from the side."""


class Movement(StrEnum):
    """What is analysed."""

    PUSH_UP = "PUSH_UP"
    PULL_UP = "PULL_UP"
    DIP = "DIP"
    SQUAT = "SQUAT"
    HANDSTAND = "HANDSTAND"
    L_SIT = "L_SIT"
    FRONT_LEVER = "FRONT_LEVER"
    BACK_LEVER = "BACK_LEVER"
    PLANCHE = "PLANCHE"


class View(StrEnum):
    """Where the camera stands."""

    SIDE = "SIDE"
    FRONT = "FRONT"


@dataclass(frozen=True, slots=True)
class RepMovement:
    """A movement whose repetitions are counted."""

    measure: Callable[[Body, Limbs], RepChannels | None]
    faults: tuple[FaultRule, ...] = ()


@dataclass(frozen=True, slots=True)
class HoldMovement:
    """A movement that is held."""

    measure: Callable[[Body, Limbs, float], HoldChannels | None]
    """With by how many degrees the position is wider than usual."""


def view_of(body: Body, limbs: Limbs) -> View | None:
    """Returns from where a body is seen, None when that can't be told: as by one shoulder alone,
    which is how an estimator sees somebody from the side."""
    left, right, torso = body.left.shoulder, body.right.shoulder, body.torso(limbs)
    if left is None or right is None or torso is None:
        return None
    is_wide = distance(left, right) / torso > WIDEST_FROM_SIDE
    return View.FRONT if is_wide else View.SIDE


# Repetitions


def _elbow(limbs: Limbs) -> float | None:
    return angle(limbs.shoulder, limbs.elbow, limbs.wrist)


def _push_up(_body: Body, limbs: Limbs) -> RepChannels | None:
    elbow = _elbow(limbs)
    if elbow is None:
        return None
    return _by_elbow(elbow, ELBOW_FLEXED_DEGREES - elbow, _bend(limbs))


def _pull_up(body: Body, limbs: Limbs) -> RepChannels | None:
    elbow = _elbow(limbs)
    if elbow is None:
        return None
    torso, bent = body.torso(limbs), ELBOW_FLEXED_DEGREES - elbow
    chin = rise(limbs.wrist, body.mouth, torso)
    # An elbow that is not bent enough tells by itself.
    depth = min(chin, bent) if chin is not None else (bent if bent < 0 else None)
    # From the hands, which stay where they are: a camera that moves is no swing.
    swing = None
    if limbs.hip is not None and limbs.wrist is not None and torso is not None:
        swing = (limbs.hip[0] - limbs.wrist[0]) / torso
    return _by_elbow(elbow, depth, swing)


def _dip(body: Body, limbs: Limbs) -> RepChannels | None:
    elbow = _elbow(limbs)
    if elbow is None:
        return None
    low = rise(limbs.shoulder, limbs.elbow, body.torso(limbs))
    left, right = _elbow(body.left), _elbow(body.right)
    difference = None if left is None or right is None else abs(left - right)
    return _by_elbow(elbow, greater(low, ELBOW_FLEXED_DEGREES - elbow), difference)


def _by_elbow(elbow: float, depth: float | None, form: float | None) -> RepChannels:
    return RepChannels(elbow, depth, elbow - ELBOW_LOCKED_DEGREES, form)


def _squat(body: Body, limbs: Limbs) -> RepChannels | None:
    knee = angle(limbs.hip, limbs.knee, limbs.ankle)
    if knee is None:
        return None
    hip = angle(limbs.shoulder, limbs.hip, limbs.knee)
    lockout = None if hip is None else min(knee - KNEE_LOCKED_DEGREES, hip - HIP_LOCKED_DEGREES)
    trunk = from_horizontal(limbs.shoulder, limbs.hip)
    lean = None if trunk is None else 90 - trunk
    return RepChannels(knee, rise(limbs.hip, limbs.knee, body.torso(limbs)), lockout, lean)


def _squat_from_front(body: Body, limbs: Limbs) -> RepChannels | None:
    """The knee's angle is what it would be from the side over an upright shank; whether it locks
    can't be seen."""
    hip, knee, ankle = limbs.hip, limbs.knee, limbs.ankle
    if hip is None or knee is None or ankle is None or ankle[1] <= knee[1]:
        return None
    share = (knee[1] - hip[1]) / (ankle[1] - knee[1])
    bend = 90 + degrees(asin(max(-1.0, min(1.0, share))))
    torso = body.torso(limbs)
    inside = _knees_inside(body, torso) if bend <= KNEES_BENT_DEGREES else None
    return RepChannels(bend, rise(hip, knee, torso), None, inside)


def _knees_inside(body: Body, torso: float | None) -> float | None:
    """Returns by how much the worse knee is inside its ankle, as a share of the torso."""
    centre = middle(body.left.ankle, body.right.ankle)
    if centre is None or torso is None:
        return None
    found: float | None = None
    for limbs in (body.left, body.right):
        if limbs.knee is not None and limbs.ankle is not None:
            outward = 1 if limbs.ankle[0] > centre[0] else -1
            found = greater(found, (limbs.ankle[0] - limbs.knee[0]) * outward / torso)
    return found


def _bend(limbs: Limbs) -> float | None:
    """Returns by how many degrees the body is bent at the hip: above 0 upwards, below downwards."""
    straight = angle(limbs.shoulder, limbs.hip, limbs.ankle)
    if straight is None or limbs.shoulder is None or limbs.hip is None or limbs.ankle is None:
        return None
    level = _height_on_line(limbs.shoulder, limbs.ankle, limbs.hip[0])
    if level is None:
        return None
    bend = STRAIGHT_DEGREES - straight
    return bend if limbs.hip[1] < level else -bend


def _height_on_line(a: Point, b: Point, x: float) -> float | None:
    """Returns the y of the line through two points at an x, None on an upright line."""
    if a[0] == b[0]:
        return None
    return a[1] + (b[1] - a[1]) * (x - a[0]) / (b[0] - a[0])


# Holds


def _lever(body: Body, limbs: Limbs, wider: float) -> HoldChannels | None:
    # The hands are above the body; below, it would be a planche.
    return _level(body, limbs, wider, rise(limbs.shoulder, limbs.wrist, body.torso(limbs)))


def _planche(body: Body, limbs: Limbs, wider: float) -> HoldChannels | None:
    return _level(body, limbs, wider, rise(limbs.wrist, limbs.shoulder, body.torso(limbs)))


def _level(body: Body, limbs: Limbs, wider: float, hands: float | None) -> HoldChannels | None:
    trunk, legs = (
        from_horizontal(limbs.shoulder, limbs.hip),
        from_horizontal(limbs.hip, limbs.ankle),
    )
    elbow, hip = _elbow(limbs), angle(limbs.shoulder, limbs.hip, limbs.knee)
    if trunk is None or legs is None or elbow is None or hip is None or hands is None:
        return None
    error = max(trunk, legs)
    line = min(LEVEL_DEGREES - error, hip - LEVER_HIP_DEGREES)
    return _held(body, limbs, min(line + wider, elbow - HOLD_ELBOW_DEGREES, hands), error)


def _handstand(body: Body, limbs: Limbs, wider: float) -> HoldChannels | None:
    arms = angle(limbs.wrist, limbs.shoulder, limbs.hip)
    legs = angle(limbs.shoulder, limbs.hip, limbs.ankle)
    torso = body.torso(limbs)
    # Straight with the arms up is also who stands or hangs: the hips must be above the shoulders,
    # and those above the hands.
    hips, hands = (
        rise(limbs.shoulder, limbs.hip, torso),
        rise(limbs.wrist, limbs.shoulder, torso),
    )
    if arms is None or legs is None or hips is None or hands is None:
        return None
    line = min(arms, legs)
    position = min(line - HANDSTAND_DEGREES + wider, hips, hands)
    return _held(body, limbs, position, STRAIGHT_DEGREES - line)


def _l_sit(body: Body, limbs: Limbs, wider: float) -> HoldChannels | None:
    hip = angle(limbs.shoulder, limbs.hip, limbs.knee)
    knee = angle(limbs.hip, limbs.knee, limbs.ankle)
    if hip is None or knee is None:
        return None
    error = abs(hip - L_SIT_DEGREES)
    position = min(L_SIT_HIP_TOLERANCE_DEGREES - error, knee - L_SIT_KNEE_DEGREES) + wider
    return _held(body, limbs, position, max(error, STRAIGHT_DEGREES - knee))


def _held(body: Body, limbs: Limbs, position: float, error: float) -> HoldChannels:
    hips_x, hips_y = middle(body.left.hip, body.right.hip) or (None, None)
    hip_x, hip_y = limbs.hip or (None, None)
    return HoldChannels(position, error, hips_x, hips_y, hip_x, hip_y, body.torso(limbs))


_KNEES_IN = FaultRule(FaultKind.KNEES_IN, Extreme.HIGHEST, KNEES_IN_TORSOS, KNEES_IN_MARGIN_TORSOS)

REPS = {
    (Movement.PUSH_UP, View.SIDE): RepMovement(
        _push_up,
        (
            FaultRule(FaultKind.PIKE, Extreme.HIGHEST, BODY_BEND_DEGREES, MARGIN_DEGREES),
            FaultRule(FaultKind.SAG, Extreme.LOWEST, BODY_BEND_DEGREES, MARGIN_DEGREES),
        ),
    ),
    (Movement.PULL_UP, View.SIDE): RepMovement(
        _pull_up,
        (FaultRule(FaultKind.KIP, Extreme.RANGE, SWING_TORSOS, SWING_MARGIN_TORSOS),),
    ),
    (Movement.DIP, View.SIDE): RepMovement(
        _dip,
        (FaultRule(FaultKind.UNEVEN_ARMS, Extreme.HIGHEST, UNEVEN_DEGREES, MARGIN_DEGREES),),
    ),
    (Movement.SQUAT, View.SIDE): RepMovement(
        _squat,
        (FaultRule(FaultKind.TRUNK_LEAN, Extreme.HIGHEST, LEAN_DEGREES, MARGIN_DEGREES),),
    ),
    (Movement.SQUAT, View.FRONT): RepMovement(_squat_from_front, (_KNEES_IN,)),
}

HOLDS = {
    Movement.HANDSTAND: HoldMovement(_handstand),
    Movement.L_SIT: HoldMovement(_l_sit),
    Movement.FRONT_LEVER: HoldMovement(_lever),
    Movement.BACK_LEVER: HoldMovement(_lever),
    Movement.PLANCHE: HoldMovement(_planche),
}
