"""Erasing by RPC: who may, what is refused afterwards, and what a receipt says."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import (
    coaching_pb2,
    governance_pb2,
    session_pb2,
)

from tests.rpc.test_erasure import SCOPES, traces, trained_under
from tests.rpc.test_isolation import ALL, OF_USERS, Belongings, call, rows_of
from tests.support import (
    Athlete,
    a_grant,
    a_session,
    eventually,
    grant,
    invite,
    new_group,
    refused,
    waiting_count,
)
from training_service.receipt import ReceiptError, kept, signer
from training_service.settings import Settings
from training_service.storage.database import Database
from training_service.storage.erasure import signer_of

ERASED = "ATHLETE_ERASED", grpc.StatusCode.FAILED_PRECONDITION


def erase(athlete: Athlete, **fields: str) -> governance_pb2.ErasureReceipt:
    request = governance_pb2.RequestErasureRequest(confirm=True, **fields)
    return athlete.governance.RequestErasure(request)


def test_an_athlete_erases_themselves_and_a_retry_gets_the_same_receipt(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    trained_under(bob, alice)
    receipt = erase(alice, request_id=str(uuid4()))
    assert list(traces(owner, alice)) == []
    assert {one.table: one.row_count for one in receipt.row_counts}["sessions"] == 2
    assert receipt.request_time.ToDatetime() <= receipt.erase_time.ToDatetime()
    assert alice.id not in str(receipt)
    assert erase(alice, request_id=str(uuid4())) == receipt
    assert erase(alice) == receipt


def test_a_receipt_is_signed(alice: Athlete, database_url: str, owner: psycopg.Connection) -> None:
    alice.log()
    receipt = erase(alice)
    signs = asyncio.run(signer_of(Settings(database_role=""), database_url))
    read = signs.read(receipt.signed_receipt)
    assert read == kept(receipt.signed_receipt)
    assert read.row_counts == {one.table: one.row_count for one in receipt.row_counts}
    assert read.pseudonym == receipt.pseudonym
    head, body, signature = receipt.signed_receipt.split(".")
    for forged in (f"{head}.{body}.{signature[::-1]}", f"{head}.{body[:-8]}.{signature}", ""):
        with pytest.raises(ReceiptError):
            signs.read(forged)
    with pytest.raises(ReceiptError):
        signer(Settings(), b"of another installation").read(receipt.signed_receipt)


def test_without_confirmation_nothing_goes(alice: Athlete) -> None:
    alice.log()
    with refused("INVALID_FIELD"):
        alice.governance.RequestErasure(governance_pb2.RequestErasureRequest())
    assert len(alice.sessions.ListSessions(session_pb2.ListSessionsRequest()).sessions) == 1


def test_nobody_can_be_granted_it(alice: Athlete, bob: Athlete) -> None:
    grant(alice, bob.id, *SCOPES)
    with refused("ATHLETE_NOT_FOUND"):
        erase(bob, external_user_id=alice.id)
    assert alice.log().id


def test_an_administrator_erases(
    alice: Athlete, new_athlete: Callable[..., Athlete], owner: psycopg.Connection
) -> None:
    admin = new_athlete(roles="admin")
    alice.log()
    request = governance_pb2.EraseUserRequest(user_id=alice.id)
    first = admin.governance.EraseUser(request)
    assert list(traces(owner, alice)) == []
    assert erase(alice) == first


@pytest.mark.parametrize("name", [n for n in OF_USERS if not n.endswith("RequestErasure")])
def test_no_call_answers_for_an_erased_athlete(name: str, alice: Athlete, sibling: Athlete) -> None:
    """Neither a cache nor what was answered before: the calls were all made by then."""
    request: Any = Belongings(alice).request(ALL[name])
    erase(alice)
    for caller in (alice, sibling):
        request.external_user_id = alice.id
        with refused(*ERASED):
            call(caller.channel, ALL[name], request)


def test_nothing_is_stored_about_an_erased_user(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    group = new_group(bob)
    erase(alice)
    with refused(*ERASED):
        grant(bob, alice.id, *SCOPES)
    with refused(*ERASED):
        invite(bob, group, alice.id)
    assert list(traces(owner, alice)) == []


def test_an_erasure_waits_for_a_write_under_way(
    alice: Athlete, owner: psycopg.Connection, database_url: str
) -> None:
    """A write that began before the tombstone stands ends before rows are looked for."""
    alice.log()
    who = asyncio.run(_pseudonym(database_url, alice))
    with psycopg.connect(database_url) as writing:
        writing.execute("SET LOCAL ROLE training_app")
        writing.execute(f"SET LOCAL app.external_user_id = '{alice.id}'")
        writing.execute("SELECT training.refuse_erased(%s, true)", [who])
        erasing = threading.Thread(target=erase, args=[alice])
        erasing.start()
        eventually(lambda: waiting_count(owner) == 1)
        writing.execute(
            "INSERT INTO training.load_histories (external_user_id) VALUES (%s)"
            " ON CONFLICT DO NOTHING",
            [alice.id],
        )
        writing.commit()
        erasing.join()
    assert list(traces(owner, alice)) == []


async def _pseudonym(url: str, athlete: Athlete) -> bytes:
    async with Database(Settings(database_role=""), url) as database:
        return (await database.pseudonyms()).bytes_of(UUID(athlete.id))


def test_writers_beside_an_erasure_bring_nothing_back(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    grant(alice, bob.id, *SCOPES)
    seen: list[str] = []

    def write(who: Athlete) -> None:
        while True:
            try:
                who.sessions.LogSession(
                    session_pb2.LogSessionRequest(
                        session=a_session(), external_user_id=alice.id, request_id=str(uuid4())
                    )
                )
                bob.coaching.CreateGrant(
                    coaching_pb2.CreateGrantRequest(grant=a_grant(grantee_user_id=alice.id))
                )
            except grpc.RpcError as error:
                seen.append(error.code().name)
                return

    threads = [threading.Thread(target=write, args=[who]) for who in (alice, bob) * 3]
    for thread in threads:
        thread.start()
    enough = "SELECT count(*) > 20 FROM training.sessions WHERE external_user_id = %s"
    eventually(lambda: owner.execute(enough, [alice.id]).fetchone() == (True,))
    erase(alice)
    for thread in threads:
        thread.join()
    assert set(seen) <= {"FAILED_PRECONDITION", "NOT_FOUND"}
    assert list(traces(owner, alice)) == []


def test_another_athletes_rows_stay_as_they_are(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    Belongings(bob)
    Belongings(alice)
    before = rows_of(owner, bob)
    erase(alice)
    assert rows_of(owner, bob) == before
