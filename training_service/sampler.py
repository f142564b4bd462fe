"""Gauges of this process: looked at now and then, rather than counted with each call."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog

from training_service.interceptors.abuse import AbuseSignals
from training_service.interceptors.audit import AccessLog, Auditor
from training_service.interceptors.chain import InterceptorChain
from training_service.storage.database import Database

if TYPE_CHECKING:
    from training_service.observability.instruments import Instruments

SAMPLE_SECONDS = 1.0
"""How old a gauge may be: less than the time between two scrapes."""

logger = structlog.get_logger(__name__)


class Sampler:
    """Shows the state of this process in its metrics, again and again."""

    def __init__(
        self,
        instruments: "Instruments",
        chain: InterceptorChain,
        database: Database,
        signals: AbuseSignals,
        auditor: Auditor,
        access_log: AccessLog | None,
    ) -> None:
        self._instruments = instruments
        self._chain = chain
        self._database = database
        self._signals = signals
        self._auditor = auditor
        self._access_log = access_log
        self.is_serving = False
        self.is_draining = False

    async def run(self) -> None:
        """Samples until it is cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    def sample(self) -> None:
        """Brings the metrics up to date."""
        try:
            self._instruments.show(self._gauges())
            self._instruments.catch_up(
                {
                    "training_abuse_suspected_total": self._signals.suspected,
                    "training_access_records_lost_total": (
                        self._access_log.lost if self._access_log else 0
                    ),
                    "training_access_records_unstored_total": self._auditor.unstored,
                }
            )
        except OSError as error:
            # The disk of the values is full: calls go on.
            logger.error("metrics not written", why=type(error).__name__)

    def _gauges(self) -> Iterator[tuple[str, str, float]]:
        chain = self._chain
        for kind, limit in (("calls", chain.limit), ("form_streams", chain.live_limit)):
            yield "training_calls_in_flight", kind, limit.count
            yield "training_calls_in_flight_max", kind, limit.most
        in_use, idle, most, waiting = self._database.pool_state()
        yield "training_pool_connections", "in_use", in_use
        yield "training_pool_connections", "idle", idle
        yield "training_pool_connections_max", "", most
        yield "training_pool_waiting", "", waiting
        yield "training_workers", "", 1
        yield "training_workers_serving", "", self.is_serving
        yield "training_workers_draining", "", self.is_draining
