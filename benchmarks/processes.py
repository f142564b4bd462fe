"""What is measured: real processes, each with what it and all its children used."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
import psycopg

from training_service.probe import is_serving
from training_service.settings import Settings

START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and its children have used so far, and hold now."""

    cpu_seconds: float
    memory_bytes: int
    peak_bytes: int


def usage(pid: int) -> Usage:
    """Returns the CPU time and the memory of a process and its children, those that ended too.

    Memory is what belongs to them alone and their share of the rest (PSS). The peak, since it was
    last forgotten, counts what they share once for each.
    """
    root = psutil.Process(pid)
    cpu = 0.0
    memory = peak = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
            cpu += times.user + times.system
            if process is root:
                cpu += times.children_user + times.children_system
            memory += process.memory_full_info().pss
            peak += _peak_bytes(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
    return Usage(cpu, memory, peak)


def _peak_bytes(pid: int) -> int:
    """Returns 0 for a process that has ended but is still listed."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def forget_peaks(pid: int) -> None:
    """Has the kernel measure the memory peaks of a process and its children anew from now on."""
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def database_pid(url: str) -> int:
    """Returns the process id of a PostgreSQL server on this machine."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    return int(Path(row[0], "postmaster.pid").read_text().splitlines()[0])


def require_free(address: str) -> None:
    """Raises RuntimeError when somebody listens already, such as what an aborted run left."""
    if is_serving(address, Settings()):
        raise RuntimeError(f"{address} is in use")


@contextmanager
def python_process(
    *arguments: str, environment: dict[str, str] | None = None, output: IO[str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a Python module as a process until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**os.environ, **(environment or {})},
        stdout=output or subprocess.DEVNULL,
        stderr=output or subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_serving(address: str, process: subprocess.Popen[bytes]) -> None:
    """Returns when a gRPC server reports SERVING; raises RuntimeError when it ends instead."""
    end = time.monotonic() + START_SECONDS
    while not is_serving(address, Settings()):
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{address} does not serve")
        time.sleep(0.1)
