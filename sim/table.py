"""Reading a CSV table that someone else made: every fault is named with its line. Streams; keeps one row."""

import csv
import difflib
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from derms.errors import UsageError

_T = TypeVar("_T")
_Reader = Any  # the type of a csv.reader has no public name
_MILLIS_FROM = 1e11
"""A number above this is epoch milliseconds: in seconds it would be past the year 5000."""


class Row:
    """One row, with its line number for complaints."""

    __slots__ = ("_decimal_comma", "_path", "line", "values")

    def __init__(self, path: Path, line: int, values: Mapping[str, str], *, decimal_comma: bool) -> None:
        self._path = path
        self.line = line
        self.values = values
        self._decimal_comma = decimal_comma

    def text(self, column: str) -> str:
        """A cell, trimmed; empty where the file has no such column."""
        return self.values.get(column, "").strip()

    def number(self, column: str, *, low: float, high: float) -> float:
        """A finite number in [low, high]."""
        text = self.text(column)
        value = self._read(column, _number, text.replace(",", ".") if self._decimal_comma else text, "a number")
        if not low <= value <= high:
            raise self.wrong(f"{column} is {text}", f"it lies between {low:g} and {high:g}")
        return value

    def instant_s(self, column: str) -> float:
        """An instant [epoch s], from ISO text (UTC where it names no zone) or a number of seconds or milliseconds."""
        return self._read(column, _instant_s, self.text(column), "ISO text or epoch seconds or milliseconds")

    def wrong(self, what: str, why: str) -> UsageError:
        """A complaint about this row."""
        return UsageError(f"{self._path.name}, line {self.line}: {what}", why=why, next_step="correct the row")

    def _read(self, column: str, reader: Callable[[str], _T], text: str, rule: str) -> _T:
        if not text:
            raise self.wrong(f"{column} is empty", f"it is {rule}")
        try:
            return reader(text)
        except (ValueError, OverflowError) as error:
            raise self.wrong(f"{column} is {text[:60]!r}", f"it is {rule}") from error


def read_header(path: Path) -> tuple[str, ...]:
    """The names of the columns, in lower case.

    Raises:
        UsageError: The file cannot be read, or is empty.
    """
    with _opened(path) as (_, names):
        return names


def missing_column(path: Path, names: Sequence[str], required: Sequence[str]) -> UsageError:
    """What to say of a header that lacks something."""
    missing = [name for name in required if name not in names]
    # The whole set of what is there may be searched: a misspelt column is one that is not wanted for anything else.
    spare = [name for name in names if name not in required]
    guesses = [(name, match) for name in missing for match in difflib.get_close_matches(name, spare, n=1, cutoff=0.6)]
    hint = ", ".join(f"rename {match!r} to {name!r}" for name, match in guesses)
    return UsageError(
        f"{path.name}, line 1: no column {', '.join(map(repr, missing))}",
        why=f"the header is {','.join(names)[:120]!r}, and {','.join(required)} are needed",
        next_step=f"did you mean one of these? {hint}" if hint else "name the columns in the first line",
    )


def rows(path: Path) -> Generator[Row, None, None]:
    """The rows below the header, one by one; blank lines are passed over.

    Raises:
        UsageError: The file cannot be read, or a row has another number of cells than the header.
    """
    with _opened(path) as (reader, names):
        comma = reader.dialect.delimiter == ";"
        while (cells := _next(reader, path)) is not None:
            if not any(cell.strip() for cell in cells):
                continue
            row = Row(path, reader.line_num, dict(zip(names, cells, strict=False)), decimal_comma=comma)
            if len(cells) != len(names):
                raise row.wrong(f"{len(cells)} cells", f"the header has {len(names)}")
            yield row


@contextmanager
def _opened(path: Path) -> Iterator[tuple[_Reader, tuple[str, ...]]]:
    try:
        file = path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise UsageError(
            f"cannot read {path}", why=error.strerror or str(error), next_step="name a CSV file that can be read"
        ) from error
    with file:
        try:
            first = file.readline()
            while first and not first.strip():
                first = file.readline()
            file.seek(0)
        except UnicodeDecodeError as error:
            raise _not_text(path, 1) from error
        reader = csv.reader(file, delimiter=";" if first.count(";") > first.count(",") else ",", strict=True)
        while (cells := _next(reader, path)) is not None:
            if any(cell.strip() for cell in cells):
                break
        else:
            raise UsageError(f"{path.name} is empty", why="it has no header", next_step="name a file with rows")
        names = tuple(cell.strip().lower() for cell in cells)
        twice = {name for name in names if names.count(name) > 1 and name}
        if twice:
            raise UsageError(f"{path.name}, line 1: the column {min(twice)!r} is there twice")
        yield reader, names


def _next(reader: _Reader, path: Path) -> list[str] | None:
    try:
        cells: list[str] | None = next(reader, None)
        return cells
    except csv.Error as error:
        raise UsageError(
            f"{path.name}, line {reader.line_num}: not CSV", why=str(error), next_step="correct the row"
        ) from error
    except UnicodeDecodeError as error:
        raise _not_text(path, reader.line_num + 1) from error
    except OSError as error:
        raise UsageError(f"cannot read {path}", why=error.strerror or str(error)) from error


def _not_text(path: Path, line: int) -> UsageError:
    return UsageError(
        f"{path.name}, line {line} or after: not UTF-8 text", why="a CSV file is text", next_step="save it as UTF-8"
    )


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or "_" in text:
        raise ValueError(text)
    return value


def _instant_s(text: str) -> float:
    try:
        value = _number(text)
    except ValueError:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    if value < 0.0:
        raise ValueError(text)
    return value / 1000.0 if value >= _MILLIS_FROM else value
