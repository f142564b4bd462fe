"""Writes the REST face of the contracts as an OpenAPI document, generated/openapi.json.

    python protos/openapi.py

Everything comes from the descriptor set: paths from google.api.http, descriptions from comments,
limits from buf.validate, refusals from the options `errors` and `status`. JSON is what Envoy's
transcoder reads and prints. Examples of bodies lie in `examples/`, one file for an RPC.

A message has up to three schemas: as it is returned (`Session`), as it is sent (`SessionInput`),
and as it is sent where its rules don't hold of the body alone, in a change of some fields or in
a batch (`SessionPartial`).
"""

import json
import re
import tomllib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent
EXAMPLES = PROTOS / "examples"
PACKAGE = "calisthenics.training.v1"
ERROR_DOMAIN = "training.calisthenics"

Json = dict[str, Any]

TITLE = "Training Service"
DESCRIPTION = """\
What calisthenics athletes plan and do: the exercise catalogue, workouts and session logs. This is \
the REST face of a gRPC service; a gateway translates.

**Who calls.** A bearer token (a JWT) says in its claim `userId` who calls. An athlete reaches the \
data of that id alone: the `external_user_id` in the path must be the same. Writing the catalogue \
takes the scope `training:admin`; reading it takes no token. Services that act for athletes call \
by gRPC.

**Refusals** are a `google.rpc.Status`. Its ErrorInfo detail has a `reason` to decide by, and the \
`domain` says who refused: `training.calisthenics` is the service, `gateway.training.calisthenics` \
the gateway. A BadRequest detail names fields as the contracts do, in snake_case \
(`session.time_zone`).

**JSON** is that of Protocol Buffers. Fields of a body that are not known are dropped; parameters \
that are not known are refused. In answers, what is empty, false or 0 is printed, and what is \
absent is left out. In a query, a list is a parameter given several times, and an update mask is a \
list of field names with commas between.

**Sending twice.** A write with a `requestId` can be sent again: the first answer comes back.
"""

# How Envoy answers a gRPC status.
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
# What the gateway answers by itself.
GATEWAY = {
    400: "`MALFORMED_REQUEST`: the body is not JSON of its type, or a parameter is not known.",
    401: "`UNAUTHENTICATED`: the token is missing or was not accepted.",
    403: "`PERMISSION_DENIED`: the path is not one for this caller.",
    408: "`REQUEST_TOO_SLOW`: the request took too long to arrive.",
    413: "`REQUEST_TOO_LARGE`: the body is larger than the gateway takes.",
    429: "`RATE_LIMITED`: too many calls in a short time. Try again after `Retry-After`.",
    431: "`HEADERS_TOO_LARGE`: the header fields are larger than the gateway takes.",
    502: "`SERVICE_UNAVAILABLE`: the service broke off. Try again.",
    503: "`SERVICE_UNAVAILABLE`: the service does not answer. Try again.",
    504: "`DEADLINE_EXCEEDED`: the service did not answer in time.",
}
# What a gateway makes of google.api.HttpBody: the bytes themselves. Charts come so, and as a stream
# an export.
PICTURE: Json = {
    "description": "The chart, of the format that was asked for.",
    "content": {
        "image/svg+xml": {"schema": {"type": "string"}},
        "image/png": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": {"type": "object"}},
    },
}
EXPORT: Json = {
    "description": "The zip file.",
    "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
}

# The names of responses that operations share.
RESPONSES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    408: "RequestTimeout",
    409: "Conflict",
    413: "ContentTooLarge",
    429: "TooManyRequests",
    431: "HeaderFieldsTooLarge",
    500: "InternalServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
RETRY_AFTER = {
    "Retry-After": {
        "description": "Seconds to wait; given by the gateway's limit.",
        "schema": {"type": "integer", "minimum": 0},
    }
}
# The details that refusals carry.
DETAILS = ("ErrorInfo", "BadRequest", "RetryInfo", "RequestInfo")

F = FieldDescriptor
SCALARS: dict[int, Json] = {
    F.TYPE_DOUBLE: {"type": "number", "format": "double"},
    F.TYPE_FLOAT: {"type": "number", "format": "float"},
    F.TYPE_BOOL: {"type": "boolean"},
    F.TYPE_STRING: {"type": "string"},
    F.TYPE_INT32: {"type": "integer", "format": "int32"},
    # JavaScript has no such numbers: they travel as strings.
    F.TYPE_INT64: {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"},
}
WELL_KNOWN: dict[str, Json] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string", "examples": ["displayName,description"]},
}
INT32 = {"minimum": -(2**31), "maximum": 2**31 - 1}
# A date in a request is a whole one.
DATE_PARTS = {
    "google.type.Date.year": {"minimum": 1, "maximum": 9999},
    "google.type.Date.month": {"minimum": 1, "maximum": 12},
    "google.type.Date.day": {"minimum": 1, "maximum": 31},
}
BOUNDS = {
    "gte": "minimum",
    "lte": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
}
UUID_OR_EMPTY = "^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$"
# Control characters in a class of RE2, and in one that every dialect understands.
CONTROL = (r"\p{Cc}", r"\u0000-\u001f\u007f-\u009f")
NOT_EVERYWHERE = re.compile(r"\(\?|\[\[|\\[^dDwWsSbBnrtfvxu.*+?^$|(){}\[\]\\/-]")


# Where descriptors have what bears a name.
NAMED = {
    *("message_type", "enum_type", "service", "extension"),
    *("nested_type", "field", "oneof_decl", "value", "method"),
}


class Use(Enum):
    """What a message is sent as; the value ends the names of its schemas."""

    OUTPUT = ""
    INPUT = "Input"
    PARTIAL = "Partial"


class Reason(NamedTuple):
    """Why a call is refused, and what the refusal looks like in REST."""

    name: str
    code: int
    http_status: int
    comment: str


# The descriptor set


class Contract:
    """A descriptor set with the options and comments in it."""

    def __init__(self, image: Path) -> None:
        found = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
        # A pool of its own: nothing here depends on generated code, which may be older.
        self._pool = descriptor_pool.DescriptorPool()
        for file in found:
            self._pool.Add(file)
        message_factory.GetMessageClassesForFiles([file.name for file in found], self._pool)
        files = [self._pool.FindFileByName(f.name) for f in found if f.package == PACKAGE]
        self.services: list[ServiceDescriptor] = [
            service for file in files for service in file.services_by_name.values()
        ]
        messages = [m for file in files for m in file.message_types_by_name.values()]
        self._json_names = {
            f.name: f.json_name for m in messages for f in m.fields if "_" in f.name
        }
        self._comments = {name: text for file in found for name, text in comments(file)}
        self.reason_enum: EnumDescriptor = self._pool.FindEnumTypeByName(f"{PACKAGE}.ErrorReason")
        self.reasons = {reason.name: reason for reason in self._reasons()}

    def message(self, full_name: str) -> Descriptor:
        """Returns the descriptor of a message."""
        return self._pool.FindMessageTypeByName(full_name)

    def option(self, element: Any, name: str) -> Any:
        """Returns an option of something, its default when it is not set."""
        options = element.GetOptions()
        kind = message_factory.GetMessageClass(self.message(options.DESCRIPTOR.full_name))
        extension: Any = self._pool.FindExtensionByName(name)
        return kind.FromString(options.SerializeToString()).Extensions[extension]

    def own_option(self, element: Any, name: str) -> Any:
        """Returns an option that our contracts declare."""
        return self.option(element, f"{PACKAGE}.{name}")

    def rules(self, field: FieldDescriptor) -> Any:
        """Returns the rules of a field, a buf.validate.FieldRules."""
        return self.option(field, "buf.validate.field")

    def behaves(self, field: FieldDescriptor, behavior: str) -> bool:
        """Returns whether a field has a google.api.field_behavior, by its name."""
        found = self.option(field, "google.api.field_behavior")
        values = self._pool.FindEnumTypeByName("google.api.FieldBehavior").values_by_name
        return values[behavior].number in found

    def comment(self, element: Any) -> str:
        """Returns the comment of something, naming fields as JSON does."""
        return self.comment_of(element.full_name)

    def comment_of(self, full_name: str) -> str:
        """Returns the comment of something by its full name; of foreign ones the first sentence."""
        text = self._comments.get(full_name, "")
        if not full_name.startswith(f"{PACKAGE}."):
            return first_sentence(re.sub(r"\[([\w.]+)\]\[[\w.]+\]", r"\1", text))
        return re.sub(r"\w+", lambda word: self._json_names.get(word[0], word[0]), text)

    def _reasons(self) -> Iterator[Reason]:
        codes = self._pool.FindEnumTypeByName("google.rpc.Code").values_by_number
        for value in self.reason_enum.values:
            if value.number:
                code = self.own_option(value, "status")
                comment = self.comment_of(f"{PACKAGE}.ErrorReason.{value.name}")
                yield Reason(value.name, code, HTTP_STATUS[codes[code].name], comment)

    def shared_reasons(self, method: MethodDescriptor) -> list[Reason]:
        """Returns the reasons every RPC shares, as the comment of the option `errors` lists them.

        Without an athlete in the request there is none that could be missing.
        """
        words = re.findall(r"[A-Z_]+", self.comment_of(f"{PACKAGE}.errors"))
        has_athlete = "external_user_id" in method.input_type.fields_by_name
        return [
            self.reasons[word]
            for word in words
            if word in self.reasons and (has_athlete or word != "ATHLETE_NOT_FOUND")
        ]

    def declared_reasons(self, method: MethodDescriptor) -> list[Reason]:
        """Returns the reasons an RPC declares."""
        names = self.reason_enum.values_by_number
        return [self.reasons[names[n].name] for n in self.own_option(method, "errors")]

    def is_public(self, method: MethodDescriptor) -> bool:
        """Returns whether an RPC can be called without saying who calls."""
        level = self._pool.FindEnumTypeByName(f"{PACKAGE}.AccessLevel").values_by_name
        number = level["ACCESS_LEVEL_PUBLIC_CATALOGUE"].number
        return bool(self.own_option(method, "access") == number)


def comments(file: descriptor_pb2.FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Yields the full name of everything in a file that has a comment, with that comment."""
    for location in file.source_code_info.location:
        names = list(names_along(file, list(location.path)))
        if location.leading_comments and len(names) * 2 == len(location.path):
            yield ".".join([file.package, *names]), unwrapped(location.leading_comments)


def names_along(parent: Any, path: list[int]) -> Iterator[str]:
    """Yields the names on a path of field numbers and indexes, as far as things have names."""
    for number, index in zip(path[::2], path[1::2], strict=False):
        part = parent.DESCRIPTOR.fields_by_number[number].name
        if part not in NAMED:
            return
        parent = getattr(parent, part)[index]
        yield parent.name


def unwrapped(comment: str) -> str:
    """Returns a comment with each paragraph in one line."""
    paragraphs = re.split(r"\n\s*\n", comment.strip())
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def first_sentence(text: str) -> str:
    """Returns the first sentence of a comment."""
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


# Schemas


def portable(pattern: str) -> str | None:
    """Returns a pattern of RE2 as JSON Schema has it, None when it can't be said there."""
    translated = pattern.replace(*CONTROL)
    return None if NOT_EVERYWHERE.search(translated) else translated


def bounds(rules: Any) -> Json:
    """Returns the limits of a number."""
    return {
        word: int(limit) if limit == int(limit) else limit
        for rule, word in BOUNDS.items()
        if rules.HasField(rule)
        for limit in [getattr(rules, rule)]
    }


def holds_zero(limits: Json) -> bool:
    """Returns whether 0 is within the limits of a number."""
    return bool(
        limits.get("minimum", 0) <= 0 <= limits.get("maximum", 0)
        and not limits.get("exclusiveMinimum", -1) >= 0
        and not limits.get("exclusiveMaximum", 1) <= 0
    )


def text_limits(rules: Any, *, may_be_empty: bool) -> Json:
    """Returns the limits of a string."""
    limits: Json = {}
    if rules.uuid:
        return {"pattern": UUID_OR_EMPTY} if may_be_empty else {"format": "uuid"}
    if rules.HasField("min_len") and not may_be_empty:
        limits["minLength"] = rules.min_len
    if rules.HasField("max_len"):
        limits["maxLength"] = rules.max_len
    pattern = portable(rules.pattern) if rules.pattern else None
    if pattern:
        with_empty = pattern if re.search(pattern, "") else f"^$|{pattern}"
        limits["pattern"] = with_empty if may_be_empty else pattern
    return limits


def is_ignored(rules: Any, when: str) -> bool:
    """Returns whether rules are ignored: IF_ZERO_VALUE or ALWAYS."""
    names = rules.DESCRIPTOR.fields_by_name["ignore"].enum_type.values_by_number
    return bool(names[rules.ignore].name == f"IGNORE_{when}")


def refuses_zero(field: FieldDescriptor, rules: Any) -> bool:
    """Returns whether the rules of a field refuse what it has when it is left out."""
    if field.has_presence or rules.ignore:
        return False
    if field.is_repeated:
        return bool(rules.repeated.min_items)
    match rules.WhichOneof("type"):
        case "string":
            text = rules.string
            unlike = text.pattern and not re.search(text.pattern.replace(*CONTROL), "")
            return bool(text.uuid or text.min_len or unlike)
        case "enum":
            return 0 in rules.enum.not_in
        case "int32" | "double" as kind:
            return not holds_zero({"maximum": 0, **bounds(getattr(rules, kind))})
    return False


def messages_of_rules(rules: Any) -> str:
    """Returns the messages of CEL rules as sentences."""
    return " ".join(f"Rule: {rule.message}." for rule in rules.cel if rule.message)


def joined(*texts: str) -> str:
    """Joins what there is of texts."""
    return " ".join(text for text in texts if text)


class Schemas:
    """The schemas of messages and enums, made when something refers to them."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self.components: dict[str, Json] = {}
        self._made: dict[str, tuple[str, Use]] = {}

    def of_message(self, message: Descriptor, use: Use, without: frozenset[str]) -> Json:
        """Returns a reference to the schema of a message, without some of its fields."""
        name = schema_name(message.full_name, use)
        key = (message.full_name, use)
        if self._made.setdefault(name, key) != key:
            raise ValueError(f"two schemas are called {name}")
        if name not in self.components:
            self.components[name] = {}  # it may refer to itself
            self.components[name] = self._message(message, use, without)
        return {"$ref": f"#/components/schemas/{name}"}

    def of_enum(self, enum: EnumDescriptor) -> Json:
        """Returns a reference to the schema of an enum."""
        name = schema_name(enum.full_name, Use.OUTPUT)
        self.components.setdefault(
            name,
            {
                "type": "string",
                "enum": [value.name for value in enum.values],
                "description": self._meanings(enum, self._contract.comment(enum), ()),
            },
        )
        return {"$ref": f"#/components/schemas/{name}"}

    def of_field(self, field: FieldDescriptor, use: Use) -> Json:
        """Returns the schema of a field, without its description."""
        message = field.message_type
        if message and message.GetOptions().map_entry:
            value = message.fields_by_name["value"]
            return {"type": "object", "additionalProperties": self.of_field(value, use)}
        rules = self._contract.rules(field)
        if is_ignored(rules, "ALWAYS"):
            use = Use.PARTIAL
        if not field.is_repeated:
            empty = is_ignored(rules, "IF_ZERO_VALUE") or (
                use is Use.OUTPUT and not field.has_presence and not rules.string.uuid
            )
            return self._item(field, rules, use, may_be_empty=empty)
        items = rules.repeated.items
        use_of_items = Use.PARTIAL if is_ignored(items, "ALWAYS") else use
        empty = is_ignored(items, "IF_ZERO_VALUE")
        schema = self._item(field, items, use_of_items, may_be_empty=empty)
        return {"type": "array", "items": schema, **self._list_limits(rules.repeated, use)}

    def description(self, field: FieldDescriptor) -> str:
        """Returns what is to be said about a field."""
        text = self._contract.comment(field)
        oneof = field.containing_oneof
        if oneof and len(oneof.fields) > 1:
            names = ", ".join(f"`{other.json_name}`" for other in oneof.fields)
            text = joined(text, f"At most one of {names}.")
        return joined(text, messages_of_rules(self._contract.rules(field)))

    def is_required(self, field: FieldDescriptor) -> bool:
        """Returns whether a request without this field is refused."""
        rules = self._contract.rules(field)
        return (
            self._contract.behaves(field, "REQUIRED")
            or rules.required
            or refuses_zero(field, rules)
        )

    def _message(self, message: Descriptor, use: Use, without: frozenset[str]) -> Json:
        fields = [field for field in message.fields if field.name not in without]
        if use is not Use.OUTPUT:
            fields = [f for f in fields if not self._contract.behaves(f, "OUTPUT_ONLY")]
        rules = self._contract.option(message, "buf.validate.message")
        text = joined(self._contract.comment(message), messages_of_rules(rules))
        schema: Json = {
            "type": "object",
            "description": joined(text, self._note(message, use)),
            "properties": {field.json_name: self._property(field, use) for field in fields},
        }
        required = [f.json_name for f in fields if self._is_always_there(f, use)]
        if required:
            schema["required"] = required
        exclusive = [
            {"not": {"required": [first.json_name, second.json_name]}}
            for oneof in message.oneofs
            for index, first in enumerate(oneof.fields)
            for second in oneof.fields[index + 1 :]
        ]
        return {**schema, "allOf": exclusive} if exclusive else schema

    def _note(self, message: Descriptor, use: Use) -> str:
        if message.full_name == f"{PACKAGE}.{schema_name(message.full_name, use)}":
            return ""
        if use is Use.INPUT:
            hidden = any(self._contract.behaves(f, "OUTPUT_ONLY") for f in message.fields)
            return "What only the service sets is left out, and ignored if sent." if hidden else ""
        name = schema_name(message.full_name, Use.INPUT)
        return (
            f"As {name}, whose limits hold too, but are checked later: in a change of some "
            "fields on the outcome, in a batch for each entry."
            if use is Use.PARTIAL
            else ""
        )

    def _property(self, field: FieldDescriptor, use: Use) -> Json:
        schema = self.of_field(field, use)
        if field.full_name == "google.rpc.ErrorInfo.reason":
            schema = {"anyOf": [self.of_enum(self._contract.reason_enum), schema]}
        if use is Use.OUTPUT and self._contract.behaves(field, "OUTPUT_ONLY"):
            schema = {**schema, "readOnly": True}
        return {**schema, "description": self._with_meanings(field, schema)}

    def _with_meanings(self, field: FieldDescriptor, schema: Json) -> str:
        """Returns what is to be said about a field, and about the values listed in its schema."""
        text = self.description(field)
        return f"{text}\n\n{schema['description']}" if "description" in schema else text

    def _is_always_there(self, field: FieldDescriptor, use: Use) -> bool:
        if use is Use.INPUT:
            return self.is_required(field)
        # Refusals can be the gateway's, which are not printed from messages.
        is_printed = not field.has_presence and not field.full_name.startswith("google.rpc.")
        return use is Use.OUTPUT and is_printed

    def _details(self) -> Json:
        return {"anyOf": [self._detail(f"google.rpc.{name}") for name in DETAILS]}

    def _detail(self, full_name: str) -> Json:
        reference = self.of_message(self._contract.message(full_name), Use.OUTPUT, frozenset())
        schema = self.components[full_name]
        kind = {
            "type": "string",
            "const": f"type.googleapis.com/{full_name}",
            "description": "What this detail is.",
        }
        schema["properties"] = {"@type": kind, **schema["properties"]}
        schema["required"] = ["@type"]
        return reference

    def _item(self, field: FieldDescriptor, rules: Any, use: Use, *, may_be_empty: bool) -> Json:
        """Returns the schema of a field, or of one item if it is a list."""
        if field.full_name == "google.rpc.Status.details":
            return self._details()
        if field.message_type:
            known = WELL_KNOWN.get(field.message_type.full_name)
            return dict(known) if known else self.of_message(field.message_type, use, frozenset())
        if field.enum_type:
            not_in = rules.enum.not_in if use is Use.INPUT else ()
            return self._enum_without(field.enum_type, not_in)
        schema = dict(SCALARS[field.type])
        if field.type == F.TYPE_INT32 and use is not Use.OUTPUT:
            schema |= DATE_PARTS.get(field.full_name, INT32)
        if use is Use.PARTIAL:
            return schema
        match rules.WhichOneof("type"):
            case "string":
                schema |= text_limits(rules.string, may_be_empty=may_be_empty)
            case "int32" | "double" as kind:
                limits = bounds(getattr(rules, kind))
                schema |= {
                    word: limit
                    for word, limit in limits.items()
                    if not may_be_empty or holds_zero({"maximum": 0, word: limit})
                }
        return schema

    def _enum_without(self, enum: EnumDescriptor, not_in: Any) -> Json:
        reference = self.of_enum(enum)
        if not not_in:
            return reference
        return {
            "type": "string",
            "enum": [value.name for value in enum.values if value.number not in not_in],
            "description": self._meanings(enum, "", not_in),
        }

    def _list_limits(self, rules: Any, use: Use) -> Json:
        limits: Json = {}
        if use is Use.PARTIAL:
            return limits
        if rules.min_items and use is Use.INPUT:
            limits["minItems"] = rules.min_items
        if rules.HasField("max_items"):
            limits["maxItems"] = rules.max_items
        if rules.unique:
            limits["uniqueItems"] = True
        return limits

    def _meanings(self, enum: EnumDescriptor, text: str, not_in: Any) -> str:
        """Returns a text followed by what each value of an enum means."""
        lines = [
            f"- `{value.name}`: {self._contract.comment_of(f'{enum.full_name}.{value.name}')}"
            for value in enum.values
            if value.number not in not_in
        ]
        return "\n".join([*([text, ""] if text else []), *lines])


def schema_name(full_name: str, use: Use) -> str:
    """Returns what a schema is called. Requests are only ever sent, so theirs say no more."""
    name = full_name.removeprefix(f"{PACKAGE}.")
    return name if name.endswith("Request") else name + use.value


# Operations


class Http(NamedTuple):
    """An RPC's place in REST."""

    verb: str
    path: str
    body: str

    def variables(self) -> list[str]:
        """Returns the fields of the request that stand in the path."""
        return re.findall(r"{([^}]*)}", self.path)


class Operations:
    """The operations, one for each RPC, with the responses and examples that they share."""

    def __init__(self, contract: Contract, schemas: Schemas) -> None:
        self._contract = contract
        self._schemas = schemas
        self.responses: dict[str, Json] = {}
        self.examples = {r.name: refusal_example(r) for r in contract.reasons.values()}

    def http(self, method: MethodDescriptor) -> Http:
        """Returns the HTTP rule of an RPC."""
        rule = self._contract.option(method, "google.api.http")
        verb = rule.WhichOneof("pattern")
        return Http(verb, getattr(rule, verb), rule.body)

    def operation(self, method: MethodDescriptor) -> Json:
        """Returns the operation of an RPC."""
        http = self.http(method)
        service = method.containing_service.name
        text = self._contract.comment(method)
        operation: Json = {
            "operationId": f"{service}_{method.name}",
            "tags": [service],
            "summary": first_sentence(text),
            "description": text,
        }
        if self._contract.is_public(method):
            operation["security"] = [{}, {"bearer": []}]
        operation["parameters"] = list(self._parameters(method, http))
        if http.body:
            operation["requestBody"] = self._body(method, http)
        operation["responses"] = self._responses(method)
        return operation

    def _parameters(self, method: MethodDescriptor, http: Http) -> Iterator[Json]:
        fields = method.input_type.fields_by_name
        for name in http.variables():
            yield self._in_path(fields[name])
        if http.body != "*":
            for field in method.input_type.fields:
                if field.name not in (*http.variables(), http.body):
                    yield from self._in_query(field)

    def _in_path(self, field: FieldDescriptor) -> Json:
        schema = self._schemas.of_field(field, Use.INPUT)
        if schema.get("pattern") == UUID_OR_EMPTY:  # nothing in a path is empty
            schema = {"type": "string", "format": "uuid"}
        text = self._schemas.description(field).replace("; empty is the caller's own", "")
        return {
            "name": field.name,
            "in": "path",
            "required": True,
            "description": text,
            "schema": schema,
        }

    def _in_query(
        self, field: FieldDescriptor, prefix: str = "", about: str = ""
    ) -> Iterator[Json]:
        text = joined(about, self._schemas.description(field))
        message = field.message_type
        if message and message.full_name not in WELL_KNOWN:
            for part in message.fields:
                yield from self._in_query(part, f"{prefix}{field.json_name}.", text)
            return
        parameter: Json = {"name": prefix + field.json_name, "in": "query", "description": text}
        if self._schemas.is_required(field):
            parameter["required"] = True
        if field.is_repeated:
            parameter |= {"style": "form", "explode": True}
        yield {**parameter, "schema": self._schemas.of_field(field, Use.INPUT)}

    def _body(self, method: MethodDescriptor, http: Http) -> Json:
        if http.body == "*":
            variables = frozenset(http.variables())
            schema = self._schemas.of_message(method.input_type, Use.INPUT, variables)
            text = self._contract.comment(method.input_type)
        else:
            field = method.input_type.fields_by_name[http.body]
            schema = self._schemas.of_field(field, Use.INPUT)
            text = self._schemas.description(field)
        content: Json = {"schema": schema}
        example = EXAMPLES / f"{method.containing_service.name}_{method.name}.json"
        if example.exists():
            content["example"] = json.loads(example.read_text())
        return {
            "description": text,
            "required": True,
            "content": {"application/json": content},
        }

    def _responses(self, method: MethodDescriptor) -> Json:
        shared = self._contract.shared_reasons(method)
        declared = self._contract.declared_reasons(method)
        refused = {reason.http_status for reason in (*shared, *declared)} | set(GATEWAY)
        responses: Json = {"200": self._answer(method)}
        for status in sorted(refused):
            own = [r for r in declared if r.http_status == status]
            common = [r for r in shared if r.http_status == status]
            if own:
                responses[str(status)] = self._refusal(status, own + common)
            else:
                responses[str(status)] = self._shared_refusal(status, common)
        return responses

    def _answer(self, method: MethodDescriptor) -> Json:
        message = method.output_type
        if message.full_name == "google.api.HttpBody":
            return EXPORT if method.server_streaming else PICTURE
        schema = self._schemas.of_message(message, Use.OUTPUT, frozenset())
        text = self._contract.comment(message)
        if method.server_streaming:
            schema = {"type": "array", "items": schema}
            text = joined("The messages of the stream as one array.", text)
        return {"description": text, "content": {"application/json": {"schema": schema}}}

    def _shared_refusal(self, status: int, reasons: list[Reason]) -> Json:
        name = RESPONSES[status]
        refusal = self._refusal(status, reasons)
        if self.responses.setdefault(name, refusal) != refusal:
            raise ValueError(f"two responses are called {name}")
        return {"$ref": f"#/components/responses/{name}"}

    def _refusal(self, status: int, reasons: list[Reason]) -> Json:
        lines = [f"- `{reason.name}`: {reason.comment}" for reason in reasons]
        lines += [f"- From the gateway, {GATEWAY[status]}"] if status in GATEWAY else []
        status_message = self._contract.message("google.rpc.Status")
        content: Json = {
            "schema": self._schemas.of_message(status_message, Use.OUTPUT, frozenset())
        }
        if reasons:
            content["examples"] = {
                reason.name: {"$ref": f"#/components/examples/{reason.name}"} for reason in reasons
            }
        response: Json = {
            "description": "\n".join(lines),
            "content": {"application/json": content},
        }
        return {**response, "headers": RETRY_AFTER} if status == 429 else response


def refusal_example(reason: Reason) -> Json:
    """Returns what a refusal for a reason looks like."""
    details = [detail("ErrorInfo", reason=reason.name, domain=ERROR_DOMAIN)]
    if "BadRequest" in reason.comment:
        violation = {"field": "session.time_zone", "description": "must be at least 1 characters"}
        details.append(detail("BadRequest", fieldViolations=[violation]))
    if "RetryInfo" in reason.comment:
        details.append(detail("RetryInfo", retryDelay="10s"))
    details.append(detail("RequestInfo", requestId="0199b1c2-9d3e-7f10-8a4b-5c6d7e8f9a0b"))
    message = first_sentence(reason.comment)
    value = {"code": reason.code, "message": message, "details": details}
    return {"summary": message, "value": value}


def detail(name: str, **fields: Any) -> Json:
    """Returns a detail of a refusal."""
    return {"@type": f"type.googleapis.com/google.rpc.{name}", **fields}


# The document


def document(image: Path) -> Json:
    """Returns the OpenAPI document of a descriptor set."""
    contract = Contract(image)
    schemas = Schemas(contract)
    operations = Operations(contract, schemas)
    paths: dict[str, Json] = {}
    for service in contract.services:
        for method in service.methods:
            if method.client_streaming:  # REST has no such thing
                continue
            http = operations.http(method)
            paths.setdefault(http.path, {})[http.verb] = operations.operation(method)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": project["version"], "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": s.name, "description": contract.comment(s)} for s in contract.services],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": dict(sorted(operations.responses.items())),
            "examples": operations.examples,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token whose claim `userId` says who calls.",
                }
            },
        },
    }


def write_openapi(image: Path, target: Path) -> None:
    """Writes the OpenAPI document of a descriptor set to a file."""
    target.write_text(json.dumps(document(image), ensure_ascii=False, indent=2) + "\n")


if __name__ == "__main__":
    generated = ROOT / "generated"
    write_openapi(generated / "training.binpb", generated / "openapi.json")
