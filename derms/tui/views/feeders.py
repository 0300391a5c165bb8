"""The tree of feeders."""

from typing import ClassVar

from textual.app import ComposeResult

from derms.model import Role
from derms.plot import Row
from derms.tui.commands import Command
from derms.tui.lines import heading, padded
from derms.tui.paint.feeders import branches, feeder_cells, titles
from derms.tui.paint.overview import feeder_chart, feeder_head
from derms.tui.views.base import MOVING, View, bound
from derms.tui.widgets.canvas import Canvas
from derms.tui.widgets.grid import Grid


class _Tree:
    """The nodes; of those only what is in sight is made."""

    def __init__(self, view: "FeedersView") -> None:
        self._view = view
        self._tree: list[tuple[str, int]] = []
        self._branches: list[str] = []
        self._place: dict[str, int] = {}

    def refresh(self) -> None:
        """Look at the tree again."""
        tree = self._view.picture.tree()
        if tree != self._tree:
            self._tree = tree
            self._branches = branches(tree, self._view.glyphs)
            self._place = {feeder_id: at for at, (feeder_id, _) in enumerate(tree)}

    def count(self) -> int:
        """How many nodes."""
        return len(self._tree)

    def key(self, at: int) -> str:
        """Its id."""
        return self._tree[at][0]

    def find(self, key: str) -> int | None:
        """Where it stands."""
        return self._place.get(key)

    def row(self, at: int, width: int) -> Row:
        """One node."""
        view = self._view
        feeder_id = self.key(at)
        chosen = feeder_id == view.center.feeder_id
        cells = feeder_cells(view.picture, feeder_id, self._branches[at], width, view.glyphs, chosen=chosen)
        return padded(cells, width)

    def header(self, width: int) -> Row:
        """The titles."""
        return titles(width)


class FeedersView(View):
    """Every node with its limits; below, the chosen one over time."""

    NAME = "feeders"
    TITLE = "Feeders"
    COMMANDS = (
        Command(keys=("i",), action="app.do('set_limit')", title="limits", needs=Role.OPERATOR, top=True,
                help="set the feeder's import and export limits"),
        Command(keys=("m",), action="app.do('set_mode')", title="mode", needs=Role.OPERATOR, top=True,
                help="set the feeder's mode: auto, advise or off"),
        Command(keys=("n",), action="app.do('new_event')", title="DR event", needs=Role.OPERATOR, top=True,
                help="create a demand-response event for this feeder"),
        Command(keys=("d", "enter"), action="devices", title="its devices", top=True,
                help="show the devices on it and below it"),
        Command(keys=("plus", "equals_sign"), action="app.minutes(1)", title="longer charts"),
        Command(keys=("minus",), action="app.minutes(-1)", title="shorter charts"),
        *MOVING,
    )  # fmt: skip
    BINDINGS: ClassVar = bound(COMMANDS)

    def compose(self) -> ComposeResult:
        """Tree and detail."""
        yield Grid(_Tree(self), id="feeder-grid", empty="no feeder yet")
        yield Canvas(id="feeder-detail", classes="detail")

    def enter(self) -> None:
        """The cursor stands on the feeder that is looked at."""
        super().enter()
        self.query_one(Grid).choose(self.center.feeder_id)

    def draw(self) -> None:
        """Show the picture."""
        grid, frozen = self.query_one(Grid), self.center.frozen
        assert isinstance(grid.source, _Tree)
        grid.source.refresh()
        grid.freeze(frozen)
        grid.update()
        below = self.query_one("#feeder-detail", Canvas)
        feeder = self.picture.feeder(self.center.feeder_id)
        if not below.size.height or feeder is None:
            return
        width, height = below.size.width, below.size.height
        scene = self.scene(width, height)
        rows = [heading("", width, self.glyphs), *feeder_head(self.picture, feeder, scene)]
        rows += feeder_chart(self.picture, scene, width, max(height - len(rows), 0))
        below.freeze(frozen)
        below.show(rows)

    def on_grid_moved(self, event: Grid.Moved) -> None:
        """Another feeder is looked at."""
        event.stop()
        if event.key and event.key != self.center.feeder_id and self.center.state.view == self.NAME:
            self.center.look_at(event.key)

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        """A second click shows its devices."""
        event.stop()
        self.action_devices()

    def action_devices(self) -> None:
        """Its devices."""
        self.center.filter_devices(f"feeder:{self.center.feeder_id}")

    def table(self) -> tuple[list[str], list[list[object]]]:
        """All nodes."""
        titles_ = ["feeder_id", "parent_id", "mode", "load_kw", "import_limit_kw", "limit_source", "export_limit_kw",
                   "reserved_kw", "devices_total"]  # fmt: skip
        feeders = [one for feeder_id in self.picture.feeder_ids() if (one := self.picture.feeder(feeder_id))]
        rows: list[list[object]] = [
            [one.feeder_id, one.parent_id, one.mode.value, one.load_kw, one.import_limit_kw, one.limit_source,
             one.export_limit_kw, one.reserved_kw, one.devices_total]
            for one in feeders
        ]  # fmt: skip
        return titles_, rows
