"""A body from the front and from behind, its muscles by how far they have recovered.

A muscle is a mark whose shape is its outline. All marks of a view have the same place and size, so
that the outlines meet as they were drawn (`body.py`).
"""

import altair as alt

from training_service.charts.body import VIEWS, path_of, silhouette_path
from training_service.charts.canvas import Canvas, Drawing, Row, table
from training_service.charts.data import BodyMap, MuscleState

FRAME_HEIGHT = 75
"""About what title, notes and the views' names take of the height, in pixels."""
LEFT, RIGHT = 0.3, 0.7
"""Where the views stand, as shares of the width."""


def draw(chart: BodyMap, canvas: Canvas) -> Drawing:
    """Returns both views; what has not recovered stands out, and is named in the notes."""
    tired = sorted(
        (one for one in chart.muscles if one.recovery < 1), key=lambda one: (one.recovery, one.name)
    )
    return Drawing(
        title="Recovery",
        x_title="",
        y_title="",
        layers=_layers(canvas),
        tables={
            "bodies": [{"view": view, "x": x} for view, x in _places()],
            "muscles": _muscle_rows(chart),
        },
        description=_description(tired),
        notes=[_note(tired, canvas)],
    )


def _places() -> list[tuple[str, float]]:
    return list(zip(VIEWS, (LEFT, RIGHT), strict=True))


def _muscle_rows(chart: BodyMap) -> list[Row]:
    recovery = {one.name: one.recovery for one in chart.muscles}
    return [
        {"shape": f"{view} {name}", "x": x, "recovery": round(100 * recovery[name], 1)}
        for view, x in _places()
        for name in VIEWS[view]
        if name in recovery
    ]


def _layers(canvas: Canvas) -> list[alt.Chart]:
    # The side of a mark is the root of its size; an outline has 2 for its frame.
    size = float(canvas.size.height - FRAME_HEIGHT) ** 2
    palette = canvas.palette
    x = alt.X("x:Q", scale=alt.Scale(domain=[0, 1], nice=False), axis=None)
    middle = alt.Y(datum=0, type="quantitative", scale=alt.Scale(domain=[-1, 1]), axis=None)
    paths = {
        f"{view} {name}": path_of(outlines)
        for view, muscles in VIEWS.items()
        for name, outlines in muscles.items()
    }
    shape = alt.Shape(
        "shape:N", scale=alt.Scale(domain=[*paths], range=[*paths.values()]), legend=None
    )
    colour = alt.Color(
        "recovery:Q",
        scale=alt.Scale(
            type="linear",
            domain=[0, 100],
            range=[palette.categories[1], palette.categories[2]],
            interpolate="lab",
        ),
        legend=alt.Legend(
            title="Recovered (%)",
            orient="right",
            direction="vertical",
            gradientLength=canvas.size.height / 2,
            values=[0, 25, 50, 75, 100],
        ),
    )
    whole = table("bodies").mark_point(
        filled=True,
        opacity=1,
        shape=silhouette_path(),
        size=size,
        color=palette.grid,
        stroke=palette.muted,
        strokeWidth=1,
    )
    muscles = table("muscles").mark_point(
        filled=True, opacity=1, size=size, stroke=palette.background, strokeWidth=1
    )
    names = table("bodies").mark_text(baseline="top", fontSize=11, dy=size**0.5 / 2 + 2)
    return [
        whole.encode(x=x, y=middle),
        muscles.encode(x=x, y=middle, shape=shape, color=colour),
        names.encode(x=x, y=middle, text="view:N"),
    ]


def _words(one: MuscleState) -> str:
    # Never rounded up to all.
    return f"{one.name.replace('_', ' ').lower()} {int(100 * one.recovery)} %"


def _note(tired: list[MuscleState], canvas: Canvas) -> str:
    if not tired:
        return "All muscles have recovered"
    most = 3 if canvas.is_small else 6
    rest = f" and {len(tired) - most} more" if len(tired) > most else ""
    return "Least: " + ", ".join(map(_words, tired[:most])) + rest


def _description(tired: list[MuscleState]) -> str:
    if not tired:
        return "All muscles have recovered"
    return "Not recovered: " + ", ".join(map(_words, tired)) + "; all others have recovered"
