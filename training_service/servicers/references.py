"""What workouts and sessions refer to: the exercises of the catalogue."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from training_service.errors import FieldViolation, Reason, TrainingError
from training_service.storage.exercise import ExerciseFacts


def check_exercises_known(
    ids: Sequence[UUID], facts: Mapping[UUID, ExerciseFacts], path: str
) -> None:
    """Refuses ids without an exercise; `path` is the repeated field that holds them."""
    unknown = [i for i, id in enumerate(ids) if id not in facts]
    if unknown:
        raise TrainingError(
            Reason.UNKNOWN_EXERCISE,
            f"{path}[{unknown[0]}].exercise_id: there is no such exercise",
            violations=[
                FieldViolation(f"{path}[{i}].exercise_id", "there is no such exercise")
                for i in unknown
            ],
        )
