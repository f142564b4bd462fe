"""Requests that make no sense: every RPC refuses them for a reason and stores nothing."""

import base64
import json
import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import access_pb2, error_pb2, exercise_pb2, session_pb2, workout_pb2
from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import example, find, given, settings
from hypothesis import strategies as st

from tests.conftest import seed
from tests.rpc.messages import Examples, exercise_examples, messages, plausible
from tests.support import Athlete, Refusal, RunningService, a_session, refused, running_service
from training_service import contract
from training_service.errors import Reason, TrainingError
from training_service.storage.migrations import migrate
from training_service.storage.tables import metadata

METHODS = [pytest.param(m, id=m.full_name.rsplit(".", 2)[-1] if False else m.name) for m in contract.methods()]
COMMON = {
    Reason.PERMISSION_DENIED,
    Reason.ATHLETE_NOT_FOUND,
    Reason.INVALID_FIELD,
    Reason.MALFORMED_REQUEST,
}
"""What any RPC may say to a known caller's nonsense. The database is well and there is time, so
DATABASE_UNAVAILABLE or DEADLINE_EXCEEDED would be as wrong as INTERNAL."""


@dataclass(frozen=True)
class World:
    """A service on a database of its own, since these requests also change the catalogue."""

    caller: Athlete
    bystander: Athlete
    owner: psycopg.Connection
    examples: Examples

    def rows(self, athlete: str = "") -> dict[str, tuple[int, str]]:
        """Returns the number of rows of every table and a digest of them, of one athlete or all."""
        found = {}
        for table in metadata.sorted_tables:
            if athlete and "external_user_id" not in table.c:
                continue
            # An exercise is marked as in use ahead of the write that will use it.
            rows = f"SELECT (to_jsonb(t) - 'in_use_since')::text AS row FROM {table.fullname} t"
            if athlete:
                rows += f" WHERE external_user_id = '{athlete}'"
            [found[table.name]] = self.owner.execute(
                f"SELECT count(*), md5(string_agg(row, '' ORDER BY row)) FROM ({rows}) r"
            )
        return found


@pytest.fixture(scope="module")
def world(make_database: Callable[[], str]) -> Iterator[World]:
    url = make_database()
    migrate(url)
    seed(url)
    with running_service(url) as service, psycopg.connect(url, autocommit=True) as owner:
        caller, bystander = Athlete(service.address, roles="admin"), Athlete(service.address)
        workouts = [caller.create_workout().id for _ in range(4)]
        sessions = [caller.log().id for _ in range(6)]
        others = [bystander.create_workout().id, bystander.log().id]
        users = ["", "", "", caller.id, caller.id, bystander.id]
        examples = {
            "exercise": exercise_examples(),
            "workout": [*workouts, others[0]],
            "session": [*sessions, others[1]],
            "external_user_id": users,
            "request_id": ["", "", str(uuid.uuid4())],
        }
        yield World(caller, bystander, owner, examples)
        caller.close()
        bystander.close()


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def send(caller: Athlete, method: MethodDescriptor, body: bytes) -> Any:
    """Calls an RPC with bytes that need not be a message; returns the response or the refusal."""
    call = caller.channel.unary_unary(path_of(method))
    try:
        response = call(body, timeout=60)
    except grpc.RpcError as error:
        return Refusal(error)
    return GetMessageClass(method.output_type).FromString(response)


def is_read(method: MethodDescriptor) -> bool:
    return bool(method.GetOptions().Extensions[annotations_pb2.http].get)


def declared(method: MethodDescriptor) -> set[str]:
    errors = method.GetOptions().Extensions[access_pb2.errors]
    return {error_pb2.ErrorReason.Name(e) for e in errors}


def entries_refused(answer: Any) -> list[Refusal]:
    """Returns the refusals among the results of a batch."""
    found = []
    for result in getattr(answer, "results", ()):
        if result.HasField("status"):
            refusal = Refusal.__new__(Refusal)
            refusal.code, refusal.message = result.status.code, result.status.message
            refusal.reason = ""
            refusal.read(result.status)
            found.append(refusal)
    return found


def check_reason(refusal: Refusal, method: MethodDescriptor) -> None:
    assert refusal.reason in COMMON | declared(method), (refusal.code, refusal.message)


@pytest.mark.parametrize("method", METHODS)
def test_whatever_a_request_holds_it_is_no_fault_and_a_refused_one_stores_nothing(
    method: MethodDescriptor, world: World
) -> None:
    @settings(max_examples=30)
    @given(messages(method.input_type, world.examples))
    def attempt(request: Message) -> None:
        before = world.rows()
        answer = send(world.caller, method, request.SerializeToString())
        after = world.rows()
        if isinstance(answer, Refusal):
            check_reason(answer, method)
            assert after == before
        if is_read(method):
            assert after == before
        print(method.name, type(answer).__name__, getattr(answer, "reason", ""))

    others = world.rows(world.bystander.id)
    attempt()
    assert world.rows(world.bystander.id) == others
