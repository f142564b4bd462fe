"""Phases: ranges of days, what fits among others, and moves."""

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.phase import (
    FIRST_DATE,
    LAST_END_DATE,
    MAX_DAYS,
    MAX_MOVED,
    MAX_NAMED,
    DateRange,
    DayPlan,
    Neighbours,
    Phase,
    PhaseKind,
    check_alone,
    copies,
    day_plans,
    in_order_of_writing,
    lost_days,
    overlap,
    week_of,
)
from training_service.errors import TrainingError

MONDAY = date(2026, 3, 2)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = st.integers(0, 60).map(lambda n: MONDAY + timedelta(days=n))


def a_phase(first: int = 0, days: int = 28, parent: Phase | None = None, **fields: Any) -> Phase:
    """Returns a phase that begins so many days after a Monday."""
    kinds = list(PhaseKind)
    kind = kinds[kinds.index(parent.kind) + 1] if parent else PhaseKind.MACROCYCLE
    usual: dict[str, Any] = {
        "id": uuid.uuid4(),
        "parent_id": parent.id if parent else None,
        "kind": kind,
        "start_date": MONDAY + timedelta(days=first),
        "end_date": MONDAY + timedelta(days=first + days),
        "display_name": "x",
        "focus": "GENERAL",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Phase(**{**usual, **fields})


def reason_and_path(error: TrainingError) -> tuple[str, str]:
    return str(error.reason), error.violations[0].field


def offset(phase: Phase) -> int:
    return (phase.start_date - MONDAY).days


@st.composite
def ranges(draw: st.DrawFn) -> DateRange:
    start = draw(DAYS)
    return DateRange(start, start + timedelta(days=draw(st.integers(1, 40))))


def days_of(dates: DateRange) -> set[date]:
    return {dates.start_date + timedelta(days=n) for n in range((dates[1] - dates[0]).days)}


@given(ranges(), ranges())
def test_ranges_are_sets_of_days(one: DateRange, other: DateRange) -> None:
    assert one.overlaps(other) == bool(days_of(one) & days_of(other))
    assert one.holds(other) == (days_of(other) <= days_of(one))
    rest = one.without(other)
    assert set().union(*map(days_of, rest)) == days_of(one) - days_of(other)
    assert all(part.start_date < part.end_date for part in rest)


@pytest.mark.parametrize(("day", "week"), [(0, 1), (6, 1), (7, 2), (13, 2), (14, 3), (27, 4)])
def test_a_week_is_seven_days_from_the_first_day_on(day: int, week: int) -> None:
    """week = floor((date - start) / 7) + 1."""
    assert week_of(MONDAY + timedelta(days=day), MONDAY) == week


@pytest.mark.parametrize(("days", "weeks"), [(1, 1), (7, 1), (8, 2), (28, 4), (29, 5), (731, 105)])
def test_the_last_week_may_be_shorter(days: int, weeks: int) -> None:
    assert a_phase(days=days).week_count == weeks


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"end_date": MONDAY}, "end_date"),
        ({"end_date": MONDAY - timedelta(days=1)}, "end_date"),
        ({"end_date": MONDAY + timedelta(days=MAX_DAYS + 1)}, "end_date"),
        ({"start_date": FIRST_DATE - timedelta(days=1), "end_date": FIRST_DATE}, "start_date"),
        (
            {"start_date": LAST_END_DATE, "end_date": LAST_END_DATE + timedelta(days=1)},
            "end_date",
        ),
        ({"volume_factors": (1.0,) * 5}, "volume_factors"),
        ({"intensity_factors": (1.0,) * 5}, "intensity_factors"),
        ({"deload_weeks": (1, 5)}, "deload_weeks"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(fields: dict[str, Any], path: str) -> None:
    with pytest.raises(TrainingError) as refused:
        check_alone(a_phase(**fields), "phase.")
    assert reason_and_path(refused.value) == ("INVALID_FIELD", f"phase.{path}")


@pytest.mark.parametrize(
    "fields",
    [
        {"end_date": MONDAY + timedelta(days=1)},
        {"end_date": MONDAY + timedelta(days=MAX_DAYS)},
        {"start_date": FIRST_DATE, "end_date": FIRST_DATE + timedelta(days=1)},
        {"start_date": LAST_END_DATE - timedelta(days=1), "end_date": LAST_END_DATE},
        {"volume_factors": (0.0, 3.0, 1.0, 1.0), "deload_weeks": (4,)},
    ],
)
def test_the_limits_themselves_are_allowed(fields: dict[str, Any]) -> None:
    check_alone(a_phase(**fields), "phase.")


def test_phases_that_touch_do_not_overlap() -> None:
    first, second = a_phase(0, 28), a_phase(28, 28)
    Neighbours([first]).check(second)
    with pytest.raises(TrainingError) as refused:
        Neighbours([first]).check(a_phase(27, 28))
    assert reason_and_path(refused.value) == ("PHASE_OVERLAP", "phase.start_date")
    assert refused.value.metadata == {
        "phase_ids": str(first.id),
        "date_ranges": "2026-03-02/2026-03-30",
    }


def test_a_phase_is_not_in_its_own_way() -> None:
    phase = a_phase()
    Neighbours([phase]).check(replace(phase, end_date=phase.end_date + timedelta(days=7)))


def test_only_siblings_are_in_the_way() -> None:
    macrocycle = a_phase(0, 56)
    mesocycle = a_phase(0, 28, macrocycle)
    near = Neighbours([macrocycle, mesocycle])
    near.check(a_phase(0, 7, mesocycle))
    with pytest.raises(TrainingError) as refused:
        near.check(a_phase(21, 28, macrocycle))
    assert refused.value.metadata["phase_ids"] == str(mesocycle.id)


def test_a_refusal_names_no_more_phases_than_fit() -> None:
    error = overlap([a_phase() for _ in range(MAX_NAMED + 5)], "start_date")
    assert len(error.metadata["phase_ids"].split(",")) == MAX_NAMED
    assert len(error.metadata["date_ranges"].split(",")) == MAX_NAMED


def test_an_overlap_that_only_the_database_saw_names_nothing() -> None:
    assert (overlap().violations, overlap().metadata) == ((), {})


@pytest.mark.parametrize(
    ("first", "days", "path"),
    [(-1, 7, "phase.start_date"), (50, 7, "phase.end_date"), (56, 7, "phase.end_date")],
)
def test_a_phase_stays_within_its_parent(first: int, days: int, path: str) -> None:
    parent = a_phase(0, 56)
    child = a_phase(first, days, parent)
    with pytest.raises(TrainingError) as refused:
        Neighbours([parent]).check(child)
    assert reason_and_path(refused.value) == ("PHASE_OUTSIDE_PARENT", path)
    assert refused.value.metadata == {"phase_id": str(child.id), "parent_id": str(parent.id)}


@pytest.mark.parametrize(("first", "days"), [(1, 55), (0, 55)])
def test_a_parent_does_not_shrink_below_a_child(first: int, days: int) -> None:
    parent = a_phase(0, 56)
    near = Neighbours([parent, a_phase(0, 28, parent), a_phase(28, 28, parent)])
    shrunk = replace(parent, **dates_of(a_phase(first, days)))
    with pytest.raises(TrainingError) as refused:
        near.check(shrunk)
    path = "phase.start_date" if first else "phase.end_date"
    assert reason_and_path(refused.value) == ("PHASE_OUTSIDE_PARENT", path)


def dates_of(phase: Phase) -> dict[str, Any]:
    return {"start_date": phase.start_date, "end_date": phase.end_date}


@pytest.mark.parametrize("kind", list(PhaseKind))
@pytest.mark.parametrize("parent_kind", list(PhaseKind))
def test_a_phase_is_within_larger_ones_alone(kind: PhaseKind, parent_kind: PhaseKind) -> None:
    parent = a_phase(kind=parent_kind)
    child = a_phase(kind=kind, parent_id=parent.id)
    order = ["MACROCYCLE", "MESOCYCLE", "MICROCYCLE"]
    if order.index(kind) > order.index(parent_kind):
        Neighbours([parent]).check(child)
        return
    with pytest.raises(TrainingError) as refused:
        Neighbours([parent]).check(child)
    assert reason_and_path(refused.value) == ("PHASE_KIND_ORDER", "phase.kind")


def test_a_phase_stays_larger_than_its_children() -> None:
    parent = a_phase()
    near = Neighbours([parent, a_phase(parent=parent)])
    with pytest.raises(TrainingError) as refused:
        near.check(replace(parent, kind=PhaseKind.MICROCYCLE))
    assert reason_and_path(refused.value) == ("PHASE_KIND_ORDER", "phase.kind")


def test_a_phase_is_not_within_itself() -> None:
    macrocycle = a_phase()
    mesocycle = a_phase(parent=macrocycle)
    microcycle = a_phase(parent=mesocycle)
    near = Neighbours([macrocycle, mesocycle, microcycle])
    for parent in (macrocycle, mesocycle, microcycle):
        with pytest.raises(TrainingError) as refused:
            near.check(replace(macrocycle, parent_id=parent.id))
        assert reason_and_path(refused.value) == ("PHASE_CYCLE", "phase.parent_id")


def test_a_parent_that_is_not_there_is_refused() -> None:
    with pytest.raises(TrainingError) as refused:
        Neighbours([]).check(a_phase(parent=a_phase()))
    assert reason_and_path(refused.value) == ("UNKNOWN_PHASE", "phase.parent_id")


# Moves

MACROCYCLE = a_phase(0, 84)
FIRST, SECOND, THIRD = (a_phase(n, 14, MACROCYCLE) for n in (7, 21, 49))
WEEK = a_phase(21, 7, SECOND)
NEAR = Neighbours([MACROCYCLE, FIRST, SECOND, THIRD, WEEK])


def moved(phase: Phase, to: int, *, shift_later: bool = False) -> dict[UUID, int]:
    changed = NEAR.moved(phase, MONDAY + timedelta(days=to), shift_later=shift_later)
    assert len({one.id for one in changed}) == len(changed)
    return {one.id: offset(one) for one in changed}


def test_what_is_within_a_phase_moves_with_it() -> None:
    assert moved(SECOND, 28) == {SECOND.id: 28, WEEK.id: 28}
    assert moved(MACROCYCLE, 7) == {
        MACROCYCLE.id: 7,
        FIRST.id: 14,
        SECOND.id: 28,
        THIRD.id: 56,
        WEEK.id: 28,
    }


def test_later_ones_move_only_when_asked() -> None:
    assert moved(FIRST, 0) == {FIRST.id: 0}
    expected = {FIRST.id: 9, SECOND.id: 23, THIRD.id: 51, WEEK.id: 23}
    assert moved(FIRST, 9, shift_later=True) == expected
    assert moved(SECOND, 23, shift_later=True) == {k: v for k, v in expected.items() if v > 9}


def test_a_phase_may_pass_over_others_into_free_days() -> None:
    assert moved(FIRST, 63) == {FIRST.id: 63}


@pytest.mark.parametrize(
    ("phase", "to", "shift_later", "in_the_way"),
    [
        (FIRST, 8, False, SECOND),
        (FIRST, 34, False, SECOND),
        (SECOND, 20, False, FIRST),
        (SECOND, 20, True, FIRST),
        (THIRD, 34, False, SECOND),
    ],
)
def test_a_move_onto_others_is_refused(
    phase: Phase, to: int, shift_later: bool, in_the_way: Phase
) -> None:
    with pytest.raises(TrainingError) as refused:
        moved(phase, to, shift_later=shift_later)
    assert reason_and_path(refused.value) == ("PHASE_OVERLAP", "start_date")
    assert refused.value.metadata["phase_ids"] == str(in_the_way.id)


@pytest.mark.parametrize(
    ("phase", "to", "shift_later"), [(FIRST, -1, False), (THIRD, 71, False), (FIRST, 29, True)]
)
def test_a_move_beyond_the_parent_is_refused(phase: Phase, to: int, shift_later: bool) -> None:
    with pytest.raises(TrainingError) as refused:
        moved(phase, to, shift_later=shift_later)
    assert reason_and_path(refused.value) == ("PHASE_OUTSIDE_PARENT", "start_date")


@pytest.mark.parametrize("start_date", [date.min, FIRST_DATE - timedelta(days=1), LAST_END_DATE])
def test_a_move_off_the_calendar_is_refused(start_date: date) -> None:
    with pytest.raises(TrainingError) as refused:
        NEAR.moved(MACROCYCLE, start_date, shift_later=False)
    assert reason_and_path(refused.value) == ("INVALID_FIELD", "start_date")


def test_a_later_phase_can_not_be_shifted_off_the_calendar() -> None:
    first, last = a_phase(), a_phase(start_date=LAST_END_DATE - timedelta(days=1))
    last = replace(last, end_date=LAST_END_DATE)
    with pytest.raises(TrainingError) as refused:
        Neighbours([first, last]).moved(first, MONDAY + timedelta(days=1), shift_later=True)
    assert reason_and_path(refused.value) == ("INVALID_FIELD", "start_date")
    far = replace(last, start_date=date.max - timedelta(days=1), end_date=date.max)
    with pytest.raises(TrainingError):
        Neighbours([first, far]).moved(first, MONDAY + timedelta(days=9), shift_later=True)


def test_no_more_phases_are_moved_than_a_call_may() -> None:
    phases = [a_phase(n, 1) for n in range(MAX_MOVED + 1)]
    to = MONDAY - timedelta(days=1)
    assert len(Neighbours(phases[1:]).moved(phases[1], to, shift_later=True)) == MAX_MOVED
    with pytest.raises(TrainingError) as refused:
        Neighbours(phases).moved(phases[0], to, shift_later=True)
    assert reason_and_path(refused.value) == ("INVALID_FIELD", "start_date")


@st.composite
def siblings(draw: st.DrawFn) -> list[Phase]:
    """Phases that touch or leave gaps, each with two within it."""
    found: list[Phase] = []
    at = 400
    for _ in range(draw(st.integers(1, 5))):
        at += draw(st.integers(0, 10))
        days = draw(st.integers(2, 20))
        parent = a_phase(at, days)
        found += [parent, a_phase(at, 1, parent), a_phase(at + 1, days - 1, parent)]
        at += days
    return found


def assert_no_overlap(phases: Iterable[Phase]) -> None:
    seen = list(phases)
    for n, one in enumerate(seen):
        for other in seen[:n]:
            if one.parent_id == other.parent_id:
                assert not one.dates.overlaps(other.dates)


@given(siblings(), st.integers(0, 4), st.integers(-60, 60), st.booleans())
def test_a_move_never_overlaps_at_any_moment(
    phases: list[Phase], index: int, by: int, shift_later: bool
) -> None:
    """The database looks at each row as it is written."""
    near = Neighbours(phases)
    tops = near.children(None)
    phase = tops[index % len(tops)]
    target = phase.start_date + timedelta(days=by)
    try:
        changed = near.moved(phase, target, shift_later=shift_later)
    except TrainingError:
        return  # others are in the way
    rows = {one.id: one for one in phases}
    for one in in_order_of_writing(near, changed):
        rows[one.id] = one
        assert_no_overlap(rows.values())
    assert rows[phase.id].start_date == target
    for one in phases:
        assert rows[one.id].dates in (
            one.dates,
            DateRange(*(d + timedelta(days=by) for d in one.dates)),
        )


def test_nothing_to_write_is_no_fault() -> None:
    assert in_order_of_writing(NEAR, []) == []


def test_days_are_lost_by_phases_that_move_and_shrink() -> None:
    changed = NEAR.moved(SECOND, MONDAY + timedelta(days=24), shift_later=False)
    lost = {(id, dates) for id, dates in lost_days(NEAR, changed)}
    days = DateRange(MONDAY + timedelta(days=21), MONDAY + timedelta(days=24))
    assert lost == {(SECOND.id, days), (WEEK.id, days)}
    assert lost_days(NEAR, [FIRST, a_phase()]) == []


# Days


def plan_of(day: int, *phases: Phase) -> DayPlan:
    at = MONDAY + timedelta(days=day)
    [plan] = day_plans(phases, DateRange(at, at + timedelta(days=1)))
    return plan


def test_a_day_takes_its_factor_from_the_innermost_phase_that_has_one() -> None:
    macrocycle = a_phase(0, 56, volume_factors=(0.9,) * 8, intensity_factors=(1.1, 1.2))
    mesocycle = a_phase(7, 28, macrocycle, volume_factors=(1.0, 1.05))
    microcycle = a_phase(14, 7, mesocycle)
    week = [plan_of(day, macrocycle, mesocycle, microcycle) for day in (0, 7, 14, 21, 56)]
    assert [plan.volume_factor for plan in week] == [0.9, 1.0, 1.05, 0.9, None]
    assert [plan.intensity_factor for plan in week] == [1.1, 1.2, None, None, None]
    assert [len(plan.phases) for plan in week] == [1, 2, 3, 2, 0]


def test_a_factor_of_zero_is_one_that_is_known() -> None:
    parent = a_phase(volume_factors=(1.0,))
    assert plan_of(0, parent, a_phase(parent=parent, volume_factors=(0.0,))).volume_factor == 0


def test_a_deload_of_any_phase_is_one() -> None:
    parent = a_phase(0, 28, deload_weeks=(2, 4))
    child = a_phase(0, 28, parent, deload_weeks=(3,))
    assert [plan_of(day, child, parent).is_deload for day in (0, 6, 7, 14, 21, 27, 28)] == [
        False,
        False,
        True,
        True,
        True,
        True,
        False,
    ]


@given(siblings(), ranges())
def test_each_day_has_the_phases_that_it_is_in(phases: list[Phase], dates: DateRange) -> None:
    dates = DateRange(*(day + timedelta(days=390) for day in dates))
    plans = day_plans(reversed(phases), dates)
    assert [plan.local_date for plan in plans] == sorted(days_of(dates))
    for plan in plans:
        expected = [p for p in phases if p.start_date <= plan.local_date < p.end_date]
        assert list(plan.phases) == expected
        assert all(
            inner.parent_id == outer.id
            for outer, inner in zip(plan.phases, plan.phases[1:], strict=False)
        )


def test_copies_are_within_one_another_as_the_originals_are() -> None:
    outer = a_phase(parent=a_phase(), version=3)
    inner, other = a_phase(0, 7, outer, version=2), a_phase(7, 7, outer)
    ids = iter(uuid.uuid4() for _ in range(3))
    later = NOW + timedelta(days=1)
    made = copies([outer, inner, other], lambda: next(ids), later)
    assert [one.parent_id for one in made] == [None, made[0].id, made[0].id]
    assert not {one.id for one in made} & {outer.id, inner.id, other.id}
    for copy, source in zip(made, (outer, inner, other), strict=True):
        assert (copy.version, copy.created_at, copy.updated_at) == (1, later, later)
        ours = {name: getattr(source, name) for name in ("id", "parent_id", "version")}
        assert replace(copy, **ours, created_at=NOW, updated_at=NOW) == source
