"""`python -m benchmarks.export_all`: the sessions of all athletes, beside PostgreSQL's own COPY.

Fills a database, then lets ExportAllSessions and COPY of the same rows take turns, and kills a
stream halfway and resumes it.
"""

import hashlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Annotated, Any
from uuid import uuid4

import grpc
import psycopg
import typer
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub
from rich.console import Console

from benchmarks import history
from benchmarks.history import History
from benchmarks.processes import forget_peaks, usage
from benchmarks.stack import prepared_database, running_service
from training_service.embedded import embedded_postgres

ADDRESS = "127.0.0.1:15181"
COPY = """
    COPY (
        SELECT external_user_id, id, record FROM training.sessions AS s
        WHERE NOT EXISTS (
            SELECT FROM training.session_retractions AS r
            WHERE r.external_user_id = s.external_user_id AND r.session_id = s.id
        )
        ORDER BY external_user_id, id
    ) TO STDOUT (FORMAT BINARY)
"""
METADATA = (("x-external-user-id", str(uuid4())), ("x-caller-scope", "training:service"))
PATH = "/calisthenics.training.v1.SessionService/ExportAllSessions"


def main(
    sessions: Annotated[int, typer.Option(min=1, help="Sessions in the database.")] = 200_000,
    rounds: Annotated[int, typer.Option(min=1, help="How often each has its turn.")] = 3,
) -> None:
    """Measure an export of all sessions beside COPY, its memory, and a resumed one."""
    console = Console()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server_url = stack.enter_context(embedded_postgres(Path(folder) / "postgres"))
        url = prepared_database(server_url, Path(folder))
        history.create_loader(url)
        history.load(url, History(sessions), lambda _: None)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        service = running_service(stack, url, ADDRESS, 1, Path(folder))
        channel = stack.enter_context(grpc.insecure_channel(ADDRESS))
        drain(channel)  # warm, as a service that has run for a while
        idle = usage(service.pid).memory_bytes
        forget_peaks(service.pid)
        turns = [(seconds(copied(url)), seconds(exported(channel))) for _ in range(rounds)]
        peak = usage(service.pid).peak_bytes
        by_copy, by_export = (median(turn) for turn in zip(*turns, strict=True))
        count, digest = summary(channel)
        console.print(f"{count:,} of {sessions:,} sessions, {rounds} rounds, medians")
        console.print(f"COPY              {count / by_copy:10,.0f} sessions/s")
        console.print(f"ExportAllSessions {count / by_export:10,.0f} sessions/s")
        console.print(f"ratio             {by_copy / by_export:10.2f}")
        console.print(f"memory            {idle / 1e6:.0f} MB idle, {peak / 1e6:.0f} MB at most")
        is_same = resumed(channel, count) == digest
        console.print(f"resumed halfway   {'the same set' if is_same else 'ANOTHER SET'}")


def seconds(parts: Iterator[Any]) -> float:
    """Returns how long it takes until the last part has come."""
    begin = time.perf_counter()
    for _ in parts:
        pass
    return time.perf_counter() - begin


def copied(url: str) -> Iterator[Any]:
    """Yields what COPY sends."""
    with psycopg.connect(url) as connection, connection.cursor().copy(COPY) as rows:
        yield from rows


def exported(channel: grpc.Channel) -> Iterator[bytes]:
    """Yields the messages of an export, unread."""
    call = channel.unary_stream(PATH, pb.ExportAllSessionsRequest.SerializeToString)
    return call(pb.ExportAllSessionsRequest(), metadata=METADATA)  # type: ignore[no-any-return]


def drain(channel: grpc.Channel) -> None:
    """Reads an export to its end."""
    seconds(exported(channel))


def stream(channel: grpc.Channel, cursor: str = "") -> Iterator[pb.ExportSessionsResponse]:
    """Yields the messages of an export from a cursor on."""
    request = pb.ExportAllSessionsRequest(cursor=cursor)
    return SessionServiceStub(channel).ExportAllSessions(request, metadata=METADATA)  # type: ignore[no-any-return]


def summary(channel: grpc.Channel) -> tuple[int, str]:
    """Returns what the last message of an export says."""
    *_, last = stream(channel)
    return last.summary.session_count, last.summary.ids_sha256


def resumed(channel: grpc.Channel, count: int) -> str:
    """Kills a stream halfway, resumes it, and returns the digest of all ids that came."""
    ids = hashlib.sha256()
    came = 0
    cursor = ""
    halfway = stream(channel)
    for part in halfway:
        cursor = part.cursor
        came += digested(ids, part)
        if came >= count / 2:
            halfway.cancel()  # type: ignore[attr-defined]
            break
    for part in stream(channel, cursor):
        digested(ids, part)
    return ids.hexdigest()


def digested(ids: Any, part: pb.ExportSessionsResponse) -> int:
    """Adds the ids of a message to a digest, as a summary does; returns how many they are."""
    ids.update("".join(f"{session.id}\n" for session in part.sessions).encode())
    return len(part.sessions)


if __name__ == "__main__":
    typer.run(main)
