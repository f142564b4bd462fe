"""`python -m benchmarks.archive`: how much of the database leaves with archived sessions.

Lets the demo's athletes log years of training, archives all of it, and measures every table that
sessions have a part in before and after, and what reading costs of each.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import grpc
import psycopg
import typer
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub
from rich.console import Console

from benchmarks.stack import prepared_database, running_service
from training_service.archive.store import FOLDER
from training_service.demo import run_demo
from training_service.embedded import embedded_postgres
from training_service.settings import Settings
from training_service.storage import archiving

ADDRESS = "127.0.0.1:15182"
TABLES = (
    "sessions",
    "session_exercises",
    "session_retractions",
    "session_metrics",
    "exercise_metrics",
    "archive_objects",
)
SIZES = """
    SELECT pg_table_size(to_regclass(name)), pg_indexes_size(to_regclass(name))
    FROM unnest(%s::text[]) WITH ORDINALITY AS tables (name, number) ORDER BY number
"""
RECORDS = "SELECT count(*), sum(length(record)), sum(pg_column_size(record)) FROM training.sessions"
KILOBYTE = 1000
READS = 200


def main(
    days: Annotated[int, typer.Option(min=28, help="How far back the logs go.")] = 2000,
    runs: Annotated[
        int, typer.Option(min=1, help="How often the demo logs; two athletes each.")
    ] = 5,
) -> None:
    """Measure what archiving takes out of the database."""
    console = Console()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        server_url = stack.enter_context(embedded_postgres(folder / "postgres"))
        url = prepared_database(server_url, folder)
        archive = (folder / FOLDER).as_uri()
        running_service(stack, url, ADDRESS, 1, folder, TRAINING_ARCHIVE_URL=archive)
        for seed in range(runs):
            run_demo(ADDRESS, days, seed, Console(quiet=True))
        owner = stack.enter_context(psycopg.connect(url, autocommit=True))
        channel = stack.enter_context(grpc.insecure_channel(ADDRESS))
        [(count, bytes_logged, bytes_stored)] = owner.execute(RECORDS).fetchall()
        console.print(
            f"{count} sessions; their records have {bytes_logged:,} bytes, {bytes_stored:,} as "
            "PostgreSQL compresses them"
        )
        show(console, "before", owner, "VACUUM FULL ANALYZE")
        read(console, "hot", channel, owner)
        settings = Settings(database_role="", archive_url=archive)
        began = time.perf_counter()
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        done = asyncio.run(archiving.archive(settings, url, tomorrow, lambda *_: None))
        seconds = time.perf_counter() - began
        console.print(
            f"archived {done.sessions} sessions in {seconds:.1f} s: {done.objects} objects, "
            f"{done.object_bytes:,} bytes"
        )
        show(console, "after, VACUUM", owner, "VACUUM ANALYZE")
        show(console, "after, VACUUM FULL", owner, "VACUUM FULL ANALYZE")
        read(console, "cold", channel, owner)


def show(console: Console, when: str, owner: psycopg.Connection, tidy: str) -> None:
    """Prints the sizes of tables and their indexes after tidying up."""
    owner.execute(tidy)
    sizes = owner.execute(SIZES, [[f"training.{name}" for name in TABLES]]).fetchall()
    console.print(f"{when}: {sum(t + i for t, i in sizes) / KILOBYTE:,.0f} kB in all")
    for table, (heap, indexes) in zip(TABLES, sizes, strict=True):
        console.print(
            f"  {table}: {heap / KILOBYTE:,.0f} kB + {indexes / KILOBYTE:,.0f} kB indexes"
        )


def read(console: Console, kind: str, channel: grpc.Channel, owner: psycopg.Connection) -> None:
    """Prints how long a session takes to be read: from its object for the first time in that
    athlete's, and again when the object is remembered."""
    stub = SessionServiceStub(channel)
    query = """
        SELECT external_user_id::text, (array_agg(id::text ORDER BY md5(id::text)))[:%s]
        FROM training.sessions GROUP BY 1
    """
    first, again = [], []
    for athlete, ids in owner.execute(query, [READS]).fetchall():
        metadata = (("x-external-user-id", athlete),)

        def get(id: str, metadata: tuple[tuple[str, str], ...] = metadata) -> float:
            request = pb.GetSessionRequest(session_id=id)
            return timed(lambda: stub.GetSession(request, metadata=metadata))

        first.append(get(ids[0]))
        again += [get(id) for id in ids]
    console.print(
        f"{kind}: GetSession of an athlete for the first time {statistics.median(first):.1f} ms "
        f"(most {max(first):.1f}), then {statistics.median(again):.2f} ms"
    )


def timed(act: Callable[[], object]) -> float:
    """Returns how long something takes, in milliseconds."""
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    typer.run(main)
