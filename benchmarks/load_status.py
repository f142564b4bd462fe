"""`python -m benchmarks.load_status`: whether load costs more to tell after years than after weeks.

Two athletes train every other day, among others: a database of nobody else would be read as a
whole. The first call about each is measured by itself: it makes the checkpoints that those after it
read. Then both take turns in every round, one call at a time.
"""

import tempfile
import time
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import grpc
import psycopg
import typer
from calisthenics.training.v1 import load_pb2 as pb
from calisthenics.training.v1.load_pb2_grpc import LoadServiceStub
from google.protobuf.message import Message
from google.type.date_pb2 import Date
from psycopg import sql
from rich.console import Console

from benchmarks import data
from benchmarks.load import Sample, grpc_request, h2load, median, ratio, require_h2load
from benchmarks.processes import database_pid
from benchmarks.rounds import rotated, send
from benchmarks.stack import Service, Target, as_caller, prepared_database, running_service
from training_service.embedded import embedded_postgres

ADDRESS = "127.0.0.1:15191"
DAYS_APART = 2
OTHERS = 500
TARGET = 1.2
"""How much more than after ten weeks a call may take after ten years."""
SERVICE = "/calisthenics.training.v1.LoadService"
TODAY = data.NOW.date()


def a_date(days_ago: int = 0) -> Date:
    """Returns the day that is so many days before the newest session."""
    day = TODAY - timedelta(days_ago)
    return Date(year=day.year, month=day.month, day=day.day)


CASES: dict[str, Message] = {
    "GetLoadStatus": pb.GetLoadStatusRequest(local_date=a_date()),
    "ListLoadSeries": pb.ListLoadSeriesRequest(from_date=a_date(27), to_date=a_date(-1)),
}


def main(
    years: Annotated[int, typer.Option(min=1, help="How long the longer history is.")] = 10,
    count: Annotated[int, typer.Option(min=10, help="Calls of each turn.")] = 500,
    rounds: Annotated[int, typer.Option(min=1, help="How often each has its turn.")] = 5,
) -> None:
    """Measure calls about load after ten weeks and after years."""
    require_h2load()
    console = Console()
    days = {"ten weeks": 70, f"{years} years": 365 * years}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server_url = stack.enter_context(embedded_postgres(Path(folder) / "postgres"))
        url = prepared_database(server_url, Path(folder))
        service = running_service(stack, url, ADDRESS, 1, Path(folder))
        for name, length in days.items():
            data.fill(ADDRESS, [data.athlete(name)], length // DAYS_APART, DAYS_APART)
        add_others(url, data.athlete("ten weeks"))
        console.print(f"every other day, one call at a time, {rounds} rounds of {count}, medians")
        for name in days:
            console.print(f"first call, {name:9} {first_call_ms(name):8.2f} ms")
        for case, message in CASES.items():
            targets = [target(name, case, message, url, service) for name in days]
            samples = turns(targets, count, rounds)
            report(console, case, samples)


def add_others(url: str, athlete: str) -> None:
    """Gives what an athlete's sessions amount to to many others."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("session_metrics", "exercise_metrics"):
            connection.execute(
                sql.SQL(
                    "CREATE TEMP TABLE copied AS SELECT * FROM {} WHERE external_user_id = {}"
                ).format(sql.Identifier("training", table), sql.Literal(athlete))
            )
            for _ in range(OTHERS):
                connection.execute("UPDATE copied SET external_user_id = %s", [uuid4()])
                connection.execute(
                    sql.SQL("INSERT INTO {} SELECT * FROM copied").format(
                        sql.Identifier("training", table)
                    )
                )
            connection.execute("DROP TABLE copied")
        connection.execute("VACUUM ANALYZE")


def first_call_ms(name: str) -> float:
    """Returns how long the first call about an athlete takes, of a process that is warm."""
    with grpc.insecure_channel(ADDRESS) as channel:
        call = LoadServiceStub(channel).GetLoadStatus
        call(
            pb.GetLoadStatusRequest(),
            metadata=list(as_caller(data.athlete("nobody")).items()),
        )
        begin = time.perf_counter()
        call(CASES["GetLoadStatus"], metadata=list(as_caller(data.athlete(name)).items()))
        return (time.perf_counter() - begin) * 1000


def target(name: str, case: str, message: Message, url: str, service: Service) -> Target:
    """Returns what sends a call about an athlete, one at a time."""
    request = grpc_request(ADDRESS, f"{SERVICE}/{case}", message, as_caller(data.athlete(name)))
    pids = {"service": service.pid, "postgresql": database_pid(url)}
    return Target(name, partial(h2load, request, connections=1, streams=1), pids, service.log)


def turns(targets: list[Target], count: int, rounds: int) -> dict[str, Sample]:
    """Lets the targets take turns; returns the medians of each."""
    samples: dict[str, list[Sample]] = {one.name: [] for one in targets}
    for number in range(-1, rounds):
        for one in rotated(targets, number):
            sample = send(one, count)
            if number >= 0:  # the first is to warm up
                samples[one.name].append(sample)
    return {name: median(taken) for name, taken in samples.items()}


def report(console: Console, case: str, samples: dict[str, Sample]) -> None:
    """Prints what each took, and how many times the other it is."""
    for name, sample in samples.items():
        console.print(
            f"{case:14} {name:9} {sample.latency_ms[50]:8.2f} ms"
            f" {sample.total_cpu_us:8.0f} us of CPU,"
            f" {sample.cpu_us['postgresql']:.0f} of them PostgreSQL's",
            soft_wrap=True,
        )
    short, long = samples.values()
    by_time = ratio(long.latency_ms[50], short.latency_ms[50])
    by_cpu = ratio(long.total_cpu_us, short.total_cpu_us)
    console.print(f"{case:14} ratio     {by_time:8.2f} by time, {by_cpu:.2f} by CPU", end="")
    console.print(f" (at most {TARGET})" if case == "GetLoadStatus" else "")


if __name__ == "__main__":
    typer.run(main)
