"""Weekly volume by category, as stacked bars."""

from collections import defaultdict

import altair as alt

from training_service.charts.canvas import (
    Canvas,
    Drawing,
    Row,
    coverage_notes,
    table,
    time_axis,
    value_axis,
)
from training_service.charts.data import CATEGORIES, WeeklyVolume, monday_of, week_name
from training_service.charts.timeline import Timeline

Y_TITLE = "Effective repetitions per week"
GAP_FROM_PIXELS = 5
"""Bars from this width on have a gap between them."""


def draw(chart: WeeklyVolume, canvas: Canvas) -> Drawing:
    """Returns bars of a week each, or of the mean of several when weeks would be too thin."""
    timeline = Timeline(chart.period, canvas.size.width)
    x, x_title = time_axis(timeline, by_week=True)
    rows = _rows(chart, timeline)
    if not rows:
        return Drawing(title="Weekly volume", x_title=x_title, y_title=Y_TITLE)
    totals = _totals(rows)
    y = value_axis("effective_reps", Y_TITLE, max(totals.values()))
    running = [row for row in rows if row["is_running"]]
    layers = [_bars("weeks", x, y, canvas, timeline.mark_pixels)]
    if running:
        layers += [_bars("running_week", x, y, canvas, 0), _running_label(x, y)]
    return Drawing(
        title="Weekly volume",
        x_title=x_title,
        y_title=Y_TITLE,
        layers=layers,
        tables={
            "weeks": [row for row in rows if not row["is_running"]],
            "running_week": running,
            "running_total": [_end_of_bar(running)] if running else [],
        },
        description=_description(chart, totals),
        notes=[*_mean_notes(timeline), *coverage_notes(chart.coverage)],
    )


def _rows(chart: WeeklyVolume, timeline: Timeline) -> list[Row]:
    """Returns one row for each mark and category, of the mean of its weeks.

    Where weeks are put together, the running one would lower the mean and is left out.
    """
    this_week = monday_of(chart.today)
    is_joined = timeline.weeks_per_mark > 1
    sums: dict[tuple[str, str], float] = defaultdict(float)
    rows: dict[tuple[str, str], Row] = {}
    for volume in chart.volumes:
        is_running = volume.monday == this_week
        if not timeline.start <= volume.monday < timeline.end or (is_running and is_joined):
            continue
        start = timeline.mark_start(volume.monday)
        weeks = [monday for monday in timeline.mondays(start) if monday != this_week or is_running]
        key = start.isoformat(), volume.category
        sums[key] += volume.effective_reps / len(weeks)
        rows[key] = {
            "start": key[0],
            "end": timeline.mark_end(start).isoformat(),
            "category": volume.category.capitalize(),
            "order": CATEGORIES.index(volume.category),
            "is_running": is_running,
        }
    return [row | {"effective_reps": round(sums[k], 2)} for k, row in rows.items() if sums[k] > 0]


def _totals(rows: list[Row]) -> dict[str, float]:
    totals: dict[str, float] = defaultdict(float)
    for row in rows:
        totals[row["start"]] += row["effective_reps"]
    return totals


def _end_of_bar(rows: list[Row]) -> Row:
    return rows[0] | {"effective_reps": sum(row["effective_reps"] for row in rows)}


def _bars(name: str, x: alt.X, y: alt.Y, canvas: Canvas, pixels: float) -> alt.Chart:
    """Returns stacked bars; without a width, hollow ones."""
    scale = alt.Scale(
        domain=[category.capitalize() for category in CATEGORIES],
        range=list(canvas.palette.categories),
    )
    legend = alt.Legend(title=None, columns=len(CATEGORIES), symbolType="square")
    colour = alt.Color("category:N", scale=scale, legend=legend if pixels else None)
    encodings = {"x": x, "x2": "end:T", "y": y, "order": alt.Order("order:Q"), "color": colour}
    if not pixels:
        bars = table(name).mark_bar(fillOpacity=0.25, strokeWidth=1.5)
        return bars.encode(stroke=alt.Stroke("category:N", scale=scale, legend=None), **encodings)
    gap = 1 if pixels >= GAP_FROM_PIXELS else 0
    bars = table(name).mark_bar(stroke=canvas.palette.background, strokeWidth=gap)
    return bars.encode(**encodings)


def _running_label(x: alt.X, y: alt.Y) -> alt.Chart:
    label = table("running_total").mark_text(text="so far", align="left", baseline="bottom", dy=-3)
    return label.encode(x=x, y=y)


def _mean_notes(timeline: Timeline) -> list[str]:
    if timeline.weeks_per_mark == 1:
        return []
    return [f"Mean of {timeline.weeks_per_mark} weeks each, without the running week"]


def _description(chart: WeeklyVolume, totals: dict[str, float]) -> str:
    start, most = max(totals.items(), key=lambda item: item[1])
    week = week_name(chart.period.since.fromisoformat(start))
    return (
        f"Effective repetitions per ISO week by exercise category, {chart.period}, "
        f"at most {most:.0f} in the bar that begins with {week}"
    )
