"""Schedules and planned sessions over the wire."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import phase_pb2, prescription_pb2, session_pb2, workout_pb2
from calisthenics.training.v1 import schedule_pb2 as pb

from tests.rpc.test_totals import a_date, on, to_date
from tests.support import (
    PULL_UP,
    Athlete,
    Queries,
    a_phase,
    a_schedule,
    eventually,
    refused,
    waiting_count,
)

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


def test_a_schedule_is_deleted_with_the_etag_that_it_has(alice: Athlete) -> None:
    schedule = create(alice, a_schedule(alice.create_workout().id))
    update(alice, schedule, "display_name", display_name="Other")
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED) as refusals:
        alice.schedules.DeleteSchedule(
            pb.DeleteScheduleRequest(schedule_id=schedule.id, etag=schedule.etag)
        )
    assert refusals[0].fields == ["etag"]
    alice.schedules.DeleteSchedule(pb.DeleteScheduleRequest(schedule_id=schedule.id, etag="2"))
    with refused("SCHEDULE_NOT_FOUND"):
        get(alice, schedule)


# Changes


def get(athlete: Athlete, schedule: pb.Schedule) -> pb.Schedule:
    return athlete.schedules.GetSchedule(pb.GetScheduleRequest(schedule_id=schedule.id))


def an_update(
    schedule: pb.Schedule, *paths: str, discard_changes: bool = False, **fields: Any
) -> pb.UpdateScheduleRequest:
    return pb.UpdateScheduleRequest(
        schedule_id=schedule.id,
        schedule=pb.Schedule(**fields),
        update_mask={"paths": paths},
        discard_changes=discard_changes,
    )


def update(athlete: Athlete, schedule: pb.Schedule, *paths: str, **fields: Any) -> pb.Schedule:
    return athlete.schedules.UpdateSchedule(an_update(schedule, *paths, **fields))


def test_a_schedule_can_change(alice: Athlete, bob: Athlete) -> None:
    a, b = alice.create_workout(), alice.create_workout()
    schedule = create(alice, a_schedule(a.id, "", etag="9"))
    assert (schedule.etag, schedule.update_time) == ("1", schedule.create_time)
    others = create(bob, a_schedule(bob.create_workout().id))
    renamed = update(alice, schedule, "display_name", display_name="Mine", etag="1")
    assert (renamed.display_name, renamed.etag) == ("Mine", "2")
    assert renamed.create_time == schedule.create_time
    assert renamed.update_time.ToDatetime() > schedule.update_time.ToDatetime()
    assert renamed.rotation == schedule.rotation
    later = to_date(MONDAY + timedelta(1))
    update(alice, schedule, "start_date", start_date=later)
    update(alice, schedule, "rotation", rotation={"workout_ids": [b.id, "", a.id]})
    update(alice, schedule, "missed_policy", missed_policy=CARRY_OVER)
    end = to_date(MONDAY + timedelta(5))
    changed = update(alice, schedule, "end_date", end_date=end)
    assert (changed.start_date, changed.end_date, changed.missed_policy) == (later, end, CARRY_OVER)
    assert list(changed.rotation.workout_ids) == [b.id, "", a.id]
    assert changed.etag == "6"
    assert get(alice, schedule) == changed
    assert alice.schedules.ListSchedules(pb.ListSchedulesRequest()).schedules == [changed]
    log(alice, b, MONDAY + timedelta(1))
    assert told(listed(alice)) == "2+ 5!"
    with refused("SCHEDULE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        update(bob, schedule, "display_name", display_name="Stolen")
    assert refusals[0].fields == ["schedule_id"]
    assert get(alice, schedule) == changed
    assert get(bob, others) == others


def test_all_of_a_schedule_can_be_replaced(alice: Athlete) -> None:
    a, b = alice.create_workout(), alice.create_workout()
    schedule = create(
        alice,
        a_schedule(
            weekly={"slots": [{"weekday": 1, "workout_id": a.id}]}, missed_policy=CARRY_OVER
        ),
    )
    weekly = {"slots": [{"weekday": n, "workout_id": id} for n, id in ((3, b.id), (5, a.id))]}
    new = a_schedule(weekly=weekly, display_name="Other", id=str(uuid4()), phase_id=str(uuid4()))
    changed = alice.schedules.UpdateSchedule(
        pb.UpdateScheduleRequest(
            schedule_id=schedule.id, schedule=new, update_mask={"paths": ["*"]}
        )
    )
    # What was not given is as in a new one; what is not to be changed stays.
    assert (changed.display_name, changed.missed_policy) == ("Other", LET_GO)
    assert changed.weekly == new.weekly
    assert (changed.id, changed.phase_id) == (schedule.id, "")
    assert told(listed(alice)) == "3! 5! 10! 12!"


NOBODY = str(uuid4())
MONDAYS = {"slots": [{"weekday": 1, "workout_id": NOBODY}]}


@pytest.mark.parametrize(
    ("paths", "fields", "reason", "path"),
    [
        ([], {}, "INVALID_UPDATE_MASK", "update_mask"),
        (["phase_id"], {}, "INVALID_UPDATE_MASK", "update_mask"),
        (["rotation.workout_ids"], {}, "INVALID_UPDATE_MASK", "update_mask"),
        (["etag"], {}, "INVALID_UPDATE_MASK", "update_mask"),
        (["display_name"], {"etag": "7"}, "ETAG_MISMATCH", "schedule.etag"),
        (["display_name"], {}, "INVALID_FIELD", "schedule.display_name"),
        (["missed_policy"], {"missed_policy": 7}, "INVALID_FIELD", "schedule.missed_policy"),
        (["start_date"], {}, "INVALID_FIELD", "schedule"),
        (["start_date"], {"start_date": {"year": 2026}}, "INVALID_FIELD", "schedule.start_date"),
        (
            ["start_date"],
            {"start_date": to_date(date(1960, 1, 1))},
            "INVALID_FIELD",
            "schedule.start_date",
        ),
        (["end_date"], {"end_date": to_date(MONDAY)}, "INVALID_FIELD", "schedule.end_date"),
        (
            ["end_date"],
            {"end_date": to_date(MONDAY + timedelta(732))},
            "INVALID_FIELD",
            "schedule.end_date",
        ),
        (["rotation"], {}, "INVALID_FIELD", "schedule.plan"),
        (
            ["rotation"],
            {"rotation": {"workout_ids": [""]}},
            "INVALID_FIELD",
            "schedule.rotation",
        ),
        (
            ["rotation"],
            {"rotation": {"workout_ids": ["x"]}},
            "INVALID_FIELD",
            "schedule.rotation.workout_ids[0]",
        ),
        (["weekly"], {"weekly": MONDAYS}, "INVALID_FIELD", "schedule.weekly"),
        (
            ["display_name", "rotation"],
            {"display_name": "Other", "rotation": {"workout_ids": ["", NOBODY]}},
            "UNKNOWN_WORKOUT",
            "schedule.rotation.workout_ids[1]",
        ),
    ],
)
def test_a_bad_change_is_refused(
    alice: Athlete, paths: list[str], fields: dict[str, Any], reason: str, path: str
) -> None:
    schedule = create(alice, a_schedule(alice.create_workout().id))
    with refused(reason) as refusals:
        update(alice, schedule, *paths, **fields)
    assert refusals[0].fields == [path]
    assert get(alice, schedule) == schedule


@pytest.mark.parametrize("path", ["rotation", "*"])
def test_a_week_does_not_become_a_rotation(alice: Athlete, path: str) -> None:
    workout = alice.create_workout()
    weekly = {"slots": [{"weekday": 1, "workout_id": workout.id}]}
    schedule = create(alice, a_schedule(weekly=weekly))
    new = a_schedule(workout.id)
    with refused("INVALID_FIELD") as refusals:
        alice.schedules.UpdateSchedule(
            pb.UpdateScheduleRequest(
                schedule_id=schedule.id, schedule=new, update_mask={"paths": [path]}
            )
        )
    assert refusals[0].fields == ["schedule.rotation"]
    assert get(alice, schedule) == schedule


def test_only_workouts_that_a_schedule_has_may_be_deleted_ones(
    alice: Athlete, bob: Athlete
) -> None:
    kept, gone, other = (alice.create_workout() for _ in range(3))
    schedule = create(alice, a_schedule(kept.id, gone.id))
    for workout in (gone, other):
        alice.workouts.DeleteWorkout(workout_pb2.DeleteWorkoutRequest(workout_id=workout.id))
    foreign = bob.create_workout()
    with refused("UNKNOWN_WORKOUT", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        update(
            alice,
            schedule,
            "rotation",
            rotation={"workout_ids": [gone.id, other.id, kept.id, foreign.id]},
        )
    assert refusals[0].fields == [f"schedule.rotation.workout_ids[{n}]" for n in (1, 3)]
    assert get(alice, schedule) == schedule
    rotation = {"workout_ids": [gone.id, "", kept.id]}
    assert update(alice, schedule, "rotation", rotation=rotation).etag == "2"


def test_of_changes_at_once_with_one_etag_one_is_made(alice: Athlete) -> None:
    schedule = create(alice, a_schedule(alice.create_workout().id))

    def change(name: str) -> bool:
        try:
            update(alice, schedule, "display_name", display_name=name, etag="1")
        except grpc.RpcError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(change, map(str, range(8))))
    assert sum(done) == 1
    assert get(alice, schedule).etag == "2"


# What an athlete moved or called off


def test_a_schedule_keeps_its_numbers_while_the_athlete_changed_some(
    alice: Athlete, bob: Athlete
) -> None:
    a, b = alice.create_workout(), alice.create_workout()
    schedule = create(alice, beginning(TODAY, 9, a.id, "", ""))
    reschedule(alice, schedule, 4, new_date=to_date(TODAY + timedelta(4)))
    reschedule(alice, schedule, 1, skip=True)
    assert told(listed(alice, TODAY), TODAY) == "1x 5 7"
    others = create(bob, beginning(TODAY, 9, bob.create_workout().id))
    reschedule(bob, others, 2, skip=True)
    rotation = {"workout_ids": [b.id, "", ""]}
    later = to_date(TODAY + timedelta(1))
    for field, value in (("rotation", rotation), ("start_date", later)):
        with refused("SCHEDULE_HAS_CHANGES", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
            update(alice, schedule, field, "display_name", display_name="New", **{field: value})
        assert refusals[0].metadata["numbers"] == "1,4"
        assert get(alice, schedule) == schedule
        assert told(listed(alice, TODAY), TODAY) == "1x 5 7"
    # These leave each its number and its day; so does what is given as it is.
    update(
        alice,
        schedule,
        "display_name",
        "missed_policy",
        "start_date",
        "rotation",
        display_name="New",
        missed_policy=CARRY_OVER,
        start_date=schedule.start_date,
        rotation={"workout_ids": [a.id.upper(), "", ""]},
    )
    assert told(listed(alice, TODAY), TODAY) == "1x 5 7"
    changed = update(alice, schedule, "rotation", rotation=rotation, discard_changes=True)
    assert (changed.rotation.workout_ids[0], changed.etag) == (b.id, "3")
    found = listed(alice, TODAY)
    assert told(found, TODAY) == "1 4 7"
    assert {one.workout_id for one in found} == {b.id}
    update(alice, schedule, "start_date", start_date=later)
    assert told(listed(alice, TODAY), TODAY) == "2 5 8"
    assert told(listed(bob, TODAY, 3), TODAY) == "1 2x 3"


def test_another_week_is_refused_alike(alice: Athlete) -> None:
    workout = alice.create_workout()
    schedule = create(
        alice, a_schedule(weekly={"slots": [{"weekday": 1, "workout_id": workout.id}]})
    )
    reschedule(alice, schedule, 2, skip=True)
    weekly = {"slots": [{"weekday": 2, "workout_id": workout.id}]}
    with refused("SCHEDULE_HAS_CHANGES") as refusals:
        update(alice, schedule, "weekly", weekly=weekly)
    assert refusals[0].metadata["numbers"] == "2"
    update(alice, schedule, "weekly", weekly=weekly, discard_changes=True)
    assert told(listed(alice)) == "2! 9!"


def test_an_end_comes_earlier_unless_a_session_was_moved_behind_it(alice: Athlete) -> None:
    workout = alice.create_workout()
    schedule = create(alice, beginning(TODAY, 10, workout.id, "", ""))
    for number, days in ((1, 1), (4, 8)):
        reschedule(alice, schedule, number, new_date=to_date(TODAY + timedelta(days)))
    for number in (7, 10):
        reschedule(alice, schedule, number, skip=True)
    assert told(listed(alice, TODAY), TODAY) == "2 7x 9 10x"
    short, shorter = (to_date(TODAY + timedelta(days)) for days in (9, 5))
    update(alice, schedule, "end_date", end_date=short)
    assert told(listed(alice, TODAY), TODAY) == "2 7x 9"
    with refused("SCHEDULE_HAS_CHANGES") as refusals:
        update(alice, schedule, "end_date", end_date=shorter)
    assert refusals[0].metadata["numbers"] == "4"
    assert get(alice, schedule).end_date == short
    update(alice, schedule, "end_date", end_date=shorter, discard_changes=True)
    assert told(listed(alice, TODAY), TODAY) == "2 4"
    # What had its day before the new end, and what was called off, is as it was.
    update(alice, schedule, "end_date", end_date=schedule.end_date)
    assert told(listed(alice, TODAY), TODAY) == "2 4 7x 10x"


def test_what_is_due_behind_an_earlier_end_is_back_with_a_later_one(alice: Athlete) -> None:
    schedule = create(alice, beginning(TODAY, 10, alice.create_workout().id, "", ""))
    reschedule(alice, schedule, 10, new_date=to_date(TODAY + timedelta(1)))
    assert told(listed(alice, TODAY), TODAY) == "1 2 4 7"
    update(alice, schedule, "end_date", end_date=to_date(TODAY + timedelta(5)))
    assert told(listed(alice, TODAY), TODAY) == "1 4"
    update(alice, schedule, "end_date", end_date=schedule.end_date)
    assert told(listed(alice, TODAY), TODAY) == "1 2 4 7"


def test_a_refusal_names_ten_numbers_at_most(alice: Athlete) -> None:
    workout = alice.create_workout()
    schedule = create(alice, a_schedule(workout.id))
    for number in range(1, 13):
        reschedule(alice, schedule, number, skip=True)
    with refused("SCHEDULE_HAS_CHANGES") as refusals:
        update(alice, schedule, "rotation", rotation={"workout_ids": [workout.id, ""]})
    assert refusals[0].metadata["numbers"] == "1,2,3,4,5,6,7,8,9,10"


def test_a_change_waits_for_a_session_that_is_being_moved(
    alice: Athlete, owner: psycopg.Connection, database_url: str
) -> None:
    workout = alice.create_workout()
    schedule = create(alice, a_schedule(workout.id))
    with psycopg.connect(database_url) as writer:
        writer.execute(
            "INSERT INTO training.schedule_changes VALUES (%s, %s, 3, NULL, now())",
            [alice.id, schedule.id],
        )
        asked = alice.schedules.UpdateSchedule.future(
            an_update(schedule, "rotation", rotation={"workout_ids": [workout.id, ""]})
        )
        eventually(lambda: waiting_count(owner) == 1)
        writer.commit()
    with refused("SCHEDULE_HAS_CHANGES") as refusals:
        asked.result()
    assert refusals[0].metadata["numbers"] == "3"


# The days of a phase


def of_a_phase(athlete: Athlete, phase: phase_pb2.Phase, *workout_ids: str) -> pb.Schedule:
    schedule = a_schedule(*workout_ids, phase_id=phase.id)
    for name in ("start_date", "end_date"):
        schedule.ClearField(name)
    return create(athlete, schedule)


def test_a_schedule_of_a_phase_changes_in_all_but_its_days(alice: Athlete, bob: Athlete) -> None:
    phase = a_mesocycle(alice)
    a, b = alice.create_workout(), alice.create_workout()
    schedule = of_a_phase(alice, phase, a.id, "")
    assert a_mesocycle(bob).start_date == phase.start_date
    later = to_date(MONDAY + timedelta(1))
    for field in ("start_date", "end_date"):
        for path in (field, "*"):
            with refused("INVALID_FIELD") as refusals:
                update(
                    alice,
                    schedule,
                    path,
                    display_name="Other",
                    rotation=schedule.rotation,
                    **{field: later},
                )
            assert refusals[0].fields == [f"schedule.{field}"]
    assert get(alice, schedule) == schedule
    # As it was read, with one field changed.
    read = get(alice, schedule)
    read.rotation.workout_ids[0] = b.id
    changed = alice.schedules.UpdateSchedule(
        pb.UpdateScheduleRequest(
            schedule_id=schedule.id, schedule=read, update_mask={"paths": ["*"]}
        )
    )
    assert (changed.phase_id, changed.start_date) == (phase.id, phase.start_date)
    assert changed.rotation == read.rotation
    assert get(alice, schedule) == changed
    # It goes on moving with the phase.
    move = phase_pb2.MovePhaseRequest(phase_id=phase.id, start_date=later)
    alice.phases.MovePhase(move)
    assert get(alice, schedule).start_date == later
    with refused("INVALID_FIELD") as refusals:
        update(alice, schedule, "start_date", start_date=phase.start_date)
    assert refusals[0].fields == ["schedule.start_date"]


# Writing twice


@pytest.mark.parametrize("name", ["CreateSchedule", "UpdateSchedule", "DeleteSchedule"])
def test_a_write_that_is_sent_twice_is_answered_twice_and_done_once(
    alice: Athlete, bob: Athlete, name: str
) -> None:
    workout = alice.create_workout()
    schedule = create(alice, a_schedule(workout.id))
    requests: dict[str, Callable[[str], Any]] = {
        "CreateSchedule": lambda display_name: pb.CreateScheduleRequest(
            schedule=a_schedule(workout.id, "", display_name=display_name)
        ),
        "UpdateSchedule": lambda display_name: an_update(
            schedule,
            "display_name",
            "rotation",
            display_name=display_name,
            etag="1",
            rotation={"workout_ids": [workout.id, ""]},
        ),
        "DeleteSchedule": lambda display_name: pb.DeleteScheduleRequest(
            schedule_id=schedule.id, etag="" if display_name == "Other" else "1"
        ),
    }
    request, other = requests[name]("Mine"), requests[name]("Other")
    request.request_id = other.request_id = str(uuid4())
    call = getattr(alice.schedules, name)
    first = call(request)
    stored = alice.schedules.ListSchedules(pb.ListSchedulesRequest())
    # What came before is answered as it was then.
    alice.workouts.DeleteWorkout(workout_pb2.DeleteWorkoutRequest(workout_id=workout.id))
    assert call(request) == first
    with refused("REQUEST_ID_REUSED", grpc.StatusCode.ALREADY_EXISTS):
        call(other)
    assert alice.schedules.ListSchedules(pb.ListSchedulesRequest()) == stored
    assert not bob.schedules.ListSchedules(pb.ListSchedulesRequest()).schedules


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
