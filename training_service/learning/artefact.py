"""The model in files: the numbers, and a card that says what they are worth.

A model is JSON: reading it runs nothing, as reading a pickle could, and needs no package. The card
holds its hash, so that a model which is not the card's is not used.
"""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any

from training_service.learning.backtest import MIN_SESSIONS, Backtest
from training_service.learning.examples import FEATURES, MISSING_FROM_EXPORT, Example
from training_service.learning.history import History, LearningError
from training_service.learning.model import LinearModel, TooFewExamplesError, as_json, fit_linear
from training_service.learning.predictors import MODEL, MedianOfThree
from training_service.learning.report import markdown

FORMAT_VERSION = 1
"""Rises when the file, or what a feature means, changes."""
MODEL_FILE, CARD_FILE, CARD_TEXT = "model.json", "card.json", "card.md"
MAX_FILE_BYTES = 1_000_000
MAX_UNKNOWN_FEATURES = len(FEATURES) // 2
"""With more unknown the baseline forecasts (our choice)."""
BASELINE = MedianOfThree()
"""Forecasts where the model can't."""


def sha256(file: Path) -> str:
    """Returns the hash of a file's bytes in hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_artefact(
    folder: Path, data: Path, history: History, found: Backtest, now: datetime
) -> None:
    """Trains the model on all of a history and writes it with its card.

    The card is written last: while it is missing or of another model, nothing is used. Raises
    LearningError when there is too little to learn from.
    """
    try:
        model = fit_linear(found.examples)
    except TooFewExamplesError as error:
        raise LearningError(f"Too little to learn from: {error}") from None
    folder.mkdir(parents=True, exist_ok=True)
    content = {"format_version": FORMAT_VERSION, **as_json(model)}
    _write(folder / MODEL_FILE, json.dumps(content, indent=2) + "\n")
    card = _card(folder / MODEL_FILE, data, history, found, now)
    _write(folder / CARD_TEXT, _card_text(card, found, history))
    _write(folder / CARD_FILE, json.dumps(card, indent=2) + "\n")


def _write(file: Path, text: str) -> None:
    partial = file.with_name(file.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def _card(
    model: Path, data: Path, history: History, found: Backtest, now: datetime
) -> dict[str, Any]:
    import sklearn

    starts = [one.started_at for one in history.occasions]
    score = found.rolling.score_of(MODEL.name)
    return {
        "format_version": FORMAT_VERSION,
        "is_on": found.is_on,
        "reasons": list(found.reasons),
        "trained_at": now.isoformat(timespec="seconds"),
        "model_sha256": sha256(model),
        "data_sha256": sha256(data),
        "data": {
            "sessions": history.session_count,
            "athletes": len({one.user_id for one in history.occasions}),
            "examples": len(found.examples),
            "first_start": min(starts).isoformat(),
            "last_start": max(starts).isoformat(),
        },
        "target": "effective repetitions of an athlete's exercise in the next session that has it",
        "features": list(FEATURES),
        "missing_from_export": list(MISSING_FROM_EXPORT),
        "metrics": None if score is None else asdict(score),
        "versions": {"python": platform.python_version(), "scikit-learn": sklearn.__version__},
    }


def _card_text(card: Mapping[str, Any], found: Backtest, history: History) -> str:
    data, versions = card["data"], card["versions"]
    return (
        "# Model of the next session\n\n"
        f"- Forecasts: {card['target']}\n"
        f"- Trained: {card['trained_at']}, with "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}\n"
        f"- Data: {data['examples']} examples of {data['athletes']} athletes, "
        f"{data['first_start']} to {data['last_start']}\n"
        f"- SHA-256 of the data: {card['data_sha256']}\n"
        f"- SHA-256 of the model: {card['model_sha256']}\n"
        f"- Features: {', '.join(card['features'])}\n\n"
        "It describes training logs. It tells nothing of health or of the risk of an injury.\n\n"
        f"{markdown(found, history)}"
    )


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that may be used, or why there is none."""

    model: LinearModel | None
    reason: str = ""


class _UnfitError(Exception):
    """A file is not what it should be."""


def load_artefact(folder: Path) -> Loaded:
    """Returns the model of a folder if its card says on and fits it; never raises for its files."""
    try:
        return Loaded(_checked(folder))
    except _UnfitError as error:
        return Loaded(None, str(error))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Loaded(None, f"the files can't be read: {type(error).__name__}")


def _checked(folder: Path) -> LinearModel:
    card = json.loads(_read(folder / CARD_FILE))
    if card["format_version"] != FORMAT_VERSION:
        raise _UnfitError(f"the card is of format {card['format_version']}, not {FORMAT_VERSION}")
    if card["is_on"] is not True:
        raise _UnfitError(f"the card says off: {'; '.join(card['reasons'])}")
    content = _read(folder / MODEL_FILE)
    if hashlib.sha256(content).hexdigest() != card["model_sha256"]:
        raise _UnfitError("the model is not the one of the card")
    fields = json.loads(content)
    if fields["format_version"] != FORMAT_VERSION or tuple(fields["features"]) != FEATURES:
        raise _UnfitError("the model is of another version")
    ratio = fields["noise_over_spread"]
    return LinearModel(
        means=_numbers(fields["means"], len(FEATURES)),
        deviations=_numbers(fields["deviations"], len(FEATURES)),
        coefficients=_numbers(fields["coefficients"], 2 * len(FEATURES)),
        intercept=_numbers([fields["intercept"]], 1)[0],
        noise_over_spread=None if ratio is None else _numbers([ratio], 1)[0],
    )


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        content = opened.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise _UnfitError(f"{file.name} is too large")
    return content


def _numbers(values: Sequence[Any], count: int) -> list[float]:
    numbers = [float(value) for value in values]
    if len(numbers) != count or not all(map(isfinite, numbers)):
        raise _UnfitError("the model's numbers are not what they should be")
    return numbers


def forecast(loaded: Loaded, example: Example) -> tuple[float, str]:
    """Returns effective repetitions, and the name of who forecast them.

    The baseline does where there is no model, where too much is unknown, and for athletes with too
    few sessions.
    """
    unknown = sum(value is None for value in example.features)
    is_known = example.sessions_before >= MIN_SESSIONS and unknown <= MAX_UNKNOWN_FEATURES
    if loaded.model is not None and is_known:
        [amount] = loaded.model.forecast([example])
        if amount is not None:
            return amount, MODEL.name
    return example.median, BASELINE.name
