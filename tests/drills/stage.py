"""What a drill stands on: PostgreSQL that can be killed, real servers, and the comparison."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO

import psutil
import psycopg
from calisthenics.training.v1 import session_pb2
from psycopg import sql
from sqlalchemy import make_url

from tests.conftest import seed
from tests.drills.ledger import Ledger, Result, Stored
from tests.drills.load import Load
from tests.support import ServiceProcess
from training_service.embedded import embedded_postgres
from training_service.storage.bootstrap import ensure_database
from training_service.storage.migrations import migrate

END_SECONDS = 60
TEMPLATE = "drill_template"
START = """
import sys
import embedded_postgres
embedded_postgres.get_server(sys.argv[1], cleanup_mode=None)
"""


class Cluster:
    """An embedded PostgreSQL of the drill's own, with all its promises of durability kept."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self.url = url

    @cached_property
    def _template(self) -> str:
        """The name of a migrated database with the catalogue, which others are copies of."""
        url = ensure_database(self.url, TEMPLATE)
        migrate(url)
        seed(url)
        return TEMPLATE

    def new_database(self) -> str:
        """Makes a migrated database with the catalogue and returns its owner's URL."""
        name = f"drill_{uuid.uuid4().hex[:12]}"
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(self._template)
        )
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(copy)
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def kill(self) -> None:
        """Ends all processes of PostgreSQL at once, none of which can finish anything."""
        first = int((self._folder / "postmaster.pid").read_text().splitlines()[0])
        postmaster = psutil.Process(first)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=END_SECONDS)

    def start_again(self) -> None:
        """Starts it where it does not run, and returns when it takes connections."""
        start(self._folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import embedded_postgres as package
        # Learns which process is to be stopped in the end.
        package.get_server(self._folder).ensure_postgres_running()


def start(folder: Path) -> None:
    """Starts PostgreSQL, by a process of its own: the fork of one that has gRPC's threads may end
    by SIGABRT."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", START, str(folder)], check=True)


@contextmanager
def running_cluster(folder: Path | None = None) -> Iterator[Cluster]:
    """Runs a cluster, in a folder of its own unless one is given."""
    with tempfile.TemporaryDirectory(prefix="training-drill-", ignore_cleanup_errors=True) as made:
        data = (folder or Path(made)).resolve() / "postgres"
        start(data)
        with embedded_postgres(data) as url:
            yield Cluster(data, url)


class Service(ServiceProcess):
    """The service as a process whose log is kept, so that it never waits for a reader."""

    def __init__(self, url: str, *options: str, port: int = 0, **settings: str) -> None:
        super().__init__(url, *options, port=port, **settings)
        self.log: list[str] = []
        self._readers: list[threading.Thread] = []

    def wait_until_ready(self) -> None:
        """Returns when the ready line was printed."""
        super().wait_until_ready()
        for pipe in filter(None, (self.process.stdout, self.process.stderr)):
            reader = threading.Thread(target=self._read, args=(pipe,), daemon=True)
            reader.start()
            self._readers.append(reader)

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            self.log.extend(pipe)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and returns the exit code."""
        if not self._readers:
            return super().stop(number)
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(END_SECONDS)
        for reader in self._readers:
            reader.join(END_SECONDS)
        return int(self.process.returncode)

    def busiest_worker(self) -> psutil.Process:
        """Returns the process of several that has the most connections."""
        children = psutil.Process(self.process.pid).children()
        # multiprocessing keeps another process beside the workers.
        workers = [p for p in children if "spawn_main" in " ".join(p.cmdline())]
        return max(workers, key=lambda p: len(self._peers(p)))

    def peers(self) -> set[int]:
        """Returns the ports of those who are connected to a lone worker."""
        return self._peers(psutil.Process(self.process.pid))

    def _peers(self, worker: psutil.Process) -> set[int]:
        return {
            c.raddr.port
            for c in worker.net_connections(kind="tcp")
            if c.status == psutil.CONN_ESTABLISHED and c.laddr.port == self.port
        }


class Stage:
    """What one drill uses: a database of its own, and whoever calls."""

    def __init__(self, cluster: Cluster, url: str) -> None:
        self.cluster = cluster
        self.url = url
        self.skipped = ""
        self._load: Load | None = None
        self._rows: list[Stored] | None = None

    @contextlib.asynccontextmanager
    async def serving(
        self, *options: str, url: str = "", port: int = 0, **settings: str
    ) -> AsyncIterator[Service]:
        """Runs the service until the end of the block, unless it ended before."""
        service = await self.start(*options, url=url, port=port, **settings)
        try:
            yield service
        finally:
            await asyncio.to_thread(service.stop, signal.SIGKILL)

    async def start(self, *options: str, url: str = "", port: int = 0, **settings: str) -> Service:
        """Starts the service and returns when it serves."""
        usual = {"TRAINING_LOG_LEVEL": "ERROR", "TRAINING_HEALTH_INTERVAL_SECONDS": "0.5"}
        service = Service(url or self.url, *options, port=port, **{**usual, **settings})
        await asyncio.to_thread(service.wait_until_ready)
        return service

    def load(self, *addresses: str) -> Load:
        """Returns callers who know these addresses."""
        self._load = Load(*addresses)
        return self._load

    @contextlib.asynccontextmanager
    async def sessions_locked(self) -> AsyncIterator[None]:
        """Keeps anyone from writing sessions."""
        connection = await asyncio.to_thread(psycopg.connect, self.url)
        try:
            await asyncio.to_thread(
                connection.execute, "LOCK TABLE training.sessions IN EXCLUSIVE MODE"
            )
            yield
        finally:
            await asyncio.to_thread(connection.close)

    def judged(self, name: str, fault: str) -> Result:
        """Compares what callers were told with what the database holds."""
        if self.skipped:
            return Result(name, fault, skipped=self.skipped)
        assert self._load is not None, "nobody called"
        if self._rows is None:
            self.take_stock()
        return judged(name, fault, self._load, self._rows or [])

    def take_stock(self) -> None:
        """Reads what the database holds; a drill does it whose database ends with it."""
        assert self._load is not None, "nobody called"
        self._rows = stored(self.url, self._load.athletes)

    def revision(self) -> str:
        """Returns the revision of the schema."""
        with psycopg.connect(self.url) as connection:
            [revision] = connection.execute(
                "SELECT version_num FROM training.alembic_version"
            ).fetchone() or [""]
        return str(revision)

    def hours_between_sessions(self) -> float:
        """Returns how far apart the first and the last session are, by the server's clock."""
        query = """
            SELECT extract(epoch FROM max(created_at) - min(created_at)) / 3600
            FROM training.sessions
        """
        with psycopg.connect(self.url) as connection:
            [hours] = connection.execute(query).fetchone() or [0]
        return float(hours)


def judged(name: str, fault: str, load: Load, rows: list[Stored]) -> Result:
    """Returns how a drill went, by its callers and the rows that the database holds of them."""
    ledger: Ledger = load.ledger
    assert load.began is not None, "no fault began"
    assert load.ended is not None, "the fault did not end"
    findings = [*load.findings]
    faults = [a.why for a in ledger.repeated if a.why.startswith(("INTERNAL", "UNKNOWN"))]
    findings += [f"{why}, which is a fault of the service" for why in sorted(set(faults))]
    full = ledger.all_succeeded_after(load.ended)
    if full is None:
        findings.append("not every caller was served again")
    return Result(
        name,
        fault,
        under_way=load.most_under_way,
        acknowledged=len(ledger.acknowledged),
        reads=ledger.reads,
        lost=len(ledger.lost(rows)),
        duplicated=len(ledger.duplicated(rows)),
        failed=len(ledger.failed),
        repeated=dict(Counter(attempt.why for attempt in ledger.repeated)),
        fault_seconds=load.ended - load.began,
        first_recovery_seconds=ledger.first_success_after(load.ended),
        full_recovery_seconds=full,
        slowest_seconds=ledger.slowest_seconds,
        findings=tuple(findings),
    )


def stored(url: str, athletes: list[str]) -> list[Stored]:
    """Returns the sessions that the database holds of athletes."""
    query = (
        "SELECT id::text, record FROM training.sessions WHERE external_user_id = ANY(%s::uuid[])"
    )
    with psycopg.connect(url) as connection:
        rows = connection.execute(query, [athletes]).fetchall()
    return [Stored(id, session_pb2.Session.FromString(record).notes) for id, record in rows]
