"""The training calendar: a cell for each day, coloured by its amount.

Up to 53 weeks stand side by side as they follow each other; more begin a new row with every ISO
year.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import altair as alt

from training_service.charts.canvas import Canvas, Drawing, Row, table
from training_service.charts.data import (
    WEEK,
    CalendarMeasure,
    TrainingCalendar,
    monday_of,
    week_name,
)
from training_service.charts.timeline import plot_width

TITLE = "Training calendar"
X_TITLE = "ISO week"
UNITS = {CalendarMeasure.SETS: "Sets", CalendarMeasure.LOAD: "Load, AU,"}
REST = "Rest"
UNKNOWN = "Amount unknown"
TRAINED = "Trained"
SHAPES = {REST: "circle", UNKNOWN: "square"}
DAYS = 7
MIDDLE_DAY = 4
MIN_WEEKS, MAX_WEEKS = 26, 53
"""Fewest and most weeks side by side; an ISO year has up to 53."""
FRAME_PIXELS = 125
"""About what title, horizontal axis and legend take of the height."""
MIN_DAY_PIXELS = 4.5
"""Where a day has less height, the cells are weeks."""
PIXELS_PER_YEAR, PIXELS_PER_NUMBER, PIXELS_PER_WEEK_NAME = 12, 18, 72
"""What a label takes, with the space around it."""
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where cells stand: names of columns and rows, and which of them have a label."""

    columns: Sequence[str]
    rows: Sequence[str]
    labelled_columns: Sequence[str]
    labelled_rows: Sequence[str]
    y_title: str
    by_day: bool
    by_year: bool
    """Whether every ISO year has rows of its own."""

    def place(self, day: date) -> Row:
        """Returns column and row of a day."""
        year, week, weekday = day.isocalendar()
        if not self.by_year:
            return {"column": week_name(day), "row": str(weekday)}
        return {"column": str(week), "row": f"{year}-{weekday}" if self.by_day else str(year)}


def draw(chart: TrainingCalendar, canvas: Canvas) -> Drawing:
    """Returns cells of days, or of weeks when the years leave too little room."""
    grid = _grid(chart, canvas)
    amounts = _amounts(chart)
    cells = _day_cells(chart, amounts, grid) if grid.by_day else _week_cells(chart, amounts, grid)
    unit = f"{UNITS[chart.measure]} per {'day' if grid.by_day else 'week'}"
    trained = [cell for cell in cells if cell["amount"]]
    others = [cell for cell in cells if not cell["amount"]]
    kinds = [kind for kind in (REST, UNKNOWN) if any(cell["kind"] == kind for cell in others)]
    return Drawing(
        title=TITLE,
        x_title=X_TITLE,
        y_title=grid.y_title,
        layers=_layers(grid, unit if trained else None, kinds, canvas) if amounts else [],
        tables={"trained": trained, "others": others},
        description=f"{unit}, {chart.period}: {len(amounts)} days with training",
    )


def _grid(chart: TrainingCalendar, canvas: Canvas) -> _Grid:
    first = min(chart.first_log or chart.period.since, chart.period.through)
    since, through = monday_of(max(chart.period.since, first)), monday_of(chart.period.through)
    width, height = plot_width(canvas.size.width), canvas.size.height - FRAME_PIXELS
    weeks = (through - since) // WEEK + 1
    if weeks <= MAX_WEEKS:
        return _running_grid(through - (max(weeks, MIN_WEEKS) - 1) * WEEK, through, width)
    years = list(range(since.isocalendar().year, through.isocalendar().year + 1))
    return _yearly_grid(years, width, height)


def _running_grid(monday: date, last: date, width: int) -> _Grid:
    columns = [week_name(monday + i * WEEK) for i in range((last - monday) // WEEK + 1)]
    rows = [str(day) for day in range(1, DAYS + 1)]
    step = _step(len(columns), PIXELS_PER_WEEK_NAME, width)
    title = "ISO weekday (1 = Monday)"
    return _Grid(columns, rows, columns[::step], rows, title, by_day=True, by_year=False)


def _yearly_grid(years: list[int], width: int, height: int) -> _Grid:
    columns = [str(week) for week in range(1, MAX_WEEKS + 1)]
    labelled = columns[:: _step(len(columns), PIXELS_PER_NUMBER, width)]
    shown = years[:: _step(len(years), PIXELS_PER_YEAR, height)]
    if height / (len(years) * (DAYS + 1)) < MIN_DAY_PIXELS:
        rows = [str(year) for year in years]
        named = [str(year) for year in shown]
        return _Grid(columns, rows, labelled, named, "ISO year", by_day=False, by_year=True)
    # The eighth row is the gap below a year.
    rows = [f"{year}-{day}" for year in years for day in range(1, DAYS + 2)][:-1]
    named = [f"{year}-{MIDDLE_DAY}" for year in shown]
    return _Grid(columns, rows, labelled, named, "ISO year, Mon–Sun", by_day=True, by_year=True)


def _step(count: int, pixels_each: int, pixels: int) -> int:
    """Returns the step at which labels have room."""
    return max(-(-count * pixels_each // max(pixels, 1)), 1)


def _amounts(chart: TrainingCalendar) -> dict[date, float | None]:
    return {one.day: one.amount for one in chart.days if one.day in chart.period}


def _days(chart: TrainingCalendar, amounts: dict[date, float | None]) -> Iterator[date]:
    """Yields the days from the first log on."""
    first = chart.first_log or min(amounts, default=chart.period.through)
    day = max(chart.period.since, first)
    while day <= chart.period.through:
        yield day
        day += DAY


def _day_cells(
    chart: TrainingCalendar, amounts: dict[date, float | None], grid: _Grid
) -> list[Row]:
    return [_cell(day, amounts.get(day, 0.0), grid) for day in _days(chart, amounts)]


def _week_cells(
    chart: TrainingCalendar, amounts: dict[date, float | None], grid: _Grid
) -> list[Row]:
    """Returns the sum of each week; unknown only when nothing is known of a week with training."""
    weeks: dict[date, list[float | None]] = defaultdict(list)
    for day in _days(chart, amounts):
        weeks[monday_of(day)].append(amounts.get(day, 0.0))
    cells = []
    for monday, given in weeks.items():
        known = sum(amount or 0.0 for amount in given)
        is_unknown = not known and None in given
        cells.append(_cell(monday, None if is_unknown else known, grid))
    return cells


def _cell(day: date, amount: float | None, grid: _Grid) -> Row:
    kind = UNKNOWN if amount is None else REST if not amount else TRAINED
    return grid.place(day) | {"start": day.isoformat(), "amount": amount, "kind": kind}


def _layers(grid: _Grid, unit: str | None, kinds: list[str], canvas: Canvas) -> list[alt.Chart]:
    """Returns cells, rest days and unknown ones; without a unit there is no amount to explain."""
    palette = canvas.palette
    x = alt.X(
        "column:O",
        scale=alt.Scale(domain=grid.columns, paddingInner=0.1),
        axis=_axis(X_TITLE, grid.labelled_columns, labelAngle=0),
    )
    y = alt.Y(
        "row:O",
        scale=alt.Scale(domain=grid.rows, paddingInner=0.1),
        axis=_axis(grid.y_title, grid.labelled_rows, labelExpr="split(datum.label, '-')[0]"),
    )
    scale = alt.Scale(range=[palette.least, palette.most], interpolate="lab", domainMin=0)
    gradient = (
        alt.Legend(title=unit, gradientLength=120, gradientThickness=10, tickCount=3)
        if unit
        else None
    )
    shapes = alt.Scale(domain=kinds, range=[SHAPES[kind] for kind in kinds])
    legend = alt.Legend(title="", symbolStrokeColor=palette.muted) if kinds else None
    others = table("others").mark_point(color=palette.muted, strokeWidth=1, size=18)
    amount = alt.Color("amount:Q", scale=scale, legend=gradient)
    return [
        table("trained").mark_rect().encode(x=x, y=y, color=amount),
        others.encode(x=x, y=y, shape=alt.Shape("kind:N", scale=shapes, legend=legend)),
    ]


def _axis(title: str, values: Sequence[str], **more: Any) -> alt.Axis:
    return alt.Axis(
        title=title, values=values, ticks=False, domain=False, labelOverlap=False, **more
    )
