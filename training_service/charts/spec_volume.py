"""Weekly volume by category, as stacked bars."""

from collections import defaultdict
from datetime import date

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
    highest = max(rows, key=lambda row: row["high"])
    y = value_axis("high", Y_TITLE, highest["high"])
    running = [row for row in rows if row["is_running"]]
    layers = [_bars(x, y, canvas, timeline)]
    if running:
        layers += [_running_bars(x, y, canvas), _running_label()]
    return Drawing(
        title="Weekly volume",
        x_title=x_title,
        y_title=Y_TITLE,
        layers=layers,
        tables={
            "weeks": [row for row in rows if not row["is_running"]],
            "running_week": running,
            "running_total": running[-1:],
        },
        description=_description(chart, highest),
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
    for key, reps in sums.items():
        rows[key]["effective_reps"] = round(reps, 2)
    return _stacked([row for row in rows.values() if row["effective_reps"]])


def _stacked(rows: list[Row]) -> list[Row]:
    """Returns rows with where they begin and end when those of a mark are put upon each other."""
    heights: dict[str, float] = defaultdict(float)
    stacked = []
    for row in sorted(rows, key=lambda row: (row["start"], row["order"])):
        low = heights[row["start"]]
        high = heights[row["start"]] = round(low + row["effective_reps"], 2)
        stacked.append(row | {"low": low, "high": high})
    return stacked


def _bars(x: alt.X, y: alt.Y, canvas: Canvas, timeline: Timeline) -> alt.Chart:
    legend = alt.Legend(title=None, columns=len(CATEGORIES), symbolType="square")
    colour = alt.Color("category:N", scale=_colours(canvas), legend=legend)
    gap = 1 if timeline.mark_pixels >= GAP_FROM_PIXELS else 0
    bars = table("weeks").mark_bar(stroke=canvas.palette.background, strokeWidth=gap)
    placed: alt.Chart = bars.encode(x=x, x2="end:T", y=y, y2="low:Q", color=colour)
    return placed


def _running_bars(x: alt.X, y: alt.Y, canvas: Canvas) -> alt.Chart:
    """Returns hollow bars: what they stand for is not complete."""
    fill = alt.Color("category:N", scale=_colours(canvas), legend=None)
    stroke = alt.Stroke("category:N", scale=_colours(canvas), legend=None)
    bars = table("running_week").mark_bar(fillOpacity=0.25, strokeWidth=1.5)
    placed: alt.Chart = bars.encode(x=x, x2="end:T", y=y, y2="low:Q", color=fill, stroke=stroke)
    return placed


def _colours(canvas: Canvas) -> alt.Scale:
    names = [category.capitalize() for category in CATEGORIES]
    return alt.Scale(domain=names, range=list(canvas.palette.categories))


def _running_label() -> alt.Chart:
    """Returns a word in the headroom above the running week, where no bar covers it."""
    label = table("running_total").mark_text(text="so far", align="right")
    placed: alt.Chart = label.encode(x="end:T", y=alt.value(6))
    return placed


def _mean_notes(timeline: Timeline) -> list[str]:
    if timeline.weeks_per_mark == 1:
        return []
    return [f"Mean of {timeline.weeks_per_mark} weeks each, without the running week"]


def _description(chart: WeeklyVolume, highest: Row) -> str:
    week = week_name(date.fromisoformat(highest["start"]))
    return (
        f"Effective repetitions per ISO week by exercise category, {chart.period}, "
        f"at most {highest['high']:.0f} in the bar that begins with {week}"
    )
