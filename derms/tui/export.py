"""What a screen shows, as a file."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet would take a text that begins so for a formula."""


def write_table(
    directory: Path, name: str, titles: Sequence[str], rows: Sequence[Sequence[object]], now: datetime
) -> Path:
    """Write a CSV file, never over another one.

    Args:
        directory: Where.
        name: Of the screen.
        titles: One a column.
        rows: One list a row; None is an empty cell.
        now: For the file's name.

    Returns:
        The file.

    Raises:
        OSError: It cannot be written.
    """
    stem = f"derms-{name}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    for number in range(1000):
        path = directory / (f"{stem}.csv" if not number else f"{stem}-{number}.csv")
        try:
            with path.open("x", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(titles)
                writer.writerows([_cell(value) for value in row] for row in rows)
        except FileExistsError:
            continue
        return path.absolute()
    raise FileExistsError(f"{stem}.csv")


def _cell(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULAS):
        return f"'{value}"
    return value
