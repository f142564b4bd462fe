"""`python -m benchmarks.overload`: what becomes of calls when more come than can be answered.

One worker, as many calls of LogSession as it can do, and then up to four times as many, which come
whether or not earlier ones were answered. Each call has a deadline. Last comes half a load again.
"""

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
import uvloop
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import data
from benchmarks.processes import database_pid, forget_peaks, usage
from benchmarks.stack import LONE, Service, as_caller, prepared_database, running_service
from training_service.embedded import embedded_postgres

CHANNELS = 16
AT_A_TIME = 64
"""Calls under way while capacity is measured."""
DEADLINE_SECONDS = 2.0
TICK_SECONDS = 0.005
LOADS = (0.5, 1.0, 2.0, 4.0, 0.5)
"""How many calls come, as parts of the capacity."""

Stubs = Sequence[Any]


@dataclass(slots=True)
class Outcome:
    """What became of the calls of one load."""

    load: float
    seconds: float
    statuses: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    """Of the calls that ended well."""
    peak_memory_mb: float = 0.0
    """Of the service."""
    busy: dict[str, float] = field(default_factory=dict)
    """CPU seconds a second, by what used them; `client` is this program."""

    def rate(self, *statuses: str) -> float:
        """Calls a second that ended with one of these."""
        return sum(self.statuses[status] for status in statuses) / self.seconds

    def latency_ms(self, percent: int) -> float:
        """A percentile of the latencies."""
        if len(self.latencies_ms) < 2:
            return float("nan")
        return statistics.quantiles(self.latencies_ms, n=100)[percent - 1]

    def to_json(self) -> dict[str, Any]:
        """Returns the numbers for a later comparison."""
        return {
            "load": self.load,
            "calls_per_second": {status: self.rate(status) for status in self.statuses},
            "latency_ms": {percent: self.latency_ms(percent) for percent in (50, 99)},
            "peak_memory_mb": self.peak_memory_mb,
            "busy": self.busy,
        }


async def send(stub: Any, outcome: Outcome) -> None:
    """Sends one call and notes what became of it."""
    request = pb.LogSessionRequest(session=SESSION)
    began = time.perf_counter()
    try:
        await stub.LogSession(request, timeout=DEADLINE_SECONDS, metadata=METADATA)
    except grpc.aio.AioRpcError as error:
        outcome.statuses[error.code().name] += 1
    else:
        outcome.statuses["OK"] += 1
        outcome.latencies_ms.append((time.perf_counter() - began) * 1000)


SESSION = data.a_session()
METADATA = list(as_caller(data.athlete("overload")).items())


async def capacity(stubs: Stubs, seconds: float) -> float:
    """Returns how many calls a second are answered when each waits for one before it."""
    end = time.perf_counter() + seconds
    outcome = Outcome(1.0, seconds)

    async def one_after_another(stub: Any) -> None:
        while time.perf_counter() < end:
            await send(stub, outcome)

    await asyncio.gather(*(one_after_another(stubs[n % CHANNELS]) for n in range(AT_A_TIME)))
    if set(outcome.statuses) != {"OK"}:
        raise RuntimeError(f"calls ended with {dict(outcome.statuses)}")
    return outcome.rate("OK")


async def loaded(stubs: Stubs, load: float, rate: float, seconds: float) -> Outcome:
    """Sends calls at a rate, however long they take."""
    outcome = Outcome(load, seconds)
    calls = set()
    began = time.perf_counter()
    sent = 0
    while (elapsed := time.perf_counter() - began) < seconds:
        while sent < elapsed * rate:
            call = asyncio.create_task(send(stubs[sent % CHANNELS], outcome))
            calls.add(call)
            call.add_done_callback(calls.discard)
            sent += 1
        await asyncio.sleep(TICK_SECONDS)
    await asyncio.gather(*calls)
    return outcome


async def run_loads(service: Service, database: int, seconds: float) -> list[Outcome]:
    """Measures the capacity and sends every load."""
    outcomes = []
    pids = {"service": service.pid, "postgresql": database, "client": os.getpid()}
    async with AsyncExitStack() as channels:
        stubs = []
        for _ in range(CHANNELS):
            # Each with a connection of its own.
            options = [("grpc.use_local_subchannel_pool", 1)]
            channel = grpc.aio.insecure_channel(service.address, options)
            stubs.append(SessionServiceStub(await channels.enter_async_context(channel)))
        await capacity(stubs, seconds / 2)
        most = await capacity(stubs, seconds)
        for load in track(LOADS, "loads", console=console, transient=True):
            forget_peaks(service.pid)
            before = {name: usage(pid).cpu_seconds for name, pid in pids.items()}
            began = time.perf_counter()
            outcome = await loaded(stubs, load, load * most, seconds)
            took = time.perf_counter() - began
            for name, pid in pids.items():
                outcome.busy[name] = (usage(pid).cpu_seconds - before[name]) / took
            outcome.peak_memory_mb = usage(service.pid).peak_bytes / 1e6
            outcomes.append(outcome)
    return outcomes


def table(outcomes: Sequence[Outcome]) -> Table:
    """Returns the outcomes for people."""
    shown = Table(
        title=f"LogSession, one worker, deadline {DEADLINE_SECONDS:.0f} s; calls a second"
    )
    for heading in (
        *("load", "sent", "OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "others"),
        *("p50 ms", "p99 ms", "peak MB", "CPU seconds a second"),
    ):
        shown.add_column(heading, justify="right")
    named = ("OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
    for outcome in outcomes:
        others = [status for status in outcome.statuses if status not in named]
        shown.add_row(
            *(f"{outcome.load:.1f}", f"{outcome.rate(*outcome.statuses):,.0f}"),
            *(f"{outcome.rate(status):,.0f}" for status in named),
            f"{outcome.rate(*others):,.0f} {' '.join(others)}",
            *(f"{outcome.latency_ms(percent):,.1f}" for percent in (50, 99)),
            f"{outcome.peak_memory_mb:,.0f}",
            ", ".join(f"{name} {value:.2f}" for name, value in outcome.busy.items()),
        )
    return shown


console = Console(stderr=True)


def run(
    seconds: Annotated[float, typer.Option(help="How long each load lasts.")] = 10.0,
    setting: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, of the service.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where the numbers go, as JSON.")] = None,
) -> None:
    """Send up to four times as many calls as can be answered."""
    settings = dict(given.split("=", 1) for given in setting or [])
    with (
        tempfile.TemporaryDirectory(prefix="training-bench-", ignore_cleanup_errors=True) as name,
        embedded_postgres(Path(name) / "postgres") as server_url,
        ExitStack() as processes,
    ):
        url = prepared_database(server_url, Path(name))
        service = running_service(processes, url, LONE, 1, Path(name), **settings)
        outcomes = uvloop.run(run_loads(service, database_pid(url), seconds))
    Console(width=160).print(table(outcomes))
    if output:
        output.write_text(json.dumps([outcome.to_json() for outcome in outcomes], indent=1) + "\n")


if __name__ == "__main__":
    typer.run(run)
