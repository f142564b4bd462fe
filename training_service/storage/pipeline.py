"""A pipeline whose statements leave in one write.

psycopg's own pipeline writes to the socket for every statement, and the server begins with each as
it comes: for a transaction of four short statements that is four writes here, four wake-ups there,
and a quarter of the CPU time of a read. Here statements wait until a result is asked for or the
pipeline ends.

Rests on the hooks of psycopg's `BasePipeline` (3.3), which are not part of its documented
interface; `tests/storage/test_pipeline.py` says what must hold of them.
"""

from functools import partial
from types import TracebackType
from typing import Self

from psycopg import AsyncPipeline, Error
from psycopg.abc import PQGen
from psycopg.generators import send


class OneWritePipeline(AsyncPipeline):
    """Puts a connection in pipeline mode for a block: `async with OneWritePipeline(connection)`."""

    _may_write = False

    async def __aenter__(self) -> Self:
        # Never nested, so that there is nothing to wait for.
        self.pgconn.enter_pipeline_mode()
        self.level = 1
        self._conn._pipeline = self
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await super().__aexit__(kind, error, traceback)
        finally:
            self._conn._pipeline = None

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
            yield from self._send_gen()

    def _fetch_gen(self, *, flush: bool) -> PQGen[None]:
        if flush and self.command_queue:
            # Somebody waits for a result of what has not been sent yet.
            self.command_queue.append(self.pgconn.send_flush_request)
            yield from self._send_gen()
        yield from super()._fetch_gen(flush=False)

    def _send_gen(self) -> PQGen[None]:
        # psycopg's own would flush, and poll the socket, between any two of them.
        while self.command_queue:
            self.command_queue.popleft()()
        yield from send(self.pgconn)

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
