"""Schedules and planned sessions over the wire."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from calisthenics.training.v1 import phase_pb2, prescription_pb2, session_pb2, workout_pb2
from calisthenics.training.v1 import schedule_pb2 as pb

from tests.rpc.test_totals import a_date, on, to_date
from tests.support import PULL_UP, Athlete, Queries, a_phase, a_schedule, refused

MONDAY = date(2026, 3, 2)
TODAY = datetime.now(UTC).date()
LET_GO, CARRY_OVER = pb.MissedSessionPolicy.values()[1:]
PLANNED, DONE, MISSED, SKIPPED = pb.PlannedSessionState.values()[1:]
MARKS = {PLANNED: "", DONE: "+", MISSED: "!", SKIPPED: "x"}


def create(athlete: Athlete, schedule: pb.Schedule, **request: Any) -> pb.Schedule:
    return athlete.schedules.CreateSchedule(pb.CreateScheduleRequest(schedule=schedule, **request))


def listed(
    athlete: Athlete, first: date = MONDAY, days: int = 28, **request: Any
) -> list[pb.PlannedSession]:
    message = pb.ListPlannedSessionsRequest(
        from_date=to_date(first), to_date=to_date(first + timedelta(days)), **request
    )
    return list(athlete.schedules.ListPlannedSessions(message).planned_sessions)


def told(found: Sequence[pb.PlannedSession], first: date = MONDAY) -> str:
    """Returns their days, from 1 on, and what became of them."""
    return " ".join(
        f"{(a_date(one.local_date) - first).days + 1}{MARKS[one.state]}" for one in found
    )


def log(athlete: Athlete, workout: workout_pb2.Workout, local_date: date) -> session_pb2.Session:
    return athlete.log(
        on(local_date.isoformat(), workout_id=workout.id, workout_revision=workout.revision)
    )


def beginning(start: date, days: int, *workout_ids: str, **fields: Any) -> pb.Schedule:
    return a_schedule(
        *workout_ids,
        **{"start_date": to_date(start), "end_date": to_date(start + timedelta(days)), **fields},
    )


def test_a_schedule_is_stored_as_it_was_given(alice: Athlete, bob: Athlete) -> None:
    a, b = alice.create_workout(), alice.create_workout()
    rotation = create(alice, a_schedule(a.id, "", b.id, "", missed_policy=CARRY_OVER))
    assert list(rotation.rotation.workout_ids) == [a.id, "", b.id, ""]
    assert rotation.missed_policy == CARRY_OVER
    assert rotation.external_user_id == alice.id
    assert a_date(rotation.start_date) == MONDAY
    weekly = create(alice, a_schedule(weekly={"slots": [{"weekday": 1, "workout_id": a.id}]}))
    assert [(s.weekday, s.workout_id) for s in weekly.weekly.slots] == [(1, a.id)]
    assert weekly.missed_policy == LET_GO
    for one in (rotation, weekly):
        assert alice.schedules.GetSchedule(pb.GetScheduleRequest(schedule_id=one.id)) == one
    request = pb.ListSchedulesRequest(page_size=1)
    first = alice.schedules.ListSchedules(request)
    request.page_token = first.next_page_token
    second = alice.schedules.ListSchedules(request)
    assert [*first.schedules, *second.schedules] == [weekly, rotation]
    assert not second.next_page_token
    assert not bob.schedules.ListSchedules(pb.ListSchedulesRequest()).schedules


def test_what_became_of_planned_sessions(alice: Athlete, bob: Athlete) -> None:
    workout = alice.create_workout()
    create(alice, a_schedule(workout.id, ""))
    done = log(alice, workout, MONDAY)
    log(alice, workout, MONDAY + timedelta(1))
    alice.log(on((MONDAY + timedelta(2)).isoformat()))
    found = listed(alice)
    assert told(found) == "1+ 3! 5! 7! 9! 11! 13!"
    assert [one.session_id for one in found[:2]] == [done.id, ""]
    assert [one.number for one in found[:3]] == [1, 3, 5]
    assert a_date(found[1].due_date) == MONDAY + timedelta(2)
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=done.id))
    assert told(listed(alice)) == "1! 3! 5! 7! 9! 11! 13!"
    assert listed(bob) == []


def test_a_range_shows_its_own_days(alice: Athlete) -> None:
    workout = alice.create_workout()
    create(alice, a_schedule(workout.id, ""))
    assert told(listed(alice, MONDAY + timedelta(4), 5)) == "5! 7! 9!"
    assert listed(alice, MONDAY + timedelta(20), 5) == []
    assert listed(alice, MONDAY - timedelta(20), 20) == []


def test_without_a_range_it_is_the_week_from_today_on(alice: Athlete) -> None:
    workout = alice.create_workout()
    create(alice, beginning(TODAY - timedelta(1), 30, workout.id))
    found = alice.schedules.ListPlannedSessions(pb.ListPlannedSessionsRequest()).planned_sessions
    assert told(found, TODAY) == "1 2 3 4 5 6 7"


def test_a_rotation_waits_for_what_was_missed(alice: Athlete) -> None:
    a, b = alice.create_workout(), alice.create_workout()
    begin = TODAY - timedelta(4)
    policy = {"missed_policy": CARRY_OVER}
    create(alice, beginning(begin, 14, a.id, "", b.id, "", **policy))
    log(alice, a, begin)
    found = listed(alice, begin, 14)
    # B of the third day was missed on it and the day after: today is the fifth.
    assert told(found, begin) == "1+ 5 7 9 11 13"
    assert [one.workout_id for one in found[:3]] == [a.id, b.id, a.id]
    assert a_date(found[1].due_date) == begin + timedelta(2)


def reschedule(athlete: Athlete, schedule: pb.Schedule, number: int, **change: Any) -> None:
    athlete.schedules.ReschedulePlannedSession(
        pb.ReschedulePlannedSessionRequest(schedule_id=schedule.id, number=number, **change)
    )


def test_a_planned_session_is_moved_called_off_and_put_back(alice: Athlete) -> None:
    workout = alice.create_workout()
    schedule = create(alice, beginning(TODAY, 7, workout.id, "", ""))
    assert told(listed(alice, TODAY), TODAY) == "1 4 7"
    reschedule(alice, schedule, 1, new_date=to_date(TODAY + timedelta(1)))
    reschedule(alice, schedule, 4, skip=True)
    assert told(listed(alice, TODAY), TODAY) == "2 4x 7"
    reschedule(alice, schedule, 4, new_date=to_date(TODAY + timedelta(2)))
    assert told(listed(alice, TODAY), TODAY) == "2 3 7"
    for number in (1, 4):
        reschedule(alice, schedule, number, restore=True)
    assert told(listed(alice, TODAY), TODAY) == "1 4 7"
    with refused("INVALID_FIELD") as refusals:
        reschedule(alice, schedule, 1, new_date=to_date(TODAY + timedelta(7)))
    assert refusals[0].fields == ["new_date"]


def a_mesocycle(athlete: Athlete, **fields: Any) -> phase_pb2.Phase:
    return athlete.phases.CreatePhase(phase_pb2.CreatePhaseRequest(phase=a_phase(**fields)))


def test_a_schedule_of_a_phase_has_its_days_and_its_factors(alice: Athlete) -> None:
    """Four weeks of 1, 1.05, 1.5 times the volume and a deload, with 0.96 of the intensity."""
    phase = a_mesocycle(
        alice, volume_factors=[1, 1.05, 1.5], intensity_factors=[1, 0.96, 1], deload_weeks=[4]
    )
    workout = alice.create_workout()
    weekly = {"slots": [{"weekday": 1, "workout_id": workout.id}]}
    schedule = a_schedule(weekly=weekly, phase_id=phase.id)
    schedule.ClearField("start_date")
    schedule.ClearField("end_date")
    stored = create(alice, schedule)
    assert (stored.start_date, stored.end_date) == (phase.start_date, phase.end_date)
    found = listed(alice)
    assert told(found) == "1! 8! 15! 22!"
    sets = [[e.exercise.sets for e in one.exercises] for one in found]
    assert sets == [[4, 3], [4, 3], [6, 5], [2, 2]]
    assert [one.exercises[0].exercise.load_kg for one in found] == [10, 9.5, 10, 9]
    assert {one.exercises[0].workout_sets for one in found} == {4}
    assert {one.exercises[0].workout_load_kg for one in found} == {10}
    assert not found[0].exercises[1].HasField("workout_load_kg")
    kinds = [[(one.kind, one.factor) for one in planned.reasons] for planned in found]
    volume, intensity, deload = prescription_pb2.PrescriptionReasonKind.values()[1:4]
    assert kinds == [
        [],
        [(volume, 1.05), (intensity, 0.96)],
        [(volume, 1.5)],
        [(deload, 0.5), (intensity, 0.9)],
    ]
    assert "volume is 1.5 times the usual" in found[2].reasons[0].description
    move = phase_pb2.MovePhaseRequest(phase_id=phase.id, start_date=to_date(MONDAY + timedelta(7)))
    alice.phases.MovePhase(move)
    assert told(listed(alice)) == "8! 15! 22!"
    alice.phases.DeletePhase(phase_pb2.DeletePhaseRequest(phase_id=phase.id))
    with refused("SCHEDULE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        alice.schedules.GetSchedule(pb.GetScheduleRequest(schedule_id=stored.id))


def test_a_session_stands_for_one_of_several_schedules(alice: Athlete) -> None:
    workout = alice.create_workout()
    for _ in range(2):
        create(alice, a_schedule(workout.id, *[""] * 13))
    log(alice, workout, MONDAY)
    assert sorted(one.state for one in listed(alice)) == [DONE, MISSED]


def test_the_current_revision_is_prescribed(alice: Athlete) -> None:
    workout = alice.create_workout()
    create(alice, a_schedule(workout.id, *[""] * 13))
    exercise = workout_pb2.WorkoutExercise(
        exercise_id=PULL_UP, sets=2, reps={"min": 1, "max": 3}, kind=4
    )
    alice.workouts.UpdateWorkout(
        workout_pb2.UpdateWorkoutRequest(
            workout_id=workout.id,
            workout=workout_pb2.Workout(exercises=[exercise]),
            update_mask={"paths": ["exercises"]},
        )
    )
    [found] = listed(alice)
    assert found.workout_revision == 2
    assert [one.exercise.sets for one in found.exercises] == [2]
    alice.workouts.DeleteWorkout(workout_pb2.DeleteWorkoutRequest(workout_id=workout.id))
    [found] = listed(alice)
    assert (found.workout_id, found.workout_revision) == (workout.id, 0)
    assert not found.exercises


def test_what_a_schedule_names_must_be_there(alice: Athlete, bob: Athlete) -> None:
    own, foreign, deleted = alice.create_workout(), bob.create_workout(), alice.create_workout()
    alice.workouts.DeleteWorkout(workout_pb2.DeleteWorkoutRequest(workout_id=deleted.id))
    with refused("UNKNOWN_WORKOUT", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        create(alice, a_schedule(own.id, foreign.id, "", deleted.id))
    assert refusals[0].fields == [
        "schedule.rotation.workout_ids[1]",
        "schedule.rotation.workout_ids[3]",
    ]
    phase = a_mesocycle(bob)
    schedule = a_schedule(own.id, phase_id=phase.id)
    schedule.ClearField("start_date")
    schedule.ClearField("end_date")
    with refused("UNKNOWN_PHASE", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        create(alice, schedule)
    assert refusals[0].fields == ["schedule.phase_id"]
    assert not alice.schedules.ListSchedules(pb.ListSchedulesRequest()).schedules


def test_a_schedule_is_deleted_with_its_changes(alice: Athlete, bob: Athlete) -> None:
    workout = alice.create_workout()
    schedule = create(alice, a_schedule(workout.id))
    reschedule(alice, schedule, 1, skip=True)
    request = pb.DeleteScheduleRequest(schedule_id=schedule.id)
    with refused("SCHEDULE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        bob.schedules.DeleteSchedule(request)
    alice.schedules.DeleteSchedule(request)
    assert listed(alice) == []
    for call in (
        lambda: alice.schedules.DeleteSchedule(request),
        lambda: reschedule(alice, schedule, 1, skip=True),
        lambda: reschedule(alice, schedule, 1, restore=True),
    ):
        with refused("SCHEDULE_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
            call()


def test_a_write_that_is_sent_twice_is_done_once(alice: Athlete) -> None:
    workout = alice.create_workout()
    id = str(uuid4())
    first = create(alice, a_schedule(workout.id), request_id=id)
    assert create(alice, a_schedule(workout.id), request_id=id) == first
    assert len(alice.schedules.ListSchedules(pb.ListSchedulesRequest()).schedules) == 1
    with refused("REQUEST_ID_REUSED"):
        create(alice, a_schedule(workout.id, ""), request_id=id)


def test_planned_sessions_take_as_many_statements_however_many_there_are(
    alice: Athlete, queries: Queries
) -> None:
    workouts = [alice.create_workout() for _ in range(3)]
    sent = []
    for count in (1, 3):
        for workout in workouts[:count]:
            create(alice, a_schedule(workout.id, ""))
        queries.clear()
        assert listed(alice)
        sent.append(len(queries.data))
    assert sent == [6, 6]  # schedules, changes, what was done; rules; workouts, phases


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"display_name": ""}, "schedule.display_name"),
        ({"end_date": {"year": 2026, "month": 3, "day": 2}}, "schedule.end_date"),
        ({"end_date": {"year": 2029, "month": 3, "day": 2}}, "schedule.end_date"),
        ({"start_date": {"year": 2026}}, "schedule.start_date"),
        ({"start_date": {"year": 1960, "month": 1, "day": 1}}, "schedule.start_date"),
        ({"start_date": None}, "schedule"),
        ({"phase_id": str(uuid4())}, "schedule"),
        ({"rotation": {"workout_ids": [""]}}, "schedule.rotation"),
        ({"rotation": {"workout_ids": ["x"]}}, "schedule.rotation.workout_ids[0]"),
        ({"weekly": {"slots": []}}, "schedule.weekly.slots"),
        ({"missed_policy": 7}, "schedule.missed_policy"),
    ],
)
def test_bad_schedules_are_refused(alice: Athlete, fields: dict[str, Any], path: str) -> None:
    workout = alice.create_workout()
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        create(alice, a_schedule(workout.id, **fields))
    assert refusals[0].fields == [path]


def test_a_range_has_limits(alice: Athlete) -> None:
    for first, days in ((MONDAY, 93), (MONDAY, 0), (date(1960, 1, 1), 7)):
        with refused("INVALID_FIELD"):
            listed(alice, first, days)
