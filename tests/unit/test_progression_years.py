"""A year of a simulated athlete by each policy, and what must be true of any such year."""

import random
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import pytest

from tests.progression_years import (
    HOLIDAY,
    ILLNESS,
    PICTURE,
    PLANS,
    START,
    TECHNIQUE,
    Athlete,
    Plan,
    Session,
    draw,
    proposing,
    track_of,
    year,
)
from training_service.charts.data import Theme
from training_service.charts.themes import PALETTES
from training_service.domain.exercise import exercise_id
from training_service.domain.progression import Event, beginning, replay
from training_service.domain.progression_policy import MAX_EXTRA_SETS, PercentWave, StepLoading
from training_service.domain.progression_track import Cause, EventKind, Numbers, Phase

EACH = pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
SEEDS = pytest.mark.parametrize("seed", range(3))
LOADED = [plan for plan in PLANS if plan.rule.loading]
ALL_BUT_RIR = [plan for plan in PLANS if plan.name != "RIR"]
RAISES = {
    EventKind.LOAD_UP,
    EventKind.AMOUNT_UP,
    EventKind.TEMPO_UP,
    EventKind.SETS_UP,
    EventKind.ADVANCE,
}
LESS = {EventKind.RESET, EventKind.REGRESS, EventKind.EASE}
SETTLED_DAYS = 56
"""After so many days a rule should have found out what can be done."""
MOST_FAILURES = {"Linear": 0.5, "AMRAP": 0.6, "Percent wave": 0.4}
"""Of the sessions then. Rules that raise with each success find the limit by failing at it."""
MOST_FAILURES_OF_OTHERS = 0.15


def outcomes(sessions: list[Session]) -> list[EventKind]:
    judged = (EventKind.SUCCESS, EventKind.HOLD, EventKind.FAIL, EventKind.SKIP)
    return [next(e.kind for e in one.events if e.kind in judged) for one in sessions]


def an_athlete(seed: int, **fields: float) -> Athlete:
    return Athlete(chance=random.Random(seed), **fields)  # type: ignore[arg-type]


@EACH
@SEEDS
def test_what_is_prescribed_stays_within_the_rule(plan: Plan, seed: int) -> None:
    rule, track = plan.rule, track_of(plan.rule)
    for one in year(plan, an_athlete(seed)):
        numbers = one.state.numbers
        assert 1 <= numbers.set_count <= rule.set_count + MAX_EXTRA_SETS
        assert 1 <= numbers.low <= numbers.aim <= numbers.high
        assert numbers.exercise_id in track.rungs
        assert one.prescribed.targets
        for target in one.prescribed.targets:
            assert target.low >= 1
            assert rule.loading is not None or target.load_kg == 0
            if rule.loading:
                assert target.load_kg >= 0
                assert target.load_kg % rule.loading.plate_step_kg == pytest.approx(0)


@EACH
@SEEDS
def test_what_does_not_count_changes_nothing(plan: Plan, seed: int) -> None:
    before: Numbers = beginning(plan.rule, track_of(plan.rule)).numbers
    skipped = 0
    for one in year(plan, an_athlete(seed)):
        if any(event.kind is EventKind.SKIP for event in one.events):
            assert one.state.numbers == before
            skipped += 1
        before = one.state.numbers
    assert skipped >= 4  # one while ill, three of technique


@EACH
def test_illness_and_holidays_cost_nothing_but_strength(plan: Plan) -> None:
    sessions = {(one.day - START).days: one for one in year(plan, Athlete())}
    for pause in (ILLNESS, HOLIDAY, TECHNIQUE):
        before = max(day for day in sessions if day < pause.start)
        after = min(day for day in sessions if day >= pause.stop)
        asked = sessions[after].prescribed.state
        assert asked.numbers == sessions[before].state.numbers


@EACH
def test_a_year_replayed_at_once_is_the_same(plan: Plan) -> None:
    sessions = year(plan, Athlete())
    assert sessions == year(plan, Athlete())
    state, events = replay(plan.rule, track_of(plan.rule), [one.performance for one in sessions])
    assert state == sessions[-1].state
    assert events == [one.events for one in sessions]


@EACH
@SEEDS
def test_nothing_is_raised_without_the_successes_for_it(plan: Plan, seed: int) -> None:
    """One raise at most after a session, and each after successes of its own."""
    is_wave = isinstance(plan.rule.policy, PercentWave)
    needed = 1 if isinstance(plan.rule.policy, StepLoading) else plan.rule.successes
    successes = failures = 0
    for one in year(plan, an_athlete(seed)):
        kinds = {event.kind for event in one.events}
        if EventKind.SUCCESS in kinds:
            successes += 1
        elif EventKind.SKIP not in kinds:
            successes = 0
        failures += EventKind.FAIL in kinds
        raises = _raises(one.events)
        assert len(raises) <= 1
        for event in raises:
            if event.cause is not Cause.EFFORT:
                assert not failures if is_wave else successes >= needed
                successes = 0
        if is_wave and one.state.numbers.wave_index == 0 and EventKind.SKIP not in kinds:
            failures = 0


def _raises(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.kind in RAISES]


@EACH
def test_who_takes_each_proposal_gets_what_applies_itself(plan: Plan) -> None:
    """Until a deload: what is proposed then waits, and the deload is of what holds."""
    proposed = year(proposing(plan), Athlete())
    applied = year(plan, Athlete())
    if plan.name != "Hold time":  # 28 s of 30 proposed are as near to the 26 that hold
        for one, other in zip(proposed, applied, strict=True):
            if one.prescribed.state.phase is Phase.BUILD:
                assert one.performance == other.performance
    kinds = [event.kind for one in proposed for event in one.events]
    assert kinds.count(EventKind.ACCEPTED) > 5
    assert not [e for one in proposed for e in _raises(one.events) if e.is_applied]
    assert _progress(plan, proposed[-1].state.numbers) > _progress(
        plan, beginning(plan.rule, track_of(plan.rule)).numbers
    )


@pytest.mark.parametrize("plan", ALL_BUT_RIR, ids=lambda plan: plan.name)
def test_who_takes_no_proposal_goes_on_as_before(plan: Plan) -> None:
    """What holds never changes. By repetitions in reserve it may: of an aim within the range that
    is proposed, a session does not say whether it was followed."""
    began = beginning(plan.rule, track_of(plan.rule)).numbers
    sessions = year(proposing(plan), Athlete(), takes_proposals=False)
    for one in sessions:
        assert replace(one.state.numbers, wave_index=0) == began
    assert any(one.state.proposed for one in sessions)
    assert EventKind.ACCEPTED not in {e.kind for one in sessions for e in one.events}


@EACH
@SEEDS
def test_who_gets_stronger_is_asked_for_more(plan: Plan, seed: int) -> None:
    sessions = year(plan, an_athlete(seed))
    assert _progress(plan, sessions[-1].state.numbers) > _progress(
        plan, beginning(plan.rule, track_of(plan.rule)).numbers
    )
    settled = [one for one in sessions if (one.day - START).days >= SETTLED_DAYS]
    kinds = outcomes(settled)
    most = MOST_FAILURES.get(plan.name, MOST_FAILURES_OF_OTHERS)
    assert kinds.count(EventKind.FAIL) < most * len(kinds)
    assert kinds.count(EventKind.SUCCESS) > 0.05 * len(kinds)


def _progress(plan: Plan, numbers: Numbers) -> tuple[float, float, float]:
    return plan.weight_kg(numbers.exercise_id), numbers.load_kg, numbers.aim


@EACH
@SEEDS
def test_who_does_not_get_stronger_is_not_driven_on(plan: Plan, seed: int) -> None:
    """What is asked for stays near what can be done: no set weighs a ninth more than what can be
    moved once. Rules that raised too far take it back; the others wait. All tell of it."""
    limit_kg = Athlete().strength_kg * 10 / 9
    sessions = year(plan, an_athlete(seed, gain=0.0))
    for one in sessions[-40:]:
        numbers = one.prescribed.state.numbers
        heaviest = max(target.load_kg for target in one.prescribed.targets)
        assert plan.weight_kg(numbers.exercise_id) + heaviest < limit_kg
    kinds = {event.kind for one in sessions for event in one.events}
    assert EventKind.STALL in kinds
    is_pushing = plan.name in ("Linear", "AMRAP", "Percent wave", "Hold time", "Ladder")
    assert bool(kinds & LESS) == is_pushing


@SEEDS
def test_who_does_not_get_stronger_does_not_go_to_and_fro(seed: int) -> None:
    """Between a step of the ladder that is done with ease, and one that is too hard."""
    [ladder] = [plan for plan in PLANS if plan.name == "Ladder"]
    events = [e.kind for one in year(ladder, an_athlete(seed, gain=0.0)) for e in one.events]
    assert 2 <= events.count(EventKind.REGRESS) <= 8
    assert events.count(EventKind.STALL) >= 10


@pytest.mark.parametrize("plan", LOADED, ids=lambda plan: plan.name)
def test_who_answers_well_to_training_is_asked_for_more_than_others(plan: Plan) -> None:
    loads = [
        fmean(one.state.numbers.load_kg for one in year(plan, an_athlete(1, gain=gain))[-20:])
        for gain in (0.0, 0.012, 0.03)
    ]
    assert loads == sorted(loads)
    assert loads[0] < loads[1] - 5


@pytest.mark.parametrize("plan", LOADED, ids=lambda plan: plan.name)
def test_who_lifts_more_than_at_first_is_not_sent_to_an_easier_exercise(plan: Plan) -> None:
    for one in year(plan, Athlete()):
        assert one.state.numbers.exercise_id == plan.rule.exercise_id
        if not isinstance(plan.rule.policy, PercentWave) and plan.rule.loading:
            assert one.state.numbers.load_kg >= plan.rule.loading.start_kg


def test_a_year_of_all_policies_has_all_that_can_happen() -> None:
    kinds = {e.kind for plan in PLANS for one in year(plan, Athlete()) for e in one.events}
    assert kinds >= {
        EventKind.SUCCESS,
        EventKind.HOLD,
        EventKind.FAIL,
        EventKind.SKIP,
        EventKind.LOAD_UP,
        EventKind.AMOUNT_UP,
        EventKind.ADVANCE,
        EventKind.REGRESS,
        EventKind.RESET,
        EventKind.STALL,
        EventKind.DELOAD_BEGIN,
        EventKind.DELOAD_END,
    }


def test_the_way_back_leads_to_the_exercise_of_the_rule() -> None:
    track = track_of(PLANS[0].rule)
    pull_up, chin_up = exercise_id("pull-up"), exercise_id("chin-up")
    assert track.way_back(pull_up) == PLANS[0].rule.exercise_id
    assert track.way_back(chin_up) == pull_up
    assert track.way_back(PLANS[0].rule.exercise_id) is None
    assert track.way_back(exercise_id("weighted-pull-up-heavy")) is None


def test_the_picture_is_that_of_the_years() -> None:
    """docs/progression.svg is what `python -m tests.progression_years` draws."""
    assert draw() == PICTURE.read_text(encoding="utf-8")


def test_the_picture_can_be_dark() -> None:
    dark = draw(Theme.DARK)
    assert PALETTES[Theme.DARK].background in dark
    assert PALETTES[Theme.LIGHT].background not in dark
