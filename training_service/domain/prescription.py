"""What a planned session asks for: the workout, with what the phase does to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, floor

DELOAD_SETS = 0.5
DELOAD_LOAD = 0.9
"""Of a deload week: mainly less volume (Bell 2022; the numbers are our choice)."""
LOAD_STEP_KG = 0.5
"""Loads are rounded down to it (our choice)."""


class ReasonKind(StrEnum):
    """Why a prescription is not what the workout says."""

    PHASE_VOLUME = "PHASE_VOLUME"
    PHASE_INTENSITY = "PHASE_INTENSITY"
    DELOAD = "DELOAD"


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that changes sets or loads, by a factor."""

    kind: ReasonKind
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFactors:
    """What phases do to the workouts of a day; 1 is as usual."""

    volume: float | None = None
    intensity: float | None = None
    is_deload: bool = False

    @property
    def reasons(self) -> Sequence[Reason]:
        """What is different from usual. A deload week is one, whatever its factors are."""
        if self.is_deload:
            return [Reason(ReasonKind.DELOAD, DELOAD_SETS)]
        given = {
            ReasonKind.PHASE_VOLUME: self.volume,
            ReasonKind.PHASE_INTENSITY: self.intensity,
        }
        return [Reason(kind, one) for kind, one in given.items() if one is not None and one != 1]


def prescribed_sets(set_count: int, factors: DayFactors) -> int:
    """Returns the sets of an exercise: as many as the volume asks for, to the nearest, and one at
    least; of a deload week half, rounded up."""
    if factors.is_deload:
        return ceil(set_count * DELOAD_SETS)
    if factors.volume is None:
        return set_count
    return max(floor(set_count * factors.volume + 0.5), 1)


def prescribed_load_kg(load_kg: float, factors: DayFactors) -> float:
    """Returns the added load: times the intensity, rounded down to half a kilogram; of a deload
    week nine tenths. Assistance stays what it is."""
    factor = DELOAD_LOAD if factors.is_deload else factors.intensity
    if load_kg <= 0 or factor is None or factor == 1:
        return load_kg
    return floor(load_kg * factor / LOAD_STEP_KG) * LOAD_STEP_KG
