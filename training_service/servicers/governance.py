"""GovernanceService."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import governance_pb2 as pb
from calisthenics.training.v1.governance_pb2_grpc import GovernanceServiceServicer
from google.api.httpbody_pb2 import HttpBody

from training_service.archive.store import ObjectStore
from training_service.caller import athlete_scope
from training_service.receipt import Receipt, kept, signer
from training_service.servicers.convert import to_timestamp, utc_now
from training_service.servicers.user_export import export_user_data
from training_service.settings import Settings
from training_service.storage.database import Database
from training_service.storage.erasure import Erasure
from training_service.storage.user_export import UserExportRepository


class GovernanceServicer(GovernanceServiceServicer):
    """What becomes of a user's data as a whole."""

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        settings: Settings,
        exports: UserExportRepository,
    ) -> None:
        self._exports = exports
        self._database = database
        self._store = store
        self._settings = settings

    async def EraseUser(self, request: pb.EraseUserRequest, context: Any) -> pb.ErasureReceipt:
        return await self._erase(UUID(request.user_id))

    async def RequestErasure(
        self, request: pb.RequestErasureRequest, context: Any
    ) -> pb.ErasureReceipt:
        return await self._erase(athlete_scope(request.external_user_id).external_user_id)

    async def ExportUserData(
        self, request: pb.ExportUserDataRequest, context: Any
    ) -> AsyncIterator[HttpBody]:
        scope = athlete_scope(request.external_user_id)
        async with aclosing(export_user_data(self._exports, scope)) as messages:
            async for message in messages:
                yield message

    async def _erase(self, user_id: UUID) -> pb.ErasureReceipt:
        signs = signer(self._settings, await self._database.pseudonym_key())
        signed = await Erasure(self._database, self._store, signs).erase(user_id, utc_now())
        return _message(kept(signed), signed)


def _message(receipt: Receipt, signed: str) -> pb.ErasureReceipt:
    return pb.ErasureReceipt(
        pseudonym=receipt.pseudonym,
        request_time=to_timestamp(receipt.requested_at),
        erase_time=to_timestamp(receipt.erased_at),
        row_counts=[
            pb.ErasedRows(table=table, row_count=count)
            for table, count in sorted(receipt.row_counts.items())
        ],
        archive_object_count=receipt.archive_objects,
        signed_receipt=signed,
    )
