"""Two athletes log with a running service and look at what it returns, as any client would."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TypeVar

import grpc
from calisthenics.training.v1 import session_pb2, workout_pb2
from google.protobuf.message import Message
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from training_service.client import ClientError, Refusal, check_serving, end_command
from training_service.demo.characters import CHARACTERS, Character
from training_service.demo.client import PAGE_SIZE, Client, DemoError
from training_service.demo.generator import Entry, LogGenerator, Plan, workout_of
from training_service.demo.report import Attempt, Names, attempt_table, place, session_table

BATCH_SIZE = 100
NEWEST_SESSIONS = 10
"""So many are logged one by one, as they would be on the day; the older ones in batches."""
SHOWN_DAYS = 30

Request = TypeVar("Request", bound=Message)


@dataclass(frozen=True, slots=True)
class Athlete:
    """A character with a client, and what the service made of the character's templates."""

    character: Character
    client: Client
    workouts: Sequence[workout_pb2.Workout]
    plan: Plan


def run_demo(
    target: str, days: int, seed: int, console: Console, *, today: date | None = None
) -> None:
    """Fills a running service with two new athletes' logs and prints what it returns.

    The same seed makes the same sessions, apart from ids, for the same day. Ends the command with
    exit code 1, and the reason in a line, when the service can't be used.
    """
    random = Random(seed)  # noqa: S311 no secret
    try:
        with grpc.insecure_channel(target) as channel:
            check_serving(channel, target)
            _run(channel, days, random, today or datetime.now(UTC).date(), console)
    except ClientError as error:
        end_command(console, str(error))
    except grpc.RpcError as error:
        end_command(console, f"The service at {target} refused a call: {Refusal.of(error)}")


def _run(channel: grpc.Channel, days: int, random: Random, today: date, console: Console) -> None:
    athletes = [_join(Client(channel), character, days) for character in CHARACTERS]
    _log_all(athletes, today, days, random, console)
    for athlete in athletes:
        _show_last_month(athlete, today, console)
    _show_isolation(athletes, console)


def _join(client: Client, character: Character, days: int) -> Athlete:
    """Builds a new athlete's templates, in two revisions each."""
    exercises = client.exercises(character.slugs())
    workouts = []
    drafts = []
    for template in character.templates:
        first = client.create_workout(workout_of(template, template.movements, exercises, 0))
        later = workout_of(template, template.revised_movements, exercises, days / 2)
        second = client.revise_workout(first, later)
        workouts.append(second)
        drafts.append((client.instantiate(first), client.instantiate(second)))
    return Athlete(character, client, workouts, Plan(exercises, drafts))


def _log_all(
    athletes: Sequence[Athlete], today: date, days: int, random: Random, console: Console
) -> None:
    """Logs everything, with a progress bar for each athlete."""
    logs = [
        LogGenerator(athlete.character, athlete.plan, today, days, random).entries()
        for athlete in athletes
    ]
    with _progress(console) as progress:
        tasks = [
            progress.add_task(athlete.character.name, total=len(entries))
            for athlete, entries in zip(athletes, logs, strict=True)
        ]
        for athlete, entries, task in zip(athletes, logs, tasks, strict=True):
            for count in _log(athlete.client, entries):
                progress.advance(task, count)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<6}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("sessions"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
    )


def _log(client: Client, entries: Sequence[Entry]) -> Iterator[int]:
    """Logs entries, oldest first; yields how many each call has stored."""
    newest_from = max(0, len(entries) - NEWEST_SESSIONS)
    for begin in range(0, newest_from, BATCH_SIZE):
        batch = entries[begin : min(begin + BATCH_SIZE, newest_from)]
        logged = client.log_batch([entry.session for entry in batch])
        for entry, session in zip(batch, logged, strict=True):
            _retract(client, entry, session)
        yield len(batch)
    for entry in entries[newest_from:]:
        _retract(client, entry, client.log(entry.session))
        yield 1


def _retract(client: Client, entry: Entry, logged: session_pb2.Session) -> None:
    """Corrects or takes back what was logged by mistake."""
    if entry.corrected:
        client.amend(logged, entry.corrected, entry.amend_reason)
    if entry.void_reason:
        client.void(logged, entry.void_reason)


def _show_last_month(athlete: Athlete, today: date, console: Console) -> None:
    """Prints an athlete's newest sessions as the service lists them."""
    first_day = today - timedelta(days=SHOWN_DAYS)
    request = session_pb2.ListSessionsRequest(
        page_size=PAGE_SIZE,
        oldest_first=True,
        show_retracted=True,
        view=session_pb2.SESSION_VIEW_FULL,
    )
    request.from_date.year = first_day.year
    request.from_date.month = first_day.month
    request.from_date.day = first_day.day
    sessions = athlete.client.list_sessions(request)
    character = athlete.character
    title = f"{character.name}, {character.summary} in {place(character.time_zone)}"
    _heading(title, f"the last {SHOWN_DAYS} days of {athlete.client.external_user_id}", console)
    console.print(session_table(sessions, _names(athlete), character.time_zone))


def _heading(title: str, remark: str, console: Console) -> None:
    console.print(f"\n[bold]{title}[/bold]\n[dim]{remark}[/dim]\n", highlight=False)


def _names(athlete: Athlete) -> Names:
    return Names(
        exercises={e.id: e.display_name for e in athlete.plan.exercises.values()},
        workouts={workout.id: workout.display_name for workout in athlete.workouts},
    )


def _show_isolation(athletes: Sequence[Athlete], console: Console) -> None:
    """Prints what the service answers to each athlete who asks for another's sessions."""
    for caller in athletes:
        for other in athletes:
            if caller is other:
                continue
            title = f"{caller.character.name} asks for {other.character.name}'s sessions"
            _heading(title, "answered as if there were no such data", console)
            console.print(attempt_table(_attempts(caller.client, other.client)))


def _attempts(caller: Client, other: Client) -> Iterator[Attempt]:
    """Tries to read another athlete's sessions; yields how each call was refused."""
    theirs = other.external_user_id
    newest = session_pb2.ListSessionsRequest(page_size=1)
    session_id = other.sessions.ListSessions(newest).sessions[0].id
    by_id = session_pb2.GetSessionRequest(session_id=session_id)
    by_both = session_pb2.GetSessionRequest(external_user_id=theirs, session_id=session_id)
    listing = session_pb2.ListSessionsRequest(external_user_id=theirs)
    yield _attempt("GetSession", by_id, caller.sessions.GetSession)
    yield _attempt("GetSession", by_both, caller.sessions.GetSession)
    yield _attempt("ListSessions", listing, caller.sessions.ListSessions)


def _attempt(name: str, request: Request, call: Callable[[Request], object]) -> Attempt:
    fields = ", ".join(field.name for field, _ in request.ListFields())
    try:
        call(request)
    except grpc.RpcError as error:
        return Attempt(f"{name}({fields})", Refusal.of(error))
    raise DemoError(f"{name}({fields}) let an athlete see another's sessions.")
