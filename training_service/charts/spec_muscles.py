"""How volume is spread over muscles, as horizontal bars."""

import altair as alt

from training_service.charts.canvas import Canvas, Drawing, Row, coverage_notes, table
from training_service.charts.data import MuscleDistribution, MuscleVolume

X_TITLE = "Effective repetitions (share of all, %)"
Y_TITLE = "Muscle"
PRIMARY = "Primary"
SECONDARY = "Secondary"
FRAME_PIXELS = 130
"""About what title, horizontal axis and legend take of the height."""
MIN_ROW_PIXELS = 9.5
SHARE_ROOM = 1.18
"""How far the axis goes beyond the longest bar: room for its share."""


def draw(chart: MuscleDistribution, canvas: Canvas) -> Drawing:
    """Returns a bar for each muscle, longest first; those that find no room become one."""
    shown = _shown(chart, canvas.size.height)
    whole = sum(muscle.effective_reps for muscle in shown)
    shares = [_share_row(muscle, whole) for muscle in shown]
    return Drawing(
        title="Muscle distribution",
        x_title=X_TITLE,
        y_title=Y_TITLE,
        layers=_layers(shown, canvas) if shown else [],
        tables={"parts": [r for m in shown for r in _part_rows(m)], "shares": shares},
        description=f"Effective repetitions per muscle, {chart.period}: "
        + ", ".join(f"{row['muscle']} {row['share']}" for row in shares),
        notes=coverage_notes(chart.coverage),
    )


def _shown(chart: MuscleDistribution, height: int) -> list[MuscleVolume]:
    trained = [muscle for muscle in chart.muscles if muscle.effective_reps > 0]
    trained.sort(key=lambda muscle: (-muscle.effective_reps, muscle.name))
    room = max(int((height - FRAME_PIXELS) / MIN_ROW_PIXELS), 2)
    if len(trained) <= room:
        return trained
    rest = trained[room - 1 :]
    others = MuscleVolume(
        name=f"{len(rest)} others",
        primary_effective_reps=sum(muscle.primary_effective_reps for muscle in rest),
        secondary_effective_reps=sum(muscle.secondary_effective_reps for muscle in rest),
    )
    return [*trained[: room - 1], others]


def _part_rows(muscle: MuscleVolume) -> list[Row]:
    parts = (PRIMARY, muscle.primary_effective_reps), (SECONDARY, muscle.secondary_effective_reps)
    return [
        {"muscle": muscle.name, "part": part, "effective_reps": round(reps, 2)}
        for part, reps in parts
        if reps
    ]


def _share_row(muscle: MuscleVolume, whole: float) -> Row:
    share = 100 * muscle.effective_reps / whole
    shown = "< 1 %" if share < 1 else f"{share:.0f} %"
    return {
        "muscle": muscle.name,
        "effective_reps": round(muscle.effective_reps, 2),
        "share": shown,
    }


def _layers(shown: list[MuscleVolume], canvas: Canvas) -> list[alt.Chart]:
    most = max(muscle.effective_reps for muscle in shown)
    x = alt.X(
        "effective_reps:Q",
        scale=alt.Scale(domain=[0, most * SHARE_ROOM]),
        axis=alt.Axis(title=X_TITLE, tickCount=6),
    )
    y = alt.Y(
        "muscle:N",
        sort=[muscle.name for muscle in shown],
        # Some bars must not fill a whole chart.
        scale=alt.Scale(paddingInner=0.2, paddingOuter=0.1 if len(shown) > 3 else 1),
        axis=alt.Axis(title=Y_TITLE, ticks=False, labelLimit=110, labelOverlap=False),
    )
    _, orange, blue, *_ = canvas.palette.categories
    scale = alt.Scale(domain=[PRIMARY, SECONDARY], range=[blue, orange])
    legend = alt.Legend(title=None, symbolType="square")
    bars = table("parts").mark_bar(stroke=canvas.palette.background, strokeWidth=1)
    shares = table("shares").mark_text(align="left", dx=4)
    return [
        bars.encode(
            x=x,
            y=y,
            color=alt.Color("part:N", scale=scale, legend=legend),
            order=alt.Order("part:N"),
        ),
        shares.encode(x=x, y=y, text="share:N"),
    ]
