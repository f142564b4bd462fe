"""The measurements as a picture: CPU time of each call, and what used it."""

from pathlib import Path

import altair

from benchmarks.goals import Results

PARTS = {
    "service": "Service",
    "postgresql": "PostgreSQL",
    "handwritten": "Handwritten floor",
    "stack": "Stack floor",
    "envoy": "Envoy",
}
"""What uses CPU time, in the order in which it is stacked."""

# Of Okabe and Ito, which colour-blind people can tell apart.
COLOURS = ["#0072B2", "#E69F00", "#56B4E9", "#999999", "#009E73"]
SHOWN = ("GetSession", "ListSessions(20)", "LogSession", "GetExercise", "ListExercises(50)")


def draw(results: Results, file: Path) -> None:
    """Writes the picture of the calls that have a floor to compare them with."""
    charts = [_bars(results, call) for call in SHOWN if call in results]
    picture = altair.vconcat(*charts, background="white").configure_view(stroke=None)
    picture.save(str(file))


def _bars(results: Results, call: str) -> altair.Chart:
    rows = [
        {
            "target": target,
            "part": PARTS[part],
            "order": list(PARTS).index(part),
            "milliseconds": us / 1000,
        }
        for target, sample in results[call].items()
        for part, us in sample.cpu_us.items()
    ]
    colour = altair.Scale(domain=list(PARTS.values()), range=COLOURS)
    return (
        altair.Chart(altair.InlineData(values=rows), title=altair.Title(call, anchor="start"))
        .mark_bar()
        .encode(
            x=altair.X("milliseconds:Q", title="CPU time of one call, ms"),
            y=altair.Y("target:N", sort=list(results[call]), title=None),
            color=altair.Color("part:N", scale=colour, title=None),
            order="order:O",
        )
        .properties(width=460, height=altair.Step(18))
    )
