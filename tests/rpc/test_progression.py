"""ProgressionService, over the wire."""

import itertools
import random
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import exercise_pb2, session_pb2
from calisthenics.training.v1 import progression_pb2 as pb
from google.protobuf.field_mask_pb2 import FieldMask

from tests.support import (
    L_SIT,
    PISTOL_SQUAT,
    PULL_UP,
    PUSH_UP,
    Athlete,
    Queries,
    a_rule,
    a_session,
    at,
    forged_token,
    refused,
)

LOADING = {"start_load_kg": 20, "plate_step_kg": 2.5}
NOBODY = str(uuid.UUID(int=7))


def create(athlete: Athlete, **fields: Any) -> pb.ProgressionRule:
    request = pb.CreateProgressionRuleRequest(rule=a_rule(**fields))
    return athlete.progression.CreateProgressionRule(request)


def update(athlete: Athlete, rule: pb.ProgressionRule, **fields: Any) -> pb.ProgressionRule:
    request = pb.UpdateProgressionRuleRequest(
        progression_rule_id=rule.id,
        rule=pb.ProgressionRule(**fields),
        update_mask=FieldMask(paths=[name for name in fields if name != "etag"]),
    )
    return athlete.progression.UpdateProgressionRule(request)


def done(*reps: int, load_kg: float = 0, exercise_id: str = PULL_UP) -> session_pb2.SessionExercise:
    sets = [session_pb2.PerformedSet(actual_reps=one, load_kg=load_kg) for one in reps]
    return session_pb2.SessionExercise(exercise_id=exercise_id, sets=sets)


def a_day(day: int, *reps: int, load_kg: float = 0, **fields: Any) -> session_pb2.Session:
    """Returns a session of pull-ups on a day of January 2026."""
    return a_session(
        start_time=at(f"2026-01-{day:02}T17:00:00"),
        exercises=[done(*reps, load_kg=load_kg)],
        **fields,
    )


def prescribed(athlete: Athlete, rule: pb.ProgressionRule, day: int = 31) -> pb.Prescription:
    return athlete.progression.GetPrescription(
        pb.GetPrescriptionRequest(
            progression_rule_id=rule.id, local_date={"year": 2026, "month": 1, "day": day}
        )
    )


def events(athlete: Athlete, rule: pb.ProgressionRule, **request: Any) -> list[pb.ProgressionEvent]:
    request["progression_rule_id"] = rule.id
    response = athlete.progression.ListProgressionEvents(pb.ListProgressionEventsRequest(**request))
    return list(response.events)


def kinds(found: list[pb.ProgressionEvent]) -> list[str]:
    prefix = "PROGRESSION_EVENT_KIND_"
    return [pb.ProgressionEventKind.Name(one.kind).removeprefix(prefix) for one in found]


def loads(sets: Any) -> list[float]:
    return [one.target.load_kg for one in sets]


# Rules


def test_a_rule_is_returned_as_it_was_stored(alice: Athlete, bob: Athlete) -> None:
    rule = create(alice, loading=LOADING, success_count=2)
    assert (rule.external_user_id, rule.exercise_id, rule.etag) == (alice.id, PULL_UP, "1")
    assert rule.success_count == 2
    assert not rule.HasField("fail_limit")
    assert rule.create_time == rule.update_time
    request = pb.GetProgressionRuleRequest(progression_rule_id=rule.id)
    assert alice.progression.GetProgressionRule(request) == rule
    with refused("PROGRESSION_RULE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        bob.progression.GetProgressionRule(request)
    assert refusals[0].fields == ["progression_rule_id"]


def test_there_is_one_rule_for_an_exercise_and_one_for_a_place(
    alice: Athlete, bob: Athlete
) -> None:
    workout = alice.create_workout()
    create(alice)
    for order in (1, 2):
        create(alice, workout_id=workout.id, workout_order=order)
    create(bob)
    for slot in ({}, {"workout_id": workout.id, "workout_order": 2}):
        with refused("PROGRESSION_RULE_ALREADY_EXISTS", grpc.StatusCode.ALREADY_EXISTS):
            create(alice, **slot)


def test_somebody_elses_workout_is_unknown(alice: Athlete, bob: Athlete) -> None:
    workout = bob.create_workout()
    with refused("UNKNOWN_WORKOUT", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        create(alice, workout_id=workout.id, workout_order=1)
    assert refusals[0].fields == ["rule.workout_id"]


def test_rules_are_listed_newest_first(alice: Athlete, bob: Athlete) -> None:
    create(bob)
    rules = [create(alice, exercise_id=id) for id in (PULL_UP, PUSH_UP, PISTOL_SQUAT)]
    request = pb.ListProgressionRulesRequest(page_size=2)
    first = alice.progression.ListProgressionRules(request)
    request.page_token = first.next_page_token
    second = alice.progression.ListProgressionRules(request)
    assert [*first.rules, *second.rules] == rules[::-1]
    assert not second.next_page_token
    request.page_token = forged_token(first.next_page_token, "x")
    with refused("INVALID_PAGE_TOKEN"):
        alice.progression.ListProgressionRules(request)


def test_a_rule_is_changed_under_its_etag(alice: Athlete, bob: Athlete) -> None:
    rule = create(alice)
    changed = update(alice, rule, auto_apply=True, etag=rule.etag)
    assert (changed.auto_apply, changed.etag, changed.goal) == (True, "2", rule.goal)
    assert changed.start_date == rule.start_date
    with refused("ETAG_MISMATCH", grpc.StatusCode.ABORTED) as refusals:
        update(alice, rule, auto_apply=False, etag=rule.etag)
    assert refusals[0].fields == ["rule.etag"]
    with refused("INVALID_UPDATE_MASK"):
        update(alice, rule, exercise_id=PUSH_UP)
    with refused("PROGRESSION_RULE_NOT_FOUND"):
        update(bob, rule, auto_apply=True)
    with refused("INVALID_FIELD") as refusals:
        update(alice, rule, max_rpe=11)
    assert refusals[0].fields == ["rule.max_rpe"]


def test_a_rule_is_removed(alice: Athlete, bob: Athlete) -> None:
    rule = create(alice)
    with refused("ETAG_MISMATCH"):
        alice.progression.DeleteProgressionRule(
            pb.DeleteProgressionRuleRequest(progression_rule_id=rule.id, etag="9")
        )
    request = pb.DeleteProgressionRuleRequest(
        progression_rule_id=rule.id, request_id=str(uuid.uuid4())
    )
    with refused("PROGRESSION_RULE_NOT_FOUND"):
        bob.progression.DeleteProgressionRule(request)
    for _ in range(2):
        assert alice.progression.DeleteProgressionRule(request) == rule
    with refused("PROGRESSION_RULE_NOT_FOUND"):
        prescribed(alice, rule)
    create(alice)


def test_creating_twice_stores_one(alice: Athlete, owner: psycopg.Connection) -> None:
    request = pb.CreateProgressionRuleRequest(rule=a_rule(), request_id=str(uuid.uuid4()))
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(alice.progression.CreateProgressionRule, request) for _ in range(8)]
        assert len({call.result().SerializeToString() for call in calls}) == 1
    query = "SELECT count(*) FROM training.progression_rules WHERE external_user_id = %s"
    assert owner.execute(query, [alice.id]).fetchone() == (1,)
    request.rule.auto_apply = True
    with refused("REQUEST_ID_REUSED"):
        alice.progression.CreateProgressionRule(request)


REPS = {"set_count": 3, "reps": {"min": 5, "max": 8}}
FIVES = {"set_count": 3, "reps": {"min": 5, "max": 5}}
HOLDS = {"set_count": 3, "hold": {"min_seconds": 10, "max_seconds": 30}}
WAVE = {"percent_wave": {"sessions": [{"sets": [{"percent": 80, "reps": 5}]}]}}


def ladder(*ids: str, goal: Any = REPS) -> dict[str, Any]:
    return {"ladder": {"steps": [{"exercise_id": id, "goal": goal} for id in ids]}}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"goal": HOLDS}, "rule.goal.hold"),
        ({"exercise_id": L_SIT}, "rule.goal.reps"),
        ({"goal": None}, "rule.goal"),
        ({"goal": {"set_count": 3, "reps": {"min": 0, "max": 8}}}, "rule.goal.reps.min"),
        ({"policy": None}, "rule.policy"),
        ({"policy": {"linear": {}}, "goal": FIVES}, "rule.loading"),
        ({"policy": {"linear": {}}, "loading": LOADING}, "rule.goal.reps"),
        ({"policy": {"hold_time": {"step_seconds": 5}}}, "rule.policy.hold_time"),
        (
            {"policy": {"rep_sum": {}}, "exercise_id": L_SIT, "goal": HOLDS},
            "rule.policy.rep_sum",
        ),
        ({"policy": WAVE}, "rule.goal"),
        ({"policy": WAVE, "goal": None}, "rule.loading"),
        (
            {"policy": WAVE, "goal": None, "loading": {"plate_step_kg": 1}},
            "rule.loading.start_load_kg",
        ),
        ({"loading": {"start_load_kg": 5}}, "rule.loading.plate_step_kg"),
        (
            {"policy": ladder(PUSH_UP, PULL_UP), "goal": None},
            "rule.policy.ladder.steps[0].exercise_id",
        ),
        (
            {"policy": ladder(PULL_UP, PUSH_UP, PULL_UP), "goal": None},
            "rule.policy.ladder.steps",
        ),
        (
            {"policy": ladder(PULL_UP, L_SIT), "goal": None},
            "rule.policy.ladder.steps[1].goal.reps",
        ),
        (
            {"choices": [{"exercise_id": PULL_UP, "harder_exercise_id": PUSH_UP}]},
            "rule.choices[0].harder_exercise_id",
        ),
        ({"exercise_id": L_SIT, "goal": HOLDS, "tempos": ["30X0"]}, "rule.tempos"),
        ({"start_date": {"year": 2026, "month": 13, "day": 1}}, "rule.start_date"),
        ({"start_date": {"year": 2999, "month": 1, "day": 1}}, "rule.start_date"),
        ({"deload_every_weeks": 1}, "rule.deload_every_weeks"),
        (
            {"policy": {"step_loading": {"week_factors": [0.5]}}},
            "rule.policy.step_loading.week_factors",
        ),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(
    alice: Athlete, bob: Athlete, fields: dict[str, Any], path: str
) -> None:
    of_bob = create(bob)
    with refused("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        create(alice, **fields)
    assert refusals[0].fields == [path]
    listed = [
        a.progression.ListProgressionRules(pb.ListProgressionRulesRequest()) for a in (alice, bob)
    ]
    assert [list(one.rules) for one in listed] == [[], [of_bob]]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"exercise_id": NOBODY}, "rule.exercise_id"),
        (
            {"policy": ladder(PULL_UP, NOBODY), "goal": None},
            "rule.policy.ladder.steps[1].exercise_id",
        ),
        (
            {"choices": [{"exercise_id": PULL_UP, "harder_exercise_id": NOBODY}]},
            "rule.choices[0].harder_exercise_id",
        ),
    ],
)
def test_an_unknown_exercise_is_refused(alice: Athlete, fields: dict[str, Any], path: str) -> None:
    with refused("UNKNOWN_EXERCISE", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
        create(alice, **fields)
    assert refusals[0].fields == [path]


def new_exercise(admin: Athlete) -> str:
    exercise = exercise_pb2.Exercise(
        slug=f"e-{uuid.uuid4().hex[:12]}x",
        display_name="One of its own",
        category=exercise_pb2.EXERCISE_CATEGORY_PULL,
        difficulty=5,
        movement_kind=exercise_pb2.MOVEMENT_KIND_DYNAMIC,
        primary_muscles=[exercise_pb2.MUSCLE_LATS],
    )
    request = exercise_pb2.CreateExerciseRequest(exercise=exercise)
    return admin.exercises.CreateExercise(request).id


def test_a_deprecated_exercise_is_refused_and_may_stay(alice: Athlete, admin: Athlete) -> None:
    old, kept = new_exercise(admin), new_exercise(admin)
    rule = create(alice, exercise_id=kept)
    for id in (old, kept):
        admin.exercises.DeprecateExercise(exercise_pb2.DeprecateExerciseRequest(exercise_id=id))
    with refused("EXERCISE_DEPRECATED", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
        create(alice, exercise_id=old)
    assert refusals[0].fields == ["rule.exercise_id"]
    assert update(alice, rule, auto_apply=True).auto_apply


# What comes of them


def test_a_rule_begins_with_its_numbers(alice: Athlete, bob: Athlete) -> None:
    rule = create(alice, loading=LOADING)
    bob.log(a_day(6, 8, 8, 8, load_kg=20))
    found = prescribed(alice, rule)
    assert (found.exercise_id, found.progression_rule_id) == (PULL_UP, rule.id)
    assert loads(found.sets) == [20] * 3
    assert [(one.target.reps.min, one.target.reps.max) for one in found.sets] == [(5, 8)] * 3
    assert not found.HasField("proposal")
    assert found.state.evaluated_session_count == 0
    assert found.outlook == "The rule begins with these numbers: no session has counted yet"
    assert events(alice, rule) == []


def test_what_is_proposed_holds_when_it_is_followed(alice: Athlete, bob: Athlete) -> None:
    rule = create(alice, loading=LOADING)
    of_bob = create(bob, loading=LOADING)
    first = alice.log(a_day(6, 8, 8, 8, load_kg=20))
    found = prescribed(alice, rule)
    assert loads(found.sets) == [20] * 3
    assert loads(found.proposal.sets) == [22.5] * 3
    assert kinds(list(found.events)) == ["SUCCESS", "LOAD_UP"]
    assert found.events[1].reason == "Proposed: load 20 kg → 22.5 kg: 1 success in a row"
    assert not found.events[1].applied
    assert found.state.last_session_id == first.id
    alice.log(a_day(8, 6, 6, 6, load_kg=22.5))
    found = prescribed(alice, rule)
    assert loads(found.sets) == [22.5] * 3
    assert kinds(list(found.events)) == ["ACCEPTED", "HOLD"]
    # As it was on the day between.
    assert prescribed(alice, rule, 7).HasField("proposal")
    assert prescribed(bob, of_bob).state.evaluated_session_count == 0
    assert events(bob, of_bob) == []


def test_days_of_illness_and_technique_are_no_failures(alice: Athlete) -> None:
    rule = create(alice, fail_limit=1)
    for day, intent in enumerate(("ILL", "TECHNIQUE", "DELOAD"), start=6):
        session = a_day(day, 1, intent=f"SESSION_INTENT_{intent}")
        assert alice.log(session).intent == session.intent
    assert kinds(events(alice, rule)) == ["SKIP"] * 3
    assert [one.reason for one in events(alice, rule)] == [
        "Not counted: it was a deload",
        "Not counted: the session was for technique",
        "Not counted: the athlete was ill",
    ]
    alice.log(a_day(9, 1))
    assert kinds(events(alice, rule))[:2] == ["REGRESS", "FAIL"]


def test_what_is_amended_and_voided_counts_as_it_is(alice: Athlete) -> None:
    rule = create(alice, loading=LOADING, auto_apply=True)
    first = alice.log(a_day(6, 8, 8, 8, load_kg=20))
    alice.log(a_day(8, 8, 8, 8, load_kg=22.5))
    assert loads(prescribed(alice, rule).sets) == [25] * 3
    amended = alice.sessions.AmendSession(
        session_pb2.AmendSessionRequest(session_id=first.id, session=a_day(6, 8, 8, 4, load_kg=20))
    )
    assert kinds(events(alice, rule))[-1:] == ["FAIL"]
    assert events(alice, rule)[-1].session_id == amended.id
    alice.sessions.VoidSession(session_pb2.VoidSessionRequest(session_id=amended.id))
    assert kinds(events(alice, rule)) == ["LOAD_UP", "SUCCESS"]


def test_any_order_of_writes_gives_the_same(alice: Athlete, bob: Athlete) -> None:
    sessions = [
        a_day(6, 8, 8, 8, load_kg=20),
        a_day(8, 8, 8, 8, load_kg=22.5),
        a_day(10, 4, 4, 4, load_kg=25),
        a_day(12, 4, 4, load_kg=25),
        a_day(14, 4, 5, 5, load_kg=25),
        a_day(16, 8, 8, 8, load_kg=22.5),
    ]
    seen = []
    shuffled = random.Random(5).sample(sessions, len(sessions))
    for athlete, order in ((alice, sessions), (bob, shuffled)):
        rule = create(athlete, loading=LOADING, auto_apply=True)
        for session in order:
            athlete.log(session)
        seen.append([(one.kind, one.reason, one.local_date.day) for one in events(athlete, rule)])
    assert seen[0] == seen[1]
    assert len(seen[0]) > len(sessions)


def test_a_rule_of_a_place_looks_at_its_workout_alone(alice: Athlete) -> None:
    workout = alice.create_workout()
    rule = create(alice, workout_id=workout.id, workout_order=2)
    alice.log(a_day(6, 8, 8, 8))
    assert events(alice, rule) == []
    session = a_day(7, 8, 8, 8, workout_id=workout.id)
    session.exercises.append(done(4, 4, 4))
    alice.log(session)
    assert kinds(events(alice, rule)) == ["FAIL"]


def test_of_two_sides_the_weaker_counts(alice: Athlete) -> None:
    rule = create(alice, exercise_id=PISTOL_SQUAT, goal=FIVES)
    sides = [
        session_pb2.PerformedSet(actual_reps=reps, side=side)
        for side, reps in itertools.product(("SIDE_LEFT", "SIDE_RIGHT"), (5, 5, 5))
    ]
    one_sided = session_pb2.SessionExercise(exercise_id=PISTOL_SQUAT, sets=sides)
    alice.log(a_session(start_time=at("2026-01-06T10:00:00"), exercises=[one_sided]))
    one_sided.sets[-1].actual_reps = 4
    alice.log(a_session(start_time=at("2026-01-07T10:00:00"), exercises=[one_sided]))
    assert kinds(events(alice, rule)) == ["FAIL", "SUCCESS"]


def test_where_the_graph_parts_the_athlete_chooses(alice: Athlete) -> None:
    rule = create(alice, success_count=1, auto_apply=True)
    alice.log(a_day(6, 8, 8, 8))
    [choice, _] = events(alice, rule)
    assert kinds([choice]) == ["CHOICE"]
    assert len(choice.candidate_exercise_ids) > 1
    chosen = choice.candidate_exercise_ids[0]
    update(alice, rule, choices=[{"exercise_id": PULL_UP, "harder_exercise_id": chosen}])
    assert kinds(events(alice, rule)) == ["ADVANCE", "SUCCESS"]
    assert prescribed(alice, rule).exercise_id == chosen


def test_events_can_be_paged(alice: Athlete, bob: Athlete) -> None:
    rule = create(alice, loading=LOADING, auto_apply=True)
    for day, load_kg in ((6, 20), (7, 22.5), (8, 25)):
        alice.log(a_day(day, 8, 8, 8, load_kg=load_kg))
    request = pb.ListProgressionEventsRequest(progression_rule_id=rule.id, page_size=4)
    page = alice.progression.ListProgressionEvents(request)
    alice.log(a_day(9, 8, 8, 8, load_kg=27.5))
    request.page_token = page.next_page_token
    rest = alice.progression.ListProgressionEvents(request)
    assert kinds([*page.events, *rest.events]) == ["LOAD_UP", "SUCCESS"] * 3
    assert not rest.next_page_token
    with refused("PROGRESSION_RULE_NOT_FOUND"):
        events(bob, rule)


def simulate(athlete: Athlete, **fields: Any) -> pb.SimulateProgressionResponse:
    return athlete.progression.SimulateProgression(pb.SimulateProgressionRequest(**fields))


def made_up(day: int, *reps: int, **fields: Any) -> pb.HypotheticalSession:
    return pb.HypotheticalSession(
        local_date={"year": 2026, "month": 1, "day": day},
        exercises=[done(*reps, load_kg=fields.pop("load_kg", 0))],
        **fields,
    )


def test_sessions_made_up_are_simulated_and_nothing_is_stored(
    alice: Athlete, owner: psycopg.Connection
) -> None:
    rule = a_rule(loading=LOADING, auto_apply=True)
    sessions = [made_up(8, 8, 8, 8, load_kg=22.5), made_up(6, 8, 8, 8, load_kg=20)]
    found = simulate(alice, rule=rule, hypothetical={"sessions": sessions})
    assert [one.local_date.day for one in found.sessions] == [6, 8]
    assert [one.numbers.load_kg for one in found.sessions] == [22.5, 25]
    assert loads(found.prescription.sets) == [25] * 3
    assert found.prescription.local_date.day == 9
    for table in ("progression_rules", "sessions", "write_requests"):
        query = f"SELECT count(*) FROM training.{table} WHERE external_user_id = %s"
        assert owner.execute(query, [alice.id]).fetchone() == (0,)


def test_readiness_and_signs_of_a_deload_can_be_tried(alice: Athlete) -> None:
    tired = ["DELOAD_CONDITION_MONOTONY", "DELOAD_CONDITION_PAIN"]
    sessions = [
        made_up(6, 4, 4, 4, readiness=30),
        made_up(8, 4, 4, 4, readiness=80),
        made_up(10, 4, 4, 4, deload_conditions=tired),
    ]
    found = simulate(alice, rule=a_rule(), hypothetical={"sessions": sessions})
    assert [kinds(list(one.events)) for one in found.sessions] == [
        ["HOLD"],
        ["FAIL"],
        ["DELOAD_BEGIN", "SKIP"],
    ]
    assert len(found.prescription.sets) == 2
    assert found.prescription.state.deload_end_date.day == 17


def test_a_rule_can_be_tried_on_ones_own_past(alice: Athlete, bob: Athlete) -> None:
    for day in (6, 7, 8):
        logged = alice.log(a_day(day, 8, 8, 8, load_kg=20))
    bob.log(a_day(9, 8, 8, 8, load_kg=20))
    rule = a_rule(loading=LOADING, start_date=None)
    found = simulate(alice, rule=rule, past={})
    assert [one.local_date.day for one in found.sessions] == [6, 7, 8]
    assert found.sessions[-1].session_id == logged.id
    assert [one.numbers.load_kg for one in found.sessions] == [20] * 3
    assert loads(found.prescription.proposal.sets) == [22.5] * 3
    until = {"to_date": {"year": 2026, "month": 1, "day": 8}}
    assert len(simulate(alice, rule=rule, past=until).sessions) == 2
    assert len(simulate(alice, rule=a_rule(start_date=until["to_date"]), past={}).sessions) == 1


def test_bad_simulations_are_refused(alice: Athlete) -> None:
    unknown = made_up(6)
    unknown.exercises[0].exercise_id = NOBODY
    far = made_up(6, 5)
    far.local_date.year = 9999
    for reason, session, path in (
        ("UNKNOWN_EXERCISE", unknown, "hypothetical.sessions[0].exercises[0].exercise_id"),
        ("INVALID_FIELD", far, "hypothetical.sessions[0].local_date"),
    ):
        with refused(reason) as refusals:
            simulate(alice, rule=a_rule(), hypothetical={"sessions": [session]})
        assert refusals[0].fields == [path]
    with refused("INVALID_FIELD") as refusals:
        simulate(alice, rule=a_rule())
    assert refusals[0].fields == ["performed"]


def test_only_sessions_that_are_new_to_a_rule_are_read(alice: Athlete, queries: Queries) -> None:
    rule = create(alice)
    for count, statements in ((0, 3), (5, 4), (0, 3), (1, 4)):
        for day in range(count):
            alice.log(a_day(6 + day, 8, 8, 8))
        queries.clear()
        prescribed(alice, rule)
        assert len(queries.data) == statements  # the rule, which sessions, phases; new sessions
        queries.clear()
        events(alice, rule)
        assert len(queries.data) == 3
