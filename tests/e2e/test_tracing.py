"""One trace from the gateway down to SQL, as a collector gets it."""

import http.client
import json
import uuid
from collections.abc import Iterator
from uuid import UUID

import pytest
from calisthenics.training.v1 import session_pb2 as pb
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.e2e.conftest import StartGateway
from tests.e2e.rest import BASE
from tests.observed import Collector, running_collector
from tests.support import Athlete, a_session, eventually, running_service
from training_service.issuer import DevelopmentIssuer

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
NOTE = "my knee hurts"
GATEWAY, SERVICE = "training-gateway", "training-service"


@pytest.fixture(scope="module")
def traced(database_url: str, start_gateway: StartGateway) -> Iterator[tuple[Collector, str, str]]:
    """A collector, and the addresses of a gateway and a service that send it their spans."""
    with (
        running_collector() as collector,
        running_service(database_url, otlp_endpoint=f"http://{collector.address}") as service,
        start_gateway([service.address], otlp=collector.address) as envoy,
    ):
        yield collector, envoy.address, service.address


def get(address: str, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer
    finally:
        connection.close()


def of_trace(collector: Collector, service: str, trace_id: str) -> list[trace_pb2.Span]:
    return [span for span in collector.spans(service) if span.trace_id.hex() == trace_id]


def test_a_rest_call_is_one_trace_through_gateway_rpc_and_sql(
    traced: tuple[Collector, str, str], issuer: DevelopmentIssuer
) -> None:
    collector, gateway, service = traced
    athlete = Athlete(service)
    logged = athlete.log(a_session(notes=NOTE))
    token = issuer.token(UUID(athlete.id), "", 600)
    path = f"{BASE}/users/{athlete.id}/sessions/{logged.id}"
    asked = {
        "authorization": f"Bearer {token}",
        "traceparent": f"00-{TRACE}-{PARENT}-01",
        "x-request-id": f"of-{athlete.id}",
    }
    assert get(gateway, path, **asked).status == 200

    eventually(lambda: len(of_trace(collector, GATEWAY, TRACE)) == 2)
    eventually(lambda: len(of_trace(collector, SERVICE, TRACE)) == 3)
    by_parent = {}
    for span in of_trace(collector, "", TRACE):
        by_parent.setdefault(span.parent_span_id.hex(), []).append(span)
    [ingress] = by_parent[PARENT]
    [attempt] = by_parent[ingress.span_id.hex()]
    [rpc] = by_parent[attempt.span_id.hex()]
    statements = by_parent[rpc.span_id.hex()]
    assert ingress.kind == trace_pb2.Span.SPAN_KIND_SERVER
    assert attempt.kind == trace_pb2.Span.SPAN_KIND_CLIENT
    assert rpc.kind == trace_pb2.Span.SPAN_KIND_SERVER
    assert rpc.name == "calisthenics.training.v1.SessionService/GetSession"
    assert [s.name for s in statements] == ["SELECT refuse_erased", "SELECT sessions"]
    # What a trace must never show.
    shown = json.dumps([MessageToDict(span) for span in of_trace(collector, "", TRACE)])
    for secret in (athlete.id, logged.id, NOTE, token):
        assert secret not in shown


def test_without_a_traceparent_the_gateway_begins_the_trace(
    traced: tuple[Collector, str, str],
) -> None:
    collector, gateway, _ = traced
    request_id = str(uuid.uuid4())
    answer = get(gateway, f"{BASE}/programs", **{"x-request-id": request_id})
    assert answer.status == 200
    assert answer.headers["x-request-id"] == request_id  # no trace is noted in it

    def roots() -> set[bytes]:
        return {s.trace_id for s in collector.spans(GATEWAY) if not s.parent_span_id}

    def rpcs() -> set[bytes]:
        spans = collector.spans(SERVICE)
        return {s.trace_id for s in spans if s.name.endswith("/ListPrograms")}

    eventually(lambda: bool(roots() & rpcs()))


def test_a_collector_that_is_away_holds_up_nothing(database_url: str) -> None:
    with running_service(database_url, otlp_endpoint="http://127.0.0.1:1") as service:
        athlete = Athlete(service.address)
        assert athlete.log().id
        assert athlete.sessions.ListSessions(pb.ListSessionsRequest()).sessions
