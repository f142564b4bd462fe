"""From a chart's data to a Vega-Lite specification.

Importing this imports Altair, which takes a third of a second and 45 MB: only the drawing process
does (`worker.py`).
"""

from typing import Any

import altair as alt

from training_service.charts import (
    spec_body,
    spec_calendar,
    spec_load,
    spec_muscles,
    spec_progress,
    spec_skills,
    spec_volume,
)
from training_service.charts.canvas import Canvas, Drawing, table
from training_service.charts.data import (
    BodyMap,
    Chart,
    ExerciseProgress,
    FamilyGraph,
    LoadOverTime,
    MuscleDistribution,
    Size,
    Theme,
    TrainingCalendar,
    WeeklyVolume,
)
from training_service.charts.themes import PALETTES, config

NO_DATA = "No data"
NOWHERE = "nowhere"


def vega_lite(chart: Chart, theme: Theme, size: Size) -> dict[str, Any]:
    """Returns the specification of a chart, with its data in it.

    The picture is exactly as large as asked for. Without data it says so between the axes' titles.
    """
    canvas = Canvas(PALETTES[theme], size)
    drawing = _draw(chart, canvas)
    layers = drawing.layers or _no_data(drawing)
    title = alt.Title(drawing.title, subtitle=list(drawing.notes))
    spec: dict[str, Any] = (
        alt.layer(*layers)
        .properties(
            title=title if drawing.notes else drawing.title,
            description=_description(drawing),
            width=size.width,
            height=size.height,
            background=canvas.palette.background,
            padding=8,
            autosize=alt.AutoSizeParams(type="fit", contains="padding"),
        )
        .resolve_scale(color="independent", strokeDash="independent")
        .to_dict()
    )
    # Added last: Altair would check every row against the schema, which takes seconds.
    tables = drawing.tables if drawing.layers else {NOWHERE: [{"x": 0.5, "y": 0.5}]}
    return spec | {"config": config(canvas.palette), "datasets": dict(tables)}


def _description(drawing: Drawing) -> str:
    """Returns what a screen reader says."""
    what = drawing.description if drawing.layers else NO_DATA
    return ". ".join([drawing.title, what, *drawing.notes]) + "."


def _no_data(drawing: Drawing) -> list[alt.Chart]:
    """Returns axes with nothing but their titles, and a word between them."""
    bare: dict[str, Any] = {"labels": False, "ticks": False, "grid": False}
    scale = alt.Scale(domain=[0, 1])
    return [
        table(NOWHERE)
        .mark_text(text=NO_DATA, fontSize=16)
        .encode(
            x=alt.X("x:Q", scale=scale, axis=alt.Axis(title=drawing.x_title, **bare)),
            y=alt.Y("y:Q", scale=scale, axis=alt.Axis(title=drawing.y_title, **bare)),
        )
    ]


def _draw(chart: Chart, canvas: Canvas) -> Drawing:
    match chart:
        case WeeklyVolume():
            return spec_volume.draw(chart, canvas)
        case LoadOverTime():
            return spec_load.draw(chart, canvas)
        case ExerciseProgress():
            return spec_progress.draw(chart, canvas)
        case MuscleDistribution():
            return spec_muscles.draw(chart, canvas)
        case TrainingCalendar():
            return spec_calendar.draw(chart, canvas)
        case FamilyGraph():
            return spec_skills.draw(chart, canvas)
        case BodyMap():
            return spec_body.draw(chart, canvas)
