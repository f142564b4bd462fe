"""Groups: who is in them, who may do what, and invitations, over the wire."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import access_pb2, coaching_pb2, session_pb2
from calisthenics.training.v1 import group_pb2 as pb

from tests.support import (
    Athlete,
    a_group,
    accept,
    an_invitation,
    enter,
    invite,
    new_group,
    refused,
    remove,
)
from training_service.domain import group as domain

COACH, ASSISTANT, ATHLETE = "MEMBER_ROLE_COACH", "MEMBER_ROLE_ASSISTANT", "MEMBER_ROLE_ATHLETE"
READ_SESSIONS = access_pb2.GRANT_SCOPE_READ_SESSIONS
FORBIDDEN = grpc.StatusCode.PERMISSION_DENIED


def groups_of(user: Athlete) -> list[pb.Group]:
    return list(user.groups.ListGroups(pb.ListGroupsRequest()).groups)


def members_of(user: Athlete, group: pb.Group) -> dict[str, int]:
    response = user.groups.ListMembers(pb.ListMembersRequest(group_id=group.id))
    return {member.user_id: member.role for member in response.members}


def received(user: Athlete) -> list[pb.Invitation]:
    request = pb.ListReceivedInvitationsRequest()
    return list(user.groups.ListReceivedInvitations(request).invitations)


def sent(user: Athlete, group: pb.Group) -> list[pb.Invitation]:
    request = pb.ListInvitationsRequest(group_id=group.id)
    return list(user.groups.ListInvitations(request).invitations)


def decline(user: Athlete, invitation: pb.Invitation) -> pb.Invitation:
    return user.groups.DeclineInvitation(pb.DeclineInvitationRequest(invitation_id=invitation.id))


def withdraw(user: Athlete, invitation: pb.Invitation) -> pb.Invitation:
    return user.groups.WithdrawInvitation(
        pb.WithdrawInvitationRequest(group_id=invitation.group_id, invitation_id=invitation.id)
    )


def update_group(user: Athlete, group: pb.Group, *paths: str, **fields: Any) -> pb.Group:
    request = pb.UpdateGroupRequest(group_id=group.id, group=pb.Group(**fields))
    request.update_mask.paths.extend(paths)
    return user.groups.UpdateGroup(request)


def update_member(user: Athlete, group: pb.Group, member_user_id: str, **fields: Any) -> pb.Member:
    request = pb.UpdateMemberRequest(
        group_id=group.id, member_user_id=member_user_id, member=pb.Member(**fields)
    )
    request.update_mask.paths.extend(fields)
    return user.groups.UpdateMember(request)


def sessions_of(coach: Athlete, athlete: Athlete) -> list[str]:
    request = session_pb2.ListSessionsRequest(external_user_id=athlete.id)
    return [one.id for one in coach.sessions.ListSessions(request).sessions]


def test_who_creates_a_group_is_its_coach(alice: Athlete, bob: Athlete) -> None:
    group = new_group(alice, group_external_id="team-7")
    assert group.role == pb.MEMBER_ROLE_COACH
    assert group.group_external_id == "team-7"
    assert groups_of(alice) == [group]
    assert alice.groups.GetGroup(pb.GetGroupRequest(group_id=group.id)) == group
    assert members_of(alice, group) == {alice.id: pb.MEMBER_ROLE_COACH}
    assert groups_of(bob) == []


def test_a_group_is_changed_by_its_coaches(alice: Athlete, bob: Athlete) -> None:
    group = new_group(alice)
    enter(alice, group, bob, ASSISTANT)
    changed = update_group(alice, group, "display_name", display_name="Ring leaders")
    assert (changed.display_name, changed.kind) == ("Ring leaders", group.kind)
    assert changed.etag != group.etag
    with refused("ETAG_MISMATCH"):
        update_group(alice, group, "display_name", display_name="Late", etag=group.etag)
    with refused("PERMISSION_DENIED", FORBIDDEN):
        update_group(bob, group, "display_name", display_name="Mine")
    with refused("INVALID_UPDATE_MASK"):
        update_group(alice, group, "kind", kind=2)
    with refused("INVALID_FIELD") as refusals:
        update_group(alice, group, "display_name", display_name="")
    assert refusals[0].fields == ["group.display_name"]
    [seen] = groups_of(bob)
    assert (seen.display_name, seen.role) == ("Ring leaders", pb.MEMBER_ROLE_ASSISTANT)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"display_name": ""}, "group.display_name"),
        ({"kind": 0}, "group.kind"),
        ({"kind": 99}, "group.kind"),
        ({"group_external_id": "x" * 129}, "group.group_external_id"),
    ],
)
def test_a_bad_group_is_refused(fields: dict[str, Any], path: str, alice: Athlete) -> None:
    with refused("INVALID_FIELD") as refusals:
        new_group(alice, **fields)
    assert refusals[0].fields == [path]
    assert groups_of(alice) == []


def test_a_group_that_is_sent_twice_is_created_once(alice: Athlete) -> None:
    request = pb.CreateGroupRequest(group=a_group(), request_id=str(uuid4()))
    assert alice.groups.CreateGroup(request) == alice.groups.CreateGroup(request)
    assert len(groups_of(alice)) == 1


def test_groups_come_in_pages(alice: Athlete, bob: Athlete) -> None:
    made = [new_group(alice, display_name=f"Group {n}") for n in range(3)]
    request = pb.ListGroupsRequest(page_size=2)
    first = alice.groups.ListGroups(request)
    request.page_token = first.next_page_token
    rest = alice.groups.ListGroups(request)
    assert [*first.groups, *rest.groups] == made[::-1]
    with refused("INVALID_PAGE_TOKEN"):
        bob.groups.ListGroups(request)


def test_a_deleted_group_is_gone_and_leaves_what_was_done_in_it(
    alice: Athlete, bob: Athlete
) -> None:
    group = new_group(alice)
    enter(alice, group, bob, granted_scopes=[READ_SESSIONS])
    pending = invite(alice, group, str(uuid4()))
    logged = bob.log()
    assert sessions_of(alice, bob) == [logged.id]
    with refused("PERMISSION_DENIED", FORBIDDEN):
        bob.groups.DeleteGroup(pb.DeleteGroupRequest(group_id=group.id))
    request = pb.DeleteGroupRequest(group_id=group.id, request_id=str(uuid4()))
    alice.groups.DeleteGroup(request)
    alice.groups.DeleteGroup(request)
    with refused("GROUP_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        withdraw(alice, pending)
    assert groups_of(bob) == groups_of(alice) == []
    with refused("ATHLETE_NOT_FOUND"):
        sessions_of(alice, bob)
    assert sessions_of(bob, bob) == [logged.id]
    [grant] = bob.coaching.ListGrants(coaching_pb2.ListGrantsRequest()).grants
    assert not grant.active


# Invitations


def test_who_is_invited_decides(alice: Athlete, bob: Athlete) -> None:
    group = new_group(alice)
    invitation = invite(alice, group, bob.id, wanted_scopes=[READ_SESSIONS])
    assert invitation.state == pb.INVITATION_STATE_OPEN
    assert received(bob) == [invitation] == sent(alice, group)
    assert invitation.group_display_name == group.display_name
    assert invitation.inviter_user_id == alice.id
    assert members_of(alice, group) == {alice.id: pb.MEMBER_ROLE_COACH}
    assert sessions_of_is_refused(alice, bob)

    member = accept(bob, invitation, sharing=["SHARING_ANALYTICS"])
    assert (member.user_id, member.role) == (bob.id, pb.MEMBER_ROLE_ATHLETE)
    assert list(member.sharing) == [pb.SHARING_ANALYTICS]
    assert received(bob)[0].state == pb.INVITATION_STATE_ACCEPTED
    assert members_of(alice, group)[bob.id] == pb.MEMBER_ROLE_ATHLETE
    # What the coach wanted was not granted.
    assert sessions_of_is_refused(alice, bob)
    assert accept(bob, invitation) == member


def sessions_of_is_refused(coach: Athlete, athlete: Athlete) -> bool:
    with refused("ATHLETE_NOT_FOUND"):
        sessions_of(coach, athlete)
    return True


def test_a_grant_can_be_given_while_accepting(alice: Athlete, bob: Athlete) -> None:
    group = new_group(alice)
    end = datetime.now(UTC) + timedelta(days=30)
    enter(alice, group, bob, granted_scopes=[READ_SESSIONS], grant_expire_time=end)
    [grant] = bob.coaching.ListGrants(coaching_pb2.ListGrantsRequest()).grants
    assert (grant.group_id, grant.grantee_user_id) == (group.id, "")
    assert grant.expire_time.ToDatetime(UTC) == end
    assert grant.active
    assert sessions_of(alice, bob) == []


def test_an_invitation_is_for_one_person(alice: Athlete, bob: Athlete, new_athlete: Any) -> None:
    carol = new_athlete()
    invitation = invite(alice, new_group(alice), bob.id)
    for act in (accept, decline):
        with refused("INVITATION_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
            act(carol, invitation)
    assert received(carol) == []


@pytest.mark.parametrize("end", [decline, withdraw])
def test_an_invitation_ends_once(
    end: Callable[[Athlete, pb.Invitation], pb.Invitation], alice: Athlete, bob: Athlete
) -> None:
    group = new_group(alice)
    invitation = invite(alice, group, bob.id)
    who = bob if end is decline else alice
    ended = end(who, invitation)
    assert end(who, invitation) == ended
    with refused("INVITATION_NOT_OPEN", grpc.StatusCode.FAILED_PRECONDITION):
        accept(bob, invitation)
    assert members_of(alice, group) == {alice.id: pb.MEMBER_ROLE_COACH}
    # And can be made anew.
    accept(bob, invite(alice, group, bob.id))
    with refused("INVITATION_NOT_OPEN"):
        decline(bob, received(bob)[0])


def test_an_invitation_ends_by_itself(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    group = new_group(alice)
    invitation = invite(alice, group, bob.id)
    usual = datetime.now(UTC) + timedelta(days=domain.INVITATION_DAYS)
    assert abs(invitation.expire_time.ToDatetime(UTC) - usual) < timedelta(minutes=1)
    query = "UPDATE training.group_invitations SET expires_at = now() WHERE id = %s"
    owner.execute(query, [invitation.id])
    assert received(bob)[0].state == pb.INVITATION_STATE_EXPIRED
    with refused("INVITATION_NOT_OPEN"):
        accept(bob, invitation)
    invite(alice, group, bob.id)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"role": 0}, "invitation.role"),
        ({"user_id": "bob"}, "invitation.user_id"),
        ({"wanted_scopes": [0]}, "invitation.wanted_scopes[0]"),
        ({"role": COACH, "wanted_scopes": [READ_SESSIONS]}, "invitation.wanted_scopes"),
        ({"expire_time": datetime(2020, 1, 1, tzinfo=UTC)}, "invitation.expire_time"),
        ({"expire_time": datetime(2999, 1, 1, tzinfo=UTC)}, "invitation.expire_time"),
    ],
)
def test_a_bad_invitation_is_refused(fields: dict[str, Any], path: str, alice: Athlete) -> None:
    group = new_group(alice)
    request = pb.CreateInvitationRequest(
        group_id=group.id, invitation=an_invitation(**{"user_id": str(uuid4()), **fields})
    )
    with refused("INVALID_FIELD") as refusals:
        alice.groups.CreateInvitation(request)
    assert refusals[0].fields == [path]
    assert sent(alice, group) == []


def test_nobody_is_invited_twice_or_into_their_own_group(alice: Athlete, bob: Athlete) -> None:
    group = new_group(alice)
    invite(alice, group, bob.id)
    for user in (bob, alice):
        with refused("ALREADY_INVITED", grpc.StatusCode.ALREADY_EXISTS):
            invite(alice, group, user.id)


def test_a_group_has_a_most_of_members(alice: Athlete, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "MAX_PLACES", 3)
    group = new_group(alice)
    enter(alice, group, alice.as_another())
    last = invite(alice, group, str(uuid4()))
    with refused("GROUP_FULL") as refusals:
        invite(alice, group, str(uuid4()))
    assert refusals[0].metadata["limit"] == "3"
    withdraw(alice, last)
    invite(alice, group, str(uuid4()))


def test_staff_grants_and_shares_nothing(alice: Athlete, bob: Athlete) -> None:
    group = new_group(alice)
    invitation = invite(alice, group, bob.id, role=ASSISTANT)
    for fields in ({"granted_scopes": [READ_SESSIONS]}, {"sharing": ["SHARING_ANALYTICS"]}):
        with refused("INVALID_FIELD") as refusals:
            accept(bob, invitation, **fields)
        assert refusals[0].fields == list(fields)
    assert members_of(alice, group) == {alice.id: pb.MEMBER_ROLE_COACH}


def test_invitations_come_in_pages(alice: Athlete, bob: Athlete) -> None:
    group = new_group(alice)
    made = [invite(alice, group, str(uuid4())) for _ in range(3)]
    request = pb.ListInvitationsRequest(group_id=group.id, page_size=2)
    first = alice.groups.ListInvitations(request)
    request.page_token = first.next_page_token
    rest = alice.groups.ListInvitations(request)
    assert [*first.invitations, *rest.invitations] == made[::-1]
    mine = [invite(alice, new_group(alice), bob.id) for _ in range(3)]
    assert received(bob) == mine[::-1]


# Members


@pytest.fixture
def team(alice: Athlete) -> tuple[pb.Group, dict[str, Athlete]]:
    """A group of alice's with an assistant and two athletes."""
    group = new_group(alice)
    others = {name: alice.as_another() for name in ("assistant", "athlete", "other")}
    enter(alice, group, others["assistant"], ASSISTANT)
    enter(alice, group, others["athlete"])
    enter(alice, group, others["other"])
    return group, {"coach": alice, **others}


Team = tuple[pb.Group, dict[str, Athlete]]


def test_athletes_do_not_see_one_another(team: Team) -> None:
    group, users = team
    everybody = {user.id for user in users.values()}
    assert set(members_of(users["coach"], group)) == everybody
    assert set(members_of(users["assistant"], group)) == everybody
    assert set(members_of(users["athlete"], group)) == everybody - {users["other"].id}


def test_nobody_sees_what_another_shares(team: Team) -> None:
    group, users = team
    athlete = users["athlete"]
    shared = update_member(athlete, group, athlete.id, sharing=["SHARING_LEADERBOARDS"])
    assert list(shared.sharing) == [pb.SHARING_LEADERBOARDS]
    seen = users["coach"].groups.ListMembers(pb.ListMembersRequest(group_id=group.id)).members
    assert all(not member.sharing for member in seen)
    own = athlete.groups.ListMembers(pb.ListMembersRequest(group_id=group.id)).members
    assert shared in own


@pytest.mark.parametrize("who", ["coach", "assistant", "other"])
def test_only_athletes_themselves_say_what_they_share(team: Team, who: str) -> None:
    group, users = team
    reason = "MEMBER_NOT_FOUND" if who == "other" else "INVALID_FIELD"
    with refused(reason):
        update_member(users[who], group, users["athlete"].id, sharing=["SHARING_ANALYTICS"])
    if who != "other":
        with refused("INVALID_FIELD"):
            update_member(users[who], group, users[who].id, sharing=["SHARING_ANALYTICS"])


def test_a_coach_makes_coaches_of_assistants_and_the_other_way_round(team: Team) -> None:
    group, users = team
    coach, assistant = users["coach"], users["assistant"]
    with refused("PERMISSION_DENIED", FORBIDDEN):
        update_member(assistant, group, assistant.id, role=COACH)
    with refused("LAST_COACH", grpc.StatusCode.FAILED_PRECONDITION):
        update_member(coach, group, coach.id, role=ASSISTANT)
    assert update_member(coach, group, assistant.id, role=COACH).role == pb.MEMBER_ROLE_COACH
    update_member(assistant, group, coach.id, role=ASSISTANT)
    assert members_of(assistant, group)[coach.id] == pb.MEMBER_ROLE_ASSISTANT
    with refused("PERMISSION_DENIED"):
        update_member(coach, group, coach.id, role=COACH)


@pytest.mark.parametrize("role", [COACH, ATHLETE, "MEMBER_ROLE_UNSPECIFIED"])
def test_an_athlete_becomes_nothing_else_without_being_asked(team: Team, role: str) -> None:
    group, users = team
    with refused("INVALID_FIELD") as refusals:
        update_member(users["coach"], group, users["athlete"].id, role=role)
    assert refusals[0].fields == ["member.role"]


def test_members_leave_and_coaches_remove(team: Team, bob: Athlete) -> None:
    group, users = team
    coach, assistant = users["coach"], users["assistant"]
    athlete, other = users["athlete"], users["other"]
    with refused("PERMISSION_DENIED", FORBIDDEN):
        remove(assistant, group, athlete.id)
    with refused("MEMBER_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        remove(athlete, group, other.id)
    with refused("MEMBER_NOT_FOUND"):
        remove(coach, group, bob.id)
    with refused("GROUP_NOT_FOUND"):
        remove(bob, group, athlete.id)
    with refused("LAST_COACH"):
        remove(coach, group, coach.id)
    request_id = str(uuid4())
    remove(athlete, group, athlete.id, request_id=request_id)
    remove(athlete, group, athlete.id, request_id=request_id)
    remove(coach, group, other.id)
    assert set(members_of(coach, group)) == {coach.id, assistant.id}
    with refused("GROUP_NOT_FOUND"):
        members_of(athlete, group)


@pytest.mark.parametrize("who", ["assistant", "athlete"])
def test_only_coaches_invite_withdraw_and_delete(team: Team, who: str) -> None:
    group, users = team
    invitation = invite(users["coach"], group, str(uuid4()))
    user = users[who]
    for act in (
        lambda: invite(user, group, str(uuid4())),
        lambda: withdraw(user, invitation),
        lambda: user.groups.DeleteGroup(pb.DeleteGroupRequest(group_id=group.id)),
    ):
        with refused("PERMISSION_DENIED", FORBIDDEN):
            act()
    assert sent(users["coach"], group)[0] == invitation


def test_only_coaches_and_assistants_see_who_is_invited(team: Team) -> None:
    group, users = team
    assert sent(users["assistant"], group) == sent(users["coach"], group) != []
    with refused("PERMISSION_DENIED", FORBIDDEN):
        sent(users["athlete"], group)


def test_members_come_in_pages(team: Team) -> None:
    group, users = team
    request = pb.ListMembersRequest(group_id=group.id, page_size=3)
    first = users["coach"].groups.ListMembers(request)
    request.page_token = first.next_page_token
    rest = users["coach"].groups.ListMembers(request)
    found = [member.user_id for member in (*first.members, *rest.members)]
    assert found == sorted((user.id for user in users.values()), reverse=True)
    assert not rest.next_page_token


# Grants to groups


def test_a_grant_to_a_group_is_for_one_s_own_group(alice: Athlete, bob: Athlete) -> None:
    group = new_group(alice)
    message = coaching_pb2.Grant(group_id=group.id, scopes=[READ_SESSIONS])
    # Neither a stranger nor its coach is an athlete of it.
    for user in (bob, alice):
        with refused("UNKNOWN_GROUP") as refusals:
            user.coaching.CreateGrant(coaching_pb2.CreateGrantRequest(grant=message))
        assert refusals[0].fields == ["grant.group_id"]
    enter(alice, group, bob)
    granted = bob.coaching.CreateGrant(coaching_pb2.CreateGrantRequest(grant=message))
    assert granted.active
    assert sessions_of(alice, bob) == []
    remove(bob, group, bob.id)
    [left] = bob.coaching.ListGrants(coaching_pb2.ListGrantsRequest()).grants
    assert not left.active


def test_a_grant_names_a_person_or_a_group(alice: Athlete) -> None:
    with refused("INVALID_FIELD") as refusals:
        message = coaching_pb2.Grant(scopes=[READ_SESSIONS])
        alice.coaching.CreateGrant(coaching_pb2.CreateGrantRequest(grant=message))
    assert refusals[0].fields == ["grant.grantee"]


def test_two_who_accept_at_once_enter_once(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    group = new_group(alice)
    invitation = invite(alice, group, bob.id)
    request = pb.AcceptInvitationRequest(
        invitation_id=invitation.id, granted_scopes=[READ_SESSIONS]
    )
    calls = [bob.groups.AcceptInvitation.future(request) for _ in range(8)]
    members = {call.result().SerializeToString() for call in calls}
    assert len(members) == 1
    assert len(bob.coaching.ListGrants(coaching_pb2.ListGrantsRequest()).grants) == 1


def test_of_two_coaches_who_leave_at_once_one_stays(alice: Athlete, bob: Athlete) -> None:
    group = new_group(alice)
    enter(alice, group, bob, COACH)
    calls = [
        user.groups.RemoveMember.future(
            pb.RemoveMemberRequest(group_id=group.id, member_user_id=user.id)
        )
        for user in (alice, bob)
    ]
    codes = [call.code() for call in calls]
    assert sorted(codes, key=lambda code: code.value[0]) == [
        grpc.StatusCode.OK,
        grpc.StatusCode.FAILED_PRECONDITION,
    ]
