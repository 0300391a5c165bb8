"""Text in cells of a terminal: how wide it is, and how it is made to fit. Pure."""

import unicodedata
from collections.abc import Iterable
from typing import TypeAlias

Segment: TypeAlias = tuple[str, str]
"""Text, and its tone; no tone is the empty one."""
Row: TypeAlias = list[Segment]
"""A row of a chart, from left to right."""

AXIS = "axis"
"""The tone of axes."""
LABEL = "label"
"""The tone of what is written beside them."""
NOW = "now"
"""The tone of the line where the present is."""


def cells(text: str) -> int:
    """How many cells the text takes; text without control characters."""
    return len(text) if text.isascii() else sum(_cells_of(one) for one in text)


def fitted(text: str, width: int, *, ascii_only: bool = False, right: bool = False) -> str:
    """The text in exactly so many cells: cut with a mark, or filled with blanks.

    Args:
        text: What others may have written: what steers a terminal becomes `?`.
        width: In cells; below 0 is 0.
        ascii_only: Whatever is beyond ASCII becomes `?`.
        right: The blanks stand before it.
    """
    shown = safe(text, ascii_only=ascii_only)
    if cells(shown) > width:
        mark = "~" if ascii_only else "…"
        kept, room = "", width - 1
        for one in shown:
            room -= _cells_of(one)
            if room < 0:
                break
            kept += one
        shown = kept + mark if width > 0 else ""
    blanks = " " * (width - cells(shown))
    return blanks + shown if right else shown + blanks


def safe(text: str, *, ascii_only: bool = False) -> str:
    """The text without what steers a terminal or joins other characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one if one.isprintable() and (one.isascii() or (not ascii_only and _cells_of(one) > 0)) else "?" for one in text
    )


def row_of(characters: Iterable[str], tones: Iterable[str]) -> Row:
    """Segments as long as their tones allow.

    Args:
        characters: One a cell.
        tones: One a cell; blanks go along with what stands before them.
    """
    row: Row = []
    text: list[str] = []
    current = ""
    for character, tone in zip(characters, tones, strict=True):
        if tone != current and character != " ":
            if text:
                row.append(("".join(text), current))
            text, current = [], tone
        text.append(character)
    if text:
        row.append(("".join(text), current))
    return row


def plain(row: Row) -> str:
    """The text alone."""
    return "".join(text for text, _ in row)


def _cells_of(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
