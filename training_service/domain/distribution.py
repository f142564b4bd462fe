"""How training is spread over categories and muscles, and between pushing and pulling."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from training_service.domain.metrics import Total, combined

SECONDARY_WEIGHT = 0.5
"""What a secondary muscle gets of an exercise, compared with a primary one (our choice)."""
PUSHING = frozenset({"CHEST", "FRONT_DELTS", "TRICEPS", "SERRATUS"})
PULLING = frozenset({"LATS", "UPPER_BACK", "REAR_DELTS", "BICEPS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExerciseVolume:
    """What was done of an exercise, and what it works."""

    category: str
    primary_muscles: Sequence[str]
    secondary_muscles: Sequence[str]
    set_count: int
    effective_reps: Total


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryVolume:
    """What fell to a category."""

    category: str
    set_count: int
    effective_reps: Total
    share: float | None
    """Of all effective repetitions that are known, 0 to 1; None when there are none."""


def by_category(volumes: Sequence[ExerciseVolume]) -> list[CategoryVolume]:
    """Returns what fell to each category, the largest first."""
    grouped: dict[str, list[ExerciseVolume]] = defaultdict(list)
    for volume in volumes:
        grouped[volume.category].append(volume)
    whole = combined([volume.effective_reps for volume in volumes]).amount
    found = []
    for category, members in grouped.items():
        effective_reps = combined([member.effective_reps for member in members])
        share = effective_reps.amount / whole if whole else None
        sets = sum(member.set_count for member in members)
        found.append(
            CategoryVolume(
                category=category, set_count=sets, effective_reps=effective_reps, share=share
            )
        )
    return sorted(found, key=lambda one: (-one.effective_reps.amount, one.category))


@dataclass(frozen=True, slots=True, kw_only=True)
class MuscleVolume:
    """What fell to a muscle."""

    muscle: str
    primary_effective_reps: float
    secondary_effective_reps: float
    """Weighted already."""
    share: float
    """Of the sum over all muscles, 0 to 1."""

    @property
    def effective_reps(self) -> float:
        """Primary and secondary together."""
        return self.primary_effective_reps + self.secondary_effective_reps


def by_muscle(volumes: Sequence[ExerciseVolume]) -> list[MuscleVolume]:
    """Returns what fell to each muscle that got any, the largest first."""
    primary: dict[str, float] = defaultdict(float)
    secondary: dict[str, float] = defaultdict(float)
    for volume in volumes:
        for muscle in volume.primary_muscles:
            primary[muscle] += volume.effective_reps.amount
        for muscle in volume.secondary_muscles:
            secondary[muscle] += SECONDARY_WEIGHT * volume.effective_reps.amount
    whole = sum(primary.values()) + sum(secondary.values())
    found = [
        MuscleVolume(
            muscle=muscle,
            primary_effective_reps=primary[muscle],
            secondary_effective_reps=secondary[muscle],
            share=(primary[muscle] + secondary[muscle]) / whole,
        )
        for muscle in {*primary, *secondary}
        if primary[muscle] or secondary[muscle]
    ]
    return sorted(found, key=lambda one: (-one.effective_reps, one.muscle))


def push_share_of(primary_muscles: Sequence[str]) -> float | None:
    """Returns how much of an exercise is pushing, 0 to 1, by its primary muscles; None when it is
    neither pushing nor pulling."""
    push = sum(muscle in PUSHING for muscle in primary_muscles)
    pull = sum(muscle in PULLING for muscle in primary_muscles)
    return push / (push + pull) if push + pull else None


def push_share(volumes: Sequence[ExerciseVolume]) -> float | None:
    """Returns the share of pushing in the effective repetitions that push or pull, 0 to 1; None
    without any."""
    push = whole = 0.0
    for volume in volumes:
        share = push_share_of(volume.primary_muscles)
        if share is not None:
            push += share * volume.effective_reps.amount
            whole += volume.effective_reps.amount
    return push / whole if whole else None
