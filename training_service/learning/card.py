"""Writes a model with a card that says what it is worth."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from training_service.learning.artefact import CARD_FILE, FORMAT_VERSION, MODEL_FILE
from training_service.learning.backtest import Backtest
from training_service.learning.examples import FEATURES, MISSING_FROM_EXPORT
from training_service.learning.history import History, LearningError
from training_service.learning.model import TooFewExamplesError, as_json, fit_linear
from training_service.learning.predictors import MODEL
from training_service.learning.report import markdown

CARD_TEXT = "card.md"


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
