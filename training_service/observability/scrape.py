"""Where Prometheus reads the metrics: a port of its own, for all workers together.

The values of workers stand in files of a folder, which whoever starts them makes and removes.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from training_service.settings import Settings, SettingsError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def serving(settings: Settings, registry: "CollectorRegistry") -> Iterator[None]:
    """Serves metrics until the end of the block; raises SettingsError when it can't listen."""
    from prometheus_client import start_http_server

    host, _, port = settings.metrics_address.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except OSError:
        raise SettingsError(
            f"TRAINING_METRICS_ADDRESS: can't listen on {settings.metrics_address}"
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serving_of_workers(settings: Settings) -> Iterator[str]:
    """Serves what all workers write into a folder; yields it, "" when metrics are off."""
    if not settings.metrics_address:
        yield ""
        return
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    with tempfile.TemporaryDirectory(prefix="training-metrics-", ignore_cleanup_errors=True) as at:
        registry = CollectorRegistry()
        MultiProcessCollector(registry, at)  # type: ignore[no-untyped-call]
        with serving(settings, registry):
            yield at


def write_to(folder: str) -> None:
    """Has this process, a worker, keep its metrics in a folder; to be called before all else."""
    if folder:
        os.environ[FOLDER_VARIABLE] = folder


def forget_worker(folder: str, pid: int | None) -> None:
    """Drops the gauges of a worker that is gone; what it counted stays."""
    if not folder:
        return
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
