"""Several server processes on one port, each started fresh, kept alive until told to stop."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import structlog

from training_service.logs import configure_logs
from training_service.observability.scrape import forget_worker, serving_of_workers, write_to
from training_service.settings import PREFIX, Settings, SettingsError

logger = structlog.get_logger(__name__)

RESTART_DELAY_SECONDS = 1.0
"""A worker that dies is replaced, but not so fast that a fault at start-up burns a core."""

# A process forked after gRPC has threads would hang; a spawned one imports everything anew.
_CONTEXT = multiprocessing.get_context("spawn")


def run_here(
    settings: Settings, url: str, on_ready: Callable[[int], None], *, is_worker: bool = False
) -> None:
    """Serves in this process, alone or as one of several, until SIGTERM or SIGINT."""
    import uvloop

    from training_service.server import run

    try:
        uvloop.run(run(settings, url, on_ready, is_worker=is_worker))
    finally:
        # Being told twice must not keep the embedded database from being stopped in order.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


class Supervisor:
    """Starts the workers, replaces those that die, and stops them together."""

    def __init__(self, settings: Settings, url: str) -> None:
        self._settings = settings
        self._url = url
        self._workers: dict[BaseProcess, Connection] = {}
        self._stopping = False
        self._metrics_folder = ""

    def run(self, on_ready: Callable[[int], None]) -> None:
        """Serves until SIGTERM or SIGINT; calls `on_ready` when all workers first serve."""
        port = _require_free_port("LISTEN_ADDRESS", self._settings.listen_address)
        if self._settings.health_address:
            _require_free_port("HEALTH_ADDRESS", self._settings.health_address)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        with serving_of_workers(self._settings) as self._metrics_folder:
            self._run_workers(port, on_ready)

    def _run_workers(self, port: int, on_ready: Callable[[int], None]) -> None:
        for _ in range(self._settings.workers):
            self._start_worker()
        if self._wait_until_ready():
            on_ready(port)
            self._keep_alive()
        # One that was being started when the signal came has not been told yet.
        self._stop()
        for worker in self._workers:
            worker.join()

    def _start_worker(self) -> None:
        receiver, sender = _CONTEXT.Pipe(duplex=False)
        arguments = (self._settings, self._url, sender, self._metrics_folder)
        worker = _CONTEXT.Process(target=_work, args=arguments)
        worker.start()
        sender.close()
        self._workers[worker] = receiver

    def _wait_until_ready(self) -> bool:
        """Returns whether all workers serve; raises SettingsError when one ended instead."""
        for receiver in list(self._workers.values()):
            try:
                receiver.recv()
            except (EOFError, OSError):
                if self._stopping:
                    return False
                self._stop()
                raise SettingsError("a worker ended before it served; see its log") from None
        return True

    def _keep_alive(self) -> None:
        while not self._stopping:
            wait([worker.sentinel for worker in self._workers], timeout=1.0)
            dead = [worker for worker in self._workers if not worker.is_alive()]
            if dead and not self._stopping:
                time.sleep(RESTART_DELAY_SECONDS)
                self._replace(dead)

    def _replace(self, dead: list[BaseProcess]) -> None:
        for worker in dead:
            logger.error("worker died", pid=worker.pid, exit_code=worker.exitcode)
            self._workers.pop(worker).close()
            forget_worker(self._metrics_folder, worker.pid)
            self._start_worker()

    def _stop(self, *_signal: object) -> None:
        self._stopping = True
        for worker in self._workers:
            if worker.is_alive():
                worker.terminate()


def _work(settings: Settings, url: str, ready: Connection, metrics_folder: str) -> None:
    """The main function of a worker process."""
    write_to(metrics_folder)
    configure_logs(settings)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        run_here(settings, url, ready.send, is_worker=True)
    except SettingsError as error:
        sys.exit(str(error))


def _stop_with_parent() -> None:
    """Ends this worker when the supervisor is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _require_free_port(name: str, address: str) -> int:
    """Refuses a port that something else listens on: sharing would hide it. Returns the port."""
    host, _, port = address.rpartition(":")
    if port == "0":
        raise SettingsError(f"{PREFIX}{name}: several workers need a fixed port")
    family = socket.AF_INET6 if "[" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), int(port)))
        except OSError:
            raise SettingsError(f"{PREFIX}{name}: can't listen on {address}") from None
    return int(port)
