"""When the database is away, slow or locked: clear answers, nothing left running."""

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import session_pb2 as pb
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support import Athlete, Proxy, Refusal, a_session, eventually, refused, running_service
from training_service.storage.database import Database
from training_service.storage.health import database_revision
from training_service.storage.session import SessionRepository

LOGGING = "INSERT INTO training.sessions"


@contextmanager
def sessions_locked(url: str) -> Iterator[None]:
    """Keeps anyone from writing sessions."""
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE training.sessions IN EXCLUSIVE MODE")
        yield
        connection.rollback()


def waiting(owner: psycopg.Connection) -> int:
    """How many statements are under way that would log a session."""
    query = f"""
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'active' AND query LIKE '{LOGGING}%'
    """
    [count] = owner.execute(query).fetchone() or [-1]
    return int(count)


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    made = Proxy(database_url)
    yield made
    made.close()


def test_a_database_that_is_away_is_unavailable_and_comes_back(proxy: Proxy) -> None:
    with running_service(
        proxy.url, pool_timeout_seconds=0.5, health_interval_seconds=0.1
    ) as service:
        alice = Athlete(service.address)
        health = health_pb2_grpc.HealthStub(alice.channel)

        def serving() -> bool:
            status = health.Check(health_pb2.HealthCheckRequest()).status
            return status == health_pb2.HealthCheckResponse.SERVING

        alice.log()
        proxy.cut()
        with refused("DATABASE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE) as refusals:
            for _ in range(20):  # pooled connections find out one by one
                alice.log()
        assert refusals[0].retry_after_seconds == 1.0
        assert "psycopg" not in refusals[0].message
        eventually(lambda: not serving())
        proxy.mend()
        eventually(serving)
        alice.log()
        assert len(alice.sessions.ListSessions(pb.ListSessionsRequest()).sessions) >= 2
        alice.close()


def test_when_the_caller_gives_up_the_query_is_cancelled(
    alice: Athlete, database_url: str, owner: psycopg.Connection
) -> None:
    with sessions_locked(database_url):
        under_way = alice.sessions.LogSession.future(pb.LogSessionRequest(session=a_session()))
        eventually(lambda: waiting(owner) == 1)
        under_way.cancel()
        eventually(lambda: waiting(owner) == 0)
    assert len(alice.sessions.ListSessions(pb.ListSessionsRequest()).sessions) == 0


def test_when_the_deadline_passes_the_query_is_cancelled(
    alice: Athlete, database_url: str, owner: psycopg.Connection
) -> None:
    with sessions_locked(database_url):
        with pytest.raises(grpc.RpcError) as caught:
            alice.sessions.LogSession(pb.LogSessionRequest(session=a_session()), timeout=0.5)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        eventually(lambda: waiting(owner) == 0)
    assert len(alice.sessions.ListSessions(pb.ListSessionsRequest()).sessions) == 0


def test_a_call_without_a_deadline_gets_the_services_own(
    database_url: str, owner: psycopg.Connection
) -> None:
    with running_service(database_url, default_deadline_seconds=0.3) as service:
        alice = Athlete(service.address)
        with (
            sessions_locked(database_url),
            refused("DEADLINE_EXCEEDED", grpc.StatusCode.DEADLINE_EXCEEDED),
        ):
            alice.log()
        eventually(lambda: waiting(owner) == 0)
        alice.close()


def test_a_statement_that_takes_too_long_is_stopped_by_the_database(database_url: str) -> None:
    with running_service(database_url, statement_timeout_seconds=0.3) as service:
        alice = Athlete(service.address)
        with (
            sessions_locked(database_url),
            refused("DEADLINE_EXCEEDED", grpc.StatusCode.DEADLINE_EXCEEDED),
        ):
            alice.log()
        alice.close()


def test_an_exhausted_pool_is_unavailable_and_recovers(
    database_url: str, owner: psycopg.Connection
) -> None:
    with running_service(
        database_url, pool_min_size=1, pool_max_size=1, pool_timeout_seconds=0.3
    ) as service:
        alice = Athlete(service.address)
        outcome: list[pb.Session] = []
        with sessions_locked(database_url):
            holder = threading.Thread(target=lambda: outcome.append(alice.log()))
            holder.start()
            eventually(lambda: waiting(owner) == 1)
            with refused("DATABASE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
                alice.sessions.ListSessions(pb.ListSessionsRequest())
        holder.join()
        listed = alice.sessions.ListSessions(pb.ListSessionsRequest()).sessions
        assert [s.id for s in listed] == [s.id for s in outcome]
        alice.close()


def test_a_right_that_is_missing_is_no_fault_of_the_callers(
    alice: Athlete, bob: Athlete, database_url: str
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("REVOKE INSERT ON training.session_retractions FROM training_app")
        try:
            logged = alice.log()
            with refused("DATABASE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE) as refusals:
                alice.sessions.VoidSession(pb.VoidSessionRequest(session_id=logged.id))
        finally:
            connection.execute("GRANT INSERT ON training.session_retractions TO training_app")
    assert "session_retractions" not in refusals[0].message
    assert alice.sessions.GetSession(pb.GetSessionRequest(session_id=logged.id)) == logged


def test_a_fault_says_nothing_of_itself(
    alice: Athlete, bob: Athlete, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the combination of the safe")

    logged = alice.log()
    monkeypatch.setattr(SessionRepository, "get", fail)
    with refused("INTERNAL", grpc.StatusCode.INTERNAL) as refusals:
        alice.sessions.GetSession(pb.GetSessionRequest(session_id=logged.id))
    assert refusals[0].message == "internal error"
    assert refusals[0].metadata == {}


def test_an_unknown_rpc_is_unimplemented(alice: Athlete) -> None:
    call = alice.channel.unary_unary("/calisthenics.training.v1.SessionService/NoSuchThing")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"")
    assert Refusal(caught.value).code is grpc.StatusCode.UNIMPLEMENTED


def test_more_calls_than_a_worker_takes_are_refused_at_once_and_no_longer_than_that(
    database_url: str, owner: psycopg.Connection
) -> None:
    with running_service(database_url, max_calls_in_flight=3) as service:
        alice, bob = Athlete(service.address), Athlete(service.address)
        with sessions_locked(database_url):
            under_way = [
                alice.sessions.LogSession.future(pb.LogSessionRequest(session=a_session()))
                for _ in range(3)
            ]
            eventually(lambda: waiting(owner) == 3)
            with refused("OVERLOADED", grpc.StatusCode.RESOURCE_EXHAUSTED) as refusals:
                bob.log()
            assert refusals[0].retry_after_seconds == 1.0
        assert {call.result().external_user_id for call in under_way} == {alice.id}
        for _ in range(4):
            with refused("SESSION_NOT_FOUND"):
                bob.sessions.GetSession(pb.GetSessionRequest(session_id=str(uuid.uuid4())))
        bob.log()
        for athlete in (alice, bob):
            athlete.close()


def test_a_server_ends_though_a_library_swallows_a_cancellation(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As asyncio.wait_for does now and then, before Python 3.12."""
    swallowed = threading.Event()
    asked = database_revision

    async def deaf(database: Database) -> str | None:
        revision = await asked(database)
        if not swallowed.is_set():
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed.set()
        return revision

    with running_service(database_url, health_interval_seconds=0.1):
        monkeypatch.setattr("training_service.server.database_revision", deaf)
        time.sleep(0.5)
    assert swallowed.is_set()
