"""Results as a table for people, as Markdown for docs/reliability.md and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.drills.ledger import Result

BEGIN = "<!-- drills -->"
END = "<!-- end of drills -->"
HEADINGS = (
    "Drill",
    "Calls under way",
    "Writes acknowledged",
    "Lost",
    "Duplicated",
    "Failed",
    "Tries repeated",
    "Fault, s",
    "Recovery, s: first / all callers",
    "Slowest call, s",
)


def cells(result: Result) -> list[str]:
    """Returns a row of the table."""
    if result.skipped:
        return [result.name, result.skipped, *[""] * (len(HEADINGS) - 2)]
    numbers = (
        result.under_way,
        result.acknowledged,
        result.lost,
        result.duplicated,
        result.failed,
        sum(result.repeated.values()),
    )
    recovery = " / ".join(
        "never" if seconds is None else f"{seconds:.2f}"
        for seconds in (result.first_recovery_seconds, result.full_recovery_seconds)
    )
    return [
        result.name,
        *(f"{number:,}" for number in numbers),
        f"{result.fault_seconds:.1f}",
        recovery,
        f"{result.slowest_seconds:.1f}",
    ]


def to_table(results: Sequence[Result]) -> Table:
    """Returns the table for a terminal."""
    shown = Table(title="failure drills")
    for index, heading in enumerate(HEADINGS):
        shown.add_column(heading, justify="right" if index else "left")
    for result in results:
        shown.add_row(*cells(result), style=None if result.is_good else "red")
    return shown


def to_markdown(results: Sequence[Result]) -> str:
    """Returns the table for the document."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---|" + "--:|" * (len(HEADINGS) - 1)]
    for result in results:
        lines.append(f"| {' | '.join(cells(result))} |")
    return "\n".join(lines)


def write_into(document: Path, results: Sequence[Result]) -> None:
    """Replaces the table between the marks of a document."""
    before, _, rest = document.read_text().partition(BEGIN)
    _, mark, after = rest.partition(END)
    assert mark, f"{document} has no {BEGIN} … {END}"
    document.write_text(f"{before}{BEGIN}\n{to_markdown(results)}\n{END}{after}")


def to_json(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Returns everything that was counted."""
    return [asdict(result) for result in results]
