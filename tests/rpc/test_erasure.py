"""Erasing an athlete or a coach leaves the other's data whole, and no name behind."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID, uuid4

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import (
    access_pb2,
    assignment_pb2,
    coaching_pb2,
    goal_pb2,
    group_pb2,
    readiness_pb2,
    session_pb2,
    workout_pb2,
)
from sqlalchemy import Uuid

from tests.rpc.test_isolation import Belongings, rows_of
from tests.support import (
    Athlete,
    a_goal,
    a_session,
    a_wellness,
    a_workout,
    accept,
    enter,
    grant,
    invite,
    new_group,
    refused,
    uses,
)
from training_service.receipt import kept
from training_service.settings import Settings
from training_service.storage.erasure import NOBODY, STEPS, erase, user_columns
from training_service.storage.tables import metadata

SCOPES = list(access_pb2.GrantScope.values()[1:])


@pytest.fixture
def erase_user(database_url: str) -> Any:
    """Erases a user as the owner of the schema does."""
    settings = Settings(database_role="")

    def run(user: Athlete) -> Mapping[str, int]:
        return kept(asyncio.run(erase(settings, database_url, UUID(user.id)))).row_counts

    return run


def traces(owner: psycopg.Connection, user: Athlete) -> Iterator[str]:
    """Yields the tables in which a user's id stands, as an id, in a text or among bytes."""
    id = UUID(user.id)
    for name in metadata.tables:
        for row in owner.execute(f"SELECT * FROM {name}").fetchall():
            if any(mentions(value, id) for value in row):
                yield name


def mentions(value: Any, id: UUID) -> bool:
    if isinstance(value, bytes | memoryview):
        return str(id).encode() in bytes(value) or id.bytes in bytes(value)
    return str(id) in str(value)


def trained_under(coach: Athlete, athlete: Athlete) -> group_pb2.Group:
    """A coach writes all kinds of things for an athlete of a group, and reads some."""
    group = new_group(coach)
    enter(coach, group, athlete, granted_scopes=SCOPES, request_id=str(uuid4()))
    grant(athlete, coach.id, *SCOPES)
    athlete.log(request_id=str(uuid4()))
    athlete.readiness.LogWellness(readiness_pb2.LogWellnessRequest(entry=a_wellness()))
    for stub, request in (
        (coach.sessions.LogSession, session_pb2.LogSessionRequest(session=a_session())),
        (coach.workouts.CreateWorkout, workout_pb2.CreateWorkoutRequest(workout=a_workout())),
        (coach.goals.CreateGoal, goal_pb2.CreateGoalRequest(goal=a_goal())),
    ):
        request.external_user_id = athlete.id
        request.request_id = str(uuid4())
        stub(request)
    coach.assignments.AssignWorkouts(
        assignment_pb2.AssignWorkoutsRequest(
            workouts=[assignment_pb2.WorkoutToAssign(workout_id=coach.create_workout().id)],
            athlete_user_ids=[athlete.id],
            request_id=str(uuid4()),
        )
    )
    return group


def test_every_column_with_a_user_is_dealt_with() -> None:
    tables = {table for table, _ in STEPS}
    for table in metadata.tables.values():
        if user_columns(table):
            assert table.name in tables
        for column in table.c:
            if isinstance(column.type, Uuid) and "user" in column.name:
                assert column in user_columns(table), column


def test_an_erased_athlete_leaves_nothing(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, erase_user: Any
) -> None:
    Belongings(alice)
    group = trained_under(bob, alice)
    trained_under(alice, bob)
    before = rows_of(owner, bob)
    assert set(traces(owner, alice))
    counts = erase_user(alice)
    # Three of her own, and one that she logged for bob.
    assert counts["sessions"] == 4
    assert list(traces(owner, alice)) == []
    after = rows_of(owner, bob)
    # Of bob's all is there; what alice wrote for him has her name no more.
    for table, rows in before.items():
        if table not in {"training.access_log", "training.write_requests"}:
            assert len(after[table]) == len(rows), table
    request = group_pb2.ListMembersRequest(group_id=group.id)
    assert [one.user_id for one in bob.groups.ListMembers(request).members] == [bob.id]
    assert erase_user(alice) == counts
    assert list(traces(owner, alice)) == []


def test_an_erased_coach_leaves_the_athletes_data_whole(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, erase_user: Any
) -> None:
    group = trained_under(bob, alice)
    written = alice.sessions.ListSessions(session_pb2.ListSessionsRequest(view="SESSION_VIEW_FULL"))
    looked = len(uses(alice))
    erase_user(bob)
    assert list(traces(owner, bob)) == []
    left = alice.sessions.ListSessions(session_pb2.ListSessionsRequest(view="SESSION_VIEW_FULL"))
    assert {one.author_user_id for one in written.sessions} == {"", bob.id}
    for session in written.sessions:
        session.author_user_id = ""
    assert list(left.sessions) == list(written.sessions)
    # Who looked is nobody now, but that somebody did stays on record.
    assert len(uses(alice)) == looked
    assert {one.grantee_user_id for one in uses(alice)} == {str(NOBODY)}
    grants = alice.coaching.ListGrants(coaching_pb2.ListGrantsRequest()).grants
    assert [one.active for one in grants] == [False, False]
    assert {one.grantee_user_id or one.group_id for one in grants} == {str(NOBODY), group.id}
    [copy] = alice.assignments.ListAssignments(assignment_pb2.ListAssignmentsRequest()).assignments
    assert copy.source.external_user_id == str(NOBODY)
    # The group had no other coach.
    assert alice.groups.ListGroups(group_pb2.ListGroupsRequest()).groups == []


def test_a_group_with_another_coach_goes_on(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, erase_user: Any
) -> None:
    group = new_group(bob)
    second = bob.as_another()
    enter(bob, group, second, "MEMBER_ROLE_COACH")
    invitation = invite(bob, group, alice.id)
    erase_user(bob)
    assert list(traces(owner, bob)) == []
    accept(alice, invitation)
    members = second.groups.ListMembers(group_pb2.ListMembersRequest(group_id=group.id)).members
    assert {one.user_id for one in members} == {alice.id, second.id}
    request = group_pb2.ListInvitationsRequest(group_id=group.id)
    [seen] = [
        one for one in second.groups.ListInvitations(request).invitations if one.user_id == alice.id
    ]
    assert seen.inviter_user_id == str(NOBODY)


def test_who_is_erased_can_not_begin_again(
    alice: Athlete, owner: psycopg.Connection, erase_user: Any
) -> None:
    request_id = str(uuid4())
    alice.log(request_id=request_id)
    erase_user(alice)
    with refused("ATHLETE_ERASED", grpc.StatusCode.FAILED_PRECONDITION):
        alice.log(request_id=request_id)
    with refused("ATHLETE_ERASED", grpc.StatusCode.FAILED_PRECONDITION):
        alice.sessions.ListSessions(session_pb2.ListSessionsRequest())
    assert list(traces(owner, alice)) == []


def test_nobody_else_is_touched(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, erase_user: Any
) -> None:
    Belongings(bob)
    before = rows_of(owner, bob)
    alice.log()
    erase_user(alice)
    assert rows_of(owner, bob) == before
