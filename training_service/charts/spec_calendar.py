"""The training calendar: one row of ISO weeks per year, each day a cell coloured by its amount."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import altair as alt

from training_service.charts.canvas import Canvas, Drawing, Row, table
from training_service.charts.data import CalendarMeasure, TrainingCalendar, monday_of
from training_service.charts.timeline import plot_width

TITLE = "Training calendar"
X_TITLE = "ISO week"
UNITS = {CalendarMeasure.SETS: "Sets", CalendarMeasure.LOAD: "Load, AU,"}
REST = "Rest"
UNKNOWN = "Amount unknown"
WEEKS = list(range(1, 54))
FRAME_PIXELS = 125
"""About what title, horizontal axis and legend take of the height."""
MIN_DAY_PIXELS = 3
"""Where a day has less height, the cells are weeks."""
ROWS_PER_YEAR = 8
"""Seven days and a gap."""
PIXELS_PER_YEAR_LABEL = 12
DAY = timedelta(days=1)


def draw(chart: TrainingCalendar, canvas: Canvas) -> Drawing:
    """Returns cells of days, or of weeks when the years leave too little room."""
    years = _years(chart)
    height = canvas.size.height - FRAME_PIXELS
    by_day = height / (len(years) * ROWS_PER_YEAR) >= MIN_DAY_PIXELS
    amounts = _amounts(chart)
    cells = _day_cells(chart, amounts) if by_day else _week_cells(chart, amounts)
    has_any = bool(amounts)
    tables = {
        "trained": [cell for cell in cells if cell["amount"]],
        "others": [cell for cell in cells if not cell["amount"]],
    }
    y, y_title = _day_axis(years, height) if by_day else _year_axis(years, height)
    per = "day" if by_day else "week"
    unit = f"{UNITS[chart.measure]} per {per}"
    return Drawing(
        title=TITLE,
        x_title=X_TITLE,
        y_title=y_title,
        layers=_layers(y, unit, canvas) if has_any else [],
        tables=tables if has_any else {},
        description=f"{unit}, {chart.period}: {len(amounts)} days with training",
    )


def _years(chart: TrainingCalendar) -> list[int]:
    """Returns the ISO years from the first log on."""
    since = max(chart.period.since, min(chart.first_log or date.min, chart.period.through))
    return list(range(since.isocalendar().year, chart.period.through.isocalendar().year + 1))


def _amounts(chart: TrainingCalendar) -> dict[date, float | None]:
    return {one.day: one.amount for one in chart.days if one.day in chart.period}


def _days(chart: TrainingCalendar, amounts: dict[date, float | None]) -> Iterator[date]:
    """Yields the days from the first log on."""
    first = chart.first_log or min(amounts, default=chart.period.through)
    day = max(chart.period.since, first)
    while day <= chart.period.through:
        yield day
        day += DAY


def _day_cells(chart: TrainingCalendar, amounts: dict[date, float | None]) -> list[Row]:
    cells = []
    for day in _days(chart, amounts):
        year, week, weekday = day.isocalendar()
        cell = _cell(f"{year}-{weekday}", week, amounts.get(day, 0.0))
        cells.append(cell | {"day": day.isoformat()})
    return cells


def _week_cells(chart: TrainingCalendar, amounts: dict[date, float | None]) -> list[Row]:
    """Returns the sum of each week; unknown only when nothing is known of a week with training."""
    weeks: dict[date, list[float | None]] = defaultdict(list)
    for day in _days(chart, amounts):
        weeks[monday_of(day)].append(amounts.get(day, 0.0))
    cells = []
    for monday, given in weeks.items():
        year, week, _ = monday.isocalendar()
        known = sum(amount or 0.0 for amount in given)
        is_unknown = not known and None in given
        cells.append(_cell(str(year), week, None if is_unknown else known))
    return cells


def _cell(row: str, week: int, amount: float | None) -> Row:
    kind = UNKNOWN if amount is None else REST
    return {"row": row, "week": week, "amount": amount, "kind": kind}


def _day_axis(years: list[int], height: int) -> tuple[alt.Y, str]:
    """Returns rows of weekdays, a year below the other, and the axis' title."""
    rows = [f"{year}-{day}" for year in years for day in range(1, ROWS_PER_YEAR + 1)][:-1]
    if len(years) == 1:
        title, shown, part = f"ISO weekday of {years[0]} (1 = Monday)", rows, 1
    else:
        title, part = "ISO year, Monday to Sunday", 0
        shown = [f"{year}-4" for year in _labelled(years, height)]
    axis = _axis(title, shown, labelExpr=f"split(datum.value, '-')[{part}]")
    return _rows(rows, axis), title


def _year_axis(years: list[int], height: int) -> tuple[alt.Y, str]:
    """Returns a row for each year, and the axis' title."""
    title = "ISO year"
    shown = [str(year) for year in _labelled(years, height)]
    return _rows([str(year) for year in years], _axis(title, shown)), title


def _axis(title: str, values: list[str], **more: Any) -> alt.Axis:
    return alt.Axis(
        title=title, values=values, ticks=False, domain=False, labelOverlap=False, **more
    )


def _rows(rows: list[str], axis: alt.Axis) -> alt.Y:
    return alt.Y("row:O", scale=alt.Scale(domain=rows, paddingInner=0.1), axis=axis)


def _labelled(years: list[int], height: int) -> list[int]:
    step = -(-len(years) * PIXELS_PER_YEAR_LABEL // max(height, 1))
    return years[:: max(step, 1)]


def _layers(y: alt.Y, unit: str, canvas: Canvas) -> list[alt.Chart]:
    palette = canvas.palette
    step = 2 if plot_width(canvas.size.width) > 600 else 4
    axis = alt.Axis(title=X_TITLE, values=WEEKS[::step], labelAngle=0, ticks=False, domain=False)
    x = alt.X("week:O", scale=alt.Scale(domain=WEEKS, paddingInner=0.1), axis=axis)
    scale = alt.Scale(range=[palette.least, palette.most], interpolate="lab", domainMin=0)
    gradient = alt.Legend(title=unit, gradientLength=120, gradientThickness=10, tickCount=3)
    shapes = alt.Scale(domain=[REST, UNKNOWN], range=["circle", "square"])
    kinds = alt.Legend(title="", symbolStrokeColor=palette.muted)
    others = table("others").mark_point(color=palette.muted, strokeWidth=1)
    return [
        table("trained")
        .mark_rect()
        .encode(x=x, y=y, color=alt.Color("amount:Q", scale=scale, legend=gradient)),
        others.encode(x=x, y=y, shape=alt.Shape("kind:N", scale=shapes, legend=kinds)),
    ]
