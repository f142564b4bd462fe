"""Rules of progression: the state machine of each policy, and what holds for all of them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import reduce
from math import ceil
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.exercise import Criterion, MovementKind
from training_service.domain.progression import (
    Context,
    DeloadCondition,
    Event,
    Intent,
    Performance,
    beginning,
    on_day,
    prescription,
    replay,
    step,
)
from training_service.domain.progression_policy import (
    MAX_EXTRA_SETS,
    AmrapProgression,
    DoneSet,
    DoubleProgression,
    HoldTimeProgression,
    LinearProgression,
    Loading,
    PercentWave,
    Policy,
    RepSumProgression,
    RirAutoregulation,
    Rule,
    StepLoading,
    VariationLadder,
    WaveSet,
    deload_targets,
)
from training_service.domain.progression_track import (
    Cause,
    EventKind,
    Goal,
    Phase,
    State,
    Track,
    TrackExercise,
    graph_track,
    ladder_track,
)
from training_service.domain.progression_words import outlook, reason

START = date(2026, 1, 5)


def id_of(name: str) -> UUID:
    return uuid5(UUID(int=0), name)


def exercise(
    name: str,
    difficulty: int,
    *easier: str,
    kind: MovementKind = MovementKind.DYNAMIC,
    **fields: Any,
) -> TrackExercise:
    amount = 8 if kind is MovementKind.DYNAMIC else 30
    criterion = fields.pop("criterion", Criterion(3, amount, 2))
    return TrackExercise(
        id_of(name), name, kind, difficulty, criterion, [id_of(one) for one in easier], **fields
    )


HOLD = MovementKind.ISOMETRIC
EXERCISES = {
    one.id: one
    for one in (
        exercise("row", 2),
        exercise("pull-up", 4, "row"),
        exercise("archer", 7, "pull-up"),
        exercise("one-arm", 11, "archer"),
        exercise("push-up", 3),
        exercise("diamond", 4, "push-up"),
        exercise("ring", 5, "push-up"),
        exercise("tuck", 5, kind=HOLD),
        exercise("straddle", 9, "tuck", kind=HOLD, criterion=Criterion(3, 15, 2)),
    )
}
EIGHT = Goal(5, 8)
PLATES = Loading(start_kg=20, plate_step_kg=2.5)


def a_rule(name: str = "pull-up", policy: Policy | None = None, **fields: Any) -> Rule:
    usual: dict[str, Any] = {
        "policy": policy or DoubleProgression(),
        "exercise_id": id_of(name),
        "start_date": START,
        "set_count": 3,
        "goal": EIGHT,
        "auto_apply": True,
    }
    return Rule(**{**usual, **fields})


def track_of(rule: Rule, **choices: str) -> Track:
    if isinstance(rule.policy, VariationLadder):
        return ladder_track(rule.policy.steps, EXERCISES)
    chosen = {id_of(easier): id_of(harder) for easier, harder in choices.items()}
    return graph_track(rule.exercise_id, rule.goal, EXERCISES, chosen, rule.sets_of_goal)


def done(
    name: str,
    *amounts: float | None,
    load_kg: float = 0,
    rpe: float | None = None,
    day: int = 0,
    **fields: Any,
) -> Performance:
    sets = [DoneSet(amount, load_kg, rpe) for amount in amounts]
    return Performance(
        day=START + timedelta(days=day), sets={id_of(name): sets} if sets else {}, **fields
    )


def run(rule: Rule, *sessions: Performance, **choices: str) -> tuple[State, list[list[str]]]:
    """Returns the last state, and the kinds of the events of each session."""
    state, events = replay(rule, track_of(rule, **choices), sessions)
    return state, [[one.kind.value for one in of] for of in events]


def all_events(rule: Rule, *sessions: Performance) -> list[Event]:
    return [one for of in replay(rule, track_of(rule), sessions)[1] for one in of]


# What a session was worth.


@pytest.mark.parametrize(
    ("session", "kind", "cause"),
    [
        (done("pull-up", 8, 8, 8), "SUCCESS", "ALL_SETS_MET"),
        (done("pull-up", 8, 8, 8, 3), "SUCCESS", "ALL_SETS_MET"),  # a back-off set after them
        (done("pull-up", 8, 8, 8, rpe=9), "SUCCESS", "ALL_SETS_MET"),
        (done("pull-up", 8, 8, 8, rpe=9.5), "HOLD", "TOO_HARD"),
        (done("pull-up", 8, 8, 7), "HOLD", "WITHIN_RANGE"),
        (done("pull-up", 8, 8, None), "HOLD", "AMOUNT_UNKNOWN"),
        (done("pull-up", 8, 8, 4), "FAIL", "BELOW_RANGE"),
        (done("pull-up", 12, 12), "FAIL", "SET_MISSING"),
        (done("pull-up", 12, 4, None), "FAIL", "BELOW_RANGE"),
        (done("row", 8, 8, 8), "SKIP", "NOT_DONE"),
        (done("pull-up", 3, 3, intent=Intent.ILL), "SKIP", "ILL"),
        (done("pull-up", 3, 3, intent=Intent.TECHNIQUE), "SKIP", "TECHNIQUE"),
        (done("pull-up", 3, 3, intent=Intent.DELOAD), "SKIP", "DELOAD"),
        (done("pull-up", 4, 4, 4, context=Context(readiness=49.9)), "HOLD", "LOW_READINESS"),
        (done("pull-up", 4, 4, 4, context=Context(readiness=50)), "FAIL", "BELOW_RANGE"),
        (done("pull-up", 8, 8, 8, load_kg=-10), "SKIP", "LIGHTER"),
        (done("pull-up", 8, 8, load_kg=-10), "SKIP", "LIGHTER"),
        (done("pull-up", 8, 8, 4, load_kg=-10), "FAIL", "BELOW_RANGE"),
        (done("pull-up", 4, 4, 4, load_kg=10), "HOLD", "HEAVIER"),
    ],
)
def test_the_outcome_looks_at_all_sets_and_at_the_load(
    session: Performance, kind: str, cause: str
) -> None:
    rule = a_rule()
    state, [[event]] = replay(rule, track_of(rule), [session])
    assert (event.kind.value, event.cause.value) == (kind, cause)
    assert (state.success_count, state.fail_count) == (kind == "SUCCESS", kind == "FAIL")
    assert state.evaluated_count == (kind != "SKIP")


def test_a_success_ends_failures_and_a_hold_ends_both() -> None:
    good, bad, so_so = (done("pull-up", n, n, n) for n in (8, 4, 6))
    rule = a_rule(success_count=9, fail_limit=9)
    states = [run(rule, bad, bad, last)[0] for last in (good, so_so)]
    assert [(one.success_count, one.fail_count) for one in states] == [(1, 0), (0, 0)]
    state, _ = run(rule, good, good, so_so)
    assert (state.success_count, state.fail_count) == (0, 0)
    skipped = done("pull-up", 1, intent=Intent.ILL)
    assert run(rule, good, skipped, skipped)[0] == run(rule, good)[0]


# Each policy.


def test_double_progression_with_load() -> None:
    rule = a_rule(loading=PLATES)
    good = done("pull-up", 8, 8, 8, load_kg=20)
    state, kinds = run(rule, good)
    assert kinds == [["SUCCESS", "LOAD_UP"]]
    # 5 % of 20 kg is less than the plates allow: one step.
    assert (state.numbers.load_kg, state.success_count) == (22.5, 0)
    heavy = replace(rule, loading=Loading(start_kg=100, plate_step_kg=1.25))
    state, _ = run(heavy, done("pull-up", 8, 8, 8, load_kg=100))
    assert state.numbers.load_kg == 105
    less_round = replace(rule, loading=Loading(start_kg=90, plate_step_kg=2.5))
    state, _ = run(less_round, done("pull-up", 8, 8, 8, load_kg=90))
    assert state.numbers.load_kg == 92.5  # 4.5 kg, rounded down to the plates


def test_double_progression_resets_regresses_and_recovers() -> None:
    rule = a_rule(loading=PLATES)
    bad = done("pull-up", 4, 4, 4, load_kg=20)
    state, kinds = run(rule, bad, bad, bad)
    assert kinds == [["FAIL"], ["FAIL"], ["FAIL", "RESET"]]
    assert (state.numbers.load_kg, state.reset_count, state.fail_count) == (17.5, 1, 0)
    # Lifted again, the reset is forgotten.
    good = [done("pull-up", 8, 8, 8, load_kg=kg) for kg in (17.5, 20)]
    state, _ = run(rule, bad, bad, bad, *good)
    assert (state.numbers.load_kg, state.reset_count) == (22.5, 0)
    # A second reset instead: back to the easier exercise, at the end of its range.
    lighter = done("pull-up", 4, 4, 4, load_kg=17.5)
    state, kinds = run(rule, bad, bad, bad, lighter, lighter, lighter)
    assert kinds[-1] == ["FAIL", "REGRESS"]
    numbers = state.numbers
    assert (numbers.exercise_id, numbers.aim, numbers.high) == (id_of("row"), 8, 8)
    assert (state.reset_count, state.fail_count) == (0, 0)


def test_double_progression_without_load_advances_along_the_graph() -> None:
    rule = a_rule()
    good = done("pull-up", 8, 8, 8)
    state, kinds = run(rule, good, good)
    assert kinds == [["SUCCESS"], ["SUCCESS", "ADVANCE"]]
    assert state.numbers.exercise_id == id_of("archer")
    assert (state.numbers.low, state.numbers.aim, state.numbers.high) == (5, 5, 8)
    assert state.previous_exercise_id == id_of("pull-up")
    # The old exercise is none of its business any more.
    assert run(rule, good, good, good)[1][-1] == ["SKIP"]
    failed = done("archer", 2, 2, 2)
    state, kinds = run(rule, good, good, failed, failed, failed)
    assert kinds[-1] == ["FAIL", "REGRESS"]
    assert (state.numbers.exercise_id, state.numbers.aim) == (id_of("pull-up"), 8)


def test_the_exercise_before_is_kept_for_four_weeks() -> None:
    rule = a_rule()
    good = done("pull-up", 8, 8, 8)
    state, _ = run(rule, good, good)
    for day, previous in ((27, id_of("pull-up")), (28, None)):
        assert (
            on_day(rule, state, START + timedelta(days=day)).state.previous_exercise_id == previous
        )


def test_without_an_easier_exercise_sets_and_range_shrink() -> None:
    rule = a_rule("row")
    bad = done("row", 1, 1, 1)
    state, kinds = run(rule, *[bad] * 3)
    assert kinds[-1] == ["FAIL", "EASE"]
    assert (state.numbers.set_count, state.numbers.low, state.numbers.high) == (2, 4, 8)
    worst = done("row", 0, 0, 0)
    state, _ = run(rule, *[worst] * 40)
    assert (state.numbers.set_count, state.numbers.low) == (1, 1)


def test_of_several_successors_the_athlete_chooses() -> None:
    rule = a_rule("push-up")
    good = done("push-up", 8, 8, 8)
    state, kinds = run(rule, good, good, good)
    assert kinds == [["SUCCESS"], ["SUCCESS", "CHOICE"], ["SUCCESS"]]
    assert state.numbers.exercise_id == id_of("push-up")
    choice = all_events(rule, good, good)[-1]
    assert list(choice.candidate_ids) == [id_of("diamond"), id_of("ring")]
    assert not choice.is_applied
    state, kinds = run(rule, good, good, **{"push-up": "ring"})
    assert kinds[-1] == ["SUCCESS", "ADVANCE"]
    assert state.numbers.exercise_id == id_of("ring")


def test_a_deprecated_exercise_is_never_advanced_to() -> None:
    archer = EXERCISES[id_of("archer")]._replace(is_active=False)
    rule = a_rule()
    track = graph_track(rule.exercise_id, rule.goal, {**EXERCISES, archer.id: archer}, {})
    assert track.rungs[rule.exercise_id].harder_ids == []
    good = done("pull-up", 8, 8, 8)
    state, _ = replay(rule, track, [good, good])
    assert (state.numbers.exercise_id, state.numbers.set_count) == (rule.exercise_id, 4)


def test_the_way_back_is_to_the_exercise_of_the_rule_and_not_to_another_that_follows() -> None:
    """From a push-up two ways lead on; who fell back to it from one goes on with that one."""
    rule = a_rule("ring")
    bad, good = (done(name, n, n, n) for name, n in (("ring", 1), ("push-up", 8)))
    state, kinds = run(rule, bad, bad, bad, good, good)
    assert [of[-1] for of in kinds] == ["FAIL", "FAIL", "REGRESS", "SUCCESS", "ADVANCE"]
    assert state.numbers.exercise_id == rule.exercise_id


def test_each_further_fall_asks_for_more_successes_until_the_harder_exercise_is_met() -> None:
    """At once after the first, or a bad week would cost too much; then later each time."""
    rule = a_rule()
    easy, hard = done("pull-up", 8, 8, 8), done("archer", 1, 1, 1)
    fall = [hard] * 3
    state, kinds = run(rule, easy, easy, *fall, easy, easy, *fall, easy, easy)
    assert kinds[6][-1] == EventKind.ADVANCE
    assert kinds[11][-1] == EventKind.SUCCESS
    assert outlook(state, rule) == "Again: 2 more successes in a row would raise it"
    state, kinds = run(rule, easy, easy, *fall, easy, easy, *fall, *[easy] * 4)
    assert kinds[-1][-1] == EventKind.ADVANCE
    met = done("archer", 8, 8, 8)
    state, _ = run(rule, easy, easy, *fall, easy, easy, *fall, *[easy] * 4, met)
    assert (state.regress_count, state.regressed_from_id) == (0, None)


def test_a_load_above_that_of_the_start_is_taken_off_before_the_exercise_gets_easier() -> None:
    rule = a_rule(loading=PLATES._replace(start_kg=10))
    sessions = [done("pull-up", 8, 8, 8, load_kg=load_kg) for load_kg in (20, 22.5, 25)]
    state, _ = run(rule, *sessions)
    assert state.numbers.load_kg == 27.5
    loads, events = [], []
    while EventKind.REGRESS not in events:
        load_kg = state.numbers.load_kg
        failed = done("pull-up", 1, 1, 1, load_kg=load_kg)
        for _ in range(3):
            state, happened = step(rule, track_of(rule), state, failed)
        events = [one.kind for one in happened]
        loads.append(state.numbers.load_kg)
    assert loads == [22.5, 20, 17.5, 15, 12.5, 10, 0]
    assert state.numbers.exercise_id == id_of("row")
    done_well = done("row", 8, 8, 8)
    state, happened = step(rule, track_of(rule), state, done_well)
    assert [one.kind for one in happened] == [EventKind.SUCCESS, EventKind.ADVANCE]
    assert (state.numbers.exercise_id, state.numbers.load_kg) == (rule.exercise_id, 10)


def test_at_the_top_sets_are_added_and_then_nothing() -> None:
    rule = a_rule("one-arm")
    sessions = [done("one-arm", *[8] * 5)] * 10
    state, kinds = run(rule, *sessions)
    flat = [kind for of in kinds for kind in of if kind not in ("SUCCESS", "STALL")]
    assert flat == ["SETS_UP", "SETS_UP", "TOP"]
    assert state.numbers.set_count == 3 + MAX_EXTRA_SETS


def test_tempo_comes_before_leverage_and_load_last() -> None:
    rule = a_rule(
        "one-arm",
        tempos=("20X0", "40X0"),
        success_count=1,
        loading=Loading(start_kg=0, plate_step_kg=1, is_last_resort=True),
    )
    state, kinds = run(rule, *[done("one-arm", 8, 8, 8)] * 2)
    assert [of[-1] for of in kinds] == ["TEMPO_UP", "LOAD_UP"]
    assert (state.numbers.load_kg, state.numbers.tempo_index) == (1, 1)
    rule = a_rule(tempos=("20X0", "40X0"), success_count=1)
    state, kinds = run(rule, *[done("pull-up", 8, 8, 8)] * 2)
    assert [of[-1] for of in kinds] == ["TEMPO_UP", "ADVANCE"]
    assert state.numbers.tempo_index == 0


def test_linear_progression() -> None:
    rule = a_rule(policy=LinearProgression(), goal=Goal(5, 5), loading=PLATES)
    sessions = [done("pull-up", 5, 5, 5, load_kg=kg) for kg in (20, 22.5, 25)]
    state, kinds = run(rule, *sessions)
    assert kinds == [["SUCCESS", "LOAD_UP"]] * 3
    assert state.numbers.load_kg == 27.5
    bad = done("pull-up", 5, 5, 4, load_kg=27.5)
    state, kinds = run(rule, *sessions, bad, bad, bad)
    assert kinds[-1] == ["FAIL", "RESET"]
    assert state.numbers.load_kg == 22.5  # 24.75 by a tenth, down to the plates
    capped = replace(rule, loading=PLATES._replace(max_kg=21))
    state, _ = run(capped, *[done("pull-up", 5, 5, 5, load_kg=kg) for kg in (20, 21, 21)])
    assert state.numbers.load_kg == 21


def test_rep_sum_progression() -> None:
    rule = a_rule(policy=RepSumProgression(), goal=Goal(15, 24), success_count=1)
    for amounts, kind in (((12, 8, 4), "SUCCESS"), ((24,), "SUCCESS"), ((8, 8, 7), "HOLD")):
        assert run(rule, done("pull-up", *amounts))[1][0][0] == kind
    for amounts, kind in (((7, 7), "FAIL"), ((14, None), "HOLD"), ((8, 8, 4, 8), "HOLD")):
        assert run(rule, done("pull-up", *amounts))[1][0][0] == kind
    state, kinds = run(rule, done("pull-up", 12, 8, 4))
    assert kinds == [["SUCCESS", "ADVANCE"]]
    assert state.numbers.exercise_id == id_of("archer")
    # Three sets of its criterion together, and the same proportion as before.
    criterion = EXERCISES[id_of("archer")].criterion.amount
    assert state.numbers.high == 3 * criterion
    assert state.numbers.low == ceil(3 * criterion * 15 / 24)
    targets = rule.policy.targets(rule, beginning(rule, track_of(rule)).numbers, START)
    assert [(one.low, one.high) for one in targets] == [(5, 8), (5, 8), (5, 8)]
    targets = rule.policy.targets(
        rule, replace(beginning(rule, track_of(rule)).numbers, high=25), START
    )
    assert [one.high for one in targets] == [9, 8, 8]


@pytest.mark.parametrize(
    ("rpe", "kind", "load_kg"),
    [
        (8, None, 100),  # on target
        (7, "LOAD_UP", 102.5),  # 3 %
        (6, "LOAD_UP", 105),  # 6 %, at most 5
        (4, "LOAD_UP", 105),
        (9, "LOAD_DOWN", 97.5),  # 3 %, towards the load
        (10, "LOAD_DOWN", 95),  # 6 %
        (8.2, None, 100),  # less than a step, and less than a repetition
        (None, None, 100),
    ],
)
def test_rir_autoregulation_of_load(rpe: float | None, kind: str | None, load_kg: float) -> None:
    rule = a_rule(
        policy=RirAutoregulation(target_rir=2), loading=Loading(start_kg=100, plate_step_kg=2.5)
    )
    state, [kinds] = run(rule, done("pull-up", 6, 6, 6, load_kg=100, rpe=rpe))
    assert state.numbers.load_kg == load_kg
    assert kinds[1:] == ([kind] if kind else [])


def test_rir_autoregulation_without_a_step_small_enough_goes_by_repetitions() -> None:
    rule = a_rule(policy=RirAutoregulation(target_rir=2))
    easy, hard = (done("pull-up", 6, 6, 6, rpe=rpe) for rpe in (6, 9.5))
    state, kinds = run(rule, easy, easy, hard)
    assert [of[-1] for of in kinds] == ["AMOUNT_UP", "AMOUNT_UP", "AMOUNT_DOWN"]
    assert state.numbers.aim == 6
    state, _ = run(rule, *[hard] * 5)
    assert state.numbers.aim == 5
    top = done("pull-up", 8, 8, 8, rpe=6)
    state, kinds = run(rule, *[top] * 4)
    assert kinds[-1] == ["SUCCESS", "ADVANCE"]
    # Failures count although the load is corrected after each of them.
    bad = done("pull-up", 4, 4, 4, rpe=10)
    assert run(rule, bad, bad, bad)[1][-1] == ["FAIL", "REGRESS"]


def test_step_loading() -> None:
    rule = a_rule(policy=StepLoading(), goal=Goal(6, 10))
    numbers = beginning(rule, track_of(rule)).numbers
    totals = []
    for week in range(5):
        targets = rule.policy.targets(rule, numbers, START + timedelta(weeks=week))
        totals.append(sum(one.high or 0 for one in targets))
    assert totals == [18, 19, 20, 11, 18]  # 18 × 1.00, 1.05, 1.10, 0.60
    good = [done("pull-up", 9, 9, 9, day=day) for day in (0, 7, 14, 16, 21, 28)]
    state, kinds = run(rule, *good)
    assert kinds == [
        ["SUCCESS"],
        ["SUCCESS"],
        ["SUCCESS", "AMOUNT_UP"],
        ["SUCCESS"],  # once a cycle
        ["SKIP"],  # the light week
        ["SUCCESS"],
    ]
    assert state.numbers.aim == 7
    failed = [done("pull-up", 5, 5, 5, day=0), *good[1:3]]
    assert run(rule, *failed)[1][-1] == ["SUCCESS"]
    # In the next cycle the failure is forgotten.
    again = [done("pull-up", 9, 9, 9, day=28 + day) for day in (0, 7, 14)]
    assert run(rule, *failed, *again)[1][-1] == ["SUCCESS", "AMOUNT_UP"]
    topped = replace(rule, goal=Goal(6, 6))
    assert run(topped, *good[:3])[1][-1] == ["SUCCESS", "ADVANCE"]


WAVE = PercentWave(
    sessions=[
        [WaveSet(65, 5), WaveSet(75, 5), WaveSet(85, 5, is_amrap=True)],
        [WaveSet(70, 3), WaveSet(80, 3), WaveSet(90, 3, is_amrap=True)],
    ]
)


def wave_session(index: int, top: float = 5, training_max_kg: float = 40) -> Performance:
    loading = Loading(plate_step_kg=2.5)
    sets = WAVE.sessions[index]
    return Performance(
        day=START,
        sets={
            id_of("pull-up"): [
                DoneSet(
                    top if one.is_amrap else one.reps,
                    loading.floored(training_max_kg * one.percent / 100),
                    10 if one.is_amrap else None,
                )
                for one in sets
            ]
        },
    )


def test_percent_wave() -> None:
    rule = a_rule(policy=WAVE, loading=Loading(start_kg=40))
    numbers = beginning(rule, track_of(rule)).numbers
    targets = rule.policy.targets(rule, numbers, START)
    assert [(one.low, one.high, one.load_kg) for one in targets] == [
        (5, 5, 25),  # 26
        (5, 5, 30),
        (5, None, 32.5),  # 34
    ]
    state, kinds = run(rule, wave_session(0), wave_session(1))
    assert kinds == [["SUCCESS"], ["SUCCESS", "LOAD_UP"]]
    assert (state.numbers.load_kg, state.numbers.wave_index) == (42.5, 0)
    state, kinds = run(rule, wave_session(0, 4), wave_session(1))
    assert kinds == [["FAIL"], ["SUCCESS"]]
    assert (state.numbers.load_kg, state.cycle_fail_count) == (40, 0)
    state, kinds = run(rule, wave_session(0, 4), wave_session(1, 2), wave_session(0, 4))
    assert kinds[-1] == ["FAIL", "RESET"]
    assert (state.numbers.load_kg, state.numbers.wave_index) == (35, 0)
    ill = replace(wave_session(0, 1), intent=Intent.ILL)
    assert run(rule, ill)[0].numbers.wave_index == 0


def test_amrap_progression_with_load() -> None:
    rule = a_rule(policy=AmrapProgression(), goal=Goal(5, 10), loading=PLATES)
    for last, kinds, load_kg in (
        (4, ["FAIL"], 20),
        (5, ["SUCCESS", "LOAD_UP"], 22.5),
        (9, ["SUCCESS", "LOAD_UP"], 22.5),
        (10, ["SUCCESS", "LOAD_UP"], 25),
    ):
        # To the utmost: as many as possible is as hard as possible.
        sets = [DoneSet(5, 20), DoneSet(5, 20), DoneSet(last, 20, 10)]
        session = Performance(day=START, sets={id_of("pull-up"): sets})
        state, [found] = run(rule, session)
        assert (found, state.numbers.load_kg) == (kinds, load_kg)


def test_amrap_progression_without_load() -> None:
    rule = a_rule(policy=AmrapProgression(), goal=Goal(5, 10))
    assert run(rule, *[done("pull-up", 5, 5, 9)] * 3)[1] == [["SUCCESS"]] * 3
    assert run(rule, *[done("pull-up", 5, 5, 10)] * 2)[1][-1] == ["SUCCESS", "ADVANCE"]


def test_hold_time_progression() -> None:
    policy = HoldTimeProgression(step_seconds=5)
    rule = a_rule("tuck", policy, goal=Goal(10, 20), success_count=1)
    sessions = [done("tuck", n, n, n) for n in (10, 15, 20)]
    state, kinds = run(rule, *sessions)
    assert kinds == [["SUCCESS", "AMOUNT_UP"], ["SUCCESS", "AMOUNT_UP"], ["SUCCESS", "ADVANCE"]]
    # The harder hold has its own goal; the proportion stays.
    assert (state.numbers.exercise_id, state.numbers.low, state.numbers.high) == (
        id_of("straddle"),
        8,
        15,
    )
    for amount, kind in ((20, "SUCCESS"), (15, "HOLD"), (14.5, "FAIL")):
        assert run(rule, *sessions[:2], done("tuck", *[amount] * 3))[1][-1][0] == kind


def test_a_session_of_holds_is_kept_short() -> None:
    policy = HoldTimeProgression(step_seconds=5, max_session_seconds=60)
    rule = a_rule("tuck", policy, goal=Goal(10, 90), set_count=5)
    numbers = beginning(rule, track_of(rule)).numbers
    counts = [
        len(policy.targets(rule, replace(numbers, aim=aim), START)) for aim in (10, 15, 25, 90)
    ]
    assert counts == [5, 4, 2, 1]


def test_variation_ladder() -> None:
    steps = [(id_of("row"), EIGHT), (id_of("pull-up"), Goal(3, 5)), (id_of("ring"), EIGHT)]
    rule = a_rule("row", VariationLadder(steps=steps), success_count=1)
    up = [done("row", 8, 8, 8), done("pull-up", 5, 5, 5)]
    state, kinds = run(rule, *up)
    assert kinds == [["SUCCESS", "ADVANCE"]] * 2
    assert state.numbers.exercise_id == id_of("ring")
    bad = done("ring", 1, 1, 1)
    state, kinds = run(rule, *up, bad, bad, bad)
    assert kinds[-1] == ["FAIL", "REGRESS"]
    assert (state.numbers.exercise_id, state.numbers.aim) == (id_of("pull-up"), 5)
    state, kinds = run(rule, *up, done("ring", 8, 8, 8))
    assert kinds[-1] == ["SUCCESS", "SETS_UP"]


# What every policy shares.


def test_what_is_proposed_holds_once_it_is_done() -> None:
    rule = a_rule(loading=PLATES, auto_apply=False)
    good = done("pull-up", 8, 8, 8, load_kg=20)
    state, [kinds] = run(rule, good)
    assert kinds == ["SUCCESS", "LOAD_UP"]
    assert state.numbers.load_kg == 20
    assert state.proposed is not None
    assert state.proposed.numbers.load_kg == 22.5
    assert not all_events(rule, good)[-1].is_applied
    state, kinds = run(rule, good, done("pull-up", 6, 6, 6, load_kg=22.5))
    assert kinds[-1] == ["ACCEPTED", "HOLD"]
    assert (state.numbers.load_kg, state.proposed) == (22.5, None)
    # Not followed, it is proposed again for as long as it is due.
    state, kinds = run(rule, good, good)
    assert kinds[-1] == ["SUCCESS", "LOAD_UP"]
    assert state.numbers.load_kg == 20
    state, _ = run(rule, good, done("pull-up", 4, 4, 4, load_kg=20))
    assert (state.proposed, state.fail_count) == (None, 1)


def test_a_proposed_exercise_holds_once_it_is_trained() -> None:
    rule = a_rule(auto_apply=False)
    good = [done("pull-up", 8, 8, 8)] * 2
    state, kinds = run(rule, *good, done("archer", 5, 5, 5))
    assert kinds[-1] == ["ACCEPTED", "HOLD"]
    assert state.numbers.exercise_id == id_of("archer")
    tried = Performance(
        day=START,
        sets={id_of("archer"): [DoneSet(5)], id_of("pull-up"): [DoneSet(8)] * 3},
    )
    state, _ = run(rule, *good, tried)
    assert state.numbers.exercise_id == id_of("pull-up")


def test_proposed_sets_and_seconds_are_told_from_what_is_done() -> None:
    top = a_rule("one-arm", auto_apply=False)
    good = [done("one-arm", 8, 8, 8)] * 2
    state, kinds = run(top, *good, done("one-arm", 5, 5, 5, 5))
    assert kinds[-1] == ["ACCEPTED", "HOLD"]
    assert state.numbers.set_count == 4
    policy = HoldTimeProgression(step_seconds=5)
    rule = a_rule("tuck", policy, goal=Goal(10, 20), success_count=1, auto_apply=False)
    ten = done("tuck", 10, 10, 10)
    assert run(rule, ten, done("tuck", 14, 13, 14))[0].numbers.aim == 15
    assert run(rule, ten, done("tuck", 12, 12, 11))[0].numbers.aim == 10


def test_who_does_more_than_prescribed_is_not_held_back() -> None:
    rule = a_rule(loading=PLATES)
    state, kinds = run(rule, done("pull-up", 8, 8, 8, load_kg=30))
    assert kinds == [["SUCCESS", "LOAD_UP"]]
    assert state.numbers.load_kg == 32.5
    capped = a_rule("one-arm", loading=PLATES._replace(max_kg=25))
    assert run(capped, done("one-arm", 8, 8, 8, load_kg=30))[0].numbers.load_kg == 25


def test_assistance_shrinks_and_grows() -> None:
    rule = a_rule(loading=Loading(start_kg=-20, plate_step_kg=2.5))
    assert run(rule, done("pull-up", 8, 8, 8, load_kg=-20))[0].numbers.load_kg == -17.5
    bad = done("pull-up", 4, 4, 4, load_kg=-20)
    assert run(rule, bad, bad, bad)[0].numbers.load_kg == -22.5


def test_six_sessions_without_a_best_are_a_stall() -> None:
    same = done("pull-up", 6, 6, 6)
    _, kinds = run(a_rule(), *[same] * 7)
    assert [of[1:] for of in kinds] == [[]] * 6 + [["STALL"]]
    better = done("pull-up", 7, 6, 6)
    assert run(a_rule(), *[same] * 6, better)[1][-1] == ["HOLD"]


def test_a_deload_by_the_calendar() -> None:
    rule = a_rule(deload_weeks=4, loading=PLATES)
    good = done("pull-up", 8, 8, 8, load_kg=20, day=20)
    state, _ = run(rule, good, done("pull-up", 3, load_kg=20, day=21))
    assert state.phase is Phase.DELOAD
    assert state.deload_end == START + timedelta(days=28)
    kinds = run(
        rule,
        done("pull-up", 4, 4, 4, load_kg=20, day=20),
        done("pull-up", 3, load_kg=20, day=21),
        done("pull-up", 3, load_kg=20, day=27),
        done("pull-up", 4, 4, 4, load_kg=20, day=28),
    )[1]
    assert kinds == [["FAIL"], ["DELOAD_BEGIN", "SKIP"], ["SKIP"], ["DELOAD_END", "FAIL"]]
    found = prescription(rule, state, START + timedelta(days=22))
    assert [(one.low, one.load_kg) for one in found.targets] == [(5, 20), (5, 20)]
    found = prescription(rule, state, START + timedelta(days=28))
    assert [one.load_kg for one in found.targets] == [22.5] * 3
    assert on_day(rule, state, START - timedelta(days=1)).state.phase is Phase.DELOAD
    fresh = beginning(rule, track_of(rule))
    assert on_day(rule, fresh, START - timedelta(days=1)).state.phase is Phase.BUILD


def test_a_deload_takes_half_of_the_sets_and_a_tenth_of_the_load() -> None:
    rule = a_rule(loading=Loading(start_kg=100, plate_step_kg=2.5), set_count=5)
    numbers = beginning(rule, track_of(rule)).numbers
    targets = deload_targets(rule, rule.policy.targets(rule, numbers, START))
    assert [one.load_kg for one in targets] == [90, 90, 90]


TIRED = Context(
    deload_conditions=frozenset({DeloadCondition.FAILURES, DeloadCondition.LOW_READINESS})
)


def test_two_signs_together_make_a_deload_of_seven_days() -> None:
    rule = a_rule(deload_weeks=3)
    one_sign = Context(deload_conditions=frozenset({DeloadCondition.PAIN}))
    assert run(rule, done("pull-up", 8, 8, 8, context=one_sign))[1] == [["SUCCESS"]]
    tired = done("pull-up", 8, 8, 8, day=6, context=TIRED)
    state, kinds = run(rule, done("pull-up", 8, 8, 8), tired)
    assert kinds[-1] == ["DELOAD_BEGIN", "SKIP"]
    assert state.deload_end == START + timedelta(days=13)
    # The deload of the calendar, on day 14, is left out for it.
    assert run(rule, tired, done("pull-up", 8, 8, 8, day=14))[1][-1] == ["DELOAD_END", "SUCCESS"]
    assert run(rule, tired, replace(tired, day=START + timedelta(days=13)))[1][-1] == [
        "DELOAD_END",
        "SUCCESS",
    ]
    assert run(rule, tired, done("pull-up", 8, 8, 8, day=35))[1][-1][1] == "DELOAD_BEGIN"


# Properties.

AMOUNTS = st.one_of(st.none(), st.integers(0, 40).map(float))
SETS = st.lists(
    st.builds(
        DoneSet,
        amount=AMOUNTS,
        load_kg=st.sampled_from([-20.0, 0.0, 10.0, 20.0, 22.5, 25.0, 40.0]),
        rpe=st.one_of(st.none(), st.integers(5, 10).map(float)),
    ),
    max_size=7,
)
NAMES = ["row", "pull-up", "archer", "one-arm", "tuck", "straddle"]
PERFORMANCES = st.lists(
    st.builds(
        Performance,
        day=st.integers(0, 120).map(lambda day: START + timedelta(days=day)),
        sets=st.dictionaries(st.sampled_from(NAMES).map(id_of), SETS, max_size=3),
        intent=st.sampled_from([*[Intent.NORMAL] * 6, Intent.ILL, Intent.TECHNIQUE]),
        context=st.sampled_from([Context(), Context(), Context(readiness=30), TIRED]),
    ),
    max_size=25,
).map(lambda found: sorted(found, key=lambda one: one.day))
RULES = st.builds(
    lambda of, auto, deload, tempos: replace(
        of, auto_apply=auto, deload_weeks=deload, tempos=tempos
    ),
    st.sampled_from(
        [
            a_rule(),
            a_rule(loading=PLATES),
            a_rule(loading=Loading(-20, 2.5, max_kg=10, is_last_resort=True)),
            a_rule(policy=LinearProgression(), goal=Goal(5, 5), loading=PLATES),
            a_rule(policy=RepSumProgression(), goal=Goal(15, 24)),
            a_rule(policy=RirAutoregulation(target_rir=2), loading=PLATES._replace(max_kg=30)),
            a_rule(policy=RirAutoregulation(target_rir=1)),
            a_rule(policy=StepLoading(), goal=Goal(6, 10)),
            a_rule(policy=WAVE, loading=Loading(start_kg=40)),
            a_rule(policy=AmrapProgression(), loading=PLATES),
            a_rule(policy=AmrapProgression()),
            a_rule("tuck", HoldTimeProgression(step_seconds=5), goal=Goal(10, 30)),
            a_rule(
                "row",
                VariationLadder(steps=[(id_of("row"), EIGHT), (id_of("pull-up"), Goal(3, 5))]),
            ),
        ]
    ),
    st.booleans(),
    st.sampled_from([None, 4]),
    st.sampled_from([(), ("20X0", "40X0")]),
)


@given(RULES, PERFORMANCES)
def test_nothing_leaves_its_range(rule: Rule, sessions: Sequence[Performance]) -> None:
    track = track_of(rule)
    state = beginning(rule, track)
    for session in sessions:
        state, events = step(rule, track, state, session)
        for numbers in [state.numbers, *(one.after for one in events)]:
            assert 1 <= numbers.set_count <= rule.set_count + MAX_EXTRA_SETS
            assert 1 <= numbers.low <= numbers.aim <= numbers.high
            assert 0 <= numbers.tempo_index <= max(len(rule.tempos) - 1, 0)
            assert numbers.exercise_id in track.rungs
            if rule.loading is None:
                assert numbers.load_kg == 0
            elif rule.loading.max_kg is not None:
                assert numbers.load_kg <= rule.loading.max_kg
        for event in events:
            assert reason(event, rule, track)
        assert outlook(state, rule)
        assert prescription(rule, state, session.day).targets


@given(RULES, PERFORMANCES, st.integers(0, 25))
def test_replay_is_the_same_as_one_session_after_another(
    rule: Rule, sessions: Sequence[Performance], cut: int
) -> None:
    track = track_of(rule)
    state, events = replay(rule, track, sessions)
    by_steps = reduce(
        lambda one, session: step(rule, track, one, session).state,
        sessions,
        beginning(rule, track),
    )
    assert by_steps == state
    earlier, _ = replay(rule, track, sessions[:cut])
    rest = reduce(lambda one, s: step(rule, track, one, s).state, sessions[cut:], earlier)
    assert rest == state
    assert len(events) == len(sessions)


@given(RULES, PERFORMANCES)
def test_nothing_is_lost_by_what_does_not_count(
    rule: Rule, sessions: Sequence[Performance]
) -> None:
    track = track_of(rule)
    state = beginning(rule, track)
    for session in sessions:
        after, events = step(rule, track, state, session)
        if any(one.kind is EventKind.SKIP for one in events):
            accepted = any(one.kind is EventKind.ACCEPTED for one in events)
            assert accepted or after.numbers == state.numbers
            assert accepted or after.proposed == state.proposed
            assert after.evaluated_count == state.evaluated_count
            deload = any("DELOAD" in one.kind or one.cause is Cause.DELOAD for one in events)
            assert deload or accepted or after.success_count == state.success_count
        state = after


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (
            all_events(a_rule(loading=PLATES), done("pull-up", 8, 8, 8, load_kg=20)),
            [
                "Success: all sets were done as prescribed",
                "Load 20 kg → 22.5 kg: 1 success in a row",
            ],
        ),
        (
            all_events(a_rule(auto_apply=False), *[done("pull-up", 8, 8, 8)] * 2)[-1:],
            ["Proposed: on to archer: 2 successes in a row"],
        ),
        (
            all_events(a_rule("push-up"), *[done("push-up", 8, 8, 8)] * 2)[-1:],
            ["Choose between diamond, ring: several exercises may follow"],
        ),
    ],
)
def test_every_change_is_put_into_words(events: list[Event], words: list[str]) -> None:
    rules = [a_rule(loading=PLATES), a_rule("push-up")]
    tracks = [track_of(rule) for rule in rules]
    assert [reason(one, rules[0], tracks[0]) for one in events] == words


def test_a_track_leads_only_where_it_may() -> None:
    rule = a_rule()
    names = ("row", "pull-up", "archer", "one-arm")
    assert set(track_of(rule).ids()) == {id_of(name) for name in names}
    assert track_of(a_rule("push-up")).ids() == [id_of("push-up")]
    chosen = track_of(a_rule("push-up"), **{"push-up": "ring"})
    assert set(chosen.ids()) == {id_of("push-up"), id_of("ring")}
