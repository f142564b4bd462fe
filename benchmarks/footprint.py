"""`python -m benchmarks.footprint`: what calls and sessions take, the input of the capacity model.

CPU time of each call in the service and in PostgreSQL, how much the time of a call varies,
write-ahead log of a session logged, bytes of a session in the database before and after it is
archived and in its object, and memory of a worker and of a connection.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import psutil
import psycopg
import typer
from calisthenics.training.v1 import load_pb2, metrics_pb2, readiness_pb2, recommendation_pb2
from google.protobuf.message import Message
from rich.console import Console

from benchmarks import cases, data
from benchmarks.cases import Case
from benchmarks.load import Request, Sample, h2load, measure, median, require_h2load
from benchmarks.processes import database_pid, usage
from benchmarks.report import described
from benchmarks.rounds import LAST_RECORDS_SECONDS, send
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
from training_service.archive.store import FOLDER
from training_service.demo import run_demo
from training_service.embedded import embedded_postgres
from training_service.settings import Settings
from training_service.storage import archiving

ONE_WORKER, TWO_WORKERS, DEMO = (f"127.0.0.1:{port}" for port in (15186, 15187, 15188))
PACKAGE = "/calisthenics.training.v1"
ONE_AT_A_TIME = {"GetProgressChart"}
"""A worker refuses to draw many at once."""
OWN_TABLES = """
    SELECT relname, pg_total_relation_size(oid) FROM pg_class
    WHERE relnamespace = 'training'::regnamespace AND relkind = 'r'
"""
RECORD = "SELECT avg(length(record))::float FROM training.sessions"
LOG_POSITION = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"


@dataclass(frozen=True, slots=True)
class Served:
    """A service with one worker, the same with two, and their database."""

    url: str
    one: Service
    two: Service
    database: int
    """Process id of PostgreSQL."""


def main(
    rounds: Annotated[int, typer.Option(min=1, help="How often each call has its turn.")] = 3,
    scale: Annotated[float, typer.Option(help="Multiplies how many calls a turn has.")] = 1.0,
    athletes: Annotated[int, typer.Option(min=AT_A_TIME, help="Athletes of the calls.")] = 20,
    sessions: Annotated[int, typer.Option(min=20, help="Sessions of each.")] = 300,
    days: Annotated[int, typer.Option(min=28, help="How far back the demo logs.")] = 1000,
    runs: Annotated[int, typer.Option(min=2, help="How often; two athletes each.")] = 4,
    output: Annotated[Path | None, typer.Option(help="Where the numbers go, as JSON.")] = None,
) -> None:
    """Measure what calls and sessions take."""
    require_h2load()
    with tempfile.TemporaryDirectory(prefix="training-footprint-") as name:
        folder = Path(name)
        with embedded_postgres(folder / "postgres") as server_url, ExitStack() as stack:
            calls = calls_and_memory(stack, server_url, folder, athletes, sessions, rounds, scale)
        with embedded_postgres(folder / "demo") as server_url, ExitStack() as stack:
            kept = bytes_kept(stack, server_url, folder, days, runs)
    found = {
        "commit": described(),
        "measured_on": datetime.now(UTC).date().isoformat(),
        "machine_cores": os.cpu_count(),
        **calls,
        "bytes": {**calls["bytes"], **kept},
    }
    Console().print_json(json.dumps(found))
    if output:
        output.write_text(json.dumps(found, indent=1) + "\n")


def calls_and_memory(
    stack: ExitStack,
    server_url: str,
    folder: Path,
    athletes: int,
    sessions: int,
    rounds: int,
    scale: float,
) -> dict[str, Any]:
    """Returns what calls take of processors, the log and memory."""
    url = prepared_database(server_url, folder)
    served = Served(
        url,
        running_service(stack, url, ONE_WORKER, 1, folder),
        running_service(stack, url, TWO_WORKERS, 2, folder),
        database_pid(url),
    )
    ids = data.athletes(athletes)
    data.fill(ONE_WORKER, ids, sessions)
    owner = stack.enter_context(psycopg.connect(url, autocommit=True))
    owner.execute("VACUUM ANALYZE")
    reads = [*reading(ids[0], newest_session(ONE_WORKER, ids[0]), scale)]
    writes = [cases.logging(one, scale * 0.2) for one in ids[:AT_A_TIME]]
    turns = {case.name: [case] for case in reads} | {"LogSession": writes}
    calls = {name: measured(served, turn, rounds) for name, turn in turns.items()}
    return {
        "calls": calls,
        "bytes": {"wal_of_log_session": log_bytes(served, writes, owner)},
        "memory": memory(served, reads),
    }


def reading(athlete: str, session_id: str, scale: float) -> Sequence[Case]:
    """Returns the reads that are measured; counts make up for what each of them costs."""
    metrics, load = f"{PACKAGE}.MetricsService", f"{PACKAGE}.LoadService"
    chart = metrics_pb2.GetProgressChartRequest(
        external_user_id=athlete,
        kind=metrics_pb2.CHART_KIND_WEEKLY_VOLUME,
        format=metrics_pb2.CHART_FORMAT_SVG,
    )
    weeks = metrics_pb2.ListWeeklyAggregatesRequest(external_user_id=athlete, page_size=12)
    records = metrics_pb2.ListPersonalRecordsRequest(external_user_id=athlete)
    ready = readiness_pb2.GetReadinessRequest(external_user_id=athlete)
    status = load_pb2.GetLoadStatusRequest(external_user_id=athlete)
    advice = recommendation_pb2.RecommendWorkoutsRequest(external_user_id=athlete)

    def case(path: str, message: Message, count: int) -> Case:
        count = max(2, int(count * scale))
        return Case(name=path.rpartition("/")[2], path=path, message=message, count=count)

    return [
        *cases.core(athlete, session_id, scale * 0.25),
        *cases.catalogue(scale * 0.25),
        case(f"{metrics}/ListWeeklyAggregates", weeks, 300),
        case(f"{metrics}/ListPersonalRecords", records, 300),
        case(f"{metrics}/GetProgressChart", chart, 40),
        case(f"{load}/GetLoadStatus", status, 300),
        case(f"{PACKAGE}.ReadinessService/GetReadiness", ready, 300),
        case(f"{PACKAGE}.RecommendationService/RecommendWorkouts", advice, 100),
    ]


def measured(served: Served, turn: Sequence[Case], rounds: int) -> dict[str, float]:
    """Returns a call's CPU times, and the percentiles of how long it takes when it is alone.

    The first turn, which fills caches and starts the processes of charts, counts nothing.
    """
    requests = [to_request(case, ONE_WORKER) for case in turn]
    pids = {"service": served.one.pid, "postgresql": served.database}
    alone = partial(h2load, requests[0], connections=1, streams=1)
    together = alone if turn[0].name in ONE_AT_A_TIME else by_all(requests)
    target = Target("service", together, pids, served.one.log)
    count = turn[0].count
    target.send(count)
    time.sleep(LAST_RECORDS_SECONDS)
    busy = median([send(target, count) for _ in range(rounds)])
    quiet: Sample = median([measure(partial(alone, count), count, {}) for _ in range(rounds)])
    return {
        "service_cpu_us": round(busy.cpu_us["service"], 1),
        "postgresql_cpu_us": round(busy.cpu_us["postgresql"], 1),
        "p50_ms": quiet.latency_ms[50],
        "p95_ms": quiet.latency_ms[95],
        "calls_measured": count * rounds,
    }


def to_request(case: Case, address: str) -> Request:
    """Returns the call as the athlete makes it whose data it is about."""
    athlete = case.athlete if hasattr(case.message, "external_user_id") else data.athlete("0")
    return case.to_grpc(address, as_caller(athlete))


def log_bytes(served: Served, writes: Sequence[Case], owner: psycopg.Connection) -> float:
    """Returns how much of the write-ahead log a session takes when it is logged alone.

    Pages are written whole the first time after a checkpoint. There is none before, nor are there
    many of them in such a small database, so that a large one writes more.
    """
    count = max(AT_A_TIME, writes[0].count) // AT_A_TIME * AT_A_TIME
    before = position(owner)
    by_all([to_request(case, served.one.address) for case in writes])(count)
    return round((position(owner) - before) / count, 1)


def position(owner: psycopg.Connection) -> int:
    """Returns how many bytes of log were written since the server was made."""
    [(found,)] = owner.execute(LOG_POSITION).fetchall()
    return int(found)


def memory(served: Served, reads: Sequence[Case]) -> dict[str, float]:
    """Returns what another worker takes, and what a connection has of its own, after use."""
    for case in reads:
        by_all([to_request(case, served.two.address)])(case.count)
    one, two = (usage(service.pid).memory_bytes for service in (served.one, served.two))
    backends = [
        process.memory_full_info().uss
        for process in psutil.Process(served.database).children()
        if "benchmark" in " ".join(process.cmdline())
    ]
    return {
        "service_mb": round(one / 1e6, 1),
        "another_worker_mb": round((two - one) / 1e6, 1),
        "connection_mb": round(sum(backends) / len(backends) / 1e6, 2),
    }


def bytes_kept(
    stack: ExitStack, server_url: str, folder: Path, days: int, runs: int
) -> dict[str, Any]:
    """Returns what the demo's sessions take, as they were logged, tidied up and archived.

    The demo's athletes and not those of the calls: records that are all alike would compress better
    than any that people write.
    """
    url = prepared_database(server_url, folder)
    archive = (folder / FOLDER).as_uri()
    running_service(stack, url, DEMO, 1, folder, TRAINING_ARCHIVE_URL=archive)
    owner = stack.enter_context(psycopg.connect(url, autocommit=True))
    empty = tables(owner, "VACUUM FULL ANALYZE")
    run_demo(DEMO, days, 0, Console(quiet=True))
    first, few = tables(owner, "VACUUM ANALYZE"), counted(owner)
    for seed in range(1, runs):
        run_demo(DEMO, days, seed, Console(quiet=True))
    logged, count = tables(owner, "VACUUM ANALYZE"), counted(owner)
    [(record,)] = owner.execute(RECORD).fetchall()
    compact = tables(owner, "VACUUM FULL ANALYZE")
    settings = Settings(database_role="", archive_url=archive)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    done = asyncio.run(archiving.archive(settings, url, tomorrow, lambda *_: None))
    left = tables(owner, "VACUUM FULL ANALYZE")
    # What any table has from the beginning, such as its map of free space, is not the sessions'.
    by_table = {name: (logged[name] - first[name]) / (count - few) for name in logged}
    return {
        "sessions_measured": count - few,
        "record": round(record, 1),
        "hot_as_logged": round(sum(by_table.values()), 1),
        "hot_compact": round((sum(compact.values()) - sum(empty.values())) / count, 1),
        "hot_compact_after_archiving": round((sum(left.values()) - sum(empty.values())) / count, 1),
        "cold_object": round(done.object_bytes / done.sessions, 1),
        "by_table_as_logged": {name: round(size, 1) for name, size in by_table.items() if size},
    }


def counted(owner: psycopg.Connection) -> int:
    """Returns how many sessions there are."""
    [(count,)] = owner.execute("SELECT count(*) FROM training.sessions").fetchall()
    return int(count)


def tables(owner: psycopg.Connection, tidy: str) -> dict[str, int]:
    """Returns the bytes of every table with its indexes after tidying up."""
    owner.execute(tidy)
    return dict(owner.execute(OWN_TABLES).fetchall())


if __name__ == "__main__":
    typer.run(main)
