"""Rows as a table for people, and as JSON, YAML, CSV or bare names for programs. Pure.

All formats show the same rows. A table has the columns that people want; JSON and YAML have every field as the API
says it; CSV has the columns, raw.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from derms.cli.terminal import Terminal, printable

if TYPE_CHECKING:
    import msgspec

T = TypeVar("T")

SCHEMA_VERSION = 1
"""Of JSON and YAML documents: raised when a field goes, or means something else; a new field is no new version."""

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_RESERVED = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_BOLD, _OFF = "\x1b[1m", "\x1b[0m"
_COLOURS = {"good": "32", "warn": "33", "bad": "31", "dim": "2"}


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    NAME = "name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[T]):
    """One column."""

    name: str
    """In CSV; with its unit."""
    title: str
    """In the table; with its unit."""
    value: Callable[[T], Any]
    """What CSV has; None: not known."""
    shown: Callable[[T], str] | None = None
    """What the table has, where that is another."""
    digits: int = 1
    """Decimals of a number in the table."""
    tone: Callable[[T], str] | None = None
    """`good`, `warn`, `bad`, `dim` or nothing; never the only sign of something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[T]):
    """Rows of one kind, and how they are shown."""

    kind: str
    """What stands around them in JSON: `devices`."""
    rows: Sequence[T]
    columns: Sequence[Column[T]]
    name: Callable[[T], str]
    """The id."""
    nothing: str = "nothing to show"
    """What people are told where there is none."""


def written(listing: Listing[T], how: Format, terminal: Terminal, *, line: bool = False) -> str:
    """All rows; ends with a line feed, or is empty.

    Args:
        listing: What.
        how: In which format.
        terminal: What can be shown.
        line: JSON on one line.
    """
    match how:
        case Format.TABLE:
            return _table(listing, terminal)
        case Format.JSON:
            return document({listing.kind: [plain(row) for row in listing.rows]}, line=line)
        case Format.YAML:
            return _yaml(_versioned({listing.kind: [plain(row) for row in listing.rows]}))
        case Format.CSV:
            return _csv(listing)
        case Format.NAME:
            return "".join(f"{listing.name(row)}\n" for row in listing.rows)


def one(value: "msgspec.Struct", how: Format, name: str, lines: Callable[[], str], *, line: bool = False) -> str:
    """One thing.

    Args:
        value: The thing.
        how: In which format; for CSV one row below a header.
        name: Its id.
        lines: What people are shown.
        line: JSON on one line.
    """
    told = plain(value)
    match how:
        case Format.TABLE:
            return lines()
        case Format.JSON:
            return document(told, line=line)
        case Format.YAML:
            return _yaml(_versioned(told))
        case Format.CSV:
            flat = {key: json.dumps(part) if isinstance(part, dict | list) else part for key, part in told.items()}
            return _rows([list(flat), [_raw(part) for part in flat.values()]])
        case Format.NAME:
            return f"{name}\n"


def document(value: dict[str, Any], *, line: bool = False) -> str:
    """One JSON document.

    Args:
        value: What it says.
        line: Without line feeds inside.
    """
    layout: dict[str, Any] = {"separators": (",", ":")} if line else {"indent": 2}
    return json.dumps(_versioned(value), ensure_ascii=False, **layout) + "\n"


def _versioned(value: dict[str, Any]) -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, **value}


def plain(value: object) -> Any:
    """A struct as dicts, lists and texts."""
    import msgspec

    return msgspec.to_builtins(value)


def _table(listing: Listing[T], terminal: Terminal) -> str:
    if not listing.rows:
        return ""
    columns = [_in_watts(column) for column in listing.columns] if terminal.watts else listing.columns
    cells = [[printable(_cell(column, row), terminal) for column in columns] for row in listing.rows]
    titles = [column.title for column in columns]
    right = [_is_number(column, listing.rows) for column in listing.columns]
    widths = [max(len(line[at]) for line in (titles, *cells)) for at in range(len(titles))]
    if terminal.looks:
        widths = _fitted(widths, right, terminal.width)
    lines = [_line(titles, widths, right, terminal)]
    if terminal.colour:
        lines[0] = f"{_BOLD}{lines[0]}{_OFF}"
    for row, texts in zip(listing.rows, cells, strict=True):
        tones = [column.tone(row) if column.tone else "" for column in listing.columns]
        lines.append(_line(texts, widths, right, terminal, tones if terminal.colour else None))
    return "".join(f"{line}\n" for line in lines)


def _in_watts(column: Column[T]) -> Column[T]:
    if "kW" not in column.title or "kWh" in column.title or column.shown is not None:
        return column

    def value(row: T) -> float | None:
        kw = column.value(row)
        return None if kw is None else 1000.0 * kw

    return replace(column, title=column.title.replace("kW", "W"), value=value, digits=max(column.digits - 3, 0))


def _cell(column: Column[T], row: T) -> str:
    if column.shown is not None:
        return column.shown(row)
    value = column.value(row)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{round(value, column.digits) + 0.0:.{column.digits}f}"  # without the sign of a zero
    return str(value)


def _is_number(column: Column[T], rows: Sequence[T]) -> bool:
    values = [value for row in rows if (value := column.value(row)) is not None]
    if not values:
        return column.title.endswith(("kW", "%", " s"))
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _fitted(widths: list[int], right: list[bool], width: int) -> list[int]:
    """Narrower texts, widest first, until a line fits; numbers are never cut."""
    widths = list(widths)
    while sum(widths) + 2 * (len(widths) - 1) > width:
        texts = [at for at in range(len(widths)) if not right[at] and widths[at] > 8]
        if not texts:
            break
        widest = max(texts, key=lambda at: widths[at])
        widths[widest] -= 1
    return widths


def _line(
    texts: Sequence[str],
    widths: Sequence[int],
    right: Sequence[bool],
    terminal: Terminal,
    tones: Sequence[str] | None = None,
) -> str:
    mark = "…" if terminal.unicode else "~"
    parts = []
    for at, text in enumerate(texts):
        shown = text if len(text) <= widths[at] else text[: widths[at] - 1] + mark
        padded = shown.rjust(widths[at]) if right[at] else shown.ljust(widths[at])
        code = _COLOURS.get(tones[at], "") if tones else ""
        parts.append(f"\x1b[{code}m{padded}{_OFF}" if code else padded)
    return "  ".join(parts).rstrip()


def _csv(listing: Listing[T]) -> str:
    header = [column.name for column in listing.columns]
    return _rows([header, *([_raw(column.value(row)) for column in listing.columns] for row in listing.rows)])


def _rows(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _raw(value: Any) -> str:
    told = plain(value)
    return "" if told is None else str(told).lower() if isinstance(told, bool) else str(told)


def _yaml(value: Any, depth: int = 0) -> str:
    """Plain values as block YAML; whatever could be read as anything else is quoted as JSON quotes it."""
    pad = "  " * depth
    lines = []
    if isinstance(value, dict):
        for key, part in value.items():
            lines.append(f"{pad}{_scalar(key)}:{_under(part, depth)}")
    elif isinstance(value, list):
        for part in value:
            if isinstance(part, dict) and part:
                lines.append(f"{pad}- {_yaml(part, depth + 1).lstrip()}")
            else:
                lines.append(f"{pad}-{_under(part, depth)}")
    else:
        lines.append(f"{pad}{_scalar(value)}\n")
    return "".join(lines)


def _under(part: Any, depth: int) -> str:
    if isinstance(part, dict | list) and part:
        return "\n" + _yaml(part, depth + 1)
    return f" {_scalar(part)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _RESERVED:
        return value
    return json.dumps(value, ensure_ascii=False)
