"""Requests made up from a descriptor alone: plausible ones, hostile ones, and mixtures of both.

Nothing here knows an RPC. A field gets a plausible value from the examples for its name, from its
rules in the contract, or from its type; or it gets a hostile one from its type.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import uuid4

from buf.validate import validate_pb2
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from training_service.domain.exercise import exercise_id

Examples = Mapping[str, Sequence[Any]]
"""Values that mean something to the service, by the name of a field or a part of it."""

HOSTILITY = st.sampled_from([0, 0, 2, 10, 50, 100])
"""How many of a message's fields in a hundred are hostile."""
DEEPEST = 8
MOST_BYTES = 20_000
"""About how long a list gets by repeating one item."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_NAMES = st.text("abcdefgh", min_size=1, max_size=12)
HOSTILE_TEXTS = (
    "\0",
    "a\0b",
    "\n",
    "\x7f\x80\u2028",
    " ",
    "\u202egnp.exe",
    "مرحبا \u2067abc",
    "e\u0301" * 50,
    "\u0301" * 200,
    "👩‍👩‍👧‍👦" * 40,
    "\ufffe\uffff\U0010ffff",
    "\ufeff",
    "ﷺ" * 20,
    "İıſK",
    "١٢٣",
    "'; DROP TABLE training.sessions; --",
    "' OR ''='",
    "%s %(id)s %%",
    "$1 {0} \\ \\x00",
    '"',
    "../../etc/passwd",
    "-1",
    "NaN",
    "null",
    "*",
    "{5f0c1c52-5a3e-4b39-9d3b-6f2f3f0a7a11}",
    "urn:uuid:5f0c1c52-5a3e-4b39-9d3b-6f2f3f0a7a11",
    "5f0c1c525a3e4b399d3b6f2f3f0a7a11",
    "00000000-0000-0000-0000-000000000000",
    "Factory",
    "../Europe/Berlin",
    "WyJ4IiwxXQ",
    "x" * 65,
    "x" * 5000,
    "я" * 5000,
)
HOSTILE_FLOATS = (float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5e-324, -0.0, 1e-9)
HOSTILE_ENUMS = (-1, 999, 2**31 - 1, -(2**31))

F = FieldDescriptor
_RANGES = {
    F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    F.CPPTYPE_UINT32: (0, 2**32 - 1),
    F.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_RULES_OF = {
    F.TYPE_INT32: "int32",
    F.TYPE_INT64: "int64",
    F.TYPE_UINT32: "uint32",
    F.TYPE_UINT64: "uint64",
    F.TYPE_FLOAT: "float",
    F.TYPE_DOUBLE: "double",
}
_EXAMPLES: Examples = {
    "time_zone": ["Europe/Berlin", "UTC", "Pacific/Kiritimati"],
    "tempo": ["", "30X0", "3-0-1-0"],
    "page_token": [""],
    "etag": ["", "1", "2"],
    "order": [0],
    "workout_order": [1],
    "revision": [0, 1, 2],
    "family": ["", "planche"],
}

Draw = Callable[[st.SearchStrategy[Any]], Any]


def messages(descriptor: Descriptor, examples: Examples) -> st.SearchStrategy[Message]:
    """Returns a strategy for messages of a type, from wholly plausible to wholly hostile."""

    @st.composite
    def build(draw: Draw) -> Message:
        return _Maker(draw, {**_EXAMPLES, **examples}, draw(HOSTILITY)).message(descriptor)

    return build()


def plausible(descriptor: Descriptor, examples: Examples) -> st.SearchStrategy[Message]:
    """Returns a strategy for messages whose every field looks right on its own."""

    @st.composite
    def build(draw: Draw) -> Message:
        return _Maker(draw, {**_EXAMPLES, **examples}, 0).message(descriptor)

    return build()


def unknown_ids(descriptor: Descriptor) -> Message:
    """Returns a request in good form for things that do not exist."""
    message: Message = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if not field.is_repeated and _rules(field).string.uuid and field.name != "external_user_id":
            setattr(message, field.name, str(uuid4()))
    return message


def exercise_examples() -> list[str]:
    """Returns ids of exercises of the catalogue: some dynamic, some isometric."""
    return [str(exercise_id(slug)) for slug in ("pull-up", "push-up", "l-sit", "pistol-squat")]


class _Maker:
    def __init__(self, draw: Draw, examples: Examples, hostility: int) -> None:
        self._draw = draw
        self._examples = examples
        self._hostility = hostility

    def _hostile(self) -> bool:
        return self._hostility > 0 and self._draw(st.integers(0, 99)) < self._hostility

    def message(self, descriptor: Descriptor, depth: int = 0) -> Message:
        message: Message = GetMessageClass(descriptor)()
        if descriptor.full_name == "google.protobuf.Timestamp":
            return self._timestamp(message)
        if descriptor.full_name == "google.type.Date":
            return self._date(message)
        chosen = {
            oneof.name: self._draw(st.sampled_from(_choices(oneof)))
            for oneof in descriptor.oneofs
            if len(oneof.fields) > 1
        }
        for field in descriptor.fields:
            oneof = field.containing_oneof
            if oneof and oneof.name in chosen:
                wanted = chosen[oneof.name] is field
            else:
                wanted = self._wants(field)
            if wanted and not (field.message_type and depth >= DEEPEST):
                self._set(message, field, depth)
        return message

    def _wants(self, field: FieldDescriptor) -> bool:
        if is_required(field) and not self._hostile():
            return True
        return bool(self._draw(st.booleans()))

    def _set(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        if field.message_type and field.message_type.GetOptions().map_entry:
            entry = self.message(field.message_type, depth + 1)
            target = getattr(message, field.name)
            if field.message_type.fields_by_name["value"].message_type:
                target[entry.key].CopyFrom(entry.value)  # type: ignore[attr-defined]
            else:
                target[entry.key] = entry.value  # type: ignore[attr-defined]
        elif field.is_repeated:
            getattr(message, field.name).extend(self._list(field, depth))
        elif field.message_type:
            getattr(message, field.name).CopyFrom(self._value(field, depth))
        else:
            setattr(message, field.name, self._value(field, depth))

    def _list(self, field: FieldDescriptor, depth: int) -> list[Any]:
        rules = _rules(field).repeated
        if self._hostile():
            value = self._value(field, depth)
            size = value.ByteSize() if field.message_type else len(str(value))
            # One too many, but not one too many of one too many of something large.
            most = min((rules.max_items or 100) + 1, MOST_BYTES // (size + 1))
            return [value] * self._draw(st.sampled_from([0, 2, most]))
        count = self._draw(st.integers(max(rules.min_items, int(is_required(field))), 3))
        values = [self._value(field, depth) for _ in range(count)]
        return list(dict.fromkeys(values)) if rules.unique else values

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        if field.message_type and field.message_type.full_name == "google.protobuf.FieldMask":
            return self._mask(field)
        if field.message_type:
            return self.message(field.message_type, depth + 1)
        # What only the service sets is ignored on input, so anything may stand there.
        if self._hostile() or (is_output_only(field) and self._draw(st.booleans())):
            return self._draw(_hostile_scalar(field))
        return self._draw(self._plausible_scalar(field))

    def _plausible_scalar(self, field: FieldDescriptor) -> st.SearchStrategy[Any]:
        rules = _rules(field)
        if field.cpp_type == F.CPPTYPE_STRING:
            item = rules.repeated.items.string if field.is_repeated else rules.string
            found = self._examples_of(field)
            if not found:
                return st.uuids().map(str) if item.uuid else _NAMES
            known = st.sampled_from(found)
            return st.one_of(*[known] * 4, st.uuids().map(str)) if item.uuid else known
        if field.enum_type:
            items = rules.repeated.items.enum if field.is_repeated else rules.enum
            numbers = {v.number for v in field.enum_type.values} - set(items.not_in)
            return st.sampled_from(sorted(numbers))
        if found := self._examples_of(field):
            return st.sampled_from(found)
        if field.type in _RULES_OF:
            return _within(getattr(rules, _RULES_OF[field.type]), field)
        return _by_type(field)

    def _examples_of(self, field: FieldDescriptor) -> Sequence[Any]:
        """The examples for the longest name that is part of the field's."""
        is_text = field.cpp_type == F.CPPTYPE_STRING
        names = [
            name
            for name, values in self._examples.items()
            if name in field.name and isinstance(values[0], str) is is_text
        ]
        found = self._examples[max(names, key=len)] if names else ()
        # An empty text says that a field is not given; an item of a list is.
        return [value for value in found if value != ""] if field.is_repeated else found

    def _mask(self, field: FieldDescriptor) -> Message:
        mask = GetMessageClass(field.message_type)()
        if self._hostile():
            paths = [self._draw(TEXT | st.sampled_from(HOSTILE_TEXTS)) for _ in range(2)]
            mask.paths.extend(paths)  # type: ignore[attr-defined]
            return mask
        siblings = [f.message_type for f in field.containing_type.fields if f.message_type]
        body = next(d for d in siblings if d is not field.message_type)
        writable = [f.name for f in body.fields if not is_output_only(f)]
        chosen = st.lists(st.sampled_from(writable), min_size=1, max_size=4)
        mask.paths.extend(self._draw(chosen | st.just(["*"])))  # type: ignore[attr-defined]
        return mask

    def _timestamp(self, message: Any) -> Message:
        if self._hostile():
            message.seconds = self._draw(
                st.integers(-(2**63), 2**63 - 1)
                | st.sampled_from([-1, -62135596801, -62135596800, 253402300799, 253402300800])
            )
            message.nanos = self._draw(st.sampled_from([0, -1, 999_999_999, 10**9, -(2**31)]))
        else:
            message.seconds = self._draw(st.integers(1_600_000_000, 1_760_000_000))
        return message  # type: ignore[no-any-return]

    def _date(self, message: Any) -> Message:
        if self._hostile():
            odd = st.sampled_from([-1, 0, 1, 12, 13, 31, 32, 9999, 10000, 2**31 - 1, -(2**31)])
            message.year, message.month, message.day = (self._draw(odd) for _ in range(3))
        else:
            day = self._draw(st.dates(date(2020, 1, 1), date(2026, 12, 31)))
            message.year, message.month, message.day = day.year, day.month, day.day
        return message  # type: ignore[no-any-return]


def _rules(field: FieldDescriptor) -> validate_pb2.FieldRules:
    return field.GetOptions().Extensions[validate_pb2.field]


def _choices(oneof: OneofDescriptor) -> list[FieldDescriptor | None]:
    """Returns the fields to choose from, None among them where none may be given."""
    is_required = oneof.GetOptions().Extensions[validate_pb2.oneof].required
    return [*([] if is_required else [None]), *oneof.fields]


def _behaves(field: FieldDescriptor, behaviour: int) -> bool:
    return behaviour in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def is_required(field: FieldDescriptor) -> bool:
    """Returns whether the contract says that a field must be given."""
    return _behaves(field, field_behavior_pb2.REQUIRED)


def is_output_only(field: FieldDescriptor) -> bool:
    """Returns whether the contract says that only the service sets a field."""
    return _behaves(field, field_behavior_pb2.OUTPUT_ONLY)


def _within(rules: Any, field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Numbers within the rules of a field, the small ones among them."""
    least = rules.gte if rules.HasField("gte") else 0
    most = rules.lte if rules.HasField("lte") else least + 1000
    if field.cpp_type in _RANGES:
        return st.integers(least, min(most, least + 50))
    return st.floats(least, most)


def _by_type(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.cpp_type == F.CPPTYPE_BOOL:
        return st.booleans()
    return st.binary(max_size=20)


def _hostile_scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.enum_type:
        return st.sampled_from(HOSTILE_ENUMS)
    if field.cpp_type in _RANGES:
        least, most = _RANGES[field.cpp_type]
        return st.sampled_from([least, least + 1, most - 1, most]) | st.integers(least, most)
    if field.cpp_type in (F.CPPTYPE_DOUBLE, F.CPPTYPE_FLOAT):
        return st.sampled_from(HOSTILE_FLOATS) | st.floats(width=32)
    if field.cpp_type == F.CPPTYPE_BOOL:
        return st.booleans()
    if field.type == F.TYPE_BYTES:
        return st.binary(max_size=1000)
    return st.sampled_from(HOSTILE_TEXTS) | TEXT
