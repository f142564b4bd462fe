"""Clients in Node, written as siblings write them, against a running service."""

import json
import re
import uuid
from typing import Any

import pytest

from tests.packages import PROTOS, installed_clients, tool
from tests.support import RunningService


@pytest.fixture(scope="module", params=["grpc", "nest"])
def results(request: pytest.FixtureRequest, service: RunningService) -> Any:
    """What a client reports, of a new athlete whom another one tries to read."""
    athlete, stranger = str(uuid.uuid4()), str(uuid.uuid4())
    arguments = (service.address, athlete, stranger)
    return json.loads(tool("node", f"{request.param}.ts", *arguments, cwd=installed_clients()))


def test_client_code_compiles_against_the_package() -> None:
    compiler = str(PROTOS / "node_modules" / "typescript" / "bin" / "tsc")
    tool("node", compiler, "--project", str(installed_clients()))


def test_the_code_of_the_docs_compiles_against_the_package() -> None:
    page = (PROTOS.parent / "docs" / "form.md").read_text()
    [code] = re.findall(r"^```ts\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (installed_clients() / "of_the_docs.ts").write_text(code)
    compiler = str(PROTOS / "node_modules" / "typescript" / "bin" / "tsc")
    tool("node", compiler, "--project", str(installed_clients()))


def test_session_is_logged_once_for_a_request_id(results: Any) -> None:
    logged = results["logged"]
    assert uuid.UUID(logged.pop("id")).version == 7
    assert logged == {
        "sameAnswer": True,
        "state": "SESSION_STATE_CURRENT",
        "start": "2026-03-02T08:00:00.123Z",
        "nanos": 123_456_000,
        "localDate": [2026, 3, 2],
        "durationSeconds": 0,
        "rpeIsAbsent": True,
        "effort": ["rpe", 8],
    }


def test_pages_hold_every_session_once(results: Any) -> None:
    assert results["pages"] == {"sizes": [2, 2, 1], "distinct": 5}


def test_exported_stream_is_complete(results: Any) -> None:
    assert results["exported"] == {"count": 5, "summaryCount": 5, "digestMatches": True}


def test_update_changes_what_the_mask_names(results: Any) -> None:
    assert results["update"] == {
        "displayName": "Pull day",
        "description": "After",
        "revision": 2,
    }


def test_refusal_names_reason_and_field(results: Any) -> None:
    assert results["invalid"] == {
        "code": "INVALID_ARGUMENT",
        "reason": "INVALID_FIELD",
        "fields": ["session.time_zone"],
    }


def test_others_sessions_are_not_found(results: Any) -> None:
    assert results["foreign"] == {
        "code": "NOT_FOUND",
        "reason": "SESSION_NOT_FOUND",
        "fields": ["session_id"],
    }


def test_deadline_ends_a_call(results: Any) -> None:
    assert results["deadline"] == {"code": "DEADLINE_EXCEEDED"}


def test_request_id_comes_back(results: Any) -> None:
    assert results["requestIdComesBack"] is True
