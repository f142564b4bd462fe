"""The yardsticks, each a server of its own.

python -m benchmarks.floors PROCESSES stack ADDRESS           what gRPC itself costs: an echo
python -m benchmarks.floors PROCESSES handwritten ADDRESS URL the same RPCs by hand, unchecked
"""

import multiprocessing
import signal
import sys
import uuid
from datetime import UTC
from typing import Any

import grpc
import uvloop
from calisthenics.training.v1 import exercise_pb2, exercise_pb2_grpc
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1.session_pb2_grpc import (
    SessionServiceServicer,
    add_SessionServiceServicer_to_server,
)
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health
from psycopg_pool import AsyncConnectionPool

from benchmarks.data import a_session


class StackFloor(SessionServiceServicer, exercise_pb2_grpc.ExerciseServiceServicer):
    """Answers with messages it has in memory."""

    async def LogSession(self, request: pb.LogSessionRequest, context: Any) -> pb.Session:
        return request.session

    async def GetSession(self, request: pb.GetSessionRequest, context: Any) -> pb.Session:
        return SESSION

    async def ListSessions(self, request: Any, context: Any) -> pb.ListSessionsResponse:
        return pb.ListSessionsResponse(sessions=[SESSION] * request.page_size)

    async def GetExercise(self, request: Any, context: Any) -> exercise_pb2.Exercise:
        return EXERCISE

    async def ListExercises(self, request: Any, context: Any) -> exercise_pb2.ListExercisesResponse:
        return exercise_pb2.ListExercisesResponse(exercises=[EXERCISE] * request.page_size)


SESSION = a_session()
EXERCISE = exercise_pb2.Exercise(
    id=str(uuid.uuid4()),
    slug="pull-up",
    display_name="Pull-Up",
    aliases=["overhand pull-up", "pronated pull-up", "strict pull-up", "heave"],
    category=exercise_pb2.EXERCISE_CATEGORY_PULL,
    family="pull-up",
    difficulty=6,
    movement_kind=exercise_pb2.MOVEMENT_KIND_DYNAMIC,
    equipment=[exercise_pb2.EQUIPMENT_PULL_UP_BAR],
    primary_muscles=[exercise_pb2.MUSCLE_LATS, exercise_pb2.MUSCLE_BICEPS],
    description="x" * 300,
    cues=["x" * 60] * 3,
)
INSERT = (
    "INSERT INTO training.sessions (external_user_id, id, started_at, time_zone, local_date,"
    " duration_seconds, session_rpe, completion, group_external_id, request_digest, created_at,"
    " record) VALUES (%s, %s, %s, %s, %s, %s, %s, 'COMPLETED', '', '', now(), %s)"
)
INSERT_EXERCISES = (
    "INSERT INTO training.session_exercises"
    " SELECT %s, %s, p, e, n FROM unnest(%s::smallint[], %s::uuid[], %s::smallint[]) AS t (p, e, n)"
)
GET = "SELECT record FROM training.sessions WHERE external_user_id = %s AND id = %s"
LIST = (
    "SELECT record FROM training.sessions WHERE external_user_id = %s"
    " ORDER BY started_at DESC, id DESC LIMIT %s"
)


class HandwrittenFloor(SessionServiceServicer):
    """The same RPCs in as few lines as they take on grpc.aio and psycopg."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool

    async def LogSession(self, request: pb.LogSessionRequest, context: Any) -> pb.Session:
        user, session = request.external_user_id, request.session
        session.id = str(uuid.uuid4())
        start = session.start_time.ToDatetime(UTC)
        row = (user, session.id, start, session.time_zone, start.date(), session.duration_seconds)
        exercises = session.exercises
        async with self._pool.connection() as connection, connection.pipeline():
            await connection.execute("BEGIN", prepare=True)
            record = session.SerializeToString()
            await connection.execute(INSERT, (*row, session.session_rpe, record), prepare=True)
            positions, counts = range(1, len(exercises) + 1), [len(e.sets) for e in exercises]
            columns = (list(positions), [e.exercise_id for e in exercises], counts)
            await connection.execute(INSERT_EXERCISES, (user, session.id, *columns), prepare=True)
            await connection.execute("COMMIT", prepare=True)
        return session

    async def GetSession(self, request: pb.GetSessionRequest, context: Any) -> pb.Session:
        async with self._pool.connection() as connection:
            values = (request.external_user_id, request.session_id)
            cursor = await connection.execute(GET, values, prepare=True, binary=True)
            [(record,)] = await cursor.fetchall()
        return pb.Session.FromString(record)

    async def ListSessions(self, request: Any, context: Any) -> pb.ListSessionsResponse:
        async with self._pool.connection() as connection:
            values = (request.external_user_id, request.page_size)
            cursor = await connection.execute(LIST, values, prepare=True, binary=True)
            rows = await cursor.fetchall()
        return pb.ListSessionsResponse(sessions=[pb.Session.FromString(r) for (r,) in rows])


async def serve(kind: str, address: str, url: str) -> None:
    """Serves one of the floors until it is terminated."""
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    async with pool_of(url) as pool:
        if kind == "stack":
            floor = StackFloor()
            add_SessionServiceServicer_to_server(floor, server)
            exercise_pb2_grpc.add_ExerciseServiceServicer_to_server(floor, server)
        else:
            add_SessionServiceServicer_to_server(HandwrittenFloor(pool), server)
        server.add_insecure_port(address)
        await server.start()
        await server.wait_for_termination()


def pool_of(url: str) -> AsyncConnectionPool[Any]:
    """Returns the pool of the handwritten floor; one that is never opened without a URL."""
    size = 10 if url else 0
    return AsyncConnectionPool(
        url, min_size=size, max_size=size or 1, open=False, kwargs={"autocommit": True}
    )


def run(kind: str, address: str, url: str = "") -> None:
    """Serves in this process."""
    uvloop.run(serve(kind, address, url))


def main(count: int, arguments: list[str]) -> None:
    """Serves in as many processes, which share the port, until SIGTERM."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=run, args=arguments) for _ in range(count)]
    signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in processes])
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
