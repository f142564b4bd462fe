"""ExportUserData of GovernanceService."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, closing
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from calisthenics.training.v1 import progression_pb2, session_pb2, workout_pb2
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from training_service.caller import Scope
from training_service.servicers.convert import utc_now
from training_service.servicers.zip_stream import ZipStream
from training_service.storage.user_export import LEFT_OUT, Page, UserExportRepository

RECORDS: Mapping[str, type[Message]] = {
    "sessions": session_pb2.Session,
    "workout_revisions": workout_pb2.Workout,
    "progression_rules": progression_pb2.ProgressionRule,
}
"""Of tables with a record: the message that it is."""


async def export_user_data(
    repository: UserExportRepository, scope: Scope
) -> AsyncGenerator[HttpBody]:
    """Yields a zip file of all a user has, in messages of at most a megabyte."""
    made_at = utc_now()
    manifest: dict[str, Any] = {
        "athlete": str(scope.external_user_id),
        "created_at": made_at.isoformat(),
        "left_out": dict(LEFT_OUT),
    }
    with closing(ZipStream(made_at)) as stream:
        async with aclosing(repository.export(scope)) as parts:
            async for part in parts:
                if isinstance(part, str):
                    manifest["schema_revision"] = part
                    continue
                # Other calls have their turn while a page is made JSON of and compressed.
                await asyncio.to_thread(_add, stream, part)
                for chunk in stream.chunks():
                    yield _body(chunk)
        stream.finish(manifest)
        for chunk in stream.chunks(at_least=1):
            yield _body(chunk)


def _body(chunk: bytes) -> HttpBody:
    return HttpBody(content_type="application/zip", data=chunk)


def _add(stream: ZipStream, page: Page) -> None:
    rows = [
        {name: _json(page.table, name, value) for name, value in row.items()} for row in page.rows
    ]
    stream.add(f"{page.table}.ndjson", rows)


def _json(table: str, name: str, value: Any) -> Any:
    """Returns a value of a column as JSON has it."""
    match value:
        case bytes() if name == "record" and table in RECORDS:
            return MessageToDict(RECORDS[table].FromString(value))
        case bytes():
            return b64encode(value).decode()
        case UUID():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case date():
            return value.isoformat()
        case list():
            return [_json(table, name, one) for one in value]
    return value
