"""The OpenAPI document, held against the descriptors: what REST callers read must be true."""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from buf.validate import validate_pb2
from calisthenics.training.v1 import access_pb2, error_pb2, session_pb2
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from training_service import contract

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "protos" / "examples"
DOCS = ROOT / "deploy" / "envoy" / "docs"
DOCUMENT: dict[str, Any] = json.loads((ROOT / "generated" / "openapi.json").read_text())
COMPONENTS = DOCUMENT["components"]
SCHEMAS = COMPONENTS["schemas"]
OPERATIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    operation["operationId"]: (verb, path, operation)
    for path, verbs in DOCUMENT["paths"].items()
    for verb, operation in verbs.items()
}
WITH_EXAMPLES = {
    "SessionService_LogSession",
    "SessionService_BatchLogSessions",
    "SessionService_AmendSession",
    "WorkoutService_CreateWorkout",
    "WorkoutService_UpdateWorkout",
    "ExerciseService_CreateExercise",
    "ReadinessService_LogWellness",
    "GoalService_CreateGoal",
    "ProgramService_AdoptProgram",
}
# As Envoy translates: https://cloud.google.com/apis/design/errors has the same table.
HTTP = {
    code_pb2.INVALID_ARGUMENT: "400",
    code_pb2.FAILED_PRECONDITION: "400",
    code_pb2.UNAUTHENTICATED: "401",
    code_pb2.PERMISSION_DENIED: "403",
    code_pb2.NOT_FOUND: "404",
    code_pb2.ALREADY_EXISTS: "409",
    code_pb2.ABORTED: "409",
    code_pb2.RESOURCE_EXHAUSTED: "429",
    code_pb2.INTERNAL: "500",
    code_pb2.UNAVAILABLE: "503",
    code_pb2.DEADLINE_EXCEEDED: "504",
}
SHARED = {
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "ATHLETE_NOT_FOUND",
    "ATHLETE_ERASED",
    "INVALID_FIELD",
    "MALFORMED_REQUEST",
    "REQUEST_TOO_LARGE",
    "CONFLICT",
    "DEADLINE_EXCEEDED",
    "DATABASE_UNAVAILABLE",
    "ARCHIVE_UNAVAILABLE",
    "KEYS_UNAVAILABLE",
    "OVERLOADED",
    "RATE_LIMITED",
    "TOO_MANY_STREAMS",
    "QUOTA_EXCEEDED",
    "INTERNAL",
}
SINGLE = {"google.protobuf.Timestamp", "google.protobuf.FieldMask"}
"""Messages that are one value in JSON."""
PICTURE = "HttpBody"


METHODS = [m for m in contract.methods() if not m.client_streaming]
"""The RPCs of REST, which has no stream of requests."""


def each_method(*, of_messages: bool = False) -> Any:
    """Runs a test for every RPC or, with `of_messages`, for those whose answer is no picture."""
    chosen = [m for m in METHODS if not (of_messages and m.output_type.name == PICTURE)]
    return pytest.mark.parametrize("method", chosen, ids=lambda m: m.name)


def test_a_picture_is_answered_as_what_it_is() -> None:
    pictures = [m for m in METHODS if m.output_type.name == PICTURE and not m.server_streaming]
    assert {m.name for m in pictures} == {"GetProgressChart", "GetRecoveryChart"}
    for method in pictures:
        content = operation(method)["responses"]["200"]["content"]
        assert set(content) == {"image/svg+xml", "image/png", "application/json"}


def test_a_zip_file_is_answered_as_what_it_is() -> None:
    [method] = [m for m in METHODS if m.output_type.name == PICTURE and m.server_streaming]
    assert method.name == "ExportUserData"
    assert set(operation(method)["responses"]["200"]["content"]) == {"application/zip"}


def operation_id(method: MethodDescriptor) -> str:
    return f"{method.containing_service.name}_{method.name}"


def operation(method: MethodDescriptor) -> dict[str, Any]:
    return OPERATIONS[operation_id(method)][2]


def http_rule(method: MethodDescriptor) -> tuple[str, str, str]:
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    verb = str(rule.WhichOneof("pattern"))
    return verb, getattr(rule, verb), rule.body


def parameters(method: MethodDescriptor) -> dict[str, dict[str, Any]]:
    found = operation(method)["parameters"]
    assert len({p["name"] for p in found}) == len(found)
    return {p["name"]: p for p in found}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Follows references, keeping what stands beside them."""
    while "$ref" in schema:
        kind, name = schema["$ref"].removeprefix("#/components/").split("/")
        schema = {**COMPONENTS[kind][name], **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def body_schema(method: MethodDescriptor) -> dict[str, Any]:
    schema: dict[str, Any] = operation(method)["requestBody"]["content"]["application/json"][
        "schema"
    ]
    return schema


def answer_schema(method: MethodDescriptor) -> dict[str, Any]:
    schema: dict[str, Any] = operation(method)["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    return schema


@cache
def validator(schema: str) -> OAS31Validator:
    return OAS31Validator(
        {**json.loads(schema), "components": COMPONENTS},
        format_checker=OAS31Validator.FORMAT_CHECKER,
    )


def is_valid(value: Any, schema: dict[str, Any]) -> bool:
    return bool(validator(json.dumps(schema)).is_valid(value))


def has_schema(name: str) -> dict[str, Any]:
    assert name in SCHEMAS
    return {"$ref": f"#/components/schemas/{name}"}


def rules_of(field: FieldDescriptor) -> validate_pb2.FieldRules:
    return field.GetOptions().Extensions[validate_pb2.field]


def is_output_only(field: FieldDescriptor) -> bool:
    behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field_behavior_pb2.OUTPUT_ONLY in behaviors


# The document as a whole


def test_it_is_valid() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_names_nothing_of_the_machine_it_was_made_on() -> None:
    text = json.dumps(DOCUMENT)
    assert set(re.findall(r"://([^/]*)", text)) <= {"www.rfc-editor.org"}
    for word in ("/work/", "/home/", "/tmp/", "localhost", "registry", str(ROOT)):
        assert word not in text


def test_it_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    image = ROOT / "generated" / "training.binpb"
    made = []
    for seed in ("1", "2"):
        target = tmp_path / f"{seed}.json"
        program = (
            f"import sys; sys.path.insert(0, {str(ROOT / 'protos')!r}); from pathlib import Path; "
            f"import openapi; openapi.write_openapi(Path({str(image)!r}), Path({str(target)!r}))"
        )
        subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, check=True)
        made.append(target.read_bytes())
    assert made[0] == made[1] == (ROOT / "generated" / "openapi.json").read_bytes()


def described(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields everything in the document that needs a description."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from described(item, f"{path}/{index}")
    if not isinstance(node, dict) or path.endswith(("/example", "/value")):
        return
    for key, item in node.items():
        here = f"{path}/{key}"
        container = path.rpartition("/")[2]
        if container in ("properties", "schemas", "responses") or (
            isinstance(item, dict) and ("in" in item or "operationId" in item)
        ):
            yield here, item
        yield from described(item, here)
    for index, parameter in enumerate(node.get("parameters", ())):
        yield f"{path}/parameters/{index}", parameter


def test_everything_has_a_description() -> None:
    found = list(described(DOCUMENT))
    assert len(found) > 400
    bare = [path for path, item in found if not resolved(item).get("description")]
    assert bare == []
    assert all(tag["description"] for tag in DOCUMENT["tags"])


def patterns(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        for item in node.values():
            yield from patterns(item)
    if isinstance(node, list):
        for item in node:
            yield from patterns(item)


def test_every_pattern_is_one_for_javascript_and_python() -> None:
    found = sorted(set(patterns(DOCUMENT)))
    assert len(found) > 5
    program = "for (const p of JSON.parse(process.argv[1])) new RegExp(p, 'u')"
    node = Path(sys.executable).parent / "node"
    subprocess.run([node, "-e", program, json.dumps(found)], check=True)
    assert all(re.compile(pattern) for pattern in found)


def test_control_characters_are_refused() -> None:
    schema = SCHEMAS["WorkoutInput"]["properties"]["displayName"]
    assert is_valid("Zug – тяга 引く", schema)
    for character in ("\0", "\n", "\x1f", "\x7f", "\x9f"):
        assert not is_valid(f"a{character}b", schema)


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("openapi", ROOT / "protos" / "openapi.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("pattern", [r"(?i)a", r"\p{L}", r"[[:alpha:]]", r"\Aa\z", r"\Qa\E"])
def test_a_pattern_that_json_schema_cannot_say_is_left_out(
    program: ModuleType, pattern: str
) -> None:
    assert program.portable(pattern) is None
    assert program.portable(r"^[^\p{Cc}]*$") is not None


# Operations


def test_there_is_an_operation_for_each_rpc_and_no_other() -> None:
    count = sum(len(verbs) for verbs in DOCUMENT["paths"].values())
    assert count == len(OPERATIONS)
    assert set(OPERATIONS) == {operation_id(method) for method in METHODS}


@each_method()
def test_an_operation_stands_at_its_http_rule(method: MethodDescriptor) -> None:
    verb, path, found = OPERATIONS[operation_id(method)]
    expected_verb, expected_path, body = http_rule(method)
    assert (verb, path) == (expected_verb, expected_path)
    assert found["tags"] == [method.containing_service.name]
    assert found["description"].startswith(found["summary"])
    assert ("requestBody" in found) == bool(body)


@each_method()
def test_only_the_catalogue_can_be_read_without_a_token(method: MethodDescriptor) -> None:
    access = method.GetOptions().Extensions[access_pb2.access]
    is_public = access == access_pb2.ACCESS_LEVEL_PUBLIC_CATALOGUE
    security = operation(method).get("security", DOCUMENT["security"])
    assert ({} in security) == is_public
    assert {"bearer": []} in security


def query_names(fields: Any, prefix: str = "") -> Iterator[str]:
    for field in fields:
        if field.message_type and field.message_type.full_name not in SINGLE:
            yield from query_names(field.message_type.fields, f"{prefix}{field.json_name}.")
        else:
            yield prefix + field.json_name


@each_method()
def test_every_field_of_a_request_has_one_place(method: MethodDescriptor) -> None:
    _, path, body = http_rule(method)
    variables = set(re.findall(r"{([^}]*)}", path))
    rest = [f for f in method.input_type.fields if f.name not in variables | {body}]
    found = operation(method)["parameters"]
    assert {p["name"] for p in found if p["in"] == "path"} == variables
    in_query = [p["name"] for p in found if p["in"] == "query"]
    if body == "*":
        assert in_query == []
        assert set(resolved(body_schema(method))["properties"]) == {f.json_name for f in rest}
    else:
        assert in_query == list(query_names(rest))
    # A copy would override the path in Envoy.
    assert "externalUserId" not in in_query


@each_method()
def test_what_a_request_must_have_is_required(method: MethodDescriptor) -> None:
    found = parameters(method)
    for field in method.input_type.fields:
        behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.REQUIRED in behaviors:
            _, _, body = http_rule(method)
            parameter = found.get(field.json_name) or found.get(field.name)
            required = resolved(body_schema(method)).get("required", []) if body == "*" else []
            assert (
                field.name == body
                or field.json_name in required
                or (parameter and parameter["required"])
            )


def test_update_masks_are_required() -> None:
    masks = [p for m in METHODS for n, p in parameters(m).items() if n == "updateMask"]
    assert len(masks) == len([m for m in METHODS if http_rule(m)[0] == "patch"]) > 1
    assert all(p["required"] and p["schema"]["type"] == "string" for p in masks)


@each_method(of_messages=True)
def test_a_stream_is_an_array(method: MethodDescriptor) -> None:
    schema = answer_schema(method)
    assert (schema.get("type") == "array") == method.server_streaming
    reference = schema["items"] if method.server_streaming else schema
    assert reference == has_schema(method.output_type.name)


# Refusals


def status_of(reason: str) -> str:
    value = error_pb2.ErrorReason.DESCRIPTOR.values_by_name[reason]
    return HTTP[value.GetOptions().Extensions[error_pb2.status]]


@each_method()
def test_every_reason_stands_at_its_status(method: MethodDescriptor) -> None:
    numbers = method.GetOptions().Extensions[access_pb2.errors]
    expected = SHARED | {error_pb2.ErrorReason.Name(number) for number in numbers}
    if "external_user_id" not in method.input_type.fields_by_name:
        expected -= {"ATHLETE_NOT_FOUND"}
    found = set()
    for status, response in operation(method)["responses"].items():
        if status == "200":
            continue
        content = resolved(response)["content"]["application/json"]
        assert content["schema"] == has_schema("google.rpc.Status")
        for reason in content.get("examples", {}):
            assert f"`{reason}`" in resolved(response)["description"]
            found.add((reason, status))
    assert found == {(reason, status_of(reason)) for reason in expected}


@each_method()
def test_every_operation_names_what_the_gateway_refuses(method: MethodDescriptor) -> None:
    responses = operation(method)["responses"]
    assert {"400", "401", "403", "408", "413", "429", "431", "502", "503", "504"} <= set(responses)
    assert "Retry-After" in resolved(responses["429"])["headers"]


@pytest.mark.parametrize("reason", error_pb2.ErrorReason.keys()[1:])
def test_every_reason_has_an_example_that_is_true(reason: str) -> None:
    value = COMPONENTS["examples"][reason]["value"]
    assert is_valid(value, has_schema("google.rpc.Status"))
    status = json_format.ParseDict(value, status_pb2.Status())
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == (reason, contract.ERROR_DOMAIN)
    assert status.code == contract.STATUS_CODES[contract.Reason(reason)]


def test_a_detail_is_what_it_says_it_is() -> None:
    schema = has_schema("google.rpc.Status")
    kind = "type.googleapis.com/google.rpc."
    retry = {"@type": f"{kind}RetryInfo", "retryDelay": "1.5s"}
    assert is_valid({"code": 14, "message": "", "details": [retry]}, schema)
    assert not is_valid({"details": [{**retry, "retryDelay": 1.5}]}, schema)
    assert not is_valid({"details": [{"@type": f"{kind}Nonsense"}]}, schema)


# Limits


def sent_in_body(
    message: Descriptor, schema: dict[str, Any], without: set[str]
) -> Iterator[tuple[FieldDescriptor, dict[str, Any]]]:
    properties = resolved(schema)["properties"]
    for field in message.fields:
        rules = rules_of(field)
        if field.name in without or is_output_only(field):
            continue
        assert field.json_name in properties
        found = properties[field.json_name]
        is_free = validate_pb2.IGNORE_ALWAYS in (rules.ignore, rules.repeated.items.ignore)
        yield field, found
        if field.message_type and field.message_type.full_name not in SINGLE and not is_free:
            inner = resolved(found)
            yield from sent_in_body(field.message_type, inner.get("items", inner), set())


def sent(method: MethodDescriptor) -> Iterator[tuple[FieldDescriptor, dict[str, Any]]]:
    """Yields every field that the rules are checked of, with its schema."""
    _, path, body = http_rule(method)
    variables = set(re.findall(r"{([^}]*)}", path))
    found = parameters(method)
    for field in method.input_type.fields:
        parameter = found.get(field.name if field.name in variables else field.json_name)
        if parameter:
            yield field, parameter["schema"]
    if body == "*":
        yield from sent_in_body(method.input_type, body_schema(method), variables)
    elif body:
        field = method.input_type.fields_by_name[body]
        if rules_of(field).ignore != validate_pb2.IGNORE_ALWAYS:
            assert field.message_type
            yield from sent_in_body(field.message_type, body_schema(method), set())


SENT = [(field, resolved(schema)) for method in METHODS for field, schema in sent(method)]
NUMBERS = {
    "gte": "minimum",
    "lte": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
}


def test_the_walk_reaches_all_that_is_sent() -> None:
    reached = {field.full_name for field, _ in SENT}
    # HoldRange.max_seconds alone has a limit that is not included.
    assert f"{contract.PACKAGE}.HoldRange.max_seconds" in reached
    assert f"{contract.PACKAGE}.PerformedSet.rir" in reached
    assert f"{contract.PACKAGE}.Exercise.difficulty" in reached
    assert len(reached) > 100


def test_every_limit_of_a_number_is_there() -> None:
    checked = 0
    for field, schema in SENT:
        kind = rules_of(field).WhichOneof("type")
        if kind in ("int32", "double"):
            rules = getattr(rules_of(field), kind)
            for rule, word in NUMBERS.items():
                if rules.HasField(rule):
                    assert schema[word] == getattr(rules, rule), field.full_name
                    checked += 1
    assert checked > 60


def test_every_limit_of_a_text_is_there() -> None:
    checked = 0
    for field, schema in SENT:
        rules = rules_of(field).repeated.items if field.is_repeated else rules_of(field)
        found = resolved(schema["items"]) if field.is_repeated else schema
        if rules.WhichOneof("type") != "string":
            continue
        may_be_empty = rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
        assert found.get("maxLength", 0) == rules.string.max_len, field.full_name
        assert found.get("minLength", 0) == rules.string.min_len, field.full_name
        pattern = rules.string.pattern.replace(r"\p{Cc}", r"\x00-\x1f\x7f-\x9f")
        if rules.string.uuid:
            assert is_valid("f28ca318-2152-517f-bb8c-d5c2325d1ae5", found)
            assert not is_valid("f28ca318", found)
            # Nothing in a path is empty.
            assert is_valid("", found) == (may_be_empty and found.get("format") != "uuid")
        elif pattern:
            for text in ("", "\0", "a\nb", "push-up", "Zug", "30X0"):
                is_good = bool(re.search(pattern, text)) or (may_be_empty and not text)
                is_good = is_good and len(text) >= rules.string.min_len
                assert is_valid(text, found) == is_good, (field.full_name, text)
        else:
            assert "pattern" not in found
        checked += 1
    assert checked > 60


def test_every_limit_of_a_list_is_there() -> None:
    lists = [(rules_of(f).repeated, schema) for f, schema in SENT if f.is_repeated]
    assert len(lists) > 15
    for rules, schema in lists:
        assert schema.get("minItems", 0) == rules.min_items
        assert schema.get("maxItems", 0) == rules.max_items
        assert schema.get("uniqueItems", False) == rules.unique


def test_values_that_an_enum_may_not_have_are_not_offered() -> None:
    checked = 0
    for field, schema in SENT:
        rules = rules_of(field).repeated.items.enum if field.is_repeated else rules_of(field).enum
        found = resolved(schema["items"]) if field.is_repeated else schema
        if field.enum_type:
            expected = [v.name for v in field.enum_type.values if v.number not in rules.not_in]
            assert found["enum"] == expected, field.full_name
            described = found if rules.not_in else SCHEMAS[field.enum_type.name]
            assert all(f"`{name}`" in described["description"] for name in expected)
            checked += len(rules.not_in)
    assert checked > 8


def test_rules_in_words_are_in_the_description() -> None:
    assert (
        "must not be more than 24 hours ahead"
        in (SCHEMAS["SessionInput"]["properties"]["startTime"]["description"])
    )
    assert "min must not be above max" in SCHEMAS["RepRangeInput"]["description"]


# Bodies


@pytest.mark.parametrize("file", sorted(EXAMPLES.iterdir()), ids=lambda p: p.stem)
def test_an_example_is_a_body_that_the_service_takes(file: Path) -> None:
    method = next(m for m in METHODS if operation_id(m) == file.stem)
    _, _, body = http_rule(method)
    message = (
        method.input_type if body == "*" else method.input_type.fields_by_name[body].message_type
    )
    assert message
    text = file.read_text()
    parsed = json_format.Parse(text, GetMessageClass(message)())
    content = operation(method)["requestBody"]["content"]["application/json"]
    assert content["example"] == json.loads(text)
    assert is_valid(json.loads(text), content["schema"])
    if http_rule(method)[0] == "patch":
        return
    if "session_id" in message.fields_by_name:
        parsed.session_id = "0199b1c2-9d3e-7f10-8a4b-5c6d7e8f9a0b"  # type: ignore[attr-defined]
    contract.check(parsed)
    for entry in getattr(parsed, "requests", ()):
        contract.check(entry)


def test_the_writes_that_matter_have_examples() -> None:
    assert {file.stem for file in EXAMPLES.iterdir()} >= WITH_EXAMPLES


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"{name}.json").read_text())


@pytest.mark.parametrize(
    "change",
    [
        {"timeZone": ""},
        {"startTime": "yesterday"},
        {"sessionRpe": 10.5},
        {"durationSeconds": 1.5},
        {"workoutId": "no id"},
        {"completion": "DONE"},
        {"exercises": [{"sets": []}]},
        {"exercises": [{"exerciseId": "no id"}]},
        {"exercises": "none"},
    ],
)
def test_a_session_that_the_service_refuses_is_not_valid(change: dict[str, Any]) -> None:
    good = example("SessionService_LogSession")
    assert is_valid(good, has_schema("SessionInput"))
    assert not is_valid({**good, **change}, has_schema("SessionInput"))


def test_of_a_oneof_one_can_be_given() -> None:
    schema = has_schema("PerformedSetInput")
    assert is_valid({"rpe": 8}, schema)
    assert is_valid({"rir": 2}, schema)
    assert not is_valid({"rpe": 8, "rir": 2}, schema)


def test_what_may_not_be_left_out_is_required() -> None:
    assert not is_valid({"min": 3}, has_schema("RepRangeInput"))
    assert is_valid({"max": 3}, has_schema("RepRangeInput"))
    assert not is_valid({"maxSeconds": 0}, has_schema("HoldRangeInput"))


def test_changes_and_batches_are_not_held_to_limits() -> None:
    patches = [m for m in METHODS if http_rule(m)[0] == "patch"]
    assert len(patches) > 1
    for method in patches:
        assert is_valid({}, body_schema(method))
    entry = {"session": {"timeZone": "", "exercises": [{}]}}
    batch = has_schema("BatchLogSessionsRequest")
    assert is_valid({"requests": [entry]}, batch)
    assert not is_valid({"requests": []}, batch)
    assert not is_valid({"requests": [{"session": {"timeZone": 1}}]}, batch)


# Answers


def printed(message: Any) -> Any:
    """Prints a message as the gateway does."""
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


def filled(message: Descriptor, depth: int = 0) -> Any:
    """Returns a message with every message in it set and one item in every list of messages."""
    found = GetMessageClass(message)()
    for field in message.fields:
        if field.message_type and field.message_type.full_name != "google.protobuf.Any":
            inner = filled(field.message_type, depth + 1)
            if field.is_repeated:
                getattr(found, field.name).append(inner)
            else:
                getattr(found, field.name).CopyFrom(inner)
    return found


@each_method(of_messages=True)
def test_an_empty_answer_is_valid(method: MethodDescriptor) -> None:
    schema = has_schema(method.output_type.name)
    assert is_valid(without_ids(printed(GetMessageClass(method.output_type)())), schema)


@each_method(of_messages=True)
def test_an_answer_of_empty_messages_is_valid(method: MethodDescriptor) -> None:
    schema = has_schema(method.output_type.name)
    errors = list(
        validator(json.dumps(schema)).iter_errors(without_ids(printed(filled(method.output_type))))
    )
    assert errors == []


def without_ids(value: Any) -> Any:
    """Fills in what is never empty in an answer: ids that requests must have."""
    if isinstance(value, list):
        return [without_ids(item) for item in value]
    if isinstance(value, dict):
        found = {key: without_ids(item) for key, item in value.items()}
        for name in ("exerciseId", "harderExerciseId", "userId"):
            if found.get(name) == "":
                found[name] = "f28ca318-2152-517f-bb8c-d5c2325d1ae5"
        return found
    return value


def test_an_answer_always_has_what_it_says() -> None:
    answer = printed(session_pb2.Session())
    assert set(SCHEMAS["Session"]["required"]) == set(answer)
    assert "startTime" not in answer
    del answer["state"]
    assert not is_valid(answer, has_schema("Session"))


RETURNED_TOO = sorted(
    n for n in SCHEMAS if n.endswith("Input") and n.removesuffix("Input") in SCHEMAS
)


@pytest.mark.parametrize("name", RETURNED_TOO)
def test_what_can_be_sent_can_be_returned(name: str) -> None:
    returned = SCHEMAS[name.removesuffix("Input")]["properties"]
    for field, sent_as in SCHEMAS[name]["properties"].items():
        for word in ("maximum", "maxLength", "maxItems", "uniqueItems", "type", "format"):
            if word in returned[field]:
                assert returned[field][word] == sent_as[word]
        for word in ("minimum", "minLength", "minItems"):
            assert returned[field].get(word, -1000) in (sent_as.get(word, -1000), -1000)


def test_what_only_the_service_sets_is_read_only() -> None:
    session = SCHEMAS["Session"]["properties"]
    read_only = {name for name, schema in session.items() if schema.get("readOnly")}
    descriptor = session_pb2.Session.DESCRIPTOR
    assert read_only == {f.json_name for f in descriptor.fields if is_output_only(f)}
    assert not read_only & set(SCHEMAS["SessionInput"]["properties"])


# The page that shows it


def test_the_page_asks_no_other_host_for_anything() -> None:
    texts = {p.name: p.read_text() for p in DOCS.iterdir() if p.is_file()}
    assert {"index.html", "start.js", "package.json", "package-lock.json"} <= set(texts)
    assert [name for name, text in texts.items() if "//" in text.replace("  // ", "")] == []
    links = re.findall(r'(?:src|href)="([^"]*)"', texts["index.html"])
    links += re.findall(r'url: "([^"]*)"', texts["start.js"])
    assert len(links) == 5
    assert all(link.startswith(("/api/v1/training/", "data:")) for link in links)


def test_the_page_is_of_locked_packages() -> None:
    lock = json.loads((DOCS / "package-lock.json").read_text())["packages"]
    wanted = json.loads((DOCS / "package.json").read_text())["dependencies"]
    assert lock[""]["dependencies"] == wanted
    for path, package in lock.items():
        assert "resolved" not in package
        assert not path or package["integrity"]
