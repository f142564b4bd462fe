"""What a week of workouts asks for, before anybody trains.

An estimate from templates: of each prescribed range the middle. The arithmetic is that of logged
sessions, for a session done exactly so.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import fsum

from training_service.domain.distribution import (
    SECONDARY_WEIGHT,
    ExerciseVolume,
    push_share,
)
from training_service.domain.metrics import (
    SECONDS_PER_MINUTE,
    ExerciseTraits,
    LoggedSession,
    Performance,
    SessionMetrics,
    Side,
    Total,
    WorkingSet,
    session_metrics,
)
from training_service.domain.tempo import parse_tempo

USUAL_SECONDS_PER_REP = 3.0
USUAL_REST_SECONDS = 120.0
SETUP_SECONDS = 15.0
"""Of each set."""
OPEN_SET_SECONDS = 30.0
"""Of a set for which neither repetitions nor a time is prescribed. All four are our choice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedExercise:
    """An exercise of a template. None is not prescribed."""

    exercise: ExerciseTraits
    primary_muscles: Sequence[str]
    secondary_muscles: Sequence[str]
    set_count: int
    is_per_side: bool = False
    """Whether each set is done once for each side."""
    is_warm_up: bool = False
    reps: float | None = None
    hold_seconds: float | None = None
    load_kg: float = 0.0
    tempo: str = ""
    rpe: float | None = None
    rest_seconds: float | None = None
    superset_group: str = ""
    """Neighbours of the same group are alternated; empty is none."""

    @property
    def work_seconds(self) -> float:
        """How long a set takes, both sides of it."""
        sides = 2 if self.is_per_side else 1
        if self.hold_seconds is not None:
            return sides * self.hold_seconds
        if self.reps is None:
            return sides * OPEN_SET_SECONDS
        tempo = parse_tempo(self.tempo) if self.tempo else None
        return sides * self.reps * (tempo.seconds_per_rep if tempo else USUAL_SECONDS_PER_REP)

    @property
    def working_sets(self) -> list[WorkingSet]:
        """The sets as if they were done exactly so."""
        sides = (Side.LEFT, Side.RIGHT) if self.is_per_side else (Side.BOTH,)
        return [
            WorkingSet(
                reps=self.reps,
                hold_seconds=self.hold_seconds,
                side=side,
                external_load_kg=self.load_kg,
                rpe=self.rpe,
                tempo=self.tempo,
            )
            for _ in range(self.set_count)
            for side in sides
        ]


def estimated_seconds(exercises: Sequence[PlannedExercise]) -> float:
    """Returns how long a workout takes: sets, setting up, and rests between them."""
    blocks = [list(block) for _, block in groupby(enumerate(exercises), key=_block)]
    total = last_rest = 0.0
    for block in blocks:
        members = [exercise for _, exercise in block]
        rounds = max(one.set_count for one in members)
        last_rest = max(_rest_seconds(one) for one in members)
        total += fsum(one.set_count * (SETUP_SECONDS + one.work_seconds) for one in members)
        total += rounds * last_rest
    return total - last_rest


def _block(numbered: tuple[int, PlannedExercise]) -> str | int:
    """Returns what is alike for neighbours that are alternated."""
    number, exercise = numbered
    return exercise.superset_group or number


def _rest_seconds(exercise: PlannedExercise) -> float:
    return USUAL_REST_SECONDS if exercise.rest_seconds is None else exercise.rest_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkoutStatistics:
    """What a workout asks for."""

    estimated_minutes: float
    exercises: Sequence[PlannedExercise]
    """Without warm-ups."""
    metrics: SessionMetrics
    """Of a session done exactly so."""


def workout_statistics(
    exercises: Sequence[PlannedExercise], body_mass_kg: float | None
) -> WorkoutStatistics:
    """Returns what a workout asks for."""
    seconds = estimated_seconds(exercises)
    working = [one for one in exercises if not one.is_warm_up]
    session = LoggedSession(
        performances=[Performance(exercise=one.exercise, sets=one.working_sets) for one in working],
        duration_seconds=round(seconds),
        body_mass_kg=body_mass_kg,
    )
    return WorkoutStatistics(
        estimated_minutes=seconds / SECONDS_PER_MINUTE,
        exercises=working,
        metrics=session_metrics(session),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MuscleStatistics:
    """What a week asks of a muscle; of exercises in which it is secondary, half."""

    muscle: str
    set_count: float
    hard_set_count: float
    effective_reps: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramStatistics:
    """What a week asks for."""

    sessions: float
    minutes: float
    set_count: float
    load_au: float | None
    """None when that of any workout is unknown."""
    muscles: Sequence[MuscleStatistics]
    """The most sets first."""
    push_share: float | None
    """Of the effective repetitions that push or pull, 0 to 1; None without any."""


def program_statistics(week: Sequence[tuple[WorkoutStatistics, float]]) -> ProgramStatistics:
    """Returns what a week asks for: workouts, each with how often it is done."""
    loads = [(workout.metrics.load_au, times) for workout, times in week]
    known = [load * times for load, times in loads if load is not None]
    return ProgramStatistics(
        sessions=fsum(times for _, times in week),
        minutes=fsum(workout.estimated_minutes * times for workout, times in week),
        set_count=fsum(workout.metrics.set_count * times for workout, times in week),
        load_au=fsum(known) if len(known) == len(loads) else None,
        muscles=_muscles(week),
        push_share=push_share([*_volumes(week)]),
    )


def _muscles(week: Sequence[tuple[WorkoutStatistics, float]]) -> list[MuscleStatistics]:
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    for workout, times in week:
        for exercise, metrics in zip(workout.exercises, workout.metrics.exercises, strict=True):
            volume = metrics.volume
            done = (metrics.set_count, volume.hard_sets.amount, volume.effective_reps.amount)
            for muscle, weight in _weights(exercise):
                sums[muscle] = [
                    sum_ + times * weight * one
                    for sum_, one in zip(sums[muscle], done, strict=True)
                ]
    found = [
        MuscleStatistics(
            muscle=muscle, set_count=sets, hard_set_count=hard_sets, effective_reps=effective_reps
        )
        for muscle, (sets, hard_sets, effective_reps) in sums.items()
    ]
    return sorted(found, key=lambda one: (-one.set_count, one.muscle))


def _weights(exercise: PlannedExercise) -> Iterable[tuple[str, float]]:
    """Yields the muscles of an exercise and how much of it counts for each."""
    for muscle in exercise.primary_muscles:
        yield muscle, 1.0
    for muscle in exercise.secondary_muscles:
        yield muscle, SECONDARY_WEIGHT


def _volumes(week: Sequence[tuple[WorkoutStatistics, float]]) -> Iterable[ExerciseVolume]:
    for workout, times in week:
        for exercise, metrics in zip(workout.exercises, workout.metrics.exercises, strict=True):
            amount, known, of = metrics.volume.effective_reps
            yield ExerciseVolume(
                category=exercise.exercise.category,
                primary_muscles=exercise.primary_muscles,
                secondary_muscles=exercise.secondary_muscles,
                set_count=metrics.set_count,
                effective_reps=Total(amount * times, known, of),
            )
