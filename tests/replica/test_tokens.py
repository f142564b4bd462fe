"""Every write answers with a token, and no read does."""

import uuid

import pytest
from calisthenics.training.v1 import access_pb2, exercise_pb2, governance_pb2, session_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from tests.rpc.test_exercise import an_exercise
from tests.rpc.test_isolation import ALL, OF_USERS, Belongings, access
from tests.support import Athlete, a_session
from training_service import contract
from training_service.consistency import TOKEN_KEY, Position, from_token
from training_service.domain.exercise import exercise_id

USERS_WRITES = [name for name in OF_USERS if not contract.stores_nothing(ALL[name])]
USERS_READS = [
    name
    for name in OF_USERS
    if contract.stores_nothing(ALL[name]) and not ALL[name].server_streaming
]


def tokens(athlete: Athlete, method: MethodDescriptor, request: Message) -> list[Position]:
    """Makes a call; returns what its tokens name."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    send = athlete.channel.unary_unary(path)
    _, call = send.with_call(request.SerializeToString())
    assert "x-request-id" in dict(call.trailing_metadata())
    return [from_token(value) for key, value in call.trailing_metadata() if key == TOKEN_KEY]


@pytest.mark.parametrize("name", USERS_WRITES)
def test_a_write_answers_with_a_token(name: str, alice: Athlete, bob: Athlete) -> None:
    before = [tokens(bob, ALL[LOG], a_log())[0]]
    [token] = tokens(alice, ALL[name], Belongings(alice).request(ALL[name]))
    assert token.history == before[0].history
    assert token.lsn > before[0].lsn
    assert token.history.cluster
    [after] = tokens(bob, ALL[LOG], a_log())
    assert after.lsn > token.lsn


LOG = "calisthenics.training.v1.SessionService.LogSession"


def a_log(request_id: str = "") -> session_pb2.LogSessionRequest:
    return session_pb2.LogSessionRequest(session=a_session(), request_id=request_id)


def test_writes_of_administrators_answer_with_a_token(
    admin: Athlete, alice: Athlete, bob: Athlete
) -> None:
    exercise = an_exercise()
    id = str(exercise_id(exercise.slug))
    update = exercise_pb2.UpdateExerciseRequest(
        exercise_id=id, exercise={"display_name": "Another name"}
    )
    update.update_mask.paths.append("display_name")
    calls: dict[str, Message] = {
        "CreateExercise": exercise_pb2.CreateExerciseRequest(exercise=exercise),
        "UpdateExercise": update,
        "DeprecateExercise": exercise_pb2.DeprecateExerciseRequest(exercise_id=id),
        "EraseUser": governance_pb2.EraseUserRequest(user_id=bob.id),
    }
    of_admins = {
        method.name: method
        for method in ALL.values()
        if access(method) == access_pb2.ACCESS_LEVEL_ADMIN and not contract.stores_nothing(method)
    }
    assert calls.keys() == of_admins.keys()
    for name, request in calls.items():
        assert len(tokens(admin, of_admins[name], request)) == 1, name


def test_who_repeats_a_write_gets_a_token_by_which_it_is_seen(alice: Athlete, bob: Athlete) -> None:
    request = a_log(str(uuid.uuid4()))
    [first] = tokens(alice, ALL[LOG], request)
    [again] = tokens(alice, ALL[LOG], request)
    assert again.lsn >= first.lsn
    assert tokens(bob, ALL[LOG], request)


@pytest.mark.parametrize("name", USERS_READS)
def test_a_read_answers_with_none(name: str, alice: Athlete, bob: Athlete) -> None:
    assert tokens(alice, ALL[name], Belongings(alice).request(ALL[name])) == []
