"""Metrics, traces and ids in logs of a service alone."""

import subprocess
import sys
import uuid
from collections.abc import Iterator

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import exercise_pb2
from calisthenics.training.v1 import session_pb2 as pb
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.observed import Exported
from tests.support import Athlete, a_session, eventually, free_port, running_service
from training_service import contract
from training_service.errors import Reason
from training_service.observability import tracing

SESSIONS = "calisthenics.training.v1.SessionService"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NOTE = "my knee hurts"


@pytest.fixture(scope="module")
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def observed(
    database_url: str, spans: InMemorySpanExporter
) -> Iterator[tuple[str, Exported, InMemorySpanExporter]]:
    """A service with metrics and traces, and where both come to."""
    metrics = f"127.0.0.1:{free_port()}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "make_exporter", lambda settings: spans)
        # No millisecond to wait: a batch of one is sent at once.
        patch.setattr(tracing, "BatchSpanProcessor", lambda e, **_: SimpleSpanProcessor(e))
        with running_service(
            database_url,
            metrics_address=metrics,
            otlp_endpoint="http://127.0.0.1:1",
            abuse_threshold=3,
        ) as service:
            yield service.address, Exported(metrics), spans


@pytest.fixture
def athlete(observed: tuple[str, Exported, InMemorySpanExporter]) -> Iterator[Athlete]:
    found = Athlete(observed[0])
    yield found
    found.close()


@pytest.fixture
def exported(observed: tuple[str, Exported, InMemorySpanExporter]) -> Exported:
    return observed[1]


def ended(spans: InMemorySpanExporter, method: str) -> ReadableSpan:
    """Returns the span of the last call of a method."""

    def found() -> list[ReadableSpan]:
        return [s for s in spans.get_finished_spans() if s.name.endswith(f"/{method}")]

    eventually(lambda: bool(found()))
    return found()[-1]


def test_calls_are_counted_by_method_and_status(athlete: Athlete, exported: Exported) -> None:
    labels = {"grpc_type": "unary", "grpc_service": SESSIONS, "grpc_method": "GetSession"}
    names = [
        ("grpc_server_started_total", {}),
        ("grpc_server_handled_total", {"grpc_code": "OK"}),
        ("grpc_server_handled_total", {"grpc_code": "NOT_FOUND"}),
        ("grpc_server_handling_seconds_count", {"grpc_code": "OK"}),
        ("training_statements_per_call_count", {}),
        ("training_statements_per_call_sum", {}),
        ("training_refusals_total", {}),
    ]

    def values() -> list[float]:
        own = [{} if n == "training_refusals_total" else labels for n, _ in names]
        reason = {"reason": Reason.SESSION_NOT_FOUND.value}
        return [
            exported.value(name, **extra, **(which or reason))
            for (name, extra), which in zip(names, own, strict=True)
        ]

    logged = athlete.log()
    before = values()
    athlete.sessions.GetSession(pb.GetSessionRequest(session_id=logged.id))
    with pytest.raises(grpc.RpcError):
        athlete.sessions.GetSession(pb.GetSessionRequest(session_id=str(uuid.uuid4())))

    def grown() -> list[float]:
        return [after - earlier for after, earlier in zip(values(), before, strict=True)]

    # Of each call two statements: that nobody was erased, and the session.
    eventually(lambda: grown() == [2, 1, 1, 1, 2, 4, 1])


def test_streams_are_counted_too(athlete: Athlete, exported: Exported) -> None:
    def handled(method: str, code: str, kind: str) -> float:
        labels = {"grpc_method": method, "grpc_code": code, "grpc_type": kind}
        return exported.value("grpc_server_handled_total", **labels)

    streamed = handled("ExportSessions", "OK", "server_stream")
    list(athlete.sessions.ExportSessions(pb.ExportSessionsRequest()))
    eventually(lambda: handled("ExportSessions", "OK", "server_stream") == streamed + 1)


def test_sessions_are_counted_once(athlete: Athlete, exported: Exported) -> None:
    name = "training_sessions_logged_total"
    before = exported.value(name)
    request_id = str(uuid.uuid4())
    for _ in range(2):
        athlete.log(request_id=request_id)
    batch = [
        pb.LogSessionRequest(session=a_session(), request_id=str(uuid.uuid4())) for _ in range(3)
    ]
    for is_atomic in (True, False):  # the second time they are known
        request = pb.BatchLogSessionsRequest(requests=batch, atomic=is_atomic)
        athlete.sessions.BatchLogSessions(request)
    reused = pb.LogSessionRequest(session=a_session(notes=NOTE), request_id=request_id)
    refused = pb.BatchLogSessionsRequest(
        requests=[pb.LogSessionRequest(session=a_session()), reused], atomic=True
    )
    athlete.sessions.BatchLogSessions(refused)
    eventually(lambda: exported.value(name) == before + 4)
    assert exported.value(name) == before + 4


def test_gauges_tell_of_pool_and_workers(
    athlete: Athlete, exported: Exported, database_url: str
) -> None:
    eventually(lambda: exported.value("training_workers_serving") == 1)
    assert exported.value("training_workers") == 1
    assert exported.value("training_workers_draining") == 0
    assert exported.value("training_pool_connections_max") == 10
    assert exported.value("training_calls_in_flight_max", limit="calls") > 0
    assert exported.value("training_pool_connections") >= 2
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE training.sessions IN EXCLUSIVE MODE")
        under_way = athlete.sessions.LogSession.future(pb.LogSessionRequest(session=a_session()))
        eventually(lambda: exported.value("training_calls_in_flight", limit="calls") == 1)
        eventually(lambda: exported.value("training_pool_connections", state="in_use") == 1)
        connection.rollback()
    under_way.result()
    eventually(lambda: exported.value("training_calls_in_flight", limit="calls") == 0)


def test_a_caller_who_is_named_in_the_log_is_counted(athlete: Athlete, exported: Exported) -> None:
    request = pb.ListSessionsRequest(external_user_id=str(uuid.uuid4()))
    for _ in range(4):
        with pytest.raises(grpc.RpcError):
            athlete.sessions.ListSessions(request)
    eventually(lambda: exported.value("training_abuse_suspected_total") == 1)


def test_an_access_record_that_is_not_stored_is_counted(
    observed: tuple[str, Exported, InMemorySpanExporter], owner: psycopg.Connection
) -> None:
    address, exported, _ = observed
    admin = Athlete(address, roles="admin")
    request = exercise_pb2.DeprecateExerciseRequest(exercise_id=str(uuid.uuid4()))
    owner.execute("ALTER TABLE training.audit_records RENAME TO audit_records_away")
    try:
        with pytest.raises(grpc.RpcError):
            admin.exercises.DeprecateExercise(request)
    finally:
        owner.execute("ALTER TABLE training.audit_records_away RENAME TO audit_records")
        admin.close()
    eventually(lambda: exported.value("training_access_records_unstored_total") == 1)
    assert exported.value("training_access_records_lost_total") == 0


def test_labels_come_from_the_contract(athlete: Athlete, exported: Exported) -> None:
    athlete.log(a_session(notes=NOTE))
    with pytest.raises(grpc.RpcError):
        athlete.channel.unary_unary(f"/{SESSIONS}/Made{athlete.id}Up")(b"")
    methods = {method.name for method in contract.methods()}
    known = {
        "grpc_service": {service.full_name for service in contract.SERVICES},
        "grpc_method": methods,
        "grpc_type": {"unary", "server_stream", "bidi_stream"},
        "grpc_code": {code.name for code in grpc.StatusCode},
        "reason": {reason.value for reason in Reason},
        "state": {"in_use", "idle"},
        "limit": {"calls", "form_streams"},
    }
    for one in exported.series():
        for label, value in one.labels.items():
            assert label == "le" or value in known[label], one


def test_a_call_continues_its_callers_trace_down_to_the_statements(
    athlete: Athlete, spans: InMemorySpanExporter
) -> None:
    logged = athlete.log(a_session(notes=NOTE))
    spans.clear()
    athlete.sessions.GetSession(
        pb.GetSessionRequest(session_id=logged.id),
        metadata=[("traceparent", f"00-{TRACE}-{PARENT}-01")],
    )
    rpc = ended(spans, "GetSession")
    assert rpc.name == f"{SESSIONS}/GetSession"
    assert rpc.kind is SpanKind.SERVER
    assert rpc.parent is not None
    assert f"{rpc.parent.span_id:016x}" == PARENT
    assert dict(rpc.attributes or {}) == {
        "rpc.system": "grpc",
        "rpc.service": SESSIONS,
        "rpc.method": "GetSession",
        "rpc.grpc.status_code": 0,
    }
    statements = [s for s in spans.get_finished_spans() if s.kind is SpanKind.CLIENT]
    assert [s.name for s in statements] == ["SELECT refuse_erased", "SELECT sessions"]
    for statement in statements:
        assert f"{statement.context.trace_id:032x}" == TRACE
        assert statement.parent == rpc.context
        assert (statement.attributes or {})["db.system.name"] == "postgresql"


def test_commands_have_spans_too_and_all_of_them_end(
    athlete: Athlete, spans: InMemorySpanExporter
) -> None:
    spans.clear()
    athlete.log()
    ended(spans, "LogSession")
    names = [s.name for s in spans.get_finished_spans()]
    assert "INSERT sessions" in names
    assert names[-1].endswith("/LogSession")  # statements ended before


def test_no_value_of_a_request_stands_in_a_span(
    athlete: Athlete, spans: InMemorySpanExporter
) -> None:
    spans.clear()
    logged = athlete.log(a_session(notes=NOTE))
    athlete.sessions.GetSession(
        pb.GetSessionRequest(session_id=logged.id), metadata=[("x-request-id", f"of-{athlete.id}")]
    )
    ended(spans, "GetSession")
    shown = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "INSERT sessions" in shown
    for secret in (NOTE, athlete.id, uuid.UUID(athlete.id).hex, logged.id):
        assert secret not in shown


def test_a_refusal_is_told_but_no_fault_of_the_server(
    athlete: Athlete, spans: InMemorySpanExporter
) -> None:
    spans.clear()
    with pytest.raises(grpc.RpcError):
        athlete.sessions.GetSession(pb.GetSessionRequest(session_id=str(uuid.uuid4())))
    rpc = ended(spans, "GetSession")
    attributes = dict(rpc.attributes or {})
    assert attributes["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert attributes["training.reason"] == Reason.SESSION_NOT_FOUND.value
    assert rpc.status.status_code is StatusCode.UNSET


def test_a_statement_that_failed_says_so(
    athlete: Athlete, spans: InMemorySpanExporter, database_url: str
) -> None:
    spans.clear()
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE training.sessions IN EXCLUSIVE MODE")
        under_way = athlete.sessions.LogSession.future(pb.LogSessionRequest(session=a_session()))
        query = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_locks
            WHERE relation = 'training.sessions'::regclass AND NOT granted
        """
        with psycopg.connect(database_url, autocommit=True) as other:
            eventually(lambda: other.execute(query).fetchone() == (1,))
    assert under_way.code() is grpc.StatusCode.UNAVAILABLE
    rpc = ended(spans, "LogSession")
    assert rpc.status.status_code is StatusCode.ERROR
    assert (rpc.attributes or {})["error.type"] == "UNAVAILABLE"
    [insert] = [s for s in spans.get_finished_spans() if s.name == "INSERT sessions"]
    assert insert.status.status_code is StatusCode.ERROR
    assert "error.type" in (insert.attributes or {})


def test_what_the_caller_does_not_record_is_not_recorded(
    athlete: Athlete, spans: InMemorySpanExporter, exported: Exported
) -> None:
    spans.clear()
    athlete.sessions.ListSessions(
        pb.ListSessionsRequest(), metadata=[("traceparent", f"00-{TRACE}-{PARENT}-00")]
    )
    athlete.sessions.ListSessions(pb.ListSessionsRequest())
    ended(spans, "ListSessions")
    traces = {span.context.trace_id for span in spans.get_finished_spans()}
    assert int(TRACE, 16) not in traces


def test_a_traceparent_that_is_none_begins_a_new_trace(
    athlete: Athlete, spans: InMemorySpanExporter
) -> None:
    spans.clear()
    athlete.sessions.ListSessions(pb.ListSessionsRequest(), metadata=[("traceparent", "what?")])
    assert ended(spans, "ListSessions").parent is None


@pytest.mark.parametrize("name", ["opentelemetry", "prometheus_client"])
def test_what_is_off_is_not_even_loaded(name: str) -> None:
    program = f"""
import asyncio, sys
import training_service.cli, training_service.workers
from training_service.server import TrainingServer
from training_service.settings import Settings

async def make() -> None:
    TrainingServer(Settings(), "postgresql://nobody@127.0.0.1:1/nothing")

asyncio.run(make())
print({name!r} in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "False\n", done.stderr
