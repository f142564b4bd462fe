"""Progress in exercises: the best of each session as lines, records marked."""

from datetime import date

import altair as alt

from training_service.charts.canvas import Canvas, Drawing, Row, table, time_axis
from training_service.charts.data import ExerciseProgress, ExerciseSeries, ProgressMeasure
from training_service.charts.timeline import Timeline

TITLES = {
    ProgressMeasure.MOST_REPS: ("Most repetitions in a set", "Repetitions"),
    ProgressMeasure.LONGEST_HOLD: ("Longest hold", "Hold, s"),
    ProgressMeasure.HEAVIEST_LOAD: ("Heaviest added load", "Added load, kg"),
    ProgressMeasure.ONE_REP_MAX: ("Estimated one-repetition maximum", "1RM, kg"),
}
"""Title of the chart and of its vertical axis."""
RECORD = "Personal record"
OTHER = "Best of a session"
SHAPES = {RECORD: ("diamond", 70), OTHER: ("circle", 22)}
DASHES = ([1, 0], [5, 3])
"""Solid for the first of a colour, dashed for the second."""
PIXELS_PER_NAME = 170


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
        layers=_layers(chart, x, _value_axis(values, y_title), canvas) if rows else [],
        tables={"bests": rows} if rows else {},
        description=_description(chart, rows, y_title),
        notes=_notes(chart, timeline),
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
    return alt.Y("value:Q", scale=scale, axis=alt.Axis(title=title, tickCount=6))


def _layers(chart: ExerciseProgress, x: alt.X, y: alt.Y, canvas: Canvas) -> list[alt.Chart]:
    names = [one.name for one in chart.series]
    colours = canvas.palette.categories
    legend = _names_legend(canvas) if len(names) > 1 else None
    dashes = [DASHES[i // len(colours)] for i in range(len(names))]
    scale = alt.Scale(domain=names, range=[colours[i % len(colours)] for i in range(len(names))])
    line_colour = alt.Color("exercise:N", scale=scale, legend=legend)
    point_colour = alt.Color("exercise:N", scale=scale, legend=None)
    dash = alt.StrokeDash(
        "exercise:N", scale=alt.Scale(domain=names, range=dashes), legend=legend
    )
    lines = table("bests").mark_line(strokeWidth=1.5)
    points = table("bests").mark_point(
        filled=True, opacity=1, stroke=canvas.palette.background, strokeWidth=0.5
    )
    return [
        lines.encode(x=x, y=y, color=line_colour, strokeDash=dash),
        points.encode(x=x, y=y, color=point_colour, shape=_shape(canvas), size=_shape_size()),
    ]


def _names_legend(canvas: Canvas) -> alt.Legend:
    columns = max(1, canvas.size.width // PIXELS_PER_NAME)
    return alt.Legend(
        title=None,
        columns=columns,
        symbolType="stroke",
        labelLimit=PIXELS_PER_NAME - 40,
    )


def _shape(canvas: Canvas) -> alt.Shape:
    shapes = alt.Scale(domain=list(SHAPES), range=[shape for shape, _ in SHAPES.values()])
    colour = canvas.palette.text
    legend = alt.Legend(title=None, symbolFillColor=colour, symbolStrokeColor=colour, symbolSize=50)
    return alt.Shape("kind:N", scale=shapes, legend=legend)


def _shape_size() -> alt.Size:
    sizes = alt.Scale(domain=list(SHAPES), range=[size for _, size in SHAPES.values()])
    return alt.Size("kind:N", scale=sizes, legend=None)


def _notes(chart: ExerciseProgress, timeline: Timeline) -> list[str]:
    notes = [chart.series[0].name] if len(chart.series) == 1 else []
    if timeline.weeks_per_mark > 1:
        notes.append(f"Best of {timeline.weeks_per_mark} weeks each")
    return notes


def _description(chart: ExerciseProgress, rows: list[Row], y_title: str) -> str:
    if not rows:
        return ""
    best = max(rows, key=lambda row: row["value"])
    return (
        f"{y_title} by session, {chart.period}, of {', '.join(one.name for one in chart.series)}. "
        f"Best: {best['value']:g} in {best['exercise']} on {best['start']}"
    )
