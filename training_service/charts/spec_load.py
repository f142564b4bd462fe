"""Training load over time: days as bars, the weekly mean as a line."""

from collections import defaultdict
from datetime import timedelta

import altair as alt

from training_service.charts.canvas import (
    Canvas,
    Drawing,
    Row,
    table,
    time_axis,
    value_axis,
    with_entry,
)
from training_service.charts.data import WEEK, LoadOverTime, mean
from training_service.charts.timeline import Timeline

TITLE = "Training load"
Y_TITLE = "Load, AU"
MIN_DAY_PIXELS = 1.5
"""Where a day has less, the days of a mark become one bar from the lowest to the highest."""
POINTS_FROM_PIXELS = 8
DAY = timedelta(days=1)


def draw(chart: LoadOverTime, canvas: Canvas) -> Drawing:
    """Returns bars of days and a line of weekly means; nothing stands for an unknown load."""
    timeline = Timeline(chart.period, canvas.size.width)
    x, x_title = time_axis(timeline)
    by_day = timeline.day_pixels >= MIN_DAY_PIXELS
    tables = {
        "days": _day_rows(chart) if by_day else _range_rows(chart, timeline),
        "unknown_days": _unknown_rows(chart) if by_day else [],
        "weeks": _mean_rows(chart, timeline),
    }
    is_empty = not tables["days"] and not tables["unknown_days"]
    most = max((row["high"] for row in tables["days"]), default=0.0)
    return Drawing(
        title=TITLE,
        x_title=x_title,
        y_title=Y_TITLE,
        layers=[] if is_empty else _layers(x, most, canvas, timeline, by_day),
        tables=tables,
        description=f"Session load of each day and its mean per day of a week in arbitrary units "
        f"(AU), {chart.period}, at most {most:.0f} AU on a day",
        notes=_notes(chart, by_day),
    )


def _day_rows(chart: LoadOverTime) -> list[Row]:
    return [
        {
            "start": load.day.isoformat(),
            "end": (load.day + DAY).isoformat(),
            "low": 0,
            "high": load.load_au,
        }
        for load in chart.days
        if load.load_au is not None and load.day in chart.period
    ]


def _range_rows(chart: LoadOverTime, timeline: Timeline) -> list[Row]:
    """Returns for each mark from where to where the loads of its days go."""
    loads = defaultdict(list)
    for load in chart.days:
        if load.load_au is not None and load.day in chart.period:
            loads[timeline.mark_start(load.day)].append(load.load_au)
    return [
        {
            "start": start.isoformat(),
            "end": timeline.mark_end(start).isoformat(),
            "low": min(values),
            "high": max(values),
        }
        for start, values in loads.items()
    ]


def _unknown_rows(chart: LoadOverTime) -> list[Row]:
    return [
        {"start": f"{load.day}T12:00Z"}
        for load in chart.days
        if load.load_au is None and load.day in chart.period
    ]


def _mean_rows(chart: LoadOverTime, timeline: Timeline) -> list[Row]:
    """Returns the mean of the known weeks of each mark, at its middle; None breaks the line."""
    weeks: dict[str, list[float]] = {}
    for week in sorted(chart.weeks, key=lambda week: week.monday):
        if not timeline.start <= week.monday < timeline.end:
            continue
        start = timeline.mark_start(week.monday)
        middle = start + len(timeline.mondays(start)) * WEEK // 2
        known = weeks.setdefault(middle.isoformat(), [])
        if week.mean_daily_load_au is not None:
            known.append(week.mean_daily_load_au)
    return [{"start": middle, "mean": mean(known)} for middle, known in weeks.items()]


def _layers(
    x: alt.X, most: float, canvas: Canvas, timeline: Timeline, by_day: bool
) -> list[alt.Chart]:
    palette = canvas.palette
    _, orange, blue, *_ = palette.categories
    day_label = "Day" if by_day else "Days, lowest to highest"
    has_points = timeline.mark_pixels >= POINTS_FROM_PIXELS
    bars = table("days").mark_bar(strokeWidth=0)
    # At the upper edge: at the lower one a mark would read as 0.
    unknown = table("unknown_days").mark_text(text="×", fontSize=13)
    means = table("weeks").mark_line(strokeWidth=2, point={"size": 25} if has_points else False)
    bars = bars.encode(x=x, x2="end:T", y=value_axis("high", Y_TITLE, most), y2="low:Q")
    means = means.encode(x=x, y=value_axis("mean", Y_TITLE, most))
    return [
        with_entry(bars, day_label, blue, "square"),
        unknown.encode(x=x, y=alt.value(5), color=alt.value(palette.muted)),
        with_entry(means, _mean_label(timeline), orange, "stroke"),
    ]


def _mean_label(timeline: Timeline) -> str:
    if timeline.weeks_per_mark == 1:
        return "Mean per day of the week"
    return f"Mean per day of {timeline.weeks_per_mark} weeks"


def _notes(chart: LoadOverTime, by_day: bool) -> list[str]:
    loads = [load.load_au for load in chart.days if load.day in chart.period]
    unknown = loads.count(None)
    if not unknown:
        return []
    sign = "× " if by_day else ""
    return [f"{sign}Load unknown on {unknown} of {len(loads)} days with training"]
