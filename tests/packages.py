"""The client packages as siblings get them, built once for each test process, and their tools."""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROTOS = ROOT / "protos"
CLIENTS = ROOT / "tests" / "e2e" / "clients"
PACKAGE = "node_modules/@calisthenics/training-client"

sys.path.append(str(PROTOS))
from clients import install, tool_environment  # noqa: E402

_built = tempfile.TemporaryDirectory(prefix="training-packages-", ignore_cleanup_errors=True)


def tool(*command: str, **options: Any) -> str:
    """Runs a tool of this environment and returns what it prints."""
    done = subprocess.run(
        command,
        env=tool_environment(),
        text=True,
        capture_output=True,
        check=False,
        timeout=300,
        **options,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@cache
def packages() -> Path:
    """Returns the folder that `make packages` would fill."""
    tool(sys.executable, str(PROTOS / "packages.py"), _built.name)
    return Path(_built.name)


def wheel() -> Path:
    """Returns the Python package."""
    return next(packages().glob("*.whl"))


@cache
def installed_clients() -> Path:
    """Returns a copy of the Node clients with the npm package beside what else they need.

    The package is unpacked there and not installed by npm, which would write where it came from
    into the clients' lock.
    """
    install(CLIENTS)
    copy = Path(_built.name, "clients")
    shutil.copytree(CLIENTS, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").mkdir()
    for package in (CLIENTS / "node_modules").iterdir():
        (copy / "node_modules" / package.name).symlink_to(package)
    with tarfile.open(next(packages().glob("*.tgz"))) as archive:
        for member in archive.getmembers():
            member.name = member.name.removeprefix("package/")
            archive.extract(member, copy / PACKAGE, filter="data")
    return copy
