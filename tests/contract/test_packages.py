"""The packages siblings install: complete, typed, and able to call the service from nothing."""

import json
import re
import subprocess
import sys
import tarfile
import tomllib
import uuid
import venv
import zipfile
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from tests.packages import CLIENTS, PACKAGE, PROTOS, ROOT, installed_clients, packages, tool, wheel
from tests.support import RunningService

SIBLING = """
import importlib
import sys
from importlib.resources import files

import grpc

address, athlete, *modules = sys.argv[1:]
for name in modules:
    importlib.import_module(name)

from calisthenics.training.v1 import exercise_pb2, exercise_pb2_grpc, session_pb2, session_pb2_grpc

config = files("calisthenics.training.v1").joinpath("service_config.json").read_text()
with grpc.insecure_channel(address, options=[("grpc.service_config", config)]) as channel:
    exercises = exercise_pb2_grpc.ExerciseServiceStub(channel)
    exercise = exercises.GetExercise(exercise_pb2.GetExerciseRequest(exercise="pull-up"))
    session = session_pb2.Session(
        start_time={"seconds": 1772442000},
        time_zone="Europe/Berlin",
        exercises=[{"exercise_id": exercise.id, "sets": [{"actual_reps": 6}]}],
    )
    sessions = session_pb2_grpc.SessionServiceStub(channel)
    metadata = [("x-external-user-id", athlete)]
    sessions.LogSession(session_pb2.LogSessionRequest(session=session), metadata=metadata)
    page = sessions.ListSessions(session_pb2.ListSessionsRequest(), metadata=metadata)
    export = sessions.ExportSessions(session_pb2.ExportSessionsRequest(), metadata=metadata)
    exported = [session.id for message in export for session in message.sessions]
assert exported == [session.id for session in page.sessions], exported
print(len(exported))
"""


def run(*command: object) -> str:
    """Runs a program without this environment's own settings of Python."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sibling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the Python package and what it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("sibling")
    venv.create(folder, with_pip=False, symlinks=True)
    # At the versions of this environment, so that a release elsewhere can't fail this test.
    wanted = ("googleapis-common-protos", "grpcio", "protobuf")
    pins = folder / "constraints.txt"
    pins.write_text("".join(f"{name}=={version(name)}\n" for name in wanted))
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python"]
    run(*pip, "install", "--quiet", "--constraint", pins, wheel())
    return folder


def test_python_package_calls_the_service(sibling: Path, service: RunningService) -> None:
    with zipfile.ZipFile(wheel()) as archive:
        code = [name for name in archive.namelist() if name.endswith(".py")]
    modules = [name.removesuffix(".py").replace("/", ".") for name in code]
    assert "calisthenics.training.v1.session_pb2_grpc" in modules
    python = sibling / "bin" / "python"
    assert run(python, "-c", SIBLING, service.address, uuid.uuid4(), *modules) == "1\n"


def test_python_package_needs_three_others() -> None:
    with zipfile.ZipFile(wheel()) as archive:
        name = next(n for n in archive.namelist() if n.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    needed = [r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert {re.split(r"[<>=]", requirement)[0] for requirement in needed} == {
        "googleapis-common-protos",
        "grpcio",
        "protobuf",
    }


def test_python_package_has_the_service_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert wheel().name.split("-")[1] == project["version"]


def test_python_package_is_typed(sibling: Path, tmp_path: Path) -> None:
    code = tmp_path / "sibling.py"
    code.write_text(
        "from calisthenics.training.v1.session_pb2 import Session\n"
        "reveal_type(Session().session_rpe)\n"
        "Session(time_zone=1)\n"
    )
    mypy = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file="]
    checked = subprocess.run(
        [*mypy, "--python-executable", str(sibling / "bin" / "python"), str(code)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert 'Revealed type is "float"' in checked.stdout.replace("builtins.", "")
    assert 'has incompatible type "int"; expected "str"' in checked.stdout, checked.stdout


def test_python_package_has_types_and_contracts_beside_its_code() -> None:
    names = set(zipfile.ZipFile(wheel()).namelist())
    assert {"buf/py.typed", "calisthenics/py.typed"} <= names
    for module in [name for name in names if name.endswith("_pb2.py")]:
        assert module + "i" in names
        assert module.replace("_pb2.py", ".proto") in names


def test_packages_hold_nothing_of_this_machine() -> None:
    with tarfile.open(next(packages().glob("*.tgz"))) as archive:
        texts = [archive.extractfile(m).read() for m in archive.getmembers()]  # type: ignore[union-attr]
    with zipfile.ZipFile(wheel()) as archive:
        texts += [archive.read(name) for name in archive.namelist()]
    assert not [text for text in texts if str(ROOT).encode() in text]


def test_contracts_as_text_mean_what_ours_mean(tmp_path: Path) -> None:
    tree = installed_clients() / PACKAGE / "proto"
    ours = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.glob("calisthenics/**/*.proto"))
    image = tmp_path / "image.binpb"
    # In a process of its own: protoc would find the contracts this one has imported.
    protoc = (sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={tree}")
    tool(*protoc, "--include_source_info", f"--descriptor_set_out={image}", *ours)
    compiled = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    known = descriptor_pb2.FileDescriptorSet.FromString(
        (ROOT / "generated" / "training.binpb").read_bytes()
    )
    expected = {file.name: file for file in known.file}
    assert sorted(file.name for file in compiled.file) == ours
    for file in compiled.file:
        assert file == expected[file.name]


@pytest.mark.parametrize("folder", [PROTOS, CLIENTS], ids=["tools", "clients"])
def test_npm_locks_name_no_registry(folder: Path) -> None:
    lock = json.loads((folder / "package-lock.json").read_text())
    packages = {path: package for path, package in lock["packages"].items() if path}
    assert packages
    for path, package in packages.items():
        assert "resolved" not in package, path
        assert package["integrity"].startswith("sha512-"), path
