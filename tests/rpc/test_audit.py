"""Access records: one for each call, and those of others' data and of administrators are kept."""

import json
import os
import uuid
from collections.abc import Iterator
from select import PIPE_BUF
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import (
    access_pb2,
    exercise_pb2,
    governance_pb2,
    roster_pb2,
    session_pb2,
)
from psycopg import errors
from psycopg.rows import dict_row
from structlog.testing import CapturingLogger
from typer.testing import CliRunner, Result

from tests.support import (
    Athlete,
    a_session,
    call_bytes,
    enter,
    eventually,
    grant,
    new_group,
    refused,
    revoke,
    running_service,
    waiting_count,
)
from training_service.cli import app
from training_service.errors import database_unavailable
from training_service.interceptors.audit import AccessLog
from training_service.pseudonym import Pseudonyms
from training_service.storage.audit import AuditRepository
from training_service.storage.session import SessionRepository

READ_SESSIONS = access_pb2.GRANT_SCOPE_READ_SESSIONS
LOG_SESSIONS = access_pb2.GRANT_SCOPE_LOG_SESSIONS
SESSIONS = "/calisthenics.training.v1.SessionService/"
KEYS = {
    "time",
    "request_id",
    "method",
    "status",
    "reason",
    "duration_ms",
    "caller",
    "caller_roles",
    "subject",
    "grant_id",
}


class World:
    """A service whose access records are caught, and people who call it."""

    def __init__(self, address: str, owner: psycopg.Connection, lines: list[bytes]) -> None:
        self.address = address
        self.lines = lines
        self._owner = owner
        self.alice = Athlete(address)
        self.coach = Athlete(address)
        self.admin = Athlete(address, roles="admin")
        self.sibling = Athlete(address, roles="service")
        [[key]] = owner.execute("SELECT pseudonym_key FROM training.installation").fetchall()
        self._pseudonyms = Pseudonyms(key)

    def name(self, athlete: Athlete) -> str:
        """Returns somebody's pseudonym."""
        return self._pseudonyms.of(uuid.UUID(athlete.id))

    def forget(self) -> None:
        """Begins anew."""
        self.lines.clear()
        self._owner.execute("DELETE FROM training.audit_records")

    def logged(self) -> list[dict[str, Any]]:
        """Returns what was written since."""
        return [json.loads(line) for line in self.lines]

    def stored(self) -> list[dict[str, Any]]:
        """Returns what was kept since, the first first."""
        with self._owner.cursor(row_factory=dict_row) as cursor:
            return cursor.execute("SELECT * FROM training.audit_records ORDER BY id").fetchall()

    def close(self) -> None:
        """Closes what is open."""
        for one in (self.alice, self.coach, self.admin, self.sibling):
            one.close()


@pytest.fixture
def world(
    database_url: str, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    lines: list[bytes] = []
    monkeypatch.setattr(AccessLog, "add", lambda _, line: lines.append(line))
    with running_service(database_url, access_log="stdout") as service:
        made = World(service.address, owner, lines)
        made.forget()
        yield made
        made.close()


def list_sessions(caller: Athlete, athlete_id: str) -> None:
    caller.sessions.ListSessions(session_pb2.ListSessionsRequest(external_user_id=athlete_id))


def test_a_call_on_ones_own_data_is_written_and_not_kept(world: World) -> None:
    world.alice.log()
    list_sessions(world.alice, world.alice.id)
    for record, method in zip(world.logged(), ("LogSession", "ListSessions"), strict=True):
        assert set(record) == KEYS
        assert record["method"] == SESSIONS + method
        assert (record["status"], record["reason"]) == ("OK", "")
        assert record["caller"] == record["subject"] == world.name(world.alice)
        assert record["caller_roles"] == []
        assert record["grant_id"] is None
        assert record["duration_ms"] > 0
    assert world.stored() == []


def test_a_coach_is_on_record_with_the_grant_and_without(world: World) -> None:
    given = grant(world.alice, world.coach.id, READ_SESSIONS)
    world.forget()
    list_sessions(world.coach, world.alice.id)
    revoke(world.alice, given)
    with refused("ATHLETE_NOT_FOUND"):
        list_sessions(world.coach, world.alice.id)
    let_in, kept_out = world.stored()
    for record in (let_in, kept_out):
        assert record["caller"] == world.name(world.coach)
        assert record["subject"] == world.name(world.alice)
        assert record["method"] == f"{SESSIONS}ListSessions"
    assert (let_in["status"], let_in["reason"]) == ("OK", "")
    assert str(let_in["grant_id"]) == given.id
    assert (kept_out["status"], kept_out["reason"]) == ("NOT_FOUND", "ATHLETE_NOT_FOUND")
    assert kept_out["grant_id"] is None
    calls = [one for one in world.logged() if one["method"].endswith("ListSessions")]
    assert [one["request_id"] for one in calls] == [one["request_id"] for one in world.stored()]


def test_an_athlete_who_is_not_there_leaves_a_record_too(world: World) -> None:
    for athlete_id in (world.alice.id, str(uuid.uuid4())):
        with refused("ATHLETE_NOT_FOUND"):
            list_sessions(world.coach, athlete_id)
    assert [one["reason"] for one in world.stored()] == ["ATHLETE_NOT_FOUND"] * 2


def test_a_request_that_breaks_a_rule_still_names_whom_it_was_about(world: World) -> None:
    request = session_pb2.ListSessionsRequest(external_user_id=world.alice.id, page_size=-1)
    with refused("INVALID_FIELD"):
        world.coach.sessions.ListSessions(request)
    [record] = world.stored()
    assert (record["subject"], record["reason"]) == (world.name(world.alice), "INVALID_FIELD")


def test_who_erases_a_user_is_on_record_without_the_users_id(world: World) -> None:
    erased = world.alice
    request = governance_pb2.EraseUserRequest(user_id=erased.id)
    world.admin.governance.EraseUser(request, metadata=[("x-request-id", f"erase {erased.id}")])
    [record] = world.stored()
    assert record["subject"] == world.name(erased)
    assert erased.id not in str(record)


def test_administrators_are_on_record_and_who_would_be_one(world: World) -> None:
    request = exercise_pb2.DeprecateExerciseRequest(exercise_id=str(uuid.uuid4()))
    with refused("EXERCISE_NOT_FOUND"):
        world.admin.exercises.DeprecateExercise(request)
    with refused("PERMISSION_DENIED"):
        world.alice.exercises.DeprecateExercise(request)
    by_admin, by_alice = world.stored()
    assert (by_admin["caller_roles"], by_admin["subject"]) == (["admin"], None)
    assert (by_alice["caller"], by_alice["status"]) == (
        world.name(world.alice),
        "PERMISSION_DENIED",
    )


def test_an_administrator_who_is_a_service_too_is_on_record(world: World) -> None:
    metadata = {
        "x-external-user-id": str(uuid.uuid4()),
        "x-caller-scope": "training:admin training:service",
    }
    both = Athlete(world.address, metadata=metadata)
    request = exercise_pb2.DeprecateExerciseRequest(exercise_id=str(uuid.uuid4()))
    with refused("EXERCISE_NOT_FOUND"):
        both.exercises.DeprecateExercise(request)
    [record] = world.stored()
    assert record["caller_roles"] == ["admin", "service"]
    both.close()


def test_services_are_written_and_not_kept(world: World) -> None:
    list_sessions(world.sibling, world.alice.id)
    [record] = world.logged()
    assert record["caller_roles"] == ["service"]
    assert record["subject"] == world.name(world.alice)
    assert world.stored() == []


def test_looks_at_a_group_are_on_record(world: World) -> None:
    group = new_group(world.coach)
    enter(world.coach, group, world.alice)
    world.forget()
    world.coach.rosters.GetRosterStatus(roster_pb2.GetRosterStatusRequest(group_id=group.id))
    [record] = world.stored()
    assert record["method"].endswith("/GetRosterStatus")
    assert record["caller"] == world.name(world.coach)


def test_a_stream_leaves_one_record(world: World) -> None:
    grant(world.alice, world.coach.id, READ_SESSIONS)
    world.alice.log()
    world.forget()
    request = session_pb2.ExportSessionsRequest(external_user_id=world.alice.id)
    assert list(world.coach.sessions.ExportSessions(request))
    assert [one["status"] for one in world.stored()] == ["OK"]
    assert [one["status"] for one in world.logged()] == ["OK"]


def test_a_call_without_an_identity_is_written(world: World) -> None:
    with grpc.insecure_channel(world.alice._address) as channel, refused("UNAUTHENTICATED"):
        call_bytes(channel, f"{SESSIONS}ListSessions", b"")
    [record] = world.logged()
    assert (record["reason"], record["caller"]) == ("UNAUTHENTICATED", "")
    assert world.stored() == []


def test_a_call_that_is_given_up_is_on_record(world: World, owner: psycopg.Connection) -> None:
    grant(world.alice, world.coach.id, READ_SESSIONS)
    world.forget()
    with owner.transaction():
        owner.execute("LOCK TABLE training.sessions IN ACCESS EXCLUSIVE MODE")
        request = session_pb2.ListSessionsRequest(external_user_id=world.alice.id)
        call = world.coach.sessions.ListSessions.future(request)
        eventually(lambda: waiting_count(owner) == 1)
        call.cancel()
        eventually(lambda: bool(world.lines))
    assert [one["status"] for one in world.logged()] == ["CANCELLED"]
    assert [one["status"] for one in world.stored()] == ["CANCELLED"]


def test_a_fault_is_on_record(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise errors.CheckViolation("my knee hurts")

    grant(world.alice, world.coach.id, READ_SESSIONS)
    world.forget()
    monkeypatch.setattr(SessionRepository, "_list", fail)
    with refused("INTERNAL"):
        list_sessions(world.coach, world.alice.id)
    [record] = world.stored()
    assert (record["status"], record["reason"]) == ("INTERNAL", "INTERNAL")


def test_a_read_without_its_record_is_refused_and_a_write_is_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise database_unavailable()

    grant(world.alice, world.coach.id, READ_SESSIONS, LOG_SESSIONS)
    world.forget()
    monkeypatch.setattr(AuditRepository, "add", fail)
    with refused("DATABASE_UNAVAILABLE"):
        list_sessions(world.coach, world.alice.id)
    request = session_pb2.LogSessionRequest(external_user_id=world.alice.id, session=a_session())
    assert world.coach.sessions.LogSession(request).id
    outcomes = [(one["status"], one["reason"]) for one in world.logged()]
    assert outcomes == [("UNAVAILABLE", "DATABASE_UNAVAILABLE"), ("OK", "")]


@pytest.mark.parametrize("spelling", [str, lambda id: id.replace("-", ""), str.upper])
def test_a_request_id_does_not_give_away_who_is_meant(world: World, spelling: Any) -> None:
    request = session_pb2.ListSessionsRequest(external_user_id=world.alice.id)
    for one in (world.alice, world.coach):
        metadata = (("x-request-id", f"a-{spelling(one.id)}-b"),)
        with refused("ATHLETE_NOT_FOUND"):
            world.coach.sessions.ListSessions(request, metadata=metadata)
    found = [one["request_id"] for one in (*world.logged(), *world.stored())]
    assert found == ["a-[redacted]-b"] * 4


@pytest.mark.parametrize("role", ["training_app", "training_grantee"])
def test_the_service_can_neither_read_nor_change_what_is_kept(
    owner: psycopg.Connection, role: str
) -> None:
    for statement in (
        "SELECT FROM training.audit_records",
        "UPDATE training.audit_records SET status = ''",
        "DELETE FROM training.audit_records",
        "TRUNCATE training.audit_records",
    ):
        owner.execute(f"SET ROLE {role}")
        with pytest.raises(errors.InsufficientPrivilege):
            owner.execute(statement)


NO_FILE = -7


def test_a_pipe_that_nobody_reads_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training_service.interceptors.audit.MAX_WAITING_LINES", 10)
    monkeypatch.setattr("training_service.interceptors.audit.CLOSE_TIMEOUT_SECONDS", 0.1)
    # Structlog's own capture misses a logger that was used before.
    logger = CapturingLogger()
    monkeypatch.setattr("training_service.interceptors.audit.logger", logger)
    reading, writing = os.pipe()
    log = AccessLog(writing)
    for _ in range(40):
        log.add(b"x" * 65_536)
    said = [one.args for one in logger.calls]
    log.close()
    os.close(reading)
    assert said == [("access records lost: nobody reads standard output",)]
    assert log.lost >= 20


def written_to(monkeypatch: pytest.MonkeyPatch, fails_first: bool = False) -> list[bytes]:
    """Returns what is going to be written to a file that is none; b"" for what fails."""
    written: list[bytes] = []
    write = os.write

    def catch(file: int, lines: bytes) -> int:
        if file != NO_FILE:
            return write(file, lines)
        if fails_first and not written:
            written.append(b"")
            raise OSError("a disk that is full")
        written.append(lines)
        return len(lines)

    monkeypatch.setattr("training_service.interceptors.audit.os.write", catch)
    return written


def test_a_line_that_could_not_be_written_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    written = written_to(monkeypatch, fails_first=True)
    log = AccessLog(NO_FILE)
    log.add(b"first\n")
    eventually(lambda: written == [b""])
    log.add(b"second\n")
    log.close()
    assert written == [b"", b"second\n"]
    assert log.lost == 1


def test_lines_are_written_whole_and_in_order() -> None:
    reading, writing = os.pipe()
    log = AccessLog(writing)
    for number in range(1000):
        log.add(b"%d\n" % number)
    log.close()
    os.close(writing)
    with os.fdopen(reading) as file:
        assert file.read().split() == [str(number) for number in range(1000)]


def test_no_write_is_longer_than_a_pipe_keeps_together(monkeypatch: pytest.MonkeyPatch) -> None:
    written = written_to(monkeypatch)
    log = AccessLog(NO_FILE)
    for _ in range(50):
        log.add(b"x" * 399 + b"\n")
    log.close()
    assert b"".join(written) == (b"x" * 399 + b"\n") * 50
    assert max(map(len, written)) <= PIPE_BUF
    assert len(written) < 10


# The commands


def command(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result


def test_what_is_kept_can_be_listed_and_pruned(
    world: World, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINING_DATABASE_URL", database_url)
    made = grant(world.alice, world.coach.id, READ_SESSIONS)
    list_sessions(world.coach, world.alice.id)
    with refused("PERMISSION_DENIED"):
        world.alice.exercises.DeprecateExercise(
            exercise_pb2.DeprecateExerciseRequest(exercise_id=str(uuid.uuid4()))
        )
    name = command("pseudonym", world.coach.id).stdout.strip()
    assert name == world.name(world.coach)

    def audit(*options: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in command("audit", *options).stdout.splitlines()]

    newest, oldest = audit()
    assert (oldest["caller"], oldest["subject"]) == (name, world.name(world.alice))
    assert oldest["grant_id"] == made.id
    assert newest["reason"] == "PERMISSION_DENIED"
    assert audit("--limit=1") == [newest]
    assert audit("--caller", world.coach.id) == audit("--subject", world.alice.id) == [oldest]
    assert audit("--method=ListSessions") == audit(f"--method={SESSIONS}ListSessions") == [oldest]
    assert audit("--method=List_essions") == audit("--method=%") == []
    assert audit("--since=2000-01-01", "--until=2100-01-01") == [newest, oldest]
    assert audit("--until=2000-01-01") == audit("--since=2100-01-01") == []

    assert "0 removed" in command("prune-audit", "--before=2000-01-01").stderr
    assert "0 removed" in command("prune-audit", "--older-than-days=1").stderr
    assert "2 removed" in command("prune-audit", "--before=2100-01-01").stderr
    assert audit() == []
