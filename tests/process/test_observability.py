"""Metrics of several workers, and ids in the logs of real processes."""

import contextlib
import json
import signal
import socket
import uuid
from pathlib import Path

import grpc
import psutil
import pytest
from calisthenics.training.v1 import session_pb2 as pb

from tests.observed import Exported, running_collector
from tests.support import Athlete, ServiceProcess, eventually, free_port, service_process

HANDLED = "grpc_server_handled_total"


def workers_of(service: ServiceProcess) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(service.process.pid).children():
        with contextlib.suppress(psutil.Error):  # one that has ended
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def call_often(address: str, times: int = 40) -> None:
    """Makes calls on a connection each, so that the kernel spreads them."""
    for _ in range(times):
        athlete = Athlete(address)
        athlete.sessions.ListSessions(pb.ListSessionsRequest())
        athlete.close()


def test_workers_are_counted_together_and_those_that_died_still(
    database_url: str, tmp_path: Path
) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    with service_process(
        database_url,
        "--workers=2",
        TRAINING_METRICS_ADDRESS=metrics,
        TMPDIR=str(tmp_path),
    ) as service:
        exported = Exported(metrics)
        eventually(lambda: exported.value("training_workers_serving") == 2)
        call_often(service.address)
        assert exported.value(HANDLED, grpc_code="OK") == 40
        before = workers_of(service)
        assert len(before) == 2
        [folder] = tmp_path.glob("training-metrics-*")
        written = {int(file.stem.rpartition("_")[2]) for file in folder.glob("counter_*.db")}
        assert written == {worker.pid for worker in before}
        before[0].kill()
        eventually(lambda: before[0].pid not in {w.pid for w in workers_of(service)})
        eventually(lambda: len(workers_of(service)) == 2)
        eventually(lambda: exported.value("training_workers_serving") == 2)
        assert exported.value("training_workers") == 2  # and not the dead one's too
        assert exported.value(HANDLED, grpc_code="OK") == 40
        assert service.stop() == 0
        assert list(tmp_path.glob("training-metrics-*")) == []


def test_a_drain_can_be_seen(database_url: str) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    with service_process(
        database_url, TRAINING_METRICS_ADDRESS=metrics, TRAINING_DRAIN_DELAY_SECONDS="30"
    ) as service:
        exported = Exported(metrics)
        eventually(lambda: exported.value("training_workers_serving") == 1)
        assert exported.value("training_workers_draining") == 0
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: exported.value("training_workers_draining") == 1)
        assert exported.value("training_workers_serving") == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_taken_metrics_port_is_refused_by_name(database_url: str, workers: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        running = ServiceProcess(
            database_url, f"--workers={workers}", TRAINING_METRICS_ADDRESS=address
        )
        _, shown = running.process.communicate(timeout=60)
    assert running.process.returncode != 0
    assert "TRAINING_METRICS_ADDRESS" in shown


def test_nothing_is_served_unless_it_is_asked_for(database_url: str, tmp_path: Path) -> None:
    with service_process(database_url, "--workers=2", TMPDIR=str(tmp_path)) as service:
        call_often(service.address, 2)
        assert list(tmp_path.glob("training-metrics-*")) == []


def test_records_of_a_call_have_its_request_and_its_trace(
    database_url: str, tmp_path: Path
) -> None:
    request_id = str(uuid.uuid4())
    access = tmp_path / "access.log"
    with running_collector() as collector, access.open("w") as output:
        with service_process(
            database_url,
            stdout=output,
            TRAINING_OTLP_ENDPOINT=f"http://{collector.address}",
            TRAINING_ACCESS_LOG="stdout",
            TRAINING_LOG_LEVEL="DEBUG",
        ) as service:
            athlete = Athlete(service.address)
            with pytest.raises(grpc.RpcError):
                athlete.sessions.GetSession(
                    pb.GetSessionRequest(session_id=str(uuid.uuid4())),
                    metadata=[("x-request-id", request_id)],
                )
            service.process.send_signal(signal.SIGTERM)
            _, logged = service.process.communicate(timeout=30)
        # What waited was sent at the end.
        [span] = [s for s in collector.spans() if s.name.endswith("/GetSession")]
    records = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
    [refused] = [record for record in records if record["event"] == "refused"]
    assert refused["request_id"] == request_id
    assert refused["trace_id"] == span.trace_id.hex()
    assert refused["span_id"] == span.span_id.hex()
    [line] = [one for one in access.read_text().splitlines() if request_id in one]
    assert json.loads(line)["trace_id"] == span.trace_id.hex()
    [drain] = [record for record in records if record["event"] == "draining"]
    assert not {"request_id", "trace_id"} & drain.keys()
