"""`python -m benchmarks.replica`: how old replicas are, and what their reads cost.

Starts PostgreSQL, a streaming replica of it and the service, on one machine. Athletes log sessions
in the background meanwhile. Needs the development packages.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from calisthenics.training.v1 import metrics_pb2, session_pb2
from rich.console import Console
from rich.table import Table

from tests.conftest import prepared
from tests.replica.server import ReplicaServer, streaming_replica
from tests.support import Athlete, RunningService, a_session, running_service
from training_service.consistency import TOKEN_KEY, from_token
from training_service.embedded import embedded_postgres
from training_service.storage.bootstrap import ensure_database

NAME = "benchmark"
Metadata = list[tuple[str, str]]


def log(athlete: Athlete) -> Metadata:
    """Logs a session; returns the token that comes back."""
    request = session_pb2.LogSessionRequest(session=a_session())
    _, call = athlete.sessions.LogSession.with_call(request)
    return [pair for pair in call.trailing_metadata() if pair[0] == TOKEN_KEY]


def read(athlete: Athlete, token: Metadata | None = None) -> int:
    """Reads the days an athlete trained on; returns the sessions of them."""
    request = metrics_pb2.ListDailyTotalsRequest()
    days = athlete.metrics.ListDailyTotals(request, metadata=token).days
    return sum(day.totals.session_count for day in days)


def seconds_of(work: Callable[[], object]) -> float:
    """Returns how long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def writers(address: str, number: int) -> Iterator[None]:
    """Lets athletes log one session after another."""
    is_over = threading.Event()

    def work() -> None:
        athlete = Athlete(address)
        while not is_over.wait(0.002):
            log(athlete)
        athlete.close()

    threads = [threading.Thread(target=work) for _ in range(number)]
    for one in threads:
        one.start()
    try:
        yield
    finally:
        is_over.set()
        for one in threads:
            one.join()


def until_replayed(athlete: Athlete, connection: psycopg.Connection) -> float:
    """Returns the seconds from the answer of a write until the replica has it."""
    [(_, token)] = log(athlete)
    start = time.perf_counter()
    query = "SELECT (pg_last_wal_replay_lsn() - '0/0')::int8 >= %s"
    while connection.execute(query, [from_token(token).lsn]).fetchone() != (True,):
        pass
    return time.perf_counter() - start


def measure(
    primary: RunningService, service: RunningService, replica: ReplicaServer, count: int
) -> Iterator[tuple[str, list[float]]]:
    """Yields what was measured, in seconds."""
    alone, athlete = Athlete(primary.address), Athlete(service.address)
    for one in (alone, athlete):
        for _ in range(100):
            log(one)
    with psycopg.connect(replica.url(NAME), autocommit=True) as connection:
        yield (
            "from the answer of a write until the replica has it",
            [until_replayed(athlete, connection) for _ in range(count)],
        )
    yield "a read, no replicas set up", [seconds_of(lambda: read(alone)) for _ in range(count)]
    yield "a read, without a token", [seconds_of(lambda: read(athlete)) for _ in range(count)]
    found, missed = [], 0
    logged = read(athlete, log(athlete))
    for expected in range(logged + 1, logged + 1 + count):
        token = log(athlete)
        start = time.perf_counter()
        missed += read(athlete, token) != expected
        found.append(time.perf_counter() - start)
    assert not missed, f"{missed} reads with a token did not see the write"
    yield "a read right after the caller's own write, with its token", found


def to_table(measured: Iterator[tuple[str, list[float]]]) -> Table:
    """Returns what was measured, in milliseconds."""
    table = Table("what", "number", "median ms", "95 % ms", "99 % ms", "most ms")
    for name, seconds in measured:
        ordered = sorted(seconds)
        shown = [ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95, 0.99, 1)]
        table.add_row(name, str(len(ordered)), *(f"{one * 1000:.1f}" for one in shown))
    return table


def run(
    count: Annotated[int, typer.Option(min=200, help="How often each thing is done.")] = 1000,
    load: Annotated[int, typer.Option(help="Athletes who log sessions meanwhile.")] = 4,
) -> None:
    """Measure the age of a replica, and reads from it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with (
            embedded_postgres(Path(folder) / "primary") as url,
            streaming_replica(url) as replica,
        ):
            database = prepared(ensure_database(url, NAME))
            replica.catch_up()
            with (
                running_service(database) as primary,
                running_service(database, replica_urls=(replica.url(NAME),)) as service,
                writers(service.address, load),
            ):
                time.sleep(5)  # until it knows the replica
                before = replica.now()
                table = to_table(measure(primary, service, replica, count))
                assert replica.answered_since(before)
    Console(width=120).print(table)


if __name__ == "__main__":
    typer.run(run)
