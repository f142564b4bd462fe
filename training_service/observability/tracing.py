"""Traces: a span for each RPC, continuing its caller's trace, and one for each SQL statement.

Imported where TRAINING_OTLP_ENDPOINT is set, and only there. Spans hold names of methods and
tables, statuses and reasons; never values, ids of users or SQL text.
"""

import re
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from training_service.settings import Settings

EXPORT_TIMEOUT_SECONDS = 3.0
"""Longest that an export is tried, and about the longest that it can hold up the end."""
SERVER_FAULTS = frozenset({2, 4, 12, 13, 14, 15})
"""Status codes that are the server's fault by the conventions: UNKNOWN, DEADLINE_EXCEEDED,
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS."""
_OPERATION = re.compile(r"\s*(\w+)")
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE|SELECT)\s+(?:ONLY\s+)?training\.(\w+)")
_PROPAGATOR = TraceContextTextMapPropagator()


def make_exporter(settings: Settings) -> SpanExporter:
    """Returns what sends spans to the collector."""
    endpoint = settings.otlp_endpoint
    return OTLPSpanExporter(
        endpoint=endpoint,
        insecure=not endpoint.startswith("https://"),
        timeout=EXPORT_TIMEOUT_SECONDS,
    )


class RpcTrace:
    """The recorded span of one call, and those of its statements. See CallTrace."""

    __slots__ = ("_context", "_open", "_span", "_tracer", "span_id", "trace_id")

    def __init__(self, tracer: trace.Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._context = trace.set_span_in_context(span, Context())
        self._open: dict[object, deque[Span]] = {}
        context = span.get_span_context()
        self.trace_id = trace.format_trace_id(context.trace_id)
        self.span_id = trace.format_span_id(context.span_id)

    def began(self, connection: object, sql: str) -> Span:
        """Begins the span of a statement that is queued on a connection; returns it."""
        name, attributes = describe(sql)
        span = self._tracer.start_span(
            name, self._context, kind=SpanKind.CLIENT, attributes=attributes
        )
        self._open.setdefault(connection, deque()).append(span)
        return span

    def answered(self, connection: object, span: Span) -> None:
        """Ends the span of a statement whose rows came, and those queued before it: PostgreSQL
        answers in order."""
        spans = self._open.get(connection, ())
        if span not in spans:
            return
        while spans:
            first = spans.popleft()
            first.end()
            if first is span:
                return

    def released(self, connection: object, error_type: str) -> None:
        """Ends the spans that a connection still has; the error, if any, is theirs."""
        for span in self._open.pop(connection, ()):
            if error_type:
                span.set_attribute("error.type", error_type)
                span.set_status(Status(StatusCode.ERROR))
            span.end()

    def end(self, code: int, name: str, reason: str) -> None:
        """Ends the call's span with its status code, the code's name, and a refusal's reason."""
        self._span.set_attribute("rpc.grpc.status_code", code)
        if reason:
            self._span.set_attribute("training.reason", reason)
        if code in SERVER_FAULTS:
            self._span.set_attribute("error.type", name)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Tracing:
    """The spans of this process, on their way to a collector."""

    def __init__(self, settings: Settings) -> None:
        attributes = {
            "service.name": "training-service",
            "service.version": version("training-service"),
        }
        self._provider = TracerProvider(
            sampler=ParentBasedTraceIdRatio(settings.trace_ratio),
            resource=Resource.create(attributes),
            shutdown_on_exit=False,
        )
        processor = BatchSpanProcessor(
            make_exporter(settings), export_timeout_millis=EXPORT_TIMEOUT_SECONDS * 1000
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("training_service")

    def begin(self, service: str, method: str, metadata: Mapping[str, str]) -> RpcTrace | None:
        """Begins the span of a call, as a child of the one that its metadata names; None when it
        is not to be recorded."""
        span = self._tracer.start_span(
            f"{service}/{method}",
            _PROPAGATOR.extract(metadata, Context()),
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        )
        return RpcTrace(self._tracer, span) if span.is_recording() else None

    def close(self) -> None:
        """Sends what waits, if the collector takes it in time."""
        self._provider.shutdown()


@lru_cache(maxsize=2048)
def describe(sql: str) -> tuple[str, Mapping[str, Any]]:
    """Returns the name of a statement's span, such as "SELECT sessions", and its attributes."""
    operation, table = _OPERATION.match(sql), _TABLE.search(sql)
    words = [found.group(1) for found in (operation, table) if found]
    attributes = {"db.system.name": "postgresql", "db.query.summary": " ".join(words)}
    if operation:
        attributes["db.operation.name"] = operation.group(1)
    if table:
        attributes["db.collection.name"] = table.group(1)
    return " ".join(words), attributes
