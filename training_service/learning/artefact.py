"""A model as it is read from files, and who forecasts without one.

A model is JSON: reading it runs nothing, as reading a pickle could, and needs no package. The card
holds its hash, so that a model which is not the card's is not used.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from training_service.learning.examples import FEATURES, MIN_SESSIONS, Example
from training_service.learning.model import LinearModel
from training_service.learning.predictors import MODEL, MedianOfThree

FORMAT_VERSION = 1
"""Rises when the file, or what a feature means, changes."""
MODEL_FILE, CARD_FILE = "model.json", "card.json"
MAX_FILE_BYTES = 1_000_000
MAX_UNKNOWN_FEATURES = len(FEATURES) // 2
"""With more unknown the baseline forecasts (our choice)."""
BASELINE = MedianOfThree()
"""Forecasts where the model can't."""


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
