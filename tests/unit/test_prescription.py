"""What phases do to a workout."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_service.domain.prescription import (
    DayFactors,
    Reason,
    ReasonKind,
    prescribed_load_kg,
    prescribed_sets,
)

USUAL, DELOAD = DayFactors(), DayFactors(is_deload=True)
STEP_DELOAD = DayFactors(volume=0.6, intensity=1, is_deload=True)


@pytest.mark.parametrize(
    ("sets", "factors", "expected"),
    [
        (4, USUAL, 4),
        (4, DayFactors(volume=1.2), 5),
        (3, DayFactors(volume=1.2), 4),
        (3, DayFactors(volume=1.1), 3),
        (5, DayFactors(volume=0.5), 3),
        (1, DayFactors(volume=0.1), 1),
        (4, DELOAD, 2),
        (3, DELOAD, 2),
        (1, DELOAD, 1),
        (4, STEP_DELOAD, 3),
        (5, STEP_DELOAD, 3),
    ],
)
def test_sets(sets: int, factors: DayFactors, expected: int) -> None:
    assert prescribed_sets(sets, factors) == expected


@pytest.mark.parametrize(
    ("load_kg", "factors", "expected"),
    [
        (10, USUAL, 10),
        (10.3, USUAL, 10.3),
        (10, DayFactors(intensity=1.1), 11),
        (10, DayFactors(intensity=0.96), 9.5),
        (20, DELOAD, 18),
        (20, STEP_DELOAD, 20),
        (-20, DELOAD, -20),
        (0, DayFactors(intensity=1.1), 0),
    ],
)
def test_loads(load_kg: float, factors: DayFactors, expected: float) -> None:
    assert prescribed_load_kg(load_kg, factors) == expected


def test_reasons() -> None:
    assert USUAL.reasons == []
    assert DayFactors(volume=1, intensity=1).reasons == []
    load = Reason(ReasonKind.PHASE_INTENSITY, 0.9)
    assert DELOAD.reasons == [Reason(ReasonKind.DELOAD, 0.5), load]
    assert STEP_DELOAD.reasons == [Reason(ReasonKind.DELOAD, 0.6)]
    assert DayFactors(volume=1.2, intensity=0.9).reasons == [
        Reason(ReasonKind.PHASE_VOLUME, 1.2),
        Reason(ReasonKind.PHASE_INTENSITY, 0.9),
    ]


@given(st.integers(1, 50), st.floats(0, 3), st.floats(0, 3))
def test_more_volume_is_no_fewer_sets(sets: int, one: float, other: float) -> None:
    low, high = sorted((one, other))
    fewer = prescribed_sets(sets, DayFactors(volume=low))
    assert 1 <= fewer <= prescribed_sets(sets, DayFactors(volume=high))
    assert 1 <= prescribed_sets(sets, DELOAD) <= sets


@given(st.floats(-100, 500), st.floats(0, 3))
def test_a_load_is_never_more_than_asked_for(load_kg: float, intensity: float) -> None:
    found = prescribed_load_kg(load_kg, DayFactors(intensity=intensity))
    assert found <= max(load_kg, load_kg * intensity)
    assert prescribed_load_kg(load_kg, DELOAD) <= load_kg
