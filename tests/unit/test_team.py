"""What a group may be told: dates, digits, and that no answer tells of fewer than five athletes."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.team_world import ATHLETES, GROUPS, World, worlds
from training_service.domain.group import shared_since
from training_service.domain.metrics import Total
from training_service.domain.team import (
    MIN_ATHLETES,
    Measure,
    Overlap,
    asked_weeks,
    begin_time,
    check_sees_leaderboards,
    complete_weeks,
    due_weeks,
    may_publish,
    may_show,
    measure,
    publish_time,
    rounded,
)
from training_service.errors import Reason, TrainingError

MONDAY = date(2026, 3, 2)
ONE_WEEK = timedelta(weeks=1)
ONE_SECOND = timedelta(seconds=1)


def test_a_week_begins_where_it_begins_first_and_is_published_a_day_after_it_is_over() -> None:
    # Kiritimati (UTC+14) is where days begin first; ships at UTC-12 are where they end last.
    assert begin_time(MONDAY).isoformat() == "2026-03-01T10:00:00+00:00"
    assert publish_time(MONDAY).isoformat() == "2026-03-10T12:00:00+00:00"
    assert publish_time(MONDAY).strftime("%A") == "Tuesday"


def test_the_last_twelve_weeks_are_answered_unless_others_are_asked_for() -> None:
    today = MONDAY + timedelta(days=2)
    usual = asked_weeks(None, None, today)
    assert (usual[0], usual[-1], len(usual)) == (MONDAY - 11 * ONE_WEEK, MONDAY, 12)
    assert asked_weeks(None, MONDAY - timedelta(days=1), today)[-1] == MONDAY - ONE_WEEK
    assert asked_weeks(date(2026, 2, 25), date(2026, 3, 2), today) == [MONDAY - ONE_WEEK, MONDAY]
    assert asked_weeks(MONDAY, date.max, today) == [MONDAY]
    assert asked_weeks(MONDAY + ONE_WEEK, None, today) == []


def test_more_than_104_weeks_are_refused() -> None:
    assert len(asked_weeks(MONDAY - 103 * ONE_WEEK, None, MONDAY)) == 104
    for first in (MONDAY - 104 * ONE_WEEK, date.min):
        with pytest.raises(TrainingError) as refusal:
            asked_weeks(first, None, MONDAY)
        assert refusal.value.reason is Reason.INVALID_FIELD
        assert refusal.value.violations[0].field == "from_date"


def test_a_week_is_due_once_it_is_over_and_enough_athletes_share_since_before() -> None:
    since = [begin_time(MONDAY)] * MIN_ATHLETES
    late = publish_time(MONDAY)
    assert due_weeks([MONDAY], {}, since, late) == [MONDAY]
    assert due_weeks([MONDAY], {}, since, late - ONE_SECOND) == []
    assert due_weeks([MONDAY], {MONDAY}, since, late) == []
    assert due_weeks([MONDAY], {}, [*since[1:], since[0] + ONE_SECOND], late) == []


def test_who_takes_sharing_back_and_gives_it_again_begins_anew() -> None:
    first, later = (datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2))
    assert shared_since(None, first, is_shared=True) == first
    assert shared_since(first, later, is_shared=True) == first
    assert shared_since(first, later, is_shared=False) is None


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, 0), (1, 1), (999, 999), (1234, 1230), (1235.1, 1240), (0.66666, 0.667), (98765, 98800)],
)
def test_numbers_have_three_significant_digits(value: float, told: float) -> None:
    assert rounded(value) == told


@given(st.floats(1e-9, 1e12))
def test_rounding_changes_a_number_by_half_a_percent_at_most(value: float) -> None:
    assert rounded(value) == pytest.approx(value, rel=0.005)


def test_unknown_is_not_nothing() -> None:
    assert measure(Total(0.0, 0, 0), 5) == Measure(0, 0, None)
    assert measure(Total(0.0, 0, 3), 5) == Measure(None, None, 0)
    assert measure(Total(1000.0, 2, 3), 6) == Measure(1000, 167, 0.667)


def test_a_leaderboard_looks_at_complete_weeks() -> None:
    for days in (0, 6):
        today = MONDAY + timedelta(days=days)
        assert complete_weeks(4, today) == (MONDAY - 4 * ONE_WEEK, MONDAY)
    assert complete_weeks(1, MONDAY + ONE_WEEK) == (MONDAY, MONDAY + ONE_WEEK)


def test_leaderboards_are_for_staff_and_those_on_them() -> None:
    check_sees_leaderboards("COACH", [])
    check_sees_leaderboards("ASSISTANT", [])
    check_sees_leaderboards("ATHLETE", ["LEADERBOARDS"])
    with pytest.raises(TrainingError) as refusal:
        check_sees_leaderboards("ATHLETE", ["ANALYTICS"])
    assert refusal.value.reason is Reason.PERMISSION_DENIED


@pytest.mark.parametrize("count", range(8))
def test_fewer_than_five_are_never_published(count: int) -> None:
    assert may_publish(count, []) == (count >= 5)


@pytest.mark.parametrize(
    ("common", "other", "may"),
    [(9, 9, True), (9, 14, True), (4, 9, True), (8, 8, False), (9, 13, False), (4, 5, False)],
)
def test_a_difference_of_one_to_four_is_not_published(
    common: int, other: int, *, may: bool
) -> None:
    """Of nine athletes."""
    assert may_publish(9, [Overlap(MONDAY, common, other, is_incomplete=False)]) == may


def test_nothing_is_published_beside_what_lost_somebody() -> None:
    assert not may_publish(9, [Overlap(MONDAY, 9, 9, is_incomplete=True)])


def test_a_week_of_which_one_to_four_are_unseen_is_not_shown() -> None:
    assert may_show([])
    assert may_show([5, 7])
    assert not any(may_show([5, count]) for count in range(1, 5))


steps = st.lists(
    st.tuples(
        st.sampled_from(["withdraw", "ask", "delete"]),
        st.sampled_from(GROUPS),
        st.sampled_from(ATHLETES),
    ),
    max_size=60,
)


@given(worlds, steps)
def test_no_answers_of_a_week_can_be_subtracted_to_tell_of_fewer_than_five(
    world: World, steps: Sequence[tuple[str, int, int]]
) -> None:
    """The differencing attack: an attacker leads all groups, has athletes join, leave and withdraw
    at will, asks after each step, and keeps every answer."""
    before: dict[int, frozenset[int]] = {}
    for act, group, athlete in steps:
        world.act(act, group, athlete)
        for asked in GROUPS:
            answer = world.ask(asked)
            if answer:
                assert before.setdefault(asked, answer) == answer
    for one in world.answers:
        assert len(one) >= MIN_ATHLETES
        assert not 0 < len(one - world.seen) < MIN_ATHLETES
    for one, other in permutations(world.answers, 2):
        if one & other:
            assert not 0 < len(one - other) < MIN_ATHLETES
            assert not 0 < len((one - other) - world.seen) < MIN_ATHLETES


def test_the_attacker_is_answered_at_all() -> None:
    """Else the property above would hold of nothing."""
    world = World({0: set(range(10)), 1: set(range(5)), 2: set(range(4)), 3: set(range(6))})
    assert [bool(world.ask(group)) for group in GROUPS] == [True, True, False, False]
