"""`make bench`: what calls cost beside what they could cost at best, in one run.

Starts everything it needs: PostgreSQL, the service with two workers and with one, both floors and
Envoy. Targets take turns within each round, so that whatever else the machine does meets all of
them. Numbers are medians of the rounds; CPU time is that of the processes themselves, from the
kernel.
"""

import json
import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks import picture, report
from benchmarks.load import Sample, measure, median, require_h2load
from benchmarks.stack import WORKERS, Comparison, Target, running_stack

console = Console(stderr=True)


def measured(comparisons: list[Comparison], rounds: int) -> dict[str, dict[str, Sample]]:
    """Sends every case to its targets in turn, round after round."""
    samples: dict[str, dict[str, list[Sample]]] = {}
    with Progress(console=console, transient=True) as progress:
        total = rounds * sum(len(c.targets) for c in comparisons)
        task = progress.add_task("rounds", total=total)
        for number in range(rounds):
            for comparison in comparisons:
                for target in rotated(comparison.targets, number):
                    progress.update(task, description=f"{comparison.name}, {target.name}")
                    sample = send(target, comparison.count)
                    found = samples.setdefault(comparison.name, {})
                    found.setdefault(target.name, []).append(sample)
                    progress.advance(task)
    return {
        comparison.name: {
            target.name: median(samples[comparison.name][target.name])
            for target in comparison.targets
        }
        for comparison in comparisons
    }


def send(target: Target, count: int) -> Sample:
    """Measures one turn of a target; raises RuntimeError when a call did not end well."""
    seen = target.log.stat().st_size if target.log else 0
    sample = measure(partial(target.send, count), count, target.pids)
    if target.log:
        with target.log.open() as log:
            log.seek(seen)
            statuses = re.findall(r'"status":"(\w+)"', log.read())
        if set(statuses) != {"OK"}:
            raise RuntimeError(f"calls of {target.name} ended with {sorted(set(statuses))}")
    return sample


def rotated(targets: list[Target], by: int) -> list[Target]:
    """Returns the targets in another order for every round."""
    start = by % len(targets)
    return targets[start:] + targets[:start]


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
