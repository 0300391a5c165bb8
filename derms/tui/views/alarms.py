"""Alarms: what wants somebody, what it means, and what to do."""

from typing import ClassVar

from textual.app import ComposeResult

from derms.api.schemas.alarms import AlarmOut
from derms.model import Role
from derms.tui.commands import Command
from derms.tui.paint.alarms import TITLES, alarm_cells, alarm_detail
from derms.tui.views.base import MOVING, View, bound
from derms.tui.widgets.canvas import Canvas
from derms.tui.widgets.grid import Grid, Listed


class AlarmsView(View):
    """Alarms that are not normal."""

    NAME = "alarms"
    TITLE = "Alarms"
    COMMANDS = (
        Command(keys=("a",), action="app.do('acknowledge')", title="acknowledge", needs=Role.OPERATOR, top=True,
                help="say that you know of the alarm"),
        Command(keys=("z",), action="app.do('shelve')", title="shelve", needs=Role.OPERATOR, top=True,
                help="put the alarm aside for a while, with a reason"),
        Command(keys=("u",), action="app.do('unshelve')", title="unshelve", needs=Role.OPERATOR, top=True,
                help="let the alarm count again"),
        Command(keys=("r",), action="app.look_again", title="refresh", help="ask for the alarms now"),
        *MOVING,
    )  # fmt: skip
    BINDINGS: ClassVar = bound(COMMANDS)

    def compose(self) -> ComposeResult:
        """Table and detail."""
        yield Grid(Listed(TITLES), id="alarm-grid", empty="nothing is wrong")
        yield Canvas(id="alarm-detail", classes="detail")

    @property
    def chosen(self) -> AlarmOut | None:
        """The alarm that the cursor stands on."""
        key = self.query_one(Grid).cursor_key
        return next((alarm for alarm in self.picture.alarms if alarm.alarm_id == key), None)

    def draw(self) -> None:
        """Show the picture."""
        grid, now, frozen = self.query_one(Grid), self.center.now, self.center.frozen
        source = grid.source
        assert isinstance(source, Listed)
        width = max(grid.size.width - 2, 20)
        alarms = self.picture.alarms
        source.put([(alarm.alarm_id, alarm_cells(alarm, now, width, self.glyphs)) for alarm in alarms])
        grid.freeze(frozen)
        grid.update()
        below = self.query_one("#alarm-detail", Canvas)
        if below.size.height:
            below.freeze(frozen)
            below.show(alarm_detail(self.chosen, below.size.width, below.size.height, now, self.glyphs))

    def on_grid_moved(self, event: Grid.Moved) -> None:
        """Another alarm is looked at."""
        event.stop()
        self.center.draw_soon()

    def table(self) -> tuple[list[str], list[list[object]]]:
        """All alarms."""
        titles = ["alarm_id", "state", "priority", "raised_at", "cause", "consequence", "response"]
        rows: list[list[object]] = [
            [one.alarm_id, one.state.value, one.priority.value, one.raised_at.isoformat(), one.cause,
             one.consequence, one.response]
            for one in self.picture.alarms
        ]  # fmt: skip
        return titles, rows
