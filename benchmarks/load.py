"""Load from h2load, which costs little itself and speaks HTTP/2 to gRPC and REST alike."""

import math
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from google.protobuf.message import Message

from benchmarks.processes import forget_peaks, usage

LATENCIES = (50, 95, 99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The request that is sent again and again."""

    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one run of a load came to."""

    requests_per_second: float
    cpu_us: Mapping[str, float]
    """CPU time for each request, by the name of what used it."""
    latency_ms: Mapping[int, float]
    """By percentile."""
    memory_mb: Mapping[str, float]
    """Held at the end of the run."""
    peak_memory_mb: Mapping[str, float]
    """The most that was held during the run."""

    @property
    def total_cpu_us(self) -> float:
        """CPU time of all that was measured, for each request."""
        return sum(self.cpu_us.values())


def grpc_request(
    address: str, path: str, message: Message, metadata: Mapping[str, str] | None = None
) -> Request:
    """Returns a gRPC call as the HTTP/2 request it is."""
    body = message.SerializeToString()
    return Request(
        url=f"http://{address}{path}",
        headers={"content-type": "application/grpc", "te": "trailers", **(metadata or {})},
        body=b"\0" + len(body).to_bytes(4, "big") + body,
    )


def require_h2load() -> str:
    """Returns where h2load is; ends the program with what to do when it is not there."""
    found = shutil.which("h2load")
    if not found:
        sys.exit("h2load is needed: apt-get install nghttp2-client")
    return found


def h2load_command(request: Request, folder: Path, *options: str) -> list[str]:
    """Returns the command that sends a request again and again; its body goes into the folder."""
    command = [require_h2load(), *options]
    for name, value in request.headers.items():
        command += ["-H", f"{name}: {value}"]
    if request.body is not None:
        body = folder / "body"
        body.write_bytes(request.body)
        command.append(f"--data={body}")
    return [*command, request.url]


def h2load(
    request: Request, count: int, *, connections: int, streams: int
) -> tuple[float, list[int]]:
    """Sends a request `count` times; returns how many a second they were, and how long each took
    in microseconds.

    Raises RuntimeError unless all are answered with 200. Of gRPC that says little: the caller
    checks how calls ended by itself.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        options = ("-n", str(count), "-c", str(min(connections, count)), "-m", str(streams))
        command = h2load_command(request, Path(folder), *options, f"--log-file={log}")
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
        if f"{count} 2xx" not in done.stdout:
            raise RuntimeError(done.stdout)
        rate = re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)
        assert rate is not None
        # The third column of the log is how long a request took.
        lines = log.read_text().splitlines()
        return float(rate[1]), [int(line.split("\t")[2]) for line in lines]


def h2load_side_by_side(requests: Sequence[Request], count: int) -> tuple[float, list[int]]:
    """Sends `count` requests in all, some of each kind, one connection for each; see `h2load`."""
    each = max(1, count // len(requests))
    with ThreadPoolExecutor(len(requests)) as threads:
        send = partial(h2load, count=each, connections=1, streams=1)
        done = list(threads.map(send, requests))
    return sum(rate for rate, _ in done), [us for _, taken in done for us in taken]


def measure(
    send: Callable[[], tuple[float, list[int]]], count: int, pids: Mapping[str, int]
) -> Sample:
    """Measures what it takes to send `count` requests.

    `send` sends them; it returns how many a second they were, and how long each took in
    microseconds.
    """
    for pid in pids.values():
        forget_peaks(pid)
    before = {name: usage(pid) for name, pid in pids.items()}
    rate, latencies = send()
    after = {name: usage(pid) for name, pid in pids.items()}
    latencies.sort()
    return Sample(
        requests_per_second=rate,
        cpu_us={
            name: (after[name].cpu_seconds - before[name].cpu_seconds) / count * 1e6
            for name in pids
        },
        latency_ms={p: _percentile(latencies, p) / 1000 for p in LATENCIES},
        memory_mb={name: after[name].memory_bytes / 1e6 for name in pids},
        peak_memory_mb={name: after[name].peak_bytes / 1e6 for name in pids},
    )


def _percentile(ordered: Sequence[int], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def ratio(above: float, below: float) -> float:
    """Returns how many times one number is another; NaN if that is 0, as CPU times of a few calls
    may be."""
    return above / below if below else math.nan


def median(samples: Sequence[Sample]) -> Sample:
    """Returns a sample whose every number is the median of those of the samples."""
    first = samples[0]
    return Sample(
        requests_per_second=statistics.median(s.requests_per_second for s in samples),
        cpu_us={n: statistics.median(s.cpu_us[n] for s in samples) for n in first.cpu_us},
        latency_ms={p: statistics.median(s.latency_ms[p] for s in samples) for p in LATENCIES},
        memory_mb={n: max(s.memory_mb[n] for s in samples) for n in first.cpu_us},
        peak_memory_mb={n: max(s.peak_memory_mb[n] for s in samples) for n in first.cpu_us},
    )
