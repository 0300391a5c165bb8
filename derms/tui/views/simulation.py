"""Which hour the simulators play."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult

from derms.contract import SimulationProfile
from derms.model import Role
from derms.tui.commands import Command
from derms.tui.lines import Row, heading, stacked, wrapped
from derms.tui.views.base import View, bound
from derms.tui.widgets.canvas import Canvas

_WORDS = (
    (SimulationProfile.DAY, "d", "the sun stands at noon, households as at noon"),
    (SimulationProfile.NIGHT, "n", "no sun, households as at ten in the evening"),
    (SimulationProfile.AUTO, "a", "sun and households go with the simulators' clock"),
)
_TOP = 4


class SimulationView(View, can_focus=True):
    """Day, night, auto."""

    NAME = "simulation"
    TITLE = "Sim"
    COMMANDS = tuple(
        Command(keys=(key,), action=f"app.do('simulate', '{mode.value}')", title=mode.value, needs=Role.OPERATOR,
                top=True, help=f"{mode.value}: {words}")
        for mode, key, words in _WORDS
    )  # fmt: skip
    BINDINGS: ClassVar = bound(COMMANDS)

    def compose(self) -> ComposeResult:
        """One canvas."""
        yield Canvas(id="simulation-canvas")

    def draw(self) -> None:
        """Show the picture."""
        canvas = self.query_one("#simulation-canvas", Canvas)
        width, height = canvas.size.width, canvas.size.height
        if not width or not height:
            return
        glyphs, now = self.glyphs, self.picture.simulation
        rows: list[Row] = [
            heading("Simulation", width, glyphs, note="of simulated devices alone"),
            [],
            [("Which hour do the simulators play?", "")],
            [],
        ]
        for mode, key, words in _WORDS:
            mine = mode is now
            rows.append([
                (f"  {glyphs.pointer if mine else ' '} ", "accent"), (f" {key} ", "key"),
                (f"{mode.value:<7}", "tab" if mine else "title"), (f"  {words}", "" if mine else "dim"),
            ])  # fmt: skip
        rows.append([])
        said = (
            "Nothing was set since the controller started; the broker may hold what was set before."
            if now is None
            else "It is published to the simulators and kept by the broker. Physical devices take no notice."
        )
        rows += wrapped(said, width, "dim")
        total = self.picture.feeder(self.center.feeder_id)
        if total is not None:
            origins = total.devices_by_origin
            rows += [[], [(f"{origins.get('simulated', 0):,} simulated and {origins.get('physical', 0):,} physical "
                           f"devices on {total.feeder_id}", "dim")]]  # fmt: skip
        canvas.freeze(self.center.frozen)
        canvas.show(stacked(rows, width, height, ascii_only=glyphs.ascii_only))

    def on_click(self, event: events.Click) -> None:
        """Choose one."""
        offset = event.get_content_offset(self.query_one("#simulation-canvas", Canvas))
        if offset is not None and _TOP <= offset.y < _TOP + len(_WORDS):
            self.center.action_do("simulate", _WORDS[offset.y - _TOP][0].value)
