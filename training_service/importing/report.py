"""Shows what an import found, left out and stored."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from calisthenics.training.v1 import session_pb2
from google.rpc import error_details_pb2, status_pb2
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from training_service.importing.drafts import UNMATCHED, Draft
from training_service.importing.formats import ImportedFile, ImportedSession
from training_service.importing.matching import AppExercise, How, Match

SHOWN_LINES = 5
"""So many lines of the file are named for sets that were left out for the same reason."""

STYLES = {How.SIMILAR: "yellow"}


@dataclass(frozen=True, slots=True)
class Refused:
    """A session that the service did not take."""

    imported: ImportedSession
    reason: str
    paths: tuple[str, ...]
    message: str

    @classmethod
    def of(cls, imported: ImportedSession, status: status_pb2.Status) -> "Refused":
        """Reads the details that come with every refusal of the service."""
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        for detail in status.details:
            _ = detail.Unpack(info) or detail.Unpack(bad)
        paths = tuple(violation.field for violation in bad.field_violations)
        return cls(imported, info.reason, paths, status.message)


@dataclass(slots=True)
class Outcome:
    """What became of the sessions that were sent."""

    stored: int = 0
    already_there: int = 0
    refused: list[Refused] = field(default_factory=list)

    def add(
        self,
        imported: ImportedSession,
        result: session_pb2.BatchLogSessionsResult,
        known_ids: set[str],
    ) -> None:
        """Counts one session; `known_ids` are those of sessions stored before."""
        if result.HasField("status"):
            self.refused.append(Refused.of(imported, result.status))
        elif result.session.id in known_ids:
            self.already_there += 1
        else:
            self.stored += 1


def print_file(file: ImportedFile, console: Console) -> None:
    """Prints what the file holds."""
    sets = sum(len(e.sets) for session in file.sessions for e in session.exercises)
    text = f"{file.source.value.capitalize()}: {count(len(file.sessions), 'session')}"
    if file.sessions:
        first, last = file.sessions[0].start, file.sessions[-1].start
        text += f", {count(sets, 'set')}, {first:%Y-%m-%d} to {last:%Y-%m-%d}"
    _line(console, text, "bold")


def print_matches(
    wanted: Iterable[AppExercise], matches: Mapping[str, Match], console: Console
) -> None:
    """Prints what each exercise of the file was taken for, and what none was found for."""
    table = _table("In the file", "In the catalogue", "Matched by")
    for one in wanted:
        match = matches.get(one.name)
        if match is None:
            table.add_row(Text(one.name), Text("not found: left out", "red"), "")
        else:
            how = Text(match.how.value, STYLES.get(match.how, ""))
            table.add_row(Text(one.name), Text(match.exercise.display_name), how)
    _print(table, console)


def print_omissions(drafts: Sequence[Draft], console: Console) -> None:
    """Prints which sets and sessions are left out, and why."""
    lines: dict[tuple[str, str], list[int]] = {}
    for draft in drafts:
        for one in draft.omissions:
            lines.setdefault((one.exercise, one.reason), []).append(one.line)
    table = _table("Left out", "Sets", "Why", "Lines of the file")
    # What is not in the catalogue comes last: the table above has named it.
    for (exercise, reason), at in sorted(lines.items(), key=lambda p: (p[0][1] == UNMATCHED, p[0])):
        table.add_row(Text(exercise), str(len(at)), Text(reason), _few(at))
    _print(table, console)
    empty = _table("Left out", "Session", "Why", "Line of the file")
    for draft in drafts:
        if draft.request is None:
            reasons = ", ".join(Counter(one.reason for one in draft.omissions))
            empty.add_row(*_session(draft.imported), Text(reasons), str(draft.imported.line))
    _print(empty, console)


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Prints what was stored, and each refusal with its reason and path."""
    table = _table("Refused", "Session", "Reason", "Why")
    for one in outcome.refused:
        why = "\n".join(filter(None, (*one.paths, one.message)))
        table.add_row(*_session(one.imported), Text(one.reason), Text(why))
    _print(table, console)
    text = f"Stored {count(outcome.stored, 'session')}"
    if outcome.already_there:
        text += f"; {outcome.already_there} were there already"
    if outcome.refused:
        text += f"; {len(outcome.refused)} refused"
    console.print()
    _line(console, f"{text}.", "red" if outcome.refused else "green")


def print_dry_run(ready: int, console: Console) -> None:
    """Prints what would have been sent."""
    console.print()
    _line(
        console,
        f"Nothing was stored. With --apply, {count(ready, 'session')} would be sent.",
        "yellow",
    )


def count(number: int, noun: str) -> str:
    """Returns a number with its noun: "1 session", "2 sessions"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _session(imported: ImportedSession) -> tuple[str, Text]:
    return f"{imported.start:%Y-%m-%d %H:%M}", Text(imported.name)


def _few(lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, lines[:SHOWN_LINES]))
    return f"{shown}, …" if len(lines) > SHOWN_LINES else shown


def _line(console: Console, text: str, style: str) -> None:
    console.print(Text(text, style), soft_wrap=True)


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _print(table: Table, console: Console) -> None:
    """Prints a table that has rows, below an empty line."""
    if table.row_count:
        console.print()
        console.print(table)
