"""The load pattern ahead, over the wire."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from calisthenics.training.v1 import load_pb2 as pb
from calisthenics.training.v1 import phase_pb2, schedule_pb2, workout_pb2

from tests.rpc.test_load import TODAY, TUCK_PLANCHE, a_load, log_all, status
from tests.rpc.test_totals import a_date, to_date
from tests.support import PUSH_UP, Athlete, Queries, a_phase, a_schedule, refused
from tests.unit.test_load import FIVE_WEEKS

USUAL, HIGH = pb.LOAD_FLAG_LEVEL_USUAL, pb.LOAD_FLAG_LEVEL_HIGH
BY_EARLIER = pb.EXPECTED_LOAD_BASIS_EARLIER_SESSIONS
BY_PRESCRIPTION = pb.EXPECTED_LOAD_BASIS_PRESCRIPTION


def outlook(athlete: Athlete, **request: Any) -> pb.LoadOutlook:
    return athlete.loads.GetLoadOutlook(pb.GetLoadOutlookRequest(**request))


def plan(athlete: Athlete, *workout_ids: str) -> schedule_pb2.Schedule:
    """Plans a workout for each day from today on; empty is rest."""
    # A longer rotation, so that each comes once.
    ids = [*workout_ids, *[""] * (28 - len(workout_ids))]
    schedule = a_schedule(*ids, start_date=to_date(TODAY), end_date=to_date(TODAY + timedelta(28)))
    return athlete.schedules.CreateSchedule(schedule_pb2.CreateScheduleRequest(schedule=schedule))


def with_loads(athlete: Athlete, loads: Sequence[float], *, days_ago: int = 200) -> str:
    """Returns a workout that had sessions of these loads, one a day from some days ago on."""
    workout = athlete.create_workout()
    first = TODAY - timedelta(days_ago)
    log_all(
        athlete,
        [
            a_load(first + timedelta(n), load, workout_id=workout.id, workout_revision=1)
            for n, load in enumerate(loads)
        ],
    )
    return workout.id


def pushes(**fields: Any) -> workout_pb2.WorkoutExercise:
    exercise = {"exercise_id": PUSH_UP, "sets": 3, "reps": {"min": 10, "max": 10}}
    return workout_pb2.WorkoutExercise(**{**exercise, "rest_seconds": 60, **fields})


def flag(of: pb.LoadFlag) -> tuple[int, int, list[tuple[int, float]]]:
    return of.level, of.points, [(one.kind, round(one.value, 9)) for one in of.triggers]


def test_a_plan_that_is_followed_comes_out_as_foreseen(alice: Athlete, bob: Athlete) -> None:
    """The golden series: four weeks done, the fifth planned; bob has done all five."""
    known, ahead = FIVE_WEEKS[:28], FIVE_WEEKS[28:]
    workouts = [with_loads(alice, [load]) if load else "" for load in ahead]
    for load in filter(None, ahead):
        with_loads(bob, [load])
    log_all(
        alice,
        [a_load(TODAY - timedelta(28 - n), load) for n, load in enumerate(known) if load],
    )
    log_all(
        bob, [a_load(TODAY - timedelta(34 - n), load) for n, load in enumerate(FIVE_WEEKS) if load]
    )
    plan(alice, *workouts)
    found = outlook(alice, day_count=7)
    assert [a_date(day.local_date) for day in found.days] == [
        TODAY + timedelta(n) for n in range(7)
    ]
    assert [[one.load for one in day.sessions] for day in found.days] == [
        [load] if load else [] for load in ahead
    ]
    for n, day in enumerate(found.days):
        came = status(bob, TODAY - timedelta(6 - n))
        assert day.day.uncoupled_acwr.value == pytest.approx(came.day.uncoupled_acwr.value)
        assert day.day.monotony.value == pytest.approx(came.day.monotony.value)
        assert day.day.week.change == pytest.approx(came.day.week.change)
        assert flag(day.flag) == flag(came.flag)
        assert not day.lacks_basis
    last = found.days[6]
    assert last.day.uncoupled_acwr.value == pytest.approx(1.509091, abs=5e-7)
    assert last.flag.level == HIGH
    assert last.flag.triggers[0].description == (
        "Load a day in the last 7 days would be 1.51 times that of the 21 days before."
    )
    assert found.flag == status(alice, TODAY).flag
    assert found.flag.level == USUAL
    rises = [day.flag.level > USUAL for day in found.days].index(True)
    assert a_date(found.rise_date) == TODAY + timedelta(rises)
    assert found.note.startswith("Describes your load pattern; it does not predict injury.")
    assert not found.dates_without_basis
    assert outlook(bob).days[0].sessions == []


def test_what_a_load_is_expected_by(alice: Athlete, bob: Athlete) -> None:
    known = with_loads(alice, [1000, 100, 200, 300, 400, 500])
    prescribed = alice.create_workout(exercises=[pushes(target_rpe=8)]).id
    unknown = alice.create_workout(exercises=[pushes()]).id
    with_loads(bob, [900])
    schedule = plan(alice, known, prescribed, unknown)
    found = outlook(alice)
    assert len(found.days) == 14
    one, other, third = (day.sessions[0] for day in found.days[:3])
    # The median of the last five.
    assert (one.schedule_id, one.number, one.workout_id) == (schedule.id, 1, known)
    assert (one.load, one.basis) == (300, BY_EARLIER)
    # 3 × (15 + 10 × 3) + 2 × 60 seconds, at 8.
    assert (other.load, other.basis) == (pytest.approx(8 * 255 / 60), BY_PRESCRIPTION)
    assert (third.HasField("load"), third.basis) == (False, 0)
    assert [a_date(one) for one in found.dates_without_basis] == [TODAY + timedelta(2)]
    assert [day.lacks_basis for day in found.days[:4]] == [False, False, True, False]
    day = found.days[2].day
    assert (day.session_count, day.unknown_session_count, day.HasField("load")) == (1, 1, False)


def test_a_deload_week_takes_off_what_it_takes_off(alice: Athlete) -> None:
    workout_id = with_loads(alice, [300])
    week = a_phase(
        start_date=to_date(TODAY + timedelta(1)),
        end_date=to_date(TODAY + timedelta(8)),
        volume_factors=[],
        deload_weeks=[1],
    )
    alice.phases.CreatePhase(phase_pb2.CreatePhaseRequest(phase=week))
    plan(alice, workout_id, workout_id)
    assert [day.sessions[0].load for day in outlook(alice).days[:2]] == [300, 150]


def test_what_was_done_today_is_not_expected_again(alice: Athlete) -> None:
    workout_id = with_loads(alice, [300])
    plan(alice, workout_id)
    assert outlook(alice).days[0].day.load == 300
    alice.log(a_load(TODAY, 500, workout_id=workout_id, workout_revision=1))
    [today, *_] = outlook(alice).days
    assert (today.sessions, today.day.load, today.day.session_count) == ([], 500, 1)


def test_planned_holds_are_looked_at(alice: Athlete) -> None:
    hold = workout_pb2.WorkoutExercise(
        exercise_id=TUCK_PLANCHE, sets=5, hold={"min_seconds": 10, "max_seconds": 14}
    )
    short = alice.create_workout(exercises=[hold])
    hold.sets = 7
    plan(alice, short.id, "", "", alice.create_workout(exercises=[hold]).id)
    days = outlook(alice).days
    kind = pb.LOAD_TRIGGER_KIND_STRAIGHT_ARM_HOLD
    assert [one.kind for one in days[2].flag.triggers] == []
    [trigger] = days[3].flag.triggers
    assert (trigger.kind, trigger.value, trigger.threshold) == (kind, 84, pytest.approx(78))
    assert "would be above 78 s" in trigger.description


@pytest.mark.parametrize("days_ago", [40, 90, 100, 200])
def test_the_first_planned_session_after_a_break(alice: Athlete, days_ago: int) -> None:
    """Also when the last session is so long ago that the days looked at don't reach back to it."""
    alice.log(a_load(TODAY - timedelta(300), 100))
    workout_id = with_loads(alice, [280, 280, 280, 280], days_ago=days_ago)
    plan(alice, "", workout_id)
    days = outlook(alice).days
    kind = pb.LOAD_TRIGGER_KIND_RETURN_AFTER_BREAK
    assert kind not in [one.kind for one in days[0].flag.triggers]
    for day in days[1:8]:
        [trigger] = [one for one in day.flag.triggers if one.kind == kind]
        assert trigger.value == pytest.approx(1)  # 280 beside 4 × 280 in four weeks
        assert "would have 100%" in trigger.description


def test_without_sessions_and_plans(alice: Athlete) -> None:
    found = outlook(alice, day_count=3)
    assert [day.HasField("day") or day.HasField("flag") for day in found.days] == [False] * 3
    assert not found.HasField("flag")
    assert not found.HasField("rise_date")
    plan(alice, "", alice.create_workout(exercises=[pushes(target_rpe=8)]).id)
    found = outlook(alice, day_count=3)
    assert [day.HasField("day") for day in found.days] == [False, True, True]
    assert found.days[2].day.history_day_count == 2


@pytest.mark.parametrize("day_count", [-1, 43])
def test_too_many_days_are_refused(alice: Athlete, day_count: int) -> None:
    with refused("INVALID_FIELD") as refusals:
        outlook(alice, day_count=day_count)
    assert refusals[0].fields == ["day_count"]


def test_it_takes_as_many_statements_for_forty_sessions_as_for_one(
    alice: Athlete, bob: Athlete, queries: Queries
) -> None:
    sent = []
    for athlete, count in ((alice, 1), (bob, 28)):
        ids = [athlete.create_workout(exercises=[pushes(target_rpe=8)]).id for _ in range(count)]
        plan(athlete, *ids)
        outlook(athlete)
        queries.clear()
        assert len(outlook(athlete, day_count=28).days) == 28
        sent.append(sorted(queries.data))
    assert sent[0] == sent[1]
    # Loads, their first day and checkpoint, holds; schedules, changes, what was done; rules;
    # workouts; phases; and what the workouts' sessions had.
    assert len(sent[0]) == 11
