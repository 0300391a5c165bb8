"""A widget that shows rows, and draws again only the cells that are others."""

from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any, Protocol, cast

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from derms.plot import Row
from derms.tui.sieve import ascii_of
from derms.tui.widgets.look import Look

_NEAR = 8
"""Cells between two that changed which are drawn again too: to jump over fewer costs more bytes than they are."""


class Looked(Protocol):
    """The application: it has the look of everything."""

    look: Look


class Canvas(Widget):
    """Rows of (text, tone)."""

    def __init__(self, *, ground: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.frozen = False
        """What is shown is old: it is drawn in grey."""
        self.drawn = 0
        """Rows that were drawn again so far."""
        self._ground = ground
        self._rows: list[Row] = []
        self._grounds: dict[int, str] = {}
        self._strips: dict[int, Strip] = {}

    @property
    def look(self) -> Look:
        """How tones look now."""
        return cast("Looked", self.app).look

    @property
    def shown(self) -> Sequence[Row]:
        """The rows that stand there."""
        return self._rows

    def show(self, rows: Sequence[Row], *, grounds: dict[int, str] | None = None) -> None:
        """Show these instead.

        Args:
            rows: From the top down.
            grounds: What is behind some of them, by number.
        """
        grounds = grounds or {}
        old, was = self._rows, self._grounds
        if self.look.ascii_only:
            rows = [[(ascii_of(text), tone) for text, tone in row] for row in rows]
        self._rows, self._grounds = list(rows), grounds
        width = self.size.width
        dirty: list[Region] = []
        for y in range(max(len(rows), len(old))):
            before = old[y] if y < len(old) else []
            now = self._rows[y] if y < len(rows) else []
            if grounds.get(y) != was.get(y):
                spans = [(0, width)]
            elif before == now:
                continue
            else:
                spans = changed_spans(before, now, width)
            self._strips.pop(y, None)
            dirty += [Region(begin, y, end - begin, 1) for begin, end in spans]
            self.drawn += 1
        if dirty:
            self.refresh(*dirty)

    def freeze(self, frozen: bool) -> None:
        """Let everything be grey, or not."""
        if frozen != self.frozen:
            self.frozen = frozen
            self.repaint()

    def repaint(self) -> None:
        """Draw all of it again: it looks otherwise now."""
        self._strips.clear()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One row as Textual wants it."""
        width = self.size.width
        strip = self._strips.get(y)
        if strip is None or strip.cell_length != width:
            row = self._rows[y] if y < len(self._rows) else []
            ground = self._grounds.get(y, self._ground)
            strip = self._strips[y] = self.look.strip(row, width, ground, frozen=self.frozen)
        return strip


def changed_spans(before: Row, now: Row, width: int) -> list[tuple[int, int]]:
    """Which cells of a row are others, as [begin, end)."""
    old, new = _cells(before, width), _cells(now, width)
    if old is None or new is None:
        return [(0, width)]
    spans: list[tuple[int, int]] = []
    for at, (one, other) in enumerate(zip(old, new, strict=True)):
        if one == other:
            continue
        if spans and at - spans[-1][1] < _NEAR:
            spans[-1] = (spans[-1][0], at + 1)
        else:
            spans.append((at, at + 1))
    return spans


def _cells(row: Row, width: int) -> list[tuple[str, str]] | None:
    """Character and tone of every cell; None: some characters may not take just one."""
    if any(not text.isascii() and any(_odd(one) for one in text) for text, _ in row):
        return None
    found = list(chain.from_iterable(zip(text, repeat(tone), strict=False) for text, tone in row))[:width]
    return found + [(" ", "")] * (width - len(found))


def _odd(character: str) -> bool:
    return ord(character) > 0x2FFF or 0x300 <= ord(character) < 0x370
