"""BatchLogSessions over a real channel."""

import uuid
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1 import workout_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import code_pb2, error_details_pb2, status_pb2

from tests.support import L_SIT, PULL_UP, Athlete, a_session, at, refused

INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXISTS = grpc.StatusCode.ALREADY_EXISTS

NOBODY = str(uuid.UUID(int=0))
TABLES = ("sessions", "session_exercises", "session_retractions")

BATCH_REFUSED = (code_pb2.ABORTED, "BATCH_REFUSED", [])
UNKNOWN_EXERCISE = (
    code_pb2.INVALID_ARGUMENT,
    "UNKNOWN_EXERCISE",
    ["session.exercises[0].exercise_id"],
)
REQUEST_ID_REUSED = (code_pb2.ALREADY_EXISTS, "REQUEST_ID_REUSED", [])


def an_id() -> str:
    return str(uuid.uuid4())


def bare(**fields: Any) -> pb.Session:
    """Returns a session with nothing but what every session has."""
    return pb.Session(**{"start_time": at("2026-03-02T17:00:00"), "time_zone": "UTC", **fields})


def entry(session: pb.Session | None = None, **fields: Any) -> pb.LogSessionRequest:
    return pb.LogSessionRequest(session=session or bare(), **fields)


def with_exercise(exercise_id: str, **performed: Any) -> pb.Session:
    sets = [pb.PerformedSet(**performed)]
    return bare(exercises=[pb.SessionExercise(exercise_id=exercise_id, sets=sets)])


def log(
    athlete: Athlete, *requests: pb.LogSessionRequest, **fields: Any
) -> list[pb.BatchLogSessionsResult]:
    request = pb.BatchLogSessionsRequest(requests=requests, **fields)
    return list(athlete.sessions.BatchLogSessions(request).results)


def get(athlete: Athlete, session_id: str) -> pb.Session:
    return athlete.sessions.GetSession(pb.GetSessionRequest(session_id=session_id))


def refusal(result: pb.BatchLogSessionsResult) -> tuple[int, str, list[str]]:
    """Returns the status, reason and fields of a result that is a refusal."""
    assert result.WhichOneof("result") == "status"
    return details(result.status)


def details(status: status_pb2.Status) -> tuple[int, str, list[str]]:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad)
    assert info.domain == "training.calisthenics"
    return status.code, info.reason, [v.field for v in bad.field_violations]


def rows(owner: psycopg.Connection, athlete: Athlete) -> tuple[int, ...]:
    """Returns how many sessions, exercises of sessions and retractions of an athlete are stored."""
    counts = ", ".join(
        f"(SELECT count(*) FROM training.{t} WHERE external_user_id = %(id)s)" for t in TABLES
    )
    return owner.execute(f"SELECT {counts}", {"id": athlete.id}).fetchone() or ()


def shape(results: list[pb.BatchLogSessionsResult]) -> list[str | None]:
    return [r.WhichOneof("result") for r in results]


# One result for each


@pytest.mark.parametrize("atomic", [False, True])
def test_every_session_of_a_batch_is_stored_and_answered_in_order(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, atomic: bool
) -> None:
    given = [a_session(notes=f"session {n}") for n in range(5)]
    results = log(alice, *map(entry, given), atomic=atomic)
    assert [r.session.notes for r in results] == [s.notes for s in given]
    assert [get(alice, r.session.id) for r in results] == [r.session for r in results]
    assert rows(owner, alice) == (5, 10, 0)
    assert list(bob.sessions.ListSessions(pb.ListSessionsRequest()).sessions) == []


def test_a_batch_answers_a_session_as_if_it_had_come_alone(alice: Athlete) -> None:
    alone = alice.log()
    [result] = log(alice, entry(a_session()))
    for session in (alone, result.session):
        session.ClearField("id")
        session.ClearField("create_time")
    assert result.session == alone


def test_a_batch_of_too_many_sets_is_refused_whole(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    exercise = pb.SessionExercise(exercise_id=PULL_UP, sets=[pb.PerformedSet()] * 100)
    largest = bare(exercises=[exercise] * 20)
    with refused("INVALID_FIELD") as refusals:
        log(alice, *[entry(largest)] * 10, entry(a_session()))
    assert refusals[0].fields == ["requests"]
    assert rows(owner, alice) == (0, 0, 0)
    larger = bare(exercises=[*[exercise] * 20, with_exercise(PULL_UP).exercises[0]])
    results = log(alice, entry(largest), entry(larger))
    assert results[0].session.id
    assert refusal(results[1]) == (3, "INVALID_FIELD", ["session.exercises"])


def test_each_refused_session_says_why_and_the_others_are_stored(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    workout = alice.create_workout()
    results = log(
        alice,
        entry(a_session(notes="first")),
        entry(with_exercise(NOBODY)),
        entry(bare(time_zone="localtime")),
        entry(bare(duration_seconds=-1)),
        pb.LogSessionRequest(),
        entry(request_id="not-a-uuid"),
        entry(bare(workout_id=NOBODY)),
        entry(bare(workout_id=workout.id, workout_revision=2)),
        entry(with_exercise(L_SIT, actual_reps=5)),
        entry(with_exercise(PULL_UP, actual_hold_seconds=5)),
        entry(bare(exercises=[pb.SessionExercise(exercise_id=PULL_UP, order=n) for n in (1, 0)])),
        entry(bare(start_time=Timestamp(seconds=-1))),
        entry(a_session(notes="last")),
    )
    invalid = code_pb2.INVALID_ARGUMENT
    assert [refusal(r) for r in results[1:-1]] == [
        UNKNOWN_EXERCISE,
        (invalid, "INVALID_FIELD", ["session.time_zone"]),
        (invalid, "INVALID_FIELD", ["session.duration_seconds"]),
        (invalid, "INVALID_FIELD", ["session"]),
        (invalid, "INVALID_FIELD", ["request_id"]),
        (invalid, "UNKNOWN_WORKOUT", ["session.workout_id"]),
        (invalid, "UNKNOWN_WORKOUT", ["session.workout_revision"]),
        (invalid, "INVALID_FIELD", ["session.exercises[0].sets[0].actual_reps"]),
        (invalid, "INVALID_FIELD", ["session.exercises[0].sets[0].actual_hold_seconds"]),
        (invalid, "INVALID_FIELD", ["session.exercises[1].order"]),
        (invalid, "INVALID_FIELD", ["session.start_time"]),
    ]
    assert [results[0].session.notes, results[-1].session.notes] == ["first", "last"]
    assert [get(alice, r.session.id) for r in (results[0], results[-1])] == [
        results[0].session,
        results[-1].session,
    ]
    assert rows(owner, alice) == (2, 4, 0)


@pytest.mark.parametrize(
    "session",
    [
        with_exercise(NOBODY),
        bare(time_zone="localtime"),
        bare(duration_seconds=-1),
        with_exercise(L_SIT, actual_reps=5),
        bare(workout_id=NOBODY),
        bare(workout_id=NOBODY, workout_revision=1),
    ],
    ids=["exercise", "time zone", "duration", "volume", "workout", "revision"],
)
def test_a_session_is_refused_in_a_batch_as_it_would_be_alone(
    alice: Athlete, session: pb.Session
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        alice.log(session)
    trailing = dict(caught.value.trailing_metadata())
    alone = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    [result] = log(alice, entry(session))
    assert refusal(result) == details(alone)
    assert result.status.message == alone.message


def test_a_batch_resolves_the_current_revision_of_each_workout(alice: Athlete) -> None:
    first, second = alice.create_workout(), alice.create_workout()
    alice.workouts.RollbackWorkout(
        workout_pb2.RollbackWorkoutRequest(workout_id=second.id, revision=1)
    )
    results = log(
        alice,
        entry(bare(workout_id=second.id)),
        entry(bare(workout_id=first.id)),
        entry(bare(workout_id=second.id, workout_revision=1)),
        entry(),
    )
    assert [r.session.workout_revision for r in results] == [2, 1, 1, 0]


def test_anothers_workout_is_unknown_in_a_batch_too(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    workout = alice.create_workout()
    results = log(
        bob,
        entry(bare(workout_id=workout.id)),
        entry(bare(workout_id=workout.id, workout_revision=1)),
        entry(bare(workout_id=NOBODY, workout_revision=1)),
    )
    assert [refusal(r) for r in results] == [
        (code_pb2.INVALID_ARGUMENT, "UNKNOWN_WORKOUT", ["session.workout_id"])
    ] * 3
    assert rows(owner, bob) == (0, 0, 0)


# All or nothing


def test_one_refused_session_keeps_an_atomic_batch_from_being_stored(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    results = log(
        alice, entry(a_session()), entry(with_exercise(NOBODY)), entry(a_session()), atomic=True
    )
    assert [refusal(r) for r in results] == [BATCH_REFUSED, UNKNOWN_EXERCISE, BATCH_REFUSED]
    assert rows(owner, alice) == (0, 0, 0)


def test_every_refused_session_of_an_atomic_batch_says_its_own_reason(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    results = log(
        alice,
        entry(bare(time_zone="localtime")),
        entry(),
        entry(with_exercise(NOBODY)),
        atomic=True,
    )
    assert [refusal(r) for r in results] == [
        (code_pb2.INVALID_ARGUMENT, "INVALID_FIELD", ["session.time_zone"]),
        BATCH_REFUSED,
        UNKNOWN_EXERCISE,
    ]
    assert rows(owner, alice) == (0, 0, 0)


def test_a_reused_request_id_keeps_an_atomic_batch_from_being_stored(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    key = an_id()
    alice.log(bare(notes="this"), request_id=key)
    results = log(alice, entry(), entry(bare(notes="that"), request_id=key), entry(), atomic=True)
    assert [refusal(r) for r in results] == [BATCH_REFUSED, REQUEST_ID_REUSED, BATCH_REFUSED]
    assert rows(owner, alice) == (1, 0, 0)


def test_a_refused_atomic_batch_leaves_its_request_ids_free(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    entries = [entry(request_id=an_id()) for _ in range(2)]
    log(alice, *entries, entry(with_exercise(NOBODY)), atomic=True)
    assert shape(log(alice, *entries, atomic=True)) == ["session", "session"]
    assert rows(owner, alice) == (2, 0, 0)


def test_an_atomic_batch_that_was_stored_in_part_completes(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    entries = [entry(request_id=an_id()) for _ in range(3)]
    first = alice.sessions.LogSession(entries[1])
    results = log(alice, *entries, atomic=True)
    assert results[1].session == first
    assert len({r.session.id for r in results}) == 3
    assert rows(owner, alice) == (3, 0, 0)


# Sending again


@pytest.mark.parametrize("atomic", [False, True])
def test_a_batch_sent_again_returns_the_first_answers(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, atomic: bool
) -> None:
    entries = [entry(bare(notes=f"session {n}"), request_id=an_id()) for n in range(3)]
    first = log(alice, *entries, atomic=atomic)
    assert log(alice, *entries, atomic=atomic) == first
    # In any company and any order.
    new = entry(bare(notes="new"), request_id=an_id())
    mixed = log(alice, entries[2], new, entries[0], atomic=atomic)
    assert [mixed[0], mixed[2]] == [first[2], first[0]]
    assert mixed[1].session.notes == "new"
    assert rows(owner, alice) == (4, 0, 0)
    # Request ids are an athlete's own.
    others = log(bob, *entries, atomic=atomic)
    assert {r.session.id for r in others}.isdisjoint(r.session.id for r in first)
    assert rows(owner, bob) == (3, 0, 0)


def test_entries_without_a_request_id_are_stored_each_time(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    results = log(alice, entry(), entry()) + log(alice, entry())
    assert len({r.session.id for r in results}) == 3
    assert rows(owner, alice) == (3, 0, 0)


def test_a_session_logged_alone_is_replayed_in_a_batch(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    request = entry(a_session(), request_id=an_id())
    first = alice.sessions.LogSession(request)
    [result] = log(alice, request)
    assert result.session == first
    assert rows(owner, alice) == (1, 2, 0)


def test_a_session_of_a_batch_is_replayed_alone(alice: Athlete, owner: psycopg.Connection) -> None:
    request = entry(a_session(), request_id=an_id())
    [result] = log(alice, request)
    assert alice.sessions.LogSession(request) == result.session
    assert rows(owner, alice) == (1, 2, 0)


@pytest.mark.parametrize("atomic", [False, True])
def test_an_entry_that_stands_in_a_batch_twice_is_stored_once(
    alice: Athlete, owner: psycopg.Connection, atomic: bool
) -> None:
    request = entry(a_session(), request_id=an_id())
    results = log(alice, request, entry(), request, atomic=atomic)
    assert results[0] == results[2]
    assert results[0].session.id != results[1].session.id
    assert rows(owner, alice) == (2, 2, 0)


def test_a_request_id_that_stands_in_a_batch_for_two_sessions_is_refused_the_second_time(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    key = an_id()
    results = log(
        alice, entry(bare(notes="this"), request_id=key), entry(bare(notes="that"), request_id=key)
    )
    assert results[0].session.notes == "this"
    assert refusal(results[1]) == REQUEST_ID_REUSED
    assert rows(owner, alice) == (1, 0, 0)


def test_a_request_id_that_stands_in_an_atomic_batch_for_two_sessions_refuses_it(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    key = an_id()
    results = log(
        alice,
        entry(bare(notes="this"), request_id=key),
        entry(bare(notes="that"), request_id=key),
        atomic=True,
    )
    assert [refusal(r) for r in results] == [BATCH_REFUSED, REQUEST_ID_REUSED]
    assert rows(owner, alice) == (0, 0, 0)


def test_a_request_id_reused_across_calls_is_refused_either_way(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    alone, batched = an_id(), an_id()
    alice.log(bare(notes="this"), request_id=alone)
    log(alice, entry(bare(notes="this"), request_id=batched))
    [result] = log(alice, entry(bare(notes="that"), request_id=alone))
    assert refusal(result) == REQUEST_ID_REUSED
    with refused("REQUEST_ID_REUSED", EXISTS):
        alice.log(bare(notes="that"), request_id=batched)
    assert rows(owner, alice) == (2, 0, 0)


def test_a_refused_entry_does_not_keep_its_request_id_from_a_later_one(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    key = an_id()
    results = log(alice, entry(with_exercise(NOBODY), request_id=key), entry(request_id=key))
    assert refusal(results[0]) == UNKNOWN_EXERCISE
    assert results[1].WhichOneof("result") == "session"
    assert rows(owner, alice) == (1, 0, 0)


# Whose


@pytest.mark.parametrize("atomic", [False, True])
def test_an_entry_for_another_athlete_is_refused(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, atomic: bool
) -> None:
    entries = [
        entry(bare(notes="mine")),
        entry(external_user_id=bob.id),
        entry(external_user_id=NOBODY),
        entry(external_user_id=alice.id),
        entry(external_user_id="bob"),
    ]
    results = log(alice, *entries, atomic=atomic)
    other = (code_pb2.INVALID_ARGUMENT, "INVALID_FIELD", ["external_user_id"])
    assert [refusal(results[n]) for n in (1, 2, 4)] == [other] * 3
    # Nothing in the answer tells whether there is such an athlete.
    assert results[1] == results[2]
    assert shape([results[0], results[3]]) == ["status" if atomic else "session"] * 2
    assert rows(owner, alice) == (0 if atomic else 2, 0, 0)
    assert rows(owner, bob) == (0, 0, 0)


def test_a_sibling_service_can_log_a_batch_for_an_athlete(
    alice: Athlete, bob: Athlete, sibling: Athlete, owner: psycopg.Connection
) -> None:
    results = log(
        sibling,
        entry(),
        entry(external_user_id=alice.id),
        # One batch is for one athlete, also when the caller may act for others.
        entry(external_user_id=bob.id),
        entry(external_user_id=sibling.id),
        external_user_id=alice.id,
    )
    assert [r.session.external_user_id for r in results[:2]] == [alice.id] * 2
    other = (code_pb2.INVALID_ARGUMENT, "INVALID_FIELD", ["external_user_id"])
    assert [refusal(r) for r in results[2:]] == [other] * 2
    assert [rows(owner, a) for a in (alice, bob, sibling)] == [(2, 0, 0), (0, 0, 0), (0, 0, 0)]


# How many


@pytest.mark.parametrize("atomic", [False, True])
def test_a_batch_holds_up_to_five_hundred_sessions(
    alice: Athlete, owner: psycopg.Connection, atomic: bool
) -> None:
    entries = [entry(a_session(notes=f"session {n}"), request_id=an_id()) for n in range(500)]
    results = log(alice, *entries, atomic=atomic)
    assert [r.session.notes for r in results] == [e.session.notes for e in entries]
    assert rows(owner, alice) == (500, 1000, 0)
    assert log(alice, *entries, atomic=atomic) == results
    assert rows(owner, alice) == (500, 1000, 0)


@pytest.mark.parametrize("number", [0, 501])
def test_a_batch_of_none_or_more_is_refused(
    alice: Athlete, owner: psycopg.Connection, number: int
) -> None:
    with refused("INVALID_FIELD", INVALID) as refusals:
        log(alice, *[entry()] * number)
    assert refusals[0].fields == ["requests"]
    assert rows(owner, alice) == (0, 0, 0)


@pytest.mark.parametrize("atomic", [False, True])
def test_a_batch_of_refused_sessions_alone_stores_nothing(
    alice: Athlete, owner: psycopg.Connection, atomic: bool
) -> None:
    results = log(alice, *[entry(with_exercise(NOBODY))] * 2, atomic=atomic)
    assert [refusal(r) for r in results] == [UNKNOWN_EXERCISE] * 2
    assert rows(owner, alice) == (0, 0, 0)
