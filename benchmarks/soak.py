"""`python -m benchmarks.soak`: a mixed workload for a set time, and whether memory grows under it.

Writes, reads, charts, exports and refusals, each at a steady rate from h2load whether or not the
service keeps up, some of them as REST through Envoy. Memory and latencies go into a picture. Ends
with 1 when memory grows after the warm-up, or a call ends otherwise than it should.
"""

import json
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple
from uuid import UUID, uuid4

import altair
import typer
from calisthenics.training.v1 import exercise_pb2, metrics_pb2, readiness_pb2, recommendation_pb2
from calisthenics.training.v1 import session_pb2 as pb
from google.protobuf.message import Message
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import cases, data
from benchmarks.load import Request, grpc_request, h2load_command
from benchmarks.picture import COLOURS
from benchmarks.processes import database_pid, usage
from benchmarks.rounds import LAST_RECORDS_SECONDS
from benchmarks.stack import (
    as_caller,
    newest_session,
    prepared_database,
    running_service,
    unlimited_gateway,
)
from deploy.envoy.gateway import running_envoy
from training_service.embedded import embedded_postgres
from training_service.issuer import DevelopmentIssuer

SERVICE, ENVOY = "127.0.0.1:15195", "127.0.0.1:15196"
ENVOY_ADMIN_PORT = 15197
WORKERS = 2
WRITERS, READERS = 4, 4
SESSIONS_EACH = 60
SAMPLES = 300
"""How often memory is looked at."""
BIN_SECONDS = 10.0
MOST_GROWTH = 0.05
"""By how much memory may differ between the second quarter of the time and the last: the allocator
gives and takes that much."""
JUDGED = ("service", "envoy")
"""PostgreSQL takes its buffers one by one until it has all of them."""

PACKAGE = "/calisthenics.training.v1"


@dataclass(frozen=True, slots=True)
class Stream:
    """One request, sent again and again."""

    name: str
    request: Request
    per_second: float
    method: str = ""
    """The RPC, as access records name it; that of REST calls too."""
    expected: str = "OK"


class Memory(NamedTuple):
    """What a process and its children held."""

    seconds: float
    """Since the load began."""
    process: str
    megabytes: float


class Taken(NamedTuple):
    """One call."""

    seconds: float
    name: str
    milliseconds: float


def main(
    minutes: Annotated[float, typer.Option(min=0.2, help="How long the load lasts.")] = 10,
    scale: Annotated[float, typer.Option(min=0.1, help="Multiplies all rates.")] = 1,
    picture: Annotated[Path | None, typer.Option(help="Where the picture goes, as SVG.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where the numbers go, as JSON.")] = None,
) -> None:
    """Put a mixed load on the service for a set time."""
    console = Console()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server_url = stack.enter_context(embedded_postgres(folder / "postgres"))
        url = prepared_database(server_url, folder)
        service = running_service(stack, url, SERVICE, WORKERS, folder)
        issuer = DevelopmentIssuer(folder / "issuer")
        gateway = unlimited_gateway(ENVOY, ENVOY_ADMIN_PORT, SERVICE, issuer)
        with (folder / "envoy.log").open("w") as log:
            envoy = stack.enter_context(running_envoy(gateway, folder, log))
            pids = {"service": service.pid, "postgresql": database_pid(url)}
            pids["envoy"] = envoy.process.pid
            streams = workload(lambda id: issuer.token(UUID(id), "", 24 * 3600), scale)
            logged = service.log.stat().st_size
            memory, taken = soaked(streams, pids, minutes * 60, folder, console)
            time.sleep(LAST_RECORDS_SECONDS)
            statuses = ended(service.log, logged)
    growths = {process: growth(memory, process) for process in pids}
    wrong = unexpected(streams, statuses)
    report(console, streams, memory, taken, growths, wrong)
    if picture:
        draw(memory, taken, picture)
    if output:
        output.write_text(json.dumps(numbers(minutes, taken, growths), indent=1) + "\n")
    if wrong or any(growths[process] > MOST_GROWTH for process in JUDGED):
        raise typer.Exit(1)


def workload(token: Callable[[str], str], scale: float) -> list[Stream]:
    """Returns what is sent: a minute of it has 600 sessions logged and 1,800 other calls."""
    writers, readers = (
        [data.athlete(f"{kind}-{n}") for n in range(count)]
        for kind, count in (("writer", WRITERS), ("reader", READERS))
    )
    data.fill(SERVICE, [*writers, *readers], SESSIONS_EACH)
    found = [newest_session(SERVICE, one) for one in readers]

    def call(path: str, message: Message, athlete: str, per_second: float, **more: str) -> Stream:
        request = grpc_request(SERVICE, f"{PACKAGE}.{path}", message, as_caller(athlete))
        return Stream(path.partition("/")[2], request, per_second * scale, path, **more)

    def rest(path: str, method: str, athlete: str, per_second: float) -> Stream:
        headers = {"authorization": f"Bearer {token(athlete)}"}
        request = Request(url=f"http://{ENVOY}{cases.REST}/{path}", headers=headers)
        return Stream(f"{method.partition('/')[2]}, REST", request, per_second * scale, method)

    one, two, three, four = readers
    chart = metrics_pb2.GetProgressChartRequest(
        kind=metrics_pb2.CHART_KIND_WEEKLY_VOLUME, format=metrics_pb2.CHART_FORMAT_SVG
    )
    get = "SessionService/GetSession"
    return [
        *(
            call(
                "SessionService/LogSession",
                pb.LogSessionRequest(session=data.a_session()),
                writer,
                10 / WRITERS,
            )
            for writer in writers
        ),
        call(get, pb.GetSessionRequest(session_id=found[0]), one, 8),
        call(get, pb.GetSessionRequest(session_id=str(uuid4())), one, 1, expected="NOT_FOUND"),
        call(
            "SessionService/LogSession",
            pb.LogSessionRequest(),
            writers[0],
            1,
            expected="INVALID_ARGUMENT",
        ),
        call("ExerciseService/ListExercises", exercise_pb2.ListExercisesRequest(), two, 4),
        call("MetricsService/GetProgressChart", chart, three, 0.5),
        call("ReadinessService/GetReadiness", readiness_pb2.GetReadinessRequest(), four, 2),
        call(
            "RecommendationService/RecommendWorkouts",
            recommendation_pb2.RecommendWorkoutsRequest(),
            four,
            1,
        ),
        call("SessionService/ExportSessions", pb.ExportSessionsRequest(), two, 0.5),
        rest(f"users/{one}/sessions/{found[0]}", get, one, 6),
        rest(f"users/{two}/sessions?pageSize=20", "SessionService/ListSessions", two, 6),
    ]


def soaked(
    streams: Sequence[Stream], pids: dict[str, int], seconds: float, folder: Path, console: Console
) -> tuple[list[Memory], list[Taken]]:
    """Sends everything for so long; returns what was held meanwhile, and how long calls took."""
    memory: list[Memory] = []
    began = time.time()
    with ExitStack() as running, Progress(console=console) as progress:
        task = progress.add_task("soak", total=seconds)
        logs = [
            running.enter_context(sending(stream, seconds, folder / f"h2load-{number}"))
            for number, stream in enumerate(streams)
        ]
        while (elapsed := time.time() - began) < seconds:
            memory += [
                Memory(elapsed, name, usage(pid).memory_bytes / 1e6) for name, pid in pids.items()
            ]
            progress.update(task, completed=elapsed)
            time.sleep(seconds / SAMPLES)
    taken = [
        one
        for stream, log in zip(streams, logs, strict=True)
        for one in calls_of(stream, log, began)
    ]
    return memory, taken


@contextmanager
def sending(stream: Stream, seconds: float, folder: Path) -> Iterator[Path]:
    """Sends a stream for so long, waiting for its end; gives the log of its calls."""
    folder.mkdir()
    log = folder / "log"
    options = ("-c", "1", "-m", "50", "-D", f"{seconds:g}", f"--rps={stream.per_second:g}")
    command = h2load_command(stream.request, folder, *options, f"--log-file={log}")
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield log
            process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()


def calls_of(stream: Stream, log: Path, began: float) -> list[Taken]:
    """Reads h2load's log: when each call began and how long it took, in microseconds."""
    rows = [line.split("\t") for line in log.read_text().splitlines()]
    return [
        Taken(int(start) / 1e6 - began, stream.name, int(us) / 1000) for start, _, us, *_ in rows
    ]


def ended(log: Path, begin: int) -> Counter[tuple[str, str]]:
    """Counts access records by RPC and status."""
    counts: Counter[tuple[str, str]] = Counter()
    with log.open() as lines:
        lines.seek(begin)
        for line in lines:
            if '"status"' in line:
                record = json.loads(line)
                counts[record["method"].rpartition(".")[2], record["status"]] += 1
    return counts


def unexpected(streams: Sequence[Stream], statuses: Counter[tuple[str, str]]) -> list[str]:
    """Returns what did not end as it should, in words."""
    allowed = {(stream.method, stream.expected) for stream in streams}
    wrong = [
        f"{count} {rpc}: {status}"
        for (rpc, status), count in statuses.items()
        if (rpc, status) not in allowed
    ]
    missing = [f"no {rpc}: {status}" for rpc, status in allowed if not statuses[rpc, status]]
    return sorted(wrong + missing)


def growth(memory: Sequence[Memory], process: str) -> float:
    """Returns by which share more was held in the last quarter of the time than in the second."""
    held = [one.megabytes for one in memory if one.process == process]
    quarter = len(held) // 4
    return statistics.median(held[-quarter:]) / statistics.median(held[quarter : 2 * quarter]) - 1


def numbers(minutes: float, taken: Sequence[Taken], growths: dict[str, float]) -> dict[str, object]:
    """Returns what came out, for a machine."""
    return {
        "minutes": minutes,
        "calls": len(taken),
        "growth": growths,
        "p95_ms": {name: p95 for name, _, _, p95 in by_name(taken)},
    }


def by_name(taken: Sequence[Taken]) -> Iterator[tuple[str, int, float, float]]:
    """Yields of each kind of call how many there were, the median and the 95th percentile in
    milliseconds."""
    for name in dict.fromkeys(one.name for one in taken):
        of = [one.milliseconds for one in taken if one.name == name]
        yield name, len(of), statistics.median(of), statistics.quantiles(of, n=20)[18]


def report(
    console: Console,
    streams: Sequence[Stream],
    memory: Sequence[Memory],
    taken: Sequence[Taken],
    growths: dict[str, float],
    wrong: Sequence[str],
) -> None:
    """Prints what came out."""
    calls = Table("call", title=f"{len(taken):,} calls, {len(streams)} streams of them")
    for heading in ("calls", "median ms", "p95 ms"):
        calls.add_column(heading, justify="right")
    for name, count, median, p95 in by_name(taken):
        calls.add_row(name, f"{count:,}", f"{median:.1f}", f"{p95:.1f}")
    console.print(calls)
    held = Table("memory")
    for heading in ("least MB", "most MB", "growth"):
        held.add_column(heading, justify="right")
    for process, more in growths.items():
        of = [one.megabytes for one in memory if one.process == process]
        held.add_row(process, f"{min(of):.0f}", f"{max(of):.0f}", f"{more:+.1%}")
    console.print(held)
    for line in wrong:
        console.print(f"[red]{line}")


def draw(memory: Sequence[Memory], taken: Sequence[Taken], file: Path) -> None:
    """Writes the picture: memory, and the latencies of every ten seconds."""
    held = [one._asdict() | {"minutes": one.seconds / 60} for one in memory]
    lines = (
        altair.Chart(altair.InlineData(values=held), title=altair.Title("Memory", anchor="start"))
        .mark_line()
        .encode(
            x=altair.X("minutes:Q", title=None),
            y=altair.Y("megabytes:Q", title="MB"),
            color=altair.Color("process:N", title=None, scale=altair.Scale(range=COLOURS)),
        )
    )
    title = altair.Title("Latency of all calls, by ten seconds", anchor="start")
    latencies = (
        altair.Chart(altair.InlineData(values=[*binned(taken)]), title=title)
        .mark_line()
        .encode(
            x=altair.X("minutes:Q", title="minutes"),
            y=altair.Y("milliseconds:Q", title="ms", scale=altair.Scale(type="log")),
            color=altair.Color("percentile:N", title=None, scale=altair.Scale(range=COLOURS[3:])),
        )
    )
    charts = [one.properties(width=520, height=180) for one in (lines, latencies)]
    picture = altair.vconcat(*charts, background="white").resolve_scale(color="independent")
    picture.configure_view(stroke=None).save(str(file))


def binned(taken: Sequence[Taken]) -> Iterator[dict[str, object]]:
    """Yields percentiles of the latency in every ten seconds."""
    bins: dict[int, list[float]] = {}
    for one in taken:
        bins.setdefault(int(one.seconds // BIN_SECONDS), []).append(one.milliseconds)
    for number, of in sorted(bins.items()):
        minutes = (number + 0.5) * BIN_SECONDS / 60
        if len(of) < 2:
            continue
        yield {"minutes": minutes, "percentile": "50 %", "milliseconds": statistics.median(of)}
        p95 = statistics.quantiles(of, n=20)[18]
        yield {"minutes": minutes, "percentile": "95 %", "milliseconds": p95}


if __name__ == "__main__":
    typer.run(main)
