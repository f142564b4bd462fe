"""A set of push-ups as form analysis sees it: the angle of the elbow, and what each repetition was.

`python -m tests.form_picture` draws docs/form.svg anew.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from tests.poses import frames, push_up, swings
from training_service.charts.data import Theme
from training_service.charts.themes import PALETTES, Palette, config
from training_service.charts.worker import VEGA_LITE_VERSION, described
from training_service.domain.form.analyzer import FormAnalyzer, Setup
from training_service.domain.form.movements import (
    ELBOW_FLEXED_DEGREES,
    ELBOW_LOCKED_DEGREES,
    Movement,
)
from training_service.domain.form.reps import EXTENDED_DEGREES, FLEXED_DEGREES, Rep, Verdict
from training_service.domain.form.skeleton import Layout, angle

PICTURE = Path(__file__).parents[1] / "docs" / "form.svg"
DESCRIPTION = (
    "The angle of the elbow over a set of six push-ups with the two thresholds that count and the "
    "two limits that judge: three are valid, one partial, one borderline, one failed."
)
REPS = ((70, 174), (75, 174), (82, 174), (115, 174), (92.5, 174), (97, 174))
"""Lowest and highest angle of each."""
WORDS = {
    Verdict.VALID: "valid",
    Verdict.BORDERLINE: "borderline",
    Verdict.FAILED: "failed",
    Verdict.PARTIAL: "partial",
}


def angles() -> Iterator[float]:
    """Yields the angles of the set."""
    return chain.from_iterable(swings(1, low, high, 2.4) for low, high in REPS)


def judged() -> list[Rep]:
    """Returns its repetitions."""
    analyzer = FormAnalyzer(Setup(movement=Movement.PUSH_UP, layout=Layout.COCO_17))
    events = [event for frame in frames(map(push_up, angles())) for event in analyzer.add(frame)]
    found = [event.result for event in [*events, *analyzer.finish()]]
    return [result for result in found if isinstance(result, Rep)]


def draw(theme: Theme = Theme.LIGHT) -> str:
    """Returns the picture as SVG."""
    import altair
    import vl_convert

    palette = PALETTES[theme]
    picture = (
        altair.layer(*_limits(palette), _line(palette), *_reps(palette))
        .properties(width=720, height=260, background=palette.background, padding=10)
        .configure(**config(palette))
    )
    svg = vl_convert.vegalite_to_svg(
        picture.to_dict(), vl_version=VEGA_LITE_VERSION, allowed_base_urls=[]
    )
    return described(svg, DESCRIPTION)


def _y(field: str) -> Any:
    import altair

    scale = altair.Scale(domain=[60, 180], nice=False)
    axis = altair.Axis(tickCount=6, grid=False)
    return altair.Y(f"{field}:Q", title="elbow, degrees", scale=scale, axis=axis)


def _limits(palette: Palette) -> Iterator[Any]:
    import altair

    zones = [
        {"from": EXTENDED_DEGREES, "to": 180, "word": "extended"},
        {"from": 60, "to": FLEXED_DEGREES, "word": "flexed"},
    ]
    chart = altair.Chart(altair.InlineData(values=zones))
    yield chart.mark_rect(color=palette.grid).encode(y=_y("from"), y2="to:Q")
    yield (
        chart.mark_text(color=palette.muted, align="right", dx=-4)
        .encode(x=altair.value(720), y=_y("to"), text="word:N")
        .transform_calculate(to="datum.to == 180 ? 155 : 65")
    )
    limits = [{"at": ELBOW_LOCKED_DEGREES}, {"at": ELBOW_FLEXED_DEGREES}]
    rule = altair.Chart(altair.InlineData(values=limits)).mark_rule(strokeDash=[4, 3])
    yield rule.encode(y=_y("at"), color=altair.value(palette.muted))


def _line(palette: Palette) -> Any:
    import altair

    rows = [
        {"seconds": round(frame.seconds or 0, 3), "angle": round(_elbow(frame.keypoints), 2)}
        for frame in frames(map(push_up, angles()))
    ]
    scale = altair.Scale(nice=False)
    x = altair.X("seconds:Q", title="seconds", axis=altair.Axis(grid=False), scale=scale)
    chart = altair.Chart(altair.InlineData(values=rows))
    return chart.mark_line(color=palette.categories[0], strokeWidth=1.5).encode(x=x, y=_y("angle"))


def _elbow(keypoints: Any) -> float:
    found = angle(*(keypoints[place][:2] for place in (5, 7, 9)))
    assert found is not None
    return found


def _reps(palette: Palette) -> Iterator[Any]:
    import altair

    rows = [
        {
            "seconds": round((rep.start_seconds + rep.end_seconds) / 2, 3),
            "depth": round(rep.depth_degrees, 2),
            "word": f"{rep.number} {WORDS[rep.verdict]}" if rep.number else WORDS[rep.verdict],
        }
        for rep in judged()
    ]
    chart = altair.Chart(altair.InlineData(values=rows)).encode(x="seconds:Q", y=_y("depth"))
    yield chart.mark_point(filled=True, size=40, color=palette.categories[1])
    yield chart.mark_text(dy=14, color=palette.text).encode(text="word:N")


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
