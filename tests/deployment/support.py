"""What a container would be given, judged by the service itself."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from training_service.cli import app
from training_service.settings import PREFIX, Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
SECRET = {PREFIX + name.upper() for name, f in Settings.model_fields.items() if not f.repr}
"""Settings that belong into files."""


def parse(arguments: list[str]) -> str:
    """Parses the arguments of `training-service` as it would, and returns the command's name.

    Raises an error for a command, an option or a value that it does not take.
    """
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    with group.make_context("training-service", list(arguments)) as context:
        name, command, rest = group.resolve_command(context, list(arguments))
        assert command is not None
        assert name is not None
        command.make_context(name, rest, parent=context)
    return name


def settings_of(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], files: Path
) -> Settings:
    """Returns the settings that a container has with these variables and, as its secrets, files.

    Raises SettingsError for those that the service would refuse.
    """
    for name in [PREFIX + name.upper() for name in Settings.model_fields]:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**variables_of_image(), **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TRAINING_SECRETS_DIRECTORY", str(files))
    return load_settings()


def variables_of_image() -> dict[str, str]:
    """Returns what the Dockerfile sets of the service's variables."""
    text = (ROOT / "Dockerfile").read_text()
    return dict(re.findall(rf"^\s+({PREFIX}[A-Z_]+)=(\S+)", text, re.MULTILINE))


def seconds(text: str) -> int:
    """Returns a duration of compose.yaml, which has seconds alone."""
    assert text.endswith("s"), text
    return int(text[:-1])
