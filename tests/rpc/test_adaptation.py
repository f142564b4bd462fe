"""Today's session fitted to today, over the wire."""

from datetime import timedelta
from typing import Any

import grpc
import pytest
from calisthenics.training.v1 import adaptation_pb2 as pb
from calisthenics.training.v1 import (
    exercise_pb2,
    load_pb2,
    phase_pb2,
    progression_pb2,
    readiness_pb2,
    schedule_pb2,
    session_pb2,
    workout_pb2,
)

from tests.rpc.test_load import TODAY, a_load, log_all
from tests.rpc.test_totals import on, to_date
from tests.support import (
    PULL_UP,
    PUSH_UP,
    Athlete,
    Queries,
    a_phase,
    a_rule,
    a_schedule,
    a_wellness,
    grant,
    refused,
)
from tests.unit.test_load import FIVE_WEEKS
from training_service.domain.exercise import exercise_id

RING_PUSH_UP = str(exercise_id("ring-push-up"))
TOMORROW = TODAY + timedelta(1)

KEPT, SETS, LOAD, SWAPPED, DROPPED = pb.AdaptationAction.values()[1:]
SPARED, EQUIPMENT, LAST_LOAD, READINESS, CAP, TIME = pb.AdaptationReasonKind.values()[1:]
READ_METRICS = "GRANT_SCOPE_READ_METRICS"
READ_WELLNESS = "GRANT_SCOPE_READ_WELLNESS"


def adapt(athlete: Athlete, **request: Any) -> pb.AdaptedSession:
    return athlete.adaptations.AdaptSession(pb.AdaptSessionRequest(**request))


def sets_of(exercise_id: str, sets: int, **fields: Any) -> workout_pb2.WorkoutExercise:
    usual = {"reps": {"min": 8, "max": 12}, "rest_seconds": 60}
    return workout_pb2.WorkoutExercise(exercise_id=exercise_id, sets=sets, **{**usual, **fields})


def a_plan(athlete: Athlete, *, rpe: float | None = 8) -> workout_pb2.Workout:
    """Returns a workout of pushes and pulls, 4 × 45 s of work each and a minute of rest."""
    exercises = [
        sets_of(PUSH_UP, 4, target_rpe=rpe),
        sets_of(PULL_UP, 4, target_rpe=rpe, load_kg=10),
    ]
    return athlete.create_workout(exercises=exercises)


def planned_today(athlete: Athlete, workout: workout_pb2.Workout) -> schedule_pb2.Schedule:
    schedule = a_schedule(
        workout.id, start_date=to_date(TODAY), end_date=to_date(TODAY + timedelta(14))
    )
    return athlete.schedules.CreateSchedule(schedule_pb2.CreateScheduleRequest(schedule=schedule))


def kinds(one: pb.AdaptedExercise) -> list[tuple[int, int]]:
    return [(reason.kind, reason.action) for reason in one.reasons]


def sets(found: pb.AdaptedSession) -> list[int]:
    return [one.after.exercise.sets for one in found.exercises]


def unchecked(found: pb.AdaptedSession) -> dict[int, int]:
    return {one.kind: one.reason for one in found.unchecked}


def test_a_planned_session_without_limits_is_kept(alice: Athlete, bob: Athlete) -> None:
    workout = a_plan(alice)
    schedule = planned_today(alice, workout)
    found = adapt(alice, schedule_id=schedule.id, number=1)
    assert (found.schedule_id, found.number, found.workout_id, found.workout_revision) == (
        schedule.id,
        1,
        workout.id,
        1,
    )
    assert found.local_date == to_date(TODAY)
    for one in found.exercises:
        assert one.before == one.after
        assert (list(one.actions), list(one.reasons)) == ([KEPT], [])
    # 8 × (15 + 30) + 7 × 60 seconds, at 8.
    assert found.minutes_before == found.minutes_after == pytest.approx(13)
    assert found.load_before == found.load_after == pytest.approx(8 * 13)
    assert found.load_basis == load_pb2.EXPECTED_LOAD_BASIS_PRESCRIPTION
    assert not found.HasField("readiness_score")
    assert not found.HasField("load_room")
    assert unchecked(found) == {
        READINESS: pb.ADAPTATION_UNCHECKED_REASON_INSUFFICIENT_COVERAGE,
        CAP: pb.ADAPTATION_UNCHECKED_REASON_INSUFFICIENT_HISTORY,
    }
    assert "you decide" in found.note
    with refused("SCHEDULE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        adapt(bob, schedule_id=schedule.id, number=1)
    assert refusals[0].fields == ["schedule_id"]
    with refused("WORKOUT_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        adapt(bob, workout_id=workout.id)
    assert refusals[0].fields == ["workout_id"]


def test_readiness_that_is_given(alice: Athlete) -> None:
    workout = a_plan(alice)
    found = adapt(alice, workout_id=workout.id, readiness_score=40)
    assert (found.readiness_score, found.readiness_band) == (
        40,
        readiness_pb2.READINESS_BAND_EASY_OR_REST,
    )
    push, pull = found.exercises
    assert (list(push.actions), kinds(push)) == ([SETS], [(READINESS, SETS)])
    assert (list(pull.actions), kinds(pull)) == (
        [SETS, LOAD],
        [(READINESS, SETS), (READINESS, LOAD)],
    )
    assert sets(found) == [2, 2]
    assert (pull.before.exercise.load_kg, pull.after.exercise.load_kg) == (10, 9)
    assert not push.after.exercise.HasField("load_kg")
    reason = pull.reasons[0]
    assert (reason.value, reason.limit) == (40, 50)
    assert reason.description == "Readiness is 40, below 50: fewer sets."
    assert found.load_after == pytest.approx(found.load_before * found.minutes_after / 13)
    nearly = adapt(alice, workout_id=workout.id, readiness_score=49.9).exercises[0].reasons[0]
    assert nearly.value == 49.9
    assert nearly.description == "Readiness is 49, below 50: fewer sets."
    assert sets(adapt(alice, workout_id=workout.id, readiness_score=60)) == [3, 3]
    assert sets(adapt(alice, workout_id=workout.id, readiness_score=75)) == [4, 4]


def test_readiness_of_the_day_unless_it_is_given(alice: Athlete, bob: Athlete) -> None:
    for athlete in (alice, bob):
        athlete.log(on((TODAY - timedelta(1)).isoformat()))
    tired = a_wellness(sleep=7, stress=7, fatigue=7, soreness=7)
    for athlete, entry in ((alice, tired), (bob, a_wellness())):
        for day in (TODAY - timedelta(14), TODAY):
            entry.local_date.CopyFrom(to_date(day))
            athlete.readiness.LogWellness(readiness_pb2.LogWellnessRequest(entry=entry))
    workout = a_plan(alice)
    # Too little else is known of a day for a score; a longer log is.
    log_all(alice, [a_load(TODAY - timedelta(n), 100 + n) for n in range(1, 30, 2)])
    reckoned = alice.readiness.GetReadiness(readiness_pb2.GetReadinessRequest())
    found = adapt(alice, workout_id=workout.id)
    assert reckoned.HasField("score")
    assert found.readiness_score == reckoned.score
    assert found.readiness_band == reckoned.band
    assert adapt(alice, workout_id=workout.id, readiness_score=90).readiness_score == 90


def test_no_more_than_the_last_time(alice: Athlete, bob: Athlete) -> None:
    workout = a_plan(alice)
    done = [
        session_pb2.SessionExercise(
            exercise_id=PULL_UP,
            sets=[session_pb2.PerformedSet(actual_reps=8, load_kg=kg) for kg in (5, 7.5)],
        )
    ]
    for days, exercises in ((9, [session_pb2.SessionExercise(exercise_id=PUSH_UP)]), (3, done)):
        alice.log(on((TODAY - timedelta(days)).isoformat(), exercises=exercises))
    bob.log(on(TODAY.isoformat(), exercises=[done[0]]))
    pull = adapt(alice, workout_id=workout.id, readiness_score=60).exercises[1]
    assert kinds(pull) == [(LAST_LOAD, LOAD), (READINESS, SETS)]
    assert (pull.reasons[0].value, pull.reasons[0].limit) == (10, 7.5)
    assert pull.after.exercise.load_kg == 7.5
    assert adapt(alice, workout_id=workout.id, readiness_score=80).exercises[1].actions == [KEPT]
    session = alice.sessions.ListSessions(session_pb2.ListSessionsRequest()).sessions[0]
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=session.id))
    pull = adapt(alice, workout_id=workout.id, readiness_score=60).exercises[1]
    assert kinds(pull) == [(READINESS, SETS)]


def golden_weeks(athlete: Athlete) -> None:
    """Logs the golden series so that today is the day after it."""
    log_all(
        athlete,
        [a_load(TODAY - timedelta(35 - n), load) for n, load in enumerate(FIVE_WEEKS) if load],
    )


def test_the_load_cap(alice: Athlete, bob: Athlete) -> None:
    golden_weeks(alice)
    golden_weeks(bob)
    long = [sets_of(PUSH_UP, 12, target_rpe=10), sets_of(PULL_UP, 12, target_rpe=10)]
    workout = alice.create_workout(exercises=long)
    found = adapt(alice, workout_id=workout.id, readiness_score=90)
    # 24 × 45 + 23 × 60 seconds, at 10.
    assert found.load_before == pytest.approx(410)
    assert found.load_room == pytest.approx(370)  # the brief's golden cap
    assert sets(found) == [11, 10]
    assert found.load_after == pytest.approx((21 * 45 + 20 * 60) / 6)
    reason = found.exercises[1].reasons[0]
    assert (reason.kind, reason.value, reason.limit) == (CAP, found.load_before, found.load_room)
    assert not found.rest_suggested
    assert not unchecked(found)
    # What was done today has taken of the room.
    alice.log(a_load(TODAY, 250))
    found = adapt(alice, workout_id=workout.id, readiness_score=90)
    assert found.load_room == pytest.approx(120)
    assert (sets(found), found.rest_suggested) == ([6, 6], True)
    unrated = bob.create_workout(exercises=[sets_of(PUSH_UP, 12)])
    found = adapt(bob, workout_id=unrated.id, readiness_score=90)
    assert sets(found) == [12]
    assert unchecked(found) == {CAP: pb.ADAPTATION_UNCHECKED_REASON_NO_EXPECTED_LOAD}
    assert not found.HasField("load_after")


def test_why_there_is_no_load_cap(alice: Athlete, bob: Athlete) -> None:
    log_all(alice, [a_load(TODAY - timedelta(100 + n), 300) for n in range(10)])
    workout = a_plan(alice)
    found = adapt(alice, workout_id=workout.id)
    assert unchecked(found)[CAP] == pb.ADAPTATION_UNCHECKED_REASON_NO_CHRONIC_LOAD
    golden_weeks(bob)
    unrated = [on((TODAY - timedelta(n)).isoformat(), duration_seconds=None) for n in range(1, 8)]
    for one in unrated:
        one.ClearField("session_rpe")
    log_all(bob, unrated)
    found = adapt(bob, workout_id=a_plan(bob).id)
    assert unchecked(found)[CAP] == pb.ADAPTATION_UNCHECKED_REASON_UNCERTAIN_LOAD


def test_a_load_expected_by_earlier_sessions(alice: Athlete) -> None:
    workout = a_plan(alice)
    alice.log(a_load(TODAY - timedelta(50), 300, workout_id=workout.id, workout_revision=1))
    found = adapt(alice, workout_id=workout.id, minutes_available=6)
    assert found.load_basis == load_pb2.EXPECTED_LOAD_BASIS_EARLIER_SESSIONS
    assert found.load_before == 300
    assert found.load_after == pytest.approx(300 * found.minutes_after / 13)


def test_time_and_equipment(alice: Athlete) -> None:
    workout = alice.create_workout(
        exercises=[sets_of(RING_PUSH_UP, 4, load_kg=5), sets_of(PULL_UP, 4)]
    )
    found = adapt(
        alice,
        workout_id=workout.id,
        equipment_at_hand=[exercise_pb2.EQUIPMENT_PULL_UP_BAR],
        minutes_available=10,
    )
    push, pull = found.exercises
    assert kinds(push) == [(EQUIPMENT, SWAPPED), (TIME, SETS)]
    assert list(push.actions) == [SETS, SWAPPED]
    assert list(push.reasons[0].equipment) == [exercise_pb2.EQUIPMENT_RINGS]
    assert "Not at hand: rings." in push.reasons[0].description
    other = alice.exercises.GetExercise(
        exercise_pb2.GetExerciseRequest(exercise=push.after.exercise.exercise_id)
    )
    assert other.display_name in push.reasons[0].description
    assert exercise_pb2.EQUIPMENT_RINGS not in other.equipment
    assert not push.after.exercise.HasField("load_kg")
    assert push.after.exercise.reps == push.before.exercise.reps
    assert kinds(pull) == [(TIME, SETS)]
    assert (pull.reasons[0].value, pull.reasons[0].limit) == (pytest.approx(13), 10)
    assert sets(found) == [3, 3]
    assert pull.reasons[0].description == (
        "It would take 13 minutes, and there are 10: fewer sets."
    )
    assert found.minutes_after <= 10
    # Nothing stands for what is assisted, whatever exercises there are.
    assisted = alice.create_workout(exercises=[sets_of(PULL_UP, 4, load_kg=-10)])
    found = adapt(alice, workout_id=assisted.id, equipment_at_hand=[exercise_pb2.EQUIPMENT_NONE])
    assert not found.exercises[0].HasField("after")
    assert kinds(found.exercises[0]) == [(EQUIPMENT, DROPPED)]


def test_muscles_and_joints_are_spared(alice: Athlete) -> None:
    workout = a_plan(alice)
    found = adapt(alice, workout_id=workout.id, spared_muscles=[exercise_pb2.MUSCLE_CHEST])
    push, pull = found.exercises
    assert (list(push.actions), kinds(push)) == ([DROPPED], [(SPARED, DROPPED)])
    assert list(push.reasons[0].muscles) == [exercise_pb2.MUSCLE_CHEST]
    assert push.reasons[0].description.endswith("to be spared: chest.")
    assert pull.actions == [KEPT]
    found = adapt(alice, workout_id=workout.id, spared_joints=[pb.JOINT_SHOULDER])
    assert [list(one.actions) for one in found.exercises] == [[DROPPED], [DROPPED]]
    assert (found.minutes_after, found.load_after) == (0, 0)
    found = adapt(alice, workout_id=workout.id, spared_joints=[pb.JOINT_ANKLE])
    assert [list(one.actions) for one in found.exercises] == [[KEPT], [KEPT]]


def test_what_rules_and_phases_make_of_the_day_is_the_plan(alice: Athlete) -> None:
    workout = a_plan(alice)
    rule = a_rule(loading={"start_load_kg": 20, "plate_step_kg": 2.5})
    alice.progression.CreateProgressionRule(progression_pb2.CreateProgressionRuleRequest(rule=rule))
    deload = a_phase(
        start_date=to_date(TODAY),
        end_date=to_date(TODAY + timedelta(7)),
        volume_factors=[],
        deload_weeks=[1],
    )
    before = adapt(alice, workout_id=workout.id, readiness_score=40).exercises[1]
    assert [one.target.load_kg for one in before.before.sets] == [20] * 3
    assert [one.target.load_kg for one in before.after.sets] == [18] * 2
    assert (before.after.exercise.sets, before.after.exercise.load_kg) == (2, 18)
    alice.phases.CreatePhase(phase_pb2.CreatePhaseRequest(phase=deload))
    found = adapt(alice, workout_id=workout.id, readiness_score=90)
    assert [one.before.exercise.sets for one in found.exercises] == [2, 2]
    assert found.plan_reasons[0].factor == 0.5
    assert sets(found) == [2, 2]


def test_what_is_not_planned_for_the_day(alice: Athlete) -> None:
    workout = a_plan(alice)
    schedule = planned_today(alice, workout)
    for number in (2, 500):
        with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
            adapt(alice, schedule_id=schedule.id, number=number)
        assert refusals[0].fields == ["number"]
    alice.log(on(TODAY.isoformat(), workout_id=workout.id, workout_revision=1))
    with refused("INVALID_FIELD") as refusals:
        adapt(alice, schedule_id=schedule.id, number=1)
    assert refusals[0].fields == ["number"]
    with refused("INVALID_FIELD") as refusals:
        adapt(alice, workout_id=workout.id, local_date=to_date(TOMORROW + timedelta(1)))
    assert refusals[0].fields == ["local_date"]


def test_a_deleted_workout(alice: Athlete) -> None:
    workout = a_plan(alice)
    schedule = planned_today(alice, workout)
    alice.workouts.DeleteWorkout(workout_pb2.DeleteWorkoutRequest(workout_id=workout.id))
    with refused("WORKOUT_DELETED", grpc.StatusCode.FAILED_PRECONDITION):
        adapt(alice, schedule_id=schedule.id, number=1)
    with refused("WORKOUT_NOT_FOUND"):
        adapt(alice, workout_id=workout.id)


@pytest.mark.parametrize(
    "request_fields",
    [
        {},
        {"schedule_id": RING_PUSH_UP},
        {"number": 1},
        {"workout_id": RING_PUSH_UP, "schedule_id": RING_PUSH_UP, "number": 1},
        {"workout_id": RING_PUSH_UP, "minutes_available": 0},
        {"workout_id": RING_PUSH_UP, "readiness_score": 101},
        {"workout_id": RING_PUSH_UP, "spared_muscles": [0]},
        {"workout_id": RING_PUSH_UP, "spared_joints": [99]},
        {"workout_id": RING_PUSH_UP, "equipment_at_hand": [0]},
    ],
)
def test_what_is_refused(alice: Athlete, request_fields: dict[str, Any]) -> None:
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT):
        adapt(alice, **request_fields)


def test_it_takes_a_grant_of_wellness_and_not_of_metrics(alice: Athlete, bob: Athlete) -> None:
    workout = a_plan(alice)
    request = {"external_user_id": alice.id, "workout_id": workout.id}
    grant(alice, bob.id, READ_METRICS)
    with refused("ATHLETE_NOT_FOUND"):
        adapt(bob, **request)
    grant(alice, bob.id, READ_WELLNESS)
    assert adapt(bob, **request) == adapt(alice, workout_id=workout.id)


def test_it_takes_as_many_statements_for_thirty_exercises_as_for_one(
    alice: Athlete, bob: Athlete, queries: Queries
) -> None:
    sent = []
    for athlete, count in ((alice, 1), (bob, 30)):
        workout = athlete.create_workout(exercises=[sets_of(PUSH_UP, 1)] * count)
        schedule = planned_today(athlete, workout)
        adapt(athlete, schedule_id=schedule.id, number=1)
        queries.clear()
        adapt(athlete, schedule_id=schedule.id, number=1, minutes_available=3)
        sent.append(sorted(queries.data))
        assert not any(sql.startswith(("INSERT", "UPDATE", "DELETE")) for sql in queries.data)
    assert sent[0] == sent[1]
    # What readiness is made of; schedules, changes, what was done; rules; workouts; phases; and
    # what sessions of the workout had.
    assert len(sent[0]) == 13
