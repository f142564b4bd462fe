"""The order of exercises within a workout or a session."""

from collections.abc import Sequence
from typing import TypeVar

from training_service.errors import invalid_field

Item = TypeVar("Item")


def in_given_order(items: Sequence[Item], orders: Sequence[int], path: str) -> list[Item]:
    """Returns the items in the order given for them, or as they stand when none is (all 0).

    `path` is the repeated field the items come from. Refuses numbers that are given for some only,
    negative, or given twice.
    """
    if not any(orders):
        return list(items)
    seen: set[int] = set()
    for index, order in enumerate(orders):
        if order < 1:
            raise invalid_field(f"{path}[{index}].order", "must be given for all or for none")
        if order in seen:
            raise invalid_field(f"{path}[{index}].order", f"{order} is given twice")
        seen.add(order)
    return [item for _, item in sorted(zip(orders, items, strict=True), key=lambda pair: pair[0])]
