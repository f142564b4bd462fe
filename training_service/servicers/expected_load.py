"""The load that planned sessions are expected to have."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from calisthenics.training.v1 import prescription_pb2, schedule_pb2

from training_service.caller import Scope
from training_service.domain.load_outlook import ExpectedLoad, expected_load
from training_service.domain.program import PlannedExercise, workout_statistics
from training_service.servicers.convert import exercise_uuid
from training_service.servicers.planned_exercise import as_prescribed, planned_exercises
from training_service.storage.exercise import Catalogue
from training_service.storage.load import LoadRepository

OF_VOLUME = (
    prescription_pb2.PRESCRIPTION_REASON_KIND_PHASE_VOLUME,
    prescription_pb2.PRESCRIPTION_REASON_KIND_DELOAD,
)


@dataclass(frozen=True, slots=True)
class ExpectedSession:
    """A planned session, its exercises, and the load that it is expected to have."""

    session: schedule_pb2.PlannedSession
    exercises: Sequence[PlannedExercise]
    """In the order of the session's."""
    load: ExpectedLoad


class ExpectedLoadReader:
    """Reads what the loads of planned sessions can be expected by."""

    def __init__(self, loads: LoadRepository, catalogue: Catalogue) -> None:
        self._loads = loads
        self._catalogue = catalogue

    async def of(
        self, scope: Scope, sessions: Sequence[schedule_pb2.PlannedSession], now: datetime
    ) -> list[ExpectedSession]:
        """Returns planned sessions with their loads, by the sessions up to now."""
        usual = await self._loads.usual_loads_au(
            scope, {UUID(one.workout_id) for one in sessions}, now
        )
        named = {each.exercise.exercise_id for one in sessions for each in one.exercises}
        facts = await self._catalogue.facts(map(exercise_uuid, named))
        found = []
        for one in sessions:
            exercises = planned_exercises(map(as_prescribed, one.exercises), facts)
            prescribed_au = workout_statistics(exercises, None).metrics.load_au
            earlier_au = usual.get(UUID(one.workout_id))
            load = expected_load(earlier_au, _volume_factor(one), prescribed_au)
            found.append(ExpectedSession(one, exercises, load))
        return found


def _volume_factor(session: schedule_pb2.PlannedSession) -> float:
    """Returns what the phases of a day make of the usual volume."""
    return next((one.factor for one in session.reasons if one.kind in OF_VOLUME), 1.0)
