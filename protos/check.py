"""Checks the contracts: style, layout, compatibility, and that generated/ is what they generate.

    python protos/check.py

Compatibility is judged against the descriptor set committed with the newest release tag.
"""

import filecmp
import subprocess
import sys
import tempfile
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


def release_image(folder: Path) -> Path | None:
    """Returns the descriptor set of the newest release, None before the first."""
    tag = subprocess.run(
        ["git", "describe", "--tags", "--abbrev=0", "--match", "v*"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if not tag:
        return None
    image = folder / "released.binpb"
    path = f"{tag}:{IMAGE.relative_to(ROOT)}"
    image.write_bytes(subprocess.check_output(["git", "show", path], cwd=ROOT))  # noqa: S607
    return image


def is_compatible() -> bool:
    """Returns whether callers of the newest release can go on calling."""
    with tempfile.TemporaryDirectory() as folder:
        released = release_image(Path(folder))
        if released is None:
            print("no release yet: nothing to be compatible with")
            return True
        image = str(IMAGE)
        return run(BUF, "breaking", image, "--against", str(released), "--path", PACKAGE_PATH)


def main() -> None:
    """Runs all checks and fails if one does."""
    results = {
        "buf lint": run(BUF, "lint", str(IMAGE), "--path", PACKAGE_PATH),
        "buf format": run(BUF, "format", "--diff", "--exit-code", "protos"),
        "generated/ up to date": is_up_to_date(),
        "compatible with the last release": is_compatible(),
    }
    for name, passed in results.items():
        print(f"{'ok  ' if passed else 'FAIL'} {name}")
    if not all(results.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
