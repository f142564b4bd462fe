"""The order of exercises within a workout or a session."""

from collections.abc import Sequence
from typing import TypeVar

from training_service.errors import invalid_field

Item = TypeVar("Item")


def in_given_order(items: Sequence[Item], orders: Sequence[int], path: str) -> list[Item]:
    """Returns the items in the order given for them, or as they stand when none is (all 0).

    `path` is the repeated field the items come from. See `check_orders` for what is refused.
    """
    check_orders(orders, path)
    return [item for _, item in sorted(zip(orders, items, strict=True), key=lambda pair: pair[0])]


def check_orders(orders: Sequence[int], path: str) -> None:
    """Refuses order numbers that are given for some only, negative, or given twice.

    `path` is the repeated field whose items they order.
    """
    if not any(orders):
        return
    seen: set[int] = set()
    for index, order in enumerate(orders):
        if order < 1:
            raise invalid_field(f"{path}[{index}].order", "must be given for all or for none")
        if order in seen:
            raise invalid_field(f"{path}[{index}].order", f"{order} is given twice")
        seen.add(order)
