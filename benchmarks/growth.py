"""`python -m benchmarks.growth`: whether calls cost more as the history grows.

Fills a database for each size, all of one PostgreSQL server, starts a service on each and lets the
sizes take turns in every round. Calls are measured in two ways: about the same athletes at every
size, and about a session at random in each request. Numbers are medians of the rounds, at one
request at a time: how long a call takes, and not how long it waits for others.
"""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import grpc
import psycopg
import typer
from calisthenics.training.v1 import session_pb2 as pb
from psycopg import sql
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import make_url

from benchmarks import cases, history
from benchmarks.cases import Case
from benchmarks.history import SESSIONS_EACH, SUBJECTS, History, Logged
from benchmarks.load import Sample, h2load, measure, median, ratio, require_h2load
from benchmarks.plans import PAGE, Kept, explain, kept, remarks
from benchmarks.processes import database_pid
from benchmarks.rounds import rotated
from benchmarks.stack import as_caller, prepared_database, running_service
from training_service.embedded import embedded_postgres
from training_service.settings import Settings
from training_service.storage.bootstrap import ensure_database

# Below the range that clients' own ports come from.
FIRST_PORT = 15161
MOST_SIZES = 8
CHECKED = 50
"""How many sessions of each size are looked at through the service before it is measured."""
TARGET = 1.2
"""How much more than at the smallest size a call may take at the largest."""

SAME, RANDOM = "same athletes", "at random"
COUNTS = {"GetSession": 1000, "ListSessions(20)": 500, "LogSession": 300}
# What is logged makes the histories longer: reads come first, and find them as they were filled.
PHASES = (("GetSession", "ListSessions(20)"), ("LogSession",))

SETTINGS = {
    "shared_buffers": "2GB",
    "max_wal_size": "32GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}
"""A server with some room, and nothing in the background that one size would suffer from."""
WHILE_FILLING = {"fsync": "off", "full_page_writes": "off"}

console = Console(stderr=True)

Metadata = tuple[tuple[str, str], ...]

Results = dict[str, dict[str, dict[int, Sample]]]
"""By call, what it is about, and size."""


@dataclass(frozen=True, slots=True)
class Served:
    """A history, the database that has it and the service on that."""

    history: History
    url: str
    address: str
    pids: Mapping[str, int]

    def send(self, call: str, about: str, number: int, scale: float) -> Sample:
        """Sends the requests of one turn, in the round of this number."""
        count = int(COUNTS[call] * scale)
        if about == SAME:
            case = case_of(call, self._subject(number))
            request = case.to_grpc(self.address, dict(caller(case)))
            send = partial(h2load, request, count, connections=1, streams=1)
            return measure(send, count, self.pids)
        sent = [case_of(call, logged) for logged in self.history.sample(count, f"{call} {number}")]
        requests = [(case.message.SerializeToString(), caller(case)) for case in sent]
        with grpc.insecure_channel(self.address) as channel:
            grpc.channel_ready_future(channel).result(10)
            stub: Any = channel.unary_unary(sent[0].path)
            return measure(partial(send_in_turn, stub, requests), count, self.pids)

    def _subject(self, number: int) -> Logged:
        """Returns the session a round is about, the same at every size; never one voided."""
        place = number * 37 % SESSIONS_EACH
        subject = self.history.session(number % SUBJECTS, place)
        if subject.is_voided:
            subject = self.history.session(number % SUBJECTS, (place + 1) % SESSIONS_EACH)
        return subject

    def check(self) -> None:
        """Shows that the service finds what was filled in, and can't tell it from its own."""
        with grpc.insecure_channel(self.address) as channel:
            get: Any = channel.unary_unary(case_of("GetSession", self._subject(0)).path)
            for logged in self.history.sample(CHECKED, "check"):
                case = case_of("GetSession", logged)
                answer = get(case.message.SerializeToString(), metadata=caller(case))
                assert answer == history.message(logged).SerializeToString()
            athlete = [self.history.session(0, number) for number in range(SESSIONS_EACH)]
            newest = [logged for logged in reversed(athlete) if not logged.is_voided][:PAGE]
            case = case_of(f"ListSessions({PAGE})", newest[0])
            find: Any = channel.unary_unary(case.path)
            page = find(case.message.SerializeToString(), metadata=caller(case))
            sessions = pb.ListSessionsResponse.FromString(page).sessions
            assert list(sessions) == [history.message(logged) for logged in newest]


def case_of(call: str, logged: Logged) -> Case:
    """Returns a call about a session, or about the athlete whose it is."""
    athlete = str(logged.athlete)
    found = [*cases.core(athlete, str(logged.id), scale=1), cases.logging(athlete, scale=1)]
    return next(case for case in found if case.name == call)


def caller(case: Case) -> Metadata:
    """Returns the metadata that says who calls: the athlete."""
    return tuple(as_caller(case.athlete).items())


def send_in_turn(stub: Any, requests: Sequence[tuple[bytes, Metadata]]) -> tuple[float, list[int]]:
    """Sends requests one after the other; see `measure`."""
    taken = []
    begin = time.perf_counter_ns()
    for request, metadata in requests:
        sent = time.perf_counter_ns()
        stub(request, metadata=metadata)
        taken.append((time.perf_counter_ns() - sent) // 1000)
    return len(requests) / (time.perf_counter_ns() - begin) * 1e9, taken


@contextmanager
def running(folder: Path, sizes: list[int], seconds: dict[str, float]) -> Iterator[list[Served]]:
    """Fills the databases and starts the services; adds how long that took to `seconds`."""
    with ExitStack() as stack:
        with embedded_postgres(folder / "postgres") as server_url:
            configure(server_url, SETTINGS)
        # Some settings take effect when the server starts.
        server_url = stack.enter_context(embedded_postgres(folder / "postgres"))
        empty = prepared_database(server_url, folder)
        history.create_loader(empty)
        configure(server_url, WHILE_FILLING)
        urls = {}
        for size in sizes:
            begin = time.monotonic()
            urls[size] = filled(server_url, empty, size)
            seconds[f"fill {size:,}"] = time.monotonic() - begin
        begin = time.monotonic()
        configure(server_url, dict.fromkeys(WHILE_FILLING))
        settle(server_url)
        seconds["settle"] = time.monotonic() - begin
        yield [
            served(stack, History(size), url, FIRST_PORT + number, folder)
            for number, (size, url) in enumerate(urls.items())
        ]


def configure(server_url: str, settings: Mapping[str, str | None]) -> None:
    """Changes settings of the server; None brings the default back."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        for name, value in settings.items():
            statement = sql.SQL("ALTER SYSTEM SET {} TO {}").format(
                sql.Identifier(name), sql.SQL("DEFAULT") if value is None else sql.Literal(value)
            )
            connection.execute(statement)
        connection.execute("SELECT pg_reload_conf()")


def filled(server_url: str, empty: str, size: int) -> str:
    """Returns the URL of a new database that has a history of this size."""
    name = f"sessions_{size}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
        sql.Identifier(name), sql.Identifier(make_url(empty).database or "")
    )
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(statement)
    url = ensure_database(server_url, name)
    with progress() as bar:
        task = bar.add_task(f"{size:,} sessions", total=size)
        history.load(url, History(size), partial(bar.advance, task))
        bar.update(task, description=f"{size:,} sessions, vacuum")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
    return url


def settle(server_url: str) -> None:
    """Waits until all that was filled in is on the disk, so that nothing is written later."""
    os.sync()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def served(processes: ExitStack, of: History, url: str, port: int, folder: Path) -> Served:
    """Starts a service with one worker on a database."""
    address = f"127.0.0.1:{port}"
    quiet = {"TRAINING_LOG_LEVEL": "WARNING"}
    service = running_service(processes, url, address, 1, folder, **quiet)
    return Served(of, url, address, {"service": service.pid, "postgresql": database_pid(url)})


def progress() -> Progress:
    """Returns a progress bar that is gone afterwards."""
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def measured(sizes: Sequence[Served], rounds: int, scale: float) -> Results:
    """Lets the sizes take turns at every call, round after round; a first round counts nothing."""
    samples: dict[str, dict[str, dict[int, list[Sample]]]] = {}
    with progress() as bar:
        total = len(COUNTS) * 2 * len(sizes) * (rounds + 1)
        task = bar.add_task("rounds", total=total)
        for number, call, about, one in turns(sizes, rounds):
            bar.update(task, description=f"{call}, {about}, {one.history.size:,}")
            sample = one.send(call, about, number, scale)
            if number:
                by_size = samples.setdefault(call, {}).setdefault(about, {})
                by_size.setdefault(one.history.size, []).append(sample)
            bar.advance(task)
    return {
        call: {
            about: {one.history.size: median(by_size[one.history.size]) for one in sizes}
            for about, by_size in abouts.items()
        }
        for call, abouts in samples.items()
    }


def turns(sizes: Sequence[Served], rounds: int) -> Iterator[tuple[int, str, str, Served]]:
    """Yields the turns; the order of the sizes is another in every round."""
    for calls in PHASES:
        for number in range(rounds + 1):
            for call in calls:
                for about in (SAME, RANDOM):
                    for one in rotated(sizes, number):
                        yield number, call, about, one


def latency_table(results: Results) -> Table:
    """Returns the measurements for people."""
    shown = Table(title="medians, one request at a time")
    for heading in ("call", "about", "sessions", "p50 ms", "p95 ms", "CPU µs", "of which"):
        shown.add_column(heading, justify="left" if heading in ("call", "about") else "right")
    shown.add_column("× p50", justify="right")
    shown.add_column("× CPU", justify="right")
    for call, abouts in results.items():
        for about, sizes in abouts.items():
            first = next(iter(sizes.values()))
            for size, sample in sizes.items():
                parts = " + ".join(f"{name} {us:.0f}" for name, us in sample.cpu_us.items())
                shown.add_row(
                    *(call, about, f"{size:,}"),
                    *(f"{sample.latency_ms[50]:.2f}", f"{sample.latency_ms[95]:.2f}"),
                    *(f"{sample.total_cpu_us:,.0f}", parts),
                    f"{ratio(sample.latency_ms[50], first.latency_ms[50]):.2f}",
                    f"{ratio(sample.total_cpu_us, first.total_cpu_us):.2f}",
                )
    return shown


def bytes_table(found: Sequence[Kept], size: int) -> Table:
    """Returns what tables and indexes take for each session."""
    shown = Table(title=f"{size:,} sessions")
    shown.add_column("table or index")
    for heading in ("MB", "bytes a session", "% full"):
        shown.add_column(heading, justify="right")
    for one in found:
        full = "" if one.filled_percent is None else f"{one.filled_percent:.0f}"
        shown.add_row(one.name, f"{one.bytes / 1e6:,.1f}", f"{one.bytes / size:,.0f}", full)
    total = sum(one.bytes for one in found)
    shown.add_row("all", f"{total / 1e6:,.1f}", f"{total / size:,.0f}", "")
    return shown


def show(
    results: Results, found: Sequence[Kept], plans: Mapping[str, list[str]], size: int
) -> None:
    """Prints everything for people."""
    output = Console(width=140)
    output.print(latency_table(results), bytes_table(found, size))
    for call, statements in plans.items():
        for plan in statements:
            text = f"{', '.join([call, *remarks(plan)])}\n{plan}\n"
            output.print(text, markup=False, highlight=False, soft_wrap=True)
    for call, abouts in results.items():
        for about, sizes in abouts.items():
            first, *_, last = sizes.values()
            slower = ratio(last.latency_ms[50], first.latency_ms[50])
            dearer = ratio(last.total_cpu_us, first.total_cpu_us)
            verdict = "within" if max(slower, dearer) <= TARGET else "NOT within"
            output.print(f"{call}, {about}: p50 {slower:.2f}×, CPU {dearer:.2f}×, {verdict} target")


def parse_sizes(text: str) -> list[int]:
    """Returns the sizes of an option, smallest first."""
    sizes = sorted({int(size) for size in text.split(",")})
    if not 2 <= len(sizes) <= MOST_SIZES or sizes[0] < SUBJECTS * SESSIONS_EACH:
        least = SUBJECTS * SESSIONS_EACH
        raise typer.BadParameter(f"needs 2 to {MOST_SIZES} sizes of at least {least} sessions")
    return sizes


def run(
    sizes: Annotated[
        str, typer.Option(help="How many sessions there are.")
    ] = "1000,100000,2000000",
    rounds: Annotated[int, typer.Option(min=1, help="How often each size has its turn.")] = 7,
    scale: Annotated[float, typer.Option(help="Multiplies how many requests a turn has.")] = 1.0,
    output: Annotated[Path | None, typer.Option(help="Where the numbers go, as JSON.")] = None,
) -> None:
    """Measure calls on histories of several sizes; needs 8 KB of disk for each session."""
    require_h2load()
    wanted = parse_sizes(sizes)
    begin = time.monotonic()
    seconds: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory(prefix="training-bench-", ignore_cleanup_errors=True) as folder,
        running(Path(folder), wanted, seconds) as all_served,
    ):
        for one in all_served:
            one.check()
        largest = all_served[-1]
        found = kept(largest.url)
        role, subject = Settings().database_role, largest.history.session(0, 1)
        plans = {one.history.size: explain(one.url, role, subject) for one in all_served}
        started = time.monotonic()
        results = measured(all_served, rounds, scale)
        seconds["measure"] = time.monotonic() - started
    seconds["all"] = time.monotonic() - begin
    show(results, found, plans[wanted[-1]], wanted[-1])
    console.print(", ".join(f"{what}: {value:.0f} s" for what, value in seconds.items()))
    if output:
        written = {
            "calls": {
                call: {a: {s: asdict(sample) for s, sample in by.items()} for a, by in of.items()}
                for call, of in results.items()
            },
            "kept": [asdict(one) for one in found],
            "plans": plans,
            "seconds": seconds,
        }
        output.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(run)
