"""The data set: athletes with sessions of 6 exercises of 4 sets each."""

import uuid
from datetime import UTC, datetime, timedelta

import grpc
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub
from rich.progress import track

from training_service.domain.exercise import exercise_id

EXERCISES = [
    str(exercise_id(slug))
    for slug in (
        "pull-up",
        "push-up",
        "pistol-squat",
        "parallel-bar-dip",
        "diamond-push-up",
        "chin-up",
    )
]
SETS = 4
SESSIONS_PER_BATCH = 100
NOW = datetime(2026, 11, 1, 17, tzinfo=UTC)


def a_session(age_days: int = 0) -> pb.Session:
    """Returns a session of usual size, begun some days before NOW."""
    session = pb.Session(
        time_zone="Europe/Berlin",
        duration_seconds=3600,
        session_rpe=7,
        body_mass_kg=75,
        notes="Felt strong, slept well.",
    )
    session.start_time.FromDatetime(NOW - timedelta(days=age_days))
    for exercise in EXERCISES:
        added = session.exercises.add(exercise_id=exercise)
        for reps in range(SETS):
            added.sets.add(actual_reps=8 - reps, load_kg=5, rpe=7.5 + reps / 2, rest_seconds=120)
    return session


def athlete(name: str) -> str:
    """Returns the id of an athlete, the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"benchmark-{name}"))


def athletes(count: int) -> list[str]:
    """Returns the ids of the athletes."""
    return [athlete(str(n)) for n in range(count)]


def fill(address: str, ids: list[str], sessions_each: int, days_apart: int = 1) -> None:
    """Logs sessions of athletes through the service, the newest at NOW."""
    batches = [
        (id, range(first, min(first + SESSIONS_PER_BATCH, sessions_each)))
        for id in ids
        for first in range(0, sessions_each, SESSIONS_PER_BATCH)
    ]
    with grpc.insecure_channel(address) as channel:
        stub = SessionServiceStub(channel)
        for id, places in track(batches, "data set", transient=True):
            entries = [pb.LogSessionRequest(session=a_session(n * days_apart)) for n in places]
            request = pb.BatchLogSessionsRequest(requests=entries)
            answer = stub.BatchLogSessions(request, metadata=[("x-external-user-id", id)])
            assert all(result.HasField("session") for result in answer.results)
