"""Writes sent twice, and fifty times at once."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from calisthenics.training.v1 import session_pb2, workout_pb2

from tests.support import Athlete, a_session, a_workout, refused

CONCURRENT = 50


def at_once(call: Callable[[], bytes]) -> set[bytes]:
    """Returns the distinct answers to a call made by many threads together."""
    with ThreadPoolExecutor(CONCURRENT) as pool:
        return {f.result() for f in [pool.submit(call) for _ in range(CONCURRENT)]}


def rows(owner: psycopg.Connection, table: str, athlete: Athlete) -> int:
    query = f"SELECT count(*) FROM training.{table} WHERE external_user_id = %s"
    [count] = owner.execute(query, [athlete.id]).fetchone() or [-1]
    return int(count)


def test_fifty_concurrent_logs_of_one_request_store_one_session(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    request = session_pb2.LogSessionRequest(session=a_session(), request_id=str(uuid.uuid4()))
    answers = at_once(lambda: alice.sessions.LogSession(request).SerializeToString())
    assert len(answers) == 1
    assert rows(owner, "sessions", alice) == 1
    assert rows(owner, "session_exercises", alice) == 2
    # A request_id belongs to its athlete: the same one is bob's own business.
    assert bob.sessions.LogSession(request).SerializeToString() not in answers
    assert rows(owner, "sessions", bob) == 1


def test_fifty_concurrent_creations_of_one_request_store_one_workout(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    request = workout_pb2.CreateWorkoutRequest(workout=a_workout(), request_id=str(uuid.uuid4()))
    answers = at_once(lambda: alice.workouts.CreateWorkout(request).SerializeToString())
    assert len(answers) == 1
    assert rows(owner, "workouts", alice) == 1


def test_fifty_concurrent_batches_of_one_backlog_store_it_once(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    entries = [
        session_pb2.LogSessionRequest(session=a_session(), request_id=str(uuid.uuid4()))
        for _ in range(5)
    ]
    request = session_pb2.BatchLogSessionsRequest(requests=entries)
    answers = at_once(lambda: alice.sessions.BatchLogSessions(request).SerializeToString())
    assert len(answers) == 1
    assert rows(owner, "sessions", alice) == 5


def test_the_same_request_id_with_another_body_is_refused(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    request_id = str(uuid.uuid4())
    first = alice.log(request_id=request_id)
    with refused("REQUEST_ID_REUSED") as refusals:
        alice.log(a_session(notes="another"), request_id=request_id)
    assert refusals[0].metadata == {"request_id": request_id}
    assert alice.log(request_id=request_id) == first
    assert rows(owner, "sessions", alice) == 1


def test_a_replay_returns_the_first_answer_whatever_happened_since(alice: Athlete) -> None:
    request_id = str(uuid.uuid4())
    first = alice.log(request_id=request_id)
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=first.id))
    assert alice.log(request_id=request_id) == first

    change = workout_pb2.UpdateWorkoutRequest(
        workout_id=alice.create_workout().id,
        workout=workout_pb2.Workout(display_name="renamed"),
        update_mask={"paths": ["display_name"]},
        request_id=str(uuid.uuid4()),
    )
    renamed = alice.workouts.UpdateWorkout(change)
    alice.workouts.DeleteWorkout(workout_pb2.DeleteWorkoutRequest(workout_id=renamed.id))
    assert alice.workouts.UpdateWorkout(change) == renamed


@pytest.mark.parametrize("named", [False, True])
def test_naming_oneself_makes_no_other_request(alice: Athlete, named: bool) -> None:
    request_id = str(uuid.uuid4())
    first = alice.log(request_id=request_id)
    assert alice.log(request_id=request_id, external_user_id=alice.id if named else "") == first
