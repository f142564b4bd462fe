"""Enums of the contract and their names without the prefix that protobuf needs."""

from typing import Any

from calisthenics.training.v1 import access_pb2


class EnumNames:
    """The names of one enum: `EQUIPMENT_PULL_UP_BAR` is "PULL_UP_BAR" inside the service."""

    def __init__(self, enum: Any) -> None:
        values = enum.DESCRIPTOR.values
        prefix = values[0].name.removesuffix("UNSPECIFIED")
        self._names: dict[int, str] = {v.number: v.name.removeprefix(prefix) for v in values}
        self._numbers = {name: number for number, name in self._names.items()}

    def name(self, number: int) -> str:
        """Returns the name of a number."""
        return self._names[number]

    def number(self, name: str) -> Any:
        """Returns the number of a name."""
        return self._numbers[name]


GRANT_SCOPE = EnumNames(access_pb2.GrantScope)
"""What can be granted, which several nouns speak of."""
