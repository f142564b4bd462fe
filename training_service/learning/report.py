"""What a back-test showed: as a table to print, as Markdown, as JSON and as a picture."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from training_service.charts.data import Theme
from training_service.charts.themes import PALETTES, Palette, config
from training_service.charts.worker import VEGA_LITE_VERSION, described
from training_service.learning.backtest import Backtest, Part, Score
from training_service.learning.examples import MISSING_FROM_EXPORT
from training_service.learning.folds import FOLDS
from training_service.learning.history import History
from training_service.learning.predictors import BASELINES, MODEL, Trees

HEADINGS = ("Forecast by", "Forecasts", "MAE", "MASE", "Gain (95 % interval)")
DRAWN = (*(one.name for one in BASELINES), MODEL.name, Trees().name)
DESCRIPTION = "Mean absolute error of each kind of forecast, fold by fold: lower is better."
PANEL = {"width": 300, "height": 200}


def verdict(found: Backtest) -> str:
    """Returns in a sentence whether the model may be used, and if not why."""
    if found.is_on:
        return "The model is on."
    return f"The model is off: {'; '.join(found.reasons)}."


def _cells(score: Score) -> tuple[str, ...]:
    gain = ""
    if score.gain is not None:
        gain = f"{score.gain:+.2f} ({score.gain_low:+.2f} to {score.gain_high:+.2f})"
    mae, mase = f"{score.mae:.2f}", f"{score.mase:.3f}"
    return score.name, str(score.forecast_count), mae, mase, gain


def tables(found: Backtest) -> list[Table]:
    """Returns a table for each part, for a terminal."""
    return [_table(part) for part in _parts(found)]


def _table(part: Part) -> Table:
    table = Table(title=_title(part), title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == HEADINGS[0] else "right")
    for score in part.scores:
        table.add_row(*_cells(score))
    return table


def _parts(found: Backtest) -> Sequence[Part]:
    return [part for part in (found.rolling, found.held_out, found.cold_start) if part.scores]


def _title(part: Part) -> str:
    return f"{part.title} ({part.user_count} athletes)"


def markdown(found: Backtest, history: History) -> str:
    """Returns the whole report."""
    parts = [_markdown_part(part) for part in _parts(found)]
    return "\n".join([f"{verdict(found)}\n", _data(history), *parts, _outcomes(found)])


def _data(history: History) -> str:
    return (
        f"{history.session_count} sessions; {len(history.occasions)} times an exercise was done in "
        f"one and all of it is known. Left out: {history.unknown_exercise_count} of exercises that "
        f"the catalogue lacks, {history.unknown_amount_count} of which something is unknown. The "
        f"export does not tell: {', '.join(MISSING_FROM_EXPORT)}.\n"
    )


def _markdown_part(part: Part) -> str:
    return f"**{_title(part)}**\n\n{_rows(HEADINGS, [_cells(one) for one in part.scores])}"


def _outcomes(found: Backtest) -> str:
    names = ("SUCCESS", "HOLD", "FAIL", "SKIP")
    rows = [
        (rule, *(str(counts.get(name, 0)) for name in names))
        for rule, counts in found.outcomes.items()
    ]
    return f"**How rules judged sessions**\n\n{_rows(('Rule', *names), rows)}"


def _rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    ruler = ["---", *("---:" for _ in headings[1:])]
    lines = (f"| {' | '.join(cells)} |" for cells in (headings, ruler, *rows))
    return "\n".join(lines) + "\n"


def as_json(found: Backtest) -> str:
    """Returns the numbers of the report."""
    fields = {
        "is_on": found.is_on,
        "reasons": list(found.reasons),
        "parts": [asdict(part) for part in _parts(found)],
        "rule_outcomes": {rule: dict(counts) for rule, counts in found.outcomes.items()},
    }
    return json.dumps(fields, indent=2) + "\n"


def draw(titled: Mapping[str, Part], theme: Theme = Theme.LIGHT) -> str:
    """Returns the errors fold by fold as SVG, with a panel for each part."""
    import altair
    import vl_convert

    palette = PALETTES[theme]
    panels = [_panel(title, part, palette) for title, part in titled.items()]
    picture = (
        altair.concat(*panels, columns=2, background=palette.background)
        .properties(padding=10)
        .configure(**config(palette))
    )
    svg = vl_convert.vegalite_to_svg(
        picture.to_dict(), vl_version=VEGA_LITE_VERSION, allowed_base_urls=[]
    )
    return described(svg, DESCRIPTION)


def _panel(title: str, part: Part, palette: Palette) -> Any:
    import altair

    rows = [
        {"fold": fold, "mae": round(mae, 2), "by": score.name}
        for score in part.scores
        for fold, mae in enumerate(score.fold_maes, start=1)
        if score.name in DRAWN and mae is not None
    ]
    axis = altair.Axis(
        title="fold, the earliest first", values=list(range(1, FOLDS + 1)), format="d"
    )
    scale = altair.Scale(domain=list(DRAWN), range=list(palette.categories))
    base = altair.Chart(altair.InlineData(values=rows), title=title).encode(
        x=altair.X("fold:Q", axis=axis, scale=altair.Scale(domain=[0.8, FOLDS + 0.2])),
        y=altair.Y("mae:Q", title="MAE, effective repetitions", scale=altair.Scale(zero=True)),
        color=altair.Color("by:N", title=None, scale=scale),
        shape=altair.Shape("by:N", title=None, scale=altair.Scale(domain=list(DRAWN))),
    )
    lines = base.mark_line(strokeWidth=1.5).encode(shape=altair.Undefined)
    return altair.layer(lines, base.mark_point(filled=True, size=45)).properties(**PANEL)
