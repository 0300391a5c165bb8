"""A table of any length: only the rows that are in sight are made, and of those only what changed is drawn."""

from collections.abc import Sequence
from typing import Any, Protocol

from textual import events
from textual.message import Message

from derms.plot import Row
from derms.tui.lines import padded
from derms.tui.widgets.canvas import Canvas


class Source(Protocol):
    """What a grid shows."""

    def count(self) -> int:
        """How many rows there are."""

    def key(self, at: int) -> str:
        """What stays the same of a row wherever it stands."""

    def find(self, key: str) -> int | None:
        """Where a row stands; None: nowhere."""

    def row(self, at: int, width: int) -> Row:
        """A row in exactly so many cells."""

    def header(self, width: int) -> Row:
        """The titles."""


class Grid(Canvas, can_focus=True):
    """A table with a cursor that stays on its row while rows move."""

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, grid: "Grid", key: str) -> None:
            super().__init__()
            self.grid, self.key = grid, key

    class Chosen(Message):
        """A row was chosen with a second click."""

        def __init__(self, grid: "Grid", key: str) -> None:
            super().__init__()
            self.grid, self.key = grid, key

    class HeaderClicked(Message):
        """Somebody clicked upon the titles."""

        def __init__(self, grid: "Grid", x: int) -> None:
            super().__init__()
            self.grid, self.x = grid, x

    def __init__(self, source: Source | None = None, *, empty: str = "nothing here", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.empty = empty
        self.cursor_key = ""
        self._cursor = 0
        self._top = 0

    @property
    def page(self) -> int:
        """How many rows are in sight."""
        return max(self.size.height - 1, 1)

    @property
    def cursor(self) -> int:
        """Where the cursor stands."""
        return self._cursor

    @property
    def window(self) -> tuple[int, int]:
        """The rows in sight, [begin, end)."""
        count = self.source.count() if self.source is not None else 0
        return self._top, min(self._top + self.page, count)

    def update(self) -> None:
        """Look at the source again: the cursor stays on its row, and its row where it is on the screen."""
        source = self.source
        if source is None or self.size.height < 1:
            return
        count = source.count()
        if self.cursor_key and (found := source.find(self.cursor_key)) is not None:
            self._top += found - self._cursor
            self._cursor = found
        self._place(source, count)

    def go(self, to: int) -> None:
        """Put the cursor on a row."""
        source = self.source
        if source is not None and (count := source.count()):
            self._cursor = min(max(to, 0), count - 1)
            self._place(source, count)

    def choose(self, key: str) -> None:
        """Put the cursor on the row of a key, if there is one."""
        if self.source is not None and (found := self.source.find(key)) is not None:
            self.go(found)

    def _place(self, source: Source, count: int) -> None:
        self._cursor = min(max(self._cursor, 0), max(count - 1, 0))
        self._top = min(max(self._top, self._cursor - self.page + 1, 0), self._cursor)
        self._top = max(min(self._top, count - self.page), 0)
        key = source.key(self._cursor) if count else ""
        if key != self.cursor_key:
            self.cursor_key = key
            self.post_message(self.Moved(self, key))
        self._draw(source, count)

    def _draw(self, source: Source, count: int) -> None:
        bar = count > self.page
        inner = max(self.size.width - (2 if bar else 1), 1)
        pointer = ">" if self.look.ascii_only else "▌"
        rows: list[Row] = [[(" ", ""), *padded(source.header(inner), inner)]]
        for at in range(*self.window):
            mark = (pointer, "accent") if at == self._cursor else (" ", "")
            rows.append([mark, *source.row(at, inner)])
        if not count:
            rows.append([(f" {self.empty}", "dim")])
        if bar:
            self._with_bar(rows, count)
        self.show(rows, grounds={1 + self._cursor - self._top: "cursor"} if count else {})

    def _with_bar(self, rows: list[Row], count: int) -> None:
        """A bar at the right that says where one is."""
        shown = self.page
        size = max(round(shown * shown / count), 1)
        begin = round((shown - size) * self._top / max(count - shown, 1))
        full, thin = ("#", "|") if self.look.ascii_only else ("┃", "│")
        for y in range(1, len(rows)):
            inside = begin <= y - 1 < begin + size
            rows[y] = [*rows[y], (full if inside else thin, "accent" if inside else "edge")]

    def on_resize(self) -> None:
        """Another size."""
        self._strips.clear()
        self.update()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three rows on."""
        event.stop()
        self.go(self._cursor + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three rows back."""
        event.stop()
        self.go(self._cursor - 3)

    def on_click(self, event: events.Click) -> None:
        """Choose a row, or what to sort by; upon the bar at the right, jump."""
        if self.source is None:
            return
        count = self.source.count()
        if event.y == 0:
            self.post_message(self.HeaderClicked(self, event.x - 1))
        elif count > self.page and event.x >= self.size.width - 1:
            self.go(round((event.y - 1) / max(self.page - 1, 1) * (count - 1)))
        elif (at := self._top + event.y - 1) < count:
            again = at == self._cursor
            self.go(at)
            if again:
                self.post_message(self.Chosen(self, self.cursor_key))


class Listed:
    """A source that is a list: key and cells of every row.

    Args:
        titles: The titles.
    """

    def __init__(self, titles: Row) -> None:
        self.titles = titles
        self._keys: list[str] = []
        self._rows: list[Row] = []

    def put(self, rows: Sequence[tuple[str, Row]]) -> None:
        """Other rows."""
        self._keys = [key for key, _ in rows]
        self._rows = [row for _, row in rows]

    def count(self) -> int:
        """How many rows there are."""
        return len(self._keys)

    def key(self, at: int) -> str:
        """What stays the same of a row."""
        return self._keys[at]

    def find(self, key: str) -> int | None:
        """Where a row stands."""
        return self._keys.index(key) if key in self._keys else None

    def row(self, at: int, width: int) -> Row:
        """A row."""
        return padded(self._rows[at], width)

    def header(self, width: int) -> Row:
        """The titles."""
        return self.titles
