"""What was done of exercises, with what the catalogue says that they work."""

from collections.abc import Sequence

from training_service.domain.distribution import ExerciseVolume
from training_service.storage.exercise import Catalogue
from training_service.storage.metrics import ExerciseTotal


async def exercise_volumes(
    catalogue: Catalogue, done: Sequence[ExerciseTotal]
) -> list[ExerciseVolume]:
    """Returns the volume of each exercise, in the order given."""
    known = await catalogue.facts(one.exercise_id for one in done)
    return [
        ExerciseVolume(
            category=(facts := known[one.exercise_id]).traits.category,
            primary_muscles=facts.primary_muscles,
            secondary_muscles=facts.secondary_muscles,
            set_count=one.set_count,
            effective_reps=one.effective_reps,
        )
        for one in done
    ]
