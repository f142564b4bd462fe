"""The contract as a whole, by walking its descriptors: nothing here names an RPC."""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from buf.validate import validate_pb2
from calisthenics.training.v1 import access_pb2, error_pb2
from google.api import annotations_pb2, field_behavior_pb2, http_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.rpc import code_pb2

import training_service
from training_service import contract
from training_service.domain.rate import CostClass
from training_service.errors import Reason

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "/api/v1/training/"
USERS = f"{PREFIX}users/{{external_user_id}}/"
VERBS = ("get", "put", "post", "delete", "patch")


def each_method(*, of_rest: bool = False) -> Any:
    """Runs a test for every RPC or, with `of_rest`, for those that a gateway translates: REST has
    no stream of requests."""
    chosen = [m for m in contract.methods() if not (of_rest and m.client_streaming)]
    return pytest.mark.parametrize("method", chosen, ids=lambda m: m.name)


def http_rule(method: MethodDescriptor) -> http_pb2.HttpRule:
    return method.GetOptions().Extensions[annotations_pb2.http]


def verb_and_path(method: MethodDescriptor) -> tuple[str, str]:
    rule = http_rule(method)
    verb = rule.WhichOneof("pattern") or ""
    return verb, getattr(rule, verb, "")


def is_write(method: MethodDescriptor) -> bool:
    return not contract.stores_nothing(method)


def declared(method: MethodDescriptor) -> list[str]:
    numbers = method.GetOptions().Extensions[access_pb2.errors]
    return [error_pb2.ErrorReason.Name(number) for number in numbers]


def access(method: MethodDescriptor) -> str:
    return access_pb2.AccessLevel.Name(method.GetOptions().Extensions[access_pb2.access])


# The comments, which the stubs don't have and the committed descriptor set does.

Described = descriptor_pb2.FileDescriptorProto
PathInFile = tuple[int, ...]


@cache
def files() -> list[Described]:
    image = (ROOT / "generated" / "training.binpb").read_bytes()
    found = descriptor_pb2.FileDescriptorSet.FromString(image).file
    return [file for file in found if file.package == contract.PACKAGE]


def messages_of(
    parent: Any, name: str, path: PathInFile, number: int
) -> Iterator[tuple[str, PathInFile]]:
    """Yields the messages within a file or message, with all that stands in them."""
    nested = parent.message_type if isinstance(parent, Described) else parent.nested_type
    for index, message in enumerate(nested):
        here, at = f"{name}.{message.name}", (*path, number, index)
        yield here, at
        yield from ((f"{here}.{f.name}", (*at, 2, i)) for i, f in enumerate(message.field))
        yield from (
            (f"{here}.{oneof.name}", (*at, 8, i))
            for i, oneof in enumerate(message.oneof_decl)
            if not oneof.name.startswith("_")  # made up for an optional field
        )
        yield from enums_of(message.enum_type, here, (*at, 4))
        yield from messages_of(message, here, at, 3)


def enums_of(enums: Any, name: str, path: PathInFile) -> Iterator[tuple[str, PathInFile]]:
    for index, enum in enumerate(enums):
        here, at = f"{name}.{enum.name}", (*path, index)
        yield here, at
        yield from ((f"{here}.{v.name}", (*at, 2, i)) for i, v in enumerate(enum.value))


def elements(file: Described) -> Iterator[tuple[str, PathInFile]]:
    """Yields the name of everything in a file, with its path in the source info."""
    for index, service in enumerate(file.service):
        here, at = f"{file.package}.{service.name}", (6, index)
        yield here, at
        yield from ((f"{here}.{m.name}", (*at, 2, i)) for i, m in enumerate(service.method))
    yield from messages_of(file, file.package, (), 4)
    yield from enums_of(file.enum_type, file.package, (5,))
    for index, extension in enumerate(file.extension):
        yield f"{file.package}.{extension.name}", (7, index)


@cache
def comments() -> dict[str, str]:
    """Returns the leading comment of everything in the contract, by its full name."""
    found = {}
    for file in files():
        texts = {
            tuple(location.path): location.leading_comments
            for location in file.source_code_info.location
        }
        found.update({name: texts.get(path, "").strip() for name, path in elements(file)})
    return found


def reasons_in(text: str) -> list[str]:
    return [word for word in re.findall(r"[A-Z][A-Z_]+", text) if word in Reason.__members__]


COMMON = set(reasons_in(comments()[f"{contract.PACKAGE}.errors"]))
"""The reasons that every RPC shares, as the comment of the option `errors` lists them."""


def test_the_service_knows_every_service_of_the_contract() -> None:
    written = {f"{file.package}.{s.name}" for file in files() for s in file.service}
    assert {service.full_name for service in contract.SERVICES} == written
    assert len(list(contract.methods())) == sum(len(s.method) for f in files() for s in f.service)


def test_everything_has_a_comment() -> None:
    assert len(comments()) > 200
    assert [name for name, comment in comments().items() if not comment] == []


def test_comments_are_sentences() -> None:
    odd = [n for n, c in comments().items() if not (c[0].isupper() or c[0].isdigit())]
    assert odd == []
    assert [name for name, comment in comments().items() if not comment.endswith((".", '"'))] == []


@each_method()
def test_every_rpc_says_who_may_call_it(method: MethodDescriptor) -> None:
    assert access(method) != "ACCESS_LEVEL_UNSPECIFIED"


def cost_that_fits(method: MethodDescriptor) -> CostClass:
    if method.server_streaming:
        return CostClass.STREAM
    if method.output_type.full_name == "google.api.HttpBody":
        return CostClass.CHART
    return CostClass.WRITE if is_write(method) else CostClass.READ


@each_method()
def test_every_rpc_says_what_it_costs(method: MethodDescriptor) -> None:
    assert contract.cost_class(method) is cost_that_fits(method)


@each_method(of_rest=True)
def test_every_rpc_has_an_http_rule_in_its_place(method: MethodDescriptor) -> None:
    verb, path = verb_and_path(method)
    assert verb in VERBS
    assert path.startswith(PREFIX)
    assert path.startswith(USERS) == (access(method) == "ACCESS_LEVEL_USER")
    assert not http_rule(method).additional_bindings


@each_method(of_rest=True)
def test_every_variable_of_a_path_and_every_body_is_a_field_of_the_request(
    method: MethodDescriptor,
) -> None:
    fields = method.input_type.fields_by_name
    verb, path = verb_and_path(method)
    variables = re.findall(r"{([^}]*)}", path)
    assert set(variables) <= set(fields)
    body = http_rule(method).body
    if verb in ("get", "delete"):
        assert body == ""
    else:
        assert body == "*" or fields[body].message_type


@each_method(of_rest=True)
def test_every_stream_can_be_resumed(method: MethodDescriptor) -> None:
    # Half of a zip file is no place to go on from.
    is_file = method.server_streaming and method.output_type.full_name == "google.api.HttpBody"
    assert is_resumable(method) == (method.server_streaming and not is_file)


@each_method()
def test_a_stream_of_requests_is_about_nothing_that_is_stored(method: MethodDescriptor) -> None:
    # It can't be resumed, no gateway translates it, and grants are looked for only once.
    if method.client_streaming:
        assert method.server_streaming
        assert access(method) == "ACCESS_LEVEL_CALLER"
        assert not http_rule(method).WhichOneof("pattern")
    if access(method) == "ACCESS_LEVEL_CALLER":
        assert contract.stores_nothing(method)


def test_no_two_rpcs_share_a_path() -> None:
    used = Counter(
        (verb, re.sub(r"{[^}]*}", "{}", path))
        for verb, path in map(verb_and_path, contract.methods())
        if verb
    )
    assert [rule for rule, count in used.items() if count > 1] == []


@each_method()
def test_a_request_about_an_athlete_begins_with_the_athlete(method: MethodDescriptor) -> None:
    fields = method.input_type.fields_by_name
    if access(method) != "ACCESS_LEVEL_USER":
        assert "external_user_id" not in fields
        return
    athlete = fields["external_user_id"]
    assert (athlete.number, athlete.type) == (1, athlete.TYPE_STRING)
    rules = athlete.GetOptions().Extensions[validate_pb2.field]
    assert rules.string.uuid
    # Empty is the caller.
    assert rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE


def has_request_id(message: Descriptor) -> bool:
    field = message.fields_by_name.get("request_id")
    return bool(field and field.GetOptions().Extensions[validate_pb2.field].string.uuid)


@each_method()
def test_every_write_can_be_sent_twice(method: MethodDescriptor) -> None:
    # A batch has a request_id for each of its entries.
    entries = [f.message_type for f in method.input_type.fields if f.message_type and f.is_repeated]
    assert any(map(has_request_id, [method.input_type, *entries])) == is_write(method)
    # What can be done once alone, such as erasing, has one answer whatever the request's id.
    level = method.GetOptions().idempotency_level
    is_idempotent = level == descriptor_pb2.MethodOptions.IdempotencyLevel.IDEMPOTENT
    if is_write(method):
        assert ("REQUEST_ID_REUSED" in declared(method)) != is_idempotent


@each_method()
def test_every_listing_with_pages_is_asked_for_pages(method: MethodDescriptor) -> None:
    has_pages = "next_page_token" in method.output_type.fields_by_name
    asked = {"page_size", "page_token"} & set(method.input_type.fields_by_name)
    assert len(asked) == (2 if has_pages else is_feed(method))
    assert ("INVALID_PAGE_TOKEN" in declared(method)) == (has_pages or has_cursor(method))


def has_cursor(method: MethodDescriptor) -> bool:
    return "cursor" in method.input_type.fields_by_name


def is_resumable(method: MethodDescriptor) -> bool:
    """Whether a stream goes on where another broke."""
    return method.server_streaming and has_cursor(method)


def is_feed(method: MethodDescriptor) -> bool:
    """Whether it has a last page only for now."""
    return "cursor" in method.output_type.fields_by_name and not method.server_streaming


@each_method()
def test_a_comment_names_the_errors_that_its_rpc_declares(method: MethodDescriptor) -> None:
    _, _, errors = comments()[method.full_name].partition("Errors: ")
    assert reasons_in(errors) == declared(method)


@each_method()
def test_an_rpc_declares_an_error_once_and_none_that_all_share(method: MethodDescriptor) -> None:
    assert len(set(declared(method))) == len(declared(method))
    assert not set(declared(method)) & COMMON


def test_every_reason_is_one_that_some_rpc_gives() -> None:
    given = {name for method in contract.methods() for name in declared(method)}
    assert given | COMMON == set(Reason.__members__)


def test_the_reasons_of_the_contract_are_those_of_the_service() -> None:
    names = error_pb2.ErrorReason.keys()
    assert names[0] == "ERROR_REASON_UNSPECIFIED"
    assert set(names[1:]) == set(Reason.__members__)
    assert all(reason.name == reason.value for reason in Reason)


def test_every_reason_has_a_status_that_is_no_success() -> None:
    assert set(contract.STATUS_CODES) == set(Reason)
    assert all(contract.STATUS_CODES.values())


def test_a_reason_named_like_a_status_comes_with_it() -> None:
    same = {r for r in Reason if r.name in set(code_pb2.Code.keys())}
    assert len(same) > 3
    assert {code_pb2.Code.Name(contract.STATUS_CODES[r]) for r in same} == {r.name for r in same}


def test_every_reason_is_raised_somewhere() -> None:
    sources = Path(training_service.__file__).parent.rglob("*.py")
    used = {name for s in sources for name in re.findall(r"\bReason\.([A-Z_]+)", s.read_text())}
    assert set(Reason.__members__) - used == set()


BOUNDED_BY_BYTES = {"AnalyzeFormRequest.frames", "AnalyzeRecordedFormRequest.frames"}
"""As many as fit into a request."""
BOUNDED_BY_LAYOUT = {"FormFrame.keypoints"}


def requested(message: Descriptor, seen: set[str]) -> Iterator[Any]:
    """Yields the fields that a caller fills, of a message and of those in it."""
    if message.full_name in seen or not message.full_name.startswith(contract.PACKAGE):
        return
    seen.add(message.full_name)
    for field in message.fields:
        behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
        if field_behavior_pb2.OUTPUT_ONLY in behaviors:
            continue
        yield field
        if field.message_type:
            yield from requested(field.message_type, seen)


def test_every_text_and_list_in_a_request_has_a_most() -> None:
    seen: set[str] = set()
    fields = [f for m in contract.methods() for f in requested(m.input_type, seen)]
    assert len(fields) > 300
    unbounded = []
    for field in fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        if field.is_repeated:
            if not rules.repeated.HasField("max_items"):
                unbounded.append(field.full_name.removeprefix(f"{contract.PACKAGE}."))
            rules = rules.repeated.items
        if field.type == field.TYPE_STRING:
            of = rules.string
            is_bounded = (
                of.HasField("max_len") or of.HasField("pattern") or of.WhichOneof("well_known")
            )
            if not is_bounded:
                unbounded.append(field.full_name.removeprefix(f"{contract.PACKAGE}."))
    assert set(unbounded) == BOUNDED_BY_BYTES | BOUNDED_BY_LAYOUT
