"""What of messages may be logged: every message of the contract is filled, and looked through."""

from collections.abc import Iterator
from typing import Any

import pytest
from calisthenics.training.v1 import access_pb2, readiness_pb2, session_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from training_service import contract

MARKER = "MARKER"
NUMBER = 7654321
FREE_TEXT = {
    "comment",
    "comments",
    "feedback",
    "message",
    "note",
    "notes",
    "outlook",
    "query",
    "reason",
    "reason_text",
    "retract_reason",
}
"""What fields are called that hold the words of somebody, or words about them."""


def messages() -> Iterator[Descriptor]:
    for file in contract._FILES:
        waiting = list(file.DESCRIPTOR.message_types_by_name.values())
        for message in waiting:
            yield message
            waiting.extend(message.nested_types)


def is_message(field: Any) -> bool:
    return field.type == FieldDescriptor.TYPE_MESSAGE


def leaf(field: Any) -> Any:
    """Returns a value that shows in the output whose it is."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return f"{MARKER}-{field.full_name}-"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return f"{MARKER}-{field.full_name}-".encode()
    if field.type == FieldDescriptor.TYPE_ENUM:
        return field.enum_type.values[-1].number
    return True if field.type == FieldDescriptor.TYPE_BOOL else NUMBER


def fill(message: Message, depth: int = 0) -> None:
    fields: list[Any] = list(message.DESCRIPTOR.fields)
    for field in fields:
        if field.containing_oneof and message.WhichOneof(field.containing_oneof.name):
            continue
        if not is_message(field):
            value = leaf(field)
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
        elif depth < 4 and not field.message_type.GetOptions().map_entry:
            inner = getattr(message, field.name)
            inner = inner.add() if field.is_repeated else inner
            inner.SetInParent()
            if field.message_type.file.package == contract.PACKAGE:
                fill(inner, depth + 1)


ALL = {message.full_name: message for message in messages()}
SENSITIVE = [
    field
    for message in ALL.values()
    for field in message.fields
    if field.GetOptions().Extensions[access_pb2.sensitive]
]


@pytest.mark.parametrize("name", ALL)
def test_nothing_sensitive_is_in_what_may_be_logged(name: str) -> None:
    message = GetMessageClass(ALL[name])()
    fill(message)
    shown = str(contract.redacted(message))
    assert MARKER not in shown  # no text at all


@pytest.mark.parametrize("field", SENSITIVE, ids=lambda f: f.full_name)
def test_each_sensitive_field_is_there_but_not_what_it_holds(field: Any) -> None:
    message = GetMessageClass(field.containing_type)()
    fill(message)
    if field.containing_oneof:
        message.ClearField(message.WhichOneof(field.containing_oneof.name))
    if is_message(field):
        getattr(message, field.name).add()
    elif not field.is_repeated:
        setattr(message, field.name, leaf(field))
    assert contract.redacted(message)[field.name] == contract.REDACTED


def test_the_rest_is_shown() -> None:
    session = session_pb2.Session(time_zone="Europe/Berlin", notes="knee", body_mass_kg=70)
    session.exercises.add(exercise_id="x", notes="hurts").sets.add(actual_reps=8)
    session.start_time.FromSeconds(0)
    assert contract.redacted(session) == {
        "time_zone": contract.REDACTED,
        "start_time": "1970-01-01T00:00:00Z",
        "notes": contract.REDACTED,
        "body_mass_kg": contract.REDACTED,
        "exercises": [
            {
                "exercise_id": contract.REDACTED,
                "notes": contract.REDACTED,
                "sets": [{"actual_reps": 8}],
            }
        ],
    }


def test_no_field_of_free_text_is_forgotten() -> None:
    strings = [
        field
        for message in ALL.values()
        for field in message.fields
        if field.name in FREE_TEXT and field.type == FieldDescriptor.TYPE_STRING
    ]
    assert strings
    assert [f.full_name for f in strings if f not in SENSITIVE] == []


def test_wellness_is_sensitive_throughout() -> None:
    """All that an athlete says of how they are."""
    shown = {
        field.name
        for field in readiness_pb2.WellnessEntry.DESCRIPTOR.fields
        if not contract.is_never_logged(field)
    }
    assert shown == {"local_date", "version", "create_time", "superseded"}
