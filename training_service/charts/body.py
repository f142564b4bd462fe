"""A body from the front and from behind as outlines: our own drawing.

Coordinates are those of the right half of a figure: x from the middle outwards, y downwards, in a
frame 100 high and 50 wide. A figure is 96 high. Corners are rounded where an outline is drawn. The
other half is mirrored. A muscle may have several parts; some are seen from both sides.
"""

from collections.abc import Sequence

Point = tuple[float, float]
Outline = Sequence[Point]

HALF_HEIGHT = 50.0
"""Of the frame."""

SILHOUETTE: Outline = (
    *((0, 2), (3.2, 2.6), (4.8, 5.5), (4.6, 9), (3.2, 12), (3, 14.5), (6, 16), (10, 17.2)),
    *((12.6, 20), (13.4, 25), (14.6, 31), (15.8, 37), (17.8, 45), (19.2, 49), (19.4, 53)),
    *((17.6, 55), (16.2, 52), (15.2, 47.5), (13.2, 40), (11.6, 34), (10, 27.5), (9.4, 33)),
    *((8.9, 38), (9.6, 43), (10.6, 49), (10.8, 56), (9.8, 64), (8.8, 70), (9, 77), (8, 84)),
    *((6.6, 91), (7.4, 95), (8, 97), (3.4, 97), (3, 91), (3, 84), (2.6, 77), (2.8, 71), (2, 63)),
    *((1, 55), (0, 53)),
)
"""The right half; the head is the top of it."""

FRONT: dict[str, Sequence[Outline]] = {
    "TRAPS": [((3.2, 13.6), (7.2, 16), (3.6, 16.8), (1.6, 16.4))],
    "FRONT_DELTS": [((7.6, 16.6), (10.4, 17.6), (12.2, 20.4), (11, 23.6), (9, 21.4), (7.6, 18.6))],
    "CHEST": [((0.5, 18.2), (4, 17.4), (7.2, 18.4), (9, 22.2), (8, 25.6), (4.4, 27), (0.5, 26))],
    "BICEPS": [((11.2, 24.2), (12.8, 22.6), (13.6, 27), (14, 31.4), (12.2, 32.4), (11, 29))],
    "FOREARMS": [((12, 33.4), (14.6, 32.6), (16, 38), (17.2, 44), (15.6, 45), (13.6, 39))],
    "SERRATUS": [((6.4, 27.2), (9, 26), (9.2, 29), (8.8, 32), (6.6, 31))],
    "ABS": [((0.5, 27.2), (4.2, 28), (5, 33), (4.8, 40), (3.4, 46), (0.5, 49))],
    "OBLIQUES": [((5.6, 31.6), (8.6, 33), (8.4, 38), (9, 42.4), (6, 44.6), (5.4, 39))],
    "HIP_FLEXORS": [((4.2, 46), (8.8, 43.8), (9.8, 48), (7, 50.4), (3, 51.6))],
    "QUADS": [
        ((4, 52.6), (8, 51), (10, 50), (10.2, 57), (9.2, 64), (7.8, 69), (4.8, 69), (3.8, 62)),
    ],
    "ADDUCTORS": [((1, 53.4), (3.2, 52.8), (3.4, 60), (3.6, 65), (2.6, 63), (1.8, 58))],
    "ABDUCTORS": [((9.6, 44.6), (10.4, 49), (10.7, 54), (10.4, 58), (10.3, 50), (9.6, 47.4))],
    "TIBIALIS": [((4.8, 73), (6.2, 72.6), (6.6, 79), (5.8, 87), (4.8, 89), (4.4, 80))],
    "CALVES": [
        ((7, 73), (8.6, 76), (7.6, 83), (6.8, 85.6), (7.2, 79)),
        ((3.2, 73.6), (4, 74), (3.9, 80), (3.5, 83), (3, 78)),
    ],
}

BACK: dict[str, Sequence[Outline]] = {
    "TRAPS": [((0.5, 12), (3, 14), (7.4, 16.2), (4.6, 18.6), (0.5, 21))],
    "REAR_DELTS": [((7.8, 16.8), (10.4, 17.6), (12.4, 20.6), (11.4, 24), (9.4, 21.6), (7.2, 18.8))],
    "UPPER_BACK": [((0.5, 22), (4.6, 19.6), (5.6, 22), (4.6, 26.6), (0.5, 30))],
    "ROTATOR_CUFF": [((5.6, 18.8), (7, 18.9), (9, 22), (8.6, 24.4), (6.2, 23.4))],
    "LATS": [((5.4, 25.6), (9, 25.4), (9.2, 30), (8.4, 34.6), (5, 37.4), (1.4, 38.4), (2.4, 31))],
    "TRICEPS": [((11.6, 24.8), (12.8, 22.8), (13.8, 27), (14.2, 31.6), (12.4, 32.6), (11.2, 29))],
    "FOREARMS": [((12, 33.6), (14.6, 32.8), (16, 38), (17.2, 44), (15.6, 45), (13.6, 39))],
    "LOWER_BACK": [((0.5, 32.6), (1.6, 39.4), (5, 38.4), (5.4, 42), (2.4, 44.6), (0.5, 45.4))],
    "OBLIQUES": [((6, 37.8), (8.4, 36), (8.9, 41.6), (8.4, 43), (6.4, 42.4))],
    "GLUTES": [((0.5, 46.6), (3, 45), (7, 44), (9.4, 47), (9.8, 51.6), (7, 55), (1, 54.6))],
    "ABDUCTORS": [((9.4, 44), (10.4, 48.6), (10.7, 54), (10.4, 58), (10.4, 51), (9.9, 47))],
    "HAMSTRINGS": [
        ((3, 56), (9.6, 55.4), (9.6, 61), (8.6, 69), (6, 69.6), (3.6, 69), (3, 62)),
    ],
    "ADDUCTORS": [((0.9, 55.6), (2.3, 56), (2.5, 62), (2.9, 67), (2.2, 64), (1.6, 60))],
    "CALVES": [((3.2, 72.4), (6, 71.6), (8.6, 73.4), (8.7, 78), (7, 84), (4.4, 84.4), (3, 79))],
}
VIEWS = {"Front": FRONT, "Back": BACK}


def path_of(outlines: Sequence[Outline], *, roundness: float = 1.0) -> str:
    """Returns outlines and their mirror images as the path of an SVG, in units of half the height
    of the frame from its middle."""
    both = [*outlines, *([(-x, y) for x, y in outline] for outline in outlines)]
    return "".join(_closed_curve(outline, roundness) for outline in both)


def silhouette_path() -> str:
    """Returns the outline of the whole figure as the path of an SVG."""
    mirrored = [(-x, y) for x, y in reversed(SILHOUETTE[1:-1])]
    return _closed_curve([*SILHOUETTE, *mirrored], 1.0)


def _closed_curve(outline: Outline, roundness: float) -> str:
    """Returns a closed curve through points: Catmull and Rom's, as cubic Bézier curves."""
    count = len(outline)
    pieces = [f"M{_place(outline[0])}"]
    for index in range(count):
        before, start, end, after = (outline[(index + n) % count] for n in (-1, 0, 1, 2))
        controls = (_beside(start, before, end, roundness), _beside(end, after, start, roundness))
        pieces.append(f"C{_place(controls[0])},{_place(controls[1])},{_place(end)}")
    return "".join(pieces) + "Z"


def _beside(point: Point, before: Point, after: Point, roundness: float) -> Point:
    """Returns the control point that bends a curve at a point towards the next."""
    return (
        point[0] + roundness * (after[0] - before[0]) / 6,
        point[1] + roundness * (after[1] - before[1]) / 6,
    )


def _place(point: Point) -> str:
    return f"{point[0] / HALF_HEIGHT:.4f},{point[1] / HALF_HEIGHT - 1:.4f}"
