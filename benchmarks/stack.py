"""Everything that runs for a benchmark, filled with the data set."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

import grpc
import psycopg
from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1.session_pb2_grpc import SessionServiceStub

from benchmarks import cases, data
from benchmarks.cases import Case
from benchmarks.copying import copy_out
from benchmarks.load import Request, h2load, h2load_side_by_side
from benchmarks.processes import database_pid, python_process, require_free, wait_until_serving
from deploy.envoy.gateway import Gateway, running_envoy
from training_service.embedded import embedded_postgres
from training_service.issuer import DevelopmentIssuer
from training_service.storage.bootstrap import ensure_database

WORKERS = 2
# Below the range that clients' own ports come from.
SERVICE, STACK, HANDWRITTEN, ENVOY, LONE = (
    f"127.0.0.1:{port}" for port in (15151, 15152, 15153, 15154, 15156)
)
ENVOY_ADMIN_PORT = 15155
UNLIMITED = 100_000_000
UNLIMITED_CALLS = {
    f"TRAINING_RATE_{kind}_PER_SECOND": "0" for kind in ("READS", "WRITES", "STREAMS", "CHARTS")
}
"""A benchmark calls as fast as it can."""
AT_A_TIME = 16
EXPORTED = data.athlete("exported")
"""The athlete with a history long enough to be exported."""


@dataclass(frozen=True, slots=True)
class Target:
    """Something that answers requests, and the processes that do the work."""

    name: str
    send: Callable[[int], tuple[float, list[int]]]
    """Sends so many requests; see `load.measure`."""
    pids: Mapping[str, int]
    log: Path | None = None
    """Where the processes record how each call ended."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A case and the targets it is sent to; the first is what the others are compared with."""

    name: str
    count: int
    targets: list[Target]


@dataclass(frozen=True, slots=True)
class Service:
    """A service and where it listens."""

    address: str
    pid: int
    log: Path


@dataclass(slots=True)
class Stack:
    """All that runs, and whose data is asked for."""

    url: str
    service: Service
    lone: Service
    """The same with one worker."""
    pids: dict[str, int] = field(default_factory=dict)
    athlete: str = ""
    session_id: str = ""
    token: Callable[[str], str] = str
    """Returns the bearer token of an athlete."""

    def comparisons(self, scale: float) -> Iterator[Comparison]:
        """Yields what is compared."""
        for case in cases.core(self.athlete, self.session_id, scale):
            yield Comparison(case.name, case.count, [*self._beside_floors([case])])
        # By as many athletes as calls at a time: one's would wait for one another at the records.
        logging = [cases.logging(athlete, scale) for athlete in data.athletes(AT_A_TIME)]
        targets = [*self._beside_floors(logging)]
        yield Comparison(logging[0].name, logging[0].count, targets)
        for case in cases.catalogue(scale):
            yield Comparison(case.name, case.count, [self._floor(case), self._direct(case)])
        for case in cases.wide(self.athlete, scale):
            yield Comparison(case.name, case.count, [self._direct(case)])
        export = cases.export(EXPORTED, scale)
        yield Comparison(export.name, export.count, [self._copy(), self._exporting(export)])
        for case in cases.scaling(self.athlete, self.session_id, scale):
            yield Comparison(case.name, case.count, [*self._both_sizes(case)])

    def _beside_floors(self, same: Sequence[Case]) -> Iterator[Target]:
        """The targets of a call, or of the same call by several athletes side by side."""

        def target(name: str, pids: dict[str, int], to: Callable[[Case], Request]) -> Target:
            log = self.service.log if name == "service" else None
            return Target(name, by_all([to(case) for case in same]), pids, log)

        def to_grpc(case: Case) -> Request:
            token = self.token(case.athlete)
            return case.to_grpc(ENVOY, {"authorization": f"Bearer {token}"})

        def to_rest(case: Case) -> Request:
            return case.to_rest(ENVOY, case.athlete, self.token(case.athlete))

        def to_service(case: Case) -> Request:
            return case.to_grpc(SERVICE, as_caller(case.athlete))

        by_hand = self._pids("handwritten", "postgresql")
        through = {**self._served(), **self._pids("envoy")}
        yield target("handwritten floor", by_hand, lambda case: case.to_grpc(HANDWRITTEN, {}))
        yield target("stack floor", self._pids("stack"), lambda case: case.to_grpc(STACK, {}))
        yield target("service", self._served(), to_service)
        yield target("gRPC through Envoy", through, to_grpc)
        yield target("REST through Envoy", through, to_rest)

    def _floor(self, case: Case) -> Target:
        send = by_h2load(case.to_grpc(STACK, {}))
        return Target("stack floor", send, self._pids("stack"))

    def _direct(self, case: Case) -> Target:
        send = by_h2load(case.to_grpc(SERVICE, as_caller(self.athlete)))
        return Target("service", send, self._served(), self.service.log)

    def _copy(self) -> Target:
        return Target("COPY", partial(copy_out, self.url, EXPORTED), self._pids("postgresql"))

    def _exporting(self, case: Case) -> Target:
        request = case.to_grpc(SERVICE, as_caller(EXPORTED))
        send = partial(h2load, request, connections=1, streams=1)
        return Target("service", send, self._served(), self.service.log)

    def _both_sizes(self, case: Case) -> Iterator[Target]:
        """Connections enough that the kernel's spreading of them over workers evens out."""
        for name, service in (("one worker", self.lone), (f"{WORKERS} workers", self.service)):
            request = case.to_grpc(service.address, as_caller(self.athlete))
            send = partial(h2load, request, connections=32, streams=1)
            pids = {"service": service.pid, **self._pids("postgresql")}
            yield Target(name, send, pids, service.log)

    def _served(self) -> dict[str, int]:
        return {"service": self.service.pid, **self._pids("postgresql")}

    def _pids(self, *names: str) -> dict[str, int]:
        return {name: self.pids[name] for name in names}


def by_all(requests: Sequence[Request]) -> Callable[[int], tuple[float, list[int]]]:
    """Returns what sends one request with that concurrency, or several side by side."""
    if len(requests) == 1:
        return by_h2load(requests[0])
    return partial(h2load_side_by_side, requests)


def by_h2load(request: Request) -> Callable[[int], tuple[float, list[int]]]:
    """Returns what sends a request with the concurrency of most cases: 16 calls at a time."""
    return partial(h2load, request, connections=8, streams=2)


def as_caller(athlete: str) -> dict[str, str]:
    """Returns what a gateway would say of the caller."""
    return {"x-external-user-id": athlete}


@contextmanager
def running_stack(
    folder: Path, athlete_count: int, sessions_each: int, exported_sessions: int
) -> Iterator[Stack]:
    """Starts everything and logs the data set."""
    with ExitStack() as processes:
        server_url = processes.enter_context(embedded_postgres(folder / "postgres"))
        url = prepared_database(server_url, folder)
        stack = Stack(
            url,
            running_service(processes, url, SERVICE, WORKERS, folder),
            running_service(processes, url, LONE, 1, folder),
        )
        stack.pids["postgresql"] = database_pid(url)
        output = processes.enter_context((folder / "others.log").open("w"))
        for name, address, *arguments in (
            ("stack", STACK),
            ("handwritten", HANDWRITTEN, url),
        ):
            require_free(address)
            command = ("benchmarks.floors", str(WORKERS), name, address, *arguments)
            process = processes.enter_context(python_process(*command, output=output))
            wait_until_serving(address, process)
            stack.pids[name] = process.pid
        issuer = DevelopmentIssuer(folder / "issuer")
        gateway = unlimited_gateway(ENVOY, ENVOY_ADMIN_PORT, SERVICE, issuer)
        envoy = processes.enter_context(running_envoy(gateway, folder, output))
        stack.pids["envoy"] = envoy.process.pid
        athletes = data.athletes(athlete_count)
        data.fill(SERVICE, athletes, sessions_each)
        data.fill(SERVICE, [EXPORTED], exported_sessions)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        stack.athlete = athletes[len(athletes) // 2]
        stack.session_id = newest_session(SERVICE, stack.athlete)
        stack.token = lambda athlete: issuer.token(UUID(athlete), "", 24 * 3600)
        yield stack


def unlimited_gateway(
    listen: str, admin_port: int, service: str, issuer: DevelopmentIssuer
) -> Gateway:
    """Returns a gateway to one service that lets everybody call as often as they like."""
    return Gateway(
        listen=listen,
        admin_port=admin_port,
        services=[service],
        jwks_file=issuer.jwks_file,
        user_calls_per_second=UNLIMITED,
        user_burst=UNLIMITED,
        docs=False,
    )


def prepared_database(server_url: str, folder: Path) -> str:
    """Returns the URL of a new database with the schema and the catalogue."""
    url = ensure_database(server_url, "benchmark")
    environment = {"TRAINING_DATABASE_URL": url}
    with (folder / "commands.log").open("w") as output:
        for command in ("migrate", "seed"):
            with python_process(
                "training_service", command, environment=environment, output=output
            ) as done:
                if done.wait(120):
                    raise RuntimeError(f"{command} failed; see {output.name}")
    return url


def running_service(
    processes: ExitStack, url: str, address: str, workers: int, folder: Path, **settings: str
) -> Service:
    """Starts a service, which is stopped with the other processes."""
    require_free(address)
    environment = {
        "TRAINING_DATABASE_URL": url,
        "TRAINING_LISTEN_ADDRESS": address,
        "TRAINING_WORKERS": str(workers),
        **UNLIMITED_CALLS,
        **settings,
    }
    log = folder / f"service-{address.rpartition(':')[2]}.log"
    output = processes.enter_context(log.open("w"))
    process = processes.enter_context(
        python_process("training_service", "serve", environment=environment, output=output)
    )
    wait_until_serving(address, process)
    return Service(address, process.pid, log)


def newest_session(address: str, athlete: str) -> str:
    """Returns the id of an athlete's newest session."""
    with grpc.insecure_channel(address) as channel:
        request = pb.ListSessionsRequest(page_size=1)
        metadata = list(as_caller(athlete).items())
        return SessionServiceStub(channel).ListSessions(request, metadata=metadata).sessions[0].id
