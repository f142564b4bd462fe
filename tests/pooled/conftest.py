"""A real PgBouncer in transaction mode, from the configuration that is deployed."""

import os
import pwd
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from string import Template

import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import URL, make_url

from tests.support import RunningService, eventually, free_port, running_service

TEMPLATE = Path(__file__).parents[2] / "deploy" / "pgbouncer" / "pgbouncer.ini"
WATCHER = "pooler_stats"
POOL_SIZE = 5
"""Connections to the database that PgBouncer has."""
CLIENTS = 20
"""Connections to PgBouncer that the service has."""
STATEMENT_TIMEOUT = "20s"


def find_pgbouncer() -> str:
    """Returns the program's path; skips the test where there is none."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if program is None:
        pytest.skip("PgBouncer is not installed: apt-get install pgbouncer")
    return program


def unprivileged_user(database_host: str) -> int:
    """Returns whom PgBouncer, which refuses to be root, can be and reach the database."""
    if database_host.startswith("/"):
        return next(Path(database_host).glob(".s.PGSQL.*")).stat().st_uid
    return pwd.getpwnam("nobody").pw_uid


class PgBouncer:
    """A running PgBouncer, which lets one login through to one database."""

    def __init__(self, folder: Path, database: URL, secrets_of: dict[str, str]) -> None:
        """`secrets_of`: the logins of the configuration, with their SCRAM secrets or passwords."""
        program = find_pgbouncer()
        self.port = free_port()
        self.database = database.database
        (folder / "userlist.txt").write_text(
            "".join(f'"{name}" "{secret}"\n' for name, secret in secrets_of.items())
        )
        values = {
            "database_name": database.database,
            "database_host": database.query.get("host") or database.host or "127.0.0.1",
            "database_port": database.port or 5432,
            "listen_address": "127.0.0.1",
            "listen_port": self.port,
            "auth_file": folder / "userlist.txt",
            "pool_size": POOL_SIZE,
        }
        (folder / "pgbouncer.ini").write_text(Template(TEMPLATE.read_text()).substitute(values))
        user = unprivileged_user(str(values["database_host"]))
        for file in (folder, *folder.iterdir()):
            if os.geteuid() == 0:
                os.chown(file, user, -1)
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [program, str(folder / "pgbouncer.ini")],
                stderr=log,
                stdout=log,
                user=user if os.geteuid() == 0 else None,
            )
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        self.version = tuple(int(n) for n in re.findall(r"\d+", version.stdout)[:2])
        self._console = (
            f"postgresql://{WATCHER}:{secrets_of[WATCHER]}@127.0.0.1:{self.port}/pgbouncer"
        )
        eventually(self._is_ready)

    def _is_ready(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        try:
            return bool(self.show("POOLS"))
        except psycopg.OperationalError:
            return False

    def show(self, what: str) -> list[dict[str, int]]:
        """Returns what the console shows of the service's database, or of PgBouncer itself."""
        with psycopg.connect(self._console, autocommit=True, row_factory=dict_row) as console:
            rows = console.execute(f"SHOW {what}").fetchall()
        return [row for row in rows if row["database"] in (self.database, "pgbouncer")]

    def of_service(self, what: str) -> dict[str, int]:
        """Returns the one row that the console shows of the service's database."""
        [row] = [row for row in self.show(what) if row["database"] == self.database]
        return row

    def stop(self) -> None:
        """Ends it and all its connections."""
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="session")
def login(server_url: str, database_url: str) -> Iterator[tuple[str, str]]:
    """A login as docs/operations.md wants it behind a pooler, and its password."""
    name, password = f"test_pooled_{secrets.token_hex(4)}", secrets.token_hex(16)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        connection.execute(f"GRANT training_app TO {name}")
        connection.execute(
            "GRANT training_reader, training_grantee, training_coach, training_eraser "
            f"TO {name} WITH INHERIT FALSE"
        )
        connection.execute(f"ALTER ROLE {name} SET statement_timeout = '{STATEMENT_TIMEOUT}'")
        connection.execute(f"ALTER ROLE {name} SET plan_cache_mode = 'force_generic_plan'")
        yield name, password
        connection.execute(f"DROP ROLE {name}")


@pytest.fixture(scope="session")
def pgbouncer(server_url: str, database_url: str, login: tuple[str, str]) -> Iterator[PgBouncer]:
    """The pooler under test."""
    name, _ = login
    with psycopg.connect(server_url) as connection:
        query = "SELECT rolpassword FROM pg_authid WHERE rolname = %s"
        [secret] = connection.execute(query, [name]).fetchone() or [""]
    # Not under pytest's own folder, which is closed to the user that PgBouncer runs as.
    with tempfile.TemporaryDirectory(prefix="training-test-pgbouncer-") as folder:
        secrets_of = {name: secret, WATCHER: secrets.token_hex(16)}
        running = PgBouncer(Path(folder), make_url(database_url), secrets_of)
        yield running
        running.stop()


@pytest.fixture(scope="session")
def pooled_url(pgbouncer: PgBouncer, login: tuple[str, str]) -> str:
    """The service's URL of the database, through PgBouncer."""
    name, password = login
    return f"postgresql://{name}:{password}@127.0.0.1:{pgbouncer.port}/{pgbouncer.database}"


@pytest.fixture(scope="session")
def service(pgbouncer: PgBouncer, pooled_url: str) -> Iterator[RunningService]:
    """The service under test, which reaches its database through PgBouncer alone."""
    with running_service(
        pooled_url,
        database_role="",
        prepare_statements=pgbouncer.version >= (1, 24),  # older ones don't by default, or can't
        pool_min_size=CLIENTS,
        pool_max_size=CLIENTS,
    ) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def through_pgbouncer(pgbouncer: PgBouncer, service: RunningService) -> Iterator[None]:
    """Sees that the tests of a module really sent their transactions through PgBouncer."""
    before = pgbouncer.of_service("STATS")["total_xact_count"]
    yield
    assert pgbouncer.of_service("STATS")["total_xact_count"] - before > 10
