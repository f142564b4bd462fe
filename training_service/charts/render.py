"""Charts drawn in a process of their own, so that no other call waits for one."""

import asyncio
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import structlog

from training_service.charts.data import Chart, ChartFormat, Size, Theme
from training_service.charts.worker import draw, start
from training_service.errors import Reason, TrainingError

logger = structlog.get_logger(__name__)

MAX_WAITING = 8
"""Most charts under way and waiting: at 0.1 to 0.5 s each, later ones would wait too long."""
TIME_LIMIT_SECONDS = 10.0
"""Longest time for one chart; the first one includes the start of the process."""
RETRY_AFTER_SECONDS = 1.0

# A process forked after gRPC has threads would hang; a spawned one imports everything anew.
_CONTEXT = multiprocessing.get_context("spawn")

Draw = Callable[[Chart, ChartFormat, Theme, Size], bytes]


class ChartRenderer:
    """Draws charts one after the other in a process that starts with the first; `close` it."""

    def __init__(
        self,
        *,
        max_waiting: int = MAX_WAITING,
        time_limit_seconds: float = TIME_LIMIT_SECONDS,
        draw: Draw = draw,
    ) -> None:
        self._max_waiting = max_waiting
        self._time_limit_seconds = time_limit_seconds
        self._draw = draw
        self._executor: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self._count = 0
        self._running: asyncio.Task[bytes] | None = None
        self._is_closed = False

    async def render(self, chart: Chart, form: ChartFormat, theme: Theme, size: Size) -> bytes:
        """Returns the chart as SVG, PNG or JSON.

        Raises TrainingError: OVERLOADED when too many wait, DEADLINE_EXCEEDED when this one took
        too long.
        """
        if self._count >= self._max_waiting or self._is_closed:
            raise TrainingError(
                Reason.OVERLOADED,
                "too many charts are being drawn",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        self._count += 1
        try:
            await self._turn.acquire()
            self._running = asyncio.create_task(self._draw_in_turn(chart, form, theme, size))
            # What has begun can't be cancelled: the turn ends with it, not with its caller.
            self._running.add_done_callback(self._end_turn)
            return await asyncio.shield(self._running)
        finally:
            self._count -= 1

    async def close(self) -> None:
        """Ends the process, and with it what is being drawn."""
        self._is_closed = True
        await self._end_process()

    def _end_turn(self, drawing: asyncio.Task[bytes]) -> None:
        self._turn.release()
        # Looked at, or asyncio would complain about the error of a caller who has left.
        if not drawing.cancelled():
            drawing.exception()

    async def _draw_in_turn(
        self, chart: Chart, form: ChartFormat, theme: Theme, size: Size
    ) -> bytes:
        try:
            return await self._draw_once(chart, form, theme, size)
        except BrokenProcessPool:
            # It may have died long ago, and the chart not be to blame.
            logger.warning("chart process died")
            await self._end_process()
            return await self._draw_once(chart, form, theme, size)

    async def _draw_once(self, chart: Chart, form: ChartFormat, theme: Theme, size: Size) -> bytes:
        if self._is_closed:
            raise TrainingError(Reason.OVERLOADED, "the service is ending")
        if self._executor is None:
            self._executor = ProcessPoolExecutor(1, mp_context=_CONTEXT, initializer=start)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._time_limit_seconds):
                return await loop.run_in_executor(
                    self._executor, self._draw, chart, form, theme, size
                )
        except TimeoutError:
            logger.warning("chart took too long", kind=type(chart).__name__)
            await self._end_process()
            raise TrainingError(
                Reason.DEADLINE_EXCEEDED, "the chart took too long to draw"
            ) from None

    async def _end_process(self) -> None:
        """Kills the process and frees what belongs to it; the next chart starts another."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        # Of no public name before Python 3.14 (`kill_workers`).
        for process in list((executor._processes or {}).values()):
            process.kill()
        await asyncio.to_thread(executor.shutdown, wait=True, cancel_futures=True)
