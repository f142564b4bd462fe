"""`make capacity`: what a number of athletes needs, from measurements and named assumptions.

Reads what `python -m benchmarks.footprint` measured and writes the tables of docs/capacity.md
between its markers. Nothing is measured here: the same input gives the same tables.
"""

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import altair
import numpy as np
import typer

from benchmarks import queueing
from benchmarks.picture import COLOURS
from benchmarks.queueing import Kind

MEASURED = Path("benchmarks/capacity.json")
DOCUMENT = Path("docs/capacity.md")
PICTURE = Path("docs/capacity.svg")
SIZES = (10_000, 1_000_000, 100_000_000)
REPLAYED = 1_000_000
DAY, DAYS_A_MONTH = 86_400, 365.25 / 12
SEED = 1

CALLS = {
    "LogSession": 1.0,
    "GetSession": 2.0,
    "ListSessions(20)": 3.0,
    "GetExercise": 4.0,
    "ListExercises(50)": 1.0,
    "ListWeeklyAggregates": 1.0,
    "ListPersonalRecords": 1.0,
    "GetProgressChart": 0.5,
    "GetLoadStatus": 1.0,
    "GetReadiness": 1.0,
    "RecommendWorkouts": 0.5,
}
"""Assumed: how many calls there are for each session logged."""

LOCAL_HOURS = (1, 1, 1, 1, 1, 2, 5, 7, 6, 4, 4, 5, 6, 5, 4, 5, 8, 13, 16, 15, 11, 6, 3, 1)
"""Assumed: traffic of each hour of an athlete's own day, in any unit. Evenings after work lead."""

ZONES = {1: 0.5, -6: 0.3, 8: 0.2}
"""Assumed: share of athletes by their hours ahead of UTC."""


def _assumed(value: Any, unit: str, reason: str) -> Any:
    return field(default=value, metadata={"unit": unit, "reason": reason})


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """What is not measured."""

    active_share: float = _assumed(0.5, "of athletes", "guess: who logs in a usual week")
    sessions_a_week: float = _assumed(3.5, "of an active athlete", "usual: 3 to 4 a week")
    busiest_day: float = _assumed(1.3, "× a mean day", "guess: Mondays")
    utilization: float = _assumed(0.6, "at the peak hour", "waits stay short, see below")
    least_cores: int = _assumed(2, "cores of a PostgreSQL machine at least", "guess")
    least_workers: int = _assumed(2, "workers", "one may be replaced while the other serves")
    standbys: int = _assumed(1, "for each PostgreSQL machine", "one that can take over")
    hot_months: float = _assumed(24, "months", "default of `TRAINING_ARCHIVE_AFTER_DAYS`")
    kept_months: float = _assumed(60, "months", "guess: years of service")
    full_pages: float = _assumed(3, "× the log measured", "guess: whole pages after checkpoints")
    log_days: float = _assumed(7, "days of log kept", "guess: to restore to a point in time")
    cores: float = _assumed(32, "cores of a PostgreSQL machine at most", "guess")
    disk_gb: float = _assumed(4000, "GB of a PostgreSQL machine's disk", "guess: restored in hours")
    disk_filled: float = _assumed(0.7, "of the disk", "room for bloat, new indexes and log")
    log_mb: float = _assumed(100, "MB/s of log", "guess: what a disk and a standby keep up with")
    connections: int = _assumed(
        500, "connections of a server", "guess: without a pooler in between"
    )
    pool: int = _assumed(10, "connections of a worker", "default of `TRAINING_POOL_MAX_SIZE`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Examples of monthly prices, in any currency; nobody's offer."""

    worker_core: float = 25.0
    postgresql_core: float = 50.0
    hot_gb: float = 0.12
    cold_gb: float = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a number of athletes needs."""

    athletes: int
    sessions_a_day: float
    calls_a_second: float
    """At the peak hour, as all that follows."""
    worker_cores: float
    """Cores' worth of work."""
    workers: int
    worker_memory_gb: float
    postgresql_cores: float
    """Cores' worth of work."""
    rented_cores: int
    """So that they are used as far as assumed, and each machine has the least."""
    connections: int
    connection_gb: float
    """Memory of connections."""
    log_mb_a_second: float
    log_gb: float
    """Kept."""
    hot_gb: float
    cold_gb: float
    shares: Mapping[str, float]
    """Of what one PostgreSQL machine may give, by resource."""
    nodes: int

    @property
    def first(self) -> str:
        """Which resource of one machine is exhausted first."""
        return max(self.shares, key=lambda name: self.shares[name])

    @property
    def athletes_of_one_machine(self) -> float:
        """With how many athletes it is."""
        return self.athletes / self.shares[self.first]


def hours() -> list[float]:
    """Returns the traffic of each hour of a UTC day, as a multiple of the mean hour."""
    mixed = [
        sum(share * LOCAL_HOURS[(hour + ahead) % 24] for ahead, share in ZONES.items())
        for hour in range(24)
    ]
    return [one / (sum(mixed) / 24) for one in mixed]


def busy_us(measured: Mapping[str, Any], process: str) -> float:
    """Returns the CPU time of all the calls that come with one session logged."""
    calls = measured["calls"]
    return sum(count * float(calls[name][f"{process}_cpu_us"]) for name, count in CALLS.items())


def need(measured: Mapping[str, Any], assumed: Assumptions, athletes: int) -> Need:
    """Returns what so many athletes need."""
    daily = athletes * assumed.active_share * assumed.sessions_a_week / 7
    sessions = daily * assumed.busiest_day * max(hours()) / DAY
    size, memory = measured["bytes"], measured["memory"]
    worker_cores = sessions * busy_us(measured, "service") / 1e6
    cores = sessions * busy_us(measured, "postgresql") / 1e6
    workers = max(assumed.least_workers, math.ceil(worker_cores / assumed.utilization))
    a_session_log = size["wal_of_log_session"] * assumed.full_pages
    hot, cold = stored(measured, assumed, daily)
    connections = workers * assumed.pool
    log_gb = daily * assumed.log_days * a_session_log / 1e9
    shares = {
        "PostgreSQL cores": cores / (assumed.cores * assumed.utilization),
        "write-ahead log": sessions * a_session_log / 1e6 / (assumed.log_mb * assumed.utilization),
        "hot storage": hot / (assumed.disk_gb * assumed.disk_filled),
        "connections": worker_cores / assumed.utilization * assumed.pool / assumed.connections,
    }
    nodes = math.ceil(max(share for name, share in shares.items() if name != "connections"))
    rented = max(assumed.least_cores * nodes, math.ceil(cores / assumed.utilization))
    return Need(
        athletes=athletes,
        sessions_a_day=daily,
        calls_a_second=sessions * sum(CALLS.values()),
        worker_cores=worker_cores,
        workers=workers,
        worker_memory_gb=workers * memory["another_worker_mb"] / 1000,
        postgresql_cores=cores,
        rented_cores=rented,
        connections=connections,
        connection_gb=connections * memory["connection_mb"] / 1000,
        log_mb_a_second=sessions * a_session_log / 1e6,
        log_gb=log_gb,
        hot_gb=hot,
        cold_gb=cold,
        shares=shares,
        nodes=nodes,
    )


def stored(measured: Mapping[str, Any], assumed: Assumptions, daily: float) -> tuple[float, float]:
    """Returns the GB in the database, and in the archive's objects.

    What archiving leaves was compared after both were tidied up; sessions take what they take as
    they were logged.
    """
    size = measured["bytes"]
    left = size["hot_compact_after_archiving"] / size["hot_compact"] * size["hot_as_logged"]
    recent = daily * DAYS_A_MONTH * min(assumed.hot_months, assumed.kept_months)
    old = daily * DAYS_A_MONTH * max(0.0, assumed.kept_months - assumed.hot_months)
    return (recent * size["hot_as_logged"] + old * left) / 1e9, old * size["cold_object"] / 1e9


def monthly(of: Need, assumed: Assumptions, prices: Prices) -> float:
    """Returns the cost of a month; docs/capacity.md has the formula."""
    copies = 1 + assumed.standbys
    return (
        of.workers * prices.worker_core
        + of.rented_cores * copies * prices.postgresql_core
        + of.hot_gb / assumed.disk_filled * copies * prices.hot_gb
        + (of.cold_gb + of.log_gb) * prices.cold_gb
    )


def table(needs: Sequence[Need], assumed: Assumptions, prices: Prices) -> str:
    """Returns the needs side by side, each line with what it comes from."""
    service, database = (f"`calls.*.{key}`" for key in CPU_KEYS)
    logged, hot = "`bytes.wal_of_log_session`", "`bytes.hot_as_logged`, `bytes.hot_compact*`"
    lines: list[tuple[str, Callable[[Need], str], str]] = [
        ("sessions logged on a mean day", lambda n: figure(n.sessions_a_day), "assumptions"),
        ("calls a second at peak", lambda n: figure(n.calls_a_second), "assumptions"),
        ("workers' work at peak, cores", lambda n: figure(n.worker_cores), service),
        ("**workers**", lambda n: f"{n.workers:,}", service),
        ("their memory, GB", lambda n: figure(n.worker_memory_gb), "`memory.another_worker_mb`"),
        ("PostgreSQL's work at peak, cores", lambda n: figure(n.postgresql_cores), database),
        ("**PostgreSQL cores**", lambda n: f"{n.rented_cores:,}", f"{database}, `least_cores`"),
        ("connections, at most", lambda n: f"{n.connections:,}", "workers × `pool`"),
        ("their memory, GB", lambda n: figure(n.connection_gb), "`memory.connection_mb`"),
        ("write-ahead log at peak, MB/s", lambda n: figure(n.log_mb_a_second), logged),
        ("log kept, GB", lambda n: figure(n.log_gb), logged),
        ("**hot storage**, GB", lambda n: figure(n.hot_gb), hot),
        ("**cold storage**, GB", lambda n: figure(n.cold_gb), "`bytes.cold_object`"),
        *((f"one machine's {name}", part(name), "of the lines above") for name in needs[0].shares),
        ("**first bottleneck**", verdict, "the largest share"),
        ("**PostgreSQL machines**", lambda n: f"{n.nodes:,}", "the largest but connections"),
        ("**a month**, example prices", lambda n: figure(monthly(n, assumed, prices)), "formula"),
    ]
    rows = [[name, *(cell(n) for n in needs), origin] for name, cell, origin in lines]
    return markdown(["", *(f"{n.athletes:,} athletes" for n in needs), "from"], rows)


def part(name: str) -> Callable[[Need], str]:
    """Returns what writes the share that a need has of one machine."""
    return lambda of: f"{figure(of.shares[name] * 100)} %"


def verdict(of: Need) -> str:
    """Returns the first bottleneck in words."""
    full = of.shares[of.first] >= 1
    return of.first if full else f"none; nearest: {of.first}"


def figure(value: float) -> str:
    """Returns two digits of a number, which is more than assumptions allow."""
    if value == 0:
        return "0"
    digits = 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(0, digits)}f}"


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table."""
    rule = ["---", *["---:"] * (len(headings) - 2), "---"]
    return "\n".join(f"| {' | '.join(row)} |" for row in [headings, rule, *rows])


def assumptions_table(assumed: Assumptions) -> str:
    """Returns what is assumed and why."""
    rows = [
        [f"`{one.name}`", f"{getattr(assumed, one.name):g}", *one.metadata.values()]
        for one in fields(assumed)
    ]
    return markdown(["", "value", "unit", "reason"], rows)


def measurements_table(measured: Mapping[str, Any]) -> str:
    """Returns the calls of one session logged, as they were measured."""
    rows = [
        [
            *(name, f"{count:g}"),
            *(f"{measured['calls'][name][key]:,.0f}" for key in CPU_KEYS),
            *(f"{measured['calls'][name][key]:.1f}" for key in ("p50_ms", "p95_ms")),
            f"{measured['calls'][name]['calls_measured']:,}",
        ]
        for name, count in CALLS.items()
    ]
    total = [f"{busy_us(measured, name):,.0f}" for name in ("service", "postgresql")]
    rows.append(["all for a session", f"{sum(CALLS.values()):g}", *total, "", "", ""])
    headings = ["call", "for each session (assumed)", "service µs", "PostgreSQL µs"]
    return markdown([*headings, "p50 ms", "p95 ms", "calls measured"], rows)


CPU_KEYS = ("service_cpu_us", "postgresql_cpu_us")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """An hour of a replayed day."""

    name: str
    hour: int
    used: float
    """Of the workers' time."""
    shared_ms: Mapping[int, float]
    """Waits by percentile, in one queue for all workers."""
    apart_ms: Mapping[int, float]
    """Waits by percentile, with a queue for each worker."""
    erlang_ms: float
    """Mean wait of the M/M/k queue."""
    mean_ms: float
    """Mean wait in one queue."""


QUEUED = {name: count for name, count in CALLS.items() if name != "GetProgressChart"}
"""Charts are drawn by processes of their own, so that calls do not wait behind them."""


def kinds(measured: Mapping[str, Any]) -> list[Kind]:
    """Returns the calls as a queue sees them."""
    total = sum(QUEUED.values())
    return [
        Kind(
            share=count / total,
            seconds=measured["calls"][name]["service_cpu_us"] / 1e6,
            spread=measured["calls"][name]["p95_ms"] / measured["calls"][name]["p50_ms"],
        )
        for name, count in QUEUED.items()
    ]


def replay(measured: Mapping[str, Any], assumed: Assumptions, seconds: float = 60) -> list[Replay]:
    """Replays so many seconds of each hour of the busiest day of a million athletes, and of the
    same day with as much more traffic as uses 60, 80 and 95 % of the workers at its peak."""
    of, shape = need(measured, assumed, REPLAYED), hours()
    mixed = kinds(measured)
    peak = of.workers / queueing.mean_seconds(mixed)
    queued = of.calls_a_second * sum(QUEUED.values()) / sum(CALLS.values())
    rates = {"as it is": queued, **{f"{u} %": peak * u / 100 for u in (60, 80, 95)}}
    return [
        replayed(name, hour, rate * times / max(shape), of.workers, mixed, seconds)
        for name, rate in rates.items()
        for hour, times in enumerate(shape)
    ]


def replayed(
    name: str, hour: int, rate: float, workers: int, mixed: Sequence[Kind], seconds: float
) -> Replay:
    """Replays some time of one hour at so many calls a second, beginning with empty queues."""
    rng = np.random.default_rng([SEED, hour])
    times = queueing.arrivals(rng, rate, seconds)
    busy = queueing.service_times(rng, mixed, len(times))
    shared = queueing.waits_shared(times, busy, workers) * 1000
    apart = queueing.waits_apart(rng, times, busy, workers) * 1000
    mean = queueing.mean_seconds(mixed)
    return Replay(
        name=name,
        hour=hour,
        used=rate * mean / workers,
        shared_ms=queueing.by_percent(shared),
        apart_ms=queueing.by_percent(apart),
        erlang_ms=queueing.erlang_wait(workers, rate, mean) * 1000,
        mean_ms=float(shared.mean()),
    )


def peaks(replays: Sequence[Replay]) -> Iterator[Replay]:
    """Yields the busiest hour of each day."""
    for name in dict.fromkeys(one.name for one in replays):
        yield max((one for one in replays if one.name == name), key=lambda one: one.used)


def waits_table(replays: Sequence[Replay]) -> str:
    """Returns the waits at the peak hour."""
    rows = [
        [
            *(one.name, f"{one.used * 100:.0f} %"),
            *(wait(one.shared_ms), wait(one.apart_ms)),
            *(f"{one.mean_ms:.2f}", f"{one.erlang_ms:.2f}"),
        ]
        for one in peaks(replays)
    ]
    percent = "p50 / p95 / p99 ms"
    headings = ["traffic", "used at peak", f"one queue, {percent}", f"queues apart, {percent}"]
    return markdown([*headings, "one queue, mean ms", "Erlang C, mean ms"], rows)


def wait(milliseconds: Mapping[int, float]) -> str:
    """Returns waits in one cell."""
    return " / ".join(f"{one:.1f}" for one in milliseconds.values())


def draw(replays: Sequence[Replay], file: Path) -> None:
    """Writes the picture: the 95th percentile of waits by hour."""
    order = list(dict.fromkeys(one.name for one in replays))
    charts = [
        _lines(f"95th percentile of the wait, {title}", order, [*_points(replays, attribute)])
        for title, attribute in (
            ("one queue for all workers", "shared_ms"),
            ("a queue for each worker", "apart_ms"),
        )
    ]
    picture = altair.vconcat(*charts, background="white").configure_view(stroke=None)
    picture.save(str(file))


def _points(replays: Sequence[Replay], attribute: str) -> Iterator[dict[str, Any]]:
    for one in replays:
        yield {"traffic": one.name, "hour": one.hour, "ms": getattr(one, attribute)[95]}


def _lines(title: str, order: list[str], rows: list[dict[str, Any]]) -> altair.Chart:
    scale = altair.Scale(domain=order, range=COLOURS)
    return (
        altair.Chart(altair.InlineData(values=rows), title=altair.Title(title, anchor="start"))
        .mark_line(interpolate="step")
        .encode(
            x=altair.X("hour:Q", title="hour of the day, UTC", scale=altair.Scale(domain=[0, 23])),
            y=altair.Y("ms:Q", title="ms", scale=altair.Scale(type="symlog")),
            color=altair.Color("traffic:N", sort=order, scale=scale, title="used at peak"),
        )
        .properties(width=520, height=180)
    )


def sections(
    measured: Mapping[str, Any], assumed: Assumptions, prices: Prices, replays: Sequence[Replay]
) -> dict[str, str]:
    """Returns what stands between the markers of the document, by marker."""
    needs = [need(measured, assumed, athletes) for athletes in SIZES]
    size, memory = measured["bytes"], measured["memory"]
    priced_fields = [(one, getattr(prices, one.name)) for one in fields(prices)]
    shape = ", ".join(f"{one:.2f}" for one in hours())
    return {
        "capacity": table(needs, assumed, prices),
        "machine": f"One machine, `{needs[0].first}` exhausted first, serves "
        f"{figure(needs[-1].athletes_of_one_machine)} athletes.",
        "prices": markdown(
            ["a month", "example price", "of each"],
            [[f"`{one.name}`", f"{value:g}", PRICED[one.name]] for one, value in priced_fields],
        ),
        "assumptions": assumptions_table(assumed),
        "shape": f"{shape} (peak {max(hours()):.2f})",
        "calls": measurements_table(measured),
        "bytes": markdown(
            ["key", "measured", "unit"],
            [
                *([f"`bytes.{key}`", f"{size[key]:,.0f}", "bytes a session"] for key in BYTES),
                *([f"`memory.{key}`", f"{value:,.1f}", "MB"] for key, value in memory.items()),
                ["`bytes.sessions_measured`", f"{size['sessions_measured']:,}", "sessions"],
            ],
        ),
        "measured": f"Measured on {measured['measured_on']} at {measured['commit']}, on a machine "
        f"with {measured['machine_cores']} cores that others were using too.",
        "waits": waits_table(replays),
    }


PRICED = {
    "worker_core": "worker, with the memory it needs",
    "postgresql_core": "core of PostgreSQL, with memory",
    "hot_gb": "GB of a database's disk",
    "cold_gb": "GB of an object store",
}
BYTES = (
    "wal_of_log_session",
    "record",
    "hot_as_logged",
    "hot_compact",
    "hot_compact_after_archiving",
    "cold_object",
)


def filled(document: str, parts: Mapping[str, str]) -> str:
    """Returns the document with its parts between their markers; raises ValueError without one."""
    for name, text in parts.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        if not pattern.search(document):
            raise ValueError(f"no {begin} … {end}")
        document = pattern.sub(lambda _, new=f"{begin}\n{text}\n{end}": new, document)
    return document


def priced(file: Path | None) -> Prices:
    """Returns the example prices, or those of a TOML file in their place."""
    return replace(Prices(), **tomllib.loads(file.read_text())) if file else Prices()


def main(
    source: Annotated[Path, typer.Option("--input", help="What was measured, as JSON.")] = MEASURED,
    prices: Annotated[Path | None, typer.Option(help="Prices, as TOML.")] = None,
    document: Annotated[Path, typer.Option(help="The document to fill.")] = DOCUMENT,
    drawing: Annotated[Path, typer.Option(help="Where the picture goes.")] = PICTURE,
) -> None:
    """Fill the tables of the capacity model and draw the replayed day."""
    measured, assumed = json.loads(source.read_text()), Assumptions()
    replays = replay(measured, assumed)
    parts = sections(measured, assumed, priced(prices), replays)
    document.write_text(filled(document.read_text(), parts))
    draw(replays, drawing)
    typer.echo(f"{parts['capacity']}\n\n{parts['machine']}\n\n{parts['waits']}")


if __name__ == "__main__":
    typer.run(main)
