"""What the commands `backtest` and `train-model` do."""

from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from training_service.learning.artefact import load_artefact
from training_service.learning.backtest import Backtest, backtest
from training_service.learning.card import write_artefact
from training_service.learning.choices import replay_choices
from training_service.learning.history import History, LearningError, read_history
from training_service.learning.report import (
    as_json,
    choice_table,
    choice_verdict,
    choices_markdown,
    draw,
    markdown,
    tables,
    verdict,
)

REPORT_TEXT, REPORT_FILE, PICTURE = "backtest.md", "backtest.json", "backtest.svg"


def run_backtest(file: Path, folder: Path, console: Console) -> None:
    """Replays an export, prints tables and writes the report. Raises LearningError."""
    history, found = _replayed(file, console)
    with Progress(console=console, transient=True) as shown:
        ranking = shown.add_task("ranking workouts", total=None)
        choices = replay_choices(
            history.occasions, lambda done, of: shown.update(ranking, completed=done, total=of)
        )
    folder.mkdir(parents=True, exist_ok=True)
    titled = {"Rolling origin": found.rolling, "Athletes held out": found.held_out}
    picture = draw(titled, {"Which workout": choices})
    report = f"{markdown(found, history)}\n{choices_markdown(choices)}"
    for name, text in (
        (REPORT_TEXT, f"# Back-test\n\n{report}\n![Errors and ranks]({PICTURE})\n"),
        (REPORT_FILE, as_json(found, choices)),
        (PICTURE, picture),
    ):
        (folder / name).write_text(text, encoding="utf-8")
    _print(found, console)
    if choices.scores:
        console.print(choice_table(choices))
    console.print(choice_verdict(choices), soft_wrap=True, highlight=False)


def run_training(file: Path, folder: Path, now: datetime, console: Console) -> None:
    """Replays an export, trains the model and writes it with its card. Raises LearningError."""
    history, found = _replayed(file, console)
    write_artefact(folder, file, history, found, now)
    loaded = load_artefact(folder)
    if (loaded.model is not None) != found.is_on:
        raise LearningError(f"What was written can't be read again: {loaded.reason}")
    _print(found, console)


def _print(found: Backtest, console: Console) -> None:
    for table in tables(found):
        console.print(table)
    console.print(verdict(found), soft_wrap=True, highlight=False)


def _replayed(file: Path, console: Console) -> tuple[History, Backtest]:
    if find_spec("sklearn") is None:
        raise LearningError("Learning needs scikit-learn: pip install 'training-service[learning]'")
    with Progress(console=console, transient=True) as shown:
        reading = shown.add_task("reading", total=None)
        history = read_history(
            file, lambda done, of: shown.update(reading, completed=done, total=of)
        )
        replaying = shown.add_task("replaying", total=None)
        found = backtest(
            history, lambda done, of: shown.update(replaying, completed=done, total=of)
        )
    return history, found
