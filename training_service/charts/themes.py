"""Colours and type of charts, for light and for dark backgrounds.

What carries meaning has a contrast of at least 3:1 to the background (WCAG 2.2, 1.4.11), and text
has 4.5:1. Categories stay apart for people who see no red or no green; the hues follow Okabe and
Ito, some lighter or darker for the contrast. `tests/unit/test_charts.py` computes both.
"""

from dataclasses import dataclass
from typing import Any

from training_service.charts.data import Theme

FONT = "sans-serif"
"""The generic family: whoever shows the picture has one."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of a theme as #RRGGBB."""

    background: str
    text: str
    muted: str
    """Rest days and what is unknown."""
    grid: str
    """Decoration only."""
    categories: tuple[str, str, str, str, str]
    """In the order of CATEGORIES; series use the same."""
    least: str
    most: str
    """Ends of the scale from little to much."""


PALETTES = {
    Theme.LIGHT: Palette(
        background="#FFFFFF",
        text="#24292F",
        muted="#767676",
        grid="#E4E7EB",
        categories=("#332288", "#D55E00", "#2E86C1", "#009E73", "#444444"),
        least="#4C97CC",
        most="#08244A",
    ),
    Theme.DARK: Palette(
        background="#16191D",
        text="#E6E8EB",
        muted="#8C939C",
        grid="#2E343B",
        categories=("#B07AFF", "#D55E00", "#88CCEE", "#44AA99", "#F0E442"),
        least="#2378B5",
        most="#E3F2FF",
    ),
}


def config(palette: Palette) -> dict[str, Any]:
    """Returns the Vega-Lite configuration of a theme."""
    return {
        "font": FONT,
        # No separator of thousands: its meaning differs from place to place.
        "numberFormat": "~f",
        "view": {"stroke": None},
        # A label on every mark would be long, in English and in the time zone of this machine; the
        # description says what there is to see.
        "mark": {"aria": False},
        "title": {
            "color": palette.text,
            "subtitleColor": palette.text,
            "fontSize": 14,
            "subtitleFontSize": 11,
            "anchor": "start",
            "frame": "group",
            "offset": 8,
        },
        "axis": {
            "labelColor": palette.text,
            "titleColor": palette.text,
            "titleFontWeight": "normal",
            "labelFontSize": 10,
            "titleFontSize": 11,
            "gridColor": palette.grid,
            "domainColor": palette.muted,
            "tickColor": palette.muted,
        },
        "legend": {
            "labelColor": palette.text,
            "titleColor": palette.text,
            "titleFontWeight": "normal",
            "titleFontSize": 11,
            "labelFontSize": 11,
            "orient": "bottom",
            "direction": "horizontal",
            "rowPadding": 1,
            "columnPadding": 12,
        },
        "text": {"color": palette.text, "fontSize": 10},
    }
