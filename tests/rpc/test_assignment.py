"""Copies of a coach's workouts and phases for athletes, over the wire."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import (
    access_pb2,
    exercise_pb2,
    phase_pb2,
    schedule_pb2,
    session_pb2,
    workout_pb2,
)
from calisthenics.training.v1 import assignment_pb2 as pb

from tests.rpc.test_batch import details
from tests.rpc.test_isolation import rows_of
from tests.rpc.test_totals import a_date, on, to_date
from tests.support import (
    Athlete,
    Queries,
    a_phase,
    a_schedule,
    expire,
    grant,
    refused,
    revoke,
    uses,
)
from training_service.caller import Scope
from training_service.errors import database_unavailable
from training_service.storage.grant import GrantRepository

WRITE_WORKOUTS = access_pb2.GRANT_SCOPE_WRITE_WORKOUTS
WRITE_SCHEDULE = access_pb2.GRANT_SCOPE_WRITE_SCHEDULE
READ_METRICS = access_pb2.GRANT_SCOPE_READ_METRICS
KEEP, UPDATE_UNCHANGED, OVERWRITE = pb.OnExistingCopy.values()[1:]
CREATED, UPDATED, KEPT, KEPT_CHANGED, UNCHANGED = pb.AssignmentOutcome.values()[1:]
MONDAY = date(2026, 3, 2)

NewAthlete = Callable[..., Athlete]


@pytest.fixture
def coach(new_athlete: NewAthlete) -> Athlete:
    """Somebody whom alice and bob let write their workouts and schedules."""
    return new_athlete()


@pytest.fixture(autouse=True)
def _granted(alice: Athlete, bob: Athlete, coach: Athlete) -> None:
    for athlete in (alice, bob):
        grant(athlete, coach.id, WRITE_WORKOUTS, WRITE_SCHEDULE)


def wanted(*workouts: workout_pb2.Workout | str, revision: int = 0) -> list[pb.WorkoutToAssign]:
    ids = [one if isinstance(one, str) else one.id for one in workouts]
    return [pb.WorkoutToAssign(workout_id=id, revision=revision) for id in ids]


def assign(
    coach: Athlete,
    workouts: list[pb.WorkoutToAssign],
    *athletes: Athlete | str,
    caller: Athlete | None = None,
    **request: Any,
) -> list[pb.AssignWorkoutsResult]:
    ids = [one if isinstance(one, str) else one.id for one in athletes]
    message = pb.AssignWorkoutsRequest(workouts=workouts, athlete_user_ids=ids, **request)
    results = list((caller or coach).assignments.AssignWorkouts(message).results)
    assert [one.athlete_user_id for one in results] == ids
    return results


def assign_phase(
    coach: Athlete, phase: phase_pb2.Phase, *athletes: Athlete, **request: Any
) -> list[pb.AssignPhaseResult]:
    message = pb.AssignPhaseRequest(
        phase_id=phase.id, athlete_user_ids=[one.id for one in athletes], **request
    )
    return list(coach.assignments.AssignPhase(message).results)


def only(results: list[pb.AssignWorkoutsResult]) -> pb.AssignedWorkout:
    [result] = results
    assert result.WhichOneof("result") == "assigned", result
    [assigned] = result.assigned.workouts
    return assigned


def reason_of(result: pb.AssignWorkoutsResult | pb.AssignPhaseResult) -> str:
    assert result.WhichOneof("result") == "status", result
    return details(result.status)[1]


def workouts_of(athlete: Athlete) -> list[workout_pb2.Workout]:
    return list(athlete.workouts.ListWorkouts(workout_pb2.ListWorkoutsRequest()).workouts)


def workout(athlete: Athlete, id: str) -> workout_pb2.Workout:
    return athlete.workouts.GetWorkout(workout_pb2.GetWorkoutRequest(workout_id=id))


def rename(athlete: Athlete, id: str, display_name: str) -> workout_pb2.Workout:
    return athlete.workouts.UpdateWorkout(
        workout_pb2.UpdateWorkoutRequest(
            workout_id=id,
            workout=workout_pb2.Workout(display_name=display_name),
            update_mask={"paths": ["display_name"]},
        )
    )


def delete(athlete: Athlete, id: str) -> None:
    athlete.workouts.DeleteWorkout(workout_pb2.DeleteWorkoutRequest(workout_id=id))


def listed(athlete: Athlete, **request: Any) -> list[pb.Assignment]:
    response = athlete.assignments.ListAssignments(pb.ListAssignmentsRequest(**request))
    return list(response.assignments)


def phases_of(athlete: Athlete) -> list[phase_pb2.Phase]:
    return list(athlete.phases.ListPhases(phase_pb2.ListPhasesRequest()).phases)


def schedules_of(athlete: Athlete) -> list[schedule_pb2.Schedule]:
    return list(athlete.schedules.ListSchedules(schedule_pb2.ListSchedulesRequest()).schedules)


# Workouts


def test_each_athlete_gets_copies_of_their_own(
    alice: Athlete, bob: Athlete, coach: Athlete
) -> None:
    pull = coach.create_workout(description="Slowly.")
    push = coach.create_workout(display_name="Push day")
    results = assign(coach, wanted(pull, push), alice, bob)
    for athlete, result in zip((alice, bob), results, strict=True):
        assigned = result.assigned.workouts
        assert [one.source_workout_id for one in assigned] == [pull.id, push.id]
        assert [one.source_revision for one in assigned] == [1, 1]
        assert [(one.revision, one.outcome) for one in assigned] == [(1, CREATED)] * 2
        copy = workout(athlete, assigned[0].workout_id)
        assert copy.external_user_id == athlete.id
        assert (copy.display_name, copy.description) == ("Pull day", "Slowly.")
        assert list(copy.exercises) == list(pull.exercises)
        assert copy.id != pull.id
        found = [one.id for one in workouts_of(athlete)]
        assert found == [assigned[1].workout_id, assigned[0].workout_id]
    assert {one.id for one in workouts_of(coach)} == {pull.id, push.id}


def test_who_granted_nothing_that_helps_is_answered_like_nobody(
    alice: Athlete,
    bob: Athlete,
    coach: Athlete,
    new_athlete: NewAthlete,
    owner: psycopg.Connection,
) -> None:
    stranger, expired, other, taken_back = (new_athlete() for _ in range(4))
    expire(owner, grant(expired, coach.id, WRITE_WORKOUTS))
    grant(other, coach.id, READ_METRICS, WRITE_SCHEDULE)
    revoke(taken_back, grant(taken_back, coach.id, WRITE_WORKOUTS))
    refused_ones = (stranger, expired, other, taken_back)
    before = [rows_of(owner, one) for one in refused_ones]
    nobody = str(uuid4())
    results = assign(coach, wanted(coach.create_workout()), alice, *refused_ones, nobody, bob)
    assert [one.WhichOneof("result") for one in results] == [
        "assigned",
        *["status"] * 5,
        "assigned",
    ]
    statuses = [one.status for one in results[1:-1]]
    assert all(one == statuses[-1] for one in statuses)
    assert reason_of(results[1]) == "ATHLETE_NOT_FOUND"
    assert statuses[0].code == grpc.StatusCode.NOT_FOUND.value[0]
    assert [rows_of(owner, one) for one in refused_ones] == before
    for athlete in (alice, bob):
        assert len(workouts_of(athlete)) == 1
        [use] = uses(athlete)
        assert (use.rpc, use.scope) == ("AssignWorkouts", WRITE_WORKOUTS)
        assert use.grantee_user_id == coach.id
        assert use.call_id


def test_the_uses_of_one_call_are_found_by_its_id(
    alice: Athlete, bob: Athlete, coach: Athlete
) -> None:
    call_id = f"call-{uuid4()}"
    request = pb.AssignWorkoutsRequest(
        workouts=wanted(coach.create_workout()), athlete_user_ids=[alice.id, bob.id]
    )
    coach.assignments.AssignWorkouts(request, metadata=[("x-request-id", call_id)])
    assert [use.call_id for one in (alice, bob) for use in uses(one)] == [call_id] * 2


def test_the_database_asks_for_the_grant_again(
    alice: Athlete,
    coach: Athlete,
    new_athlete: NewAthlete,
    owner: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    carol = new_athlete()
    grant(carol, coach.id, WRITE_SCHEDULE)
    workout = coach.create_workout()
    phase = coach.phases.CreatePhase(phase_pb2.CreatePhaseRequest(phase=a_phase()))
    follow(coach, phase, workout.id)
    before = rows_of(owner, carol)

    async def admit(*_: object) -> bool:
        return True

    monkeypatch.setattr(GrantRepository, "admit", admit)
    with refused("DATABASE_UNAVAILABLE"):
        assign(coach, wanted(workout), carol)
    with refused("DATABASE_UNAVAILABLE"):
        assign_phase(coach, phase, carol, with_schedules=True)
    assert rows_of(owner, carol) == before
    # It would not be refused for anything else.
    assert assign_phase(coach, phase, carol)[0].assigned.phase_ids


def test_only_own_workouts_can_be_given(alice: Athlete, bob: Athlete, coach: Athlete) -> None:
    grant(bob, alice.id, WRITE_WORKOUTS)
    own, foreign, deleted = alice.create_workout(), coach.create_workout(), alice.create_workout()
    delete(alice, deleted.id)
    with refused("WORKOUT_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        assign(alice, wanted(own, foreign, deleted), bob)
    assert refusals[0].fields == ["workouts[1].workout_id", "workouts[2].workout_id"]
    with refused("ATHLETE_NOT_FOUND"):
        assign(coach, wanted(own), bob, caller=bob, external_user_id=alice.id)
    with refused("WORKOUT_REVISION_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        assign(alice, wanted(own, revision=2), bob)
    assert refusals[0].fields == ["workouts[0].revision"]
    assert workouts_of(bob) == []


def test_no_template_begins_with_a_deprecated_exercise(
    alice: Athlete, coach: Athlete, admin: Athlete
) -> None:
    slug = f"deprecated-{uuid4().hex[:8]}"
    exercise = admin.exercises.CreateExercise(
        exercise_pb2.CreateExerciseRequest(
            exercise=exercise_pb2.Exercise(
                slug=slug,
                display_name="Old one",
                category="EXERCISE_CATEGORY_PULL",
                difficulty=3,
                movement_kind="MOVEMENT_KIND_DYNAMIC",
                primary_muscles=["MUSCLE_LATS"],
            )
        )
    )
    prescribed = workout_pb2.WorkoutExercise(exercise_id=exercise.id, sets=3)
    old = coach.create_workout(exercises=[prescribed])
    admin.exercises.DeprecateExercise(
        exercise_pb2.DeprecateExerciseRequest(exercise_id=exercise.id)
    )
    with refused("EXERCISE_DEPRECATED", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
        assign(coach, wanted(coach.create_workout(), old), alice)
    assert refusals[0].fields == ["workouts[1].workout_id"]
    assert workouts_of(alice) == []


@pytest.mark.parametrize(
    ("on_existing", "unchanged", "changed", "deleted"),
    [
        (KEEP, KEPT, KEPT_CHANGED, KEPT_CHANGED),
        (0, KEPT, KEPT_CHANGED, KEPT_CHANGED),
        (UPDATE_UNCHANGED, UPDATED, KEPT_CHANGED, KEPT_CHANGED),
        (OVERWRITE, UPDATED, UPDATED, CREATED),
    ],
)
def test_a_later_revision_is_given_by_choice(
    on_existing: Any,
    unchanged: int,
    changed: int,
    deleted: int,
    alice: Athlete,
    bob: Athlete,
    coach: Athlete,
    new_athlete: NewAthlete,
) -> None:
    carol = new_athlete()
    grant(carol, coach.id, WRITE_WORKOUTS)
    source = coach.create_workout()
    first = assign(coach, wanted(source), alice, bob, carol)
    of_alice, of_bob, of_carol = (one.assigned.workouts[0].workout_id for one in first)
    rename(bob, of_bob, "My own")
    delete(carol, of_carol)
    rename(coach, source.id, "Pull day, harder")

    again = assign(coach, wanted(source), alice, bob, carol, on_existing=on_existing)
    outcomes = [one.assigned.workouts[0] for one in again]
    assert [one.outcome for one in outcomes] == [unchanged, changed, deleted]
    assert all(one.source_revision == 2 for one in outcomes)
    assert [outcomes[0].workout_id, outcomes[1].workout_id] == [of_alice, of_bob]

    copy = workout(alice, of_alice)
    is_updated = unchanged == UPDATED
    assert copy.display_name == ("Pull day, harder" if is_updated else "Pull day")
    assert copy.revision == outcomes[0].revision == (2 if is_updated else 1)
    of_first = workout_pb2.GetWorkoutRevisionRequest(workout_id=of_alice, revision=1)
    assert alice.workouts.GetWorkoutRevision(of_first).display_name == "Pull day"
    copy = workout(bob, of_bob)
    assert copy.display_name == ("Pull day, harder" if changed == UPDATED else "My own")
    assert copy.revision == outcomes[1].revision == (3 if changed == UPDATED else 2)
    assert workout(carol, of_carol).HasField("delete_time")
    if deleted == CREATED:
        assert [one.id for one in workouts_of(carol)] == [outcomes[2].workout_id]
        assert outcomes[2].workout_id != of_carol
        assert listed(carol)[0].target_id == outcomes[2].workout_id
    else:
        assert workouts_of(carol) == []


def test_what_an_athlete_has_already_stays(alice: Athlete, coach: Athlete) -> None:
    source = coach.create_workout()
    first = only(assign(coach, wanted(source), alice))
    for on_existing in (KEEP, UPDATE_UNCHANGED, OVERWRITE):
        again = only(assign(coach, wanted(source), alice, on_existing=on_existing))
        assert again.outcome == UNCHANGED
        assert (again.workout_id, again.revision) == (first.workout_id, 1)
    rename(alice, first.workout_id, "My own")
    again = only(assign(coach, wanted(source), alice, on_existing=OVERWRITE))
    assert (again.outcome, again.revision) == (UPDATED, 3)
    assert workout(alice, first.workout_id).display_name == "Pull day"
    assert not listed(alice)[0].changed


def test_a_pinned_revision_is_given(alice: Athlete, coach: Athlete) -> None:
    source = coach.create_workout()
    rename(coach, source.id, "Pull day, harder")
    given = only(assign(coach, wanted(source, revision=1), alice))
    assert given.source_revision == 1
    assert workout(alice, given.workout_id).display_name == "Pull day"
    assert listed(alice)[0].source.revision == 1
    now = only(assign(coach, wanted(source), alice, on_existing=UPDATE_UNCHANGED))
    assert (now.outcome, now.source_revision) == (UPDATED, 2)
    back = only(assign(coach, wanted(source, revision=1), alice, on_existing=UPDATE_UNCHANGED))
    assert (back.outcome, back.source_revision, back.revision) == (UPDATED, 1, 3)


def test_sessions_of_the_revision_before_stay_as_they_are(alice: Athlete, coach: Athlete) -> None:
    source = coach.create_workout()
    id = only(assign(coach, wanted(source), alice)).workout_id
    logged = alice.log(on("2026-03-02", workout_id=id, workout_revision=1))
    rename(coach, source.id, "Pull day, harder")
    assert only(assign(coach, wanted(source), alice, on_existing=OVERWRITE)).revision == 2
    read = alice.sessions.GetSession(session_pb2.GetSessionRequest(session_id=logged.id))
    assert read == logged
    assert read.workout_revision == 1


def test_a_workout_without_exercises_can_be_given(alice: Athlete, coach: Athlete) -> None:
    given = only(assign(coach, wanted(coach.create_workout(exercises=[])), alice))
    assert not workout(alice, given.workout_id).exercises


def test_two_coaches_give_copies_of_their_own(alice: Athlete, bob: Athlete, coach: Athlete) -> None:
    grant(alice, bob.id, WRITE_WORKOUTS)
    request_id = str(uuid4())
    for one in (bob, coach):
        given = only(assign(one, wanted(one.create_workout()), alice, request_id=request_id))
        assert given.outcome == CREATED
    assert len(workouts_of(alice)) == 2
    assert [one.source.external_user_id for one in listed(alice)] == [coach.id, bob.id]


def test_a_call_that_is_sent_again_gives_to_whom_it_did_not(
    alice: Athlete, bob: Athlete, coach: Athlete, new_athlete: NewAthlete
) -> None:
    carol = new_athlete()
    request: dict[str, Any] = {"request_id": str(uuid4()), "on_existing": OVERWRITE}
    source = coach.create_workout()
    first = assign(coach, wanted(source), alice, carol, **request)
    assert reason_of(first[1]) == "ATHLETE_NOT_FOUND"
    rename(alice, first[0].assigned.workouts[0].workout_id, "My own")
    grant(carol, coach.id, WRITE_WORKOUTS)
    again = assign(coach, wanted(source), alice, carol, bob, **request)
    assert again[0] == first[0]
    assert [only([one]).outcome for one in again[1:]] == [CREATED, CREATED]
    assert [one.display_name for one in workouts_of(alice)] == ["My own"]
    assert assign(coach, wanted(source), alice, carol, bob, **request) == again
    for athlete in (alice, bob, carol):
        assert len(workouts_of(athlete)) == 1
        assert len(listed(athlete)) == 1
    request["on_existing"] = KEEP
    [result] = assign(coach, wanted(source), alice, **request)
    assert reason_of(result) == "REQUEST_ID_REUSED"


def test_after_a_crash_half_way_each_athlete_gets_one_copy(
    alice: Athlete, bob: Athlete, coach: Athlete, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = coach.create_workout()
    request_id = str(uuid4())
    admit = GrantRepository.admit

    async def admit_alice(self: GrantRepository, scope: Scope, *args: str) -> bool:
        if str(scope.external_user_id) != alice.id:
            raise database_unavailable()
        return await admit(self, scope, *args)

    with monkeypatch.context() as broken:
        broken.setattr(GrantRepository, "admit", admit_alice)
        with refused("DATABASE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE):
            assign(coach, wanted(source), alice, bob, request_id=request_id)
    assert [len(workouts_of(one)) for one in (alice, bob)] == [1, 0]
    assign(coach, wanted(source), alice, bob, request_id=request_id)
    assert [len(workouts_of(one)) for one in (alice, bob)] == [1, 1]
    assert [len(listed(one)) for one in (alice, bob)] == [1, 1]


@pytest.mark.parametrize("request_id", ["", str(uuid4())], ids=["no request_id", "one request_id"])
def test_calls_at_the_same_moment_give_one_copy(
    request_id: str, alice: Athlete, coach: Athlete
) -> None:
    sources = [coach.create_workout() for _ in range(3)]

    def attempt(number: int) -> pb.AssignWorkoutsResult:
        order = sources if number % 2 or request_id else sources[::-1]
        return assign(coach, wanted(*order), alice, request_id=request_id)[0]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, range(16)))
    served = [one for one in results if one.HasField("assigned")]
    assert served
    assert {reason_of(one) for one in results if one.HasField("status")} <= {"CONFLICT"}
    if request_id:
        assert all(one == results[0] for one in results)
    copies = {copy.workout_id for one in served for copy in one.assigned.workouts}
    assert copies == {one.id for one in workouts_of(alice)}
    assert len(copies) == len(listed(alice)) == 3


def test_a_service_gives_what_is_a_coachs(alice: Athlete, coach: Athlete, sibling: Athlete) -> None:
    source = coach.create_workout()
    given = only(assign(coach, wanted(source), alice, caller=sibling, external_user_id=coach.id))
    assert given.outcome == CREATED
    assert listed(alice)[0].source.external_user_id == coach.id
    assert uses(alice)[0].grantee_user_id == coach.id
    # Acting for a coach is not acting for any athlete.
    stranger = coach.create_workout()
    [result] = assign(coach, wanted(stranger), sibling, caller=sibling, external_user_id=coach.id)
    assert reason_of(result) == "ATHLETE_NOT_FOUND"


def test_bad_input_is_refused(alice: Athlete, bob: Athlete, coach: Athlete) -> None:
    source = coach.create_workout()
    usual: dict[str, Any] = {"workouts": wanted(source), "athlete_user_ids": [alice.id]}
    for fields, path in (
        ({"workouts": []}, "workouts"),
        ({"workouts": wanted("")}, "workouts[0].workout_id"),
        ({"workouts": wanted(source, revision=-1)}, "workouts[0].revision"),
        ({"workouts": wanted(source, source)}, "workouts[1].workout_id"),
        ({"workouts": wanted(source) * 21}, "workouts"),
        ({"athlete_user_ids": []}, "athlete_user_ids"),
        ({"athlete_user_ids": ["alice"]}, "athlete_user_ids[0]"),
        ({"athlete_user_ids": [alice.id, alice.id]}, "athlete_user_ids"),
        ({"athlete_user_ids": [alice.id, alice.id.upper()]}, "athlete_user_ids[1]"),
        ({"athlete_user_ids": [alice.id, coach.id]}, "athlete_user_ids[1]"),
        ({"athlete_user_ids": [str(uuid4()) for _ in range(201)]}, "athlete_user_ids"),
        ({"on_existing": 9}, "on_existing"),
    ):
        with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
            coach.assignments.AssignWorkouts(pb.AssignWorkoutsRequest(**{**usual, **fields}))
        assert refusals[0].fields == [path]
    assert workouts_of(alice) == []
    assert uses(alice) == []


def test_copies_of_too_many_bytes_are_refused(
    alice: Athlete, coach: Athlete, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training_service.servicers.assignment.MAX_COPIED_BYTES", 1_000)
    source = coach.create_workout(description="x" * 600)
    strangers = [str(uuid4())]
    with refused("INVALID_FIELD") as refusals:
        assign(coach, wanted(source), alice, *strangers)
    assert refusals[0].fields == ["athlete_user_ids"]
    assert only(assign(coach, wanted(source), alice)).outcome == CREATED


def test_how_many_statements_an_athlete_takes(
    alice: Athlete, bob: Athlete, coach: Athlete, new_athlete: NewAthlete, queries: Queries
) -> None:
    sources = [coach.create_workout() for _ in range(3)]
    counts = []
    for athletes in ([alice], [bob, *(new_athlete() for _ in range(2))]):
        for athlete in athletes[1:]:
            grant(athlete, coach.id, WRITE_WORKOUTS)
        queries.clear()
        assign(coach, wanted(*sources), *athletes, request_id=str(uuid4()))
        counts.append(len(queries.data))
    # One reads the workouts, and one is the access record. Each athlete: admission, request, lock,
    # copies, and its answer; three of each workout; one that notes them all, and one that counts
    # the athlete's workouts.
    assert counts == [2 + 16, 2 + 3 * 16]
    queries.clear()
    again = assign(coach, wanted(*sources), alice)
    assert {one.outcome for one in again[0].assigned.workouts} == {UNCHANGED}
    assert len(queries.data) == 1 + 3 + 1


# Phases


def follow(athlete: Athlete, phase: phase_pb2.Phase, *workout_ids: str) -> schedule_pb2.Schedule:
    schedule = schedule_pb2.Schedule(
        display_name="Every other day", phase_id=phase.id, rotation={"workout_ids": workout_ids}
    )
    return athlete.schedules.CreateSchedule(schedule_pb2.CreateScheduleRequest(schedule=schedule))


def generate(athlete: Athlete, start: date = MONDAY) -> list[phase_pb2.Phase]:
    request = phase_pb2.GeneratePhasesRequest(
        model=phase_pb2.PERIODIZATION_MODEL_STEP,
        start_date=to_date(start),
        week_count=8,
        focus="PHASE_FOCUS_STRENGTH",
    )
    return list(athlete.phases.GeneratePhases(request).phases)


def shape(phases: list[phase_pb2.Phase]) -> list[tuple[Any, ...]]:
    """Returns all of phases but what is another's of a copy."""
    names = {one.id: one.display_name for one in phases}
    return [
        (
            one.display_name,
            names.get(one.parent_id, ""),
            one.kind,
            one.focus,
            a_date(one.start_date),
            a_date(one.end_date),
            list(one.volume_factors),
            list(one.intensity_factors),
            list(one.deload_weeks),
        )
        for one in phases
    ]


def test_each_athlete_gets_the_phases(alice: Athlete, bob: Athlete, coach: Athlete) -> None:
    phases = generate(coach)
    generate(coach, MONDAY + timedelta(weeks=8))
    for athlete, result in zip(
        (alice, bob), assign_phase(coach, phases[0], alice, bob), strict=True
    ):
        found = phases_of(athlete)
        assert shape(found) == shape(phases)
        assert {one.id for one in found} == set(result.assigned.phase_ids)
        assert result.assigned.phase_ids[0] == found[0].id
        assert not {one.id for one in found} & {one.id for one in phases}
        assert all(one.external_user_id == athlete.id for one in found)
        assert all(one.etag == "1" for one in found)
        [use] = uses(athlete)
        assert (use.rpc, use.scope) == ("AssignPhase", WRITE_SCHEDULE)
        [assignment] = listed(athlete)
        assert assignment.kind == pb.ASSIGNMENT_KIND_PHASE
        assert assignment.target_id == found[0].id
        assert assignment.source.id == phases[0].id
    assert len(phases_of(coach)) == 6


def test_phases_begin_on_another_day(alice: Athlete, coach: Athlete) -> None:
    phases = generate(coach)
    # In the way of the coach's own, and of nobody else's.
    generate(coach, MONDAY + timedelta(weeks=8))
    start = MONDAY + timedelta(weeks=9)
    assign_phase(coach, phases[0], alice, start_date=to_date(start))
    expected = [
        (*one[:4], one[4] + timedelta(weeks=9), one[5] + timedelta(weeks=9), *one[6:])
        for one in shape(phases)
    ]
    assert shape(phases_of(alice)) == expected
    # Again, before it.
    assert assign_phase(coach, phases[0], alice)[0].assigned.phase_ids
    assert len(phases_of(alice)) == 6
    assert len(listed(alice)) == 2


def test_a_phase_within_another_comes_to_the_top(alice: Athlete, coach: Athlete) -> None:
    phases = generate(coach)
    assign_phase(coach, phases[1], alice)
    [copy] = phases_of(alice)
    assert (copy.display_name, copy.parent_id) == (phases[1].display_name, "")


def test_phases_in_the_way_concern_one_athlete(
    alice: Athlete, bob: Athlete, coach: Athlete, new_athlete: NewAthlete, owner: psycopg.Connection
) -> None:
    carol = new_athlete()
    grant(carol, coach.id, WRITE_WORKOUTS)
    workout = coach.create_workout()
    phases = generate(coach)
    follow(coach, phases[0], workout.id)
    own = alice.phases.CreatePhase(phase_pb2.CreatePhaseRequest(phase=a_phase()))
    before = rows_of(owner, alice)
    results = assign_phase(coach, phases[0], alice, carol, bob, with_schedules=True)
    code, reason, fields = details(results[0].status)
    assert code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert (reason, fields) == ("PHASE_OVERLAP", ["start_date"])
    assert own.id.encode() in results[0].status.SerializeToString()
    assert reason_of(results[1]) == "ATHLETE_NOT_FOUND"
    assert len(results[2].assigned.phase_ids) == 3
    after = rows_of(owner, alice)
    assert len(after.pop("training.access_log")) == 2
    before.pop("training.access_log")
    assert after == before
    assert phases_of(alice) == [own]
    assert len(phases_of(bob)) == 3


def test_schedules_come_with_their_workouts(alice: Athlete, bob: Athlete, coach: Athlete) -> None:
    pull, push = coach.create_workout(), coach.create_workout(display_name="Push day")
    phases = generate(coach)
    of_all = follow(coach, phases[0], pull.id, "", push.id)
    of_second = follow(coach, phases[2], push.id)
    coach.schedules.CreateSchedule(schedule_pb2.CreateScheduleRequest(schedule=a_schedule(pull.id)))
    known = only(assign(coach, wanted(pull), alice)).workout_id
    rename(alice, known, "My own")
    results = assign_phase(coach, phases[0], alice, bob, with_schedules=True)
    for athlete, result in zip((alice, bob), results, strict=True):
        assigned = result.assigned
        copies = {one.source_workout_id: one for one in assigned.workouts}
        assert copies.keys() == {pull.id, push.id}
        second, first = schedules_of(athlete)
        assert list(assigned.schedule_ids) == [first.id, second.id]
        copy_of_pull, copy_of_push = copies[pull.id].workout_id, copies[push.id].workout_id
        assert list(first.rotation.workout_ids) == [copy_of_pull, "", copy_of_push]
        assert list(second.rotation.workout_ids) == [copy_of_push]
        assert [first.phase_id, second.phase_id] == [assigned.phase_ids[0], assigned.phase_ids[2]]
        for one, source in ((first, of_all), (second, of_second)):
            assert one.display_name == source.display_name
            assert (one.start_date, one.end_date) == (source.start_date, source.end_date)
        assert [use.scope for use in uses(athlete)][:2] == [WRITE_WORKOUTS, WRITE_SCHEDULE]
        assert len(workouts_of(athlete)) == 2
    [of_alice, of_bob] = [
        {one.source_workout_id: one.outcome for one in result.assigned.workouts}
        for result in results
    ]
    assert of_alice == {pull.id: KEPT_CHANGED, push.id: CREATED}
    assert of_bob == {pull.id: CREATED, push.id: CREATED}
    assert workout(alice, known).display_name == "My own"


def test_a_schedule_needs_a_workout_that_is_there(alice: Athlete, coach: Athlete) -> None:
    source = coach.create_workout()
    phases = generate(coach)
    follow(coach, phases[0], source.id)
    first = only(assign(coach, wanted(source), alice)).workout_id
    delete(alice, first)
    [result] = assign_phase(coach, phases[0], alice, with_schedules=True)
    [assigned] = result.assigned.workouts
    assert assigned.outcome == CREATED
    assert [one.id for one in workouts_of(alice)] == [assigned.workout_id]
    delete(coach, source.id)
    with refused("WORKOUT_DELETED", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
        assign_phase(coach, phases[0], alice, with_schedules=True)
    assert refusals[0].fields == ["with_schedules"]
    moved = assign_phase(coach, phases[0], alice, start_date=to_date(MONDAY + timedelta(weeks=8)))
    assert moved[0].assigned.phase_ids


def test_phases_without_their_schedules(alice: Athlete, coach: Athlete) -> None:
    phases = generate(coach)
    follow(coach, phases[0], coach.create_workout().id)
    [result] = assign_phase(coach, phases[0], alice)
    assert not result.assigned.schedule_ids
    assert not result.assigned.workouts
    assert schedules_of(alice) == workouts_of(alice) == []


def test_schedules_need_both_scopes(
    coach: Athlete, new_athlete: NewAthlete, alice: Athlete
) -> None:
    phases = generate(coach)
    follow(coach, phases[0], coach.create_workout().id)
    carol = new_athlete()
    grant(carol, coach.id, WRITE_SCHEDULE)
    [result] = assign_phase(coach, phases[0], carol, with_schedules=True)
    assert reason_of(result) == "ATHLETE_NOT_FOUND"
    assert phases_of(carol) == []
    # They need not come from one grant.
    grant(carol, coach.id, WRITE_WORKOUTS)
    [result] = assign_phase(coach, phases[0], carol, with_schedules=True)
    assert len(result.assigned.schedule_ids) == 1


def test_phases_are_given_once_however_often_they_are_sent(
    alice: Athlete, bob: Athlete, coach: Athlete
) -> None:
    phases = generate(coach)
    follow(coach, phases[0], coach.create_workout().id)
    request: dict[str, Any] = {"request_id": str(uuid4()), "with_schedules": True}
    first = assign_phase(coach, phases[0], alice, **request)
    again = assign_phase(coach, phases[0], alice, bob, **request)
    assert again[0] == first[0]
    for athlete in (alice, bob):
        assert len(phases_of(athlete)) == 3
        assert len(schedules_of(athlete)) == len(workouts_of(athlete)) == 1


def test_only_own_phases_can_be_given(alice: Athlete, bob: Athlete, coach: Athlete) -> None:
    phases = generate(coach)
    with refused("PHASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        assign_phase(alice, phases[0], bob)
    assert refusals[0].fields == ["phase_id"]
    for request, path in (
        ({"start_date": to_date(date(1969, 1, 6))}, "start_date"),
        ({"start_date": to_date(date(2199, 12, 30))}, "start_date"),
        ({"start_date": {"year": 2026}}, "start_date"),
    ):
        with refused("INVALID_FIELD") as refusals:
            assign_phase(coach, phases[0], alice, **request)
        assert refusals[0].fields == [path]
    with refused("INVALID_FIELD") as refusals:
        assign_phase(coach, phases[0], alice, coach)
    assert refusals[0].fields == ["athlete_user_ids[1]"]
    assert phases_of(alice) == phases_of(bob) == []


def test_too_many_phases_are_refused(
    alice: Athlete, bob: Athlete, coach: Athlete, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training_service.servicers.assignment.MAX_COPIED_PHASES", 5)
    phases = generate(coach)
    with refused("INVALID_FIELD") as refusals:
        assign_phase(coach, phases[0], alice, bob)
    assert refusals[0].fields == ["athlete_user_ids"]
    assert assign_phase(coach, phases[0], alice)[0].assigned.phase_ids


def test_how_many_statements_a_phase_takes(
    alice: Athlete, bob: Athlete, coach: Athlete, queries: Queries
) -> None:
    phases = generate(coach)
    follow(coach, phases[0], coach.create_workout().id)
    queries.clear()
    assign_phase(coach, phases[0], alice)
    # Reading it; admission, two for the lock, those in the way, the phases, what notes them, and
    # how many there are; the access record.
    assert len(queries.data) == 1 + 7 + 1
    queries.clear()
    assign_phase(coach, phases[0], bob, with_schedules=True)
    # Reading also schedules and workouts; another admission, lock and copies, three of the
    # workout, what notes it, the schedule, how many workouts and phases there are; the access
    # record.
    assert len(queries.data) == 3 + 6 + 1 + 2 + 3 + 1 + 1 + 2 + 1


# What was given


def test_an_athlete_sees_what_was_given(alice: Athlete, bob: Athlete, coach: Athlete) -> None:
    source, other = coach.create_workout(), coach.create_workout()
    phases = generate(coach)
    given = assign(coach, wanted(source, other), alice)[0].assigned.workouts
    assign_phase(coach, phases[0], alice)
    phase, second, first = listed(alice)
    assert [one.kind for one in (phase, second, first)] == [
        pb.ASSIGNMENT_KIND_PHASE,
        pb.ASSIGNMENT_KIND_WORKOUT,
        pb.ASSIGNMENT_KIND_WORKOUT,
    ]
    assert [first.target_id, second.target_id] == [one.workout_id for one in given]
    assert first.source == pb.AssignmentSource(external_user_id=coach.id, id=source.id, revision=1)
    assert not any(one.changed or one.deleted for one in (phase, second, first))
    assert first.create_time == first.update_time
    assert listed(bob) == []

    rename(alice, first.target_id, "My own")
    delete(alice, second.target_id)
    alice.phases.DeletePhase(phase_pb2.DeletePhaseRequest(phase_id=phase.target_id, force=True))
    states = [(one.changed, one.deleted) for one in listed(alice)]
    assert states == [(False, True), (False, True), (True, False)]


def test_a_phase_that_was_moved_is_changed(alice: Athlete, coach: Athlete) -> None:
    phases = generate(coach)
    [result] = assign_phase(coach, phases[0], alice)
    alice.phases.MovePhase(
        phase_pb2.MovePhaseRequest(
            phase_id=result.assigned.phase_ids[0], start_date=to_date(MONDAY + timedelta(weeks=1))
        )
    )
    assert [(one.changed, one.deleted) for one in listed(alice)] == [(True, False)]


def test_assignments_come_in_pages_and_can_be_granted(
    alice: Athlete, bob: Athlete, coach: Athlete, queries: Queries
) -> None:
    assign(coach, wanted(*(coach.create_workout() for _ in range(3))), alice)
    request = pb.ListAssignmentsRequest(page_size=2)
    first = alice.assignments.ListAssignments(request)
    request.page_token = first.next_page_token
    rest = alice.assignments.ListAssignments(request)
    queries.clear()
    assert [*first.assignments, *rest.assignments] == listed(alice)
    assert len(queries.data) == 1
    with refused("INVALID_PAGE_TOKEN"):
        bob.assignments.ListAssignments(request)
    with refused("ATHLETE_NOT_FOUND"):
        listed(bob, external_user_id=alice.id)
    grant(alice, bob.id, READ_METRICS)
    assert listed(bob, external_user_id=alice.id) == listed(alice)
