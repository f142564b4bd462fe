"""What a repository needs that reads, and need not know where from: Database, or Analytics."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from uuid import UUID

from training_service.caller import Scope
from training_service.storage.database import ManyTransaction, Parameters, Transaction
from training_service.storage.statements import Row, Statement


class Reads(Protocol):
    """The methods of Database for those who read; each is described there."""

    async def read(
        self, scope: Scope, statement: Statement[Row], parameters: Parameters
    ) -> list[Row]:
        """Runs one query for an athlete."""

    async def read_all(
        self, scope: Scope, statements: Sequence[Statement[Any]], parameters: Parameters
    ) -> list[list[Any]]:
        """Runs queries that see one moment."""

    async def read_each(
        self, scope: Scope, queries: Sequence[tuple[Statement[Row], Parameters]]
    ) -> list[list[Row]]:
        """Runs queries that have parameters of their own."""

    async def visible(self) -> str:
        """Returns the snapshot of what is committed."""

    def snapshot(self, scope: Scope) -> AbstractAsyncContextManager[Transaction]:
        """Opens a read-only transaction of one athlete."""

    def snapshot_of_all(self) -> AbstractAsyncContextManager[Transaction]:
        """Opens a read-only transaction of all athletes' sessions."""

    def snapshot_of_many(self, user_id: UUID) -> AbstractAsyncContextManager[ManyTransaction]:
        """Opens a read-only transaction of what many athletes allow somebody to see."""

    def transaction(self, scope: Scope | None) -> AbstractAsyncContextManager[Transaction]:
        """Opens a transaction that may write."""
