"""GovernanceService."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from calisthenics.training.v1 import governance_pb2 as pb
from calisthenics.training.v1.governance_pb2_grpc import GovernanceServiceServicer
from google.api.httpbody_pb2 import HttpBody

from training_service.caller import athlete_scope
from training_service.servicers.user_export import export_user_data
from training_service.storage.user_export import UserExportRepository


class GovernanceServicer(GovernanceServiceServicer):
    """What becomes of a user's data as a whole."""

    def __init__(self, exports: UserExportRepository) -> None:
        self._exports = exports

    async def ExportUserData(
        self, request: pb.ExportUserDataRequest, context: Any
    ) -> AsyncIterator[HttpBody]:
        scope = athlete_scope(request.external_user_id)
        async with aclosing(export_user_data(self._exports, scope)) as messages:
            async for message in messages:
                yield message
