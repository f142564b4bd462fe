"""What the apps Strong, Hevy and FitNotes write when one exports a log, and what it says."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, time
from decimal import Decimal
from enum import StrEnum
from itertools import groupby

from training_service.importing.cells import (
    KILOGRAMS,
    KILOGRAMS_PER_POUND,
    POUNDS,
    FileError,
    Row,
    Sheet,
    read_sheet,
)

FITNOTES_START = time(12)
"""FitNotes writes only dates: noon is the hour that is on the same day in most time zones."""


class Source(StrEnum):
    """The app that wrote a file."""

    STRONG = "strong"
    HEVY = "hevy"
    FITNOTES = "fitnotes"


class WeightUnit(StrEnum):
    """The unit of weights in a file that does not name it."""

    KG = "kg"
    LB = "lb"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSet:
    """One set. What is None was not entered in the app.

    `weight_kg` is as the app wrote it: for an assisted exercise the assistance, without a sign.
    """

    line: int
    reps: int | None = None
    seconds: int | None = None
    weight_kg: float | None = None
    rpe: float | None = None
    is_warm_up: bool = False
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedExercise:
    """The sets of an exercise, under the app's name for it."""

    name: str
    sets: tuple[ImportedSet, ...]
    superset: str = ""
    notes: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSession:
    """A session; `start` is local time without a zone, `duration_seconds` None when unknown."""

    start: datetime
    name: str = ""
    duration_seconds: int | None = None
    notes: str = ""
    exercises: tuple[ImportedExercise, ...]

    @property
    def line(self) -> int:
        """The line of the file where it begins."""
        return self.exercises[0].sets[0].line

    def content(self) -> str:
        """Returns what was done as text, the same wherever in a file it stands."""
        return json.dumps(_plain(asdict(self)), sort_keys=True, default=str)


def _plain(value: object) -> object:
    """Leaves out lines and what is not known, so that a field added later changes no old text."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v and k != "line"}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """All sessions of a file, oldest first."""

    source: Source
    sessions: tuple[ImportedSession, ...]


def read_file(
    data: bytes, source: Source | None = None, weight_unit: WeightUnit | None = None
) -> ImportedFile:
    """Returns what an app exported; without a source, the header says which app it was.

    `weight_unit` is for a file that does not name its unit; one that does is believed. Raises
    FileError with the line and column of the first thing that can't be read: a file is taken whole
    or not at all.
    """
    sheet = read_sheet(data)
    found = source or _detect(sheet)
    missing = [name for name in _REQUIRED[found] if name not in sheet.headings]
    if missing:
        raise FileError(f'the header has no column "{missing[0]}", which {found} writes', 1)
    sessions = sorted(_READERS[found](sheet, weight_unit), key=lambda session: session.start)
    return ImportedFile(found, tuple(sessions))


_REQUIRED = {
    Source.STRONG: ("date", "workout name", "exercise name", "set order"),
    Source.HEVY: ("title", "start_time", "exercise_title", "set_index"),
    Source.FITNOTES: ("date", "exercise", "category"),
}


def _detect(sheet: Sheet) -> Source:
    for source, names in _REQUIRED.items():
        if all(name in sheet.headings for name in names):
            return source
    shown = ", ".join(sheet.headings.values())[:200] or "nothing"
    raise FileError(
        "the header is none that Strong, Hevy or FitNotes writes when set to English; "
        f"it reads: {shown}",
        1,
    )


@dataclass(slots=True)
class _Exercise:
    name: str
    superset: str = ""
    sets: list[ImportedSet] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keeps a remark once, however many rows repeat it."""
        if text and text not in self.notes:
            self.notes.append(text)


def _finished(exercises: Iterable[_Exercise]) -> tuple[ImportedExercise, ...]:
    return tuple(
        ImportedExercise(
            name=one.name,
            sets=tuple(one.sets),
            superset=one.superset,
            notes="\n".join(one.notes),
        )
        for one in exercises
        if one.sets
    )


def _exercise_of(
    exercises: list[_Exercise], name: str, superset: str = "", *, again: bool = False
) -> _Exercise:
    """Returns the exercise a row belongs to: the last one, or a new one behind it."""
    last = exercises[-1] if exercises else None
    if last is None or (last.name, last.superset) != (name, superset) or again:
        exercises.append(_Exercise(name, superset))
    return exercises[-1]


def _grouped(
    rows: Sequence[Row], key: Callable[[Row], tuple[datetime, str]]
) -> list[tuple[tuple[datetime, str], list[Row]]]:
    """Returns the rows of each session, in the order of the file."""
    in_order = sorted(rows, key=key)
    return [(found, list(own)) for found, own in groupby(in_order, key=key)]


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, texts), "")


_WEIGHTS = {
    "weight (kg)": WeightUnit.KG,
    "weight (kgs)": WeightUnit.KG,
    "weight_kg": WeightUnit.KG,
    "weight (lb)": WeightUnit.LB,
    "weight (lbs)": WeightUnit.LB,
    "weight_lb": WeightUnit.LB,
    "weight_lbs": WeightUnit.LB,
}


def _weight_kg(row: Row, given: WeightUnit | None) -> float | None:
    """Returns a weight in kilograms; its unit stands in the heading, beside it, or nowhere."""
    for heading, unit in _WEIGHTS.items():
        if value := row.number(heading):
            return _kilograms(value, unit)
    value = row.number("weight")
    if value is None:
        return None
    beside = row.text("weight unit").lower()
    if beside and beside not in KILOGRAMS | POUNDS:
        raise row.refuse("weight unit", f'"{beside}" is neither kg nor lbs')
    if beside:
        return _kilograms(value, WeightUnit.LB if beside in POUNDS else WeightUnit.KG)
    if given is None:
        raise row.refuse(
            "weight", "the file does not say in which unit: give --weight-unit kg or lb"
        )
    return _kilograms(value, given)


def _kilograms(value: Decimal, unit: WeightUnit) -> float:
    return float(value * KILOGRAMS_PER_POUND if unit is WeightUnit.LB else value)


def _rpe(row: Row) -> float | None:
    value = row.number("rpe")
    return None if value is None else float(value)


# Strong

_WARM_UP = "w"
_WORKING = frozenset({"d", "f"})  # Drop set, failure.
_NOTE = "note"
_REST = "rest timer"  # What the timer was set to, not how long the rest was.


def _strong(sheet: Sheet, unit: WeightUnit | None) -> Iterable[ImportedSession]:
    key = _strong_key
    for (start, name), rows in _grouped(sheet.rows, key):
        exercises: list[_Exercise] = []
        for row in rows:
            _strong_row(row, exercises, unit)
        if finished := _finished(exercises):
            yield ImportedSession(
                start=start,
                name=name,
                duration_seconds=rows[0].seconds("duration", "workout duration", "duration (sec)"),
                notes=_first(row.text("workout notes") for row in rows),
                exercises=finished,
            )


def _strong_key(row: Row) -> tuple[datetime, str]:
    return row.time("date"), row.text("workout name")


def _strong_row(row: Row, exercises: list[_Exercise], unit: WeightUnit | None) -> None:
    order = row.required("set order").lower()
    name = row.required("exercise name")
    if order == _REST:
        return
    exercise = _exercise_of(exercises, name)
    if order == _NOTE:
        exercise.note(row.text("notes"))
        return
    if not order.isdecimal() and order not in _WORKING | {_WARM_UP}:
        raise row.refuse("set order", f'"{order}" is not a number, W, D, F, "Note" or "Rest Timer"')
    exercise.sets.append(
        ImportedSet(
            line=row.line,
            reps=row.whole("reps"),
            seconds=row.seconds("seconds"),
            weight_kg=_weight_kg(row, unit),
            rpe=_rpe(row),
            is_warm_up=order == _WARM_UP,
            notes=row.text("notes"),
        )
    )


# Hevy


def _hevy(sheet: Sheet, unit: WeightUnit | None) -> Iterable[ImportedSession]:
    for (start, title), rows in _grouped(sheet.rows, _hevy_key):
        exercises: list[_Exercise] = []
        for row in rows:
            _hevy_row(row, exercises, unit)
        yield ImportedSession(
            start=start,
            name=title,
            duration_seconds=_hevy_duration(rows[0], start),
            notes=_first(row.text("description") for row in rows),
            exercises=_finished(exercises),
        )


def _hevy_key(row: Row) -> tuple[datetime, str]:
    return row.time("start_time"), row.text("title")


def _hevy_duration(row: Row, start: datetime) -> int | None:
    """Returns the seconds to the end; None if it is not behind the start, as when clocks went
    back between them."""
    if not row.text("end_time"):
        return None
    seconds = int((row.time("end_time") - start).total_seconds())
    return seconds if seconds > 0 else None


def _hevy_row(row: Row, exercises: list[_Exercise], unit: WeightUnit | None) -> None:
    index = row.required("set_index")
    exercise = _exercise_of(
        exercises, row.required("exercise_title"), row.text("superset_id"), again=index == "0"
    )
    exercise.note(row.text("exercise_notes"))
    exercise.sets.append(
        ImportedSet(
            line=row.line,
            reps=row.whole("reps"),
            seconds=row.seconds("duration_seconds"),
            weight_kg=_weight_kg(row, unit),
            rpe=_rpe(row),
            is_warm_up=row.text("set_type").lower() == "warmup",
        )
    )


# FitNotes


def _fitnotes(sheet: Sheet, unit: WeightUnit | None) -> Iterable[ImportedSession]:
    for (start, _), rows in _grouped(sheet.rows, _fitnotes_key):
        exercises: list[_Exercise] = []
        for row in rows:
            _exercise_of(exercises, row.required("exercise")).sets.append(
                ImportedSet(
                    line=row.line,
                    reps=row.whole("reps"),
                    seconds=row.seconds("time"),
                    weight_kg=_weight_kg(row, unit),
                    notes=row.text("comment"),
                )
            )
        yield ImportedSession(start=start, exercises=_finished(exercises))


def _fitnotes_key(row: Row) -> tuple[datetime, str]:
    return datetime.combine(row.time("date"), FITNOTES_START), ""


_READERS: dict[Source, Callable[[Sheet, WeightUnit | None], Iterable[ImportedSession]]] = {
    Source.STRONG: _strong,
    Source.HEVY: _hevy,
    Source.FITNOTES: _fitnotes,
}
