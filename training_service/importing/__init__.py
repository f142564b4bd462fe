"""Brings the logs that other apps export into the service, as any client would."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import grpc
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from training_service.client import ClientError, Refusal, check_serving, end_command
from training_service.importing.cells import FileError
from training_service.importing.client import Client
from training_service.importing.drafts import Draft, Drafter, batches, instant
from training_service.importing.formats import ImportedFile, Source, WeightUnit, read_file
from training_service.importing.matching import Matcher, app_exercises
from training_service.importing.report import (
    Outcome,
    print_dry_run,
    print_file,
    print_matches,
    print_omissions,
    print_outcome,
)

BATCH_SESSIONS = 100
BATCH_SETS = 10_000
"""Half of what the service takes in one call."""

REFUSED, WRONG_FILE = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What to import, for whom and where to; `source` None is found out by the header.

    Without `apply` nothing is stored.
    """

    file: Path
    address: str
    external_user_id: UUID
    zone: ZoneInfo
    source: Source | None = None
    weight_unit: WeightUnit | None = None
    apply: bool = False


def run_import(order: Import, console: Console) -> None:
    """Reads a file, matches it with the catalogue, reports, and stores it if it is to be applied.

    Ends the command with exit code 2 when the file can't be read, and with 1 when the service can't
    be used or refuses a session; what it did not refuse is stored then.
    """
    try:
        file = read_file(order.file.read_bytes(), order.source, order.weight_unit)
    except FileError as error:
        end_command(console, f"{order.file.name}: {error}", WRONG_FILE)
    try:
        with grpc.insecure_channel(order.address) as channel:
            check_serving(channel, order.address)
            _run(order, file, Client(channel, order.external_user_id), console)
    except ClientError as error:
        end_command(console, str(error), REFUSED)
    except grpc.RpcError as error:
        end_command(
            console,
            f"The service at {order.address} refused a call: {Refusal.of(error)}",
            REFUSED,
        )


def _run(order: Import, file: ImportedFile, client: Client, console: Console) -> None:
    wanted = app_exercises(file.sessions)
    matcher = Matcher(client.catalogue(), client.search)
    matches = {one.name: match for one in wanted if (match := matcher.match(one))}
    drafter = Drafter(order.external_user_id, file.source, order.zone, matches)
    drafts = [drafter.draft(session) for session in file.sessions]
    print_file(file, console)
    print_matches(wanted, matches, console)
    print_omissions(drafts, console)
    ready = [draft for draft in drafts if draft.request is not None]
    if not order.apply:
        print_dry_run(len(ready), console)
        return
    outcome = Outcome()
    try:
        _store(ready, order.zone, client, outcome, console)
    finally:
        print_outcome(outcome, console)
    if outcome.refused:
        raise typer.Exit(REFUSED)


def _store(
    drafts: Sequence[Draft], zone: ZoneInfo, client: Client, outcome: Outcome, console: Console
) -> None:
    """Sends drafts, oldest first, with a progress bar, and counts what became of each."""
    if not drafts:
        return
    starts = [instant(draft.imported.start, zone) for draft in drafts]
    known_ids = client.stored_ids(min(starts), max(starts))
    imported = iter(drafts)
    requests = [draft.request for draft in drafts if draft.request is not None]
    with _progress(console) as progress:
        task = progress.add_task("import", total=len(drafts))
        for batch in batches(requests, BATCH_SESSIONS, BATCH_SETS):
            for result in client.log(batch):
                outcome.add(next(imported).imported, result, known_ids)
            progress.advance(task, len(batch))


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("sessions"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
    )
