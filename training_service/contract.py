"""What the contract declares: services, access levels, rules and reasons, from its descriptors."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from calisthenics.training.v1 import (
    access_pb2,
    adaptation_pb2,
    assignment_pb2,
    coaching_pb2,
    error_pb2,
    exercise_pb2,
    form_pb2,
    goal_pb2,
    governance_pb2,
    group_pb2,
    load_pb2,
    metrics_pb2,
    phase_pb2,
    prediction_pb2,
    program_pb2,
    progression_pb2,
    readiness_pb2,
    recommendation_pb2,
    roster_pb2,
    schedule_pb2,
    session_pb2,
    skill_pb2,
    team_pb2,
    workout_pb2,
)
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.any_pb2 import Any
from google.protobuf.descriptor import (
    Descriptor,
    FieldDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from protovalidate import Validator, Violation

from training_service.domain.rate import CostClass
from training_service.errors import FieldViolation, Limit, Reason, TrainingError

PACKAGE = "calisthenics.training.v1"
ERROR_DOMAIN = "training.calisthenics"
MAX_VIOLATIONS = 20
"""Most field violations named in an answer: they travel as metadata, and clients take 8 KiB."""

_FILES = (
    exercise_pb2,
    workout_pb2,
    session_pb2,
    metrics_pb2,
    load_pb2,
    skill_pb2,
    readiness_pb2,
    phase_pb2,
    goal_pb2,
    program_pb2,
    schedule_pb2,
    progression_pb2,
    coaching_pb2,
    group_pb2,
    assignment_pb2,
    team_pb2,
    roster_pb2,
    form_pb2,
    recommendation_pb2,
    adaptation_pb2,
    prediction_pb2,
    governance_pb2,
)

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()
)

AccessLevel = access_pb2.AccessLevel

STATUS_CODES = MappingProxyType(
    {
        Reason(value.name): value.GetOptions().Extensions[error_pb2.status]
        for value in error_pb2.ErrorReason.DESCRIPTOR.values
        if value.number
    }
)
"""The google.rpc.Code of each reason."""


NAMES_OF_MANY = frozenset({"group_id", "athlete_user_ids"})
"""What fields of a request are called that name more than one person."""


class ContractError(Exception):
    """The contract lacks something that the service can't start without."""


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: its path on the wire, who may call it and what it costs."""

    name: str
    path: str
    access: "access_pb2.AccessLevel.ValueType"
    grant_scope: str
    """What a caller must be granted who is not the athlete; empty when nobody can be."""
    cost: CostClass
    is_read: bool
    """Whether it leaves everything as it is."""
    is_about_many: bool
    """Whether its request names a group, or athletes by the list."""


def methods() -> Iterator[MethodDescriptor]:
    """Yields the descriptor of every RPC."""
    for service in SERVICES:
        yield from service.methods


def access_levels() -> dict[str, Method]:
    """Returns every RPC by its path.

    Raises ContractError for an RPC that does not declare who may call it or what it costs.
    """
    found = {}
    for method in methods():
        access = method.GetOptions().Extensions[access_pb2.access]
        if access == AccessLevel.ACCESS_LEVEL_UNSPECIFIED:
            raise ContractError(f"{method.full_name} declares no access level")
        path = f"/{method.containing_service.full_name}/{method.name}"
        found[path] = Method(
            method.name,
            path,
            access,
            grant_scope(method),
            cost_class(method),
            stores_nothing(method),
            not NAMES_OF_MANY.isdisjoint(method.input_type.fields_by_name),
        )
    return found


def cost_class(method: MethodDescriptor) -> CostClass:
    """Returns what a call of an RPC costs.

    Raises ContractError for an RPC that does not declare it.
    """
    number = method.GetOptions().Extensions[access_pb2.cost]
    if number == access_pb2.COST_CLASS_UNSPECIFIED:
        raise ContractError(f"{method.full_name} declares no cost class")
    return CostClass(access_pb2.CostClass.Name(number).removeprefix("COST_CLASS_"))


def grant_scope(method: MethodDescriptor) -> str:
    """Returns the name of what a caller must be granted for an RPC; empty for nothing."""
    number = method.GetOptions().Extensions[access_pb2.grant]
    return access_pb2.GrantScope.Name(number).removeprefix("GRANT_SCOPE_") if number else ""


def is_read(method: MethodDescriptor) -> bool:
    """Returns whether an RPC only reads, and so can be sent again: its HTTP rule is a GET."""
    return bool(method.GetOptions().Extensions[annotations_pb2.http].get)


def stores_nothing(method: MethodDescriptor) -> bool:
    """Returns whether an RPC leaves everything as it is: a read, or one that says so although its
    request needs a body."""
    level = descriptor_pb2.MethodOptions.IdempotencyLevel.NO_SIDE_EFFECTS
    return is_read(method) or method.GetOptions().idempotency_level == level


def output_only_fields(message: Descriptor) -> tuple[str, ...]:
    """Returns the fields of a message that only the service sets."""
    behaviors = field_behavior_pb2.field_behavior
    return tuple(
        field.name
        for field in message.fields
        if field_behavior_pb2.OUTPUT_ONLY in field.GetOptions().Extensions[behaviors]
    )


REDACTED = "[redacted]"
"""Stands in logs for what must not."""


@cache
def is_never_logged(field: FieldDescriptor) -> bool:
    """Returns whether the contract says that a field is sensitive, or it names a user, or has bytes
    that nobody can say anything of."""
    is_marked: bool = field.GetOptions().Extensions[access_pb2.sensitive]
    # A request that is logged was refused: whatever a text should be, anything may stand in it.
    return is_marked or field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def redacted(message: Message) -> dict[str, object]:
    """Returns what of a message may be logged: its fields that are set, by their names."""
    return {field.name: _redacted(field, value) for field, value in message.ListFields()}


def _redacted(field: FieldDescriptor, value: object) -> object:
    if is_never_logged(field):
        return REDACTED
    inner = field.message_type
    if inner is None:
        return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
    if inner.GetOptions().map_entry:
        return REDACTED
    if isinstance(value, Message):
        return _redacted_message(value)
    assert isinstance(value, Sequence), f"{field.full_name} is neither a message nor many"
    return [_redacted_message(one) for one in value]


def _redacted_message(message: Message) -> object:
    """The same for a message in another: of a type of Google's, such as a date, all of it."""
    is_ours = message.DESCRIPTOR.file.package == PACKAGE
    return redacted(message) if is_ours else MessageToDict(message)


_validator = Validator()


def check(message: Message, path: str = "") -> None:
    """Refuses a message that breaks a rule of the contract.

    `path` leads from the request to the message, for the field paths of the answer.
    """
    found = _validator.collect_violations(message)
    if found:
        violations = [_violation(v, path) for v in found[:MAX_VIOLATIONS]]
        first = violations[0]
        raise TrainingError(
            Reason.INVALID_FIELD,
            f"{first.field}: {first.description}" if first.field else first.description,
            violations=violations,
        )


def _violation(violation: Violation, prefix: str) -> FieldViolation:
    path = prefix
    field = violation.proto.field
    for element in field.elements if field else ():
        path = f"{path}.{element.field_name}" if path else element.field_name
        if element.subscript is not None:
            path += f"[{element.subscript.value}]"
    message = violation.proto.message or f"breaks the rule {violation.proto.rule_id}"
    return FieldViolation(path, message)


def _quota_failure(limit: Limit, message: str) -> error_details_pb2.QuotaFailure:
    violation = error_details_pb2.QuotaFailure.Violation(
        subject=limit.subject,
        description=message,
        quota_id=limit.name,
        quota_value=math.floor(limit.value),
    )
    return error_details_pb2.QuotaFailure(violations=[violation])


def to_status(error: TrainingError, request_id: str = "") -> status_pb2.Status:
    """Returns a refusal as google.rpc.Status with its details."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=error.reason, domain=ERROR_DOMAIN, metadata=error.metadata
        )
    ]
    if error.violations:
        details.append(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=v.field, description=v.description
                    )
                    for v in error.violations[:MAX_VIOLATIONS]
                ]
            )
        )
    if error.retry_after_seconds is not None:
        delay = Duration()
        # Rounded up: who waits as long as they are told must not come too early.
        delay.FromMilliseconds(math.ceil(error.retry_after_seconds * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if error.limit is not None:
        details.append(_quota_failure(error.limit, error.message))
    if request_id:
        details.append(error_details_pb2.RequestInfo(request_id=request_id))
    status = status_pb2.Status(code=STATUS_CODES[error.reason], message=error.message)
    for detail in details:
        packed = Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status
