"""Checks the contracts: style, layout, compatibility, and that generated/ is what they generate.

    python protos/check.py

Compatibility is judged against the descriptor set committed at the git revision in BREAKING_BASE,
else with the newest release, else with the commit before. Until 1.0 a break is shown and allowed.
"""

import filecmp
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from generate import GENERATED, IMAGE, PROTOS, generate_all

ROOT = PROTOS.parent
PACKAGE_PATH = "calisthenics/training/v1"
BUF = str(Path(sys.executable).parent / "buf")


def run(*command: str) -> bool:
    """Runs a command, showing what it prints; returns whether it succeeded."""
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def is_up_to_date() -> bool:
    """Returns whether generated/ equals a fresh generation, byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate_all(fresh)
        made = {p.relative_to(fresh) for p in fresh.rglob("*") if p.is_file()}
        kept = {
            p.relative_to(GENERATED)
            for p in GENERATED.rglob("*")
            if p.is_file() and p.suffix != ".pyc"
        }
        stale = {p for p in made & kept if not filecmp.cmp(fresh / p, GENERATED / p, shallow=False)}
        for path in sorted((made ^ kept) | stale):
            print(f"generated/{path} is not what `make generate` makes")
        return not (made ^ kept) and not stale


def git(*arguments: str) -> bytes | None:
    """Returns what a git command prints, None when it fails or there is no git."""
    try:
        return subprocess.check_output(
            ["git", *arguments],  # noqa: S607
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def base_revision() -> str:
    """Returns what to compare with: BREAKING_BASE, the newest release, or the commit before."""
    release = git("describe", "--tags", "--abbrev=0", "--match", "v*")
    return os.environ.get("BREAKING_BASE") or (release.decode().strip() if release else "HEAD~1")


def is_compatible() -> bool:
    """Returns whether callers of the base can go on calling; until 1.0 a break is only shown."""
    base = base_revision()
    image = git("show", f"{base}:{IMAGE.relative_to(ROOT)}")
    if image is None:
        print(f"no descriptor set at {base}: nothing to be compatible with")
        return True
    with tempfile.TemporaryDirectory() as folder:
        against = Path(folder, "base.binpb")
        against.write_bytes(image)
        command = [BUF, "breaking", str(IMAGE), "--against", str(against), "--path", PACKAGE_PATH]
        if run(*command):
            return True
    print(f"the contract breaks with {base}: say so in CHANGELOG.md")
    return is_before_first_release()


def is_before_first_release() -> bool:
    """Returns whether the version is below 1.0."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"]).startswith("0.")


def main() -> None:
    """Runs all checks and fails if one does."""
    results = {
        "buf lint": run(BUF, "lint", str(IMAGE), "--path", PACKAGE_PATH),
        "buf format": run(BUF, "format", "--diff", "--exit-code", "protos"),
        "generated/ up to date": is_up_to_date(),
        "compatible with the base": is_compatible(),
    }
    for name, passed in results.items():
        print(f"{'ok  ' if passed else 'FAIL'} {name}")
    if not all(results.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
