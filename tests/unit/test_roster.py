"""Who of a group's athletes may need attention, and why."""

from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.load import DayLoad, LoadHistory
from training_service.domain.load_flag import Check, LoadFlag, Trigger
from training_service.domain.readiness import Readiness
from training_service.domain.roster import (
    Activity,
    Adherence,
    AthleteState,
    Attention,
    AttentionReason,
    activity,
    adherence,
    attention,
    four_weeks_from,
)
from training_service.domain.schedule import PlannedSession, PlannedState

DAY = date(2026, 3, 29)


def reasons(state: AthleteState) -> list[tuple[str, int]]:
    return [(one.reason.value, one.points) for one in attention(state)]


def planned(*states: PlannedState) -> list[PlannedSession]:
    return [
        PlannedSession(
            number=number,
            slot=1,
            workout_id=UUID(int=1),
            due_date=DAY,
            local_date=DAY,
            state=state,
        )
        for number, state in enumerate(states, 1)
    ]


def test_of_who_granted_nothing_nothing_is_said() -> None:
    assert attention(AthleteState()) == []


@pytest.mark.parametrize(
    ("points", "expected"), [(1, []), (2, [("LOAD_FLAG", 2)]), (4, [("LOAD_FLAG", 4)])]
)
def test_load_counts_by_the_level_of_its_flag(points: int, expected: list[tuple[str, int]]) -> None:
    flag = LoadFlag([Check(trigger=Trigger.STRAIN, points=points)])
    assert reasons(AthleteState(flag=flag)) == expected


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (None, []),
        (75, []),
        (74.9, [("LOW_READINESS", 1)]),
        (50, [("LOW_READINESS", 1)]),
        (49.9, [("LOW_READINESS", 3)]),
    ],
)
def test_readiness_counts_by_its_band(score: float | None, expected: list[tuple[str, int]]) -> None:
    assert reasons(AthleteState(readiness=Readiness(score, 1, None, []))) == expected


@pytest.mark.parametrize(
    ("count", "done", "is_missing"),
    [(0, 0, False), (2, 0, False), (3, 1, True), (3, 2, False), (5, 3, False), (10, 5, True)],
)
def test_sessions_are_missed_when_fewer_than_three_in_five_were_done(
    count: int, done: int, is_missing: bool
) -> None:
    expected = [("MISSED_SESSIONS", 2)] if is_missing else []
    assert reasons(AthleteState(adherence=Adherence(count, done, 0))) == expected


@pytest.mark.parametrize(("days", "is_inactive"), [(None, False), (9, False), (10, True)])
def test_who_rests_for_ten_days_is_inactive(days: int | None, is_inactive: bool) -> None:
    last = None if days is None else DAY - timedelta(days)
    expected = [("INACTIVE", 3)] if is_inactive else []
    assert reasons(AthleteState(activity=Activity(last, days, 0, 0))) == expected


def test_the_weightiest_reason_comes_first() -> None:
    state = AthleteState(
        activity=Activity(DAY - timedelta(12), 12, 0, 0),
        adherence=Adherence(4, 1, 0),
        flag=LoadFlag([Check(trigger=Trigger.STRAIN, points=2)]),
        readiness=Readiness(60.0, 1, None, []),
    )
    assert attention(state)[0] == Attention(
        AttentionReason.INACTIVE, 3, "The last session was 12 days ago."
    )
    assert [points for _, points in reasons(state)] == [3, 2, 2, 1]


@given(st.lists(st.sampled_from(PlannedState)))
def test_only_what_was_done_or_missed_was_planned(states: list[PlannedState]) -> None:
    found = adherence(planned(*states))
    assert found.done == states.count(PlannedState.DONE)
    assert found.planned == found.done + states.count(PlannedState.MISSED)
    assert found.skipped == states.count(PlannedState.SKIPPED)
    assert (found.share is None) == (found.planned == 0)
    assert found.share is None or 0 <= found.share <= 1


def test_sessions_are_counted_over_one_week_and_four() -> None:
    days = [DayLoad(DAY - timedelta(39 - n), 100.0, session_count=1 + n % 2) for n in range(40)]
    whole = LoadHistory(days[0].local_date, None, days)
    assert activity(whole, DAY, DAY) == Activity(DAY, 0, 11, 42)
    assert activity(LoadHistory(None, None, []), None, DAY) == Activity(None, None, 0, 0)
    assert (DAY - four_weeks_from(DAY)).days == 27
