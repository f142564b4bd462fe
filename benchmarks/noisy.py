"""`python -m benchmarks.noisy`: what others notice of who makes 50 times the calls they may.

Quiet callers read a session each now and then, and how long that takes is measured: alone, beside a
noisy caller on a service with limits, and beside the same on one without. The three take turns in
every round. Noise comes from h2load, at a steady rate whether or not it is answered.
"""

import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import inf
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
from benchmarks.load import grpc_request, h2load_command
from benchmarks.rounds import rotated
from benchmarks.stack import (
    Service,
    as_caller,
    newest_session,
    prepared_database,
    running_service,
)
from training_service.embedded import embedded_postgres

LIMITED, UNLIMITED = "127.0.0.1:15193", "127.0.0.1:15194"
QUIET = 16
"""How many quiet callers there are."""
CALLS_PER_SECOND = 4.0
"""Of each of them."""
CONNECTIONS = 4
SETTLE_SECONDS = 0.5
GET_SESSION = "/calisthenics.training.v1.SessionService/GetSession"
ALONE, BESIDE, BESIDE_UNLIMITED = "quiet", "noise, limits", "noise, no limits"


def main(
    limit: Annotated[
        float, typer.Option(min=1, help="Reads a second that a caller may make.")
    ] = 10,
    times: Annotated[float, typer.Option(min=1, help="How often the noisy one makes that.")] = 50,
    seconds: Annotated[float, typer.Option(min=0.5, help="How long each turn takes.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="How often each has its turn.")] = 5,
    output: Annotated[Path | None, typer.Option(help="Where the numbers go, as JSON.")] = None,
) -> None:
    """Measure what quiet callers notice of a noisy one."""
    console = Console()
    quiet = data.athletes(QUIET)
    noisy = data.athlete("noisy")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server_url = stack.enter_context(embedded_postgres(folder / "postgres"))
        url = prepared_database(server_url, folder)
        limits = {
            "TRAINING_RATE_READS_PER_SECOND": str(limit),
            "TRAINING_RATE_READS_BURST": str(int(2 * limit)),
        }
        without = running_service(stack, url, UNLIMITED, 1, folder)
        limited = running_service(stack, url, LIMITED, 1, folder, **limits)
        data.fill(UNLIMITED, [*quiet, noisy], 5)
        sessions = {athlete: newest_session(UNLIMITED, athlete) for athlete in [*quiet, noisy]}
        ways: list[tuple[str, Service, float]] = [
            (ALONE, limited, 0.0),
            (BESIDE, limited, limit * times),
            (BESIDE_UNLIMITED, without, limit * times),
        ]
        taken: dict[str, list[float]] = {way: [] for way, _, _ in ways}
        for number in track(range(rounds), "rounds", console=console):
            for way, service, rate in rotated(ways, number):
                with noise(service.address, noisy, sessions[noisy], rate, seconds):
                    taken[way] += uvloop.run(
                        latencies_ms(service.address, sessions, quiet, seconds)
                    )
    report(console, taken, limit, times, output)


@contextmanager
def noise(
    address: str, athlete: str, session_id: str, rate: float, seconds: float
) -> Iterator[None]:
    """Sends so many calls a second of one caller for as long as the block lasts."""
    if not rate:
        yield
        return
    message = pb.GetSessionRequest(session_id=session_id)
    request = grpc_request(address, GET_SESSION, message, as_caller(athlete))
    options = ["-c", str(CONNECTIONS), "-m", "100", f"--rps={rate / CONNECTIONS:g}"]
    options += ["-D", str(int(seconds + 5))]
    with tempfile.TemporaryDirectory() as folder:
        command = h2load_command(request, Path(folder), *options)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            time.sleep(SETTLE_SECONDS)
            assert process.poll() is None, "h2load ended too early"
            try:
                yield
            finally:
                process.terminate()


async def latencies_ms(
    address: str, sessions: dict[str, str], athletes: Sequence[str], seconds: float
) -> list[float]:
    """Returns how long the calls of quiet callers took; `inf` for each that failed."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = SessionServiceStub(channel)  # type: ignore[no-untyped-call]
        # Whoever connects first pays for it.
        await stub.GetSession(
            pb.GetSessionRequest(session_id=sessions[athletes[0]]),
            metadata=tuple(as_caller(athletes[0]).items()),
        )
        found = await asyncio.gather(
            *(
                _calls(stub, athlete, sessions[athlete], seconds, number / len(athletes))
                for number, athlete in enumerate(athletes)
            )
        )
    return [each for of in found for each in of]


async def _calls(
    stub: Any, athlete: str, session_id: str, seconds: float, offset: float
) -> list[float]:
    gap = 1 / CALLS_PER_SECOND
    request = pb.GetSessionRequest(session_id=session_id)
    metadata = tuple(as_caller(athlete).items())
    taken = []
    begin = time.monotonic() + offset * gap
    for number in range(int(seconds * CALLS_PER_SECOND)):
        await asyncio.sleep(max(begin + number * gap - time.monotonic(), 0))
        sent = time.perf_counter()
        try:
            await stub.GetSession(request, metadata=metadata)
        except grpc.aio.AioRpcError:
            taken.append(inf)
        else:
            taken.append((time.perf_counter() - sent) * 1000)
    return taken


def report(
    console: Console,
    taken: dict[str, list[float]],
    limit: float,
    times: float,
    output: Path | None,
) -> None:
    """Prints what came out, and writes it down."""
    table = Table(
        title=f"One caller at {times:g} times {limit:g} reads a second; GetSession of others"
    )
    for heading in ("", "calls", "failed", "median ms", "p95 ms", "median : quiet"):
        table.add_column(heading, justify="right" if heading else "left")
    quiet = statistics.median(taken[ALONE])
    numbers = {}
    for way, of in taken.items():
        median, p95 = statistics.median(of), statistics.quantiles(of, n=20)[18]
        failed = sum(each == inf for each in of)
        numbers[way] = {"calls": len(of), "failed": failed, "median_ms": median, "p95_ms": p95}
        table.add_row(
            way, str(len(of)), str(failed), f"{median:.2f}", f"{p95:.2f}", f"{median / quiet:.2f}"
        )
    console.print(table)
    if output:
        ratios = {way: of["median_ms"] / quiet for way, of in numbers.items()}
        written = {"limit": limit, "times": times, "latencies": numbers, "ratios": ratios}
        output.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
