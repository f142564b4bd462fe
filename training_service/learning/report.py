"""What a back-test showed: as a table to print, as Markdown, as JSON and as a picture."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from training_service.charts.data import Theme
from training_service.charts.themes import PALETTES, Palette, config
from training_service.charts.worker import VEGA_LITE_VERSION, described
from training_service.learning.backtest import Backtest, Part, Score
from training_service.learning.choices import AMONG, CHANCE, RECOMMENDER, Choices, ChoiceScore
from training_service.learning.choices import BASELINES as RANKINGS
from training_service.learning.examples import MISSING_FROM_EXPORT
from training_service.learning.folds import FOLDS, Gain
from training_service.learning.history import History
from training_service.learning.predictors import BASELINES, MODEL, Trees

CHOICE_HEADINGS = (
    *("Ranked by", "First", f"Among {AMONG}", "Reciprocal rank"),
    "Gain (95 % interval)",
)
HEADINGS = ("Forecast by", "Forecasts", "MAE", "MASE", "Gain (95 % interval)")
DRAWN = (*(one.name for one in BASELINES), MODEL.name, Trees().name)
DRAWN_CHOICES = (RECOMMENDER, *RANKINGS, CHANCE)
DESCRIPTION = (
    "Mean absolute error of each kind of forecast, fold by fold: lower is better. Where workouts "
    "are ranked, the mean reciprocal rank of the one that was done: higher is better."
)
PANEL = {"width": 300, "height": 200}


def verdict(found: Backtest) -> str:
    """Returns in a sentence whether the model may be used, and if not why."""
    if found.is_on:
        return "The model is on."
    return f"The model is off: {'; '.join(found.reasons)}."


def choice_verdict(found: Choices) -> str:
    """Returns in words whether the recommender tells what athletes do, and whether that does them
    good."""
    if not found.scores:
        return "Nobody had a choice between workouts done before: the recommender was not compared."
    gain, other = found.score_of(RECOMMENDER).gain, found.best_other.name
    assert gain is not None
    if gain.low > 0:
        agreement = f'The recommender tells better than "{other}" what athletes do'
    elif gain.high < 0:
        agreement = f'"{other}" tells better than the recommender what athletes do'
    else:
        agreement = f'The recommender and "{other}" tell alike what athletes do'
    return f"{agreement}. {_benefit(found)}"


def _benefit(found: Choices) -> str:
    benefit = found.benefit
    if benefit is None:
        return "Whether sessions of workouts that it ranks high go better can't be told."
    shown = f"{100 * benefit.mean:+.1f} % ({100 * benefit.low:+.1f} to {100 * benefit.high:+.1f})"
    went = "no better than"
    if benefit.low > 0:
        went = "better than"
    elif benefit.high < 0:
        went = "worse than"
    return (
        f"Sessions of workouts that it ranked in the upper half went {went} others: {shown} of the "
        f"median of three, {found.benefit_user_count} athletes."
    )


def _choice_cells(score: ChoiceScore) -> tuple[str, ...]:
    shares = (f"{100 * score.first:.0f} %", f"{100 * score.among:.0f} %")
    return score.name, *shares, f"{score.reciprocal_rank:.3f}", _interval(score.gain, 3)


def _interval(gain: Gain | None, digits: int) -> str:
    if gain is None:
        return ""
    mean, low, high = (f"{each:+.{digits}f}" for each in (gain.mean, gain.low, gain.high))
    return f"{mean} ({low} to {high})"


def _cells(score: Score) -> tuple[str, ...]:
    mae, mase = f"{score.mae:.2f}", f"{score.mase:.3f}"
    return score.name, str(score.forecast_count), mae, mase, _interval(score.gain, 2)


def tables(found: Backtest) -> list[Table]:
    """Returns a table for each part, for a terminal."""
    return [_table(_title(part), HEADINGS, map(_cells, part.scores)) for part in _parts(found)]


def choice_table(found: Choices) -> Table:
    """Returns the table of rankings, for a terminal."""
    return _table(_choice_title(found), CHOICE_HEADINGS, map(_choice_cells, found.scores))


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == headings[0] else "right")
    for cells in rows:
        table.add_row(*cells)
    return table


def _parts(found: Backtest) -> Sequence[Part]:
    return [part for part in (found.rolling, found.held_out, found.cold_start) if part.scores]


def _title(part: Part) -> str:
    return f"{part.title} ({part.user_count} athletes)"


def _choice_title(found: Choices) -> str:
    return f"Which workout ({found.decision_count} choices of {found.user_count} athletes)"


def choices_markdown(found: Choices) -> str:
    """Returns the part of the report that is about the recommender."""
    if not found.scores:
        return f"{choice_verdict(found)}\n"
    return "\n".join(
        [
            f"{choice_verdict(found)}\n",
            f"Not counted: {found.new_count} sessions of a workout never done before, and "
            f"{found.lone_count} of athletes who had done one workout only.\n",
            f"**{_choice_title(found)}**\n",
            _rows(CHOICE_HEADINGS, [_choice_cells(one) for one in found.scores]),
        ]
    )


def markdown(found: Backtest, history: History) -> str:
    """Returns the report on forecasts."""
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


def as_json(found: Backtest, choices: Choices) -> str:
    """Returns the numbers of the report."""
    fields = {
        "is_on": found.is_on,
        "reasons": list(found.reasons),
        "parts": [asdict(part) for part in _parts(found)],
        "rule_outcomes": {rule: dict(counts) for rule, counts in found.outcomes.items()},
        "choices": asdict(choices),
    }
    return json.dumps(fields, indent=2) + "\n"


def draw(
    titled: Mapping[str, Part], choices: Mapping[str, Choices], theme: Theme = Theme.LIGHT
) -> str:
    """Returns errors and ranks fold by fold as SVG, with a panel for each part; those in which
    there is nothing have none."""
    import altair
    import vl_convert

    palette = PALETTES[theme]
    panels = [_errors(title, part, palette) for title, part in titled.items() if part.scores]
    panels += [_ranks(title, one, palette) for title, one in choices.items() if one.scores]
    picture = (
        altair.concat(*panels, columns=2, background=palette.background)
        .resolve_scale(color="independent", shape="independent")
        .properties(padding=10)
        .configure(**config(palette))
    )
    svg = vl_convert.vegalite_to_svg(
        picture.to_dict(), vl_version=VEGA_LITE_VERSION, allowed_base_urls=[]
    )
    return described(svg, DESCRIPTION)


def _errors(title: str, part: Part, palette: Palette) -> Any:
    lines = {score.name: score.fold_maes for score in part.scores if score.name in DRAWN}
    return _panel(title, "MAE, effective repetitions", lines, DRAWN, palette)


def _ranks(title: str, choices: Choices, palette: Palette) -> Any:
    lines = {score.name: score.fold_ranks for score in choices.scores}
    return _panel(title, "mean reciprocal rank", lines, DRAWN_CHOICES, palette)


def _panel(
    title: str,
    measure: str,
    lines: Mapping[str, Sequence[float | None]],
    names: Sequence[str],
    palette: Palette,
) -> Any:
    import altair

    rows = [
        {"fold": fold, "value": round(value, 3), "by": name}
        for name, values in lines.items()
        for fold, value in enumerate(values, start=1)
        if value is not None
    ]
    axis = altair.Axis(
        title="fold, the earliest first", values=list(range(1, FOLDS + 1)), format="d"
    )
    scale = altair.Scale(domain=list(names), range=[*palette.categories, palette.muted])
    legend = altair.Legend(columns=2)
    base = altair.Chart(altair.InlineData(values=rows), title=title).encode(
        x=altair.X("fold:Q", axis=axis, scale=altair.Scale(domain=[0.8, FOLDS + 0.2])),
        y=altair.Y("value:Q", title=measure, scale=altair.Scale(zero=True)),
        color=altair.Color("by:N", title=None, scale=scale, legend=legend),
        shape=altair.Shape(
            "by:N", title=None, scale=altair.Scale(domain=list(names)), legend=legend
        ),
    )
    drawn = base.mark_line(strokeWidth=1.5).encode(shape=altair.Undefined)
    return altair.layer(drawn, base.mark_point(filled=True, size=45)).properties(**PANEL)
