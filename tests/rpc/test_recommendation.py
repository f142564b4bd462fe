"""RecommendationService over the wire: recovery, workouts and exercises, with what they cite."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from calisthenics.training.v1 import (
    access_pb2,
    exercise_pb2,
    goal_pb2,
    phase_pb2,
    program_pb2,
    progression_pb2,
    readiness_pb2,
    session_pb2,
    workout_pb2,
)
from calisthenics.training.v1 import recommendation_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from tests.support import (
    PULL_UP,
    PUSH_UP,
    Athlete,
    Queries,
    a_goal,
    a_phase,
    a_rule,
    a_session,
    a_wellness,
    grant,
    refused,
)
from training_service.domain.exercise import exercise_id
from training_service.servicers.convert import to_date

SQUAT = str(exercise_id("bodyweight-squat"))
KIND = pb.RecommendationReasonKind


def ago(hours: float) -> Timestamp:
    """Returns an instant some hours before now."""
    timestamp = Timestamp()
    timestamp.FromDatetime(datetime.now(UTC) - timedelta(hours=hours))
    return timestamp


def did(athlete: Athlete, hours: float, *exercises: str, **sets: Any) -> session_pb2.Session:
    """Logs a session that ended some hours ago: three sets of each exercise."""
    count = sets.pop("count", 3)
    usual: dict[str, Any] = {"actual_reps": 8, "rpe": 8, **sets}
    return athlete.log(
        a_session(
            start_time=ago(hours + 1),
            time_zone="UTC",
            duration_seconds=3600,
            exercises=[
                session_pb2.SessionExercise(
                    exercise_id=one, sets=[session_pb2.PerformedSet(**usual)] * count
                )
                for one in exercises
            ],
        )
    )


def recovery(athlete: Athlete) -> dict[str, pb.MuscleRecovery]:
    status = athlete.recommendations.GetRecoveryStatus(pb.GetRecoveryStatusRequest())
    name = exercise_pb2.Muscle.Name
    return {name(one.muscle).removeprefix("MUSCLE_"): one for one in status.muscles}


def workouts(athlete: Athlete, **request: Any) -> pb.RecommendWorkoutsResponse:
    return athlete.recommendations.RecommendWorkouts(
        pb.RecommendWorkoutsRequest(**{"max_results": 100, **request})
    )


def exercises(athlete: Athlete, **request: Any) -> list[pb.ExerciseRecommendation]:
    given = {"max_results": 100, **request}
    message = pb.RecommendExercisesRequest(**given)
    return list(athlete.recommendations.RecommendExercises(message).recommendations)


def of(found: pb.RecommendWorkoutsResponse, id: str) -> pb.WorkoutRecommendation:
    [one] = [one for one in found.recommendations if one.workout.workout_id == id]
    return one


def excluded(found: pb.RecommendWorkoutsResponse, id: str) -> pb.ExcludedWorkout:
    [one] = [one for one in found.excluded if one.workout.workout_id == id]
    return one


def terms(one: Any) -> dict[str, float | None]:
    prefix = "RECOMMENDATION_TERM_KIND_"
    return {
        pb.RecommendationTermKind.Name(term.kind).removeprefix(prefix): (
            term.value if term.HasField("value") else None
        )
        for term in one.terms
    }


def reasons(one: Any) -> dict[str, pb.RecommendationReason]:
    prefix = "RECOMMENDATION_REASON_KIND_"
    return {KIND.Name(reason.kind).removeprefix(prefix): reason for reason in one.reasons}


def create_rule(athlete: Athlete, **fields: Any) -> progression_pb2.ProgressionRule:
    request = progression_pb2.CreateProgressionRuleRequest(rule=a_rule(**fields))
    return athlete.progression.CreateProgressionRule(request)


def push_workout(athlete: Athlete, **fields: Any) -> workout_pb2.Workout:
    exercise = workout_pb2.WorkoutExercise(
        exercise_id=PUSH_UP, sets=3, reps={"min": 8, "max": 12}, **fields
    )
    return athlete.create_workout(display_name="Push day", exercises=[exercise])


# Recovery.


def test_who_never_trained_is_recovered(alice: Athlete) -> None:
    found = recovery(alice)
    assert len(found) == len(exercise_pb2.Muscle.values()) - 1
    for one in found.values():
        assert one.recovery == 1
        assert not one.HasField("hours_since")
        assert not one.HasField("window_hours")


def test_the_golden_number(alice: Athlete, bob: Athlete) -> None:
    session = did(alice, 30, PULL_UP)
    lats = recovery(alice)["LATS"]
    assert lats.recovery == pytest.approx(0.625, abs=0.001)
    assert lats.hours_since == pytest.approx(30, abs=0.05)
    assert (lats.window_hours, lats.hard_set_count, lats.highest_rpe) == (48, 3, 8)
    assert list(lats.session_ids) == [session.id]
    assert recovery(alice)["QUADS"].recovery == 1
    assert recovery(bob)["LATS"].recovery == 1


def test_failure_and_many_hard_sets_take_longer(alice: Athlete, bob: Athlete) -> None:
    did(alice, 36, PULL_UP, rpe=9.5)
    did(bob, 36, PULL_UP, count=8)
    for athlete in (alice, bob):
        lats = recovery(athlete)["LATS"]
        assert lats.window_hours == 72
        assert lats.recovery == pytest.approx(0.5, abs=0.001)


def test_what_is_recovered_says_when_it_was_trained(alice: Athlete) -> None:
    did(alice, 200, PULL_UP)
    lats = recovery(alice)["LATS"]
    assert lats.recovery == 1
    assert lats.hours_since == pytest.approx(200, abs=0.05)
    assert not lats.session_ids


def test_without_the_session_that_it_names_a_muscle_is_recovered(alice: Athlete) -> None:
    did(alice, 10, PULL_UP)
    [session_id] = recovery(alice)["LATS"].session_ids
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=session_id, reason="no"))
    assert recovery(alice)["LATS"].recovery == 1


def test_recovery_takes_one_round_trip_for_no_session_and_for_many(
    alice: Athlete, bob: Athlete, queries: Queries
) -> None:
    for hours in range(1, 20):
        did(bob, hours, PULL_UP, PUSH_UP)
    sent = []
    for athlete in (alice, bob):
        queries.clear()
        recovery(athlete)
        assert sum(sql.startswith("BEGIN") for sql in queries.sql) == 1
        sent.append(queries.data)
    assert len(sent[0]) == 2
    assert sent[0] == sent[1]


@pytest.mark.parametrize(
    ("form", "media_type"),
    [(1, "image/svg+xml"), (2, "image/png"), (3, "application/json")],
)
def test_the_body_is_drawn(alice: Athlete, form: Any, media_type: str) -> None:
    did(alice, 5, PULL_UP)
    request = pb.GetRecoveryChartRequest(format=form, width_pixels=500, height_pixels=400)
    body = alice.recommendations.GetRecoveryChart(request)
    assert body.content_type == media_type
    if form == 1:
        svg = ElementTree.fromstring(body.data)
        assert "Not recovered" in svg.attrib["aria-label"]
        assert "lats 10 %" in svg.attrib["aria-label"]


def test_a_picture_without_room_is_refused(alice: Athlete) -> None:
    with refused("INVALID_FIELD") as refusals:
        alice.recommendations.GetRecoveryChart(pb.GetRecoveryChartRequest(width_pixels=399))
    assert refusals[0].fields == ["width_pixels"]


# Workouts.


def test_own_and_built_in_workouts_are_ranked(alice: Athlete, bob: Athlete) -> None:
    own = alice.create_workout()
    found = workouts(alice)
    assert of(found, own.id).workout.display_name == "Pull day"
    assert {one.workout.program_slug for one in found.recommendations} >= {
        "",
        "recommended-routine",
    }
    scores = [(-one.score, one.workout.workout_id) for one in found.recommendations]
    assert scores == sorted(scores)
    for one in found.recommendations:
        known = [(t.value, t.weight) for t in one.terms if t.HasField("value")]
        mean = sum(value * weight for value, weight in known) / sum(w for _, w in known)
        assert one.score == pytest.approx(mean)
        assert [round(t.weight, 2) for t in one.terms] == [0.35, 0.25, 0.2, 0.1, 0.1]
        assert len(one.reasons) == 2
        assert all(reason.description for reason in one.reasons)
    assert own.id not in {one.workout.workout_id for one in workouts(bob).recommendations}


def test_the_same_data_give_the_same_answer(alice: Athlete) -> None:
    alice.create_workout()
    assert workouts(alice) == workouts(alice)


def test_recovery_counts_and_is_cited(alice: Athlete) -> None:
    own = alice.create_workout()
    session = did(alice, 12, PULL_UP)
    one = of(workouts(alice), own.id)
    value = terms(one)["RECOVERY"]
    assert value is not None
    assert 0.2 < value < 0.9
    reason = reasons(one)["RECOVERED"]
    assert reason.value == value
    assert list(reason.session_ids) == [session.id]
    request = session_pb2.VoidSessionRequest(session_id=session.id, reason="no")
    alice.sessions.VoidSession(request)
    again = of(workouts(alice), own.id)
    assert terms(again)["RECOVERY"] == 1
    assert not reasons(again)["RECOVERED"].session_ids


def test_a_goal_counts_until_it_is_abandoned(alice: Athlete, bob: Athlete) -> None:
    own = alice.create_workout()
    goal = alice.goals.CreateGoal(goal_pb2.CreateGoalRequest(goal=a_goal()))
    one = of(workouts(alice), own.id)
    # 4 x 6.5 repetitions, and 3 x 15 s, of which 2 s are worth a repetition.
    assert terms(one)["GOAL"] == pytest.approx(26 / (26 + 22.5))
    reason = reasons(of(workouts(alice), own.id)).get("TOWARDS_GOAL")
    if reason:
        assert list(reason.goal_ids) == [goal.id]
        assert list(reason.exercise_ids) == [PULL_UP]
    alice.goals.AbandonGoal(goal_pb2.AbandonGoalRequest(goal_id=goal.id))
    one = of(workouts(alice), own.id)
    assert terms(one)["GOAL"] == 0
    assert "TOWARDS_GOAL" not in reasons(one)


def test_what_evens_push_and_pull_is_better(alice: Athlete) -> None:
    pull, push = alice.create_workout(), push_workout(alice)
    did(alice, 100, PUSH_UP, count=10)
    found = workouts(alice)
    assert terms(of(found, pull.id))["BALANCE"] == 1
    assert terms(of(found, push.id))["BALANCE"] in (0, 0.5)
    reason = reasons(of(found, pull.id))["EVENS_BALANCE"]
    assert (reason.push_set_count, reason.pull_set_count) == (10, 0)
    did(alice, 99, PULL_UP, count=10)
    assert "EVENS_BALANCE" not in reasons(of(workouts(alice), pull.id))


def test_what_was_done_lately_is_worse(alice: Athlete) -> None:
    own = alice.create_workout()
    assert terms(of(workouts(alice), own.id))["RECENCY"] == 1
    alice.log(
        a_session(start_time=ago(0.1), time_zone="UTC", workout_id=own.id, workout_revision=1)
    )
    one = of(workouts(alice), own.id)
    assert terms(one)["RECENCY"] == 0
    assert "NOT_DONE_LATELY" not in reasons(one)


def test_fit_needs_readiness_and_intensity(alice: Athlete) -> None:
    own = push_workout(alice, target_rpe=6)
    assert terms(of(workouts(alice), own.id))["FIT"] is None
    did(alice, 0.1, PUSH_UP, rpe=None)
    entry = a_wellness(sleep=1, stress=1, fatigue=1, soreness=1)
    alice.readiness.LogWellness(readiness_pb2.LogWellnessRequest(entry=entry))
    found = workouts(alice)
    one = of(found, own.id)
    if found.readiness_band:
        target = {1: 70, 2: 50, 3: 30}[found.readiness_band]
        assert terms(one)["FIT"] == pytest.approx(1 - abs(one.planned_intensity - target) / 100)
    else:
        assert terms(one)["FIT"] is None


def test_equipment_leaves_out(alice: Athlete) -> None:
    own, push = alice.create_workout(), push_workout(alice)
    found = workouts(alice, equipment_at_hand=[exercise_pb2.EQUIPMENT_NONE])
    assert of(found, push.id)
    out = excluded(found, own.id)
    assert out.kind == pb.WORKOUT_EXCLUSION_KIND_EQUIPMENT
    needed = [exercise_pb2.EQUIPMENT_PARALLETTES, exercise_pb2.EQUIPMENT_PULL_UP_BAR]
    assert list(out.equipment) == needed
    assert "pull up bar" in out.description
    assert of(workouts(alice), own.id)


def test_a_deload_week_leaves_out_hard_sets(alice: Athlete) -> None:
    hard, easy = push_workout(alice, target_rpe=8), alice.create_workout()
    today = datetime.now(UTC).date()
    phase = a_phase(
        start_date=to_date(today),
        end_date=to_date(today + timedelta(7)),
        volume_factors=[1],
        deload_weeks=[1],
    )
    stored = alice.phases.CreatePhase(phase_pb2.CreatePhaseRequest(phase=phase))
    found = workouts(alice)
    assert found.deload_week
    assert excluded(found, hard.id).kind == pb.WORKOUT_EXCLUSION_KIND_DELOAD_WEEK
    assert excluded(found, hard.id).hard_set_count == 3
    assert of(found, easy.id)
    alice.phases.DeletePhase(phase_pb2.DeletePhaseRequest(phase_id=stored.id))
    assert of(workouts(alice), hard.id)


def in_a_deload_today() -> dict[str, Any]:
    """Returns the fields of a rule whose first deload week began yesterday."""
    started = datetime.now(UTC).date() - timedelta(days=8)
    return {"start_date": to_date(started), "deload_every_weeks": 2}


def test_a_rule_in_a_deload_leaves_out_the_workouts_that_go_by_it(
    alice: Athlete, bob: Athlete
) -> None:
    theirs = bob.create_workout()
    [pull, other] = [alice.create_workout() for _ in range(2)]
    general = create_rule(alice, **in_a_deload_today())
    found = workouts(alice)
    for one in (pull, other):
        out = excluded(found, one.id)
        assert out.kind == pb.WORKOUT_EXCLUSION_KIND_TRACK_RESTS
        assert list(out.exercise_ids) == [PULL_UP]
    assert of(workouts(bob), theirs.id)
    # The rule of a place goes before that of its exercise, and this one does not rest.
    place = {"workout_id": pull.id, "workout_order": pull.exercises[0].order}
    create_rule(alice, **{**in_a_deload_today(), "deload_every_weeks": 12}, **place)
    found = workouts(alice)
    assert of(found, pull.id)
    assert excluded(found, other.id).kind == pb.WORKOUT_EXCLUSION_KIND_TRACK_RESTS
    request = progression_pb2.DeleteProgressionRuleRequest(progression_rule_id=general.id)
    alice.progression.DeleteProgressionRule(request)
    assert of(workouts(alice), other.id)


def test_a_deload_is_over_the_day_after(alice: Athlete) -> None:
    """By the calendar: nobody need have trained since."""
    own = alice.create_workout()
    started = datetime.now(UTC).date() - timedelta(days=14)
    create_rule(alice, start_date=to_date(started), deload_every_weeks=2)
    did(alice, 30, PULL_UP)
    assert of(workouts(alice), own.id)


def test_what_was_done_where_it_is_tomorrow_counts(alice: Athlete, bob: Athlete) -> None:
    """26 hours lie between the two zones, so that their dates are never the same."""
    own = push_workout(alice)
    alice.log(
        a_session(
            start_time=ago(1),
            time_zone="Pacific/Kiritimati",
            duration_seconds=1800,
            workout_id=own.id,
            workout_revision=own.revision,
            exercises=[
                session_pb2.SessionExercise(
                    exercise_id=PUSH_UP, sets=[session_pb2.PerformedSet(actual_reps=8, rpe=8)] * 3
                )
            ],
        )
    )
    found = of(workouts(alice, time_zone="Etc/GMT+12"), own.id)
    assert terms(found)["RECENCY"] == 0
    assert terms(found)["RECOVERY"] == pytest.approx(0.5 / 48, abs=0.01)
    lacking = [
        one
        for one in exercises(alice, time_zone="Etc/GMT+12")
        if one.exercise_id == PUSH_UP and "PATTERN_LACKING" in reasons(one)
    ]
    assert lacking == []
    theirs = push_workout(bob)
    assert terms(of(workouts(bob, time_zone="Etc/GMT+12"), theirs.id))["RECOVERY"] == 1


def test_an_empty_workout_and_a_deleted_one_are_not_recommended(alice: Athlete) -> None:
    empty, gone = alice.create_workout(exercises=[]), alice.create_workout()
    alice.workouts.DeleteWorkout(workout_pb2.DeleteWorkoutRequest(workout_id=gone.id))
    found = workouts(alice)
    assert excluded(found, empty.id).kind == pb.WORKOUT_EXCLUSION_KIND_EMPTY
    named = {one.workout.workout_id for one in (*found.recommendations, *found.excluded)}
    assert gone.id not in named


def test_a_programmes_workout_gives_way_to_ones_own(alice: Athlete) -> None:
    built_in = next(o for o in workouts(alice).recommendations if o.workout.program_slug)
    request = program_pb2.GetProgramRequest(slug=built_in.workout.program_slug)
    program = alice.programs.GetProgram(request)
    [message] = [one for one in program.workouts if one.id == built_in.workout.workout_id]
    own = alice.create_workout(exercises=list(message.exercises))
    out = excluded(workouts(alice), message.id)
    assert (out.kind, out.workout_id) == (pb.WORKOUT_EXCLUSION_KIND_LIKE_OWN, own.id)


def test_the_cap_is_withheld_with_a_short_history(alice: Athlete) -> None:
    did(alice, 30, PULL_UP)
    found = workouts(alice)
    assert not found.load_caps
    assert found.load_cap_withheld_reason == 1  # insufficient history
    assert not found.rest_suggested
    assert all(not one.HasField("set_factor") for one in found.recommendations)


def test_the_cap_scales_sets(alice: Athlete) -> None:
    own = alice.create_workout()
    # 360 a day for weeks, and twice as much lately.
    for day in range(1, 36):
        alice.log(
            a_session(
                start_time=ago(24 * day),
                time_zone="UTC",
                duration_seconds=3600,
                session_rpe=6 if day > 6 else 8,
                workout_id=own.id,
                workout_revision=1,
            )
        )
    found = workouts(alice)
    cap, low = found.load_caps
    # 7 x 1.5 x 360 - 6 x 480, and 7 x 1.3 x 360 - 6 x 480.
    assert (cap.ratio, low.ratio) == (1.5, 1.3)
    assert cap.load_au == pytest.approx(900)
    assert low.load_au == pytest.approx(396)
    one = of(found, own.id)
    assert one.planned_load_au == 480
    assert (one.set_factor, one.exceeds_cap) == (1, False)
    alice.log(
        a_session(start_time=ago(0.1), time_zone="UTC", duration_seconds=3600, session_rpe=10)
    )
    found = workouts(alice)
    assert found.load_caps[0].left_au == pytest.approx(300)
    assert of(found, own.id).set_factor == pytest.approx(300 / 480)
    alice.log(a_session(start_time=ago(0.1), time_zone="UTC", duration_seconds=3600, session_rpe=5))
    found = workouts(alice)
    assert found.rest_suggested
    assert (of(found, own.id).set_factor, of(found, own.id).exceeds_cap) == (0.5, True)


def test_workouts_take_as_many_statements_for_many_sessions(
    alice: Athlete, bob: Athlete, queries: Queries
) -> None:
    for hours in range(1, 20):
        did(bob, hours, PULL_UP, PUSH_UP)
        bob.create_workout()
    sent = []
    for athlete in (alice, bob):
        workouts(athlete)
        queries.clear()
        workouts(athlete)
        assert sum(sql.startswith("BEGIN") for sql in queries.sql) == 1
        sent.append(queries.data)
    assert sent[0] == sent[1]


def test_a_coach_reads_by_the_grant_of_metrics(alice: Athlete) -> None:
    own = alice.create_workout()
    coach = alice.as_another()
    with refused("ATHLETE_NOT_FOUND"):
        workouts(coach, external_user_id=alice.id)
    grant(alice, coach.id, access_pb2.GRANT_SCOPE_READ_METRICS)
    assert of(workouts(coach, external_user_id=alice.id), own.id)


# Exercises.


def kinds(found: list[pb.ExerciseRecommendation]) -> set[str]:
    prefix = "EXERCISE_RECOMMENDATION_KIND_"
    return {pb.ExerciseRecommendationKind.Name(one.kind).removeprefix(prefix) for one in found}


def patterns(found: list[pb.ExerciseRecommendation]) -> set[int]:
    return {one.reasons[0].pattern for one in found if one.kind == 1}


def test_who_did_nothing_lacks_every_pattern(alice: Athlete) -> None:
    found = exercises(alice)
    assert kinds(found) == {"ADD"}
    assert patterns(found) == {1, 2, 3, 4}
    assert all(len(one.reasons) == 2 for one in found)


def test_a_pattern_that_was_done_is_not_lacking(alice: Athlete, bob: Athlete) -> None:
    did(alice, 48, PULL_UP, PUSH_UP)
    assert patterns(exercises(alice)) == {3, 4}
    assert patterns(exercises(bob)) == {1, 2, 3, 4}
    did(alice, 24, SQUAT)
    assert patterns(exercises(alice)) == {4}


def test_who_passed_an_exercise_may_go_on(alice: Athlete) -> None:
    first, second = (did(alice, hours, PULL_UP) for hours in (100, 50))
    found = [
        one for one in exercises(alice) if one.kind == pb.EXERCISE_RECOMMENDATION_KIND_PROGRESS
    ]
    assert found
    for one in found:
        reason = one.reasons[0]
        assert reason.kind == pb.RECOMMENDATION_REASON_KIND_CRITERION_MET
        assert list(reason.exercise_ids) == [PULL_UP]
        assert list(reason.session_ids) == [second.id]
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=first.id, reason="no"))
    assert "PROGRESS" not in kinds(exercises(alice))


def test_swaps_are_alike_and_say_what_is_different(alice: Athlete) -> None:
    found = [one for one in exercises(alice, swapped_exercise_id=PULL_UP) if one.kind == 3]
    assert found
    for one in found:
        assert one.exercise_id != PULL_UP
        assert abs(one.difference.difficulty_change) <= 1
        assert list(one.reasons[0].exercise_ids) == [PULL_UP]
        assert len(one.reasons) == 2
    only = exercises(
        alice,
        swapped_exercise_id=PULL_UP,
        equipment_at_hand=[exercise_pb2.EQUIPMENT_RINGS],
    )
    added = {item for one in only if one.kind == 3 for item in one.difference.added_equipment}
    assert added == {exercise_pb2.EQUIPMENT_RINGS}
    assert any(exercise_pb2.EQUIPMENT_RINGS not in one.difference.added_equipment for one in found)


def test_an_exercise_that_does_not_exist_has_no_swap(alice: Athlete) -> None:
    with refused("EXERCISE_NOT_FOUND") as refusals:
        exercises(alice, swapped_exercise_id=str(uuid.uuid4()))
    assert refusals[0].fields == ["swapped_exercise_id"]


def test_exercises_take_one_round_trip(alice: Athlete, queries: Queries) -> None:
    did(alice, 48, PULL_UP)
    exercises(alice)
    queries.clear()
    exercises(alice)
    assert sum(sql.startswith("BEGIN") for sql in queries.sql) == 1
    assert len(queries.data) == 4
