"""Prints a file descriptor as the text of a .proto file.

For contracts that are installed as a descriptor only. It knows what such files contain (proto2
and proto3 messages, enums, oneofs, extensions, options of any type) and nothing more: no services,
maps, groups or editions. `export.py` compiles the text again and compares.
"""

import io
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

Field = descriptor_pb2.FieldDescriptorProto
LAST_FIELD_NUMBER = 2**29 - 1


def print_file(
    file: descriptor_pb2.FileDescriptorProto, imports: Iterable[descriptor_pb2.FileDescriptorProto]
) -> str:
    """Returns the text of a file, given the files it imports, directly or not."""
    return "\n".join(_Printer(file, imports).lines()) + "\n"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f"  {line}".rstrip()


def _block(head: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"{head} {{"
    yield from _indented(lines)
    yield "}"


def _range(start: int, end: int) -> str:
    """Writes a range of numbers, both ends included."""
    if start == end:
        return str(start)
    return f"{start} to {'max' if end == LAST_FIELD_NUMBER else end}"


def _reserved(message: Any, *, end_included: bool) -> Iterator[str]:
    for reserved in message.reserved_range:
        yield f"reserved {_range(reserved.start, reserved.end - (not end_included))};"
    for name in message.reserved_name:
        yield f'reserved "{name}";'


class _Printer:
    def __init__(
        self,
        file: descriptor_pb2.FileDescriptorProto,
        imports: Iterable[descriptor_pb2.FileDescriptorProto],
    ) -> None:
        self._file = file
        # A pool of its own: options of the file may be extensions that the file itself declares.
        self._pool = descriptor_pool.DescriptorPool()
        for known in (*imports, file):
            self._pool.Add(known)
        message_factory.GetMessageClassesForFiles([file.name], self._pool)

    def lines(self) -> Iterator[str]:
        """Yields the file, line by line."""
        file = self._file
        yield f'syntax = "{file.syntax or "proto2"}";'
        yield ""
        yield f"package {file.package};"
        yield ""
        yield from (f'import "{name}";' for name in file.dependency)
        yield ""
        yield from self._options(file.options)
        yield from self._extensions(file.extension)
        for message in file.message_type:
            yield ""
            yield from _block(f"message {message.name}", self._message(message))
        for enum in file.enum_type:
            yield ""
            yield from _block(f"enum {enum.name}", self._enum(enum))

    def _values(self, options: Any) -> Iterator[tuple[str, str]]:
        """Yields names and values of options, custom ones by their full names in brackets."""
        name = options.DESCRIPTOR.full_name
        kind = message_factory.GetMessageClass(self._pool.FindMessageTypeByName(name))
        for field, value in kind.FromString(options.SerializeToString()).ListFields():
            for item in value if field.is_repeated else [value]:
                text = io.StringIO()
                text_format.PrintFieldValue(field, item, text)
                yield (
                    f"({field.full_name})" if field.is_extension else field.name,
                    text.getvalue().strip(),
                )

    def _options(self, options: Any) -> Iterator[str]:
        for name, value in self._values(options):
            yield from f"option {name} = {value};".splitlines()

    def _with_options(self, head: str, options: Any, *more: str) -> Iterator[str]:
        """Yields a declaration with its options in brackets, one on a line."""
        listed = [*more, *(f"{name} = {value}" for name, value in self._values(options))]
        if not listed:
            yield f"{head};"
            return
        yield f"{head} ["
        yield from _indented(",\n".join(listed).splitlines())
        yield "];"

    def _message(self, message: descriptor_pb2.DescriptorProto) -> Iterator[str]:
        yield from self._options(message.options)
        yield from _reserved(message, end_included=False)
        for extensible in message.extension_range:
            numbers = _range(extensible.start, extensible.end - 1)
            yield from self._with_options(f"extensions {numbers}", extensible.options)
        printed: set[int] = set()
        for field in message.field:
            if not field.HasField("oneof_index") or field.proto3_optional:
                yield from self._field(field)
            elif field.oneof_index not in printed:
                printed.add(field.oneof_index)
                yield from self._oneof(message, field.oneof_index)
        for nested in message.nested_type:
            yield from _block(f"message {nested.name}", self._message(nested))
        for enum in message.enum_type:
            yield from _block(f"enum {enum.name}", self._enum(enum))
        yield from self._extensions(message.extension)

    def _oneof(self, message: descriptor_pb2.DescriptorProto, index: int) -> Iterator[str]:
        oneof = message.oneof_decl[index]
        lines = list(self._options(oneof.options))
        for field in message.field:
            if field.HasField("oneof_index") and field.oneof_index == index:
                lines += self._field(field, label="")
        yield from _block(f"oneof {oneof.name}", lines)

    def _field(self, field: Field, label: str | None = None) -> Iterator[str]:
        kind = field.type_name or Field.Type.Name(field.type).removeprefix("TYPE_").lower()
        label = self._label(field) if label is None else label
        default = []
        if field.HasField("default_value"):
            quote = '"' if field.type in (Field.TYPE_STRING, Field.TYPE_BYTES) else ""
            default = [f"default = {quote}{field.default_value}{quote}"]
        head = f"{label}{kind} {field.name} = {field.number}"
        yield from self._with_options(head, field.options, *default)

    def _label(self, field: Field) -> str:
        if field.label == Field.LABEL_OPTIONAL and self._file.syntax == "proto3":
            return "optional " if field.proto3_optional else ""
        return f"{Field.Label.Name(field.label).removeprefix('LABEL_').lower()} "

    def _extensions(self, fields: Iterable[Field]) -> Iterator[str]:
        for field in fields:
            yield from _block(f"extend {field.extendee}", self._field(field))

    def _enum(self, enum: descriptor_pb2.EnumDescriptorProto) -> Iterator[str]:
        yield from self._options(enum.options)
        yield from _reserved(enum, end_included=True)
        for value in enum.value:
            yield from self._with_options(f"{value.name} = {value.number}", value.options)
