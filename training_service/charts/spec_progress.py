"""Progress in exercises: the best of each session as lines, records marked."""

from collections import Counter
from datetime import date
from typing import Any, Literal

import altair as alt

from training_service.charts.canvas import Canvas, Drawing, Row, table, time_axis
from training_service.charts.data import ExerciseProgress, ExerciseSeries, ProgressMeasure
from training_service.charts.timeline import Timeline, plot_width

TITLES = {
    ProgressMeasure.MOST_REPS: ("Most repetitions in a set", "Repetitions"),
    ProgressMeasure.LONGEST_HOLD: ("Longest hold", "Hold, s"),
    ProgressMeasure.HEAVIEST_LOAD: ("Heaviest added load", "Added load, kg"),
    ProgressMeasure.ONE_REP_MAX: ("Estimated one-repetition maximum", "1RM, kg"),
}
"""Title of the chart and of its vertical axis."""
RECORD = "Personal record"
OTHER = "Best of a session"
MARKS: dict[str, dict[str, Any]] = {
    RECORD: {"shape": "diamond", "size": 80},
    OTHER: {"shape": "circle", "size": 22},
}
DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
"""As many as colours less one, so that of MAX_SERIES no two have both in common."""
PIXELS_PER_NAME = 170
PIXELS_PER_POINT = 8
"""Where a line has more points than that, only its records are marked."""


def draw(chart: ExerciseProgress, canvas: Canvas) -> Drawing:
    """Returns a line for each exercise; over a long time, of the best in each mark."""
    title, y_title = TITLES[chart.measure]
    timeline = Timeline(chart.period, canvas.size.width)
    x, x_title = time_axis(timeline)
    rows = [row for one in chart.series for row in _rows(one, chart, timeline)]
    values = [row["value"] for row in rows]
    return Drawing(
        title=title,
        x_title=x_title,
        y_title=y_title,
        layers=_layers(chart, x, _value_axis(values, y_title), canvas, rows) if rows else [],
        tables={"bests": rows},
        description=_description(chart, rows, y_title),
        notes=_notes(chart, rows, timeline),
    )


def _rows(series: ExerciseSeries, chart: ExerciseProgress, timeline: Timeline) -> list[Row]:
    """Returns the bests by day; of several in one mark the best, so that no record is lost."""
    best: dict[date, Row] = {}
    for one in sorted(series.bests, key=lambda one: one.day):
        if one.day not in chart.period:
            continue
        mark = timeline.mark_start(one.day) if timeline.weeks_per_mark > 1 else one.day
        if mark not in best or one.value > best[mark]["value"]:
            best[mark] = {
                "start": one.day.isoformat(),
                "exercise": series.name,
                "value": one.value,
                "kind": RECORD if one.is_record else OTHER,
            }
    return list(best.values())


def _value_axis(values: list[float], title: str) -> alt.Y:
    """Returns an axis from somewhat below the least to somewhat above the most."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    margin = (high - low) * 0.12 or max(abs(high) * 0.1, 1.0)
    # Only assistance is below 0.
    bottom = low - margin if low < 0 else max(low - margin, 0)
    scale = alt.Scale(domain=[bottom, high + margin], zero=False)
    return alt.Y("value:Q", scale=scale, axis=alt.Axis(title=title, tickCount=6, tickMinStep=1))


def _layers(
    chart: ExerciseProgress, x: alt.X, y: alt.Y, canvas: Canvas, rows: list[Row]
) -> list[alt.Chart]:
    names = [one.name for one in chart.series]
    colours = canvas.palette.categories
    legend = _names_legend(canvas) if len(names) > 1 else None
    dashes = [DASHES[i % len(DASHES)] for i in range(len(names))]
    scale = alt.Scale(domain=names, range=[colours[i % len(colours)] for i in range(len(names))])
    dash = alt.StrokeDash("exercise:N", scale=alt.Scale(domain=names, range=dashes), legend=legend)
    lines = table("bests").mark_line(strokeWidth=1.5)
    return [
        lines.encode(
            x=x, y=y, color=alt.Color("exercise:N", scale=scale, legend=legend), strokeDash=dash
        ),
        _points(rows, canvas).encode(
            x=x,
            y=y,
            color=alt.Color("exercise:N", scale=scale, legend=None),
            shape=alt.Shape("kind:N", scale=_by_kind("shape"), legend=None),
            size=alt.Size("kind:N", scale=_by_kind("size"), legend=None),
        ),
    ]


def _points(rows: list[Row], canvas: Canvas) -> alt.Chart:
    most = max(Counter(row["exercise"] for row in rows).values())
    points: alt.Chart = table("bests").mark_point(
        filled=True, opacity=1, stroke=canvas.palette.background, strokeWidth=0.5
    )
    if most * PIXELS_PER_POINT <= plot_width(canvas.size.width):
        return points
    return points.transform_filter(alt.FieldEqualPredicate(field="kind", equal=RECORD))


def _by_kind(channel: Literal["shape", "size"]) -> alt.Scale:
    return alt.Scale(domain=list(MARKS), range=[mark[channel] for mark in MARKS.values()])


def _names_legend(canvas: Canvas) -> alt.Legend:
    columns = max(1, canvas.size.width // PIXELS_PER_NAME)
    return alt.Legend(
        title=None,
        columns=columns,
        symbolType="stroke",
        labelLimit=PIXELS_PER_NAME - 40,
    )


def _notes(chart: ExerciseProgress, rows: list[Row], timeline: Timeline) -> list[str]:
    notes = [chart.series[0].name] if len(chart.series) == 1 else []
    how = []
    if timeline.weeks_per_mark > 1:
        how.append(f"Best of {timeline.weeks_per_mark} weeks each")
    if any(row["kind"] == RECORD for row in rows):
        how.append("diamonds are personal records")
    return [*notes, "; ".join(how).capitalize()] if how else notes


def _description(chart: ExerciseProgress, rows: list[Row], y_title: str) -> str:
    if not rows:
        return ""
    best = max(rows, key=lambda row: row["value"])
    return (
        f"{y_title} by session, {chart.period}, of {', '.join(one.name for one in chart.series)}. "
        f"Best: {best['value']:g} in {best['exercise']} on {best['start']}"
    )
