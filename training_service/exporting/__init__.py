"""Writes sessions to a file, as any client would read them: Parquet, CSV or NDJSON."""

from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from training_service.client import ClientError, Refusal, check_serving, end_command
from training_service.exporting.formats import Format, FormatError, writer_of
from training_service.exporting.stream import BrokenExportError, Order, Sessions

FAILED, WRONG_USE = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What to export, from where and where to."""

    order: Order
    address: str
    file: Path
    format: Format


def run_export(export: Export, console: Console) -> None:
    """Writes the file, with a progress bar.

    The file appears whole or not at all: until then it is called like it with `.partial` behind.
    Ends the command with exit code 1 when the service can't be used or the stream breaks again and
    again, and with 2 when the format needs a package that is not installed.
    """
    partial = export.file.with_name(export.file.name + ".partial")
    try:
        with grpc.insecure_channel(export.address) as channel:
            check_serving(channel, export.address)
            count = _write(export, partial, channel, console)
    except FormatError as error:
        end_command(console, str(error), WRONG_USE)
    except (ClientError, BrokenExportError) as error:
        end_command(console, str(error), FAILED)
    except grpc.RpcError as error:
        end_command(console, f"The service refused a call: {Refusal.of(error)}", FAILED)
    finally:
        partial.unlink(missing_ok=True)
    console.print(f"{count} sessions written to {export.file}", soft_wrap=True, highlight=False)


def _write(export: Export, partial: Path, channel: grpc.Channel, console: Console) -> int:
    """Writes what the stream brings and returns how many sessions that were."""
    sessions = Sessions(channel, export.order)
    with writer_of(export.format, partial) as writer, _progress(console) as progress:
        task = progress.add_task("export", total=None, rate="")
        for part in sessions.parts():
            writer.write(part)
            elapsed = progress.tasks[0].elapsed or 0
            rate = f"{sessions.count / elapsed:,.0f}/s" if elapsed else ""
            progress.update(task, completed=sessions.count, rate=rate)
    partial.replace(export.file)
    return sessions.count


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,} sessions"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=console,
    )
