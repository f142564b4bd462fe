"""The order of exercises within a workout or a session."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.ordering import in_given_order
from training_service.errors import Reason, TrainingError

PATH = "session.exercises"
distinct_orders = st.lists(st.integers(1, 1000), unique=True, min_size=1, max_size=20)


def refused_field(orders: Sequence[int]) -> str:
    with pytest.raises(TrainingError) as caught:
        in_given_order(range(len(orders)), orders, PATH)
    assert caught.value.reason is Reason.INVALID_FIELD
    [violation] = caught.value.violations
    return violation.field


@given(st.lists(st.integers(), max_size=20))
def test_without_numbers_the_list_stands_as_it_is(items: list[int]) -> None:
    assert in_given_order(items, [0] * len(items), PATH) == items


@given(distinct_orders)
def test_with_numbers_the_list_follows_them(orders: list[int]) -> None:
    assert in_given_order(orders, orders, PATH) == sorted(orders)


@given(distinct_orders, st.randoms(use_true_random=False))
def test_the_order_of_sending_makes_no_difference_when_numbers_are_given(
    orders: list[int], random: Random
) -> None:
    pairs = [(order, f"item {order}") for order in orders]
    shuffled = random.sample(pairs, len(pairs))
    assert in_given_order([i for _, i in shuffled], [o for o, _ in shuffled], PATH) == [
        item for _, item in sorted(pairs)
    ]


def test_items_need_not_be_comparable() -> None:
    first, second = object(), object()
    assert in_given_order([second, first], [2, 1], PATH) == [first, second]


def test_the_given_list_is_left_alone() -> None:
    items = ["b", "a"]
    in_given_order(items, [2, 1], PATH)
    assert items == ["b", "a"]


@given(distinct_orders, st.data())
def test_a_missing_number_among_others_is_refused_where_it_is_missing(
    orders: list[int], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(orders)))
    assert refused_field([*orders[:index], 0, *orders[index:]]) == f"{PATH}[{index}].order"


@given(distinct_orders, st.data())
def test_a_number_given_twice_is_refused_the_second_time(
    orders: list[int], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(orders) - 1))
    second = data.draw(st.integers(first + 1, len(orders)))
    twice = [*orders[:second], orders[first], *orders[second:]]
    assert refused_field(twice) == f"{PATH}[{second}].order"


def test_a_negative_number_is_refused() -> None:
    assert refused_field([1, -1]) == f"{PATH}[1].order"
