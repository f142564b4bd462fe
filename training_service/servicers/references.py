"""What workouts and sessions say of the exercises they refer to."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from calisthenics.training.v1 import set_pb2, workout_pb2

from training_service.domain.exercise import MovementKind
from training_service.domain.session import check_counted_in_reps, check_counted_in_seconds
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


def check_volume(
    kind: MovementKind, target: set_pb2.SetTarget | workout_pb2.WorkoutExercise, path: str
) -> None:
    """Refuses a prescription of repetitions for a hold and of seconds for a movement."""
    volume = target.WhichOneof("volume")
    if volume == "reps":
        check_counted_in_reps(kind, f"{path}.reps")
    elif volume == "hold":
        check_counted_in_seconds(kind, f"{path}.hold")
