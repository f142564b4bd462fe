"""What athletes let others do, and the record of its use."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import uuid6
from sqlalchemy import (
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from training_service.caller import Scope
from training_service.domain.group import Role
from training_service.storage.database import Database, Transaction
from training_service.storage.idempotency import AthleteChange
from training_service.storage.statements import (
    Statement,
    newest_first,
    own,
    parameter,
    prepare,
    prepare_command,
    written,
)
from training_service.storage.tables import access_grants, access_log, group_members

READ_METRICS = "READ_METRICS"
READ_WELLNESS = "READ_WELLNESS"
"""What many athletes are asked for at once, by its name in GrantScope."""


class StoredGrant(NamedTuple):
    """A grant as it is stored."""

    id: UUID
    grantee_user_id: UUID | None
    group_id: UUID | None
    """Of a grant to a group: it has one of the two."""
    scopes: Sequence[str]
    """Names of GrantScope."""
    expires_at: datetime | None
    created_at: datetime
    revoked_at: datetime | None
    is_in_group: bool = True
    """Whether the athlete is in the group, and was since."""

    def is_active(self, now: datetime) -> bool:
        """Returns whether it holds."""
        is_over = self.expires_at is not None and self.expires_at <= now
        return self.revoked_at is None and not is_over and self.is_in_group


class ReceivedGrant(NamedTuple):
    """A grant, and whose it is."""

    external_user_id: UUID
    grant: StoredGrant

    @property
    def id(self) -> UUID:
        """What a listing sorts by."""
        return self.grant.id


class HeldGrant(NamedTuple):
    """A grant by which somebody may do something now, and whose it is."""

    external_user_id: UUID
    id: UUID


class Use(NamedTuple):
    """A use of a grant."""

    id: UUID
    grant_id: UUID
    grantee_user_id: UUID
    rpc: str
    scope: str
    call_id: str
    accessed_at: datetime


_OF = access_grants.c
_ATHLETE = group_members.alias("athlete")
_COACH = group_members.alias("coach")
# One that was made before the athlete joined, and left, and joined again, holds no more.
_IS_ATHLETE = and_(
    _ATHLETE.c.group_id == _OF.group_id,
    _ATHLETE.c.member_user_id == _OF.external_user_id,
    _ATHLETE.c.role == literal_column(f"'{Role.ATHLETE}'"),
    _ATHLETE.c.joined_at <= _OF.created_at,
)
_GRANT = (
    _OF.id,
    _OF.grantee_user_id,
    _OF.group_id,
    _OF.scopes,
    _OF.expires_at,
    _OF.created_at,
    _OF.revoked_at,
    or_(_OF.group_id.is_(None), exists().where(_IS_ATHLETE)),
)
_INSERT = prepare_command(
    insert(access_grants).values({c.name: parameter(c.name, c) for c in written(access_grants)})
)
_IS_ATHLETE_OF = prepare(
    select(_ATHLETE.c.group_id)
    .where(
        _ATHLETE.c.group_id == parameter("group_id", _ATHLETE.c.group_id),
        _ATHLETE.c.member_user_id == parameter("user_id", _ATHLETE.c.member_user_id),
        _ATHLETE.c.role == literal_column(f"'{Role.ATHLETE}'"),
    )
    .with_for_update(key_share=True),  # as in team.py, where it says why
    lambda group_id: group_id,
)
_REVOKE = prepare(
    update(access_grants)
    .where(own(access_grants), _OF.id == parameter("id", _OF.id))
    .values(revoked_at=func.coalesce(_OF.revoked_at, parameter("now", _OF.created_at)))
    .returning(*_GRANT),
    StoredGrant,
)
_GRANTEE = parameter("grantee_user_id", access_log.c.grantee_user_id)
_SCOPE = bindparam("scope", type_=Text)
_IS_COACH = and_(
    _COACH.c.group_id == _OF.group_id,
    _COACH.c.member_user_id == _GRANTEE,
    or_(
        _COACH.c.role == literal_column(f"'{Role.COACH}'"),
        and_(
            _COACH.c.role == literal_column(f"'{Role.ASSISTANT}'"),
            _SCOPE.startswith(literal_column("'READ'")),
        ),
    ),
)
_IS_ACTIVE = and_(
    _OF.revoked_at.is_(None), or_(_OF.expires_at.is_(None), _OF.expires_at > func.now())
)
_HOLDS = and_(
    or_(_OF.grantee_user_id == _GRANTEE, exists().where(_IS_ATHLETE, _IS_COACH)),
    any_(_OF.scopes) == _SCOPE,
    _IS_ACTIVE,
)
# Finds the grant and notes its use in one statement: nothing is let in that is not on record.
_NOTED = {
    "external_user_id": parameter("external_user_id", _OF.external_user_id),
    "id": parameter("id", _OF.id),
    "grant_id": _OF.id,
    "grantee_user_id": _GRANTEE,
    "rpc": bindparam("rpc", type_=Text),
    "scope": _SCOPE,
    "call_id": bindparam("call_id", type_=Text),
    "accessed_at": func.now(),
}
_ADMIT = prepare(
    insert(access_log)
    .from_select(
        list(_NOTED),
        select(*_NOTED.values())
        .where(own(access_grants), _HOLDS)
        .order_by(_OF.id.desc())
        .limit(literal_column("1")),
    )
    .returning(access_log.c.grant_id),
    lambda grant_id: grant_id,
)
_HELD = prepare(
    select(_OF.external_user_id, _OF.id)
    .where(_OF.external_user_id == any_(bindparam("external_user_ids", type_=ARRAY(Uuid))), _HOLDS)
    .ext(distinct_on(_OF.external_user_id))
    .order_by(_OF.external_user_id, _OF.id.desc()),
    HeldGrant,
)


@cache
def _list(*, continued: bool) -> Statement[StoredGrant]:
    """Returns the listing of an athlete's grants."""
    listed = select(*_GRANT).where(own(access_grants))
    return newest_first(listed, _OF.id, StoredGrant, continued=continued)


@cache
def _list_received(*, continued: bool) -> Statement["ReceivedGrant"]:
    """Returns the listing of grants that hold of all athletes, the newest first. Which of them are
    to who asks, or to a group of theirs, the database's policy says."""
    listed = select(_OF.external_user_id, *_GRANT).where(_IS_ACTIVE, _GRANT[-1])
    return newest_first(
        listed,
        _OF.id,
        lambda external_user_id, *grant: ReceivedGrant(external_user_id, StoredGrant(*grant)),
        continued=continued,
    )


@cache
def _list_uses(*, continued: bool) -> Statement[Use]:
    of = access_log.c
    listed = select(*(of[name] for name in Use._fields)).where(own(access_log))
    return newest_first(listed, of.id, Use, continued=continued)


def select_granted() -> Select[Any]:
    """Returns the query of the athletes who granted `scope` to `grantee_user_id`, or to a group by
    way of which it holds for them."""
    return select(_OF.external_user_id).where(_HOLDS)


async def insert_grant(transaction: Transaction, grant: StoredGrant) -> None:
    """Queues that a new grant is stored; one to an erased user is refused."""
    if grant.grantee_user_id is not None:
        await transaction.refuse_erased(grant.grantee_user_id)
    await transaction.execute(_INSERT, grant._asdict())


@dataclass(frozen=True, slots=True)
class Look:
    """Who looks at many athletes, and by which call."""

    user_id: UUID
    rpc: str
    call_id: str

    def held(
        self, athletes: Sequence[UUID], grant_scope: str
    ) -> tuple[Statement[HeldGrant], dict[str, Any]]:
        """Returns the query of the grants by which who looks may see something of the athletes, the
        newest of each."""
        return _HELD, {
            "external_user_ids": athletes,
            "grantee_user_id": self.user_id,
            "scope": grant_scope,
        }

    def rows(
        self, grants: Sequence[HeldGrant], grant_scope: str, now: datetime
    ) -> list[tuple[Any, ...]]:
        """Returns the rows of access_log by which it is on record that those who gave the grants
        are looked at."""
        user_id, rpc, call_id = self.user_id, self.rpc, self.call_id
        return [
            (one.external_user_id, uuid6.uuid7(), one.id, user_id, rpc, grant_scope, call_id, now)
            for one in grants
        ]


class GrantRepository:
    """Reads and writes the grants of one athlete at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def admit(self, scope: Scope, rpc: str, call_id: str) -> UUID | None:
        """Returns the id of the grant by which the athlete let the scope's grantee do what it
        names, whose use is then on record; None if there is none."""
        if scope.grantee is None:
            return None
        parameters = {
            "external_user_id": scope.external_user_id,
            "id": uuid6.uuid7(),
            "grantee_user_id": scope.grantee.user_id,
            "scope": scope.grantee.grant_scope,
            "rpc": rpc,
            "call_id": call_id,
        }
        async with self._database.transaction(scope) as transaction:
            return await transaction.fetch_first(_ADMIT, parameters)

    async def list_page(
        self, scope: Scope, before_id: UUID | None, limit: int
    ) -> list[StoredGrant]:
        """Returns up to `limit` grants, newest first, older than `before_id`."""
        statement = _list(continued=before_id is not None)
        return await self._database.read(scope, statement, {"before_id": before_id, "limit": limit})

    async def received(
        self, scope: Scope, before_id: UUID | None, limit: int
    ) -> list[ReceivedGrant]:
        """Returns up to `limit` grants that hold and were given to the user or to a group that they
        lead, newest first, older than `before_id`."""
        statement = _list_received(continued=before_id is not None)
        async with self._database.of_many(scope.external_user_id) as transaction:
            return await transaction.fetch(statement, {"before_id": before_id, "limit": limit})

    async def uses(self, scope: Scope, before_id: UUID | None, limit: int) -> list[Use]:
        """Returns up to `limit` uses of grants, newest first, older than `before_id`."""
        statement = _list_uses(continued=before_id is not None)
        return await self._database.read(scope, statement, {"before_id": before_id, "limit": limit})

    @asynccontextmanager
    async def change(self, scope: Scope) -> AsyncIterator["GrantChange"]:
        """Opens a change of an athlete's grants."""
        async with self._database.transaction(scope) as transaction:
            yield GrantChange(transaction)


class GrantChange(AthleteChange):
    """One transaction that changes an athlete's grants."""

    async def insert(self, grant: StoredGrant) -> None:
        """Stores a new grant."""
        await insert_grant(self._transaction, grant)

    async def is_athlete(self, scope: Scope, group_id: UUID) -> bool:
        """Returns whether the athlete is one of a group, whose members do not change meanwhile."""
        parameters = {"user_id": scope.external_user_id, "group_id": group_id}
        return bool(await self._transaction.fetch(_IS_ATHLETE_OF, parameters))

    async def revoke(self, id: UUID, now: datetime) -> StoredGrant | None:
        """Takes a grant back, unless it was before, and returns it."""
        return await self._transaction.fetch_first(_REVOKE, {"id": id, "now": now})
