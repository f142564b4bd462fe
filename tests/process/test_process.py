"""The service as real processes: crashes, drains, workers."""

import contextlib
import json
import os
import shlex
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import readiness_pb2
from calisthenics.training.v1 import session_pb2 as pb
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.conftest import seed
from tests.support import (
    Athlete,
    ServiceProcess,
    a_session,
    a_wellness,
    call_bytes,
    eventually,
    free_port,
    refused,
    service_process,
)
from training_service import contract
from training_service.cli import sample_commands
from training_service.storage.migrations import migrate

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Writer:
    """A client that logs one session after another, each with its request_id."""

    def __init__(self, address: str, athlete_id: str) -> None:
        self._athlete = Athlete(address, metadata={"x-external-user-id": athlete_id})
        self.sent: list[str] = []
        self.acknowledged: dict[str, str] = {}

    def log(self, request_id: str) -> str:
        """Logs the session of a request_id and returns its id."""
        session = a_session(notes=request_id)
        logged = self._athlete.sessions.LogSession(
            pb.LogSessionRequest(session=session, request_id=request_id)
        )
        self.acknowledged[request_id] = logged.id
        return logged.id

    def run_until_refused(self) -> None:
        """Logs sessions until the service is gone."""
        while True:
            request_id = str(uuid.uuid4())
            self.sent.append(request_id)
            try:
                self.log(request_id)
            except grpc.RpcError:
                return


def test_after_kill_9_every_acknowledged_session_is_there_once(
    database_url: str, owner: psycopg.Connection
) -> None:
    athlete_id = str(uuid.uuid4())
    port = free_port()
    with service_process(database_url, port=port) as first:
        writers = [Writer(first.address, athlete_id) for _ in range(8)]
        threads = [threading.Thread(target=w.run_until_refused) for w in writers]
        for thread in threads:
            thread.start()
        eventually(lambda: sum(len(w.acknowledged) for w in writers) >= 200)
        first.stop(signal.SIGKILL)
        for thread in threads:
            thread.join()
    acknowledged = {k: v for w in writers for k, v in w.acknowledged.items()}
    sent = {request_id for w in writers for request_id in w.sent}
    assert len(sent) > len(acknowledged)

    with service_process(database_url, port=port) as second:
        client = Writer(second.address, athlete_id)
        retried = {request_id: client.log(request_id) for request_id in sent}

    assert {k: retried[k] for k in acknowledged} == acknowledged
    query = """
        SELECT count(*), count(DISTINCT request_id), count(DISTINCT request_digest)
        FROM training.sessions WHERE external_user_id = %s
    """
    assert owner.execute(query, [athlete_id]).fetchone() == (len(sent),) * 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_finishes_what_is_under_way_and_takes_nothing_new(
    database_url: str, number: int
) -> None:
    with service_process(database_url, TRAINING_DRAIN_DELAY_SECONDS="1") as service:
        alice = Athlete(service.address)
        bob = Athlete(service.address)
        health = health_pb2_grpc.HealthStub(bob.channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == SERVING
        with psycopg.connect(database_url) as connection:
            connection.execute("LOCK TABLE training.sessions IN EXCLUSIVE MODE")
            under_way = alice.sessions.LogSession.future(pb.LogSessionRequest(session=a_session()))
            eventually(lambda: _is_waiting(database_url))
            service.process.send_signal(number)
            eventually(lambda: health.Check(health_pb2.HealthCheckRequest()).status == NOT_SERVING)
            eventually(lambda: _is_refused(service.address))
            connection.rollback()
        assert under_way.result().state == pb.SESSION_STATE_CURRENT
        assert service.process.wait(30) == 0


def _is_waiting(url: str) -> bool:
    query = """
        SELECT count(*) FROM pg_locks
        WHERE relation = 'training.sessions'::regclass AND NOT granted
    """
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone() == (1,)


def _is_refused(address: str) -> bool:
    newcomer = Athlete(address)
    try:
        newcomer.sessions.ListSessions(pb.ListSessionsRequest(), timeout=5)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        newcomer.close()
    return False


def test_workers_share_the_port_and_are_replaced_when_they_die(database_url: str) -> None:
    with service_process(database_url, "--workers", "2") as service:
        athlete = Athlete(service.address)
        workers = _children(service.process.pid)
        assert len(workers) >= 2
        athlete.log()
        for worker in workers:
            _kill_if_server(worker)
        eventually(lambda: _logs(service.address))
        assert service.stop() == 0


def _children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def _kill_if_server(pid: int) -> None:
    # multiprocessing keeps a helper beside the workers: it is not one of them.
    if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text():
        os.kill(pid, signal.SIGKILL)


def _logs(address: str) -> bool:
    athlete = Athlete(address)
    try:
        athlete.sessions.LogSession(pb.LogSessionRequest(session=a_session()), timeout=2)
    except grpc.RpcError:
        return False
    finally:
        athlete.close()
    return True


def test_a_port_in_use_is_refused_with_the_name_of_the_setting(database_url: str) -> None:
    with service_process(database_url) as service:
        for options in ([], ["--workers", "2"]):
            second = ServiceProcess(database_url, *options, port=service.port)
            _, errors = second.process.communicate(timeout=30)
            assert second.process.returncode == 2
            assert "TRAINING_LISTEN_ADDRESS" in errors


def test_a_role_with_too_many_rights_is_refused(database_url: str) -> None:
    service = ServiceProcess(database_url, TRAINING_DATABASE_ROLE="")
    _, errors = service.process.communicate(timeout=30)
    assert service.process.returncode == 2
    assert "TRAINING_DATABASE_ROLE" in errors
    assert "row-level security" in errors


def test_until_the_schema_is_there_the_service_listens_but_does_not_serve(
    make_database: Callable[[], str],
) -> None:
    url = make_database()
    migrate(url)
    migrate(url, "base")
    service = ServiceProcess(url, TRAINING_HEALTH_INTERVAL_SECONDS="0.1")
    with grpc.insecure_channel(service.address) as channel:
        grpc.channel_ready_future(channel).result(timeout=20)
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == NOT_SERVING
        alice = Athlete(service.address)
        with refused("DATABASE_UNAVAILABLE"):
            alice.log()
        alice.close()
        migrate(url)
        seed(url)
        service.wait_until_ready()
        assert health.Check(health_pb2.HealthCheckRequest()).status == SERVING
        for name in ("ExerciseService", "WorkoutService", "SessionService"):
            request = health_pb2.HealthCheckRequest(service=f"calisthenics.training.v1.{name}")
            assert health.Check(request).status == SERVING
    assert service.stop() == 0


def test_the_printed_commands_work_as_printed(database_url: str) -> None:
    with service_process(database_url) as service:
        listing, logging, listing_sessions = (
            subprocess.check_output(shlex.split(command), text=True)
            for command in sample_commands(service.port)
        )
        assert "calisthenics.training.v1.SessionService" in listing
        logged = json.loads(logging)
        assert logged in json.loads(listing_sessions)["sessions"]


def test_what_athletes_say_of_themselves_is_in_no_log(database_url: str) -> None:
    entry = a_wellness(hrv_ms=61.25, notes="slept beside the cat")
    bad = a_wellness(hrv_ms=-61.25, notes="slept beside the cat")
    with service_process(database_url, TRAINING_LOG_LEVEL="DEBUG") as running:
        athlete = Athlete(running.address)
        request = readiness_pb2.LogWellnessRequest(entry=entry, request_id=str(uuid.uuid4()))
        athlete.readiness.LogWellness(request)
        request.entry.sleep = 7
        with refused("REQUEST_ID_REUSED"):
            athlete.readiness.LogWellness(request)
        with refused("INVALID_FIELD"):
            athlete.readiness.LogWellness(readiness_pb2.LogWellnessRequest(entry=bad))
        athlete.readiness.ListWellness(readiness_pb2.ListWellnessRequest())
        athlete.close()
        running.process.send_signal(signal.SIGTERM)
        _, logged = running.process.communicate(timeout=30)
    assert logged.count("LogWellness") == 2  # those refused; access records go elsewhere
    for private in ("61.25", "beside the cat"):
        assert private not in logged


SECRET = "beside the cat"


def filled(message: Message, user_id: str, depth: int = 0) -> Message:
    """Fills every text of a message with a secret, and every name of a user with one's id."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type and field.message_type.GetOptions().map_entry:
            continue
        if field.message_type:
            if depth < 3 and field.message_type.full_name.startswith(contract.PACKAGE):
                inner = getattr(message, field.name)
                filled(inner.add() if field.is_repeated else inner, user_id, depth + 1)
        elif field.type == field.TYPE_STRING:
            text = user_id if field.name.endswith(("user_id", "user_ids")) else SECRET
            if field.is_repeated:
                getattr(message, field.name).append(text)
            else:
                setattr(message, field.name, text)
    return message


def test_no_text_of_any_call_and_nobodys_id_is_written_anywhere(
    database_url: str, tmp_path: Path
) -> None:
    """Whatever a server prints, at its most talkative, of calls that it refuses and answers."""
    printed = tmp_path / "stdout"
    settings = {"TRAINING_LOG_LEVEL": "DEBUG", "TRAINING_ACCESS_LOG": "stdout"}
    with (
        printed.open("w") as stdout,
        service_process(database_url, stdout=stdout, **settings) as running,
    ):
        # Else the pipe would be full, and the server wait for somebody who reads.
        lines: list[str] = []
        assert running.process.stderr is not None
        reader = threading.Thread(target=lines.extend, args=(running.process.stderr,))
        reader.start()
        alice, bob = Athlete(running.address), Athlete(running.address)
        methods = [*contract.methods()]
        for method in methods:
            path = f"/{method.containing_service.full_name}/{method.name}"
            for whose in (alice.id, bob.id):
                request = filled(GetMessageClass(method.input_type)(), whose)
                metadata = [("x-request-id", f"{SECRET.replace(' ', '-')}-{alice.id}")]
                with contextlib.suppress(grpc.RpcError):
                    call_bytes(alice.channel, path, request.SerializeToString(), metadata)
        session = alice.log(a_session(notes=SECRET))
        alice.create_workout(display_name=SECRET)
        alice.sessions.AmendSession(
            pb.AmendSessionRequest(
                session_id=session.id, session=a_session(notes=SECRET), reason=SECRET
            )
        )
        with refused("ATHLETE_NOT_FOUND"):
            bob.sessions.ListSessions(pb.ListSessionsRequest(external_user_id=alice.id))
        ids = (alice.id, bob.id)
        alice.close()
        bob.close()
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(30)
        reader.join()
    logged = "".join(lines)
    records = [json.loads(line) for line in printed.read_text().splitlines()]
    assert len({record["method"] for record in records}) == len(methods)
    assert "AmendSession" in {record["method"].rpartition("/")[2] for record in records}
    everything = logged + printed.read_text()
    assert "[redacted]" in logged
    for private in (SECRET, *ids, *(id.replace("-", "") for id in ids)):
        assert private not in everything
