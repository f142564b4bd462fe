"""`make drill`: every failure drill, one after the other; ends with 1 when one goes wrong."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.drills import report
from tests.drills.faults import DRILLS, perform
from tests.drills.ledger import Result
from tests.drills.stage import running_cluster
from training_service.logs import configure_logs
from training_service.settings import Settings


def run(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Which: {', '.join(DRILLS)}. None: all.")
    ] = None,
    document: Annotated[
        Path | None, typer.Option("--report", help="Markdown whose table is replaced.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Where all counts go, as JSON.")] = None,
) -> None:
    """Let things break under load, and count what was acknowledged, lost and duplicated."""
    chosen = names or list(DRILLS)
    unknown = sorted(set(chosen) - set(DRILLS))
    if unknown:
        raise typer.BadParameter(f"no such drill: {', '.join(unknown)}")
    console = Console(width=180)
    configure_logs(Settings(log_level="ERROR"))
    results = _performed(chosen, console)
    console.print(report.to_table(results))
    for result in results:
        for finding in result.findings:
            console.print(f"{result.name}: {finding}", style="red")
    if document:
        report.write_into(document, results)
    if output:
        output.write_text(json.dumps(report.to_json(results), indent=1) + "\n")
    raise typer.Exit(0 if all(result.is_good for result in results) else 1)


def _performed(names: list[str], console: Console) -> list[Result]:
    """Runs drills, showing which is under way."""
    results = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress, running_cluster() as cluster:
        for name in names:
            task = progress.add_task(f"{name}: {DRILLS[name].fault}", total=1)
            results.append(perform(name, cluster))
            progress.update(task, completed=1)
    return results


if __name__ == "__main__":
    typer.run(run)
