"""Groups, who is in them, and invitations.

These are shared tables, which no row-level security divides by athlete: each statement says who
asks, as `user_id`, and what they must be in the group.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from training_service.caller import Scope
from training_service.domain.group import InvitationState, Role
from training_service.storage.database import Database, Transaction
from training_service.storage.grant import StoredGrant, insert_grant
from training_service.storage.idempotency import AthleteChange
from training_service.storage.statements import (
    Statement,
    newest_first,
    parameter,
    prepare,
    prepare_command,
    written,
)
from training_service.storage.tables import group_invitations, group_members, groups


class Group(NamedTuple):
    """A group, as one of its members sees it."""

    id: UUID
    group_external_id: str
    display_name: str
    kind: str
    version: int
    created_at: datetime
    updated_at: datetime
    role: str
    """What the member is in it."""


class Member(NamedTuple):
    """Somebody in a group."""

    group_id: UUID
    member_user_id: UUID
    role: str
    sharing: Sequence[str]
    joined_at: datetime
    analytics_since: datetime | None = None
    """Since when ANALYTICS is shared without a break."""

    @property
    def id(self) -> UUID:
        """What a listing sorts by."""
        return self.member_user_id


class Invitation(NamedTuple):
    """An invitation, and what it is into."""

    id: UUID
    group_id: UUID
    invited_user_id: UUID
    role: str
    wanted_scopes: Sequence[str]
    inviter_user_id: UUID
    state: str
    created_at: datetime
    expires_at: datetime
    group_display_name: str
    group_kind: str

    def state_at(self, now: datetime) -> InvitationState:
        """Returns what became of it."""
        state = InvitationState(self.state)
        is_late = state is InvitationState.OPEN and self.expires_at <= now
        return InvitationState.EXPIRED if is_late else state


_GROUP, _MEMBER, _INVITATION = groups.c, group_members.c, group_invitations.c
_USER_ID = parameter("user_id", _MEMBER.member_user_id)
_GROUP_ID = parameter("group_id", _GROUP.id)
_IS_OWN = and_(_MEMBER.group_id == _GROUP.id, _MEMBER.member_user_id == _USER_ID)
_SELECT_GROUP = select(
    *(_GROUP[name] for name in Group._fields if name in _GROUP), _MEMBER.role
).join_from(groups, group_members, _IS_OWN)
_GET = prepare(_SELECT_GROUP.where(_GROUP.id == _GROUP_ID), Group)
# With the lock of its row: who is in a group changes one change at a time.
_LOCK = prepare(_SELECT_GROUP.where(_GROUP.id == _GROUP_ID).with_for_update(of=groups), Group)
_INSERT = prepare_command(
    insert(groups).values({c.name: parameter(c.name, c) for c in written(groups)})
)
_UPDATE = prepare_command(
    update(groups)
    .where(_GROUP.id == parameter("id", _GROUP.id))
    .values(
        {
            c.name: parameter(c.name, c)
            for c in (
                _GROUP.group_external_id,
                _GROUP.display_name,
                _GROUP.version,
                _GROUP.updated_at,
            )
        }
    )
)
_DELETE = prepare_command(delete(groups).where(_GROUP.id == _GROUP_ID))

_MEMBER_ID = parameter("member_user_id", _MEMBER.member_user_id)
_IS_MEMBER = and_(_MEMBER.group_id == _GROUP_ID, _MEMBER.member_user_id == _MEMBER_ID)
_SELECT_MEMBER = select(*(_MEMBER[name] for name in Member._fields))
_GET_MEMBER = prepare(_SELECT_MEMBER.where(_IS_MEMBER), Member)
_ADD_MEMBER = prepare_command(
    upsert(group_members)
    .values({c.name: parameter(c.name, c) for c in written(group_members)})
    .on_conflict_do_nothing()
)
_UPDATE_MEMBER = prepare_command(
    update(group_members)
    .where(_IS_MEMBER)
    .values(
        {
            c.name: parameter(c.name, c)
            for c in (_MEMBER.role, _MEMBER.sharing, _MEMBER.analytics_since)
        }
    )
)
_REMOVE_MEMBER = prepare_command(delete(group_members).where(_IS_MEMBER))
_COUNT_COACHES: Statement[int] = prepare(
    select(func.count()).where(_MEMBER.group_id == _GROUP_ID, _MEMBER.role == Role.COACH.value),
    int,
)

_SELECT_INVITATION = select(
    *(_INVITATION[name] for name in Invitation._fields if name in _INVITATION),
    _GROUP.display_name,
    _GROUP.kind,
).join_from(group_invitations, groups, _GROUP.id == _INVITATION.group_id)
_IS_INVITATION = _INVITATION.id == parameter("invitation_id", _INVITATION.id)
_LOCK_RECEIVED = prepare(
    _SELECT_INVITATION.where(
        _IS_INVITATION, _INVITATION.invited_user_id == _USER_ID
    ).with_for_update(of=(groups, group_invitations)),
    Invitation,
)
_LOCK_SENT = prepare(
    _SELECT_INVITATION.where(_IS_INVITATION, _INVITATION.group_id == _GROUP_ID).with_for_update(
        of=group_invitations
    ),
    Invitation,
)
_INVITE = prepare_command(
    insert(group_invitations).values(
        {c.name: parameter(c.name, c) for c in written(group_invitations)}
    )
)
_CLOSE = prepare_command(
    update(group_invitations)
    .where(_IS_INVITATION)
    .values(state=parameter("state", _INVITATION.state))
)
_INVITED_ID = parameter("invited_user_id", _INVITATION.invited_user_id)
_IS_OPEN = and_(
    _INVITATION.group_id == _GROUP_ID,
    _INVITATION.state == InvitationState.OPEN.value,
    _INVITATION.expires_at > parameter("now", _INVITATION.expires_at),
)


class Places(NamedTuple):
    """How full a group is, and whether somebody has a place already."""

    taken: int
    """Members, and invitations that are open."""
    has_place: bool


_PLACES = prepare(
    select(
        select(func.count()).where(_MEMBER.group_id == _GROUP_ID).scalar_subquery()
        + select(func.count()).where(_IS_OPEN).scalar_subquery(),
        or_(
            exists().where(_MEMBER.group_id == _GROUP_ID, _MEMBER.member_user_id == _INVITED_ID),
            exists().where(_IS_OPEN, _INVITATION.invited_user_id == _INVITED_ID),
        ),
    ),
    Places,
)


@cache
def _list(*, continued: bool) -> Statement[Group]:
    return newest_first(_SELECT_GROUP, _GROUP.id, Group, continued=continued)


@cache
def _list_members(*, continued: bool) -> Statement[Member]:
    """Returns the listing of those whom a member may see."""
    asking = group_members.alias("asking")
    may_see = and_(
        asking.c.group_id == _MEMBER.group_id,
        asking.c.member_user_id == _USER_ID,
        or_(
            asking.c.role != Role.ATHLETE.value,
            _MEMBER.role != Role.ATHLETE.value,
            _MEMBER.member_user_id == _USER_ID,
        ),
    )
    listed = _SELECT_MEMBER.join(asking, may_see).where(_MEMBER.group_id == _GROUP_ID)
    return newest_first(listed, _MEMBER.member_user_id, Member, continued=continued)


@cache
def _list_sent(*, continued: bool) -> Statement[Invitation]:
    listed = _SELECT_INVITATION.join(group_members, _IS_OWN).where(_GROUP.id == _GROUP_ID)
    return newest_first(listed, _INVITATION.id, Invitation, continued=continued)


@cache
def _list_received(*, continued: bool) -> Statement[Invitation]:
    listed = _SELECT_INVITATION.where(_INVITATION.invited_user_id == _USER_ID)
    return newest_first(listed, _INVITATION.id, Invitation, continued=continued)


class GroupRepository:
    """Reads and changes groups, on behalf of one user at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, scope: Scope, group_id: UUID) -> Group | None:
        """Returns a group that the user is in."""
        parameters = {"user_id": scope.external_user_id, "group_id": group_id}
        rows = await self._database.read(scope, _GET, parameters)
        return rows[0] if rows else None

    async def list_page(self, scope: Scope, before_id: UUID | None, limit: int) -> list[Group]:
        """Returns up to `limit` groups of the user, newest first, older than `before_id`."""
        return await self._page(_list, scope, before_id, limit)

    async def members(
        self, scope: Scope, group_id: UUID, before_id: UUID | None, limit: int
    ) -> list[Member]:
        """Returns up to `limit` members that the user may see, by descending user id."""
        return await self._page(_list_members, scope, before_id, limit, group_id=group_id)

    async def sent(
        self, scope: Scope, group_id: UUID, before_id: UUID | None, limit: int
    ) -> list[Invitation]:
        """Returns up to `limit` invitations into a group that the user is in, newest first."""
        return await self._page(_list_sent, scope, before_id, limit, group_id=group_id)

    async def received(self, scope: Scope, before_id: UUID | None, limit: int) -> list[Invitation]:
        """Returns up to `limit` invitations that the user received, newest first."""
        return await self._page(_list_received, scope, before_id, limit)

    async def _page(
        self, listing: Any, scope: Scope, before_id: UUID | None, limit: int, **more: Any
    ) -> list[Any]:
        parameters = {
            "user_id": scope.external_user_id,
            "before_id": before_id,
            "limit": limit,
            **more,
        }
        return await self._database.read(
            scope, listing(continued=before_id is not None), parameters
        )

    @asynccontextmanager
    async def change(self, scope: Scope) -> AsyncIterator["GroupChange"]:
        """Opens a change of groups by a user."""
        async with self._database.transaction(scope) as transaction:
            yield GroupChange(transaction, scope)


class GroupChange(AthleteChange):
    """One transaction in which a user changes groups."""

    def __init__(self, transaction: Transaction, scope: Scope) -> None:
        super().__init__(transaction)
        self._own = {"user_id": scope.external_user_id}

    async def lock(self, group_id: UUID) -> Group | None:
        """Returns a group that the user is in; others who would change it wait."""
        return await self._transaction.fetch_first(_LOCK, {**self._own, "group_id": group_id})

    async def insert(self, group: Group, founder_id: UUID) -> None:
        """Stores a new group, and who is its coach."""
        await self._transaction.execute(_INSERT, group._asdict())
        await self.add(Member(group.id, founder_id, Role.COACH, [], group.created_at))

    async def update(self, group: Group) -> None:
        """Stores what of a group can change."""
        await self._transaction.execute(_UPDATE, group._asdict())

    async def delete(self, group_id: UUID) -> None:
        """Removes a group, its memberships and its invitations."""
        await self._transaction.execute(_DELETE, {"group_id": group_id})

    async def member(self, group_id: UUID, user_id: UUID) -> Member | None:
        """Returns somebody in a group."""
        parameters = {"group_id": group_id, "member_user_id": user_id}
        return await self._transaction.fetch_first(_GET_MEMBER, parameters)

    async def add(self, member: Member) -> None:
        """Puts somebody into a group."""
        await self._transaction.execute(_ADD_MEMBER, member._asdict())

    async def update_member(self, member: Member) -> None:
        """Stores what of a membership can change."""
        await self._transaction.execute(_UPDATE_MEMBER, member._asdict())

    async def remove(self, member: Member) -> None:
        """Takes somebody out of a group."""
        await self._transaction.execute(_REMOVE_MEMBER, member._asdict())

    async def coach_count(self, group_id: UUID) -> int:
        """Returns how many coaches a group has."""
        [count] = await self._transaction.fetch(_COUNT_COACHES, {"group_id": group_id})
        return count

    async def places(self, invitation: Invitation) -> Places:
        """Returns what an invitation must be checked against."""
        parameters = {**invitation._asdict(), "now": invitation.created_at}
        [places] = await self._transaction.fetch(_PLACES, parameters)
        return places

    async def invite(self, invitation: Invitation) -> None:
        """Stores a new invitation; one of an erased user is refused."""
        await self._transaction.refuse_erased(invitation.invited_user_id)
        await self._transaction.execute(_INVITE, invitation._asdict())

    async def lock_received(self, invitation_id: UUID) -> Invitation | None:
        """Returns an invitation that the user received; its group does not change meanwhile."""
        parameters = {**self._own, "invitation_id": invitation_id}
        return await self._transaction.fetch_first(_LOCK_RECEIVED, parameters)

    async def lock_sent(self, group_id: UUID, invitation_id: UUID) -> Invitation | None:
        """Returns an invitation into a group."""
        parameters = {"group_id": group_id, "invitation_id": invitation_id}
        return await self._transaction.fetch_first(_LOCK_SENT, parameters)

    async def close(self, invitation: Invitation, state: InvitationState) -> Invitation:
        """Stores, and returns, what became of an invitation."""
        parameters = {"invitation_id": invitation.id, "state": state.value}
        await self._transaction.execute(_CLOSE, parameters)
        return invitation._replace(state=state.value)

    async def grant(self, grant: StoredGrant) -> None:
        """Stores a grant of the user to a group."""
        await insert_grant(self._transaction, grant)
