"""The progressions of a family as a staircase: a row for each exercise, the easiest below.

A line goes up from an exercise and then right to one that it leads to; a dot says that lines meet,
without one they only cross. Exercises stand beside one another even where they are equally
difficult, and their names to the right of them, so that neither lines nor names run into a name.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi, sqrt
from typing import Any

import altair as alt

from training_service.charts.canvas import Canvas, Drawing, Row, table, with_entry
from training_service.charts.data import FamilyGraph, SkillNode, SkillState

X_TITLE = "Difficulty"
Y_TITLE = "Exercise"
LABELS = {state: state.capitalize() for state in SkillState}
SHAPES = {
    SkillState.PASSED: "circle",
    SkillState.RECOMMENDED: "diamond",
    SkillState.AVAILABLE: "triangle-up",
    SkillState.LATER: "square",
}
FRAME_HEIGHT = 120
"""About what title, notes, horizontal axis and legend take of the height."""
FRAME_WIDTH = 45
"""About what the title of the vertical axis and the padding take of the width."""
MIN_ROW_PIXELS = 8.0
MIN_FONT_PIXELS, MAX_FONT_PIXELS, MAX_SMALL_FONT_PIXELS = 8, 12, 10
PIXELS_PER_CHARACTER = 0.56
"""About how wide a character is, of the size of the type."""
MAX_NAME_SHARE = 0.55
"""Most of the width that a name takes; a longer one is cut."""
LATER_AREA = 0.5
"""Area of a mark that is of less interest."""
RING_AREA = 2.6
"""How many times the area of a mark the ring around the athlete's position has."""
NAME_GAP = 3
"""Pixels between the ring and a name."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """Sizes in pixels, and where marks stand."""

    row_pixels: float
    font_pixels: int
    name_pixels: float
    """Most for a name."""
    x: Sequence[float]
    """Of each node, in units of difficulty."""
    domain: tuple[float, float]

    @property
    def mark_size(self) -> float:
        """Area of a mark."""
        return _mark_size(self.row_pixels)

    @property
    def name_offset(self) -> float:
        """From the middle of a mark to its name."""
        return _name_offset(self.row_pixels)


def draw(chart: FamilyGraph, canvas: Canvas) -> Drawing:
    """Returns the staircase; where there are more exercises than rows, of those around the
    athlete's position."""
    shown = _shown(chart, canvas.size.height)
    nodes = [chart.nodes[index] for index in shown]
    row = {index: number for number, index in enumerate(shown)}
    layout = _layout(nodes, canvas)
    return Drawing(
        title=f"Progressions: {chart.family}",
        x_title=X_TITLE,
        y_title=Y_TITLE,
        layers=_layers(nodes, layout, canvas) if nodes else [],
        tables={
            "skills": [
                _node_row(node, number, layout, is_position=shown[number] == chart.position)
                for number, node in enumerate(nodes)
            ],
            **_edge_tables(chart, row, layout),
        },
        description=_description(chart),
        notes=_notes(chart, len(shown)),
    )


def _shown(chart: FamilyGraph, height: int) -> list[int]:
    """Returns the indexes of the exercises that find room: those nearest to the position."""
    room = max(int((height - FRAME_HEIGHT) / MIN_ROW_PIXELS), 2)
    middle = chart.nodes[chart.position].difficulty if chart.position is not None else 0
    by_distance = sorted(
        range(len(chart.nodes)), key=lambda i: (abs(chart.nodes[i].difficulty - middle), i)
    )
    return sorted(by_distance[:room])


def _layout(nodes: Sequence[SkillNode], canvas: Canvas) -> _Layout:
    row_pixels = (canvas.size.height - FRAME_HEIGHT) / max(len(nodes), 1)
    largest = MAX_SMALL_FONT_PIXELS if canvas.is_small else MAX_FONT_PIXELS
    font_pixels = int(min(max(row_pixels * 0.85, MIN_FONT_PIXELS), largest))
    width = canvas.size.width - FRAME_WIDTH
    most = width * MAX_NAME_SHARE
    x = _beside_one_another(nodes)
    low = float(min((node.difficulty for node in nodes), default=1))
    high = max((node.difficulty + 1.0 for node in nodes), default=2)
    room = width - _name_offset(row_pixels)
    # As many pixels for a step of difficulty as leave room for every name behind its mark.
    per_step = min(
        (
            (room - min(_text_pixels(_label(node), font_pixels), most)) / (at - low)
            for node, at in zip(nodes, x, strict=True)
        ),
        default=width,
    )
    return _Layout(row_pixels, font_pixels, most, x, (low, max(low + width / per_step, high)))


def _beside_one_another(nodes: Sequence[SkillNode]) -> list[float]:
    """Returns where nodes stand: within the step of their difficulty, each further right than the
    one before it."""
    counts = Counter(node.difficulty for node in nodes)
    seen: Counter[int] = Counter()
    x = []
    for node in nodes:
        x.append(node.difficulty + (seen[node.difficulty] + 0.5) / counts[node.difficulty])
        seen[node.difficulty] += 1
    return x


def _mark_size(row_pixels: float) -> float:
    return min(max(row_pixels * 0.75, 6.5), 13) ** 2


def _name_offset(row_pixels: float) -> float:
    return sqrt(_mark_size(row_pixels) * RING_AREA / pi) + NAME_GAP


def _text_pixels(text: str, font_pixels: int) -> float:
    return len(text) * font_pixels * PIXELS_PER_CHARACTER


def _label(node: SkillNode) -> str:
    if node.state is SkillState.PASSED or not node.share:
        return node.name
    # Never rounded up to all.
    return f"{node.name}, {int(100 * node.share)} %"


def _node_row(node: SkillNode, number: int, layout: _Layout, *, is_position: bool) -> Row:
    return {
        "x": round(layout.x[number], 3),
        "row": number,
        "name": _label(node),
        "state": LABELS[node.state],
        "is_position": is_position,
    }


def _edge_tables(
    chart: FamilyGraph, row: Mapping[int, int], layout: _Layout
) -> dict[str, list[Row]]:
    """Returns both ends of each line, and the points where lines turn or meet."""
    ends: list[Row] = []
    turns: dict[tuple[float, int], Row] = {}
    for easier, harder in chart.edges:
        if easier in row and harder in row:
            is_open = chart.nodes[easier].state is SkillState.PASSED
            corner = round(layout.x[row[easier]], 3), row[harder]
            edge = f"{easier}-{harder}"
            ends += [
                {"edge": edge, "x": round(layout.x[at], 3), "row": at, "is_open": is_open}
                for at in (row[easier], row[harder])
            ]
            turns[corner] = {"x": corner[0], "row": corner[1], "is_open": is_open}
    # What leads on from a passed exercise is drawn last, above the rest.
    ends.sort(key=lambda end: end["is_open"])
    return {"progressions": ends, "turns": list(turns.values())}


def _layers(nodes: Sequence[SkillNode], layout: _Layout, canvas: Canvas) -> list[alt.Chart]:
    x, y = _x_axis(nodes, layout), _y_axis(len(nodes))
    palette = canvas.palette
    colours = {
        SkillState.PASSED: palette.categories[3],
        SkillState.RECOMMENDED: palette.categories[1],
        SkillState.AVAILABLE: palette.categories[2],
        SkillState.LATER: palette.muted,
    }
    is_open = alt.Scale(domain=[False, True], range=[palette.muted, palette.categories[3]])
    open_colour = alt.Color("is_open:N", scale=is_open, legend=None)
    lines = table("progressions").mark_line(interpolate="step-before")
    turns = table("turns").mark_point(filled=True, opacity=1, size=9, shape="circle")
    ring = table("skills").mark_point(
        filled=False, shape="circle", size=layout.mark_size * RING_AREA, strokeWidth=1.5, opacity=1
    )
    width = alt.Scale(domain=[False, True], range=[0.8, 1.6])
    return [
        lines.encode(
            x=x,
            y=y,
            detail="edge:N",
            color=open_colour,
            strokeWidth=alt.StrokeWidth("is_open:N", scale=width, legend=None),
        ),
        turns.encode(x=x, y=y, color=open_colour),
        ring.transform_filter(_IS_POSITION).encode(x=x, y=y, color=alt.value(palette.text)),
        *(_marks(x, y, state, colours[state], layout) for state in SkillState),
        *_names(x, y, layout, canvas),
    ]


def _marks(x: alt.X, y: alt.Y, state: SkillState, colour: str, layout: _Layout) -> alt.Chart:
    """Returns the marks of one state, in its colour and shape."""
    size = layout.mark_size * (LATER_AREA if state is SkillState.LATER else 1)
    marks = table("skills").mark_point(filled=True, opacity=1, size=size, shape=SHAPES[state])
    only = alt.FieldEqualPredicate(field="state", equal=LABELS[state])
    placed = marks.transform_filter(only).encode(x=x, y=y)
    return with_entry(placed, LABELS[state], colour, SHAPES[state])


_IS_POSITION = alt.FieldEqualPredicate(field="is_position", equal=True)
_IS_NOT_POSITION = alt.FieldEqualPredicate(field="is_position", equal=False)


def _names(x: alt.X, y: alt.Y, layout: _Layout, canvas: Canvas) -> list[alt.Chart]:
    """Returns the names behind the marks, that of the position in bold."""
    later = alt.Scale(
        domain=list(LABELS.values()),
        range=[
            canvas.palette.muted if s is SkillState.LATER else canvas.palette.text for s in LABELS
        ],
    )
    colour = alt.Color("state:N", scale=later, legend=None)
    common: dict[str, Any] = {
        "align": "left",
        "baseline": "middle",
        "dx": layout.name_offset,
        "fontSize": layout.font_pixels,
        "limit": layout.name_pixels,
    }
    plain = table("skills").mark_text(**common).transform_filter(_IS_NOT_POSITION)
    bold = table("skills").mark_text(**common, fontWeight="bold").transform_filter(_IS_POSITION)
    return [part.encode(x=x, y=y, text="name:N", color=colour) for part in (plain, bold)]


def _x_axis(nodes: Sequence[SkillNode], layout: _Layout) -> alt.X:
    levels = range(
        min(node.difficulty for node in nodes), max(node.difficulty for node in nodes) + 1
    )
    axis = alt.Axis(
        title=X_TITLE,
        values=list(levels),
        grid=True,
        format="d",
        labelAlign="left",
        labelOffset=2,
        labelFlush=False,
        labelOverlap=True,
    )
    return alt.X("x:Q", axis=axis, scale=alt.Scale(domain=list(layout.domain), nice=False))


def _y_axis(count: int) -> alt.Y:
    scale = alt.Scale(domain=[-0.7, count - 0.3], nice=False)
    return alt.Y(
        "row:Q",
        scale=scale,
        axis=alt.Axis(title=Y_TITLE, labels=False, ticks=False, grid=False, domain=False),
    )


def _notes(chart: FamilyGraph, shown: int) -> list[str]:
    passed = sum(node.state is SkillState.PASSED for node in chart.nodes)
    notes = [f"{passed} of {len(chart.nodes)} passed"]
    if chart.position is not None:
        notes.append("the ring is around the hardest")
    if shown < len(chart.nodes):
        notes.append(f"{len(chart.nodes) - shown} find no room")
    return ["; ".join(notes)] if chart.nodes else []


def _description(chart: FamilyGraph) -> str:
    named = {
        state: [node.name for node in chart.nodes if node.state is state] for state in SkillState
    }
    return ". ".join(
        f"{LABELS[state]}: {', '.join(names)}" for state, names in named.items() if names
    )
