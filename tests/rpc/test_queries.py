"""How many statements a call sends: speed that can be counted."""

import uuid

import pytest
from calisthenics.training.v1 import readiness_pb2
from calisthenics.training.v1 import session_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support import PULL_UP, Athlete, Queries, a_session, at


def backlog(athlete: Athlete, count: int) -> None:
    """Logs sessions in batches."""
    for start in range(0, count, 500):
        entries = [
            pb.LogSessionRequest(session=a_session(), request_id=str(uuid.uuid4()))
            for _ in range(min(500, count - start))
        ]
        athlete.sessions.BatchLogSessions(pb.BatchLogSessionsRequest(requests=entries))


def test_getting_a_session_takes_one_statement(alice: Athlete, queries: Queries) -> None:
    logged = alice.log()
    queries.clear()
    alice.sessions.GetSession(pb.GetSessionRequest(session_id=logged.id))
    assert len(queries.data) == 1


@pytest.mark.parametrize("view", [pb.SESSION_VIEW_BASIC, pb.SESSION_VIEW_FULL])
def test_listing_takes_one_statement_for_one_session_and_for_a_thousand(
    alice: Athlete, bob: Athlete, queries: Queries, view: pb.SessionView.ValueType
) -> None:
    backlog(alice, 1)
    backlog(bob, 1000)
    sent = []
    for athlete, count in ((alice, 1), (bob, 1000)):
        queries.clear()
        listed = athlete.sessions.ListSessions(pb.ListSessionsRequest(page_size=1000, view=view))
        assert len(listed.sessions) == count
        sent.append(queries.data)
    assert len(sent[0]) == 1
    assert sent[0] == sent[1]


def test_logging_takes_as_many_statements_for_a_hundred_exercises_as_for_one(
    alice: Athlete, queries: Queries
) -> None:
    alice.log()  # the first reference to an exercise freezes its definition
    counts = []
    now = Timestamp()
    now.GetCurrentTime()
    for exercises, sets in ((1, 1), (100, 20)):
        entry = pb.SessionExercise(
            exercise_id=PULL_UP, sets=[pb.PerformedSet(actual_reps=5)] * sets
        )
        queries.clear()
        alice.log(a_session(exercises=[entry] * exercises, start_time=now))
        counts.append(len(queries.data))
    # Session, exercises, metrics of both, records, chain and link, how many
    # on this day.
    assert counts == [8, 8]
    assert sum(sql.startswith("BEGIN") for sql in queries.sql) == 1
    queries.clear()
    alice.log(a_session(start_time=at("2025-03-03T12:00:00")))
    assert len(queries.data) == 11  # and checkpoints of load, of a day so long past


def test_readiness_takes_one_round_trip_for_no_session_and_for_a_hundred(
    alice: Athlete, bob: Athlete, queries: Queries
) -> None:
    backlog(bob, 100)
    request = readiness_pb2.GetReadinessRequest(local_date={"year": 2026, "month": 3, "day": 3})
    sent = []
    for athlete in (alice, bob):
        athlete.readiness.GetReadiness(request)  # the first reader keeps what loads add up to
        queries.clear()
        athlete.readiness.GetReadiness(request)
        assert sum(sql.startswith("BEGIN") for sql in queries.sql) == 1
        sent.append(queries.data)
    # Sessions, last day, wellness; loads, their first day and checkpoint.
    assert len(sent[0]) == 6
    assert sent[0] == sent[1]


def test_a_transaction_names_the_athlete_before_anything_else(
    alice: Athlete, queries: Queries
) -> None:
    logged = alice.log()
    queries.clear()
    alice.sessions.GetSession(pb.GetSessionRequest(session_id=logged.id))
    begin = queries.sql.index("BEGIN READ ONLY")
    assert queries.sql[begin + 1] == f"SET LOCAL app.external_user_id = '{alice.id}'"
