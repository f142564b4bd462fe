"""The files that an export writes. docs/exporting.md describes their columns."""

import csv
import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from calisthenics.training.v1 import session_pb2 as pb
from calisthenics.training.v1 import set_pb2
from google.protobuf import json_format

SCHEMA_VERSION = 1
"""Rises when a column is renamed, removed or means something else; new ones come at the end."""
ROW_GROUP_ROWS = 50_000
"""Rows of a Parquet file that are held in memory and written together."""


class Format(StrEnum):
    """What kind of file."""

    PARQUET = "parquet"
    NDJSON = "ndjson"
    CSV = "csv"


class FormatError(Exception):
    """A format can't be written here."""


# A column, its type in Parquet, and whether it may be missing.
COLUMNS: dict[str, tuple[str, bool]] = {
    "external_user_id": ("string", False),
    "session_id": ("string", False),
    "start_time": ("timestamp", False),
    "time_zone": ("string", False),
    "local_date": ("date", False),
    "state": ("string", False),
    "completion": ("string", False),
    "duration_seconds": ("int32", True),
    "session_rpe": ("double", True),
    "body_mass_kg": ("double", True),
    "workout_id": ("string", True),
    "workout_revision": ("int32", True),
    "group_external_id": ("string", True),
    "supersedes_session_id": ("string", True),
    "create_time": ("timestamp", False),
    "exercise_number": ("int32", True),
    "exercise_id": ("string", True),
    "superset_group": ("string", True),
    "set_number": ("int32", True),
    "set_kind": ("string", True),
    "side": ("string", True),
    "completed": ("bool", True),
    "reps": ("int32", True),
    "hold_seconds": ("double", True),
    "load_kg": ("double", True),
    "rpe": ("double", True),
    "rir": ("double", True),
    "tempo": ("string", True),
    "rest_seconds": ("int32", True),
}
_SET_COLUMNS = list(COLUMNS).index("exercise_number")
_NO_SET = (None,) * (len(COLUMNS) - _SET_COLUMNS)

Row = tuple[Any, ...]


class Writer(Protocol):
    """An open file."""

    def write(self, sessions: Iterable[pb.Session]) -> None:
        """Adds sessions."""


def writer_of(form: Format, file: Path) -> AbstractContextManager[Writer]:
    """Opens a file for sessions. Raises FormatError when a package for it is missing."""
    writers: dict[Format, Callable[[Path], AbstractContextManager[Writer]]] = {
        Format.PARQUET: ParquetFile,
        Format.NDJSON: NdjsonFile,
        Format.CSV: CsvFile,
    }
    return writers[form](file)


class _TextFile:
    def __init__(self, file: Path) -> None:
        self._file: IO[str] = file.open("w", encoding="utf-8", newline="")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


class NdjsonFile(_TextFile):
    """A session on each line, as the gateway shows it."""

    def write(self, sessions: Iterable[pb.Session]) -> None:
        """Adds sessions."""
        for session in sessions:
            fields = json_format.MessageToDict(session)
            self._file.write(json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n")


class CsvFile(_TextFile):
    """A row for each set, with a header; what is missing is empty."""

    def __init__(self, file: Path) -> None:
        super().__init__(file)
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(COLUMNS)

    def write(self, sessions: Iterable[pb.Session]) -> None:
        """Adds sessions."""
        for session in sessions:
            self._rows.writerows([_as_text(v) for v in row] for row in rows(session))


def _as_text(value: Any) -> Any:
    """Returns a value as it stands in a CSV file: times and booleans as in JSON."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return str(value).lower()
    return value


class ParquetFile:
    """A row for each set, in row groups of a bounded size."""

    def __init__(self, file: Path) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError:
            raise FormatError(
                "Parquet needs pyarrow: pip install 'training-service[export]'"
            ) from None
        types = {
            "string": pyarrow.string(),
            "timestamp": pyarrow.timestamp("us", tz="UTC"),
            "date": pyarrow.date32(),
            "int32": pyarrow.int32(),
            "double": pyarrow.float64(),
            "bool": pyarrow.bool_(),
        }
        self._schema = pyarrow.schema(
            [pyarrow.field(n, types[t], nullable=m) for n, (t, m) in COLUMNS.items()],
            metadata={"schema_version": str(SCHEMA_VERSION)},
        )
        self._table = pyarrow.Table
        self._array = pyarrow.array
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._flush()
        self._writer.close()

    def write(self, sessions: Iterable[pb.Session]) -> None:
        """Adds sessions."""
        for session in sessions:
            self._rows += rows(session)
            if len(self._rows) >= ROW_GROUP_ROWS:
                self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = zip(*self._rows, strict=True)
        arrays = [self._array(c, f.type) for c, f in zip(columns, self._schema, strict=True)]
        self._writer.write_table(self._table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()


def rows(session: pb.Session) -> list[Row]:
    """Returns a row with a value for every column for each set of a session; for one without a set,
    a single row without one."""
    head = _session_values(session)
    found = [
        (
            *head,
            exercise.order,
            exercise.exercise_id,
            exercise.superset_group or None,
            number,
            *_set_values(performed),
        )
        for exercise in session.exercises
        for number, performed in enumerate(exercise.sets, start=1)
    ]
    return found or [(*head, *_NO_SET)]


def _session_values(session: pb.Session) -> Row:
    return (
        session.external_user_id,
        session.id,
        session.start_time.ToDatetime(UTC),
        session.time_zone,
        date(session.local_date.year, session.local_date.month, session.local_date.day),
        _name(pb.SessionState, session.state, "SESSION_STATE_"),
        _name(pb.SessionCompletion, session.completion, "SESSION_COMPLETION_"),
        _optional(session, "duration_seconds"),
        _optional(session, "session_rpe"),
        _optional(session, "body_mass_kg"),
        session.workout_id or None,
        session.workout_revision or None,
        session.group_external_id or None,
        session.supersedes_session_id or None,
        session.create_time.ToDatetime(UTC),
    )


_SET_NUMBERS = ("completed", "actual_reps", "actual_hold_seconds", "load_kg", "rpe", "rir")


def _set_values(performed: pb.PerformedSet) -> Row:
    return (
        _name(set_pb2.SetKind, performed.kind, "SET_KIND_"),
        _name(set_pb2.Side, performed.side, "SIDE_"),
        *(_optional(performed, name) for name in _SET_NUMBERS),
        performed.tempo or None,
        _optional(performed, "rest_seconds"),
    )


def _optional(message: Any, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _name(enum: Any, number: int, prefix: str) -> str:
    name: str = enum.Name(number)
    return name.removeprefix(prefix)
