"""What a workout revision is."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRevision:
    """A revision of a workout about to be stored.

    `record` is the revision as it is returned, serialized; `exercises` holds, in order, each
    exercise with its number of sets.
    """

    workout_id: UUID
    revision: int
    display_name: str
    exercises: tuple[tuple[UUID, int], ...]
    created_at: datetime
    record: bytes


@dataclass(frozen=True, slots=True)
class WorkoutFilter:
    """Which workouts a listing asks for; None or empty is no limit."""

    show_deleted: bool = False
    exercise_id: UUID | None = None
    query: str = ""
