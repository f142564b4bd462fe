"""Builds what siblings install: the Python wheel and the npm package of clients.

    python protos/packages.py [FOLDER]

Without a folder they go into dist/. Both carry the text of the contracts; in the wheel without
google/, which googleapis-common-protos has in the same place.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from clients import PROTOS, ROOT, SERVICE_CONFIG, install, run
from export import export

GENERATED = ROOT / "generated"
IMAGE = GENERATED / "training.binpb"


def build_wheel(target: Path) -> None:
    """Builds calisthenics-training-stubs."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        # A copy: building leaves files behind, and generated/ holds nothing but what is generated.
        ignored = shutil.ignore_patterns("__pycache__", "typescript")
        shutil.copytree(GENERATED, source, ignore=ignored)
        shutil.copyfile(ROOT / "LICENSE", source / "LICENSE")
        export(IMAGE, source)
        offline = ["--no-deps", "--no-build-isolation", "--quiet"]
        pip = [sys.executable, "-m", "pip", "wheel", *offline]
        run(*pip, "--wheel-dir", str(target), str(source))


def build_npm_package(target: Path) -> None:
    """Compiles and packs @calisthenics/training-client."""
    install(PROTOS)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        shutil.copytree(GENERATED / "typescript", source)
        shutil.copyfile(GENERATED / SERVICE_CONFIG, source / Path(SERVICE_CONFIG).name)
        shutil.copyfile(ROOT / "LICENSE", source / "LICENSE")
        export(IMAGE, source / "proto")
        (source / "node_modules").symlink_to(PROTOS / "node_modules")
        compiler = str(PROTOS / "node_modules" / "typescript" / "bin" / "tsc")
        run("node", compiler, "--project", str(source))
        pack = ["npm", "pack", "--ignore-scripts", "--loglevel=error"]
        run(*pack, "--pack-destination", str(target), cwd=source)


def main() -> None:
    """Builds both packages into a folder and names them."""
    target = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "dist"
    target.mkdir(parents=True, exist_ok=True)
    build_wheel(target)
    build_npm_package(target)
    for path in sorted(target.glob("calisthenics*")):
        print(path)


if __name__ == "__main__":
    main()
