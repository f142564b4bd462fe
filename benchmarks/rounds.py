"""Rounds in which everything that is compared takes its turn."""

import re
import time
from collections.abc import Sequence
from functools import partial
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

from benchmarks.load import Sample, measure, median
from benchmarks.stack import Comparison, Target

T = TypeVar("T")

LAST_RECORDS_SECONDS = 0.2
"""Access records are written many at a time."""

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
        time.sleep(LAST_RECORDS_SECONDS)
        with target.log.open() as log:
            log.seek(seen)
            statuses = re.findall(r'"status":"(\w+)"', log.read())
        if set(statuses) != {"OK"}:
            raise RuntimeError(f"calls of {target.name} ended with {sorted(set(statuses))}")
    return sample


def rotated(items: Sequence[T], by: int) -> Sequence[T]:
    """Returns the items in another order for every round."""
    start = by % len(items)
    return [*items[start:], *items[:start]]
