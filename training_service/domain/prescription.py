"""What a planned session asks for: the workout, with what the phase does to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, floor

from training_service.domain.phase import DayPlan

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
    """The volume of a deload week."""
    PROGRESSION = "PROGRESSION"
    PROGRESSION_DELOAD = "PROGRESSION_DELOAD"


@dataclass(frozen=True, slots=True)
class Reason:
    """Something that changes sets or loads, by a factor."""

    kind: ReasonKind
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFactors:
    """What phases do to the workouts of a day; 1 is as usual.

    A deload week whose phase says nothing of it has half of the sets and nine tenths of the load.
    """

    volume: float | None = None
    intensity: float | None = None
    is_deload: bool = False

    @property
    def of_sets(self) -> float:
        """What sets are multiplied by."""
        if self.volume is None:
            return DELOAD_SETS if self.is_deload else 1.0
        return self.volume

    @property
    def of_load(self) -> float:
        """What added loads are multiplied by."""
        if self.intensity is None:
            return DELOAD_LOAD if self.is_deload else 1.0
        return self.intensity

    @property
    def reasons(self) -> Sequence[Reason]:
        """What is different from usual."""
        of_sets = ReasonKind.DELOAD if self.is_deload else ReasonKind.PHASE_VOLUME
        both = (of_sets, self.of_sets), (ReasonKind.PHASE_INTENSITY, self.of_load)
        return [Reason(kind, factor) for kind, factor in both if factor != 1]


def day_factors(plan: DayPlan) -> DayFactors:
    """Returns what the phases of a day do to its workouts."""
    return DayFactors(
        volume=plan.volume_factor, intensity=plan.intensity_factor, is_deload=plan.is_deload
    )


def prescribed_sets(set_count: int, factors: DayFactors) -> int:
    """Returns the sets of an exercise: as many as the volume asks for, to the nearest, in a deload
    week rounded up, and one at least."""
    wanted = set_count * factors.of_sets
    return max(ceil(wanted) if factors.is_deload else floor(wanted + 0.5), 1)


def prescribed_load_kg(load_kg: float, factors: DayFactors) -> float:
    """Returns the added load: times the intensity, rounded down to half a kilogram. Assistance
    stays what it is."""
    if load_kg <= 0 or factors.of_load == 1:
        return load_kg
    return floor(load_kg * factors.of_load / LOAD_STEP_KG) * LOAD_STEP_KG
