"""`make bench`: what calls cost beside two yardsticks, and REST beside gRPC, in one run.

Starts everything it needs: PostgreSQL, the service with two workers, both floors and Envoy. Targets
take turns within each round, so that whatever else the machine does meets all of them. Numbers are
medians of the rounds; CPU time is that of the processes themselves, from the kernel.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import grpc
import psycopg
import typer
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import cases, data
from benchmarks.cases import Case
from benchmarks.load import Request, Sample, median, require_h2load, run_load
from benchmarks.processes import database_pid, python_process, wait_until_serving
from deploy.envoy.gateway import Gateway, running_envoy
from training_service.embedded import embedded_postgres
from training_service.issuer import DevelopmentIssuer
from training_service.storage.bootstrap import ensure_database

WORKERS = 2
# Below the range that clients' own ports come from.
SERVICE, STACK, HANDWRITTEN, ENVOY = (f"127.0.0.1:{port}" for port in (15151, 15152, 15153, 15154))
ENVOY_ADMIN_PORT = 15155
UNLIMITED = 100_000_000

console = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers a request, and the processes that do the work."""

    name: str
    request: Request
    pids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A case and the targets it is sent to; the first is what the others are compared with."""

    case: Case
    targets: list[Target]


@dataclass(slots=True)
class Stack:
    """All that runs."""

    pids: dict[str, int]
    athlete: str
    session_id: str
    token: str

    @property
    def metadata(self) -> dict[str, str]:
        """What a gateway would say of the caller."""
        return {"x-external-user-id": self.athlete}

    def comparisons(self, scale: float) -> Iterator[Comparison]:
        """Yields what is compared."""
        served = self._pids("service", "postgresql")
        for case in cases.core(self.athlete, self.session_id, scale):
            stack = Target("stack floor", case.to_grpc(STACK, {}), self._pids("stack"))
            floor = Target(
                "handwritten floor",
                case.to_grpc(HANDWRITTEN, {}),
                self._pids("handwritten", "postgresql"),
            )
            service = Target("service", case.to_grpc(SERVICE, self.metadata), served)
            bearer = {"authorization": f"Bearer {self.token}"}
            through = self._pids("service", "postgresql", "envoy")
            by_grpc = Target("gRPC through Envoy", case.to_grpc(ENVOY, bearer), through)
            rest = Target(
                "REST through Envoy", case.to_rest(ENVOY, self.athlete, self.token), through
            )
            yield Comparison(case, [floor, stack, service, by_grpc, rest])
        for case in cases.wide(self.athlete, scale):
            yield Comparison(
                case, [Target("service", case.to_grpc(SERVICE, self.metadata), served)]
            )
        for case in cases.catalogue(scale):
            stack = Target("stack floor", case.to_grpc(STACK, {}), self._pids("stack"))
            service = Target("service", case.to_grpc(SERVICE, {}), served)
            yield Comparison(case, [stack, service])

    def _pids(self, *names: str) -> dict[str, int]:
        return {name: self.pids[name] for name in names}


@contextmanager
def running_stack(folder: Path, athlete_count: int, sessions_each: int) -> Iterator[Stack]:
    """Starts everything and logs the data set."""
    with ExitStack() as stack:
        server_url = stack.enter_context(embedded_postgres(folder / "postgres"))
        url = ensure_database(server_url, "benchmark")
        environment = {
            "TRAINING_DATABASE_URL": url,
            "TRAINING_LISTEN_ADDRESS": SERVICE,
        }
        output = stack.enter_context((folder / "processes.log").open("w"))
        for command in ("migrate", "seed"):
            with python_process(
                "training_service", command, environment=environment, output=output
            ) as done:
                if done.wait(120):
                    raise RuntimeError(f"{command} failed; see {output.name}")

        def start(address: str, *arguments: str) -> int:
            process = stack.enter_context(
                python_process(*arguments, environment=environment, output=output)
            )
            wait_until_serving(address, process)
            return process.pid

        serve = ("training_service", "serve", "--workers", str(WORKERS))
        floors = ("benchmarks.floors", str(WORKERS))
        pids = {
            "postgresql": database_pid(url),
            "service": start(SERVICE, *serve),
            "stack": start(STACK, *floors, "stack", STACK),
            "handwritten": start(HANDWRITTEN, *floors, "handwritten", HANDWRITTEN, url),
        }
        issuer = DevelopmentIssuer(folder / "issuer")
        gateway = Gateway(
            listen=ENVOY,
            admin_port=ENVOY_ADMIN_PORT,
            services=[SERVICE],
            jwks_file=issuer.jwks_file,
            user_calls_per_second=UNLIMITED,
            user_burst=UNLIMITED,
            docs=False,
        )
        envoy = stack.enter_context(running_envoy(gateway, folder, output))
        pids["envoy"] = envoy.process.pid
        athletes = data.fill(SERVICE, athlete_count, sessions_each)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        athlete = athletes[len(athletes) // 2]
        token = issuer.token(UUID(athlete), "", 24 * 3600)
        yield Stack(pids, athlete, newest_session(athlete), token)


def newest_session(athlete: str) -> str:
    """Returns the id of an athlete's newest session, and so shows that calls succeed."""
    with grpc.insecure_channel(SERVICE) as channel:
        request = pb.ListSessionsRequest(page_size=1)
        metadata = [("x-external-user-id", athlete)]
        return SessionServiceStub(channel).ListSessions(request, metadata=metadata).sessions[0].id


Results = dict[str, dict[str, Sample]]


def measure(comparisons: list[Comparison], rounds: int) -> Results:
    """Sends every case to its targets in turn, round after round."""
    samples: dict[str, dict[str, list[Sample]]] = {}
    with Progress(console=console, transient=True) as progress:
        total = rounds * sum(len(c.targets) for c in comparisons)
        task = progress.add_task("rounds", total=total)
        for number in range(rounds):
            for comparison in comparisons:
                for target in rotated(comparison.targets, number):
                    progress.update(task, description=f"{comparison.case.name}, {target.name}")
                    sample = run_load(target.request, comparison.case.count, target.pids)
                    found = samples.setdefault(comparison.case.name, {})
                    found.setdefault(target.name, []).append(sample)
                    progress.advance(task)
    return {
        comparison.case.name: {
            target.name: median(samples[comparison.case.name][target.name])
            for target in comparison.targets
        }
        for comparison in comparisons
    }


def rotated(targets: list[Target], by: int) -> list[Target]:
    """Returns the targets in another order for every round."""
    start = by % len(targets)
    return targets[start:] + targets[:start]


def table(results: Results) -> Table:
    """Returns the results for people."""
    shown = Table(title=f"medians; service with {WORKERS} workers")
    for heading in (
        "call",
        "target",
        "requests/s",
        "CPU µs",
        "of which",
        "× first",
        "p50/p95/p99 ms",
    ):
        shown.add_column(heading, justify="left" if heading in ("call", "target") else "right")
    for case, targets in results.items():
        first = next(iter(targets.values())).total_cpu_us
        for name, sample in targets.items():
            parts = " + ".join(f"{n} {us:.0f}" for n, us in sample.cpu_us.items())
            latencies = " / ".join(f"{ms:.1f}" for ms in sample.latency_ms.values())
            shown.add_row(
                *(case, name, f"{sample.requests_per_second:,.0f}"),
                *(f"{sample.total_cpu_us:,.0f}", parts),
                *(f"{sample.total_cpu_us / first:.2f}", latencies),
            )
    return shown


def to_json(results: Results) -> Any:
    """Returns the results for a later comparison."""
    return {
        case: {name: asdict(sample) for name, sample in targets.items()}
        for case, targets in results.items()
    }


def run(
    rounds: Annotated[int, typer.Option(min=1, help="How often each target has its turn.")] = 5,
    scale: Annotated[float, typer.Option(help="Multiplies how many requests a turn has.")] = 1.0,
    athletes: Annotated[int, typer.Option(help="Athletes in the data set.")] = 100,
    sessions: Annotated[int, typer.Option(help="Sessions of each.")] = 300,
    only: Annotated[str, typer.Option(help="Part of the names of the calls to measure.")] = "",
    output: Annotated[Path | None, typer.Option(help="Where the numbers go, as JSON.")] = None,
) -> None:
    """Measure calls beside the floors, and REST beside gRPC."""
    require_h2load()
    with (
        tempfile.TemporaryDirectory(prefix="training-bench-", ignore_cleanup_errors=True) as folder,
        running_stack(Path(folder), athletes, sessions) as stack,
    ):
        chosen = [c for c in stack.comparisons(scale) if only in c.case.name]
        results = measure(chosen, rounds)
    Console(width=160).print(table(results))
    if output:
        output.write_text(json.dumps(to_json(results), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(run)
