"""What is measured of the service, as Prometheus metrics.

Imported where metrics are on, and only there. In a worker of several, prometheus_client keeps the
values in files of PROMETHEUS_MULTIPROC_DIR, which has to be set before.

Labels take their values from the contract alone: services, methods, status codes and reasons.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from training_service.errors import Reason

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram."""
STATEMENTS = (0, 2, 5, 10, 20, 50, 100, 500)
RPC = ("grpc_type", "grpc_service", "grpc_method")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric: what it is called where it is exported, and what it means."""

    kind: type[Counter] | type[Gauge] | type[Histogram]
    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


ALL = (
    Instrument(Counter, "grpc_server_started_total", "RPCs begun", RPC),
    Instrument(Counter, "grpc_server_handled_total", "RPCs ended", (*RPC, "grpc_code")),
    Instrument(
        Histogram,
        "grpc_server_handling_seconds",
        "time from an RPC's arrival at the interceptors to its end",
        (*RPC, "grpc_code"),
        SECONDS,
    ),
    Instrument(
        Histogram,
        "training_statements_per_call",
        "SQL statements of an RPC, without BEGIN, SET and COMMIT",
        RPC,
        STATEMENTS,
    ),
    Instrument(Counter, "training_refusals_total", "RPCs refused", ("reason",)),
    Instrument(Counter, "training_abuse_suspected_total", "callers named in the log as abusive"),
    Instrument(Counter, "training_sessions_logged_total", "sessions added, not repetitions"),
    Instrument(Counter, "training_access_records_lost_total", "access records nobody took"),
    Instrument(
        Counter,
        "training_access_records_unstored_total",
        "access records that the database should have kept",
    ),
    Instrument(Gauge, "training_calls_in_flight", "calls under way", ("limit",)),
    Instrument(Gauge, "training_calls_in_flight_max", "most calls under way", ("limit",)),
    Instrument(Gauge, "training_pool_connections", "database connections", ("state",)),
    Instrument(Gauge, "training_pool_connections_max", "most database connections"),
    Instrument(Gauge, "training_pool_waiting", "calls that wait for a connection"),
    Instrument(Gauge, "training_workers", "processes that run"),
    Instrument(Gauge, "training_workers_serving", "processes that report SERVING"),
    Instrument(Gauge, "training_workers_draining", "processes that finish what is under way"),
)
"""Gauges are sums over the workers that live; counters and histograms keep those of the dead."""


class RpcInstruments:
    """The metrics of one method, looked up once."""

    __slots__ = ("_ended", "_labels", "_of", "_started", "_statements")

    def __init__(self, of: Mapping[str, Any], labels: tuple[str, str, str]) -> None:
        self._of = of
        self._labels = labels
        self._started = of["grpc_server_started_total"].labels(*labels)
        self._statements = of["training_statements_per_call"].labels(*labels)
        self._ended = cache(self._by_code)

    def _by_code(self, code: str) -> tuple[Any, Any]:
        labels = (*self._labels, code)
        handled = self._of["grpc_server_handled_total"].labels(*labels)
        return handled, self._of["grpc_server_handling_seconds"].labels(*labels)

    def began(self) -> None:
        """Counts a call that came."""
        self._started.inc()

    def ended(self, code: str, seconds: float, statements: int) -> None:
        """Counts a call that ended with a status, by its name."""
        handled, handling = self._ended(code)
        handled.inc()
        handling.observe(seconds)
        self._statements.observe(statements)


class Instruments:
    """The metrics of this process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._of = {one.name: _make(one, self.registry) for one in ALL}
        self._totals: dict[str, int] = {}
        # All from 0 on: of a counter that begins with its first refusal, no rate could be told.
        refusals = self._of["training_refusals_total"]
        self._refusals = {reason: refusals.labels(reason.value) for reason in Reason}

    def of_rpc(self, kind: str, service: str, method: str) -> RpcInstruments:
        """Returns the metrics of one method; `kind` is unary, server_stream or bidi_stream."""
        return RpcInstruments(self._of, (kind, service, method))

    def refused(self, reason: Reason) -> None:
        """Counts a call that was refused."""
        self._refusals[reason].inc()

    def sessions_logged(self, count: int) -> None:
        """Counts sessions that were added."""
        self._of["training_sessions_logged_total"].inc(count)

    def show(self, gauges: Iterable[tuple[str, str, float]]) -> None:
        """Sets gauges, each by name, label value ("" if it has no label) and value."""
        for name, label, value in gauges:
            gauge = self._of[name]
            (gauge.labels(label) if label else gauge).set(value)

    def catch_up(self, totals: Mapping[str, int]) -> None:
        """Brings counters to totals that are kept elsewhere."""
        for name, total in totals.items():
            self._of[name].inc(total - self._totals.get(name, 0))
            self._totals[name] = total


def _make(instrument: Instrument, registry: CollectorRegistry) -> Any:
    about: tuple[str, str, tuple[str, ...]] = (
        instrument.name,
        instrument.meaning,
        instrument.labels,
    )
    if instrument.kind is Gauge:
        return Gauge(*about, registry=registry, multiprocess_mode="livesum")
    if instrument.kind is Histogram:
        return Histogram(*about, registry=registry, buckets=instrument.buckets)
    return Counter(*about, registry=registry)


def metrics_table() -> str:
    """Returns all metrics as a Markdown table."""
    rows = ["| Metric | Kind | Labels | Meaning |", "|---|---|---|---|"]
    for one in ALL:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        rows.append(f"| `{one.name}` | {one.kind.__name__.lower()} | {labels} | {one.meaning} |")
    return "\n".join(rows)
