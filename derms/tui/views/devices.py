"""The device table, with a filter, chips, and the chosen device's charts and reason."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult

from derms.model import Role
from derms.tui.commands import Command
from derms.tui.device_source import SORTS, DeviceSource
from derms.tui.fleet import error_kw, setpoint_kw, state_of
from derms.tui.paint.chips import KINDS, ORIGINS, chips_row
from derms.tui.paint.detail import detail
from derms.tui.views.base import MOVING, View, bound
from derms.tui.widgets.canvas import Canvas
from derms.tui.widgets.grid import Grid


class DevicesView(View):
    """Thousands of devices."""

    NAME = "devices"
    TITLE = "Devices"
    COMMANDS = (
        Command(keys=("slash",), action="app.filter", title="filter", top=True,
                help="filter while you write; esc clears"),
        Command(keys=("s",), action="sort", title="sort", top=True, help="sort by the next column"),
        Command(keys=("S",), action="turn", title="turn", help="turn the order round"),
        Command(keys=("I",), action="sort_by('id')", title="sort by device"),
        Command(keys=("C",), action="sort_by('soc')", title="sort by SOC"),
        Command(keys=("A",), action="sort_by('actual')", title="sort by actual power"),
        Command(keys=("P",), action="sort_by('setpoint')", title="sort by setpoint"),
        Command(keys=("E",), action="sort_by('error')", title="sort by tracking error"),
        Command(keys=("X",), action="sort_by('state')", title="sort by state, the worst first"),
        Command(keys=("o",), action="chip('origin')", title="origin", help="all, physical or simulated devices"),
        Command(keys=("t",), action="chip('kind')", title="type", help="all, or one type of device"),
        Command(keys=("d", "enter"), action="detail", title="detail", top=True,
                help="show or hide the device's charts and the reason of its setpoint"),
        Command(keys=("H",), action="app.do('hold_device')", title="hold", needs=Role.OPERATOR, top=True,
                help="hold the device at a power"),
        Command(keys=("B",), action="app.do('block_device')", title="block", needs=Role.OPERATOR, top=True,
                help="block the device: it gets nothing"),
        Command(keys=("R",), action="app.do('release_device')", title="release", needs=Role.OPERATOR, top=True,
                help="take a hold or a block off"),
        Command(keys=("plus", "equals_sign"), action="app.minutes(1)", title="longer charts"),
        Command(keys=("minus",), action="app.minutes(-1)", title="shorter charts"),
        *MOVING,
    )  # fmt: skip
    BINDINGS: ClassVar = bound([command for command in COMMANDS if command.action != "app.filter"])
    HELP = (
        "Filter: words in id or site; type:ev,pv origin:pi is:stale feeder:f1 site:garage; soc<30% actual>2.5 "
        "setpoint<1kW error>0.5 priority>=8 lease<20s age>1m; a leading - or ! turns a term round. "
        "Click a title to sort by it."
    )

    def compose(self) -> ComposeResult:
        """Chips, table, detail."""
        yield Canvas(id="chips", classes="bar")
        yield Grid(id="device-grid", empty="no device: esc clears the filter")
        yield Canvas(id="device-detail", classes="detail")

    def on_mount(self) -> None:
        """Take the kept order and filter."""
        center = self.center
        self.source = DeviceSource(center.picture, center.glyphs)
        self._places: list[tuple[int, int, str, str]] = []
        state = center.state
        self.source.sort, self.source.down = state.sort if state.sort in SORTS else "id", state.down
        self.source.origin = state.origin if state.origin in dict(ORIGINS) else ""
        self.source.kind = state.kind if state.kind in dict(KINDS) else ""
        self.source.filter(state.filter)
        self.query_one(Grid).source = self.source

    def draw(self) -> None:
        """Show the picture."""
        center, grid = self.center, self.query_one(Grid)
        self.source.picture = center.picture
        self.source.refresh(center.now.timestamp())
        frozen = center.frozen
        grid.freeze(frozen)
        grid.update()
        chips = self.query_one("#chips", Canvas)
        row, self._places = chips_row(self.source, chips.size.width or 80, self.glyphs)
        chips.show([row])
        below = self.query_one("#device-detail", Canvas)
        if below.size.height and below.display:
            below.freeze(frozen)
            below.show(detail(center.picture.fleet, center.chosen, self.scene(below.size.width, below.size.height)))

    def set_filter(self, text: str) -> None:
        """Filter by this."""
        self.source.filter(text)
        if not self.source.problem:
            self.center.keep(filter=text)
        self.draw()

    def clear_filter(self) -> None:
        """Show all again."""
        self.source.origin = self.source.kind = ""
        self.center.keep(origin="", kind="")
        self.set_filter("")

    def on_grid_moved(self, event: Grid.Moved) -> None:
        """Another device is looked at."""
        event.stop()
        self.center.choose_device(event.key)

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        """A second click shows the detail."""
        event.stop()
        self.action_detail()

    def on_grid_header_clicked(self, event: Grid.HeaderClicked) -> None:
        """Sort by that column; a second time the other way."""
        event.stop()
        if (column := self.source.column_at(event.x)) is not None:
            self.action_sort_by(column.key)

    def on_click(self, event: events.Click) -> None:
        """A chip."""
        chips = self.query_one("#chips", Canvas)
        offset = event.get_content_offset(chips)
        if offset is None:
            return
        for begin, end, group, value in self._places:
            if begin <= offset.x < end:
                self._chip(group, value)

    def action_sort(self) -> None:
        """By the next column."""
        at = SORTS.index(self.source.sort) if self.source.sort in SORTS else -1
        self._sort(SORTS[(at + 1) % len(SORTS)], None)

    def action_turn(self) -> None:
        """The other way round."""
        self._sort(self.source.sort, not self.source.down)

    def action_sort_by(self, key: str) -> None:
        """By this column; the other way round where it is by that already."""
        self._sort(key, not self.source.down if key == self.source.sort else None)

    def _sort(self, key: str, down: bool | None) -> None:
        large_first = key in ("priority", "actual", "setpoint", "error")
        self.source.sort, self.source.down = key, large_first if down is None else down
        self.center.keep(sort=key, down=self.source.down)
        self.draw()

    def action_chip(self, group: str) -> None:
        """The next chip of a group."""
        chips = [value for value, _ in (ORIGINS if group == "origin" else KINDS)]
        now = self.source.origin if group == "origin" else self.source.kind
        self._chip(group, chips[(chips.index(now) + 1) % len(chips)])

    def _chip(self, group: str, value: str) -> None:
        if group == "origin":
            self.source.origin = value
            self.center.keep(origin=value)
        else:
            self.source.kind = value
            self.center.keep(kind=value)
        self.draw()

    def action_detail(self) -> None:
        """Show it or hide it."""
        self.query_one("#device-detail").toggle_class("-hidden")
        self.call_after_refresh(self.draw)

    def table(self) -> tuple[list[str], list[list[object]]]:
        """All devices that the filter keeps, in this order."""
        titles = ["device_id", "origin", "type", "feeder_id", "site_id", "soc", "priority", "p_actual_kw",
                  "setpoint_kw", "error_kw", "state", "heard_at"]  # fmt: skip
        rows: list[list[object]] = [
            [row["device_id"], row.get("origin"), row.get("type"), row.get("feeder_id"), row.get("site_id"),
             row.get("soc"), row.get("priority"), row.get("p_actual_kw"), setpoint_kw(row), error_kw(row),
             state_of(row), row.get("heard_at")]
            for row in self.source.rows()
        ]  # fmt: skip
        return titles, rows
