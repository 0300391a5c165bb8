"""The first screen."""

from typing import ClassVar

from textual.app import ComposeResult

from derms.model import Role
from derms.tui.commands import Command
from derms.tui.paint.overview import overview
from derms.tui.views.base import View, bound
from derms.tui.widgets.canvas import Canvas

_FEEDER_COMMANDS = (
    Command(keys=("right_square_bracket", "j", "down"), action="app.feeder(1)", title="next feeder"),
    Command(keys=("left_square_bracket", "k", "up"), action="app.feeder(-1)", title="previous feeder"),
    Command(keys=("i",), action="app.do('set_limit')", title="limits", needs=Role.OPERATOR, top=True,
            help="set the feeder's import and export limits"),
    Command(keys=("m",), action="app.do('set_mode')", title="mode", needs=Role.OPERATOR, top=True,
            help="set the feeder's mode: auto, advise or off"),
    Command(keys=("n",), action="app.do('new_event')", title="DR event", needs=Role.OPERATOR, top=True,
            help="create a demand-response event for this feeder"),
    Command(keys=("plus", "equals_sign"), action="app.minutes(1)", title="longer charts"),
    Command(keys=("minus",), action="app.minutes(-1)", title="shorter charts"),
)  # fmt: skip


class OverviewView(View, can_focus=True):
    """Gauges, the last half hour, and how everything does."""

    NAME = "overview"
    TITLE = "Overview"
    COMMANDS = _FEEDER_COMMANDS
    BINDINGS: ClassVar = bound(COMMANDS)

    def compose(self) -> ComposeResult:
        """One canvas."""
        yield Canvas(id="overview-canvas")

    def draw(self) -> None:
        """Show the picture."""
        canvas = self.query_one("#overview-canvas", Canvas)
        size = canvas.size
        if size.width and size.height:
            canvas.freeze(self.center.frozen)
            canvas.show(overview(self.picture, self.scene(size.width, size.height)))

    def table(self) -> tuple[list[str], list[list[object]]]:
        """The lines of the chart."""
        trail = self.picture.trail(self.center.feeder_id)
        names = list(trail.ys)
        rows: list[list[object]] = [
            [at, *(trail.ys[name][number] for name in names)] for number, at in enumerate(trail.xs)
        ]
        return ["epoch_s", *(f"{name}_kw" for name in names)], rows
