"""Recommendations and recovery as they are answered."""

from collections.abc import Sequence
from typing import Any

from calisthenics.training.v1 import exercise_pb2
from calisthenics.training.v1 import recommendation_pb2 as pb

from training_service.domain import recommendation as domain
from training_service.domain.recovery import MuscleRecovery
from training_service.servicers.convert import to_date
from training_service.servicers.enums import EnumNames
from training_service.servicers.recovery import MUSCLE

EQUIPMENT = EnumNames(exercise_pb2.Equipment)
TERM = EnumNames(pb.RecommendationTermKind)
REASON = EnumNames(pb.RecommendationReasonKind)
PATTERN = EnumNames(pb.MovementPattern)
EXCLUSION = EnumNames(pb.WorkoutExclusionKind)
EXERCISE_KIND = EnumNames(pb.ExerciseRecommendationKind)


def recovery_message(of: MuscleRecovery, hours_since: float | None) -> pb.MuscleRecovery:
    """Returns how far a muscle has recovered; `hours_since` is of the last session with it."""
    message = pb.MuscleRecovery(
        muscle=MUSCLE.number(of.muscle),
        recovery=of.recovery,
        hours_since=hours_since,
        session_ids=[str(strain.session_id) for strain in of.strains],
    )
    if of.strains:
        least = of.strains[0]
        message.hours_since = least.hours_since
        message.window_hours = least.window_hours
        message.hard_set_count = least.hard_set_count
        if least.highest_rpe is not None:
            message.highest_rpe = least.highest_rpe
    return message


def workout_message(
    of: domain.WorkoutRecommendation, cap: domain.Cap | None
) -> pb.WorkoutRecommendation:
    """Returns a workout that may be done, with what a cap does to it."""
    statistics = of.workout.statistics
    planned_load_au = of.workout.planned_load_au
    message = pb.WorkoutRecommendation(
        workout=_ref(of.workout),
        score=of.score,
        terms=_terms(of.terms),
        reasons=map(_reason, of.reasons),
        estimated_minutes=statistics.estimated_minutes,
        set_count=statistics.metrics.set_count,
        planned_load_au=planned_load_au,
        planned_intensity=statistics.metrics.intensity,
    )
    if scaling := domain.scaling(planned_load_au, cap):
        message.set_factor = scaling.set_factor
        message.exceeds_cap = scaling.exceeds_cap
    return message


def exclusion_message(of: domain.Exclusion) -> pb.ExcludedWorkout:
    """Returns a workout that was left out."""
    return pb.ExcludedWorkout(
        workout=_ref(of.workout),
        kind=EXCLUSION.number(of.kind),
        description=of.description,
        equipment=map(EQUIPMENT.number, of.equipment),
        exercise_ids=map(str, of.exercise_ids),
        hard_set_count=of.hard_set_count,
        workout_id=str(of.workout_id or ""),
    )


def exercise_message(of: domain.ExerciseRecommendation) -> pb.ExerciseRecommendation:
    """Returns an exercise, and what to do with it."""
    message = pb.ExerciseRecommendation(
        kind=EXERCISE_KIND.number(of.kind),
        exercise_id=str(of.exercise.id),
        slug=of.exercise.slug,
        display_name=of.exercise.name,
        difficulty=of.exercise.difficulty,
        score=of.score,
        terms=_terms(of.terms),
        reasons=map(_reason, of.reasons),
    )
    if of.difference:
        message.difference.CopyFrom(_difference(of.difference))
    return message


def _ref(of: domain.Workout) -> pb.WorkoutRef:
    return pb.WorkoutRef(
        workout_id=str(of.id),
        revision=of.revision,
        display_name=of.name,
        program_slug=of.program_slug,
    )


def _terms(terms: Sequence[domain.Term]) -> list[pb.RecommendationTerm]:
    return [
        pb.RecommendationTerm(kind=TERM.number(one.kind), value=one.value, weight=one.weight)
        for one in terms
    ]


def _reason(of: domain.Reason) -> pb.RecommendationReason:
    message = pb.RecommendationReason(
        kind=REASON.number(of.kind),
        description=of.description,
        value=of.value,
        threshold=of.threshold,
        muscles=map(MUSCLE.number, of.muscles),
        exercise_ids=map(str, of.exercise_ids),
        session_ids=map(str, of.session_ids),
        goal_ids=map(str, of.goal_ids),
        push_set_count=of.push_set_count,
        pull_set_count=of.pull_set_count,
        pattern=PATTERN.number(of.pattern or "UNSPECIFIED"),
    )
    if of.local_date:
        message.local_date.CopyFrom(to_date(of.local_date))
    return message


def _difference(of: domain.Difference) -> pb.ExerciseDifference:
    names: dict[str, Any] = of._asdict()
    for name, enum in (("equipment", EQUIPMENT), ("muscles", MUSCLE)):
        for change in ("added", "removed"):
            key = f"{change}_{name}"
            names[key] = [enum.number(one) for one in names[key]]
    return pb.ExerciseDifference(**names)
