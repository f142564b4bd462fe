"""The service config: what clients of every language do by default."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Any

import grpc
import pytest
from calisthenics.training.v1 import session_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import HealthServicer

from tests.support import Athlete, RunningService
from training_service import contract

CONFIG = files("calisthenics.training.v1").joinpath("service_config.json").read_text()
READ = "/calisthenics.training.v1.SessionService/GetSession"
WRITE = "/calisthenics.training.v1.SessionService/LogSession"
STREAM = "/calisthenics.training.v1.SessionService/ExportSessions"
LIVE = "/calisthenics.training.v1.FormService/AnalyzeForm"


class Flaky(grpc.GenericRpcHandler):
    """Answers anything, but the first calls of each RPC with UNAVAILABLE."""

    def __init__(self) -> None:
        self.failures = 0
        self.attempts: Counter[str] = Counter()
        self.hangs = False

    def service(self, handler_call_details: Any) -> Any:
        path = handler_call_details.method
        if "Health" in path:
            return None

        def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.attempts[path] += 1
            if self.hangs:
                ended = threading.Event()
                context.add_callback(ended.set)
                ended.wait()
            if self.attempts[path] <= self.failures:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
            return b""

        if path == STREAM:
            return grpc.unary_stream_rpc_method_handler(lambda *call: iter([answer(*call)]))
        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def flaky() -> Flaky:
    return Flaky()


@pytest.fixture
def health() -> HealthServicer:
    servicer = HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    return servicer


@pytest.fixture
def address(flaky: Flaky, health: HealthServicer) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4), handlers=[flaky])
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def channel(address: str) -> Iterator[grpc.Channel]:
    options = [("grpc.service_config", CONFIG)]
    with grpc.insecure_channel(address, options=options) as channel:
        yield channel


def call(channel: grpc.Channel, path: str) -> Any:
    if path == STREAM:
        return list(channel.unary_stream(path)(b""))
    return channel.unary_unary(path)(b"")


def test_every_rpc_is_named_once() -> None:
    named = Counter(
        (name["service"], name["method"])
        for method in json.loads(CONFIG)["methodConfig"]
        for name in method["name"]
    )
    assert set(named.values()) == {1}
    declared = {(m.containing_service.full_name, m.name) for m in contract.methods()}
    assert set(named) == declared


def test_a_read_is_repeated(channel: grpc.Channel, flaky: Flaky) -> None:
    flaky.failures = 2
    assert call(channel, READ) == b""
    assert flaky.attempts == {READ: 3}


def test_a_read_is_not_repeated_forever(channel: grpc.Channel, flaky: Flaky) -> None:
    flaky.failures = 3
    with pytest.raises(grpc.RpcError) as refused:
        call(channel, READ)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert flaky.attempts == {READ: 3}


@pytest.mark.parametrize("path", [WRITE, STREAM])
def test_writes_and_streams_are_not_repeated(
    channel: grpc.Channel, flaky: Flaky, path: str
) -> None:
    flaky.failures = 1
    with pytest.raises(grpc.RpcError) as refused:
        call(channel, path)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert flaky.attempts == {path: 1}


def test_kinds_differ_in_their_deadlines() -> None:
    timeouts = {
        f"/{name['service']}/{name['method']}": method["timeout"]
        for method in json.loads(CONFIG)["methodConfig"]
        for name in method["name"]
    }
    assert (timeouts[READ], timeouts[WRITE], timeouts[STREAM]) == ("10s", "30s", "300s")
    assert timeouts[LIVE] == "43200s"


@pytest.mark.parametrize("path", [READ, WRITE, STREAM])
def test_a_call_ends_at_its_deadline(flaky: Flaky, address: str, path: str) -> None:
    flaky.hangs = True
    hasty = re.sub(r'"timeout": "\d+s"', '"timeout": "0.2s"', CONFIG)
    with (
        grpc.insecure_channel(address, options=[("grpc.service_config", hasty)]) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        call(channel, path)
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_calls_wait_for_a_service_that_does_not_serve(
    channel: grpc.Channel, flaky: Flaky, health: HealthServicer
) -> None:
    health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    with pytest.raises(grpc.RpcError) as refused:
        call(channel, WRITE)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not flaky.attempts
    health.set("", health_pb2.HealthCheckResponse.SERVING)
    channel.unary_unary(WRITE)(b"", wait_for_ready=True)
    assert flaky.attempts == {WRITE: 1}


def test_the_service_is_called_under_its_own_config(
    service: RunningService, new_athlete: Callable[..., Athlete]
) -> None:
    alice = new_athlete()
    options = [("grpc.service_config", CONFIG), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(service.address, options=options) as channel:
        list_sessions = channel.unary_unary(
            "/calisthenics.training.v1.SessionService/ListSessions",
            session_pb2.ListSessionsRequest.SerializeToString,
            session_pb2.ListSessionsResponse.FromString,
        )
        request = session_pb2.ListSessionsRequest()
        assert list_sessions(request, metadata=alice.metadata) == session_pb2.ListSessionsResponse()
