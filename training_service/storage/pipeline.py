"""A pipeline whose statements leave in one write.

psycopg's own pipeline writes to the socket for every statement, and the server begins with each as
it comes: for a transaction of four short statements that is four writes here, four wake-ups there,
and a quarter of the CPU time of a read. Here statements wait until a result is asked for or the
pipeline ends.

Rests on the hooks of psycopg's `BasePipeline` (3.3), which are not part of its documented
interface; `tests/storage/test_pipeline.py` says what must hold of them.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from psycopg import AsyncConnection, AsyncPipeline, Error
from psycopg.abc import PQGen


class OneWritePipeline(AsyncPipeline):
    """See the module."""

    _may_write = False

    def queue(self, command: bytes) -> None:
        """Queues a statement without parameters whose result is of no interest, such as BEGIN."""
        self.command_queue.append(partial(self.pgconn.send_query_params, command, None))
        self.result_queue.append(None)

    def _enqueue_sync(self) -> None:
        super()._enqueue_sync()
        self._may_write = True

    def _communicate_gen(self) -> PQGen[None]:
        # Called after every statement, and after a sync.
        if self._may_write:
            self._may_write = False
            yield from super()._communicate_gen()

    def _fetch_gen(self, *, flush: bool) -> PQGen[None]:
        if flush and self.command_queue:
            # Somebody waits for a result of what has not been sent yet.
            self.command_queue.append(self.pgconn.send_flush_request)
            yield from super()._communicate_gen()
            flush = False
        yield from super()._fetch_gen(flush=flush)

    def _exit_gen(self) -> PQGen[None]:
        self._enqueue_sync()
        first: Error | None = None
        for step in (self._communicate_gen(), self._fetch_gen(flush=True)):
            try:
                yield from step
            except Error as error:
                # What fails after it fails because of it.
                first = first or error
        if first:
            raise first


@asynccontextmanager
async def one_write_pipeline(connection: AsyncConnection[Any]) -> AsyncIterator[OneWritePipeline]:
    """Puts a connection in pipeline mode for the block, as `connection.pipeline()` does."""
    pipeline = OneWritePipeline(connection)
    connection._pipeline = pipeline
    try:
        async with pipeline:
            yield pipeline
    finally:
        connection._pipeline = None
