"""CoachingService."""

from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import uuid6
from calisthenics.training.v1 import coaching_pb2 as pb
from calisthenics.training.v1.coaching_pb2_grpc import CoachingServiceServicer

from training_service.caller import Scope, athlete_scope
from training_service.errors import Reason, bad_reference, invalid_field
from training_service.servicers.convert import (
    optional_future_time,
    optional_uuid,
    to_timestamp,
    utc_now,
    write_request,
)
from training_service.servicers.enums import GRANT_SCOPE
from training_service.servicers.once import once
from training_service.servicers.paging import page_by_id
from training_service.storage.grant import GrantChange, GrantRepository, StoredGrant, Use


class CoachingServicer(CoachingServiceServicer):
    """What athletes let others do."""

    def __init__(self, grants: GrantRepository) -> None:
        self._grants = grants

    async def CreateGrant(self, request: pb.CreateGrantRequest, context: Any) -> pb.Grant:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())
        new = _new_grant(scope, request.grant, write.received_at)

        async def work(change: GrantChange) -> pb.Grant:
            if new.group_id and not await change.is_athlete(scope, new.group_id):
                raise bad_reference(
                    Reason.UNKNOWN_GROUP, "grant.group_id", "there is no group with this athlete"
                )
            await change.insert(new)
            return _grant(scope.external_user_id, new, write.received_at)

        return await once(self._grants.change(scope), write, pb.Grant, work)

    async def ListGrants(
        self, request: pb.ListGrantsRequest, context: Any
    ) -> pb.ListGrantsResponse:
        scope = athlete_scope(request.external_user_id)
        page, token = await page_by_id(request, scope, partial(self._grants.list_page, scope))
        now = utc_now()
        return pb.ListGrantsResponse(
            grants=[_grant(scope.external_user_id, one, now) for one in page], next_page_token=token
        )

    async def ListReceivedGrants(
        self, request: pb.ListReceivedGrantsRequest, context: Any
    ) -> pb.ListReceivedGrantsResponse:
        scope = athlete_scope(request.external_user_id)
        page, token = await page_by_id(request, scope, partial(self._grants.received, scope))
        now = utc_now()
        return pb.ListReceivedGrantsResponse(
            grants=[_grant(one.external_user_id, one.grant, now) for one in page],
            next_page_token=token,
        )

    async def RevokeGrant(self, request: pb.RevokeGrantRequest, context: Any) -> pb.Grant:
        scope = athlete_scope(request.external_user_id)
        write = write_request(request, utc_now())

        async def work(change: GrantChange) -> pb.Grant:
            revoked = await change.revoke(UUID(request.grant_id), write.received_at)
            if revoked is None:
                raise bad_reference(Reason.GRANT_NOT_FOUND, "grant_id", "there is no such grant")
            return _grant(scope.external_user_id, revoked, write.received_at)

        return await once(self._grants.change(scope), write, pb.Grant, work)

    async def ListAccessLog(
        self, request: pb.ListAccessLogRequest, context: Any
    ) -> pb.ListAccessLogResponse:
        scope = athlete_scope(request.external_user_id)
        page, token = await page_by_id(request, scope, partial(self._grants.uses, scope))
        return pb.ListAccessLogResponse(entries=map(_entry, page), next_page_token=token)


def _new_grant(scope: Scope, message: pb.Grant, now: datetime) -> StoredGrant:
    grantee_user_id = optional_uuid(message.grantee_user_id)
    if grantee_user_id == scope.external_user_id:
        raise invalid_field("grant.grantee_user_id", "must be somebody else")
    return StoredGrant(
        id=uuid6.uuid7(),
        grantee_user_id=grantee_user_id,
        group_id=optional_uuid(message.group_id),
        scopes=sorted(map(GRANT_SCOPE.name, message.scopes)),
        expires_at=optional_future_time(message, "expire_time", "grant.expire_time", now),
        created_at=now,
        revoked_at=None,
    )


def _grant(athlete: UUID, stored: StoredGrant, now: datetime) -> pb.Grant:
    message = pb.Grant(
        id=str(stored.id),
        external_user_id=str(athlete),
        scopes=sorted(map(GRANT_SCOPE.number, stored.scopes)),
        create_time=to_timestamp(stored.created_at),
        active=stored.is_active(now),
    )
    if stored.grantee_user_id:
        message.grantee_user_id = str(stored.grantee_user_id)
    if stored.group_id:
        message.group_id = str(stored.group_id)
    if stored.expires_at:
        message.expire_time.CopyFrom(to_timestamp(stored.expires_at))
    if stored.revoked_at:
        message.revoke_time.CopyFrom(to_timestamp(stored.revoked_at))
    return message


def _entry(use: Use) -> pb.AccessLogEntry:
    return pb.AccessLogEntry(
        id=str(use.id),
        access_time=to_timestamp(use.accessed_at),
        grantee_user_id=str(use.grantee_user_id),
        grant_id=str(use.grant_id),
        rpc=use.rpc,
        scope=GRANT_SCOPE.number(use.scope),
        call_id=use.call_id,
    )
