"""Planned sessions with the numbers of progression rules, and rules among phases, over the wire."""

import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from calisthenics.training.v1 import (
    exercise_pb2,
    phase_pb2,
    program_pb2,
    session_pb2,
    workout_pb2,
)
from calisthenics.training.v1 import prescription_pb2 as prescriptions
from calisthenics.training.v1 import progression_pb2 as progression
from calisthenics.training.v1 import schedule_pb2 as pb

from tests.rpc.test_progression import create as create_rule
from tests.rpc.test_progression import done, events, kinds
from tests.rpc.test_schedule import MONDAY, TODAY, a_mesocycle, listed
from tests.rpc.test_schedule import create as create_schedule
from tests.rpc.test_totals import a_date, on, to_date
from tests.support import PULL_UP, PUSH_UP, Athlete, Queries, a_phase, a_rule, a_schedule, refused
from training_service.domain.exercise import exercise_id

LOADING = {"start_load_kg": 20, "plate_step_kg": 2.5}
START = to_date(MONDAY)
CAUSES = progression.ProgressionCause
NORMAL = session_pb2.SESSION_INTENT_NORMAL


def weekly(athlete: Athlete, workout: workout_pb2.Workout, weeks: int = 4) -> pb.Schedule:
    """Places a workout on the Mondays from 2026-03-02 on."""
    return create_schedule(
        athlete,
        a_schedule(
            weekly={"slots": [{"weekday": 1, "workout_id": workout.id}]},
            end_date=to_date(MONDAY + timedelta(weeks=weeks)),
        ),
    )


def log(
    athlete: Athlete, week: int, *reps: int, load_kg: float = 20, **fields: Any
) -> session_pb2.Session:
    """Logs pull-ups on the Monday of a week, counted from 0."""
    day = MONDAY + timedelta(weeks=week)
    return athlete.log(on(day.isoformat(), exercises=[done(*reps, load_kg=load_kg)], **fields))


def of_pull_up(found: list[pb.PlannedSession]) -> list[pb.PrescribedExercise]:
    return [one.exercises[0] for one in found]


def loads_kg(one: pb.PrescribedExercise) -> list[float]:
    return [each.target.load_kg for each in one.sets]


def causes(found: list[progression.ProgressionEvent]) -> list[str]:
    return [CAUSES.Name(one.cause).removeprefix("PROGRESSION_CAUSE_") for one in found]


def test_a_planned_session_has_the_numbers_of_its_rule(alice: Athlete, bob: Athlete) -> None:
    workout = alice.create_workout()
    for athlete, load_kg in ((alice, 20), (bob, 40)):
        loading = {**LOADING, "start_load_kg": load_kg}
        rule = create_rule(athlete, start_date=START, loading=loading, auto_apply=True)
        if athlete is alice:
            mine = rule
    weekly(alice, workout)
    log(alice, 0, 8, 8, 8, workout_id=workout.id, workout_revision=1)
    first, second, *_ = of_pull_up(listed(alice))
    assert (first.progression_rule_id, second.progression_rule_id) == (mine.id, mine.id)
    assert (loads_kg(first), loads_kg(second)) == ([20] * 3, [22.5] * 3)
    assert (second.workout_sets, second.workout_load_kg) == (4, 10)
    assert (second.exercise.sets, second.exercise.load_kg) == (3, 22.5)
    assert (second.exercise.reps.min, second.exercise.reps.max) == (5, 8)
    assert {one.kind for one in second.reasons} == {
        prescriptions.PRESCRIPTION_REASON_KIND_PROGRESSION
    }
    assert [one.description for one in second.reasons] == [
        "Success: all sets were done as prescribed",
        "Load 20 kg → 22.5 kg: 1 success in a row",
        "Again: 1 more success in a row would raise it",
    ]
    # What a session of last week asked for knows nothing of what came after it.
    assert [one.description for one in first.reasons] == [
        "The rule begins with these numbers: no session has counted yet"
    ]
    l_sit = listed(alice)[1].exercises[1]
    assert (l_sit.progression_rule_id, l_sit.exercise.sets, len(l_sit.sets)) == ("", 3, 0)
    assert not listed(bob)


def test_a_proposal_is_beside_what_holds(alice: Athlete, bob: Athlete) -> None:
    workout = alice.create_workout()
    create_rule(alice, start_date=START, loading=LOADING)
    weekly(alice, workout)
    log(alice, 0, 8, 8, 8)
    log(bob, 0, 4, 4, 4)
    second = of_pull_up(listed(alice))[1]
    assert loads_kg(second) == [20] * 3
    assert [one.target.load_kg for one in second.proposal.sets] == [22.5] * 3


def test_a_rule_for_the_place_goes_before_one_for_the_exercise(alice: Athlete) -> None:
    workout = alice.create_workout()
    other = alice.create_workout()
    placed = create_rule(alice, start_date=START, workout_id=workout.id, workout_order=1)
    of_exercise = create_rule(alice, start_date=START, loading=LOADING)
    for one in (workout, other):
        weekly(alice, one, weeks=1)
    found = {one.workout_id: one.exercises[0].progression_rule_id for one in listed(alice)}
    assert found == {workout.id: placed.id, other.id: of_exercise.id}


def test_warm_ups_are_left_as_they_are(alice: Athlete) -> None:
    warm_up = workout_pb2.WorkoutExercise(exercise_id=PULL_UP, sets=2, kind="SET_KIND_WARM_UP")
    work = workout_pb2.WorkoutExercise(exercise_id=PULL_UP, sets=2)
    workout = alice.create_workout(exercises=[warm_up, work])
    rule = create_rule(alice, start_date=START)
    weekly(alice, workout, weeks=1)
    [planned] = listed(alice)
    assert [one.progression_rule_id for one in planned.exercises] == ["", rule.id]
    assert [one.exercise.sets for one in planned.exercises] == [2, 3]


def test_who_goes_up_a_ladder_is_given_the_next_exercise(alice: Athlete) -> None:
    harder = str(exercise_id("archer-pull-up"))
    steps = [
        {"exercise_id": id, "goal": {"set_count": 3, "reps": {"min": 3, "max": 6}}}
        for id in (PULL_UP, harder)
    ]
    rule = a_rule(start_date=START, policy={"ladder": {"steps": steps}}, auto_apply=True)
    rule.ClearField("goal")
    alice.progression.CreateProgressionRule(progression.CreateProgressionRuleRequest(rule=rule))
    workout = alice.create_workout()
    weekly(alice, workout)
    for week in (0, 1):
        log(alice, week, 6, 6, 6, load_kg=0)
    of_weeks = of_pull_up(listed(alice))
    assert [one.exercise.exercise_id for one in of_weeks] == [PULL_UP, PULL_UP, harder, harder]
    assert {one.workout_exercise_id for one in of_weeks} == {PULL_UP}


def test_a_wave_takes_turns_over_sessions_to_come(alice: Athlete) -> None:
    sessions = [{"sets": [{"percent": percent, "reps": 5}]} for percent in (70, 80, 90)]
    rule = a_rule(
        start_date=to_date(TODAY),
        loading={"start_load_kg": 100, "plate_step_kg": 2.5},
        policy={"percent_wave": {"sessions": sessions}},
    )
    rule.ClearField("goal")
    alice.progression.CreateProgressionRule(progression.CreateProgressionRuleRequest(rule=rule))
    workout = alice.create_workout()
    create_schedule(
        alice,
        a_schedule(
            workout.id, start_date=to_date(TODAY), end_date=to_date(TODAY + timedelta(days=5))
        ),
    )
    all_days = [loads_kg(one)[0] for one in of_pull_up(listed(alice, TODAY))]
    assert all_days == [70, 80, 90, 70, 80]
    later = [loads_kg(one)[0] for one in of_pull_up(listed(alice, TODAY + timedelta(days=2)))]
    assert later == all_days[2:]


# Phases


def test_phases_change_what_a_rule_prescribes(alice: Athlete) -> None:
    """Four weeks: as usual, half as many sets again, nine tenths of the load, a deload."""
    a_mesocycle(alice, volume_factors=[1, 1.5, 1], intensity_factors=[1, 1, 0.9], deload_weeks=[4])
    workout = alice.create_workout()
    rule = create_rule(alice, start_date=START, loading=LOADING)
    weekly(alice, workout)
    found = of_pull_up(listed(alice))
    # 0.9 x 20 kg is 18 kg, and the plates allow 17.5 kg. Half of 3 sets is 2.
    assert [loads_kg(one) for one in found] == [[20] * 3, [20] * 5, [17.5] * 3, [17.5] * 2]
    day = to_date(MONDAY + timedelta(weeks=2, days=3))
    request = progression.GetPrescriptionRequest(progression_rule_id=rule.id, local_date=day)
    prescription = alice.progression.GetPrescription(request)
    assert [one.target.load_kg for one in prescription.sets] == [17.5] * 3
    assert [one.factor for one in prescription.reasons] == [0.9]


def test_what_a_phase_takes_off_is_held_against_nobody(alice: Athlete, bob: Athlete) -> None:
    """Two thirds of the sets, nine tenths of the load, a deload: only the first is judged."""
    for athlete in (alice, bob):
        rule = create_rule(athlete, start_date=START, loading=LOADING)
        if athlete is alice:
            mine = rule
            a_mesocycle(alice, volume_factors=[0.67], intensity_factors=[1, 0.9], deload_weeks=[3])
        log(athlete, 0, 8, 8)
        log(athlete, 1, 8, 8, 8, load_kg=17.5)
        log(athlete, 2, 3, 3)
    found = events(alice, mine)
    assert kinds(found) == ["SKIP", "SKIP", "LOAD_UP", "SUCCESS"]
    assert causes(found) == ["DELOAD", "LIGHT_WEEK", "SUCCESSES", "ALL_SETS_MET"]
    assert kinds(events(bob, rule)) == ["FAIL", "SKIP", "FAIL"]


def test_a_heavy_week_can_succeed_and_can_not_fail(alice: Athlete) -> None:
    a_mesocycle(alice, volume_factors=[], intensity_factors=[1.1] * 4, deload_weeks=[])
    rule = create_rule(alice, start_date=START, loading=LOADING, auto_apply=True)
    log(alice, 0, 4, 4, 4, load_kg=22)
    log(alice, 1, 8, 8, 8, load_kg=22)
    found = events(alice, rule)
    assert kinds(found) == ["LOAD_UP", "SUCCESS", "HOLD"]
    assert causes(found)[2] == "HEAVIER"
    # From the rule's own 20 kg, not from what the phase made of it.
    assert (found[0].before.load_kg, found[0].after.load_kg) == (20, 22.5)


def test_a_deload_of_the_rule_in_a_deload_week_is_one_deload(alice: Athlete) -> None:
    a_mesocycle(alice, volume_factors=[], deload_weeks=[4])
    workout = alice.create_workout()
    create_rule(alice, start_date=START, loading=LOADING, deload_every_weeks=4)
    weekly(alice, workout)
    last = of_pull_up(listed(alice))[3]
    assert loads_kg(last) == [17.5] * 2
    assert [one.kind for one in last.reasons] == [
        prescriptions.PRESCRIPTION_REASON_KIND_PROGRESSION_DELOAD
    ]


# What a process remembers


def from_scratch(athlete: Athlete, rule: progression.ProgressionRule) -> progression.Prescription:
    """Returns the next session by a replay of all that is in the log."""
    request = progression.SimulateProgressionRequest(
        rule=rule, past=progression.PastSessions(from_date=START)
    )
    return athlete.progression.SimulateProgression(request).prescription


@pytest.mark.parametrize("seed", range(4))
def test_what_is_remembered_makes_no_difference(seed: int, alice: Athlete, bob: Athlete) -> None:
    """Sessions are logged in any order, amended and voided, and phases come and go."""
    chance = random.Random(seed)
    rules = [
        create_rule(athlete, start_date=START, loading=LOADING, auto_apply=True, success_count=2)
        for athlete in (alice, bob)
    ]
    sessions: dict[str, list[session_pb2.Session]] = {alice.id: [], bob.id: []}
    phases: dict[str, list[phase_pb2.Phase]] = {alice.id: [], bob.id: []}

    def change(athlete: Athlete) -> None:
        logged = sessions[athlete.id]
        what = chance.choice(["log", "log", "log", "amend", "void", "phase", "phase"])
        reps = [chance.choice((4, 6, 8)) for _ in range(3)]
        if what == "phase":
            if phases[athlete.id]:
                one = phases[athlete.id].pop()
                athlete.phases.DeletePhase(phase_pb2.DeletePhaseRequest(phase_id=one.id))
            else:
                factors = [chance.choice((0.7, 1, 1.4)) for _ in range(4)]
                phase = a_phase(volume_factors=factors, deload_weeks=[chance.randint(1, 4)])
                request = phase_pb2.CreatePhaseRequest(phase=phase)
                phases[athlete.id].append(athlete.phases.CreatePhase(request))
        elif what == "log" or not logged:
            day = MONDAY + timedelta(days=chance.randrange(40))
            logged.append(athlete.log(on(day.isoformat(), exercises=[done(*reps, load_kg=20)])))
        else:
            one = logged.pop(chance.randrange(len(logged)))
            if what == "void":
                void = session_pb2.VoidSessionRequest(session_id=one.id)
                athlete.sessions.VoidSession(void)
            else:
                session = on(
                    f"{one.local_date.year}-{one.local_date.month:02}-{one.local_date.day:02}",
                    exercises=[done(*reps, load_kg=20)],
                )
                amend = session_pb2.AmendSessionRequest(session_id=one.id, session=session)
                logged.append(athlete.sessions.AmendSession(amend))

    for _ in range(25):
        athlete, rule = chance.choice([(alice, rules[0]), (bob, rules[1])])
        change(athlete)
        expected = from_scratch(athlete, rule)
        request = progression.GetPrescriptionRequest(
            progression_rule_id=rule.id, local_date=expected.local_date
        )
        found = athlete.progression.GetPrescription(request)
        assert (found.state, found.events, found.sets) == (
            expected.state,
            expected.events,
            expected.sets,
        )


def test_a_rule_that_is_tried_out_under_the_id_of_another_leaves_no_trace(
    alice: Athlete, bob: Athlete
) -> None:
    rule = create_rule(alice, start_date=START, loading=LOADING)
    log(alice, 0, 4, 4, 4)
    request = progression.GetPrescriptionRequest(
        progression_rule_id=rule.id, local_date=to_date(MONDAY + timedelta(days=1))
    )
    tried = progression.ProgressionRule()
    tried.CopyFrom(rule)
    tried.loading.start_load_kg = 5
    for athlete in (alice, bob):
        from_scratch(athlete, tried)
    found = alice.progression.GetPrescription(request)
    assert [one.target.load_kg for one in found.sets] == [20] * 3
    assert from_scratch(alice, tried).sets[0].target.load_kg == 5


def test_planned_sessions_take_as_many_statements_however_many_rules_there_are(
    alice: Athlete, queries: Queries
) -> None:
    workout = alice.create_workout(
        exercises=[workout_pb2.WorkoutExercise(exercise_id=id, sets=3) for id in (PULL_UP, PUSH_UP)]
    )
    weekly(alice, workout)
    log(alice, 0, 8, 8, 8)
    sent = []
    for id in (PULL_UP, PUSH_UP):
        create_rule(alice, start_date=START, exercise_id=id)
        for _ in range(2):
            queries.clear()
            listed(alice)
            sent.append(len(queries.data))
    # 6 as without rules; which sessions for each rule, and phases; once, the sessions.
    assert sent == [9, 8, 9, 9]


# The worked mesocycle of docs/periodization.md.

PAGE = Path(__file__).parents[2] / "docs" / "periodization.md"
REPS_DONE: list[tuple[int, list[int], float, session_pb2.SessionIntent]] = [
    (0, [5, 5, 5, 4, 4], 20, NORMAL),
    (3, [5, 5, 5, 5, 5], 20, NORMAL),
    (7, [5, 5, 4, 4, 3], 22.5, NORMAL),
    (10, [3, 3], 22.5, session_pb2.SESSION_INTENT_ILL),
    (14, [5, 5, 5, 5, 5, 5], 22.5, NORMAL),
    (17, [4, 4, 3, 3, 3, 2], 25, NORMAL),
    (21, [4, 4, 4], 22.5, NORMAL),
]


def a_strength_block(athlete: Athlete) -> tuple[workout_pb2.Workout, progression.ProgressionRule]:
    """Makes four weeks of two days, with a rule for weighted pull-ups."""
    exercises = [
        workout_pb2.WorkoutExercise(exercise_id=PULL_UP, sets=5, reps={"min": 3, "max": 5}),
        workout_pb2.WorkoutExercise(exercise_id=PUSH_UP, sets=4, reps={"min": 10, "max": 15}),
    ]
    workout = athlete.create_workout(display_name="Strength", exercises=exercises)
    request = phase_pb2.GeneratePhasesRequest(
        model=phase_pb2.PERIODIZATION_MODEL_STEP,
        start_date=START,
        week_count=4,
        focus=phase_pb2.PHASE_FOCUS_STRENGTH,
    )
    _, mesocycle = athlete.phases.GeneratePhases(request).phases
    slots = [{"weekday": day, "workout_id": workout.id} for day in (1, 4)]
    schedule = pb.Schedule(display_name="Strength", phase_id=mesocycle.id, weekly={"slots": slots})
    create_schedule(athlete, schedule)
    rule = create_rule(
        athlete,
        start_date=START,
        goal={"set_count": 5, "reps": {"min": 3, "max": 5}},
        loading=LOADING,
        auto_apply=True,
    )
    return workout, rule


def in_words(one: pb.PrescribedExercise) -> str:
    loads = loads_kg(one)
    return f"{len(loads)} × {one.exercise.reps.min}–{one.exercise.reps.max}, {loads[0]:g} kg"


def test_the_worked_mesocycle(alice: Athlete, bob: Athlete) -> None:
    workout, rule = a_strength_block(alice)
    a_strength_block(bob)
    page = PAGE.read_text()
    for after, reps, load_kg, intent in REPS_DONE:
        day = MONDAY + timedelta(days=after)
        alice.log(
            on(
                day.isoformat(),
                exercises=[done(*reps, load_kg=load_kg)],
                workout_id=workout.id,
                workout_revision=1,
                intent=intent,
            )
        )
    happened = events(alice, rule)
    for planned, (after, reps, load_kg, _) in zip(listed(alice), REPS_DONE, strict=False):
        day = MONDAY + timedelta(days=after)
        reasons = [one.reason for one in reversed(happened) if a_date(one.local_date) == day]
        row = (
            f"{after // 7 + 1}",
            f"{day:%a} {day.day} March",
            in_words(planned.exercises[0]),
            f"{planned.exercises[1].exercise.sets} × 10–15",
            f"{', '.join(map(str, reps))} with {load_kg:g} kg",
            "; ".join(reasons),
        )
        assert planned.session_id
        assert f"| {' | '.join(row)} |" in page
    last = listed(alice)[-1]
    pull_up = last.exercises[0]
    assert a_date(last.local_date) == date(2026, 3, 26)
    for words in (
        in_words(pull_up),
        *(one.description for one in (*pull_up.reasons, *last.reasons)),
    ):
        assert words in page
    assert in_words(listed(bob)[-1].exercises[0]) == "3 × 3–5, 17.5 kg"


# What phases ask for


def phase_statistics(
    athlete: Athlete, phase_id: str, **request: Any
) -> program_pb2.PhaseStatistics:
    return athlete.programs.GetPhaseStatistics(
        program_pb2.GetPhaseStatisticsRequest(phase_id=phase_id, **request)
    )


def test_what_each_week_of_a_phase_asks_for(alice: Athlete, bob: Athlete) -> None:
    a_strength_block(alice)
    a_strength_block(bob)
    macrocycle, mesocycle = alice.phases.ListPhases(phase_pb2.ListPhasesRequest()).phases
    found = phase_statistics(alice, mesocycle.id, body_mass_kg=80)
    assert found.phase_id == mesocycle.id
    assert [(one.week, one.deload) for one in found.weeks] == [
        (1, False),
        (2, False),
        (3, False),
        (4, True),
    ]
    assert [a_date(one.start_date) for one in found.weeks] == [
        MONDAY + timedelta(weeks=week) for week in range(4)
    ]
    # Twice a week: 5, 5, 6 and 3 sets of pull-ups by the rule, 4, 4, 4 and 3 of push-ups.
    weeks = [one.statistics for one in found.weeks]
    assert [one.sets_per_week for one in weeks] == [18, 18, 20, 12]
    assert [len(one.workouts) for one in weeks] == [2] * 4
    lats = [
        next(each.set_count for each in one.muscles if each.muscle == exercise_pb2.MUSCLE_LATS)
        for one in weeks
    ]
    assert lats == [10, 10, 12, 6]
    pull_ups = 5 * 4 * (0.95 * 80 + 20)
    of_push_ups = weeks[0].workouts[0].volume_load_kg.value - pull_ups
    in_deload = weeks[3].workouts[0].volume_load_kg.value
    assert in_deload == pytest.approx(3 * 4 * (0.95 * 80 + 17.5) + of_push_ups * 3 / 4)
    assert weeks[0].minutes_per_week > weeks[3].minutes_per_week > 0
    assert phase_statistics(alice, macrocycle.id).weeks[3].deload
    with refused("PHASE_NOT_FOUND", grpc.StatusCode.NOT_FOUND) as refusals:
        phase_statistics(bob, mesocycle.id)
    assert refusals[0].fields == ["phase_id"]


def test_a_session_that_is_called_off_asks_for_nothing(alice: Athlete, bob: Athlete) -> None:
    for athlete in (alice, bob):
        workout = athlete.create_workout()
        schedule = weekly(athlete, workout)
        phase = a_mesocycle(athlete, volume_factors=[], deload_weeks=[])
        if athlete is alice:
            skip = pb.ReschedulePlannedSessionRequest(schedule_id=schedule.id, number=2, skip=True)
            alice.schedules.ReschedulePlannedSession(skip)
            mine = phase
    of_weeks = [
        [one.statistics.sessions_per_week for one in phase_statistics(athlete, id).weeks]
        for athlete, id in ((alice, mine.id), (bob, phase.id))
    ]
    assert of_weeks == [[1, 0, 1, 1], [1, 1, 1, 1]]
