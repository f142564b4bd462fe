"""What dependents rely on, checked against the contract before they would notice.

Each file in `consumers/` records what one dependent calls, sends and reads, in the words of its
owners; a change of the contract that breaks it fails here and names it. To let such a change in,
agree it with the dependent and change its file in the same commit.

    consumer = "…"                the name of the file
    [rpc."Service/Method"]        a call: its `access`, `request` and `response`; `stream = true`
                                  if responses are streamed; `errors` that it handles specially
    [request.Message]             the fields it sends
    [response.Message]            the fields it reads
    [enum.Enum]                   the values it sends or knows, with their numbers

A field is written as `[repeated|optional] type [in oneof] [as jsonName]`: `optional` where absent
differs from 0, and a JSON name only where it is not the field's in camelCase. Names without a dot
are those of this package. There is a table of each enum, and of each message of this package, that
a call or a field names, and no table that nothing leads to.
"""

import copy
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from calisthenics.training.v1 import access_pb2, error_pb2
from google.api import field_behavior_pb2
from google.protobuf import descriptor_pb2

from training_service import contract

HERE = Path(__file__).resolve().parent
IMAGE = HERE.parents[1] / "generated" / "training.binpb"
FILES = sorted((HERE / "consumers").glob("*.toml"))

Field = descriptor_pb2.FieldDescriptorProto
Expected = dict[str, Any]

KEYS = {"consumer", "rpc", "request", "response", "enum"}
REQUIRED_RPC_KEYS = {"access", "request", "response"}
RPC_KEYS = REQUIRED_RPC_KEYS | {"stream", "errors"}


@cache
def image() -> descriptor_pb2.FileDescriptorSet:
    """The contract as it is committed."""
    return descriptor_pb2.FileDescriptorSet.FromString(IMAGE.read_bytes())


def expectations(name: str) -> Expected:
    return tomllib.loads((HERE / "consumers" / f"{name}.toml").read_text())


def short(name: str) -> str:
    """Returns the name of a type, without the package if it is ours."""
    return name.removeprefix(".").removeprefix(f"{contract.PACKAGE}.")


def camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def is_ours(type_name: str) -> bool:
    return type_name.startswith(f".{contract.PACKAGE}.")


class Contract:
    """Everything in a descriptor set, by its short name."""

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self.messages: dict[str, descriptor_pb2.DescriptorProto] = {}
        self.enums: dict[str, dict[str, int]] = {}
        self.methods: dict[str, descriptor_pb2.MethodDescriptorProto] = {}
        for file in files.file:
            self._add(file.message_type, file.enum_type, file.package)
            for service in file.service:
                name = short(f"{file.package}.{service.name}")
                self.methods.update({f"{name}/{m.name}": m for m in service.method})
        specific = {reason for m in self.methods.values() for reason in errors_of(m)}
        self.shared_errors = set(error_pb2.ErrorReason.keys()[1:]) - specific

    def _add(self, messages: Any, enums: Any, parent: str) -> None:
        for enum in enums:
            self.enums[short(f"{parent}.{enum.name}")] = {v.name: v.number for v in enum.value}
        for message in messages:
            full_name = f"{parent}.{message.name}"
            self.messages[short(full_name)] = message
            self._add(message.nested_type, message.enum_type, full_name)

    def fields(self, message: str) -> dict[str, Field]:
        """Returns the fields of a message by name."""
        return {field.name: field for field in self.messages[message].field}

    def written(self, message: str, field: Field) -> str:
        """Returns a field as the files of dependents write it."""
        written = short(field.type_name) or Field.Type.Name(field.type)[len("TYPE_") :].lower()
        if field.label == Field.LABEL_REPEATED:
            written = f"repeated {written}"
        elif field.proto3_optional:
            written = f"optional {written}"
        elif field.HasField("oneof_index"):
            written += f" in {self.messages[message].oneof_decl[field.oneof_index].name}"
        if field.json_name != camel_case(field.name):
            written += f" as {field.json_name}"
        return written


def errors_of(method: descriptor_pb2.MethodDescriptorProto) -> list[str]:
    return [error_pb2.ErrorReason.Name(n) for n in method.options.Extensions[access_pb2.errors]]


def differences(expected: Expected, found: Contract) -> list[str]:
    """Returns every way in which the contract is not what a dependent expects."""
    return [*_unknown_keys(expected), *_Check(expected, found).differences()]


def _unknown_keys(expected: Expected) -> Iterator[str]:
    for key in expected.keys() - KEYS:
        yield f"unknown key {key}"
    for name, rpc in expected.get("rpc", {}).items():
        for key in rpc.keys() - RPC_KEYS:
            yield f"rpc {name}: unknown key {key}"
        for key in REQUIRED_RPC_KEYS - rpc.keys():
            yield f"rpc {name}: no {key}"


class _Check:
    """One comparison of a file with the contract; remembers which tables calls lead to."""

    def __init__(self, expected: Expected, found: Contract) -> None:
        self._expected = expected
        self._found = found
        self._reached: set[tuple[str, str]] = set()

    def differences(self) -> Iterator[str]:
        for name, rpc in self._expected.get("rpc", {}).items():
            yield from self._rpc(name, rpc)
        for kind in ("request", "response", "enum"):
            for name in self._expected.get(kind, {}):
                if (kind, name) not in self._reached:
                    yield f"{kind} {name}: nothing leads to it"

    def _rpc(self, name: str, rpc: Expected) -> Iterator[str]:
        method = self._found.methods.get(name)
        if method is None:
            yield f"rpc {name}: does not exist"
        else:
            level = method.options.Extensions[access_pb2.access]
            actual = {
                "access": access_pb2.AccessLevel.Name(level),
                "request": short(method.input_type),
                "response": short(method.output_type),
                "stream": method.server_streaming,
            }
            for key, value in actual.items():
                wanted = rpc.get(key, False)
                if wanted != value:
                    yield f"rpc {name}: {key} is {value}, not {wanted}"
            for reason in rpc.get("errors", []):
                if reason not in {*errors_of(method), *self._found.shared_errors}:
                    yield f"rpc {name}: is not refused with {reason}"
        for kind in ("request", "response"):
            if kind in rpc:
                yield from self._message(kind, rpc[kind])

    def _message(self, kind: str, name: str) -> Iterator[str]:
        if (kind, name) in self._reached:
            return
        self._reached.add((kind, name))
        wanted = self._expected.get(kind, {}).get(name)
        if wanted is None:
            yield f"{kind} {name}: has no table"
            return
        if name not in self._found.messages:
            yield f"{kind} {name}: does not exist"
            return
        fields = self._found.fields(name)
        for field_name, written in wanted.items():
            here = f"{kind} {name}.{field_name}"
            if field_name not in fields:
                yield f"{here}: does not exist"
                continue
            field = fields[field_name]
            actual = self._found.written(name, field)
            if actual != written:
                yield f"{here}: is {actual}, not {written}"
            yield from self._type(kind, field)
        if kind == "request":
            for field in fields.values():
                if is_required(field) and field.name not in wanted:
                    yield f"{kind} {name}.{field.name}: is required and not sent"

    def _type(self, kind: str, field: Field) -> Iterator[str]:
        name = short(field.type_name)
        if field.type == Field.TYPE_ENUM:
            yield from self._enum(name)
        elif is_ours(field.type_name) or name in self._expected.get(kind, {}):
            yield from self._message(kind, name)

    def _enum(self, name: str) -> Iterator[str]:
        if ("enum", name) in self._reached:
            return
        self._reached.add(("enum", name))
        wanted = self._expected.get("enum", {}).get(name)
        if not wanted:
            yield f"enum {name}: has no table"
            return
        values = self._found.enums[name]
        for value, number in wanted.items():
            if values.get(value) != number:
                yield f"enum {name}.{value}: is {values.get(value)}, not {number}"


def is_required(field: Field) -> bool:
    behaviors = field.options.Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.REQUIRED in behaviors


def test_there_are_files_of_three_dependents() -> None:
    assert [f.stem for f in FILES] == ["analytics", "periodization", "recommendation"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dependent_finds_what_it_relies_on(file: Path) -> None:
    expected = expectations(file.stem)
    assert expected["consumer"] == file.stem
    assert differences(expected, Contract(image())) == []


# Whether the test above could fail: the contract is changed under the files.


class Changed:
    """A copy of the contract to change."""

    def __init__(self) -> None:
        self.files = copy.deepcopy(image())
        self.contract = Contract(self.files)

    def field(self, message: str, name: str) -> Field:
        """Returns a field of the copy."""
        return self.contract.fields(message)[name]

    def method(self, name: str) -> descriptor_pb2.MethodDescriptorProto:
        """Returns a method of the copy."""
        return self.contract.methods[name]


def retype(changed: Changed) -> None:
    changed.field("Session", "session_rpe").type = Field.TYPE_FLOAT


def retype_message(changed: Changed) -> None:
    changed.field("Session", "local_date").type_name = ".google.protobuf.Timestamp"


def remove(changed: Changed) -> None:
    message = changed.contract.messages["PerformedSet"]
    message.field.remove(changed.field("PerformedSet", "actual_reps"))


def rename(changed: Changed) -> None:
    changed.field("Session", "time_zone").name = "zone"


def rename_in_json(changed: Changed) -> None:
    changed.field("Session", "body_mass_kg").json_name = "bodyMass"


def lose_a_json_name(changed: Changed) -> None:
    changed.field("ExportSessionsRequest", "from_time").json_name = "fromTime"


def lose_presence(changed: Changed) -> None:
    field = changed.field("Session", "duration_seconds")
    field.proto3_optional = False
    field.ClearField("oneof_index")


def leave_a_oneof(changed: Changed) -> None:
    changed.field("PerformedSet", "rir").ClearField("oneof_index")


def make_single(changed: Changed) -> None:
    changed.field("SessionExercise", "sets").label = Field.LABEL_OPTIONAL


def close(changed: Changed) -> None:
    options = changed.method("SessionService/ExportSessions").options
    options.Extensions[access_pb2.access] = access_pb2.ACCESS_LEVEL_SERVICE


def stop_streaming(changed: Changed) -> None:
    changed.method("SessionService/ExportSessions").server_streaming = False


def answer_with_another(changed: Changed) -> None:
    method = changed.method("SessionService/ListSessions")
    method.output_type = f".{contract.PACKAGE}.ExportSessionsResponse"


def rename_a_method(changed: Changed) -> None:
    changed.method("SessionService/ListSessions").name = "QuerySessions"


def refuse_otherwise(changed: Changed) -> None:
    options = changed.method("SessionService/ExportSessions").options
    options.ClearExtension(access_pb2.errors)


def require_more(changed: Changed) -> None:
    options = changed.field("ListSessionsRequest", "workout_id").options
    options.Extensions[field_behavior_pb2.field_behavior].append(field_behavior_pb2.REQUIRED)


def enum_value(changed: Changed) -> Any:
    enums = (enum for file in changed.files.file for enum in file.enum_type)
    return next(enum for enum in enums if enum.name == "SessionState").value[2]


def rename_a_value(changed: Changed) -> None:
    enum_value(changed).name = "SESSION_STATE_REPLACED"


def renumber_a_value(changed: Changed) -> None:
    enum_value(changed).number = 7


BREAKS: dict[Callable[[Changed], None], str] = {
    retype: "response Session.session_rpe: is optional float, not optional double",
    retype_message: "response Session.local_date: is google.protobuf.Timestamp, "
    "not google.type.Date",
    remove: "response PerformedSet.actual_reps: does not exist",
    rename: "response Session.time_zone: does not exist",
    rename_in_json: "response Session.body_mass_kg: is optional double as bodyMass, "
    "not optional double",
    lose_a_json_name: "request ExportSessionsRequest.from_time: is google.protobuf.Timestamp, "
    "not google.protobuf.Timestamp as from",
    lose_presence: "response Session.duration_seconds: is int32, not optional int32",
    leave_a_oneof: "response PerformedSet.rir: is double, not double in effort",
    make_single: "response SessionExercise.sets: is PerformedSet, not repeated PerformedSet",
    close: "rpc SessionService/ExportSessions: access is ACCESS_LEVEL_SERVICE, "
    "not ACCESS_LEVEL_USER",
    stop_streaming: "rpc SessionService/ExportSessions: stream is False, not True",
    answer_with_another: "rpc SessionService/ListSessions: response is ExportSessionsResponse, "
    "not ListSessionsResponse",
    rename_a_method: "rpc SessionService/ListSessions: does not exist",
    refuse_otherwise: "rpc SessionService/ExportSessions: is not refused with INVALID_PAGE_TOKEN",
    require_more: "request ListSessionsRequest.workout_id: is required and not sent",
    rename_a_value: "enum SessionState.SESSION_STATE_SUPERSEDED: is None, not 2",
    renumber_a_value: "enum SessionState.SESSION_STATE_SUPERSEDED: is 7, not 2",
}


@pytest.mark.parametrize("change", BREAKS, ids=lambda change: change.__name__)
def test_a_change_that_breaks_a_dependent_is_found(change: Callable[[Changed], None]) -> None:
    changed = Changed()
    change(changed)
    found = differences(expectations("analytics"), Contract(changed.files))
    assert BREAKS[change] in found
    # What a changed type leads to is found with it.
    others = [d for d in found if d != BREAKS[change] and "nothing leads to it" not in d]
    assert others == []


def test_a_field_that_is_added_breaks_nobody() -> None:
    changed = Changed()
    added = Field(name="added", json_name="added", number=900, type=Field.TYPE_STRING)
    changed.contract.messages["Session"].field.append(added)
    for file in FILES:
        assert differences(expectations(file.stem), Contract(changed.files)) == []


# Whether a file that says something wrong, or nothing, could pass.


def set_unknown_key(expected: Expected) -> None:
    expected["produces"] = {}


def set_unknown_key_of_a_call(expected: Expected) -> None:
    expected["rpc"]["SessionService/ListSessions"]["acess"] = "ACCESS_LEVEL_USER"


def leave_out_the_access(expected: Expected) -> None:
    del expected["rpc"]["SessionService/ListSessions"]["access"]


def read_an_unknown_field(expected: Expected) -> None:
    expected["response"]["Session"]["mood"] = "string"


def leave_out_a_table(expected: Expected) -> None:
    del expected["response"]["SessionExercise"]


def leave_out_an_enum(expected: Expected) -> None:
    del expected["enum"]["SetKind"]


def add_a_table(expected: Expected) -> None:
    expected["response"]["Workout"] = {"id": "string"}


def add_an_enum(expected: Expected) -> None:
    expected["enum"]["Muscle"] = {"MUSCLE_CHEST": 1}


FAULTS: dict[Callable[[Expected], None], str] = {
    set_unknown_key: "unknown key produces",
    set_unknown_key_of_a_call: "rpc SessionService/ListSessions: unknown key acess",
    leave_out_the_access: "rpc SessionService/ListSessions: no access",
    read_an_unknown_field: "response Session.mood: does not exist",
    leave_out_a_table: "response SessionExercise: has no table",
    leave_out_an_enum: "enum SetKind: has no table",
    add_a_table: "response Workout: nothing leads to it",
    add_an_enum: "enum Muscle: nothing leads to it",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_in_a_file_is_found(fault: Callable[[Expected], None]) -> None:
    expected = expectations("analytics")
    fault(expected)
    assert FAULTS[fault] in differences(expected, Contract(image()))
