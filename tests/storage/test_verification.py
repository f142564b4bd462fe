"""`training-service verify` where somebody tampered with data: it names that, and only that."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from calisthenics.training.v1 import session_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from typer.testing import CliRunner

from tests.conftest import prepared
from tests.support import PULL_UP, PUSH_UP, Athlete, a_session, running_service
from training_service.cli import app

SESSIONS = 6


@pytest.fixture(scope="module")
def filled(make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> "Filled":
    """A database in which two athletes trained."""
    url = prepared(make_database())
    with running_service(url) as service:
        athletes = [Athlete(service.address) for _ in range(2)]
        for athlete in athletes:
            athlete.create_workout()
            logged = [athlete.log(trained(n)) for n in range(SESSIONS)]
            athlete.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=logged[0].id))
            athlete.sessions.AmendSession(
                session_pb2.AmendSessionRequest(session_id=logged[1].id, session=trained(1))
            )
            batch = [session_pb2.LogSessionRequest(session=trained(n)) for n in (10, 11)]
            athlete.sessions.BatchLogSessions(session_pb2.BatchLogSessionsRequest(requests=batch))
        ids = [UUID(athlete.id) for athlete in athletes]
        for athlete in athletes:
            athlete.close()
    return Filled(url, *ids, tmp_path_factory.mktemp("data"))


class Filled:
    """A database, whose athletes' they are, and a data directory for the archive."""

    def __init__(self, url: str, alice: UUID, bob: UUID, folder: Path) -> None:
        self.url, self.alice, self.bob, self.folder = url, alice, bob, folder


def trained(number: int) -> session_pb2.Session:
    start = Timestamp()
    start.FromJsonString(f"2026-01-{number + 5:02}T10:00:00Z")
    return a_session(
        start_time=start,
        time_zone="Europe/Berlin",
        exercises=[
            session_pb2.SessionExercise(
                exercise_id=one, sets=[session_pb2.PerformedSet(actual_reps=5 + number, rpe=8)] * 2
            )
            for one in (PULL_UP, PUSH_UP)
        ],
    )


@pytest.fixture
def owner(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> Iterator[psycopg.Connection]:
    """The owner, whose changes are undone at the end."""
    monkeypatch.setenv("TRAINING_DATABASE_URL", filled.url)
    monkeypatch.setenv("TRAINING_DATA_DIRECTORY", str(filled.folder))
    monkeypatch.setenv("TRAINING_LOG_LEVEL", "ERROR")
    with psycopg.connect(filled.url, autocommit=True) as connection:
        saved = {
            table: connection.execute(f"SELECT * FROM training.{table} ORDER BY 1, 2").fetchall()
            for table in TABLES
        }
        yield connection
        for table in reversed(TABLES):
            connection.execute(f"DELETE FROM training.{table}")
        for table, rows in saved.items():
            for row in rows:
                places = ", ".join(["%s"] * len(row))
                connection.execute(f"INSERT INTO training.{table} VALUES ({places})", row)


TABLES = (
    *("sessions", "session_exercises", "session_retractions", "session_metrics"),
    *("exercise_metrics", "personal_records", "session_links", "session_chains"),
    *("workouts", "workout_revisions", "workout_exercises"),
)
"""Those that others refer to come first."""


def verify(*options: str) -> tuple[int, list[str]]:
    """Returns the exit code and the findings."""
    result = CliRunner().invoke(app, ["verify", "--show-ids", *options])
    return result.exit_code, result.stdout.splitlines()


def newest(owner: psycopg.Connection, user: UUID) -> UUID:
    query = "SELECT id FROM training.sessions WHERE external_user_id = %s ORDER BY id DESC LIMIT 1"
    [(id,)] = owner.execute(query, [user])
    assert isinstance(id, UUID)
    return id


def flipped(owner: psycopg.Connection, session: UUID) -> bytes:
    """Returns the record of a session with its last bit changed."""
    [(record,)] = owner.execute("SELECT record FROM training.sessions WHERE id = %s", [session])
    return bytes([*record[:-1], record[-1] ^ 1])


def test_nothing_is_wrong_with_what_the_service_stored(
    owner: psycopg.Connection, tmp_path: Path
) -> None:
    report = tmp_path / "report.json"
    assert verify(f"--report={report}") == (0, [])
    assert json.loads(report.read_text()) == {"athletes": 2, "findings": []}
    assert verify("--sample=1") == (0, [])


ONE = "external_user_id = %(user)s AND {} = %(session)s"
TAMPERING = {
    "a flipped byte of a record": (
        "UPDATE training.sessions SET record = %(flipped)s WHERE " + ONE.format("id"),
        {
            "RECORD_CHANGED sessions",
            "TOTAL_DIFFERS session_metrics",
            "TOTAL_DIFFERS exercise_metrics",
        },
        1,
    ),
    "a record that is none": (
        "UPDATE training.sessions SET record = '\\xffff' WHERE " + ONE.format("id"),
        {"RECORD_CHANGED sessions", "RECORD_UNREADABLE sessions"},
        2,
    ),
    "a changed column": (
        "UPDATE training.sessions SET duration_seconds = 1, completion = 'STOPPED_EARLY' WHERE "
        + ONE.format("id"),
        {"COLUMN_DIFFERS sessions (duration_seconds, completion)"},
        1,
    ),
    "a deleted child row": (
        "DELETE FROM training.session_exercises WHERE position = 2 AND " + ONE.format("session_id"),
        {"CHILD_ROWS_DIFFER session_exercises"},
        1,
    ),
    "a changed child row": (
        "UPDATE training.session_exercises SET set_count = 9 WHERE position = 1 AND "
        + ONE.format("session_id"),
        {"CHILD_ROWS_DIFFER session_exercises"},
        1,
    ),
    "an edited total": (
        "UPDATE training.session_metrics SET effective_reps = effective_reps + 1 WHERE "
        + ONE.format("session_id"),
        {"TOTAL_DIFFERS session_metrics (effective_reps)"},
        1,
    ),
    "a total that is gone": (
        "DELETE FROM training.session_metrics WHERE " + ONE.format("session_id"),
        {"TOTAL_DIFFERS session_metrics (rows)"},
        1,
    ),
    "an edited total of an exercise": (
        "UPDATE training.exercise_metrics SET hard_sets = 0 WHERE position = 1 AND "
        + ONE.format("session_id"),
        {"TOTAL_DIFFERS exercise_metrics (hard_sets)"},
        1,
    ),
    "a link that is gone": (
        "DELETE FROM training.session_links WHERE " + ONE.format("session_id"),
        {"NOT_LINKED sessions", "CHAIN_BROKEN session_chains (another end)"},
        2,
    ),
    "another digest in a link": (
        "UPDATE training.session_links SET record_digest = sha256('x') WHERE "
        + ONE.format("session_id"),
        {"RECORD_CHANGED sessions", "CHAIN_BROKEN session_chains (another end)"},
        2,
    ),
}


@pytest.mark.parametrize("name", TAMPERING)
def test_what_was_tampered_with_is_named(
    owner: psycopg.Connection, filled: Filled, name: str
) -> None:
    statement, expected, least = TAMPERING[name]
    session = newest(owner, filled.alice)
    values = {"user": filled.alice, "session": session, "flipped": flipped(owner, session)}
    changed = owner.execute(statement, values)
    assert changed.rowcount == 1
    code, found = verify()
    assert code == 1
    assert len(found) >= least
    for line in found:
        kind, user, table, *rest = line.split(" ", 3)
        assert user == str(filled.alice)
        words = " ".join([kind, table, *rest]).replace(f"{session} ", "").replace(f" {session}", "")
        assert any(words.startswith(one) for one in expected), line
    assert str(filled.bob) not in "".join(found)


def test_a_personal_record_that_nobody_reached(owner: psycopg.Connection, filled: Filled) -> None:
    owner.execute(
        "UPDATE training.personal_records SET value = 99 WHERE kind = 'MOST_REPS'"
        " AND external_user_id = %s AND exercise_id = %s",
        [filled.alice, PULL_UP],
    )
    code, found = verify()
    assert code == 1
    assert found == [
        f"PERSONAL_RECORD_DIFFERS {filled.alice} personal_records {PULL_UP} (MOST_REPS)"
    ]


def test_a_session_that_is_gone(owner: psycopg.Connection, filled: Filled) -> None:
    session = newest(owner, filled.alice)
    for table in ("session_metrics", "exercise_metrics", "session_exercises"):
        owner.execute(f"DELETE FROM training.{table} WHERE session_id = %s", [session])
    owner.execute("DELETE FROM training.sessions WHERE id = %s", [session])
    code, found = verify()
    assert code == 1
    assert f"LINK_WITHOUT_SESSION {filled.alice} session_links {session}" in found


def test_links_that_changed_places(owner: psycopg.Connection, filled: Filled) -> None:
    _swap(owner, filled.alice)
    code, found = verify()
    assert code == 1
    assert found == [f"CHAIN_BROKEN {filled.alice} session_chains (another end)"]


def _swap(owner: psycopg.Connection, user: UUID) -> None:
    rows = owner.execute(
        "DELETE FROM training.session_links WHERE external_user_id = %s AND block IN (2, 3)"
        " RETURNING block, position, session_id, record_digest",
        [user],
    ).fetchall()
    for block, position, session_id, digest in rows:
        owner.execute(
            "INSERT INTO training.session_links VALUES (%s, %s, %s, %s, %s)",
            [user, 5 - block, position, session_id, digest],
        )


def test_a_workout_whose_rows_are_gone(owner: psycopg.Connection, filled: Filled) -> None:
    owner.execute(
        "DELETE FROM training.workout_exercises WHERE external_user_id = %s", [filled.bob]
    )
    code, found = verify()
    assert code == 1
    [line] = found
    assert line.startswith(f"CHILD_ROWS_DIFFER {filled.bob} workout_exercises")


def test_a_chain_made_anew_is_seen_by_who_kept_its_end(
    owner: psycopg.Connection, filled: Filled, tmp_path: Path
) -> None:
    heads = tmp_path / "heads.json"
    assert verify(f"--heads={heads}") == (0, [])
    assert len(json.loads(heads.read_text())) == 2
    assert verify(f"--heads={heads}") == (0, [])
    # Somebody who can write everything makes the chain anew; its blocks are others.
    for table in ("session_links", "session_chains"):
        owner.execute(f"DELETE FROM training.{table} WHERE external_user_id = %s", [filled.alice])
    assert CliRunner().invoke(app, ["link-sessions"]).exit_code == 0
    assert verify() == (0, [])
    code, found = verify(f"--heads={heads}")
    assert code == 1
    assert found == [f"HEAD_DIFFERS {filled.alice} session_chains"]
    heads.write_text("[]")
    assert verify(f"--heads={heads}")[0] == 2


def test_sessions_of_an_older_server_are_linked_later(
    owner: psycopg.Connection, filled: Filled
) -> None:
    for table in ("session_links", "session_chains"):
        owner.execute(f"DELETE FROM training.{table}")
    code, found = verify()
    assert code == 1
    assert {line.split()[0] for line in found} == {"NOT_LINKED"}
    result = CliRunner().invoke(app, ["link-sessions"])
    assert result.exit_code == 0
    assert f"{len(found)} sessions linked" in result.stderr
    assert verify() == (0, [])


def test_damaged_and_missing_objects_of_the_archive(
    owner: psycopg.Connection, filled: Filled
) -> None:
    assert CliRunner().invoke(app, ["archive", "--before", "2030-01-01"]).exit_code == 0
    whole = {file: file.read_bytes() for file in filled.folder.rglob("*.parquet")}
    try:
        assert verify() == (0, [])
        damaged, missing = sorted(whole)
        flipped = bytearray(whole[damaged])
        flipped[100] ^= 1
        damaged.write_bytes(flipped)
        missing.unlink()
        code, found = verify()
        assert code == 1
        assert sorted(" ".join((line.split()[0], *line.split()[4:])) for line in found) == [
            "ARCHIVE_OBJECT_DAMAGED (another checksum)",
            "ARCHIVE_OBJECT_DAMAGED (missing)",
        ]
        assert {damaged.stem, missing.stem} == {line.split()[3] for line in found}
    finally:
        for file, data in whole.items():
            file.write_bytes(data)
        for user in (filled.alice, filled.bob):
            CliRunner().invoke(app, ["restore", "--user", str(user)])
    assert verify() == (0, [])


def test_reports_name_athletes_by_pseudonyms(owner: psycopg.Connection, filled: Filled) -> None:
    owner.execute("DELETE FROM training.workout_exercises")
    result = CliRunner().invoke(app, ["verify"])
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    assert str(filled.alice) not in result.stdout


def test_without_a_database_it_could_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setenv("TRAINING_POOL_TIMEOUT_SECONDS", "0.5")
    assert CliRunner().invoke(app, ["verify"]).exit_code == 2
