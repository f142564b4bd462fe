"""training-service archive and restore as processes: killed at every step, and with a real S3."""

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from calisthenics.training.v1 import session_pb2 as pb
from click.testing import Result
from moto.server import ThreadedMotoServer
from pyarrow import parquet
from typer.testing import CliRunner

from tests.conftest import prepared
from tests.support import (
    Athlete,
    RunningService,
    a_session,
    at,
    failpoints_of,
    running_service,
)
from training_service import failpoint
from training_service.archive.store import open_store
from training_service.cli import app
from training_service.settings import Settings, SettingsError
from training_service.storage import archiving
from training_service.storage.archiving import OBJECT_SESSIONS

LONG_AGO = "2020-01-01T12:00:00"
BUCKET = "training-archive"


@pytest.fixture(scope="session")
def database_url(make_database: Callable[[], str]) -> str:
    """A database of its own: elsewhere, services know nothing of this archive."""
    return prepared(make_database())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archive")


@pytest.fixture(scope="module")
def service(database_url: str, folder: Path) -> Iterator[RunningService]:
    """A service with the archive of this module."""
    with running_service(database_url, archive_url=folder.as_uri()) as running:
        yield running


@dataclass
class Command:
    """The command for one athlete, on an archive."""

    environment: dict[str, str]
    athlete: Athlete

    def run(self, command: str, *options: str, crash_at: str = "") -> int:
        """Runs it as a process of its own and returns how it ended."""
        crash = {failpoint.VARIABLE: crash_at} if crash_at else {}
        ended = subprocess.run(
            [
                sys.executable,
                "-m",
                "training_service",
                command,
                "--user",
                self.athlete.id,
                *options,
            ],
            env={**os.environ, **self.environment, **crash},
            capture_output=True,
            timeout=120,
        )
        assert crash_at or ended.returncode == 0, ended.stderr
        return ended.returncode


@pytest.fixture
def command(database_url: str, folder: Path, alice: Athlete) -> Command:
    environment = {
        "TRAINING_DATABASE_URL": database_url,
        "TRAINING_ARCHIVE_URL": folder.as_uri(),
    }
    return Command(environment, alice)


def logged(athlete: Athlete, count: int = 3) -> list[pb.Session]:
    """Returns old sessions of an athlete, and one of now."""
    requests = [
        pb.LogSessionRequest(session=a_session(start_time=at(LONG_AGO), notes=str(n)))
        for n in range(count)
    ]
    athlete.sessions.BatchLogSessions(pb.BatchLogSessionsRequest(requests=requests[:500]))
    if rest := requests[500:]:
        athlete.sessions.BatchLogSessions(pb.BatchLogSessionsRequest(requests=rest))
    athlete.log(a_session())
    return all_of(athlete)


def all_of(athlete: Athlete) -> list[pb.Session]:
    stream = athlete.sessions.ExportSessions(pb.ExportSessionsRequest())
    return [session for message in stream for session in message.sessions]


@dataclass
class State:
    """What the database and the store hold of an athlete."""

    hot: int
    cold: int
    rows: set[str]
    """Keys that the database knows."""
    objects: set[str]
    """Keys in the store."""


def state_of(owner: psycopg.Connection, folder: Path, athlete: Athlete) -> State:
    query = """
        SELECT count(record), count(archive_object_id), coalesce(max(prefix), '-') FROM
            training.sessions LEFT JOIN (
                SELECT external_user_id, split_part(key, '/', 1) AS prefix
                FROM training.archive_objects GROUP BY 1, 2
            ) AS objects USING (external_user_id)
        WHERE external_user_id = %s
    """
    [(hot, cold, prefix)] = owner.execute(query, [athlete.id])
    keys = "SELECT key FROM training.archive_objects WHERE external_user_id = %s"
    rows = {key for (key,) in owner.execute(keys, [athlete.id])}
    objects = {file.relative_to(folder).as_posix() for file in folder.glob(f"{prefix}/*")}
    return State(hot, cold, rows, objects)


def sessions_in(folder: Path, keys: set[str]) -> Counter[str]:
    """Returns how often each session is in objects."""
    found: Counter[str] = Counter()
    for key in keys:
        found.update(parquet.read_table(folder / key)["session_id"].to_pylist())
    return found


ARCHIVE_STEPS = ["read", "written", "verified", "taken", "committed"]
RESTORE_STEPS = ["fetched", "put back", "restored", "deleted"]


def test_no_step_is_forgotten() -> None:
    assert failpoints_of(archiving) == [*ARCHIVE_STEPS, *RESTORE_STEPS]


@pytest.mark.parametrize("step", ARCHIVE_STEPS)
def test_killed_at_any_step_of_archiving_nothing_is_lost_or_doubled(
    step: str, command: Command, alice: Athlete, folder: Path, owner: psycopg.Connection
) -> None:
    before = logged(alice)
    assert command.run("archive", crash_at=step) == -signal.SIGKILL
    # Whatever was done, a reader sees no difference.
    assert all_of(alice) == before
    assert command.run("archive") == 0
    state = state_of(owner, folder, alice)
    assert (state.hot, state.cold) == (1, 3)
    assert len(state.rows) == 1
    assert state.objects == state.rows
    old = {one.id for one in before if one.local_date.year == 2020}
    assert sessions_in(folder, state.objects) == Counter(old)
    assert all_of(alice) == before


@pytest.mark.parametrize("step", RESTORE_STEPS)
def test_killed_at_any_step_of_restoring_nothing_is_lost_or_doubled(
    step: str, command: Command, alice: Athlete, folder: Path, owner: psycopg.Connection
) -> None:
    before = logged(alice)
    command.run("archive")
    prefix = next(iter(state_of(owner, folder, alice).rows)).partition("/")[0]
    assert command.run("restore", crash_at=step) == -signal.SIGKILL
    assert all_of(alice) == before
    assert command.run("restore") == 0
    state = state_of(owner, folder, alice)
    assert (state.hot, state.cold, state.rows) == (4, 0, set())
    assert list(folder.glob(f"{prefix}/*")) == []
    assert all_of(alice) == before


@pytest.mark.parametrize("step", ["written:2", "taken:2", "committed:1"])
def test_killed_between_two_objects_the_next_run_goes_on_behind_the_first(
    step: str, command: Command, alice: Athlete, folder: Path, owner: psycopg.Connection
) -> None:
    count = OBJECT_SESSIONS + 2
    before = logged(alice, count)
    assert command.run("archive", crash_at=step) == -signal.SIGKILL
    state = state_of(owner, folder, alice)
    assert (state.hot, state.cold, len(state.rows)) == (3, OBJECT_SESSIONS, 1)
    first = state.rows
    assert command.run("archive") == 0
    state = state_of(owner, folder, alice)
    assert (state.hot, state.cold, len(state.rows)) == (1, count, 2)
    assert state.rows > first
    assert state.objects == state.rows
    assert set(sessions_in(folder, state.objects).values()) == {1}
    assert all_of(alice) == before


def test_a_half_written_object_is_removed(
    command: Command, alice: Athlete, folder: Path, owner: psycopg.Connection
) -> None:
    """Obstore writes beside the name and renames; a killed writer leaves the half."""
    logged(alice)
    command.run("archive", crash_at="written")
    [orphan] = [file for file in folder.glob("*/*") if file.stat().st_mtime == newest_time(folder)]
    orphan.rename(orphan.with_name(f"{orphan.name}#1"))
    command.run("archive")
    state = state_of(owner, folder, alice)
    assert state.objects == state.rows
    assert len(state.rows) == 1


def newest_time(folder: Path) -> float:
    return max(file.stat().st_mtime for file in folder.glob("*/*"))


def test_two_runs_at_once_take_turns(
    command: Command, alice: Athlete, folder: Path, owner: psycopg.Connection
) -> None:
    before = logged(alice, OBJECT_SESSIONS + 2)
    arguments = [sys.executable, "-m", "training_service", "archive", "--user", alice.id]
    running = [
        subprocess.Popen(
            arguments, env={**os.environ, **command.environment}, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    state = state_of(owner, folder, alice)
    assert state.cold == OBJECT_SESSIONS + 2
    assert state.objects == state.rows
    assert set(sessions_in(folder, state.objects).values()) == {1}
    assert all_of(alice) == before


@pytest.fixture
def invoke(command: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command in this process."""
    for name, value in command.environment.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def test_the_commands_say_what_they_did(
    invoke: Callable[..., Result], alice: Athlete, folder: Path
) -> None:
    logged(alice)
    user = ("--user", alice.id)
    said = invoke("archive", *user, "--dry-run")
    assert said.exit_code == 0
    assert "would archive: 3 sessions" in said.stderr
    assert "0 sessions" in invoke("archive", *user, "--before", "2020-01-01").stderr
    said = invoke("archive", *user)
    assert said.exit_code == 0, said.output
    assert "archived: 3 sessions" in said.stderr
    assert "in 1 objects" in said.stderr
    assert "restored: 0 sessions" in invoke("restore", *user, "--from", "2020-01-02").stderr
    said = invoke("restore", *user, "--from", "2020-01-01", "--to", "2020-01-02")
    assert "restored: 3 sessions from 1 objects" in said.stderr
    assert invoke("restore", *user, "--from", "yesterday").exit_code == 2


def test_what_is_wrong_ends_the_commands_with_words(
    invoke: Callable[..., Result],
    alice: Athlete,
    folder: Path,
    owner: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged(alice)
    user = ("--user", alice.id)
    invoke("archive", *user)
    [key] = state_of(owner, folder, alice).rows
    (folder / key).write_bytes(b"something else")
    said = invoke("restore", *user)
    assert said.exit_code == 1
    assert f"{key} has not the checksum it had" in said.stderr.replace("\n", "")
    monkeypatch.setenv("TRAINING_ARCHIVE_URL", "/no/url")
    assert invoke("archive", *user).exit_code == 2
    monkeypatch.setenv("TRAINING_ARCHIVE_URL", "s3://")
    said = invoke("archive", *user)
    assert said.exit_code == 2
    assert "TRAINING_ARCHIVE_URL" in said.stderr


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that speaks S3, with a bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    create = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")
    urllib.request.urlopen(create).close()
    for name, value in {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield address
    server.stop()


def keys_in(address: str) -> list[str]:
    with urllib.request.urlopen(f"{address}/{BUCKET}?list-type=2") as answer:
        text: str = answer.read().decode()
    return [part.partition("<")[0] for part in text.split("<Key>")[1:]]


def test_an_s3_server_holds_the_archive(
    s3: str, database_url: str, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{BUCKET}/cold"
    environment = {"TRAINING_DATABASE_URL": database_url, "TRAINING_ARCHIVE_URL": url}
    with running_service(database_url, archive_url=url) as service:
        alice = Athlete(service.address)
        command = Command(environment, alice)
        before = logged(alice)
        for step in ARCHIVE_STEPS:
            assert command.run("archive", crash_at=step) == -signal.SIGKILL
            assert all_of(alice) == before
        command.run("archive")
        [key] = keys_in(s3)
        prefix, place, name = key.split("/")
        assert prefix == "cold"
        assert len(place) == 32
        assert UUID(name.removesuffix(".parquet"))
        assert all_of(alice) == before
        for step in RESTORE_STEPS:
            command.run("restore", crash_at=step)
            assert all_of(alice) == before
        command.run("restore")
        assert keys_in(s3) == []
        assert all_of(alice) == before
        alice.close()


def test_credentials_of_a_store_may_be_files(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        (tmp_path / name).write_text("test\n")
        monkeypatch.delenv(name)
    url = f"s3://{BUCKET}/cold"

    async def put(**settings: object) -> None:
        await open_store(Settings(archive_url=url, **settings)).put("a", b"1")  # type: ignore[arg-type]

    asyncio.run(put(secrets_directory=tmp_path))
    assert keys_in(s3) == ["cold/a"]
    (tmp_path / "AWS_SECRET_ACCESS_KEY").unlink()
    with pytest.raises(SettingsError, match="TRAINING_ARCHIVE_URL"):
        asyncio.run(put(secrets_directory=tmp_path))


def test_no_answer_from_s3_is_an_answer(
    s3: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{BUCKET}/cold"
    environment = {"TRAINING_DATABASE_URL": database_url, "TRAINING_ARCHIVE_URL": url}
    with running_service(database_url, archive_url=url) as service:
        alice = Athlete(service.address)
        logged(alice)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        said = CliRunner().invoke(app, ["archive", "--user", alice.id])
        assert said.exit_code == 1
        assert "archive does not answer" in said.stderr
        alice.close()
