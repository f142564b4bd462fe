"""What the service reads from its contract, and what it makes of a refusal."""

from collections.abc import Callable

import pytest
from calisthenics.training.v1 import exercise_pb2, session_pb2, set_pb2, workout_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from tests.support import PULL_UP, a_session, a_workout
from training_service import contract
from training_service.contract import AccessLevel
from training_service.errors import FieldViolation, Limit, Reason, TrainingError


def test_every_rpc_is_known_by_its_path() -> None:
    levels = contract.access_levels()
    assert len(levels) == len(list(contract.methods()))
    assert all(method.path == path for path, method in levels.items())
    package = "/calisthenics.training.v1"
    expected = {
        f"{package}.ExerciseService/GetExercise": AccessLevel.ACCESS_LEVEL_PUBLIC_CATALOGUE,
        f"{package}.ExerciseService/CreateExercise": AccessLevel.ACCESS_LEVEL_ADMIN,
        f"{package}.SessionService/LogSession": AccessLevel.ACCESS_LEVEL_USER,
    }
    assert {path: levels[path].access for path in expected} == expected


def test_an_rpc_that_does_not_say_who_may_call_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    health = health_pb2.DESCRIPTOR.services_by_name["Health"]
    monkeypatch.setattr(contract, "SERVICES", (*contract.SERVICES, health))
    with pytest.raises(
        contract.ContractError, match=r"^grpc\.health\.v1\.Health\.Check declares no access level$"
    ):
        contract.access_levels()


def test_an_rpc_that_does_not_say_what_it_costs_is_refused() -> None:
    method = health_pb2.DESCRIPTOR.services_by_name["Health"].methods_by_name["Check"]
    with pytest.raises(
        contract.ContractError, match=r"^grpc\.health\.v1\.Health\.Check declares no cost class$"
    ):
        contract.cost_class(method)


def violations(message: Message, path: str = "") -> list[FieldViolation]:
    with pytest.raises(TrainingError) as raised:
        contract.check(message, path)
    assert raised.value.reason is Reason.INVALID_FIELD
    return list(raised.value.violations)


@pytest.mark.parametrize("message", [a_session(), a_workout(), exercise_pb2.ListExercisesRequest()])
def test_a_message_that_keeps_the_rules_is_let_through(message: Message) -> None:
    contract.check(message)


def with_set(**fields: object) -> session_pb2.Session:
    session = a_session()
    session.exercises[1].sets.append(session_pb2.PerformedSet(**fields))  # type: ignore[arg-type]
    return session


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: a_session(time_zone=""), "time_zone"),
        (lambda: a_session(start_time=None), "start_time"),
        (lambda: with_set(rpe=11), "exercises[1].sets[1].rpe"),
        (lambda: with_set(rir=-1), "exercises[1].sets[1].rir"),
        (lambda: with_set(load_kg=float("nan")), "exercises[1].sets[1].load_kg"),
        (lambda: with_set(kind=99), "exercises[1].sets[1].kind"),
        (
            lambda: with_set(target=set_pb2.SetTarget(reps={"min": 5, "max": 3})),
            "exercises[1].sets[1].target.reps",
        ),
        (lambda: workout_pb2.CreateWorkoutRequest(), "workout"),
        (lambda: workout_pb2.CreateWorkoutRequest(workout={}), "workout.display_name"),
        (lambda: session_pb2.GetSessionRequest(session_id="x"), "session_id"),
        (lambda: exercise_pb2.BatchGetExercisesRequest(), "exercises"),
        (lambda: exercise_pb2.BatchGetExercisesRequest(exercises=["a", " "]), "exercises[1]"),
    ],
)
def test_a_violation_is_named_by_the_path_from_the_request(
    make: Callable[[], Message], field: str
) -> None:
    [violation] = violations(make())
    assert violation.field == field
    assert violation.description


def test_a_path_may_begin_further_out() -> None:
    [violation] = violations(with_set(rpe=11), "requests[3].session")
    assert violation.field == "requests[3].session.exercises[1].sets[1].rpe"


def test_the_message_of_a_refusal_is_about_the_first_violation() -> None:
    with pytest.raises(TrainingError) as raised:
        contract.check(a_session(time_zone="", session_rpe=11))
    first, second = raised.value.violations
    assert [first.field, second.field] == ["time_zone", "session_rpe"]
    assert raised.value.message == f"time_zone: {first.description}"


def test_a_violation_of_the_whole_message_has_no_path() -> None:
    request = exercise_pb2.ListExercisesRequest(min_difficulty=5, max_difficulty=4)
    with pytest.raises(TrainingError) as raised:
        contract.check(request)
    assert raised.value.violations == (
        FieldViolation("", "min_difficulty must not be above max_difficulty"),
    )
    assert raised.value.message == "min_difficulty must not be above max_difficulty"


def test_only_so_many_violations_are_named() -> None:
    bad = session_pb2.PerformedSet(rpe=11)
    exercise = session_pb2.SessionExercise(exercise_id=PULL_UP, sets=[bad] * 100)
    found = violations(a_session(exercises=[exercise] * 2))
    assert 10 <= len(found) <= contract.MAX_VIOLATIONS
    assert found[1].field == "exercises[0].sets[1].rpe"


def details(status: status_pb2.Status) -> list[Message]:
    """Returns the details of a status, unpacked."""
    kinds = {
        kind.DESCRIPTOR.full_name: kind
        for kind in (
            error_details_pb2.ErrorInfo,
            error_details_pb2.BadRequest,
            error_details_pb2.RetryInfo,
            error_details_pb2.QuotaFailure,
            error_details_pb2.RequestInfo,
        )
    }
    return [
        kinds[d.type_url.removeprefix("type.googleapis.com/")].FromString(d.value)
        for d in status.details
    ]


def test_a_plain_refusal_carries_its_reason_alone() -> None:
    status = contract.to_status(TrainingError(Reason.WORKOUT_DELETED, "it is deleted"))
    assert (status.code, status.message) == (code_pb2.FAILED_PRECONDITION, "it is deleted")
    assert details(status) == [
        error_details_pb2.ErrorInfo(reason="WORKOUT_DELETED", domain="training.calisthenics")
    ]


def test_a_refusal_carries_all_that_is_known_of_it() -> None:
    error = TrainingError(
        Reason.CONFLICT,
        "collided",
        violations=[FieldViolation("a.b[0]", "is odd"), FieldViolation("c", "is missing")],
        metadata={"id": "1"},
        retry_after_seconds=1.25,
    )
    status = contract.to_status(error, "request-1")
    assert status.code == code_pb2.ABORTED
    assert details(status) == [
        error_details_pb2.ErrorInfo(
            reason="CONFLICT", domain="training.calisthenics", metadata={"id": "1"}
        ),
        error_details_pb2.BadRequest(
            field_violations=[
                {"field": "a.b[0]", "description": "is odd"},
                {"field": "c", "description": "is missing"},
            ]
        ),
        error_details_pb2.RetryInfo(retry_delay={"seconds": 1, "nanos": 250_000_000}),
        error_details_pb2.RequestInfo(request_id="request-1"),
    ]


def test_a_wait_is_rounded_up_and_the_limit_is_named() -> None:
    limit = Limit("caller", "reads", 2.5)
    error = TrainingError(Reason.RATE_LIMITED, "too many", retry_after_seconds=0.2001, limit=limit)
    status = contract.to_status(error)
    assert status.code == code_pb2.RESOURCE_EXHAUSTED
    assert details(status)[1:] == [
        error_details_pb2.RetryInfo(retry_delay={"nanos": 201_000_000}),
        error_details_pb2.QuotaFailure(
            violations=[
                {
                    "subject": "caller",
                    "description": "too many",
                    "quota_id": "reads",
                    "quota_value": 2,
                }
            ]
        ),
    ]


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_becomes_a_status(reason: Reason) -> None:
    status = contract.to_status(TrainingError(reason, "no"))
    assert status.code == contract.STATUS_CODES[reason]
    assert status.code in code_pb2.Code.values()
