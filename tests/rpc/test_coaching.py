"""Grants: who may do what with an athlete's data, over the wire."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import access_pb2, readiness_pb2, session_pb2
from calisthenics.training.v1 import coaching_pb2 as pb

from tests.support import (
    Athlete,
    Queries,
    a_session,
    a_wellness,
    enter,
    expire,
    grant,
    new_group,
    refused,
    remove,
    revoke,
    uses,
)

SCOPES = list(access_pb2.GrantScope.values()[1:])
READ_SESSIONS = access_pb2.GRANT_SCOPE_READ_SESSIONS
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
READ_WELLNESS = access_pb2.GRANT_SCOPE_READ_WELLNESS


def grants(athlete: Athlete) -> list[pb.Grant]:
    return list(athlete.coaching.ListGrants(pb.ListGrantsRequest()).grants)


def sessions_of(coach: Athlete, athlete: Athlete) -> list[str]:
    request = session_pb2.ListSessionsRequest(external_user_id=athlete.id)
    return [one.id for one in coach.sessions.ListSessions(request).sessions]


def test_a_grant_is_returned_as_it_was_given(alice: Athlete, bob: Athlete) -> None:
    end = datetime.now(UTC) + timedelta(days=30)
    given = grant(alice, bob.id, READ_WELLNESS, READ_SESSIONS, expire_time=end)
    assert (given.external_user_id, given.grantee_user_id) == (alice.id, bob.id)
    assert list(given.scopes) == [READ_SESSIONS, READ_WELLNESS]
    assert given.expire_time.ToDatetime(UTC) == end
    assert given.active
    assert grants(alice) == [given]
    assert grants(bob) == []


def test_what_is_granted_can_be_read_and_its_use_is_on_record(alice: Athlete, bob: Athlete) -> None:
    logged = alice.log()
    with refused("ATHLETE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        sessions_of(bob, alice)
    given = grant(alice, bob.id, READ_SESSIONS)
    assert sessions_of(bob, alice) == [logged.id]
    [use] = uses(alice)
    assert (use.grantee_user_id, use.grant_id) == (bob.id, given.id)
    assert (use.rpc, use.scope) == ("ListSessions", READ_SESSIONS)
    assert abs(use.access_time.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)
    assert use.call_id
    assert uses(bob) == []
    # What an athlete reads of their own is nobody's business.
    alice.sessions.ListSessions(session_pb2.ListSessionsRequest())
    assert len(uses(alice)) == 1


def test_a_grant_that_is_taken_back_ends_with_the_next_call(alice: Athlete, bob: Athlete) -> None:
    given = grant(alice, bob.id, READ_SESSIONS)
    assert sessions_of(bob, alice) == []
    revoked = revoke(alice, given)
    assert not revoked.active
    assert revoked.HasField("revoke_time")
    with refused("ATHLETE_NOT_FOUND"):
        sessions_of(bob, alice)
    assert revoke(alice, given) == revoked
    assert grants(alice) == [revoked]
    with refused("GRANT_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        revoke(bob, given)
    assert len(uses(alice)) == 1


def test_a_grant_ends_by_itself(alice: Athlete, bob: Athlete, owner: psycopg.Connection) -> None:
    given = grant(alice, bob.id, READ_SESSIONS)
    expire(owner, given)
    with refused("ATHLETE_NOT_FOUND"):
        sessions_of(bob, alice)
    assert not grants(alice)[0].active
    grant(alice, bob.id, READ_SESSIONS)
    assert sessions_of(bob, alice) == []


def test_a_grant_is_for_one_person_and_one_way(
    alice: Athlete, bob: Athlete, new_athlete: Any
) -> None:
    carol = new_athlete()
    grant(alice, bob.id, *SCOPES)
    for caller, athlete in ((carol, alice), (alice, bob), (bob, carol)):
        with refused("ATHLETE_NOT_FOUND"):
            sessions_of(caller, athlete)


def test_a_coach_may_write_what_was_granted(alice: Athlete, bob: Athlete) -> None:
    grant(alice, bob.id, access_pb2.GRANT_SCOPE_LOG_SESSIONS)
    request = session_pb2.LogSessionRequest(external_user_id=alice.id, session=a_session())
    logged = bob.sessions.LogSession(request)
    assert logged.external_user_id == alice.id
    read = alice.sessions.GetSession(session_pb2.GetSessionRequest(session_id=logged.id))
    assert read == logged
    entry = readiness_pb2.LogWellnessRequest(external_user_id=alice.id, entry=a_wellness())
    bob.readiness.LogWellness(entry)
    # Writing is not reading.
    with refused("ATHLETE_NOT_FOUND"):
        sessions_of(bob, alice)
    assert [one.rpc for one in uses(alice)] == ["LogWellness", "LogSession"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"scopes": []}, "grant.scopes"),
        ({"scopes": [READ_SESSIONS] * 2}, "grant.scopes"),
        ({"scopes": [99]}, "grant.scopes[0]"),
        (
            {"scopes": [READ_SESSIONS], "expire_time": LONG_AGO},
            "grant.expire_time",
        ),
    ],
)
def test_a_bad_grant_is_refused(
    fields: dict[str, Any], path: str, alice: Athlete, bob: Athlete
) -> None:
    message = pb.Grant(grantee_user_id=bob.id, **fields)
    with refused("INVALID_FIELD") as refusals:
        alice.coaching.CreateGrant(pb.CreateGrantRequest(grant=message))
    assert refusals[0].fields == [path]
    assert grants(alice) == []


def test_nobody_needs_a_grant_of_their_own(alice: Athlete) -> None:
    with refused("INVALID_FIELD") as refusals:
        grant(alice, alice.id, READ_SESSIONS)
    assert refusals[0].fields == ["grant.grantee_user_id"]


def test_a_grant_that_is_sent_twice_is_given_once(alice: Athlete, bob: Athlete) -> None:
    message = pb.Grant(grantee_user_id=bob.id, scopes=[READ_SESSIONS])
    request = pb.CreateGrantRequest(grant=message, request_id=str(uuid4()))
    first = alice.coaching.CreateGrant(request)
    assert alice.coaching.CreateGrant(request) == first
    assert len(grants(alice)) == 1


def test_grants_and_their_uses_come_in_pages(alice: Athlete, bob: Athlete) -> None:
    given = [grant(alice, bob.id, READ_SESSIONS) for _ in range(3)]
    for _ in range(3):
        sessions_of(bob, alice)
    request = pb.ListGrantsRequest(page_size=2)
    first = alice.coaching.ListGrants(request)
    request.page_token = first.next_page_token
    rest = alice.coaching.ListGrants(request)
    assert [*first.grants, *rest.grants] == given[::-1]
    everything = uses(alice)
    log = pb.ListAccessLogRequest(page_size=2)
    page = alice.coaching.ListAccessLog(log)
    log.page_token = page.next_page_token
    following = alice.coaching.ListAccessLog(log)
    assert [*page.entries, *following.entries] == everything
    assert not following.next_page_token
    with refused("INVALID_PAGE_TOKEN"):
        bob.coaching.ListAccessLog(log)


def test_a_call_by_a_grant_takes_a_statement_for_it_and_one_for_the_record(
    alice: Athlete, bob: Athlete, queries: Queries
) -> None:
    alice.log()
    grant(alice, bob.id, READ_SESSIONS)
    sent = []
    for caller in (alice, bob):
        queries.clear()
        sessions_of(caller, alice)
        sent.append(len(queries.data))
    assert sent[1] == sent[0] + 2


def received(user: Athlete, **request: Any) -> list[pb.Grant]:
    response = user.coaching.ListReceivedGrants(pb.ListReceivedGrantsRequest(**request))
    return list(response.grants)


def test_a_coach_finds_who_granted_them_something(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    carol = alice.as_another()
    group = new_group(bob)
    to_group = []
    for athlete in (alice, carol):
        enter(bob, group, athlete, granted_scopes=[READ_SESSIONS])
        to_group += grants(athlete)
    direct = grant(alice, bob.id, READ_WELLNESS)
    revoke(alice, grant(alice, bob.id, READ_WELLNESS))
    expire(owner, grant(alice, bob.id, READ_WELLNESS))
    grant(alice, carol.id, READ_WELLNESS)
    assert received(bob) == [direct, *to_group[::-1]]
    assert [one.grantee_user_id for one in received(carol)] == [carol.id]
    # Nor does an athlete see what others granted to their group.
    assert received(alice) == []
    assistant = alice.as_another()
    enter(bob, group, assistant, "MEMBER_ROLE_ASSISTANT")
    assert received(assistant) == to_group[::-1]
    remove(carol, group, carol.id)
    assert received(bob) == [direct, to_group[0]]


def test_received_grants_come_in_pages(alice: Athlete, bob: Athlete) -> None:
    given = [grant(alice, bob.id, READ_SESSIONS) for _ in range(3)]
    first = bob.coaching.ListReceivedGrants(pb.ListReceivedGrantsRequest(page_size=2))
    rest = received(bob, page_size=2, page_token=first.next_page_token)
    assert [*first.grants, *rest] == given[::-1]


def test_a_grant_may_not_end_in_a_time_that_is_none(alice: Athlete, bob: Athlete) -> None:
    message = pb.Grant(grantee_user_id=bob.id, scopes=[READ_SESSIONS])
    message.expire_time.seconds = 2**62
    with refused("INVALID_FIELD") as refusals:
        alice.coaching.CreateGrant(pb.CreateGrantRequest(grant=message))
    assert refusals[0].fields == ["grant.expire_time"]
