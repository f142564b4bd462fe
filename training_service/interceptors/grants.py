"""Whether a caller who is not the athlete was granted what a call needs: asked in one place."""

from uuid import UUID

from google.protobuf.message import Message

from training_service.caller import (
    Grantee,
    Scope,
    current_caller,
    needs_grant,
    set_granted_scope,
)
from training_service.contract import AccessLevel
from training_service.interceptors.call import Call
from training_service.storage.grant import GrantRepository


async def establish_grant(call: Call, request: Message, grants: GrantRepository) -> None:
    """Records what the caller was granted by the athlete that a request names.

    Refuses nothing: without a grant the servicer finds no such athlete. It takes as long whether
    there is such an athlete or not.
    """
    set_granted_scope(None)
    method = call.method
    if method.access != AccessLevel.ACCESS_LEVEL_USER or not method.grant_scope:
        return
    athlete = getattr(request, "external_user_id", "")
    if not needs_grant(athlete):
        return
    scope = Scope(UUID(athlete), Grantee(current_caller().external_user_id, method.grant_scope))
    call.grant_id = await grants.admit(scope, method.name, call.logged_id)
    if call.grant_id is not None:
        set_granted_scope(scope)
