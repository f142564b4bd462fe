"""What the pipeline of one write rests on: psycopg's own hooks, on a real connection."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, errors
from psycopg.pq import TransactionStatus

from training_service.storage.pipeline import OneWritePipeline


def on_connection(url: str, act: Callable[[AsyncConnection[Any]], Awaitable[None]]) -> None:
    async def run() -> None:
        async with await AsyncConnection.connect(url, autocommit=True) as connection:
            await act(connection)
            assert connection.info.transaction_status is TransactionStatus.IDLE
            # It is as good as before.
            assert await one(connection, "SELECT 7") == 7

    asyncio.run(run())


async def one(connection: AsyncConnection[Any], sql: str) -> Any:
    cursor = await connection.execute(sql, prepare=True)
    return (await cursor.fetchall())[0][0]


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how many statements leave at a time."""
    seen: list[int] = []
    original = OneWritePipeline._send_gen

    def send(self: OneWritePipeline) -> Any:
        seen.append(len(self.command_queue))
        return original(self)

    monkeypatch.setattr(OneWritePipeline, "_send_gen", send)
    return seen


def test_all_leaves_at_once_when_the_pipeline_ends(database_url: str, writes: list[int]) -> None:
    async def act(connection: AsyncConnection[Any]) -> None:
        async with OneWritePipeline(connection) as pipeline:
            pipeline.queue(b"BEGIN")
            first = await connection.execute("SELECT 1", prepare=False)
            second = await connection.execute("SELECT 2", prepare=False)
            pipeline.queue(b"COMMIT")
            assert writes == []
        assert [await first.fetchone(), await second.fetchone()] == [(1,), (2,)]
        assert writes == [5]  # with the sync

    on_connection(database_url, act)


def test_a_result_in_between_sends_what_was_queued_before(
    database_url: str, writes: list[int]
) -> None:
    async def act(connection: AsyncConnection[Any]) -> None:
        async with OneWritePipeline(connection) as pipeline:
            pipeline.queue(b"BEGIN")
            pipeline.queue(b"SET LOCAL app.external_user_id = 'someone'")
            assert await one(connection, "SELECT current_setting('app.external_user_id')") == (
                "someone"
            )
            assert await one(connection, "SELECT 2") == 2
            pipeline.queue(b"COMMIT")
        assert len(writes) == 3

    on_connection(database_url, act)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_the_first_error_is_the_one_that_is_raised(database_url: str, position: int) -> None:
    async def act(connection: AsyncConnection[Any]) -> None:
        statements = ["SELECT 1", "SELECT 2", "SELECT 3"]
        statements[position] = "SELECT 1/0"
        with pytest.raises(errors.DivisionByZero):  # noqa: PT012
            async with OneWritePipeline(connection) as pipeline:
                pipeline.queue(b"BEGIN")
                for statement in statements:
                    await connection.execute(statement, prepare=True)
                pipeline.queue(b"COMMIT")
        await connection.rollback()

    on_connection(database_url, act)


def test_an_error_is_raised_where_a_result_is_waited_for(database_url: str) -> None:
    async def act(connection: AsyncConnection[Any]) -> None:
        async with OneWritePipeline(connection) as pipeline:
            pipeline.queue(b"BEGIN")
            await connection.execute("SELECT 1/0", prepare=True)
            with pytest.raises(errors.DivisionByZero):
                await one(connection, "SELECT 1")
            pipeline.queue(b"ROLLBACK")

    async def tolerant(connection: AsyncConnection[Any]) -> None:
        # What follows an error is aborted up to the sync, and says so.
        with pytest.raises(errors.PipelineAborted):
            await act(connection)
        await connection.rollback()

    on_connection(database_url, tolerant)


def test_an_error_of_a_queued_command_is_raised(database_url: str) -> None:
    async def act(connection: AsyncConnection[Any]) -> None:
        with pytest.raises(errors.SyntaxError):
            async with OneWritePipeline(connection) as pipeline:
                pipeline.queue(b"BEGINN")

    on_connection(database_url, act)


def test_statements_are_prepared_once(database_url: str) -> None:
    async def act(connection: AsyncConnection[Any]) -> None:
        for _ in range(3):
            async with OneWritePipeline(connection):
                await connection.execute("SELECT 41 + 1", prepare=True)
        query = "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 41 + 1'"
        assert await one(connection, query) == 1

    on_connection(database_url, act)


def test_a_waiting_statement_can_be_cancelled(database_url: str) -> None:
    async def act(connection: AsyncConnection[Any]) -> None:
        with pytest.raises(TimeoutError):  # noqa: PT012
            async with asyncio.timeout(0.2), OneWritePipeline(connection) as pipeline:
                pipeline.queue(b"BEGIN")
                await connection.execute("SELECT pg_sleep(60)", prepare=True)
        await connection.rollback()

    on_connection(database_url, act)


def test_the_hooks_are_still_psycopgs() -> None:
    for name in ("_enqueue_sync", "_communicate_gen", "_fetch_gen", "_exit_gen"):
        assert hasattr(psycopg.AsyncPipeline, name), name
        assert getattr(OneWritePipeline, name) is not getattr(psycopg.AsyncPipeline, name)
