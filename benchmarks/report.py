"""Measurements as tables for people and as JSON for a later comparison.

`python -m benchmarks.report FILE` prints that JSON as the Markdown of docs/performance.md.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import goals
from benchmarks.goals import Results
from benchmarks.load import ratio

LEFT = {"call", "target", "goal", "of which"}


def _table(title: str, *headings: str) -> Table:
    shown = Table(title=title)
    for heading in headings:
        shown.add_column(heading, justify="left" if heading in LEFT else "right")
    return shown


def measurements(results: Results, title: str) -> Table:
    """Returns what was measured; × is in relation to the first target of the call."""
    shown = _table(
        title,
        *("call", "target", "requests/s", "×", "CPU µs", "×", "of which"),
        *("p50/p95/p99 ms", "peak MB"),
    )
    for case, targets in results.items():
        first = next(iter(targets.values()))
        for name, sample in targets.items():
            latencies = " / ".join(f"{ms:.1f}" for ms in sample.latency_ms.values())
            peak = sum(mb for n, mb in sample.peak_memory_mb.items() if n != "postgresql")
            shown.add_row(
                *(case, name, f"{sample.requests_per_second:,.0f}"),
                f"{ratio(sample.requests_per_second, first.requests_per_second):.2f}",
                f"{sample.total_cpu_us:,.0f}",
                f"{ratio(sample.total_cpu_us, first.total_cpu_us):.2f}",
                " + ".join(f"{n} {us:,.0f}" for n, us in sample.cpu_us.items()),
                *(latencies, f"{peak:,.0f}" if peak else ""),
            )
    return shown


def verdicts(results: Results, baseline: Mapping[str, float]) -> Table:
    """Returns which goals are met, beside the ratios of an earlier run."""
    shown = _table("goals", "goal", "bound", "ratio", "met", "before")
    for goal, measured in goals.ratios(results).items():
        before = f"{baseline[goal.name]:.2f}" if goal.name in baseline else ""
        met = "yes" if goal.is_met(measured) else "no"
        shown.add_row(goal.name, goal.bound, f"{measured:.2f}", met, before)
    return shown


def described() -> str:
    """Returns the commit that is measured."""
    done = subprocess.run(
        [shutil.which("git") or "git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def to_json(results: Results) -> dict[str, Any]:
    """Returns everything, with the commit it was measured at."""
    return {
        "commit": described(),
        "goals": {goal.name: value for goal, value in goals.ratios(results).items()},
        "calls": {
            case: {name: asdict(sample) for name, sample in targets.items()}
            for case, targets in results.items()
        },
    }


def to_markdown(numbers: Mapping[str, Any]) -> str:
    """Returns what `to_json` returned, as tables."""
    lines = ["| Goal | Bound | Measured | Met |", "|---|---|---|---|"]
    bounds = {goal.name: goal for goal in goals.GOALS}
    for name, value in numbers["goals"].items():
        met = "yes" if bounds[name].is_met(value) else "no"
        lines.append(f"| {name} | {bounds[name].bound} | {value:.2f} | {met} |")
    lines += [
        "",
        "| Call | By | requests/s | CPU µs | of it PostgreSQL | CPU × | p50/p95/p99 ms | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for call, targets in numbers["calls"].items():
        first = sum(next(iter(targets.values()))["cpu_us"].values())
        for index, (name, sample) in enumerate(targets.items()):
            lines.append(_markdown_row("" if index else call, name, sample, first))
    return "\n".join(lines)


def _markdown_row(call: str, name: str, sample: Mapping[str, Any], first: float) -> str:
    cpu = sum(sample["cpu_us"].values())
    database = sample["cpu_us"].get("postgresql")
    peak = sum(mb for n, mb in sample["peak_memory_mb"].items() if n != "postgresql")
    cells = (
        *(call, name, f"{sample['requests_per_second']:,.0f}", f"{cpu:,.0f}"),
        *("" if database is None else f"{database:,.0f}", f"{ratio(cpu, first):.2f}"),
        " / ".join(f"{ms:.1f}" for ms in sample["latency_ms"].values()),
        f"{peak:,.0f}" if peak else "",
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(to_markdown(json.loads(Path(sys.argv[1]).read_text())))
