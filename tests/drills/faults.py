"""The drills: each starts real processes, puts them under load, and lets something break."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import libfaketime
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc

import migrations
from tests.drills.ledger import Result
from tests.drills.stage import Cluster, Service, Stage, running_cluster
from tests.drills.wire import Wire
from training_service.server import KEEPALIVE_SECONDS
from training_service.storage.migrations import head_revision

Body = Callable[[Stage], Awaitable[None]]


class Drill(NamedTuple):
    """A fault and how to bring it about."""

    name: str
    fault: str
    run: Body


DRILLS: dict[str, Drill] = {}


def drill(name: str, fault: str) -> Callable[[Body], Body]:
    """Adds a drill to the list."""

    def add(run: Body) -> Body:
        DRILLS[name] = Drill(name, fault, run)
        return run

    return add


def perform(name: str, cluster: Cluster) -> Result:
    """Runs a drill on a database of its own."""
    chosen = DRILLS[name]
    stage = Stage(cluster, cluster.new_database())
    asyncio.run(chosen.run(stage))
    return stage.judged(chosen.name, chosen.fault)


@drill("worker-killed", "the busiest of three workers ends by SIGKILL")
async def worker_killed(stage: Stage) -> None:
    """The callers of one worker lose their connections; another is started in its place.

    A lock keeps their writes under way. The database goes on with what it was sent, so that some
    may be stored though nobody could acknowledge them.
    """
    async with stage.serving("--workers", "3") as service, stage.load(service.address) as load:
        await load.go_on()
        async with stage.sessions_locked():
            await load.until(load.is_every_writer_under_way)
            worker = await asyncio.to_thread(service.busiest_worker)
            with load.fault():
                worker.kill()
            await load.until(lambda: bool(load.ledger.repeated))
        await load.until_recovered()
        await load.go_on()


@drill("database-killed", "all of PostgreSQL ends by SIGKILL, and starts again 2 s later")
async def database_killed(stage: Stage) -> None:
    """What was committed is in its write-ahead log; what was not is rolled back."""
    async with stage.serving() as service, stage.load(service.address) as load:
        await load.go_on()
        with load.fault():
            await asyncio.to_thread(stage.cluster.kill)
            await asyncio.sleep(2)
            await asyncio.to_thread(stage.cluster.start_again)
        await load.until_recovered()
        await load.go_on()


@drill("pool-exhausted", "a lock of 4 s holds both connections of the pool")
async def pool_exhausted(stage: Stage) -> None:
    """Those who get no connection are refused, and the rest wait."""
    pool = {
        "TRAINING_POOL_MIN_SIZE": "1",
        "TRAINING_POOL_MAX_SIZE": "2",
        "TRAINING_POOL_TIMEOUT_SECONDS": "0.5",
    }
    async with stage.serving(**pool) as service, stage.load(service.address) as load:
        await load.go_on()
        with load.fault():
            async with stage.sessions_locked():
                await asyncio.sleep(4)
        load.expect(bool(load.ledger.repeated), "the pool was never exhausted")
        await load.until_recovered()
        await load.go_on()


@drill("database-slow", "every round trip to the database takes 0.6 s longer, for 5 s")
async def database_slow(stage: Stage) -> None:
    """Calls take longer; health checks too, which are no reason to stop serving."""
    async with (
        Wire.to_database(stage.url) as wire,
        stage.serving(url=wire.before(stage.url)) as service,
        stage.load(service.address) as load,
    ):
        await load.go_on()
        with load.fault():
            wire.delay_seconds = 0.3
            await asyncio.sleep(5)
            wire.delay_seconds = 0.0
        load.expect(load.ledger.slowest_seconds > 0.5, "no call was slowed")
        await load.until_recovered()
        await load.go_on()


GRACE_SECONDS = 6


@drill(
    "terminated-under-load", "SIGTERM to one of two servers while a lock of 3 s holds all writes"
)
async def terminated(stage: Stage) -> None:
    """What is under way is finished; whoever comes later goes to the other server."""
    settings = {
        "TRAINING_GRACE_SECONDS": str(GRACE_SECONDS),
        "TRAINING_DRAIN_DELAY_SECONDS": "1",
    }
    async with (
        stage.serving(**settings) as ending,
        stage.serving(**settings) as staying,
        stage.load(ending.address, staying.address) as load,
    ):
        await load.go_on()
        async with stage.sessions_locked():
            await load.until(load.is_every_writer_under_way)
            with load.fault():
                ending.process.send_signal(signal.SIGTERM)
                await asyncio.sleep(3)
        exit_code = await asyncio.to_thread(ending.process.wait, GRACE_SECONDS + 10)
        took = time.monotonic() - (load.began or 0)
        load.expect(exit_code == 0, f"the server ended with exit code {exit_code}")
        load.expect(took < GRACE_SECONDS + 3, f"the server took {took:.1f} s to end")
        cut = load.ledger.cut(load.began or 0)
        load.expect(not cut, f"{len(cut)} calls under way were cut: {sorted({c.why for c in cut})}")
        await load.until_recovered()
        await load.go_on()


@contextmanager
def small_disk() -> Iterator[Path]:
    """Mounts a file system of 400 MB in memory, which nothing else writes to."""
    with tempfile.TemporaryDirectory(prefix="training-drill-disk-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@drill("disk-full", "nothing more fits on the database's disk, until 50 calls were refused")
async def disk_full(stage: Stage) -> None:
    """PostgreSQL refuses what does not fit, and may end itself when it can't write its log."""
    if os.geteuid() != 0:
        stage.skipped = "skipped: only root can mount a small disk"
        return
    with small_disk() as disk, running_cluster(disk) as cluster:
        stage.url = await asyncio.to_thread(cluster.new_database)
        async with stage.serving() as service, stage.load(service.address) as load:
            await load.go_on()
            with load.fault():
                ballast = disk / "ballast"
                await asyncio.to_thread(fill, ballast)
                await load.until(lambda: len(load.ledger.repeated) >= 50)
                ballast.unlink()
                await asyncio.to_thread(cluster.start_again)
            await load.until_recovered()
            await load.go_on()
        await asyncio.to_thread(stage.take_stock)


def fill(file: Path) -> None:
    """Writes a file as large as its disk lets it be."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass


NEXT_REVISION = '''
"""What the next version needs: a column, a table and an index."""

import sqlalchemy as sa
from alembic import op

from migrations.support import begin

revision = "drill"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    begin()
    op.add_column("sessions", sa.Column("mood", sa.Text), schema="training")
    op.create_table(
        "moods",
        sa.Column("external_user_id", sa.Uuid, primary_key=True),
        sa.Column("mood", sa.Text),
        schema="training",
    )
    with op.get_context().autocommit_block():
        op.create_index(
            "sessions_mood_idx",
            "sessions",
            ["external_user_id", "mood"],
            schema="training",
            postgresql_concurrently=True,
        )
'''


@contextmanager
def next_version() -> Iterator[dict[str, str]]:
    """Yields the environment of a version of the service that has one revision more."""
    with tempfile.TemporaryDirectory(prefix="training-drill-next-") as folder:
        copied = Path(folder) / "migrations"
        shutil.copytree(Path(migrations.__file__).parent, copied)
        text = NEXT_REVISION.format(head=head_revision())
        (copied / "versions" / "drill_next.py").write_text(text)
        yield {"PYTHONPATH": folder, "PYTHONSAFEPATH": "1"}


@drill(
    "next-revision-deployed", "the schema goes to its next revision, then both servers are replaced"
)
async def next_revision_deployed(stage: Stage) -> None:
    """As every deploy does it: migrate first, then one server after the other."""
    drain = {"TRAINING_DRAIN_DELAY_SECONDS": "1"}
    with next_version() as environment:
        async with contextlib.AsyncExitStack() as servers:
            old = [await servers.enter_async_context(stage.serving(**drain)) for _ in range(2)]
            async with stage.load(*(service.address for service in old)) as load:
                await load.go_on()
                with load.fault():
                    await migrate_to_next(stage.url, environment)
                    revision = await asyncio.to_thread(stage.revision)
                    load.expect(revision == "drill", f"the schema is at revision {revision}")
                    await load.go_on()
                    for service in old:
                        exit_code = await asyncio.to_thread(service.stop)
                        load.expect(exit_code == 0, f"a server ended with exit code {exit_code}")
                        successor = stage.serving(port=service.port, **drain, **environment)
                        await servers.enter_async_context(successor)
                        await load.go_on()
                await load.until_recovered()
                await load.go_on()


async def migrate_to_next(url: str, environment: dict[str, str]) -> None:
    """Runs the migration that the next version brings, as its own process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "training_service", "migrate"),
        env={**os.environ, "TRAINING_DATABASE_URL": url, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@drill(
    "clients-half-open", "all connections of clients go silent, without an end, while they write"
)
async def clients_half_open(stage: Stage) -> None:
    """Both ends ask over a connection whether the other is still there; neither hears a word."""
    async with stage.serving() as service, Wire(port=service.port) as wire:
        async with stage.load(wire.address) as load:
            await load.go_on()
            async with stage.sessions_locked():
                await load.until(load.is_every_writer_under_way)
                with load.fault():
                    silent = service.peers()
                    load.expect(wire.silence() == len(silent) > 0, "nothing went silent")
            await load.until_recovered()
            await load.until(lambda: not silent & service.peers(), KEEPALIVE_SECONDS * 2)
            await load.go_on()
        under_way = await asyncio.to_thread(calls_under_way, service)
        load.expect(under_way == 0, f"the server still holds {under_way} calls")


def calls_under_way(service: Service) -> int:
    """Returns how many calls a server has under way, but for the one that asks."""
    with grpc.insecure_channel(service.address) as channel:
        stub = channelz_pb2_grpc.ChannelzStub(channel)
        [server] = stub.GetServers(channelz_pb2.GetServersRequest(), timeout=10).server
    counts = server.data
    return int(counts.calls_started - counts.calls_succeeded - counts.calls_failed - 1)


@drill(
    "clock-jump", "the server's clock jumps an hour ahead, two hours back, and to the right time"
)
async def clock_jump(stage: Stage) -> None:
    """Deadlines go by a clock that does not jump; times and ids by the one that does."""
    with tempfile.TemporaryDirectory(prefix="training-drill-clock-") as folder:
        clock = Path(folder) / "clock"
        set_clock(clock, "+0")
        environment = {
            "LD_PRELOAD": str(faketime_library()),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        async with stage.serving(**environment) as service, stage.load(service.address) as load:
            await load.go_on()
            with load.fault():
                for offset in ("+1h", "-1h", "+0"):
                    set_clock(clock, offset)
                    await load.go_on()
            await load.until_recovered()
            await load.go_on()
        hours = await asyncio.to_thread(stage.hours_between_sessions)
        load.expect(1.9 < hours < 2.1, f"the clock went over {hours:.1f} h and not over 2")


def set_clock(file: Path, offset: str) -> None:
    """Says how far the clock is from the right one; never half of it."""
    other = file.with_suffix(".new")
    other.write_text(offset)
    other.replace(file)


def faketime_library() -> Path:
    """Returns the library that answers for the clock."""
    folder = Path(libfaketime.__file__).parent
    return next(folder.rglob("libfaketime.so.1"))
