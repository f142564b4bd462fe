"""What belongs to a programme, stored together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import errors

from training_service.caller import Scope
from training_service.domain.phase import overlap
from training_service.storage.database import Database, Transaction
from training_service.storage.idempotency import AthleteChange
from training_service.storage.phase import PhaseChange
from training_service.storage.progression import ProgressionChange
from training_service.storage.schedule import ScheduleChange
from training_service.storage.workout import WorkoutChange


class ProgramRepository:
    """Writes the programmes of one athlete at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def change(self, scope: Scope) -> AsyncIterator["ProgramChange"]:
        """Opens a change of all that belongs to a programme.

        Raises PHASE_OVERLAP when the database finds what the rules did not.
        """
        try:
            async with self._database.transaction(scope) as transaction:
                yield ProgramChange(transaction, scope)
        except errors.ExclusionViolation:
            raise overlap() from None


class ProgramChange(AthleteChange):
    """One transaction that changes workouts, phases, schedules and rules of an athlete."""

    def __init__(self, transaction: Transaction, scope: Scope) -> None:
        super().__init__(transaction)
        self.workouts = WorkoutChange(transaction, scope)
        self.phases = PhaseChange(transaction, scope)
        self.schedules = ScheduleChange(transaction)
        self.rules = ProgressionChange(transaction)
