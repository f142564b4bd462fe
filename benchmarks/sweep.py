"""`python -m benchmarks.sweep SETTING VALUES`: one setting of the service with several values.

Starts a service for each value, all on one database, and lets them take turns in every round:

    python -m benchmarks.sweep TRAINING_POOL_MAX_SIZE 2,5,10,20
"""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import cases, data, report
from benchmarks.load import h2load, require_h2load
from benchmarks.processes import database_pid
from benchmarks.rounds import measured
from benchmarks.stack import (
    Comparison,
    Service,
    Target,
    as_caller,
    newest_session,
    prepared_database,
    running_service,
)
from training_service.embedded import embedded_postgres

# Below the range that clients' own ports come from.
FIRST_PORT = 15171
CONNECTIONS, STREAMS = 16, 4
"""More calls at a time than any pool has connections."""


def comparisons(
    services: dict[str, Service], database: int, athlete: str, scale: float
) -> list[Comparison]:
    """Returns the core calls, each sent to every service."""
    first = next(iter(services.values()))
    session_id = newest_session(first.address, athlete)
    return [
        Comparison(
            case.name,
            case.count,
            [
                Target(
                    value,
                    partial(
                        h2load,
                        case.to_grpc(service.address, as_caller(athlete)),
                        connections=CONNECTIONS,
                        streams=STREAMS,
                    ),
                    {"service": service.pid, "postgresql": database},
                    service.log,
                )
                for value, service in services.items()
            ],
        )
        for case in [*cases.core(athlete, session_id, scale), cases.logging(athlete, scale)]
    ]


def settings_of(name: str, value: str) -> dict[str, str]:
    """Returns the settings of one service; a pool is full from the start."""
    if name == "TRAINING_POOL_MAX_SIZE":
        return {name: value, "TRAINING_POOL_MIN_SIZE": value}
    return {name: value}


def started(
    processes: ExitStack, url: str, name: str, values: Sequence[str], folder: Path
) -> dict[str, Service]:
    """Starts a service with one worker for each value."""
    return {
        value: running_service(
            processes, url, f"127.0.0.1:{FIRST_PORT + n}", 1, folder, **settings_of(name, value)
        )
        for n, value in enumerate(values)
    }


def run(
    name: Annotated[str, typer.Argument(help="A variable of docs/settings.md.")],
    values: Annotated[str, typer.Argument(help="Its values, with commas between.")],
    rounds: Annotated[int, typer.Option(min=1, help="How often each value has its turn.")] = 5,
    scale: Annotated[float, typer.Option(help="Multiplies how many requests a turn has.")] = 1.0,
) -> None:
    """Measure the core calls with several values of a setting."""
    require_h2load()
    with (
        tempfile.TemporaryDirectory(prefix="training-bench-", ignore_cleanup_errors=True) as folder,
        embedded_postgres(Path(folder) / "postgres") as server_url,
        ExitStack() as processes,
    ):
        url = prepared_database(server_url, Path(folder))
        services = started(processes, url, name, values.split(","), Path(folder))
        athlete = data.athlete("0")
        data.fill(next(iter(services.values())).address, [athlete], 300)
        found = measured(comparisons(services, database_pid(url), athlete, scale), rounds)
    Console(width=160).print(report.measurements(found, f"medians, by {name}"))


if __name__ == "__main__":
    typer.run(run)
