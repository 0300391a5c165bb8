"""What happened: connections, limits, alarms, and what was done here."""

from typing import ClassVar

from textual.app import ComposeResult

from derms.plot import plain
from derms.tui.commands import Command
from derms.tui.paint.log import LOG_TITLES, log_cells, merged_log
from derms.tui.views.base import MOVING, View, bound
from derms.tui.widgets.grid import Grid, Listed


class LogView(View):
    """The newest lines first."""

    NAME = "log"
    TITLE = "Log"
    COMMANDS = (
        Command(keys=("r",), action="app.look_again", title="refresh", top=True, help="ask for the newest now"),
        *MOVING,
    )
    BINDINGS: ClassVar = bound(COMMANDS)

    def compose(self) -> ComposeResult:
        """A table."""
        yield Grid(Listed(LOG_TITLES), id="log-grid", empty="nothing happened yet")

    def draw(self) -> None:
        """Show the picture."""
        grid, now = self.query_one(Grid), self.center.now
        source = grid.source
        assert isinstance(source, Listed)
        width = max(grid.size.width - 2, 20)
        first = grid.cursor == 0
        source.put([
            (f"{line.at.isoformat()} {line.kind} {line.text}", log_cells(line, now, width, self.glyphs))
            for line in merged_log(self.picture)
        ])  # fmt: skip
        grid.freeze(self.center.frozen)
        if first:
            # Whoever stands at the top wants to see what is new.
            grid.cursor_key = ""
        grid.update()

    def selected(self) -> str:
        """The line."""
        grid = self.query_one(Grid)
        assert isinstance(grid.source, Listed)
        return plain(grid.source.row(grid.cursor, 1000)).strip() if grid.source.count() else ""

    def table(self) -> tuple[list[str], list[list[object]]]:
        """All lines."""
        return ["at", "kind", "text"], [[one.at.isoformat(), one.kind, one.text] for one in merged_log(self.picture)]
