"""Shows what the service returned."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from calisthenics.training.v1 import session_pb2, set_pb2
from rich import box
from rich.table import Table
from rich.text import Text

from training_service.client import Refusal

NOTHING = "–"
STATES = {
    session_pb2.SESSION_STATE_CURRENT: ("current", "green"),
    session_pb2.SESSION_STATE_SUPERSEDED: ("superseded", "yellow"),
    session_pb2.SESSION_STATE_VOIDED: ("voided", "red"),
}
KINDS = {
    set_pb2.SET_KIND_WARM_UP: "warm-up",
    set_pb2.SET_KIND_AMRAP: "AMRAP",
    set_pb2.SET_KIND_EMOM: "EMOM",
}

SIDES = {set_pb2.SIDE_UNSPECIFIED: "", set_pb2.SIDE_LEFT: "L", set_pb2.SIDE_RIGHT: "R"}


@dataclass(frozen=True, slots=True)
class Names:
    """What people call the things that sessions refer to, by id."""

    exercises: Mapping[str, str]
    workouts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call for another athlete's data, and how it was refused."""

    call: str
    refusal: Refusal


def session_table(
    sessions: Iterable[session_pb2.Session], names: Names, home_time_zone: str
) -> Table:
    """Returns sessions as a table, one row each.

    One that was retracted shows why instead of its exercises.
    """
    table = _table("Date", "Start", "Workout")
    table.add_column("Exercises", ratio=1)
    for heading in ("Duration", "RPE"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("State", no_wrap=True)
    for session in sessions:
        counts = session.state == session_pb2.SESSION_STATE_CURRENT
        table.add_row(
            _date(session),
            f"{_local_start(session):%H:%M}",
            _workout(session, names, home_time_zone),
            _exercises(session, names) if counts else Text(session.retract_reason, "italic"),
            _duration(session),
            f"{session.session_rpe:g}" if session.HasField("session_rpe") else NOTHING,
            _state(session),
            style="" if counts else "dim",
        )
    return table


def attempt_table(attempts: Iterable[Attempt]) -> Table:
    """Returns refused calls as a table, one row each."""
    table = _table("Call", "Refusal")
    table.add_column("Message")
    for attempt in attempts:
        refusal = attempt.refusal
        table.add_row(attempt.call, Text(refusal.reason, "red"), refusal.message)
    return table


def place(time_zone: str) -> str:
    """Returns the place that a time zone is named after."""
    return time_zone.rpartition("/")[2].replace("_", " ")


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    return table


def _date(session: session_pb2.Session) -> str:
    day = session.local_date
    return f"{date(day.year, day.month, day.day):%a %d %b}"


def _local_start(session: session_pb2.Session) -> datetime:
    return session.start_time.ToDatetime(tzinfo=UTC).astimezone(ZoneInfo(session.time_zone))


def _workout(session: session_pb2.Session, names: Names, home_time_zone: str) -> Text:
    """Returns what was followed, and where when that was not at home."""
    if session.workout_id:
        shown = Text(names.workouts[session.workout_id])
        shown.append(f" r{session.workout_revision}", "dim")
    else:
        shown = Text("free-form", "italic")
    if session.time_zone != home_time_zone:
        shown.append(f"\n{place(session.time_zone)}", "magenta")
    return shown


def _exercises(session: session_pb2.Session, names: Names) -> Text:
    lines = [_exercise(exercise, names) for exercise in session.exercises]
    if session.notes:
        lines.append(Text(session.notes, "italic dim"))
    return Text("\n").join(lines)


def _exercise(exercise: session_pb2.SessionExercise, names: Names) -> Text:
    return Text.assemble(
        names.exercises[exercise.exercise_id], " ", (sets_in_short(exercise.sets), "cyan")
    )


def sets_in_short(sets: Sequence[session_pb2.PerformedSet]) -> str:
    """Returns what was done: "4x8 +10 kg", "12/11/9 s", "L 5/5 R 5/4", "not done"."""
    done = [one for one in sets if _volume(one) is not None]
    if not done:
        return "not done"
    parts = [_sides(done), _load(done), KINDS.get(done[0].kind, "")]
    return " ".join(part for part in parts if part)


def _sides(sets: Sequence[session_pb2.PerformedSet]) -> str:
    """Returns the volumes, those of left and right apart unless they are the same."""
    shown = {
        letter: _volumes([one for one in sets if one.side == side])
        for side, letter in SIDES.items()
        if any(one.side == side for one in sets)
    }
    if len(shown) == 2 and len(set(shown.values())) == 1:
        return f"{next(iter(shown.values()))} {'+'.join(shown)}"
    return " ".join(f"{letter} {volumes}".strip() for letter, volumes in shown.items())


def _volume(one: session_pb2.PerformedSet) -> float | None:
    if one.HasField("actual_reps"):
        return one.actual_reps
    return one.actual_hold_seconds if one.HasField("actual_hold_seconds") else None


def _volumes(sets: Sequence[session_pb2.PerformedSet]) -> str:
    volumes = [_volume(one) or 0 for one in sets]
    unit = " s" if sets[0].HasField("actual_hold_seconds") else ""
    if len(set(volumes)) == 1:
        return f"{len(volumes)}x{volumes[0]:g}{unit}"
    return "/".join(f"{volume:.0f}" for volume in volumes) + unit


def _load(sets: Sequence[session_pb2.PerformedSet]) -> str:
    loads = sorted({one.load_kg for one in sets if one.HasField("load_kg")})
    if not loads:
        return ""
    shown = f"{loads[0]:+g}" if len(loads) == 1 else f"{loads[0]:+g} to {loads[-1]:+g}"
    return shown.replace("-", "−") + " kg"


def _duration(session: session_pb2.Session) -> str:
    if not session.HasField("duration_seconds"):
        return NOTHING
    hours, minutes = divmod(round(session.duration_seconds / 60), 60)
    return f"{hours} h {minutes:02}" if hours else f"{minutes} min"


def _state(session: session_pb2.Session) -> Text:
    word, style = STATES[session.state]
    shown = Text(word, style)
    if session.completion == session_pb2.SESSION_COMPLETION_PARTIAL:
        shown.append("\npartial", "dim")
    return shown
