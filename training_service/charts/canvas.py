"""What the charts have in common: the frame to draw in, and axes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import altair as alt

from training_service.charts.data import Size
from training_service.charts.themes import Palette
from training_service.charts.timeline import Timeline

Row = dict[str, Any]

VALUE_HEADROOM = 1.12
"""How far the value axis goes beyond the largest: room for a label."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """Colours and pixels to draw with."""

    palette: Palette
    size: Size

    @property
    def is_small(self) -> bool:
        """Whether there is room for the necessary only."""
        return self.size.width < 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A chart before it gets its size. Without layers there was nothing to show."""

    title: str
    x_title: str
    y_title: str
    layers: Sequence[alt.Chart] = ()
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """Rows by the name that layers refer to them with."""
    description: str = ""
    notes: Sequence[str] = ()
    """What the picture does not say by itself, shown below the title."""


def table(name: str) -> alt.Chart:
    """Returns a chart of the rows of a table."""
    return alt.Chart(alt.NamedData(name=name))


def time_axis(timeline: Timeline, *, by_week: bool = False) -> tuple[alt.X, str]:
    """Returns the horizontal axis of a timeline for the field `start`, and its title."""
    ticks = timeline.ticks(by_week=by_week)
    axis = alt.Axis(
        title=ticks.title,
        format=ticks.format,
        values=[_instant(day) for day in ticks.days],
        labelOverlap=True,
        labelFlush=False,
        grid=False,
    )
    domain = [_instant(timeline.start), _instant(timeline.end)]
    return alt.X("start:T", axis=axis, scale=alt.Scale(type="utc", domain=domain)), ticks.title


def value_axis(field: str, title: str, most: float) -> alt.Y:
    """Returns the vertical axis of a quantity, from 0 to somewhat above the most."""
    scale = alt.Scale(domain=[0, (most or 1) * VALUE_HEADROOM])
    return alt.Y(f"{field}:Q", scale=scale, axis=alt.Axis(title=title, tickCount=6))


def with_entry(layer: alt.Chart, label: str, colour: str, symbol: str) -> alt.Chart:
    """Returns a layer in one colour, with its entry in the legend."""
    scale = alt.Scale(domain=[label], range=[colour])
    legend = alt.Legend(title=None, symbolType=symbol)
    return layer.transform_calculate(entry=f"'{label}'").encode(
        color=alt.Color("entry:N", scale=scale, legend=legend)
    )


def coverage_notes(coverage: float | None) -> list[str]:
    """Returns what to say when something was unknown."""
    if coverage is None or coverage >= 1:
        return []
    # Never rounded up to all.
    return [f"From {int(100 * coverage)} % of the sets; the others are unknown"]


def _instant(day: date) -> alt.DateTime:
    return alt.DateTime(year=day.year, month=day.month, date=day.day, utc=True)
