"""`make bench`: what calls cost beside what they could cost at best, in one run.

Starts everything it needs: PostgreSQL, the service with two workers and with one, both floors and
Envoy. Targets take turns within each round, so that whatever else the machine does meets all of
them. Numbers are medians of the rounds; CPU time is that of the processes themselves, from the
kernel.
"""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import picture, report
from benchmarks.load import require_h2load
from benchmarks.rounds import measured
from benchmarks.stack import WORKERS, running_stack


def run(
    rounds: Annotated[int, typer.Option(min=1, help="How often each target has its turn.")] = 5,
    scale: Annotated[float, typer.Option(help="Multiplies how many requests a turn has.")] = 1.0,
    athletes: Annotated[int, typer.Option(help="Athletes in the data set.")] = 100,
    sessions: Annotated[int, typer.Option(help="Sessions of each.")] = 300,
    exported: Annotated[int, typer.Option(help="Sessions of the one who exports them.")] = 20_000,
    only: Annotated[str, typer.Option(help="Part of the names of the calls to measure.")] = "",
    output: Annotated[Path | None, typer.Option(help="Where the numbers go, as JSON.")] = None,
    drawing: Annotated[Path | None, typer.Option(help="Where the picture goes, as SVG.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="JSON of an earlier run.")] = None,
) -> None:
    """Measure calls beside the floors, REST beside gRPC, exports beside COPY."""
    require_h2load()
    before = json.loads(baseline.read_text())["goals"] if baseline else {}
    with (
        tempfile.TemporaryDirectory(prefix="training-bench-", ignore_cleanup_errors=True) as folder,
        running_stack(Path(folder), athletes, sessions, exported) as stack,
    ):
        results = measured([c for c in stack.comparisons(scale) if only in c.name], rounds)
    shown = Console(width=160)
    shown.print(report.measurements(results, f"medians; service with {WORKERS} workers"))
    shown.print(report.verdicts(results, before))
    if output:
        output.write_text(json.dumps(report.to_json(results), indent=1) + "\n")
    if drawing:
        picture.draw(results, drawing)


if __name__ == "__main__":
    typer.run(run)
