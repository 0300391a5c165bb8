"""Rows of (text, tone): put beside each other, below headings, into a width. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from derms.plot import Row, cells, fitted

__all__ = ["Glyphs", "Row", "beside", "blank", "cut", "heading", "padded", "row_cells", "share", "stacked", "wrapped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """Characters that mean something, and what stands for them where there is nothing but ASCII."""

    ascii_only: bool = False

    def pick(self, nice: str, plain: str) -> str:
        """One of the two."""
        return plain if self.ascii_only else nice

    @property
    def rule(self) -> str:
        """A line across."""
        return self.pick("─", "-")

    @property
    def full(self) -> str:
        """A cell of a bar."""
        return self.pick("█", "#")

    @property
    def empty(self) -> str:
        """A cell of a bar that is not filled."""
        return self.pick("░", ".")

    @property
    def mark(self) -> str:
        """A limit on a bar."""
        return self.pick("┃", "|")

    @property
    def dot(self) -> str:
        """Good."""
        return self.pick("●", "*")

    @property
    def half(self) -> str:
        """Getting worse."""
        return self.pick("◐", "~")

    @property
    def ring(self) -> str:
        """Gone."""
        return self.pick("○", "o")

    @property
    def warn(self) -> str:
        """Look here."""
        return self.pick("▲", "!")

    @property
    def down(self) -> str:
        """It fell."""
        return self.pick("▼", "v")

    @property
    def up(self) -> str:
        """It rose."""
        return self.pick("▲", "^")

    @property
    def arrow(self) -> str:
        """From one to the other."""
        return self.pick("→", "->")

    @property
    def pointer(self) -> str:
        """This one."""
        return self.pick("▶", ">")

    @property
    def middle(self) -> str:
        """Between two."""
        return self.pick(" · ", " - ")


def row_cells(row: Row) -> int:
    """How wide a row is."""
    return sum(cells(text) for text, _ in row)


def blank(width: int) -> Row:
    """A row of nothing."""
    return [(" " * max(width, 0), "")]


def cut(row: Row, width: int, *, ascii_only: bool = False) -> Row:
    """A row in at most so many cells."""
    kept: Row = []
    room = max(width, 0)
    for text, tone in row:
        size = cells(text)
        if size > room:
            if room > 0:
                kept.append((fitted(text, room, ascii_only=ascii_only), tone))
            return kept
        kept.append((text, tone))
        room -= size
    return kept


def padded(row: Row, width: int, *, ascii_only: bool = False) -> Row:
    """A row in exactly so many cells."""
    size = row_cells(row)
    if size > width:
        return cut(row, width, ascii_only=ascii_only)
    return row if size == width else [*row, (" " * (width - size), "")]


def spread(left: Row, right: Row, width: int, *, ascii_only: bool = False) -> Row:
    """One at the left end, the other at the right end; the right one stays whole as long as it can."""
    gap = width - row_cells(left) - row_cells(right)
    if gap >= 1:
        return [*left, (" " * gap, ""), *right]
    return padded([*cut(left, width - row_cells(right) - 1, ascii_only=ascii_only), (" ", ""), *right], width)


def heading(title: str, width: int, glyphs: Glyphs, *, note: str = "", tone: str = "title") -> Row:
    """`Fleet ─────────── 60 devices`."""
    left = f"{title} " if title else ""
    right = f" {note}" if note else ""
    room = width - cells(left) - cells(right)
    if room < 2:
        return padded([(left, tone)], width, ascii_only=glyphs.ascii_only)
    return [(left, tone), (glyphs.rule * room, "edge"), (right, "dim")]


def stacked(rows: Sequence[Row], width: int, height: int, *, ascii_only: bool = False) -> list[Row]:
    """Exactly so many rows of exactly so many cells."""
    whole = [padded(row, width, ascii_only=ascii_only) for row in rows[: max(height, 0)]]
    return whole + [blank(width)] * (height - len(whole))


def beside(parts: Sequence[tuple[Sequence[Row], int]], height: int, *, gap: int = 2) -> list[Row]:
    """Blocks next to each other.

    Args:
        parts: Rows, and how wide they are to be.
        height: In rows.
        gap: Cells between two.
    """
    blocks = [stacked(rows, width, height) for rows, width in parts]
    joined: list[Row] = []
    for at in range(height):
        row: Row = []
        for number, block in enumerate(blocks):
            if number:
                row.append((" " * gap, ""))
            row += block[at]
        joined.append(row)
    return joined


def share(width: int, parts: int, *, gap: int = 2) -> list[int]:
    """Widths of so many blocks that fill it, wider ones first."""
    room = max(width - gap * (parts - 1), parts)
    base, more = divmod(room, parts)
    return [base + (1 if at < more else 0) for at in range(parts)]


def wrapped(text: str, width: int, tone: str = "", *, hang: int = 0) -> list[Row]:
    """A text in rows that are not wider, cut between words where that can be; further rows are moved in.

    Args:
        text: What steers a terminal becomes `?` when it is drawn.
        width: In cells.
        tone: Of the text.
        hang: Cells before every row but the first.
    """
    rows: list[Row] = []
    line = ""
    for word in text.split():
        room = width - (hang if rows else 0)
        while cells(word) > room > 0:
            if line:
                rows.append([(" " * (hang if rows else 0) + line, tone)])
                line, room = "", width - hang
            part = word[:room]
            while cells(part) > room:
                part = part[:-1]
            rows.append([(" " * (hang if rows else 0) + part, tone)])
            word = word[len(part) :]
        if line and cells(line) + 1 + cells(word) > width - (hang if rows else 0):
            rows.append([(" " * (hang if rows else 0) + line, tone)])
            line = word
        else:
            line = f"{line} {word}" if line else word
    if line or not rows:
        rows.append([(" " * (hang if rows else 0) + line, tone)])
    return rows
