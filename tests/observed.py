"""What a service under test shows of itself: its metrics, and spans that are kept in memory."""

import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as pb_grpc
from opentelemetry.proto.trace.v1 import trace_pb2
from prometheus_client.parser import text_string_to_metric_families

Labels = dict[str, str]


@dataclass(frozen=True, slots=True)
class Series:
    """One exported value."""

    name: str
    labels: Labels
    value: float


class Exported:
    """What a service exports at its metrics address."""

    def __init__(self, address: str) -> None:
        self._url = f"http://{address}/metrics"

    def series(self) -> list[Series]:
        """Returns all that is exported now."""
        with urllib.request.urlopen(self._url, timeout=10) as answer:
            text = answer.read().decode()
        return [
            Series(sample.name, sample.labels, sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """Returns the sum of what has these labels; 0 when there is nothing."""
        wanted = labels.items()
        return sum(
            one.value for one in self.series() if one.name == name and wanted <= one.labels.items()
        )


class Collector(pb_grpc.TraceServiceServicer):
    """An OpenTelemetry collector that keeps the spans it is sent."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._spans: list[tuple[str, trace_pb2.Span]] = []
        self.address = ""

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._lock:
            for of in request.resource_spans:
                names = [a.value.string_value for a in of.resource.attributes if a.key == NAME]
                spans = [span for scope in of.scope_spans for span in scope.spans]
                self._spans += [(names[0], span) for span in spans]
        return pb.ExportTraceServiceResponse()

    def spans(self, service: str = "") -> list[trace_pb2.Span]:
        """Returns the spans that came, of one service or all."""
        with self._lock:
            return [span for name, span in self._spans if service in ("", name)]


NAME = "service.name"


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Runs a collector on a free port."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    pb_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(0).wait()
