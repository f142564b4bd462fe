"""Which workout is due when, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.schedule import (
    Change,
    Done,
    MissedPolicy,
    Plan,
    PlannedSession,
    PlannedState,
    Slot,
    are_numbered_alike,
    planned_sessions,
)

A, B = UUID(int=1), UUID(int=2)
WORKOUTS = {"A": A, "B": B, "-": None}
NAMES = {A: "A", B: "B"}
MONDAY = date(2025, 3, 3)
LET_GO, CARRY_OVER = MissedPolicy
MARKS = {
    PlannedState.PLANNED: "",
    PlannedState.DONE: "+",
    PlannedState.MISSED: "!",
    PlannedState.SKIPPED: "x",
}


def day(number: int) -> date:
    """Returns a day by its number; 1 is the Monday on which plans begin."""
    return MONDAY + timedelta(number - 1)


def weekly(days: Mapping[int, str], missed: MissedPolicy = LET_GO, weeks: int = 3) -> Plan:
    slots = [
        Slot(number=n, workout_id=WORKOUTS[name], weekday=weekday)
        for n, (weekday, name) in enumerate(days.items(), 1)
    ]
    end = day(1 + 7 * weeks)
    return Plan(start=MONDAY, end=end, slots=slots, is_rotation=False, missed=missed)


def rotation(names: str, missed: MissedPolicy = LET_GO, days: int = 14) -> Plan:
    slots = [Slot(number=n, workout_id=WORKOUTS[name]) for n, name in enumerate(names, 1)]
    return Plan(start=MONDAY, end=day(1 + days), slots=slots, is_rotation=True, missed=missed)


def did(text: str) -> list[Done]:
    """Returns sessions such as "3A 5B": day and workout."""
    return [
        Done(UUID(int=100 + n), day(int(one[:-1])), NAMES_OF[one[-1]])
        for n, one in enumerate(text.split())
    ]


NAMES_OF = {"A": A, "B": B}


def sessions(
    plan: Plan, done: str = "", today: int = 1, changes: Mapping[int, Change] | None = None
) -> list[PlannedSession]:
    return planned_sessions(plan, changes or {}, did(done), day(today), day(28))


def told(found: Sequence[PlannedSession]) -> str:
    """Returns them as day, workout and what became of it: "1A+ 3B! 5A"."""
    return " ".join(
        f"{(one.local_date - MONDAY).days + 1}{NAMES[one.workout_id]}{MARKS[one.state]}"
        for one in found
    )


def test_a_week_repeats_until_the_plan_ends() -> None:
    assert told(sessions(weekly({1: "A", 4: "B"}, weeks=2))) == "1A 4B 8A 11B"


def test_a_rotation_does_not_ask_what_day_of_the_week_it_is() -> None:
    assert told(sessions(rotation("A-B-", days=9))) == "1A 3B 5A 7B 9A"
    assert told(sessions(rotation("AB-", days=7))) == "1A 2B 4A 5B 7A"


def test_what_was_done_is_told_by_the_log() -> None:
    found = sessions(weekly({1: "A", 4: "B"}, weeks=2), "1A 8B", today=9)
    assert told(found) == "1A+ 4B! 8A! 11B"
    assert found[0].session_id == UUID(int=100)
    assert [one.session_id for one in found[1:]] == [None] * 3


def test_each_session_stands_for_one_planned_one() -> None:
    twice = weekly({1: "A"}, weeks=1)
    both = Plan(
        start=MONDAY,
        end=twice.end,
        slots=[*twice.slots, Slot(number=2, workout_id=A, weekday=1)],
        is_rotation=False,
        missed=LET_GO,
    )
    assert told(sessions(both, "1A", today=2)) == "1A+ 1A!"
    assert told(sessions(both, "1A 1A", today=2)) == "1A+ 1A+"


def test_today_is_not_missed_yet() -> None:
    assert told(sessions(weekly({1: "A"}, weeks=1), today=1)) == "1A"
    assert told(sessions(weekly({1: "A"}, weeks=1), today=2)) == "1A!"


def test_a_missed_session_of_a_week_is_carried_to_the_next_free_day() -> None:
    plan = weekly({1: "A", 2: "B", 5: "A"}, CARRY_OVER, weeks=1)
    # Monday's A was missed; Tuesday has B, so Wednesday: that is today.
    assert told(sessions(plan, "2B", today=3)) == "2B+ 3A 5A"
    # Done on Wednesday.
    assert told(sessions(plan, "2B 3A", today=5)) == "2B+ 3A+ 5A"
    # Not done by Friday, which has a session of its own: Saturday.
    assert told(sessions(plan, "2B", today=5)) == "2B+ 5A 6A"


def test_a_carried_session_is_given_up_when_its_slot_is_due_again() -> None:
    plan = weekly({1: "A"}, CARRY_OVER, weeks=2)
    found = sessions(plan, "", today=8)
    assert told(found) == "7A! 8A"
    assert [one.number for one in found] == [1, 2]
    assert found[0].due_date == day(1)


def test_a_carried_session_may_be_done_beside_what_is_due() -> None:
    plan = weekly({1: "A", 2: "B"}, CARRY_OVER, weeks=1)
    assert told(sessions(plan, "2B 2A", today=3)) == "2A+ 2B+"


def test_a_rotation_waits_for_what_was_missed() -> None:
    plan = rotation("A-B-", CARRY_OVER, days=10)
    assert told(sessions(plan, "1A", today=3)) == "1A+ 3B 5A 7B 9A"
    # B of day 3 was missed on days 3 and 4: all that follows moves by two days.
    assert told(sessions(plan, "1A", today=5)) == "1A+ 5B 7A 9B"
    assert told(sessions(plan, "1A 5B", today=6)) == "1A+ 5B+ 7A 9B"


def test_an_athlete_moves_and_calls_off_sessions() -> None:
    plan = weekly({1: "A", 4: "B"}, weeks=1)
    later, earlier, never = Change(day(6)), Change(day(2)), Change(None)
    assert told(sessions(plan, changes={1: later})) == "4B 6A"
    assert told(sessions(plan, changes={2: earlier})) == "1A 2B"
    assert told(sessions(plan, changes={1: never})) == "1Ax 4B"
    assert told(sessions(plan, "6A", today=7, changes={1: later})) == "4B! 6A+"
    assert told(sessions(plan, "2B", today=7, changes={2: earlier})) == "1A! 2B+"
    # Nothing is carried of what was called off.
    carried = weekly({1: "A", 4: "B"}, CARRY_OVER, weeks=1)
    assert told(sessions(carried, today=2, changes={1: never})) == "1Ax 4B"


def test_a_number_names_a_session_of_a_rotation_that_waited() -> None:
    plan = rotation("A-B-", CARRY_OVER, days=12)
    [b] = [one for one in sessions(plan, "1A", today=3) if one.local_date == day(3)]
    later = {one.number: one for one in sessions(plan, "1A", today=5)}
    assert later[b.number].workout_id == B
    assert later[b.number].local_date == day(5)


PLANS = st.builds(
    rotation,
    st.text("AB-", min_size=1, max_size=6),
    st.sampled_from(MissedPolicy),
    st.integers(1, 28),
) | st.builds(
    weekly,
    st.dictionaries(st.integers(1, 7), st.sampled_from("AB"), min_size=1),
    st.sampled_from(MissedPolicy),
    st.integers(1, 4),
)
LOGS = st.lists(st.tuples(st.integers(1, 28), st.sampled_from("AB")), max_size=20).map(
    lambda done: " ".join(f"{n}{name}" for n, name in done)
)


@given(PLANS, LOGS, st.integers(1, 28))
def test_whatever_was_done(plan: Plan, log: str, today: int) -> None:
    """Each session stands for one planned one at most, of its workout and day; nothing before
    today is merely planned, nothing from today on is missed."""
    done = {one.session_id: one for one in did(log)}
    found = sessions(plan, log, today)
    used = [one.session_id for one in found if one.session_id]
    assert len(used) == len(set(used))
    assert len({one.number for one in found}) == len(found)
    for one in found:
        assert plan.start <= one.due_date <= one.local_date
        if one.session_id:
            session = done[one.session_id]
            assert (session.local_date, session.workout_id) == (one.local_date, one.workout_id)
        assert (one.state is PlannedState.DONE) == (one.session_id is not None)
        if one.state is PlannedState.PLANNED:
            assert one.local_date >= day(today)
        if one.state is PlannedState.MISSED:
            assert one.local_date < day(today)


@given(PLANS, LOGS)
def test_a_plan_that_was_followed_has_nothing_missed(plan: Plan, log: str) -> None:
    followed = planned_sessions(plan, {}, [], plan.start, plan.end)
    done = [Done(UUID(int=n), one.local_date, one.workout_id) for n, one in enumerate(followed, 1)]
    found = planned_sessions(plan, {}, done, plan.end, plan.end)
    assert [one.state for one in found] == [PlannedState.DONE] * len(followed)
    assert [one.local_date for one in found] == [one.local_date for one in followed]


PLAN = rotation("A-B-")


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        (rotation("A-B-", CARRY_OVER, days=7), True),
        (replace(PLAN, start=day(2)), False),
        (rotation("A-B"), False),
        (rotation("A-A-"), False),
        (rotation("-A-B"), False),
    ],
)
def test_numbers_hold_as_long_as_the_start_and_the_slots(other: Plan, alike: bool) -> None:
    assert are_numbered_alike(PLAN, other) is alike


@pytest.mark.parametrize("missed", MissedPolicy)
def test_nothing_is_due_after_the_end(missed: MissedPolicy) -> None:
    found = sessions(weekly({7: "A"}, missed, weeks=1), today=20)
    assert told(found) == "7A!"
