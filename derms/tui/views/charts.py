"""The screen of charts."""

from typing import ClassVar

from textual.app import ComposeResult

from derms.tui.commands import Command
from derms.tui.paint.charts import charts
from derms.tui.views.base import View, bound
from derms.tui.widgets.canvas import Canvas


class ChartsView(View, can_focus=True):
    """SOC, tracking error, setpoint against actual."""

    NAME = "charts"
    TITLE = "Charts"
    COMMANDS = (
        Command(keys=("j", "down"), action="device(1)", title="next device", top=True, help="the next device's curves"),
        Command(keys=("k", "up"), action="device(-1)", title="previous device", help="the device's before"),
        Command(keys=("w",), action="worst", title="worst", top=True, help="the device that is farthest off"),
        Command(keys=("right_square_bracket",), action="app.feeder(1)", title="next feeder"),
        Command(keys=("left_square_bracket",), action="app.feeder(-1)", title="previous feeder"),
        Command(keys=("plus", "equals_sign"), action="app.minutes(1)", title="longer", top=True, help="longer charts"),
        Command(keys=("minus",), action="app.minutes(-1)", title="shorter", top=True, help="shorter charts"),
    )
    BINDINGS: ClassVar = bound(COMMANDS)

    def compose(self) -> ComposeResult:
        """One canvas."""
        yield Canvas(id="charts-canvas")

    def enter(self) -> None:
        """Without a chosen device, take the first one."""
        super().enter()
        if self.center.chosen is None:
            self.center.step_device(0)

    def draw(self) -> None:
        """Show the picture."""
        canvas = self.query_one("#charts-canvas", Canvas)
        size = canvas.size
        if size.width and size.height:
            canvas.freeze(self.center.frozen)
            canvas.show(charts(self.picture, self.center.chosen, self.scene(size.width, size.height)))

    def selected(self) -> str:
        """The device whose curves are drawn."""
        return "" if self.center.chosen is None else self.center.chosen.device_id

    def action_device(self, by: int) -> None:
        """Another device, in the order of the table."""
        self.center.step_device(by)

    def action_worst(self) -> None:
        """The device that is farthest from its setpoint."""
        fleet = self.picture.fleet
        order = fleet.order("error", down=True)
        if order.size:
            self.center.choose_device(fleet.ids[int(order[0])])

    def table(self) -> tuple[list[str], list[list[object]]]:
        """The curves of the device."""
        chosen = self.center.chosen
        if chosen is None:
            return [], []
        names = list(chosen.trail.ys)
        rows: list[list[object]] = [
            [at, *(chosen.trail.ys[name][number] for name in names)] for number, at in enumerate(chosen.trail.xs)
        ]
        return ["epoch_s", *names], rows
