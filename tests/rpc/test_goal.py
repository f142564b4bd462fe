"""GoalService, over the wire."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import goal_pb2 as pb
from calisthenics.training.v1 import session_pb2, set_pb2

from tests.rpc.test_exercise import create, deprecate
from tests.rpc.test_exercise import update as update_exercise
from tests.rpc.test_progress import did, void
from tests.rpc.test_totals import a_date, on
from tests.rpc.test_wellness import to_date
from tests.support import (
    L_SIT,
    PISTOL_SQUAT,
    PULL_UP,
    Athlete,
    Queries,
    a_goal,
    forged_token,
    refused,
)
from training_service.domain.exercise import exercise_id
from training_service.domain.metrics import MOST_LOADED_REPS
from training_service.servicers import dates
from training_service.servicers import goal as servicer

CHIN_UP = str(exercise_id("chin-up"))
ACTIVE, ACHIEVED = pb.GOAL_STATUS_ACTIVE, pb.GOAL_STATUS_ACHIEVED
OVERDUE, ABANDONED = pb.GOAL_STATUS_OVERDUE, pb.GOAL_STATUS_ABANDONED
TODAY = date(2026, 3, 18)  # a Wednesday
"""What day it is in these tests, unless the clock is moved."""


class Clock:
    """What the servicer takes for the time: noon of a day, UTC."""

    def __init__(self) -> None:
        self.day = TODAY

    def now(self) -> datetime:
        return datetime(self.day.year, self.day.month, self.day.day, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stops the clock of the service."""
    clock = Clock()
    for module in (dates, servicer):
        monkeypatch.setattr(module, "utc_now", clock.now)
    return clock


def ago(days: int) -> str:
    return (TODAY - timedelta(days=days)).isoformat()


def new(athlete: Athlete, **fields: Any) -> pb.Goal:
    return athlete.goals.CreateGoal(pb.CreateGoalRequest(goal=a_goal(**fields)))


def get(athlete: Athlete, goal: pb.Goal, **request: Any) -> pb.Goal:
    return athlete.goals.GetGoal(pb.GetGoalRequest(goal_id=goal.id, **request))


def listed(athlete: Athlete, **request: Any) -> list[pb.Goal]:
    return list(athlete.goals.ListGoals(pb.ListGoalsRequest(**request)).goals)


def update(athlete: Athlete, goal: pb.Goal, *paths: str, **fields: Any) -> pb.Goal:
    request = pb.UpdateGoalRequest(
        goal_id=goal.id, goal=pb.Goal(**fields), update_mask={"paths": paths}
    )
    return athlete.goals.UpdateGoal(request)


def abandon(athlete: Athlete, goal: pb.Goal, **request: Any) -> pb.Goal:
    return athlete.goals.AbandonGoal(pb.AbandonGoalRequest(goal_id=goal.id, **request))


def did_reps(athlete: Athlete, days_ago: int, *counts: int, **sets: Any) -> session_pb2.Session:
    performed = [{"actual_reps": count, **sets} for count in counts]
    return athlete.log(did(ago(days_ago), *performed))


# What is stored


def test_a_goal_is_returned_as_it_was_created(alice: Athlete, bob: Athlete) -> None:
    did_reps(alice, 3, 6, 5)
    created = new(alice, deadline=to_date("2026-06-30"))
    assert uuid.UUID(created.id).version == 7
    assert created.external_user_id == alice.id
    assert created.display_name == "Twelve in a row"
    assert created.reps == pb.RepsTarget(exercise_id=PULL_UP, reps=12)
    assert (created.etag, created.status) == ("1", ACTIVE)
    assert a_date(created.create_date) == TODAY
    assert (created.base_value, created.current_value, created.progress) == (6, 6, 0)
    assert not created.HasField("achieved")
    assert not created.HasField("week_streak")
    assert get(alice, created) == created
    assert listed(alice) == [created]
    assert listed(bob) == []
    with refused("GOAL_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        get(bob, created)
    assert refusals[0].fields == ["goal_id"]


def test_what_only_the_service_sets_is_ignored(alice: Athlete) -> None:
    given = new(alice)
    again = new(
        alice,
        id="x",
        external_user_id="y",
        status=ACHIEVED,
        progress=1,
        base_value=9,
        achieved={"session_id": "z"},
        steps=[{"exercise_id": "a"}],
        abandon_time={},
    )
    assert again.status == ACTIVE
    for name in ("id", "create_time"):
        again.ClearField(name)
        given.ClearField(name)
    assert again == given


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"display_name": ""}, "goal.display_name"),
        ({"display_name": "a\nb"}, "goal.display_name"),
        ({"reps": {"exercise_id": PULL_UP}}, "goal.reps.reps"),
        ({"reps": {"exercise_id": "x", "reps": 1}}, "goal.reps.exercise_id"),
        ({"reps": {"exercise_id": L_SIT, "reps": 1}}, "goal.reps.exercise_id"),
        ({"hold": {"exercise_id": PULL_UP, "hold_seconds": 9}}, "goal.hold.exercise_id"),
        ({"hold": {"exercise_id": L_SIT, "hold_seconds": 0}}, "goal.hold.hold_seconds"),
        ({"hold": {"exercise_id": L_SIT, "hold_seconds": float("nan")}}, "goal.hold.hold_seconds"),
        ({"load": {"exercise_id": L_SIT, "load_kg": 9, "min_reps": 1}}, "goal.load.exercise_id"),
        ({"load": {"exercise_id": PULL_UP, "load_kg": 9}}, "goal.load.min_reps"),
        ({"load": {"exercise_id": PULL_UP, "load_kg": 9, "min_reps": 21}}, "goal.load.min_reps"),
        ({"load": {"exercise_id": PULL_UP, "load_kg": -9, "min_reps": 1}}, "goal.load.load_kg"),
        (
            {"relative_strength": {"exercise_id": L_SIT, "body_mass_ratio": 1}},
            "goal.relative_strength.exercise_id",
        ),
        (
            {"relative_strength": {"exercise_id": PULL_UP, "body_mass_ratio": float("inf")}},
            "goal.relative_strength.body_mass_ratio",
        ),
        ({"frequency": {}}, "goal.frequency.sessions_per_week"),
        ({"deadline": {"year": 2026, "month": 2, "day": 30}}, "goal.deadline"),
        ({"deadline": to_date(ago(1))}, "goal.deadline"),
    ],
)
def test_a_bad_goal_is_refused_and_nothing_stored(
    alice: Athlete, fields: dict[str, Any], path: str
) -> None:
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        new(alice, **fields)
    assert refusals[0].fields == [path]
    assert listed(alice) == []


def test_a_goal_without_a_target_is_refused(alice: Athlete) -> None:
    with refused("INVALID_FIELD") as refusals:
        alice.goals.CreateGoal(pb.CreateGoalRequest(goal=pb.Goal(display_name="Anything")))
    assert refusals[0].fields == ["goal.target"]


@pytest.mark.parametrize("kind", ["reps", "hold", "load", "relative_strength", "skill"])
def test_a_goal_of_an_unknown_exercise_is_refused(alice: Athlete, kind: str) -> None:
    amounts: dict[str, dict[str, Any]] = {
        "reps": {"reps": 5},
        "hold": {"hold_seconds": 5},
        "load": {"load_kg": 5, "min_reps": 5},
        "relative_strength": {"body_mass_ratio": 1.5},
        "skill": {},
    }
    target = {"exercise_id": str(uuid.uuid4()), **amounts[kind]}
    with refused("UNKNOWN_EXERCISE", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        new(alice, **{kind: target})
    assert refusals[0].fields == [f"goal.{kind}.exercise_id"]
    assert listed(alice) == []


def test_a_goal_of_a_deprecated_exercise_is_refused(alice: Athlete, admin: Athlete) -> None:
    exercise = create(admin)
    before = new(alice, skill={"exercise_id": exercise.id})
    deprecate(admin, exercise.id)
    with refused("EXERCISE_DEPRECATED", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
        new(alice, skill={"exercise_id": exercise.id})
    assert refusals[0].fields == ["goal.skill.exercise_id"]
    assert listed(alice) == [before]


def test_a_goal_freezes_the_definition_of_its_exercise(alice: Athlete, admin: Athlete) -> None:
    exercise = create(admin)
    new(alice, reps={"exercise_id": exercise.id, "reps": 5})
    with refused("EXERCISE_IN_USE"):
        update_exercise(admin, exercise.id, bodyweight_fraction=0.123)


# How sets count


def test_the_current_value_is_the_best_set_of_28_days(alice: Athlete, bob: Athlete) -> None:
    did_reps(alice, 28, 11)
    did_reps(bob, 2, 12)
    goal = new(alice)
    assert not goal.HasField("base_value")
    assert not goal.HasField("current_value")
    assert not goal.HasField("progress")
    did_reps(alice, 27, 6, 8)
    did_reps(alice, 5, 7)
    found = get(alice, goal)
    assert not found.HasField("base_value")  # what is logged late moves no start
    assert (found.current_value, found.progress) == (8, pytest.approx(8 / 12))


def test_progress_is_counted_from_the_base(alice: Athlete) -> None:
    did_reps(alice, 3, 6)
    goal = new(alice)
    did_reps(alice, 0, 9)
    found = get(alice, goal)
    assert (found.base_value, found.current_value, found.progress) == (6, 9, 0.5)


def test_assisted_sets_and_warm_ups_do_not_count(alice: Athlete) -> None:
    goal = new(alice)
    did_reps(alice, 0, 15, load_kg=-10)
    did_reps(alice, 0, 15, kind=set_pb2.SET_KIND_WARM_UP)
    did_reps(alice, 0, 15, completed=False)
    assert not get(alice, goal).HasField("current_value")
    did_reps(alice, 0, 12, load_kg=5)
    assert get(alice, goal).status == ACHIEVED


def test_of_one_sided_work_the_weaker_side_counts(alice: Athlete) -> None:
    goal = new(alice, reps={"exercise_id": PISTOL_SQUAT, "reps": 5})
    sides = [(set_pb2.SIDE_LEFT, 8), (set_pb2.SIDE_RIGHT, 4)]
    sets = [{"actual_reps": count, "side": side} for side, count in sides]
    alice.log(did(ago(0), *sets, exercise=PISTOL_SQUAT))
    assert get(alice, goal).current_value == 4


def test_a_hold(alice: Athlete, bob: Athlete) -> None:
    target = {"exercise_id": L_SIT, "hold_seconds": 20.5}
    alice.log(did(ago(1), {"actual_hold_seconds": 12.5}, exercise=L_SIT))
    goal = new(alice, hold=target)
    other = new(bob, hold=target)
    assert (goal.hold.hold_seconds, goal.current_value) == (20.5, 12.5)
    alice.log(did(ago(0), {"actual_hold_seconds": 20.5}, exercise=L_SIT))
    assert get(alice, goal).status == ACHIEVED
    assert get(bob, other).status == ACTIVE


def test_an_added_load_counts_at_enough_repetitions(alice: Athlete, bob: Athlete) -> None:
    goal = new(alice, load={"exercise_id": PULL_UP, "load_kg": 20, "min_reps": 5})
    assert goal.load == pb.LoadTarget(exercise_id=PULL_UP, load_kg=20, min_reps=5)
    alice.log(
        did(
            ago(0),
            {"actual_reps": 8},
            {"actual_reps": 3, "load_kg": 25},
            {"actual_reps": 6, "load_kg": 12.5},
        )
    )
    found = get(alice, goal)
    assert (found.current_value, found.status) == (12.5, ACTIVE)
    assert found.progress == pytest.approx(12.5 / 20)
    alice.log(did(ago(0), {"actual_reps": 5, "load_kg": 20}))
    assert get(alice, goal).status == ACHIEVED
    assert get(bob, new(bob, load=goal.load)).status == ACTIVE


def test_a_load_is_told_apart_up_to_the_most_repetitions_of_a_target(alice: Athlete) -> None:
    target = {"exercise_id": PULL_UP, "load_kg": 5, "min_reps": MOST_LOADED_REPS}
    goal = new(alice, load=target)
    alice.log(did(ago(0), {"actual_reps": MOST_LOADED_REPS - 1, "load_kg": 5}))
    assert get(alice, goal).status == ACTIVE
    alice.log(did(ago(0), {"actual_reps": MOST_LOADED_REPS + 9, "load_kg": 5}))
    assert get(alice, goal).status == ACHIEVED


def test_sets_without_a_load_are_a_start(alice: Athlete) -> None:
    did_reps(alice, 1, 5)
    loads = [
        new(alice, load={"exercise_id": PULL_UP, "load_kg": 20, "min_reps": n}) for n in (5, 6)
    ]
    assert [one.HasField("base_value") for one in loads] == [True, False]
    assert (loads[0].base_value, loads[0].current_value) == (0, 0)


def test_strength_is_told_by_the_body_mass(alice: Athlete) -> None:
    goal = new(alice, relative_strength={"exercise_id": PULL_UP, "body_mass_ratio": 1.4})
    # Epley at 2 in reserve: (0.95 × 80 + 10) × (1 + 8 / 30)
    alice.log(did(ago(1), {"actual_reps": 6, "load_kg": 10, "rpe": 8}))
    found = get(alice, goal)
    assert found.current_value == pytest.approx((0.95 * 80 + 10) * (1 + 8 / 30) / 80)
    assert found.status == ACTIVE
    lighter = did(ago(0), {"actual_reps": 6, "load_kg": 10, "rpe": 8})
    lighter.body_mass_kg = 60
    alice.log(lighter)
    found = get(alice, goal)
    assert found.current_value == pytest.approx((0.95 * 60 + 10) * (1 + 8 / 30) / 60)
    assert found.status == ACHIEVED
    unknown = did(ago(0), {"actual_reps": 6, "load_kg": 50, "rpe": 8})
    unknown.ClearField("body_mass_kg")
    alice.log(unknown)
    assert get(alice, goal).current_value == found.current_value


# Achieved


def test_the_first_session_since_the_goal_was_created_achieves_it(
    alice: Athlete, bob: Athlete, clock: Clock
) -> None:
    did_reps(alice, 20, 12)
    goal, other = new(alice), new(bob)
    assert (goal.status, goal.progress, goal.base_value) == (ACTIVE, 1, 12)
    clock.day += timedelta(days=10)
    first = did_reps(alice, -5, 13)
    did_reps(alice, -7, 14)
    found = get(alice, goal)
    assert (found.status, found.progress) == (ACHIEVED, 1)
    assert found.achieved.session_id == first.id
    assert a_date(found.achieved.local_date) == TODAY + timedelta(days=5)
    assert found.forecast.withheld_reason == pb.FORECAST_WITHHELD_REASON_ACHIEVED
    assert get(bob, other).status == ACTIVE


def test_a_session_of_the_same_day_achieves_it(alice: Athlete) -> None:
    done = did_reps(alice, 0, 12)
    goal = new(alice)
    assert (goal.status, goal.achieved.session_id) == (ACHIEVED, done.id)


def test_what_is_achieved_stays_so(alice: Athlete, clock: Clock) -> None:
    goal = new(alice, deadline=to_date(ago(-7)))
    done = did_reps(alice, 0, 12)
    clock.day += timedelta(days=100)
    found = get(alice, goal)
    assert (found.status, found.progress) == (ACHIEVED, 1)
    assert found.achieved.session_id == done.id
    assert not found.HasField("current_value")


def test_what_is_voided_or_amended_achieves_nothing(
    alice: Athlete, bob: Athlete, clock: Clock
) -> None:
    goal, other = new(alice), new(bob)
    clock.day += timedelta(days=9)
    first, second = did_reps(alice, -1, 12), did_reps(alice, -3, 12)
    kept = did_reps(bob, -1, 12)
    void(alice, first)
    assert get(alice, goal).achieved.session_id == second.id
    amendment = session_pb2.AmendSessionRequest(
        session_id=second.id, session=did(ago(-3), {"actual_reps": 11})
    )
    alice.sessions.AmendSession(amendment)
    found = get(alice, goal)
    assert (found.status, found.current_value) == (ACTIVE, 11)
    assert found.progress == pytest.approx(11 / 12)
    late = did_reps(alice, -2, 12)  # logged late, and the first now
    did_reps(alice, -4, 12)
    assert get(alice, goal).achieved.session_id == late.id
    assert get(bob, other).achieved.session_id == kept.id


def test_a_deadline_passes_when_its_day_is_over(alice: Athlete, clock: Clock) -> None:
    goal = new(alice, deadline=to_date(ago(0)))
    assert goal.status == ACTIVE
    clock.day += timedelta(days=1)
    assert get(alice, goal).status == OVERDUE
    did_reps(alice, -1, 12)
    assert get(alice, goal).status == ACHIEVED  # late is not never


def test_what_day_it_is_depends_on_the_time_zone(alice: Athlete, clock: Clock) -> None:
    zone = "Pacific/Kiritimati"  # 14 hours ahead: there it is tomorrow at noon
    goal = alice.goals.CreateGoal(
        pb.CreateGoalRequest(goal=a_goal(deadline=to_date(ago(-1))), time_zone=zone)
    )
    assert a_date(goal.create_date) == TODAY + timedelta(days=1)
    clock.day += timedelta(days=1)
    assert get(alice, goal).status == ACTIVE
    assert get(alice, goal, time_zone=zone).status == OVERDUE
    assert [one.status for one in listed(alice, time_zone=zone)] == [OVERDUE]
    assert update(alice, goal, "display_name", display_name="A").status == ACTIVE
    with refused("INVALID_FIELD") as refusals:
        get(alice, goal, time_zone="Mars/Olympus")
    assert refusals[0].fields == ["time_zone"]


# Skills


def passed(athlete: Athlete, exercise: str, *days_ago: int) -> list[session_pb2.Session]:
    sets = [{"actual_reps": 8}] * 3
    return [athlete.log(did(ago(days), *sets, exercise=exercise)) for days in days_ago]


def test_a_skill_is_reached_step_by_step(alice: Athlete, bob: Athlete) -> None:
    archer = str(exercise_id("archer-pull-up"))
    passed(alice, CHIN_UP, 20, 18)
    goal = new(alice, skill={"exercise_id": archer})
    way = [one.exercise_id for one in goal.steps]
    assert (way[0], way[-1]) == (PULL_UP, archer)
    assert not any(one.passed for one in goal.steps)
    assert goal.progress == 0
    for name in ("base_value", "current_value", "week_streak"):
        assert not goal.HasField(name)
    assert goal.forecast.withheld_reason == pb.FORECAST_WITHHELD_REASON_NO_TREND
    passed(alice, PULL_UP, 3)
    whole = sum(one.weight for one in goal.steps)
    found = get(alice, goal)
    assert found.steps[0].share == pytest.approx(0.95)
    assert found.progress == pytest.approx(0.95 * goal.steps[0].weight / whole)
    passed(alice, PULL_UP, 1)
    found = get(alice, goal)
    assert [one.passed for one in found.steps][:2] == [True, False]
    assert found.progress == pytest.approx(goal.steps[0].weight / whole)
    assert [one.exercise_id for one in found.steps] == way
    assert len(new(bob, skill={"exercise_id": archer}).steps) > len(goal.steps)


def test_the_session_that_passes_a_skill_achieves_it(alice: Athlete) -> None:
    passed(alice, CHIN_UP, 20, 18)
    goal = new(alice, skill={"exercise_id": PULL_UP})
    assert [one.exercise_id for one in goal.steps] == [PULL_UP]
    _, second, third = passed(alice, PULL_UP, 5, 3, 1)
    found = get(alice, goal)
    assert (found.status, found.progress) == (ACHIEVED, 1)
    assert found.achieved.session_id == second.id
    assert a_date(found.achieved.local_date) == TODAY - timedelta(days=3)
    void(alice, second)
    assert get(alice, goal).achieved.session_id == third.id
    void(alice, third)
    found = get(alice, goal)
    assert (found.status, found.progress) == (ACTIVE, pytest.approx(0.95))


def test_a_skill_that_is_passed_is_achieved(alice: Athlete) -> None:
    sessions = passed(alice, CHIN_UP, 20, 18)
    goal = new(alice, skill={"exercise_id": CHIN_UP})
    assert (goal.status, goal.progress) == (ACHIEVED, 1)
    assert goal.achieved.session_id == sessions[1].id
    assert [one.exercise_id for one in goal.steps] == [CHIN_UP]
    void(alice, sessions[0])
    found = get(alice, goal)
    assert (found.status, found.progress) == (ACTIVE, pytest.approx(0.95))


# Frequencies


def test_a_frequency_counts_the_sessions_of_the_running_week(alice: Athlete, bob: Athlete) -> None:
    for days in (3, 2, 1):  # Sunday, Monday, Tuesday
        did_reps(alice, days, 5)
    did_reps(bob, 0, 5)
    goal = new(alice, frequency={"sessions_per_week": 3})
    assert (goal.current_value, goal.progress) == (2, pytest.approx(2 / 3))
    assert (goal.status, goal.week_streak) == (ACTIVE, 0)
    assert not goal.HasField("base_value")
    assert goal.forecast.withheld_reason == pb.FORECAST_WITHHELD_REASON_NO_TREND
    done = did_reps(alice, 0, 5)
    did_reps(alice, 0, 6)
    found = get(alice, goal)
    assert (found.current_value, found.progress, found.week_streak) == (4, 1, 1)
    assert (found.status, found.achieved.session_id) == (ACHIEVED, done.id)


def test_a_full_week_achieves_a_frequency_only_after_its_creation(
    alice: Athlete, clock: Clock
) -> None:
    for days in (2, 1):
        did_reps(alice, days, 5)
    goal = new(alice, frequency={"sessions_per_week": 2})
    assert (goal.status, goal.progress, goal.week_streak) == (ACTIVE, 1, 1)
    done = did_reps(alice, 0, 5)
    assert get(alice, goal).achieved.session_id == done.id


def test_a_streak_is_of_full_weeks_in_a_row(alice: Athlete, clock: Clock) -> None:
    goal = new(alice, frequency={"sessions_per_week": 2})
    clock.day = date(2026, 4, 8)  # a Wednesday, three weeks later
    for day in ("2026-03-19", "2026-03-22", "2026-03-23", "2026-03-29", "2026-03-30"):
        alice.log(on(day))
    found = get(alice, goal)
    assert (found.week_streak, found.current_value, found.progress) == (0, 0, 0)
    assert found.status == ACHIEVED  # the first full week did it
    alice.log(on("2026-04-05"))
    assert get(alice, goal).week_streak == 3
    for day in ("2026-04-06", "2026-04-07"):
        alice.log(on(day))
    assert get(alice, goal).week_streak == 4


# Forecast

GOLDEN_DAYS = (0, 4, 7, 11, 14, 18, 21, 25, 28)
GOLDEN_REPS = (5, 6, 6, 8, 8, 9, 15, 10, 11)


def log_golden(athlete: Athlete) -> None:
    for day, count in zip(GOLDEN_DAYS, GOLDEN_REPS, strict=True):
        did_reps(athlete, 28 - day, count, 3)


def test_golden_forecast(alice: Athlete, bob: Athlete) -> None:
    """The golden trend, see tests/unit/test_forecast.py: met on day 70, between 52.5 and 85."""
    log_golden(alice)
    goal = new(alice, reps={"exercise_id": PULL_UP, "reps": 20})
    first = TODAY - timedelta(days=28)
    found = goal.forecast
    assert found.point_count == 9
    assert found.slope_per_day == pytest.approx(0.2142857, abs=1e-7)
    assert found.slope_low_per_day == pytest.approx(0.1764706, abs=1e-7)
    assert found.slope_high_per_day == pytest.approx(0.2857143, abs=1e-7)
    assert a_date(found.achieve_date) == first + timedelta(days=70)
    assert a_date(found.earliest_date) == first + timedelta(days=53)
    assert a_date(found.latest_date) == first + timedelta(days=85)
    assert found.withheld_reason == pb.FORECAST_WITHHELD_REASON_UNSPECIFIED
    nothing = new(bob).forecast
    assert nothing == pb.GoalForecast(withheld_reason=pb.FORECAST_WITHHELD_REASON_TOO_FEW_POINTS)


def test_a_trend_looks_back_84_days(alice: Athlete, clock: Clock) -> None:
    for days in (84, 83, 60, 30, 0):
        did_reps(alice, days, 5)
    goal = new(alice)
    assert goal.forecast.point_count == 4
    did_reps(alice, -1, 9)  # tomorrow somewhere else; not yet a day of this athlete
    assert get(alice, goal).forecast.point_count == 4
    clock.day += timedelta(days=1)
    assert get(alice, goal).forecast.point_count == 4


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({13: 5, 10: 6, 7: 7, 4: 8, 0: 9}, "TOO_SHORT_SPAN"),
        ({40: 8, 30: 8, 20: 8, 10: 8, 0: 8}, "NOT_RISING"),
        ({40: 5, 30: 9, 20: 4, 10: 9, 0: 7}, "UNCERTAIN"),
        ({80: 5, 60: 5, 40: 6, 20: 6, 10: 6, 0: 6}, None),
    ],
)
def test_a_forecast_says_why_there_is_no_date(
    alice: Athlete, row: dict[int, int], reason: str | None
) -> None:
    for days, count in row.items():
        did_reps(alice, days, count)
    found = new(alice, reps={"exercise_id": PULL_UP, "reps": 100}).forecast
    name = pb.ForecastWithheldReason.Name(found.withheld_reason)
    expected = reason or ("TOO_FAR" if found.slope_low_per_day > 0 else "UNCERTAIN")
    assert name == f"FORECAST_WITHHELD_REASON_{expected}"
    assert not found.HasField("achieve_date")
    assert found.HasField("slope_per_day") == (reason != "TOO_SHORT_SPAN")


# Changes


def test_name_and_deadline_can_change(alice: Athlete, bob: Athlete) -> None:
    goal = new(alice, deadline=to_date(ago(-9)))
    changed = update(alice, goal, "display_name", display_name="Dozen", etag="1")
    assert (changed.display_name, changed.etag) == ("Dozen", "2")
    assert changed.deadline == goal.deadline
    cleared = update(alice, changed, "deadline")
    assert not cleared.HasField("deadline")
    both = update(alice, goal, "*", display_name="Both", deadline=to_date(ago(-3)))
    assert (both.display_name, a_date(both.deadline), both.etag) == (
        "Both",
        TODAY + timedelta(days=3),
        "4",
    )
    assert get(alice, goal) == both
    assert both.reps == goal.reps
    with refused("GOAL_NOT_FOUND") as refusals:
        update(bob, goal, "display_name", display_name="Mine")
    assert refusals[0].fields == ["goal_id"]


@pytest.mark.parametrize(
    ("paths", "fields", "reason", "path"),
    [
        ([], {}, "INVALID_UPDATE_MASK", "update_mask"),
        (["reps"], {}, "INVALID_UPDATE_MASK", "update_mask"),
        (["reps.reps"], {}, "INVALID_UPDATE_MASK", "update_mask"),
        (["status"], {}, "INVALID_UPDATE_MASK", "update_mask"),
        (["display_name"], {}, "INVALID_FIELD", "goal.display_name"),
        (["deadline"], {"deadline": to_date(ago(1))}, "INVALID_FIELD", "goal.deadline"),
        (["display_name"], {"display_name": "A", "etag": "7"}, "ETAG_MISMATCH", "goal.etag"),
    ],
)
def test_a_bad_change_is_refused(
    alice: Athlete, paths: list[str], fields: dict[str, Any], reason: str, path: str
) -> None:
    goal = new(alice)
    with refused(reason) as refusals:
        update(alice, goal, *paths, **fields)
    assert refusals[0].fields == [path]
    assert get(alice, goal) == goal


def test_the_name_of_an_overdue_goal_can_change(alice: Athlete, clock: Clock) -> None:
    goal = new(alice, deadline=to_date(ago(0)))
    clock.day += timedelta(days=2)
    assert update(alice, goal, "display_name", display_name="Late").status == OVERDUE
    assert update(alice, goal, "deadline", deadline=to_date(ago(-9))).status == ACTIVE


def test_a_goal_is_given_up_for_good(alice: Athlete, bob: Athlete) -> None:
    goal, other = new(alice), new(bob)
    ended = abandon(alice, goal, etag="1")
    assert (ended.status, ended.etag) == (ABANDONED, "2")
    assert ended.HasField("abandon_time")
    assert ended.forecast.withheld_reason == pb.FORECAST_WITHHELD_REASON_ABANDONED
    assert get(alice, goal) == ended
    assert listed(alice) == []
    assert listed(alice, show_abandoned=True) == [ended]
    for again in (
        lambda: abandon(alice, goal),
        lambda: update(alice, goal, "display_name", display_name="No"),
    ):
        with refused("GOAL_ABANDONED", grpc.StatusCode.FAILED_PRECONDITION):
            again()
    with refused("GOAL_NOT_FOUND"):
        abandon(alice, other)
    assert listed(bob) == [other]


def test_what_is_achieved_is_not_given_up(alice: Athlete) -> None:
    goal = new(alice)
    done = did_reps(alice, 0, 12)
    with refused("GOAL_ACHIEVED", grpc.StatusCode.FAILED_PRECONDITION):
        abandon(alice, goal)
    void(alice, done)
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED) as refusals:
        abandon(alice, goal, etag="9")
    assert refusals[0].fields == ["etag"]
    assert abandon(alice, goal).status == ABANDONED


def test_of_changes_at_once_with_one_etag_one_is_made(alice: Athlete) -> None:
    goal = new(alice)

    def change(name: str) -> bool:
        try:
            update(alice, goal, "display_name", display_name=name, etag="1")
        except grpc.RpcError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(change, map(str, range(8))))
    assert sum(done) == 1
    assert get(alice, goal).etag == "2"


# Writing twice


@pytest.mark.parametrize("name", ["CreateGoal", "UpdateGoal", "AbandonGoal"])
def test_a_write_that_comes_twice_is_answered_twice_and_done_once(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection, clock: Clock, name: str
) -> None:
    goal = new(alice)
    request_id = str(uuid.uuid4())
    requests: dict[str, Callable[..., Any]] = {
        "CreateGoal": lambda **more: pb.CreateGoalRequest(
            goal=a_goal(deadline=to_date(ago(0))), **more
        ),
        "UpdateGoal": lambda **more: pb.UpdateGoalRequest(
            goal_id=goal.id,
            goal=pb.Goal(display_name="New", etag="1"),
            update_mask={"paths": ["display_name"]},
            **more,
        ),
        "AbandonGoal": lambda **more: pb.AbandonGoalRequest(goal_id=goal.id, etag="1", **more),
    }
    request = requests[name](request_id=request_id)
    call = getattr(alice.goals, name)
    first = call(request)
    clock.day += timedelta(days=30)
    did_reps(alice, 0, 12)
    assert call(request) == first
    assert len(listed(alice, show_abandoned=True)) == (2 if name == "CreateGoal" else 1)
    with refused("REQUEST_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS):
        call(requests[name](request_id=request_id, time_zone="Europe/Berlin"))
    assert listed(bob, show_abandoned=True) == []


def test_fifty_concurrent_creations_of_one_request_store_one_goal(alice: Athlete) -> None:
    request = pb.CreateGoalRequest(goal=a_goal(), request_id=str(uuid.uuid4()))
    with ThreadPoolExecutor(50) as threads:
        calls = [threads.submit(alice.goals.CreateGoal, request) for _ in range(50)]
        answers = {call.result().SerializeToString(deterministic=True) for call in calls}
    assert len(answers) == 1
    assert len(listed(alice)) == 1


# Listing


def test_goals_are_listed_newest_first_in_pages(alice: Athlete, bob: Athlete) -> None:
    names = [str(n) for n in range(5)]
    for name in names:
        new(alice, display_name=name)
        new(bob, display_name=f"of bob {name}")
    abandon(alice, listed(alice)[2])
    for request, expected in (({}, "4310"), ({"show_abandoned": True}, "43210")):
        seen = []
        page = pb.ListGoalsRequest(page_size=2, **request)
        while True:
            response = alice.goals.ListGoals(page)
            assert len(response.goals) <= 2
            seen += [one.display_name for one in response.goals]
            if not response.next_page_token:
                break
            page.page_token = response.next_page_token
        assert "".join(seen) == expected


def test_a_page_token_is_good_for_its_listing_alone(alice: Athlete, bob: Athlete) -> None:
    for _ in range(3):
        new(alice)
    token = alice.goals.ListGoals(pb.ListGoalsRequest(page_size=1)).next_page_token
    for athlete, request in (
        (alice, {"page_token": "x"}),
        (alice, {"page_token": token, "show_abandoned": True}),
        (alice, {"page_token": forged_token(token, "no uuid")}),
        (bob, {"page_token": token}),
    ):
        with refused("INVALID_PAGE_TOKEN", grpc.StatusCode.INVALID_ARGUMENT):
            athlete.goals.ListGoals(pb.ListGoalsRequest(**request))


def test_a_page_has_a_hundred_goals_at_most(alice: Athlete) -> None:
    for _ in range(101):
        new(alice)
    response = alice.goals.ListGoals(pb.ListGoalsRequest(page_size=1000))
    assert len(response.goals) == 100
    assert response.next_page_token


def of_each_kind(athlete: Athlete) -> list[pb.Goal]:
    return [
        new(athlete, reps={"exercise_id": PULL_UP, "reps": 20}),
        new(athlete, hold={"exercise_id": L_SIT, "hold_seconds": 30}),
        new(athlete, load={"exercise_id": PULL_UP, "load_kg": 30, "min_reps": 3}),
        new(athlete, relative_strength={"exercise_id": PULL_UP, "body_mass_ratio": 1.6}),
        new(athlete, skill={"exercise_id": str(exercise_id("archer-pull-up"))}),
        new(athlete, frequency={"sessions_per_week": 3}),
    ]


def test_listing_takes_as_many_statements_for_thirty_goals_as_for_six(
    alice: Athlete, bob: Athlete, queries: Queries
) -> None:
    of_each_kind(alice)
    log_golden(bob)
    goals = [one for _ in range(5) for one in of_each_kind(bob)]
    sent = []
    for athlete, count in ((alice, 6), (bob, 30)):
        listed(athlete)
        queries.clear()
        assert len(listed(athlete)) == count
        # The goals, then all that sessions say of them.
        assert sum(sql.startswith("BEGIN") for sql in queries.sql) == 2
        sent.append(queries.data)
    assert len(sent[0]) == 5  # goals; points, achievements, weeks, practices
    assert sent[0] == sent[1]
    assert listed(bob) == goals[::-1]
    queries.clear()
    get(bob, goals[0])
    assert len(queries.data) == 3  # a goal of repetitions needs neither weeks nor practices
