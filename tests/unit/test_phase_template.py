"""Generated phases: what each model makes, and what all keep to."""

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.phase import Neighbours, Phase, PhaseKind, check_alone
from training_service.domain.phase_template import Model, Template, generate, mesocycles

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MONDAY = date(2026, 3, 2)

TEMPLATES = st.builds(
    Template,
    model=st.sampled_from(Model),
    start_date=st.dates(date(1970, 1, 1), date(2150, 1, 1)),
    week_count=st.integers(1, 104),
    mesocycle_week_count=st.integers(1, 12),
    deload_every_weeks=st.none() | st.just(0) | st.integers(2, 12),
    with_microcycles=st.booleans(),
    focus=st.just("GENERAL"),
)


def made(**fields: Any) -> list[Phase]:
    usual: dict[str, Any] = {"start_date": MONDAY, "week_count": 8, "focus": "SKILL"}
    return phases_of(Template(**{**usual, **fields}))


def phases_of(template: Template) -> list[Phase]:
    numbers = itertools.count(1)
    return generate(template, lambda: UUID(int=next(numbers)), NOW)


def of_kind(phases: Sequence[Phase], kind: PhaseKind) -> list[Phase]:
    return [phase for phase in phases if phase.kind is kind]


def volumes(phases: Sequence[Phase]) -> list[tuple[float, ...]]:
    return [phase.volume_factors for phase in of_kind(phases, PhaseKind.MESOCYCLE)]


def intensities(phases: Sequence[Phase]) -> list[tuple[float, ...]]:
    return [phase.intensity_factors for phase in of_kind(phases, PhaseKind.MESOCYCLE)]


@given(TEMPLATES)
def test_generated_phases_keep_the_rules_of_all_phases(template: Template) -> None:
    phases = phases_of(template)
    stored: list[Phase] = []
    for phase in phases:
        check_alone(phase, "")
        Neighbours(stored).check(phase)
        stored.append(phase)


@given(TEMPLATES)
def test_generated_phases_cover_their_weeks_wholly(template: Template) -> None:
    phases = phases_of(template)
    macrocycle = phases[0]
    assert (macrocycle.start_date, macrocycle.end_date) == (template.start_date, template.end_date)
    assert macrocycle.week_count == template.week_count
    near = Neighbours(phases)
    for parent in phases:
        children = near.children(parent.id)
        if children:
            assert children[0].start_date == parent.start_date
            assert children[-1].end_date == parent.end_date
        assert all(
            one.end_date == following.start_date for one, following in itertools.pairwise(children)
        )
    weeks = of_kind(phases, PhaseKind.MICROCYCLE)
    assert len(weeks) == (template.week_count if template.with_microcycles else 0)
    assert all(week.end_date - week.start_date == timedelta(days=7) for week in weeks)


@given(TEMPLATES)
def test_each_week_has_its_factors_and_deloads_are_where_they_were_asked_for(
    template: Template,
) -> None:
    deloads: list[int] = []
    every = template.deload_every_weeks
    for phase in of_kind(phases_of(template), PhaseKind.MESOCYCLE):
        before = (phase.start_date - template.start_date).days // 7
        assert len(phase.volume_factors) == len(phase.intensity_factors) == phase.week_count
        assert all(0.5 <= factor <= 1.2 for factor in phase.volume_factors)
        assert all(0.9 <= factor <= 1.1 for factor in phase.intensity_factors)
        deloads += [before + week for week in phase.deload_weeks]
        if every is None:
            last = (phase.week_count,) if phase.week_count > 1 else ()
            assert phase.deload_weeks == last
    if every is not None:
        weeks = range(1, template.week_count + 1)
        assert deloads == [week for week in weeks if every and week % every == 0]


@given(st.integers(1, 104), st.integers(1, 12))
def test_weeks_are_spread_evenly_over_as_few_mesocycles_as_they_need(
    week_count: int, most: int
) -> None:
    sizes = [len(one.weeks) for one in mesocycles(week_count, most)]
    assert sum(sizes) == week_count
    assert len(sizes) == -(-week_count // most)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] <= 1
    assert sizes[0] <= most


def test_step_is_three_weeks_up_and_one_down() -> None:
    """3:1 by Bompa & Haff 2009: 1.00, 1.05, 1.10, then 0.60."""
    phases = made(model=Model.STEP)
    assert volumes(phases) == [(1.0, 1.05, 1.1, 0.6)] * 2
    assert intensities(phases) == [(1.0, 1.0, 1.0, 0.9)] * 2
    assert [p.deload_weeks for p in of_kind(phases, PhaseKind.MESOCYCLE)] == [(4,), (4,)]


def test_steps_begin_anew_behind_each_deload() -> None:
    phases = made(model=Model.STEP, week_count=6, mesocycle_week_count=6, deload_every_weeks=3)
    assert volumes(phases) == [(1.0, 1.05, 0.6, 1.0, 1.05, 0.6)]
    phases = made(model=Model.STEP, week_count=5, mesocycle_week_count=5, deload_every_weeks=0)
    assert volumes(phases) == [(1.0, 1.05, 1.1, 1.1, 1.1)]


def test_linear_falls_in_volume_and_rises_in_intensity() -> None:
    phases = made(model=Model.LINEAR, week_count=5, mesocycle_week_count=5, deload_every_weeks=0)
    assert volumes(phases)[0] == pytest.approx((1.2, 1.1, 1.0, 0.9, 0.8))
    assert intensities(phases)[0] == pytest.approx((0.9, 0.95, 1.0, 1.05, 1.1))
    assert (volumes(phases)[0][0], volumes(phases)[0][-1]) == (1.2, 0.8)
    [single] = volumes(made(model=Model.LINEAR, week_count=1))
    assert single == pytest.approx((1.0,))


def test_linear_goes_on_through_mesocycles_around_their_deloads() -> None:
    first, second = volumes(made(model=Model.LINEAR, week_count=4, mesocycle_week_count=2))
    assert first == pytest.approx((1.2, 0.5))
    assert second == pytest.approx((1.2 - 0.4 * 2 / 3, 0.5))


def test_undulating_varies_within_the_week() -> None:
    phases = made(model=Model.UNDULATING)
    assert volumes(phases) == [(1.0, 1.0, 1.0, 0.5)] * 2
    for phase in of_kind(phases, PhaseKind.MESOCYCLE):
        assert phase.day_emphases == ("STRENGTH", "HYPERTROPHY", "VOLUME")


def test_blocks_take_turns() -> None:
    """Accumulation, transmutation, realization: Issurin 2008."""
    phases = made(model=Model.BLOCK, week_count=12, mesocycle_week_count=3)
    blocks = of_kind(phases, PhaseKind.MESOCYCLE)
    turns = ["ACCUMULATION", "TRANSMUTATION", "REALIZATION", "ACCUMULATION"]
    assert [phase.focus for phase in blocks] == turns
    assert [phase.display_name for phase in blocks] == [name.capitalize() for name in turns]
    assert [v[0] for v in volumes(phases)] == [1.2, 1.0, 0.6, 1.2]
    assert [i[0] for i in intensities(phases)] == [0.9, 1.0, 1.1, 0.9]


def test_names_and_what_phases_are_for() -> None:
    phases = made(model=Model.STEP, week_count=4, with_microcycles=True)
    assert [(p.display_name, p.focus) for p in phases] == [
        ("Step macrocycle", "SKILL"),
        ("Mesocycle 1", "SKILL"),
        ("Week 1", "SKILL"),
        ("Week 2", "SKILL"),
        ("Week 3", "SKILL"),
        ("Week 4", "RECOVERY"),
    ]
    assert made(model=Model.STEP, display_name="Road to planche")[0].display_name == (
        "Road to planche"
    )
