"""Reads the cells of a CSV file, each with its place, so that a wrong one can be named."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NoReturn

KILOGRAMS_PER_POUND = Decimal("0.45359237")
"""Exact, by definition."""

KILOGRAMS = frozenset({"kg", "kgs"})
POUNDS = frozenset({"lb", "lbs"})

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
_UNITS_OF_TIME = re.compile(r"(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s(?:ec)?)?")
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{2})")
_ENGLISH_TIME = re.compile(r"(\d{1,2}) ([A-Za-z]{3})[a-z]* (\d{4}), (\d{1,2}):(\d{2})")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_NUMERIC_TIMES = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %I:%M:%S %p",
    "%Y-%m-%d",
)


class FileError(Exception):
    """The file can't be read as a whole; the message says where and why in one line."""

    def __init__(self, problem: str, line: int | None = None, column: str = "") -> None:
        place = "" if line is None else f"line {line}: "
        if column:
            place = f'line {line}, column "{column}": '
        super().__init__(place + problem)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file.

    `line` is that of its first character, from 1. A column is asked for by its possible names, in
    lower case; one that the file lacks reads as empty.
    """

    line: int
    cells: Mapping[str, str]
    headings: Mapping[str, str]
    decimal_comma: bool

    def text(self, *names: str) -> str:
        """Returns the text of a cell without surrounding space."""
        return self.cells[found].strip() if (found := self._column(names)) else ""

    def required(self, *names: str) -> str:
        """Returns the text of a cell that must not be empty."""
        return self.text(*names) or self._refuse(names, "must not be empty")

    def number(self, *names: str) -> Decimal | None:
        """Returns a number; None for nothing, which these apps also write as 0."""
        text = self.text(*names)
        if self.decimal_comma and "." not in text:
            text = text.replace(",", ".", 1)
        if not text:
            return None
        if not _NUMBER.fullmatch(text):
            self._refuse(names, f'"{text}" is not a number')
        return Decimal(text) or None

    def whole(self, *names: str) -> int | None:
        """Returns a whole number above 0; None for nothing."""
        value = self.number(*names)
        if value is None:
            return None
        if value < 0 or value != int(value):
            self._refuse(names, f'"{value}" is not a whole number')
        return int(value)

    def seconds(self, *names: str) -> int | None:
        """Returns a length of time in seconds, from "1h 5m", "1:05:00" or "3900"; None for
        nothing."""
        text = self.text(*names)
        if not text or _NUMBER.fullmatch(text):
            value = self.number(*names)
            if value is not None and value < 0:
                self._refuse(names, f'"{text}" is not a length of time')
            return None if value is None else int(value)
        found = _CLOCK.fullmatch(text) or _UNITS_OF_TIME.fullmatch(text.lower())
        if not found:
            self._refuse(names, f'"{text}" is not a length of time')
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds or None

    def time(self, *names: str) -> datetime:
        """Returns a local time: "2024-03-28 17:29:05" or "28 Mar 2024, 17:29"."""
        # Some phones put a narrow no-break space before AM and PM.
        text = " ".join(self.required(*names).split())
        for pattern in _NUMERIC_TIMES:
            try:
                return datetime.strptime(text, pattern)
            except ValueError:
                continue
        return _english_time(text) or self._refuse(
            names,
            f'"{text}" is not a time such as "2024-03-28 17:29:05" or "28 Mar 2024, 17:29"; '
            "if its month is in another language, set the app to English and export again",
        )

    def refuse(self, name: str, problem: str) -> "FileError":
        """Returns the error for a wrong cell of this row."""
        return FileError(problem, self.line, self.headings.get(name, name))

    def _column(self, names: tuple[str, ...]) -> str | None:
        return next((name for name in names if name in self.cells), None)

    def _refuse(self, names: tuple[str, ...], problem: str) -> NoReturn:
        raise self.refuse(self._column(names) or names[0], problem)


def _english_time(text: str) -> datetime | None:
    # Not strptime's %b, which is in the language of this machine.
    found = _ENGLISH_TIME.fullmatch(text)
    if not found or found[2].lower() not in _MONTHS:
        return None
    month = _MONTHS.index(found[2].lower()) + 1
    try:
        return datetime(int(found[3]), month, int(found[1]), int(found[4]), int(found[5]))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of a file under its headings.

    `headings` maps names in lower case to the headings as they are written.
    """

    headings: Mapping[str, str]
    rows: tuple[Row, ...]


def read_sheet(data: bytes) -> Sheet:
    """Returns the rows of a CSV file in UTF-8, separated by commas or semicolons.

    Raises FileError for what is no such file, and for a row with too many or too few cells.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError("this is not text in UTF-8", line) from None
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    records = _records(text, delimiter)
    _, heading = next(records, (1, []))
    headings = {cell.strip().lower(): cell.strip() for cell in heading}
    if len(headings) < len(heading):
        raise FileError("two columns have the same name", 1)
    return Sheet(headings, tuple(_rows(records, headings, decimal_comma=delimiter == ";")))


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yields each record that is not empty with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    line = 1
    try:
        for record in reader:
            if any(cell.strip() for cell in record):
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        raise FileError(str(error), line) from None


def _rows(
    records: Iterator[tuple[int, list[str]]], headings: Mapping[str, str], *, decimal_comma: bool
) -> Iterator[Row]:
    names = list(headings)
    for line, record in records:
        if len(record) != len(names):
            column = list(headings.values())[min(len(record), len(names)) - 1]
            problem = f"the row has {len(record)} columns, the header {len(names)}"
            raise FileError(problem, line, column)
        cells = dict(zip(names, record, strict=True))
        yield Row(line, cells, headings, decimal_comma)
