"""`python -m benchmarks.observability`: what metrics, and traces, take from the throughput.

Services with and without take turns in every round, on one database; each is compared with the one
without in the same round. A second one without tells how much of a difference is chance; where that
is more than metrics take, what their instruments alone take of a processor says more.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from unittest.mock import patch

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import cases, data
from benchmarks.cases import Case
from benchmarks.load import Sample, require_h2load
from benchmarks.rounds import rotated, send
from benchmarks.stack import (
    AT_A_TIME,
    Service,
    Target,
    as_caller,
    by_all,
    newest_session,
    prepared_database,
    running_service,
)
from training_service.embedded import embedded_postgres
from training_service.observability.scrape import FOLDER_VARIABLE

if TYPE_CHECKING:
    from training_service.observability.instruments import RpcInstruments

# Below the range that clients' own ports come from.
FIRST_PORT = 15201
METRICS = {"TRAINING_METRICS_ADDRESS": "127.0.0.1:15209"}
# Where nobody listens: what is measured is the making of spans, in batches that are then dropped.
TRACES = {"TRAINING_OTLP_ENDPOINT": "http://127.0.0.1:15208"}
OFF, AGAIN, ON, TRACED = "off", "off again", "metrics", "traces"
WAYS: dict[str, dict[str, str]] = {OFF: {}, AGAIN: {}, ON: METRICS, TRACED: TRACES}
MOST = 0.05
"""What metrics may take."""
CALLS, REPEATS = 10_000, 5


def main(
    workers: Annotated[int, typer.Option(min=1, help="Processes of each service.")] = 2,
    scale: Annotated[float, typer.Option(min=0.001, help="Calls of a turn, as a factor.")] = 0.5,
    rounds: Annotated[int, typer.Option(min=1, help="How often each has its turn.")] = 15,
    output: Annotated[Path | None, typer.Option(help="Where the ratios go, as JSON.")] = None,
) -> None:
    """Measure what metrics and traces cost."""
    require_h2load()
    console = Console()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server_url = stack.enter_context(embedded_postgres(folder / "postgres"))
        url = prepared_database(server_url, folder)
        services = {
            way: running_service(
                stack, url, f"127.0.0.1:{FIRST_PORT + number}", workers, folder, **settings
            )
            for number, (way, settings) in enumerate(WAYS.items())
        }
        kinds = _cases(services[OFF].address, scale)
        samples: dict[str, list[dict[str, Sample]]] = {kind[0].name: [] for kind in kinds}
        for number in track(range(rounds), "rounds", console=console):
            for kind in kinds:
                samples[kind[0].name].append(_turns(services, kind, number))
    report(console, samples, output)


def instruments_us() -> float:
    """Returns the CPU time in µs that counting a call takes a worker of several, at the least."""
    # Its library looks at the variable when it is first loaded.
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {FOLDER_VARIABLE: folder}):
        from training_service.observability.instruments import Instruments

        rpc = Instruments().of_rpc("unary", "calisthenics.training.v1.SessionService", "GetSession")
        return min(_calls_us(rpc) for _ in range(REPEATS))


def _calls_us(rpc: "RpcInstruments") -> float:
    began = time.process_time()
    for _ in range(CALLS):
        rpc.began()
        rpc.ended("OK", 0.003, 2)
    return (time.process_time() - began) / CALLS * 1e6


def _cases(address: str, scale: float) -> list[list[Case]]:
    """Returns the calls that are compared, each by one athlete or by several side by side."""
    reader, *writers = data.athletes(AT_A_TIME)
    data.fill(address, [reader], 50)
    core = cases.core(reader, newest_session(address, reader), scale)
    return [*([one] for one in core), [cases.logging(writer, scale) for writer in writers]]


def _turns(services: dict[str, Service], kind: Sequence[Case], number: int) -> dict[str, Sample]:
    """Lets each service answer the same calls, in another order for every round."""
    found = {}
    for way, service in rotated(list(services.items()), number):
        requests = [case.to_grpc(service.address, as_caller(case.athlete)) for case in kind]
        target = Target(way, by_all(requests), {"service": service.pid}, service.log)
        found[way] = send(target, kind[0].count)
    return found


def report(
    console: Console, samples: dict[str, list[dict[str, Sample]]], output: Path | None
) -> None:
    """Prints what came out, and writes it down."""
    table = Table(title=f"Throughput beside {OFF}; metrics may take {MOST:.0%}")
    for heading in ("", *WAYS, "µs of CPU a call"):
        table.add_column(heading, justify="right" if heading else "left")
    ratios: dict[str, dict[str, float]] = {}
    for name, turns in samples.items():
        ratios[name] = {way: ratio(turns, way) for way in WAYS}
        busy = statistics.median(turn[OFF].cpu_us["service"] for turn in turns)
        table.add_row(name, *(f"{each:.3f}" for each in ratios[name].values()), f"{busy:.0f}")
    of_all = {way: statistics.geometric_mean(of[way] for of in ratios.values()) for way in WAYS}
    table.add_row("all", *(f"{each:.3f}" for each in of_all.values()), "")
    console.print(table)
    alone = instruments_us()
    console.print(f"counting a call takes {alone:.1f} µs of CPU")
    if output:
        written = {"ratios": ratios, "all": of_all, "instruments_us": alone}
        output.write_text(json.dumps(written, indent=1) + "\n")


def ratio(turns: Sequence[dict[str, Sample]], way: str) -> float:
    """Returns the throughput of a way beside that without, the median of all rounds."""
    return statistics.median(
        turn[way].requests_per_second / turn[OFF].requests_per_second for turn in turns
    )


if __name__ == "__main__":
    typer.run(main)
