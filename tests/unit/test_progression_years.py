"""A year of a simulated athlete by each policy, and what must be true of any such year."""

import random
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
    track_of,
    year,
)
from training_service.domain.exercise import exercise_id
from training_service.domain.progression import beginning, replay
from training_service.domain.progression_policy import MAX_EXTRA_SETS, PercentWave
from training_service.domain.progression_track import EventKind, Numbers

EACH = pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
SEEDS = pytest.mark.parametrize("seed", range(3))
LOADED = [plan for plan in PLANS if plan.rule.loading]


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
def test_who_gets_stronger_is_asked_for_more(plan: Plan, seed: int) -> None:
    sessions = year(plan, an_athlete(seed))
    assert _progress(plan, sessions[-1].state.numbers) > _progress(
        plan, beginning(plan.rule, track_of(plan.rule)).numbers
    )
    kinds = outcomes(sessions)
    # Rules that raise with each success find the limit by failing at it.
    assert kinds.count(EventKind.FAIL) < 0.6 * len(kinds)
    assert kinds.count(EventKind.SUCCESS) > 0.05 * len(kinds)


def _progress(plan: Plan, numbers: Numbers) -> tuple[float, float, float]:
    return plan.weight_kg(numbers.exercise_id), numbers.load_kg, numbers.aim


@EACH
@SEEDS
def test_who_does_not_get_stronger_is_not_driven_on(plan: Plan, seed: int) -> None:
    """What is asked for stays near what can be done: within a sixth of its weight."""
    athlete = an_athlete(seed, gain=0.0)
    for one in year(plan, athlete)[-40:]:
        numbers = one.prescribed.state.numbers
        heaviest = max(target.load_kg for target in one.prescribed.targets)
        assert plan.weight_kg(numbers.exercise_id) + heaviest < athlete.limit_kg * 7 / 9
    kinds = {event.kind for one in year(plan, an_athlete(seed, gain=0.0)) for event in one.events}
    assert EventKind.STALL in kinds


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
