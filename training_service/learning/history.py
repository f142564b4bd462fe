"""What athletes did, read from an exported Parquet file (docs/exporting.md)."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from statistics import fmean
from typing import Any
from uuid import UUID

from training_service.catalogue import load_catalogue
from training_service.domain.exercise import NEGATIVE_SUFFIX, Exercise
from training_service.domain.metrics import (
    MAX_RPE,
    ExerciseTraits,
    Side,
    WorkingSet,
    effective_reps,
    total,
)

SCHEMA_VERSION = 1
"""Version of the exported table that is understood."""
WARM_UP = "WARM_UP"
COUNTED_STATE = "CURRENT"
COLUMNS = (
    *("external_user_id", "session_id", "start_time", "local_date", "state"),
    *("exercise_number", "exercise_id", "set_kind", "side", "completed", "reps"),
    *("hold_seconds", "load_kg", "rpe", "rir", "tempo"),
)
Progress = Callable[[int, int], None]
"""Told how much is done, and of how much."""


class LearningError(Exception):
    """Nothing can be learned or tested; the message says why in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """An exercise as an athlete did it in one session."""

    user_id: str
    session_id: str
    exercise_id: UUID
    started_at: datetime
    day: date
    """Local to the athlete."""
    sets: Sequence[WorkingSet]
    effective_reps: float
    """Of all sets that were done."""
    rpe: float | None
    """Mean of the rated sets; None when none was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that a file tells, and what of it can't be used."""

    occasions: Sequence[Occasion]
    """By athlete, then by start."""
    session_count: int
    unknown_exercise_count: int
    """Occasions of exercises that are not in the catalogue."""
    unknown_amount_count: int
    """Occasions of which not every set says what was done, or in which none was."""


def read_history(file: Path, progress: Progress = lambda _done, _of: None) -> History:
    """Reads an export. Raises LearningError when it is none, or pyarrow is missing."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise LearningError(
            "Parquet needs pyarrow: pip install 'training-service[learning]'"
        ) from None
    try:
        with parquet.ParquetFile(file) as opened:
            _check_schema(opened.schema_arrow)
            rows: list[dict[str, Any]] = []
            done = 0
            for batch in opened.iter_batches(columns=list(COLUMNS)):
                rows += (row for row in batch.to_pylist() if row["state"] == COUNTED_STATE)
                done += batch.num_rows
                progress(done, opened.metadata.num_rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise LearningError(f"{file} is not a Parquet file: {error}") from None
    return _history(rows)


def _check_schema(schema: Any) -> None:
    version = (schema.metadata or {}).get(b"schema_version", b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise LearningError(
            f"The file is not an export of schema version {SCHEMA_VERSION}, but of {version}"
        )
    missing = [name for name in COLUMNS if name not in schema.names]
    if missing:
        raise LearningError(f"The file lacks the columns {', '.join(missing)}")


def catalogue_by_id() -> Mapping[UUID, Exercise]:
    """Returns the exercises whose movement is known without a service."""
    return {one.id: one for one in load_catalogue()}


def _history(rows: Sequence[Mapping[str, Any]]) -> History:
    catalogue = catalogue_by_id()
    grouped: dict[tuple[str, datetime, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["exercise_id"] is not None and row["set_kind"] != WARM_UP:
            key = (row["external_user_id"], row["start_time"], row["session_id"])
            grouped[*key, row["exercise_id"]].append(row)
    known = {key: of for key, of in grouped.items() if UUID(key[3]) in catalogue}
    found = [_occasion(of, catalogue[UUID(key[3])]) for key, of in sorted(known.items())]
    occasions = [one for one in found if one is not None]
    return History(
        occasions=occasions,
        session_count=len({row["session_id"] for row in rows}),
        unknown_exercise_count=len(grouped) - len(known),
        unknown_amount_count=len(found) - len(occasions),
    )


def _occasion(rows: Sequence[Mapping[str, Any]], exercise: Exercise) -> Occasion | None:
    """Returns an occasion; None when it is not known how much was done."""
    first = rows[0]
    return occasion_of(
        [_working_set(row) for row in rows],
        traits_of(exercise),
        user_id=first["external_user_id"],
        session_id=first["session_id"],
        exercise_id=exercise.id,
        started_at=first["start_time"],
        day=first["local_date"],
    )


def traits_of(exercise: Exercise) -> ExerciseTraits:
    """Returns what metrics look at of an exercise of the catalogue."""
    return ExerciseTraits(
        category=exercise.category,
        difficulty=exercise.difficulty,
        movement_kind=exercise.movement_kind,
        bodyweight_fraction=exercise.bodyweight_fraction,
        is_negative=exercise.slug.endswith(NEGATIVE_SUFFIX),
    )


def occasion_of(
    sets: Sequence[WorkingSet],
    traits: ExerciseTraits,
    *,
    user_id: str,
    session_id: str,
    exercise_id: UUID,
    started_at: datetime,
    day: date,
) -> Occasion | None:
    """Returns an occasion from its working sets; None when it is not known how much was done."""
    done = [one for one in sets if one.is_done]
    amount = total([effective_reps(traits, one.reps, one.hold_seconds, one.tempo) for one in done])
    if not done or amount.coverage != 1:
        return None
    rpes = [one.rpe for one in done if one.rpe is not None]
    return Occasion(
        user_id=user_id,
        session_id=session_id,
        exercise_id=exercise_id,
        started_at=started_at,
        day=day,
        sets=sets,
        effective_reps=amount.amount,
        rpe=fmean(rpes) if rpes else None,
    )


def _working_set(row: Mapping[str, Any]) -> WorkingSet:
    is_known = row["reps"] is not None or row["hold_seconds"] is not None
    rpe = row["rpe"] if row["rir"] is None else MAX_RPE - row["rir"]
    return WorkingSet(
        is_done=is_known if row["completed"] is None else row["completed"],
        reps=row["reps"],
        hold_seconds=row["hold_seconds"],
        side=Side.BOTH if row["side"] == "UNSPECIFIED" else Side(row["side"]),
        external_load_kg=row["load_kg"] or 0.0,
        rpe=rpe,
        tempo=row["tempo"] or "",
    )
