"""The programmes that come with the service: adopted and tried over the wire."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from itertools import takewhile
from typing import Any, NamedTuple
from uuid import uuid4

import grpc
import psycopg
import pytest
from calisthenics.training.v1 import (
    exercise_pb2,
    phase_pb2,
    progression_pb2,
    schedule_pb2,
    session_pb2,
    set_pb2,
    workout_pb2,
)
from calisthenics.training.v1 import prescription_pb2 as prescriptions
from calisthenics.training.v1 import program_pb2 as pb
from google.protobuf.json_format import ParseError

from tests.conftest import seed
from tests.rpc.test_schedule import TODAY, listed
from tests.rpc.test_totals import a_date, to_date
from tests.support import PULL_UP, Athlete, Queries, a_phase, refused, running_service
from training_service import contract
from training_service.catalogue import load_catalogue
from training_service.domain.exercise import exercise_id
from training_service.programs import SLUGS, load_programs, read_program
from training_service.storage.database import Transaction
from training_service.storage.migrations import migrate

MARCH = date(2026, 3, 2)
MONDAY = TODAY + timedelta(days=7 - TODAY.weekday())
PROGRAMS = {program.slug: program for program in load_programs()}
BLOCK = "weighted-pull-dip-block"
PLANK = str(exercise_id("plank"))
KIND = progression_pb2.ProgressionEventKind


def start_loads(program: pb.Program) -> list[pb.StartLoad]:
    return [
        pb.StartLoad(exercise_id=rule.exercise_id, load_kg=20)
        for rule in program.rules
        if rule.HasField("loading")
    ]


def adopt(athlete: Athlete, slug: str, **request: Any) -> pb.AdoptedProgram:
    usual = {"start_date": to_date(MONDAY), "start_loads": start_loads(PROGRAMS[slug])}
    return athlete.programs.AdoptProgram(pb.AdoptProgramRequest(slug=slug, **{**usual, **request}))


def test_programs_are_listed_for_whoever_asks(alice: Athlete, bob: Athlete) -> None:
    for athlete in (alice, bob):
        found = athlete.programs.ListPrograms(pb.ListProgramsRequest())
        assert [one.slug for one in found.programs] == list(SLUGS)
    skill = pb.ListProgramsRequest(focus=phase_pb2.PHASE_FOCUS_SKILL)
    [handstand] = alice.programs.ListPrograms(skill).programs
    assert handstand == PROGRAMS["handstand-skill-block"]
    assert handstand.summary
    assert handstand.workouts
    assert handstand.rules
    at_hand = [exercise_pb2.EQUIPMENT_WALL, exercise_pb2.EQUIPMENT_PARALLETTES]
    request = pb.ListProgramsRequest(equipment_at_hand=at_hand)
    assert [one.slug for one in alice.programs.ListPrograms(request).programs] == [handstand.slug]
    request = pb.ListProgramsRequest(equipment_at_hand=[exercise_pb2.EQUIPMENT_NONE])
    assert not alice.programs.ListPrograms(request).programs


def test_a_program_says_what_a_week_asks_for(alice: Athlete) -> None:
    found = alice.programs.GetProgram(pb.GetProgramRequest(slug="recommended-routine"))
    assert found.statistics.sessions_per_week == 3
    # 9 exercises of 3 sets, three of them on each side.
    assert found.statistics.sets_per_week == 3 * (6 * 3 + 3 * 6)
    assert 30 < found.statistics.workouts[0].estimated_minutes < 60
    rotation = alice.programs.GetProgram(pb.GetProgramRequest(slug="handstand-skill-block"))
    assert rotation.statistics.sessions_per_week == pytest.approx(2 * 7 / 3)
    with refused("PROGRAM_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        alice.programs.GetProgram(pb.GetProgramRequest(slug="nothing"))
    assert refusals[0].fields == ["slug"]


@pytest.mark.parametrize("slug", SLUGS)
def test_a_program_keeps_the_rules_of_an_athletes_own_data(slug: str) -> None:
    program = PROGRAMS[slug]
    for workout in program.workouts:
        contract.check(workout)
    for rule in program.rules:
        contract.check(rule)
    schedule = schedule_pb2.Schedule()
    schedule.CopyFrom(program.schedule)
    schedule.phase_id = str(uuid4())
    contract.check(schedule)
    phases = {field.name: value for field, value in program.phases.ListFields()}
    contract.check(
        phase_pb2.GeneratePhasesRequest(**phases, start_date=to_date(MONDAY), focus=program.focus)
    )
    places = [(rule.workout_id, rule.workout_order) for rule in program.rules]
    assert len(set(places)) == len(places)
    loaded = [rule.exercise_id for rule in program.rules if rule.HasField("loading")]
    assert len(set(loaded)) == len(loaded)
    ladders = [rule.exercise_id for rule in program.rules if rule.policy.HasField("ladder")]
    assert len(set(ladders)) == len(ladders)


@pytest.mark.parametrize("slug", SLUGS)
def test_an_adopted_program_is_the_athletes_own(slug: str, alice: Athlete, bob: Athlete) -> None:
    program = PROGRAMS[slug]
    adopted = adopt(alice, slug, auto_apply=True)
    for given, stored in zip(program.workouts, adopted.workouts, strict=True):
        assert given.id != stored.id
        assert list(given.exercises) == list(stored.exercises)
        request = workout_pb2.GetWorkoutRequest(workout_id=stored.id)
        assert alice.workouts.GetWorkout(request) == stored
        with refused("WORKOUT_NOT_FOUND"):
            bob.workouts.GetWorkout(request)
    macrocycle = adopted.phases[0]
    assert macrocycle.focus == program.focus
    weeks = timedelta(weeks=program.phases.week_count)
    assert a_date(macrocycle.end_date) == MONDAY + weeks
    assert adopted.schedule.phase_id == macrocycle.id
    request = progression_pb2.ListProgressionRulesRequest()
    rules = alice.progression.ListProgressionRules(request).rules
    assert sorted(one.id for one in rules) == sorted(one.id for one in adopted.rules)
    assert {one.auto_apply for one in rules} == {True}
    planned = listed(alice, MONDAY, 28)
    ids = {one.id for one in adopted.workouts}
    assert {one.workout_id for one in planned} == ids
    # Every exercise that has a rule is prescribed by it, set by set.
    ruled = {one.progression_rule_id for each in planned for one in each.exercises}
    assert ruled == {one.id for one in adopted.rules}
    kinds = {reason.kind for one in planned for reason in one.reasons}
    assert prescriptions.PRESCRIPTION_REASON_KIND_DELOAD in kinds
    assert not listed(bob, MONDAY, 28)
    calendar = alice.phases.GetCalendar(
        phase_pb2.GetCalendarRequest(
            from_date=to_date(MONDAY), to_date=to_date(MONDAY + timedelta(days=1))
        )
    )
    assert len(calendar.days[0].phases) == 2
    statistics = alice.programs.GetPhaseStatistics(
        pb.GetPhaseStatisticsRequest(phase_id=macrocycle.id)
    )
    assert len(statistics.weeks) == program.phases.week_count
    minutes = [week.statistics.minutes_per_week for week in statistics.weeks]
    assert min(minutes) == min(
        m for m, w in zip(minutes, statistics.weeks, strict=True) if w.deload
    )


@pytest.mark.parametrize("slug", SLUGS)
def test_its_sessions_are_planned_and_prescribed_as_it_says(
    slug: str, alice: Athlete, bob: Athlete
) -> None:
    program = PROGRAMS[slug]
    adopted = adopt(alice, slug)
    given = {
        stored.id: workout.id
        for workout, stored in zip(program.workouts, adopted.workouts, strict=True)
    }
    planned = listed(alice, MONDAY, 14)
    assert [(a_date(one.local_date), given[one.workout_id]) for one in planned] == [
        (MONDAY + timedelta(day), id) for day, id in days_of(program) if day < 14
    ]
    by_id = {one.id: one for one in adopted.rules}
    first = {one.workout_id: one for one in reversed(planned)}
    for workout in first.values():
        for exercise in workout.exercises:
            request = progression_pb2.GetPrescriptionRequest(
                progression_rule_id=exercise.progression_rule_id, local_date=workout.local_date
            )
            prescribed = alice.progression.GetPrescription(request)
            assert prescribed.exercise_id == by_id[exercise.progression_rule_id].exercise_id
            assert list(prescribed.sets) == list(exercise.sets)
            with refused("PROGRESSION_RULE_NOT_FOUND"):
                bob.progression.GetPrescription(request)


def test_an_adoption_that_is_sent_twice_is_done_once(alice: Athlete, bob: Athlete) -> None:
    id = str(uuid4())
    first = adopt(alice, BLOCK, request_id=id)
    assert adopt(alice, BLOCK, request_id=id) == first
    assert len(alice.workouts.ListWorkouts(workout_pb2.ListWorkoutsRequest()).workouts) == 2
    with refused("REQUEST_ID_REUSED"):
        adopt(alice, BLOCK, request_id=id, auto_apply=True)
    # Another athlete's is another matter.
    assert adopt(bob, BLOCK, request_id=id).schedule.id != first.schedule.id


def test_an_adoption_is_done_wholly_or_not_at_all(
    alice: Athlete, bob: Athlete, owner: psycopg.Connection
) -> None:
    for athlete in (alice, bob):
        phase = a_phase(kind=phase_pb2.PHASE_KIND_MACROCYCLE)
        athlete.phases.CreatePhase(phase_pb2.CreatePhaseRequest(phase=phase))
    with refused("PHASE_OVERLAP"):
        adopt(alice, BLOCK, start_date=to_date(MARCH))
    adopt(alice, BLOCK, start_date=to_date(MARCH + timedelta(weeks=4)))
    for table, count in (("workouts", 2), ("schedules", 1), ("progression_rules", 6)):
        query = f"SELECT count(*) FROM training.{table} WHERE external_user_id = %s"
        assert owner.execute(query, [alice.id]).fetchone() == (count,)
        assert owner.execute(query, [bob.id]).fetchone() == (0,)


def test_what_an_athlete_begins_with(alice: Athlete, bob: Athlete) -> None:
    """The loads of a block, and a ladder that is begun on its second step."""
    block = adopt(alice, BLOCK)
    heavy = listed(alice, MONDAY, 1)[0].exercises[0]
    assert [one.target.load_kg for one in heavy.sets] == [12.5, 15, 16.25]  # 65, 75, 85 % of 20
    assert heavy.sets[2].kind == set_pb2.SET_KIND_AMRAP
    assert len(block.rules) == 6
    first = str(exercise_id("scapular-pull-up"))
    step = pb.StartStep(exercise_id=first, start_exercise_id=PULL_UP)
    routine = adopt(bob, "recommended-routine", start_steps=[step])
    [rule] = [one for one in routine.rules if one.exercise_id == PULL_UP]
    harder = str(exercise_id("chest-to-bar-pull-up"))
    assert [one.exercise_id for one in rule.policy.ladder.steps] == [PULL_UP, harder]
    contract.check(rule)
    planned = listed(bob, MONDAY, 1)[0].exercises[0]
    assert (planned.exercise.exercise_id, planned.workout_exercise_id) == (PULL_UP, first)


@pytest.mark.parametrize(
    ("slug", "request_", "path"),
    [
        (BLOCK, {"start_loads": []}, "start_loads"),
        (BLOCK, {"start_loads": [{"exercise_id": PLANK}]}, "start_loads[0].exercise_id"),
        (
            BLOCK,
            {"start_loads": [{"exercise_id": PULL_UP}, {"exercise_id": PULL_UP}]},
            "start_loads[1].exercise_id",
        ),
        (
            BLOCK,
            {"start_loads": [{"exercise_id": str(exercise_id("weighted-dip"))}]},
            "start_loads[0].load_kg",
        ),
        (
            "recommended-routine",
            {"start_steps": [{"exercise_id": PULL_UP, "start_exercise_id": PULL_UP}]},
            "start_steps[0].exercise_id",
        ),
        (
            "recommended-routine",
            {"start_steps": [{"exercise_id": PLANK, "start_exercise_id": PULL_UP}]},
            "start_steps[0].start_exercise_id",
        ),
        (
            "recommended-routine",
            {
                "start_steps": [
                    {
                        "exercise_id": PLANK,
                        "start_exercise_id": str(exercise_id("kneeling-ab-wheel")),
                    }
                ]
            },
            "start_steps[0].start_exercise_id",
        ),
        (BLOCK, {"start_date": {"year": 9999, "month": 1, "day": 1}}, "start_date"),
        (BLOCK, {"start_date": to_date(TODAY + timedelta(days=400))}, "start_date"),
    ],
)
def test_a_bad_beginning_is_refused(
    slug: str, request_: dict[str, Any], path: str, alice: Athlete, bob: Athlete
) -> None:
    with refused("INVALID_FIELD") as refusals:
        adopt(alice, slug, **request_)
    assert refusals[0].fields == [path]
    for athlete in (alice, bob):
        assert not athlete.workouts.ListWorkouts(workout_pb2.ListWorkoutsRequest()).workouts


def test_an_unknown_program_is_refused(alice: Athlete) -> None:
    with refused("PROGRAM_NOT_FOUND", grpc.StatusCode.NOT_FOUND):
        alice.programs.AdoptProgram(
            pb.AdoptProgramRequest(slug="nothing", start_date=to_date(MONDAY))
        )


def test_a_catalogue_without_its_exercises(make_database: Callable[[], str]) -> None:
    """The request names nothing but the programme, so that is what is wrong with it."""
    url = make_database()
    migrate(url)
    with running_service(url) as service:
        alice, admin = Athlete(service.address), Athlete(service.address, roles="admin")
        routine = pb.GetProgramRequest(slug="recommended-routine")
        assert not alice.programs.GetProgram(routine).HasField("statistics")
        with refused("UNKNOWN_EXERCISE", grpc.StatusCode.INVALID_ARGUMENT) as refusals:
            adopt(alice, routine.slug)
        assert refusals[0].fields == ["slug"]
        seed(url)
        id = str(uuid4())
        adopted = adopt(alice, routine.slug, request_id=id)
        assert alice.programs.GetProgram(routine).HasField("statistics")
        admin.exercises.DeprecateExercise(exercise_pb2.DeprecateExerciseRequest(exercise_id=PLANK))
        with refused("EXERCISE_DEPRECATED", grpc.StatusCode.FAILED_PRECONDITION) as refusals:
            adopt(alice, routine.slug, start_date=to_date(MONDAY + timedelta(weeks=20)))
        assert refusals[0].fields == ["slug"]
        assert adopt(alice, routine.slug, request_id=id) == adopted
        for athlete in (alice, admin):
            athlete.close()


def test_an_adoption_takes_as_many_statements_as_there_are_things(
    alice: Athlete, queries: Queries
) -> None:
    adopt(alice, BLOCK)
    queries.clear()
    adopt(alice, BLOCK, start_date=to_date(MONDAY + timedelta(weeks=20)))
    # Phases 4; for each of 2 workouts 3; the schedule 2; 6 rules.
    assert len(queries.data) <= 4 + 2 * 3 + 2 + 6 + 2


def test_an_adoption_waits_for_the_database_as_often_for_many_rules_as_for_few(
    alice: Athlete, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[str] = []
    original = Transaction.fetch

    async def fetch(self: Transaction, statement: Any, parameters: Any) -> list[Any]:
        waits.append(statement.sql)
        return await original(self, statement, parameters)

    # The first reference to an exercise freezes its definition.
    for weeks, slug in ((0, BLOCK), (10, "undulating-three-day")):
        adopt(alice, slug, start_date=to_date(MONDAY + timedelta(weeks=weeks)))
    monkeypatch.setattr(Transaction, "fetch", fetch)
    counts = []
    for weeks, slug in ((20, BLOCK), (30, "undulating-three-day")):
        waits.clear()
        start_date = to_date(MONDAY + timedelta(weeks=weeks))
        adopt(alice, slug, start_date=start_date, request_id=str(uuid4()))
        counts.append(len(waits))
    assert counts == [3, 3]  # the request_id, phases in the way, the days of the schedule


# Through the simulator


class Tried(NamedTuple):
    """A rule of a programme."""

    program: pb.Program
    rule: progression_pb2.ProgressionRule


def with_load(rule: progression_pb2.ProgressionRule) -> progression_pb2.ProgressionRule:
    tried = progression_pb2.ProgressionRule()
    tried.CopyFrom(rule)
    tried.ClearField("workout_id")
    tried.ClearField("workout_order")
    tried.auto_apply = True
    tried.start_date.CopyFrom(to_date(MONDAY))
    if tried.HasField("loading"):
        tried.loading.start_load_kg = 20
    return tried


def simulate(
    athlete: Athlete,
    rule: progression_pb2.ProgressionRule,
    sessions: Sequence[progression_pb2.HypotheticalSession],
) -> progression_pb2.SimulateProgressionResponse:
    request = progression_pb2.SimulateProgressionRequest(rule=rule)
    request.hypothetical.sessions.extend(sessions)
    return athlete.progression.SimulateProgression(request)


def performed(
    prescription: progression_pb2.Prescription, share: float, rpe: float
) -> progression_pb2.HypotheticalSession:
    """Returns a session with this share of the upper end of every set that is prescribed, twice as
    much where it is as many as possible."""
    sets = []
    for one in prescription.sets:
        target = one.target
        done = session_pb2.PerformedSet(load_kg=target.load_kg, rpe=rpe)
        times = 2 if one.kind == set_pb2.SET_KIND_AMRAP else 1
        if target.WhichOneof("volume") == "hold":
            done.actual_hold_seconds = target.hold.max_seconds * share
        else:
            done.actual_reps = int(target.reps.max * share * times)
        sets.append(done)
    exercise = session_pb2.SessionExercise(exercise_id=prescription.exercise_id, sets=sets)
    return progression_pb2.HypotheticalSession(
        local_date=prescription.local_date, exercises=[exercise]
    )


def days_of(program: pb.Program) -> list[tuple[int, str]]:
    """Returns the training days of a programme, counted from a Monday on, with their workouts."""
    slots = program.schedule.weekly.slots
    rotation = program.schedule.rotation.workout_ids
    found = []
    for day in range(7 * program.phases.week_count):
        if rotation:
            found.append((day, rotation[day % len(rotation)]))
        found += [(day, slot.workout_id) for slot in slots if slot.weekday == day % 7 + 1]
    return [(day, id) for day, id in found if id]


def trained(
    athlete: Athlete, tried: Tried, share: float, rpe: float
) -> list[progression_pb2.ProgressionEvent]:
    """Returns what happens when an athlete trains over the weeks of a programme, on its days, by
    what each day led to."""
    rule = with_load(tried.rule)
    sessions: list[progression_pb2.HypotheticalSession] = []
    for day, workout_id in days_of(tried.program):
        if workout_id == tried.rule.workout_id:
            # A day without the exercise changes nothing, and is followed by the day that is meant.
            before = progression_pb2.HypotheticalSession(
                local_date=to_date(MONDAY + timedelta(day - 1))
            )
            prescription = simulate(athlete, rule, [*sessions, before]).prescription
            assert a_date(prescription.local_date) == MONDAY + timedelta(day)
            sessions.append(performed(prescription, share, rpe))
    found = simulate(athlete, rule, sessions)
    return [event for one in found.sessions for event in one.events]


RULES = [
    pytest.param(Tried(PROGRAMS[slug], rule), id=f"{slug}-{number}")
    for slug in SLUGS
    for number, rule in enumerate(PROGRAMS[slug].rules, start=1)
]


def kinds(*names: str) -> set[int]:
    return {KIND.Value(f"PROGRESSION_EVENT_KIND_{name}") for name in names}


RAISES = kinds("LOAD_UP", "AMOUNT_UP", "TEMPO_UP", "SETS_UP", "ADVANCE")
DROPS = kinds("RESET", "REGRESS", "EASE", "LOAD_DOWN", "AMOUNT_DOWN")
# Of who does all of it, the rule has nothing to ask of the athlete and no reason to complain.
UNWANTED = kinds("CHOICE", "STALL", "FAIL") | DROPS


def sessions_of_a_raise(rule: progression_pb2.ProgressionRule) -> int:
    """Returns how many sessions in a row, at most, lead to something more."""
    policy = rule.policy.WhichOneof("kind")
    if policy == "percent_wave":
        return len(rule.policy.percent_wave.sessions)
    if policy == "step_loading":
        return 4  # Weeks of a cycle, with a session in each.
    return 1 if rule.HasField("loading") else 2


@pytest.mark.parametrize("tried", RULES)
def test_who_does_all_of_it_with_ease_is_asked_for_more(tried: Tried, alice: Athlete) -> None:
    found = trained(alice, tried, 1.0, rpe=6)
    # What follows once there is nothing more to raise is the athlete's own to decide.
    found = list(takewhile(lambda event: event.kind not in kinds("TOP"), found))
    assert not UNWANTED & {event.kind for event in found}
    raises = [event for event in found if event.kind in RAISES]
    sessions = sum(id == tried.rule.workout_id for _, id in days_of(tried.program))
    expected = sessions // sessions_of_a_raise(tried.rule)
    if tried.rule.policy.HasField("ladder"):
        steps = [one.exercise_id for one in tried.rule.policy.ladder.steps]
        advances = [one for one in raises if one.kind in kinds("ADVANCE")]
        assert [one.after.exercise_id for one in advances] == steps[1 : expected + 1]
    else:
        assert len(raises) == expected


@pytest.mark.parametrize("tried", RULES)
def test_who_does_a_quarter_of_it_is_asked_for_less(tried: Tried, alice: Athlete) -> None:
    happened = {event.kind for event in trained(alice, tried, 0.25, rpe=10)}
    assert happened & DROPS
    assert not happened & (RAISES | kinds("CHOICE"))


# Files


def test_a_file_with_a_mistake_is_refused() -> None:
    exercises = {exercise.slug: exercise for exercise in load_catalogue()}
    text = """
slug = "one"
display_name = "One"
summary = "One."
focus = "PHASE_FOCUS_GENERAL"
[phases]
model = "PERIODIZATION_MODEL_STEP"
week_count = 4
[schedule]
week = [{ day = "MONDAY", workout = "a" }]
[[workout]]
key = "a"
display_name = "A"
description = ""
[[workout.exercise]]
exercise = "pull-up"
sets = 3
reps = [5, 8]
policy = { double_progression = {} }
"""
    assert read_program(text, exercises).rules
    for right, wrong, words in (
        ('exercise = "pull-up"', 'exercise = "pull-upp"', "one: there is no exercise pull-upp"),
        ('exercise = "pull-up"', 'exercise = "l-sit"', "one: l-sit must have hold_seconds"),
        ("reps = [5, 8]", "hold_seconds = [5, 8]", "one: pull-up must have reps"),
        ("sets = 3", "sets = 3\nrest_second = 9", "has rest_second, which means nothing"),
        ("sets = 3", "", "an exercise of one has no sets"),
        ("policy = { double_progression = {} }", "", "either a ladder or a policy"),
        ("double_progression", "rep_sum", 'pull-up must have goal = "total"'),
        ("sets = 3", 'sets = 3\ngoal = "all"', 'pull-up must have goal = "total"'),
        (
            "policy = { double_progression = {} }",
            'ladder = [{ exercise = "pull-up" }, { exercise = "archer-pull-up" }]',
            "archer-pull-up and pull-up must both be for one side",
        ),
        ('workout = "a"', 'workout = "b"', "one has no workout b"),
        ("week = [", "weeks = [", "the schedule of one has no rotation"),
        ('summary = "One."', "", "one has no summary"),
        ('description = ""', "", "a workout of one has no description"),
        ("double_progression", "double", "double"),
        ("week_count", "weeks", "weeks"),
        ("MONDAY", "MOONDAY", "MOONDAY"),
    ):
        assert right in text
        with pytest.raises((ValueError, ParseError), match=words):
            read_program(text.replace(right, wrong), exercises)
