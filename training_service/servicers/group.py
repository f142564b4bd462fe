"""GroupService."""

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import uuid6
from calisthenics.training.v1 import group_pb2 as pb
from calisthenics.training.v1.group_pb2_grpc import GroupServiceServicer

from training_service import contract
from training_service.caller import Scope, athlete_scope
from training_service.domain import group as domain
from training_service.domain.group import InvitationState, Role, Sharing
from training_service.errors import Reason, bad_reference, invalid_field
from training_service.servicers.convert import (
    optional_future_time,
    optional_time,
    to_timestamp,
    utc_now,
    write_request,
)
from training_service.servicers.enums import GRANT_SCOPE, EnumNames
from training_service.servicers.masks import check_etag, masked_fields, merged
from training_service.servicers.once import once
from training_service.servicers.paging import page_by_id
from training_service.storage.grant import StoredGrant
from training_service.storage.group import (
    Group,
    GroupChange,
    GroupRepository,
    Invitation,
    Member,
)

KIND = EnumNames(pb.GroupKind)
ROLE = EnumNames(pb.MemberRole)
SHARING = EnumNames(pb.Sharing)
STATE = EnumNames(pb.InvitationState)

CHANGEABLE = ("display_name", "group_external_id")
CHANGEABLE_OF_MEMBERS = ("role", "sharing")


class GroupServicer(GroupServiceServicer):
    """Groups, who is in them, and invitations."""

    def __init__(self, groups: GroupRepository) -> None:
        self._groups = groups

    async def CreateGroup(self, request: pb.CreateGroupRequest, context: Any) -> pb.Group:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        new = Group(
            id=uuid6.uuid7(),
            group_external_id=request.group.group_external_id,
            display_name=request.group.display_name,
            kind=KIND.name(request.group.kind),
            version=1,
            created_at=write.received_at,
            updated_at=write.received_at,
            role=Role.COACH,
        )

        async def work(change: GroupChange) -> pb.Group:
            await change.insert(new, scope.external_user_id)
            return _group(new)

        return await once(self._groups.change(scope), write, pb.Group, work)

    async def GetGroup(self, request: pb.GetGroupRequest, context: Any) -> pb.Group:
        scope = athlete_scope(request.external_user_id)
        return _group(await self._get(scope, request.group_id))

    async def ListGroups(
        self, request: pb.ListGroupsRequest, context: Any
    ) -> pb.ListGroupsResponse:
        scope = athlete_scope(request.external_user_id)
        page, token = await page_by_id(request, scope, partial(self._groups.list_page, scope))
        return pb.ListGroupsResponse(groups=map(_group, page), next_page_token=token)

    async def UpdateGroup(self, request: pb.UpdateGroupRequest, context: Any) -> pb.Group:
        scope = athlete_scope(request.external_user_id)
        fields = masked_fields(request.update_mask, CHANGEABLE)
        write = write_request(request, utc_now())

        async def work(change: GroupChange) -> pb.Group:
            group = await _lock(change, request.group_id)
            domain.check_is_coach(group.role)
            check_etag(request.group.etag, str(group.version), "group.etag")
            message = merged(_group(group), request.group, fields)
            contract.check(message, "group")
            changed = group._replace(
                display_name=message.display_name,
                group_external_id=message.group_external_id,
                version=group.version + 1,
                updated_at=write.received_at,
            )
            await change.update(changed)
            return _group(changed)

        return await once(self._groups.change(scope), write, pb.Group, work)

    async def DeleteGroup(
        self, request: pb.DeleteGroupRequest, context: Any
    ) -> pb.DeleteGroupResponse:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())

        async def work(change: GroupChange) -> pb.DeleteGroupResponse:
            group = await _lock(change, request.group_id)
            domain.check_is_coach(group.role)
            check_etag(request.etag, str(group.version), "etag")
            await change.delete(group.id)
            return pb.DeleteGroupResponse()

        return await once(self._groups.change(scope), write, pb.DeleteGroupResponse, work)

    async def ListMembers(
        self, request: pb.ListMembersRequest, context: Any
    ) -> pb.ListMembersResponse:
        scope = athlete_scope(request.external_user_id)
        group = await self._get(scope, request.group_id)
        read = partial(self._groups.members, scope, group.id)
        page, token = await page_by_id(request, scope, read)
        members = [_member(scope, one) for one in page]
        return pb.ListMembersResponse(members=members, next_page_token=token)

    async def UpdateMember(self, request: pb.UpdateMemberRequest, context: Any) -> pb.Member:
        scope = athlete_scope(request.external_user_id)
        fields = masked_fields(request.update_mask, CHANGEABLE_OF_MEMBERS)
        write = write_request(request, utc_now())

        async def work(change: GroupChange) -> pb.Member:
            group = await _lock(change, request.group_id)
            member = await _find_member(change, group, scope, request.member_user_id)
            if "role" in fields:
                member = await _with_role(change, group, member, ROLE.name(request.member.role))
            if "sharing" in fields:
                _check_shares_own(scope, member)
                member = _with_sharing(member, request.member.sharing, write.received_at)
            await change.update_member(member)
            return _member(scope, member)

        return await once(self._groups.change(scope), write, pb.Member, work)

    async def RemoveMember(
        self, request: pb.RemoveMemberRequest, context: Any
    ) -> pb.RemoveMemberResponse:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())

        async def work(change: GroupChange) -> pb.RemoveMemberResponse:
            group = await _lock(change, request.group_id)
            member = await _find_member(change, group, scope, request.member_user_id)
            if member.member_user_id != scope.external_user_id:
                domain.check_is_coach(group.role)
            domain.check_keeps_coach(member.role, await change.coach_count(group.id))
            await change.remove(member)
            return pb.RemoveMemberResponse()

        return await once(self._groups.change(scope), write, pb.RemoveMemberResponse, work)

    async def CreateInvitation(
        self, request: pb.CreateInvitationRequest, context: Any
    ) -> pb.Invitation:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        given = request.invitation
        if given.wanted_scopes and given.role != pb.MEMBER_ROLE_ATHLETE:
            raise invalid_field("invitation.wanted_scopes", "is for athletes")
        end = optional_time(given, "expire_time", "invitation.expire_time")
        expires_at = domain.invitation_end(end, write.received_at)

        async def work(change: GroupChange) -> pb.Invitation:
            group = await _lock(change, request.group_id)
            domain.check_is_coach(group.role)
            new = Invitation(
                id=uuid6.uuid7(),
                group_id=group.id,
                invited_user_id=UUID(given.user_id),
                role=ROLE.name(given.role),
                wanted_scopes=sorted(map(GRANT_SCOPE.name, given.wanted_scopes)),
                inviter_user_id=scope.external_user_id,
                state=InvitationState.OPEN.value,
                created_at=write.received_at,
                expires_at=expires_at,
                group_display_name=group.display_name,
                group_kind=group.kind,
            )
            places = await change.places(new)
            domain.check_place(places.taken, has_place=places.has_place)
            await change.invite(new)
            return _invitation(new, InvitationState.OPEN)

        return await once(self._groups.change(scope), write, pb.Invitation, work)

    async def ListInvitations(
        self, request: pb.ListInvitationsRequest, context: Any
    ) -> pb.ListInvitationsResponse:
        scope = athlete_scope(request.external_user_id)
        group = await self._get(scope, request.group_id)
        domain.check_is_staff(group.role)
        read = partial(self._groups.sent, scope, group.id)
        page, token = await page_by_id(request, scope, read)
        now = utc_now()
        invitations = [_invitation(one, one.state_at(now)) for one in page]
        return pb.ListInvitationsResponse(invitations=invitations, next_page_token=token)

    async def ListReceivedInvitations(
        self, request: pb.ListReceivedInvitationsRequest, context: Any
    ) -> pb.ListReceivedInvitationsResponse:
        scope = athlete_scope(request.external_user_id)
        page, token = await page_by_id(request, scope, partial(self._groups.received, scope))
        now = utc_now()
        invitations = [_invitation(one, one.state_at(now)) for one in page]
        return pb.ListReceivedInvitationsResponse(invitations=invitations, next_page_token=token)

    async def AcceptInvitation(
        self, request: pb.AcceptInvitationRequest, context: Any
    ) -> pb.Member:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        now = write.received_at
        grant_end = optional_future_time(request, "grant_expire_time", "grant_expire_time", now)

        async def work(change: GroupChange) -> pb.Member:
            invitation = await _lock_received(change, request.invitation_id)
            state = invitation.state_at(now)
            member = await change.member(invitation.group_id, scope.external_user_id)
            if member and state is InvitationState.ACCEPTED:
                return _member(scope, member)
            domain.check_is_open(state)
            _check_given_by_athlete(invitation, request)
            member = Member(
                group_id=invitation.group_id,
                member_user_id=scope.external_user_id,
                role=invitation.role,
                sharing=[],
                joined_at=now,
            )
            member = _with_sharing(member, request.sharing, now)
            await change.add(member)
            if request.granted_scopes:
                grant = StoredGrant(
                    id=uuid6.uuid7(),
                    grantee_user_id=None,
                    group_id=member.group_id,
                    scopes=sorted(map(GRANT_SCOPE.name, request.granted_scopes)),
                    expires_at=grant_end,
                    created_at=now,
                    revoked_at=None,
                )
                await change.grant(grant)
            await change.close(invitation, InvitationState.ACCEPTED)
            return _member(scope, member)

        return await once(self._groups.change(scope), write, pb.Member, work)

    async def DeclineInvitation(
        self, request: pb.DeclineInvitationRequest, context: Any
    ) -> pb.Invitation:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())

        async def work(change: GroupChange) -> pb.Invitation:
            invitation = await _lock_received(change, request.invitation_id)
            state = invitation.state_at(write.received_at)
            return await _close(change, invitation, state, InvitationState.DECLINED)

        return await once(self._groups.change(scope), write, pb.Invitation, work)

    async def WithdrawInvitation(
        self, request: pb.WithdrawInvitationRequest, context: Any
    ) -> pb.Invitation:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())

        async def work(change: GroupChange) -> pb.Invitation:
            group = await _lock(change, request.group_id)
            domain.check_is_coach(group.role)
            invitation = await change.lock_sent(group.id, UUID(request.invitation_id))
            if invitation is None:
                raise _invitation_not_found()
            state = invitation.state_at(write.received_at)
            return await _close(change, invitation, state, InvitationState.WITHDRAWN)

        return await once(self._groups.change(scope), write, pb.Invitation, work)

    async def _get(self, scope: Scope, group_id: str) -> Group:
        group = await self._groups.get(scope, UUID(group_id))
        if group is None:
            raise group_not_found()
        return group


async def _lock(change: GroupChange, group_id: str) -> Group:
    group = await change.lock(UUID(group_id))
    if group is None:
        raise group_not_found()
    return group


async def _lock_received(change: GroupChange, invitation_id: str) -> Invitation:
    invitation = await change.lock_received(UUID(invitation_id))
    if invitation is None:
        raise _invitation_not_found()
    return invitation


async def _find_member(change: GroupChange, group: Group, scope: Scope, user_id: str) -> Member:
    """Returns a member whom the user may know of: those who are no staff know only of themselves
    for certain, and may change nobody else."""
    id = UUID(user_id)
    if group.role == Role.ATHLETE and id != scope.external_user_id:
        raise _member_not_found()
    member = await change.member(group.id, id)
    if member is None:
        raise _member_not_found()
    return member


async def _with_role(change: GroupChange, group: Group, member: Member, role: str) -> Member:
    domain.check_is_coach(group.role)
    domain.check_new_role(member.role, role)
    if role != member.role:
        domain.check_keeps_coach(member.role, await change.coach_count(group.id))
    return member._replace(role=role)


async def _close(
    change: GroupChange, invitation: Invitation, state: InvitationState, new: InvitationState
) -> pb.Invitation:
    """Ends an invitation, unless it ended in the same way before."""
    if state is not new:
        domain.check_is_open(state)
        invitation = await change.close(invitation, new)
    return _invitation(invitation, new)


def _check_shares_own(scope: Scope, member: Member) -> None:
    is_own = member.member_user_id == scope.external_user_id
    if not is_own or member.role != Role.ATHLETE:
        raise invalid_field("update_mask", "athletes themselves say what they share")


def _check_given_by_athlete(invitation: Invitation, request: pb.AcceptInvitationRequest) -> None:
    if invitation.role == Role.ATHLETE:
        return
    for name in ("granted_scopes", "sharing"):
        if getattr(request, name):
            raise invalid_field(name, "is for athletes")


def _with_sharing(member: Member, values: Any, now: datetime) -> Member:
    sharing = sorted(map(SHARING.name, values))
    since = domain.shared_since(
        member.analytics_since, now, is_shared=Sharing.ANALYTICS.value in sharing
    )
    return member._replace(sharing=sharing, analytics_since=since)


def group_not_found() -> Exception:
    """Returns the refusal of a group that does not exist, or that the caller is not in."""
    return bad_reference(Reason.GROUP_NOT_FOUND, "group_id", "there is no such group")


def _member_not_found() -> Exception:
    return bad_reference(
        Reason.MEMBER_NOT_FOUND, "member_user_id", "there is nobody of this id in the group"
    )


def _invitation_not_found() -> Exception:
    return bad_reference(
        Reason.INVITATION_NOT_FOUND, "invitation_id", "there is no such invitation"
    )


def _group(group: Group) -> pb.Group:
    return pb.Group(
        id=str(group.id),
        group_external_id=group.group_external_id,
        display_name=group.display_name,
        kind=KIND.number(group.kind),
        role=ROLE.number(group.role),
        create_time=to_timestamp(group.created_at),
        update_time=to_timestamp(group.updated_at),
        etag=str(group.version),
    )


def _member(scope: Scope, member: Member) -> pb.Member:
    """Returns a membership as a user may see it."""
    is_own = member.member_user_id == scope.external_user_id
    return pb.Member(
        user_id=str(member.member_user_id),
        group_id=str(member.group_id),
        role=ROLE.number(member.role),
        sharing=map(SHARING.number, member.sharing) if is_own else (),
        join_time=to_timestamp(member.joined_at),
    )


def _invitation(invitation: Invitation, state: InvitationState) -> pb.Invitation:
    return pb.Invitation(
        id=str(invitation.id),
        group_id=str(invitation.group_id),
        group_display_name=invitation.group_display_name,
        group_kind=KIND.number(invitation.group_kind),
        user_id=str(invitation.invited_user_id),
        role=ROLE.number(invitation.role),
        wanted_scopes=sorted(map(GRANT_SCOPE.number, invitation.wanted_scopes)),
        inviter_user_id=str(invitation.inviter_user_id),
        state=STATE.number(state),
        create_time=to_timestamp(invitation.created_at),
        expire_time=to_timestamp(invitation.expires_at),
    )
