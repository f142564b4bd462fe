"""Locks by which some writes of one athlete take turns: a row of the athlete, until the end."""

from sqlalchemy import Table, select
from sqlalchemy.dialects.postgresql import insert

from training_service.storage.database import Transaction
from training_service.storage.statements import own, parameter, prepare_command


class AthleteLock:
    """The row of each athlete in a table whose only column is the athlete."""

    def __init__(self, table: Table) -> None:
        athlete = table.c.external_user_id
        self._claim = prepare_command(
            insert(table)
            .values(external_user_id=parameter("external_user_id", athlete))
            .on_conflict_do_nothing()
        )
        self._lock = prepare_command(select(athlete).where(own(table)).with_for_update())

    async def take(self, transaction: Transaction) -> None:
        """Queues that the athlete's row, made if need be, is locked until the end of the
        transaction."""
        await transaction.execute(self._claim, {})
        await transaction.execute(self._lock, {})
