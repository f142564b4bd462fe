"""Writes the client packages under `generated/`: Python and TypeScript.

What is written by hand of them (metadata, README, a few helpers) lies in `packages/`. In the files
that end in .in, `{{name}}` stands for what is known elsewhere: the version, and what generated code
needs. The TypeScript tools are npm packages, locked in `package-lock.json`.

    python protos/clients.py FOLDER    installs what the package-lock.json in a folder says
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from google.protobuf import descriptor_pb2
from service_config import write_service_config

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent
TEMPLATES = PROTOS / "packages"
SERVICE_CONFIG = "calisthenics/training/v1/service_config.json"
PACKAGE = "calisthenics.training.v1"
# What TypeScript needs beside our contracts: types of their fields, and details of refusals.
IMPORTED = (
    "google/api/httpbody.proto",
    "google/protobuf/any.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/field_mask.proto",
    "google/protobuf/timestamp.proto",
    "google/rpc/error_details.proto",
    "google/rpc/status.proto",
    "google/type/date.proto",
    "google/type/dayofweek.proto",
)


def write_clients(image: Path, target: Path) -> None:
    """Writes everything client packages have beyond the Python stubs, which are there already."""
    write_service_config(image, target / SERVICE_CONFIG)
    write_templates(TEMPLATES / "python", target, python_facts(target))
    typescript = target / "typescript"
    write_templates(TEMPLATES / "typescript", typescript, typescript_facts())
    generate_typescript(image, typescript / "src")
    write_contract_index(image, typescript / "src")


def write_templates(source: Path, target: Path, facts: dict[str, str]) -> None:
    """Copies a folder of templates, filling in what those named .in leave open."""
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        text = path.read_text()
        if path.suffix == ".in":
            for name, value in facts.items():
                text = text.replace(f"{{{{{name}}}}}", value)
        copy = target / str(path.relative_to(source)).removesuffix(".in")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)


def python_facts(target: Path) -> dict[str, str]:
    """Returns version and requirements: those the generated code checks when it is imported."""
    stubs = target / "calisthenics" / "training" / "v1"
    protobuf = _found(r"Protobuf Python Version: (\S+)", stubs / "session_pb2.py")
    project = _project()
    return {
        "version": project["version"],
        "requires-python": project["requires-python"],
        "grpcio": _found(r"GRPC_GENERATED_VERSION = '(.+)'", stubs / "session_pb2_grpc.py"),
        "protobuf": protobuf,
        # A runtime takes code generated for its own major version.
        "next-protobuf": str(int(protobuf.split(".")[0]) + 1),
        "googleapis-common-protos": next(
            d for d in project["dependencies"] if d.startswith("googleapis-common-protos")
        ),
    }


def typescript_facts() -> dict[str, str]:
    """Returns the version, and the versions of libraries the client is compiled with."""
    tools = json.loads((PROTOS / "package.json").read_text())["devDependencies"]
    return {"version": _project()["version"], **tools}


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _found(pattern: str, path: Path) -> str:
    match = re.search(pattern, path.read_text())
    if match is None:
        sys.exit(f"{path.name} does not say which version it needs")
    return match[1]


def tool_environment() -> dict[str, str]:
    """Returns an environment in which node, npm and buf are those of this Python environment."""
    tools = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": os.pathsep.join([tools, os.environ.get("PATH", "")])}


def install(folder: Path) -> None:
    """Installs what a package-lock.json says, unless node_modules is as new as the lock."""
    lock = folder / "package-lock.json"
    # npm writes this when it has finished, so that a broken-off installation counts as none.
    installed = folder / "node_modules" / ".package-lock.json"
    with lock.open() as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            run("npm", "ci", *options, cwd=folder)


def run(*command: str, cwd: Path = ROOT) -> None:
    """Runs a tool of this environment; what it says is shown only when it fails."""
    tools = tool_environment()
    program = shutil.which(command[0], path=tools["PATH"]) or command[0]
    done = subprocess.run(
        [program, *command[1:]],
        cwd=cwd,
        env=tools,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")


def generate_typescript(image: Path, target: Path) -> None:
    """Writes messages and clients in TypeScript."""
    install(PROTOS)
    paths = [PACKAGE.replace(".", "/"), *IMPORTED]
    chosen = [argument for path in paths for argument in ("--path", path)]
    template = str(PROTOS / "buf.gen.yaml")
    run("buf", "generate", str(image), "--template", template, "--output", str(target), *chosen)


def write_contract_index(image: Path, target: Path) -> None:
    """Writes a module that exports every name of the contracts.

    ts-proto's files can't be exported whole: each has helpers of the same names.
    """
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
    lines = ["// Generated from the contracts. DO NOT EDIT.", ""]
    for file in files:
        if file.package == PACKAGE:
            module = file.name.removesuffix(".proto")
            exported = "".join(f"  {name},\n" for name in sorted(_names(file)))
            lines.append(f'export {{\n{exported}}} from "./{module}";')
    (target / "contract.ts").write_text("\n".join(lines) + "\n")


def _names(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    """Yields the names ts-proto gives to what a file declares."""
    yield from (enum.name for enum in file.enum_type)
    for service in file.service:
        yield from (service.name + role for role in ("Client", "Server", "Service"))
    for message in file.message_type:
        yield message.name
        nested = (*message.nested_type, *message.enum_type)
        yield from (f"{message.name}_{inner.name}" for inner in nested)


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        install(Path(folder).resolve())
