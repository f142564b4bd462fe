"""Observes calls from beginning to end: counted, traced and named, whatever stops them."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from google.rpc import code_pb2

from training_service.contract import STATUS_CODES, Method
from training_service.interceptors.call import Call
from training_service.observability.current import watch

if TYPE_CHECKING:
    from training_service.observability.instruments import Instruments, RpcInstruments
    from training_service.observability.tracing import RpcTrace, Tracing

TRACE_KEYS = ("traceparent", "tracestate")
Observe = Callable[[Call], "Observation"]


class Telemetry:
    """What observes the calls of this process: metrics and traces, each None when it is off."""

    def __init__(self, instruments: "Instruments | None", tracing: "Tracing | None") -> None:
        self._instruments = instruments
        self._tracing = tracing

    def of(self, method: Method, handler: Any) -> Observe:
        """Returns what observes the calls of one method, each as a block: `with observe(call):`."""
        if self._instruments is None and self._tracing is None:
            return Observation
        watched = _Watched(method, handler, self._instruments, self._tracing)
        return watched.observe


class _Watched:
    """One method, with what is looked up once for all its calls."""

    def __init__(
        self,
        method: Method,
        handler: Any,
        instruments: "Instruments | None",
        tracing: "Tracing | None",
    ) -> None:
        self.service, self.method = method.path[1:].split("/")
        self.instruments = instruments
        self.rpc: RpcInstruments | None = None
        self.tracing = tracing
        if instruments is not None:
            self.rpc = instruments.of_rpc(_kind(handler), self.service, self.method)

    def observe(self, call: Call) -> "Observation":
        return _WatchedObservation(call, self)


def _kind(handler: Any) -> str:
    if handler.request_streaming:
        return "bidi_stream" if handler.response_streaming else "client_stream"
    return "server_stream" if handler.response_streaming else "unary"


class Observation:
    """Names the call in logs and in its trailing metadata."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def __enter__(self) -> None:
        watch(self._call)
        self._call.context.set_trailing_metadata(self._call.trailing_metadata)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


class _WatchedObservation(Observation):
    """Counts and traces it as well."""

    __slots__ = ("_began", "_trace", "_watched")

    def __init__(self, call: Call, watched: _Watched) -> None:
        super().__init__(call)
        self._watched = watched
        self._trace: RpcTrace | None = None

    def __enter__(self) -> None:
        super().__enter__()
        watched = self._watched
        if watched.rpc is not None:
            watched.rpc.began()
        if watched.tracing is not None:
            given = {key: self._call.metadata(key) for key in TRACE_KEYS}
            metadata = {key: values[0] for key, values in given.items() if values}
            self._trace = watched.tracing.begin(watched.service, watched.method, metadata)
            self._call.trace = self._trace
        self._began = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        seconds = time.perf_counter() - self._began
        call = self._call
        code = _code(call, error)
        name = code_pb2.Code.Name(code)
        if self._trace is not None:
            self._trace.end(code, name, call.refused_for.value if call.refused_for else "")
        if self._watched.rpc is not None and self._watched.instruments is not None:
            self._watched.rpc.ended(name, seconds, call.statements)
            _count(self._watched.instruments, call)


def _count(instruments: "Instruments", call: Call) -> None:
    if call.sessions_logged:
        instruments.sessions_logged(call.sessions_logged)
    if call.refused_for is not None:
        instruments.refused(call.refused_for)


def _code(call: Call, error: BaseException | None) -> "code_pb2.Code.ValueType":
    """Returns the status that a call ended with."""
    if call.refused_for is not None:
        return STATUS_CODES[call.refused_for]
    return code_pb2.OK if error is None else code_pb2.CANCELLED
