"""What every screen is."""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.containers import Container

from derms.tui.commands import Command
from derms.tui.desk import Desk
from derms.tui.lines import Glyphs
from derms.tui.paint.overview import Scene
from derms.tui.picture import Picture
from derms.tui.widgets.grid import Grid

MOVING = (
    Command(keys=("j", "down"), action="move(1)", title="down"),
    Command(keys=("k", "up"), action="move(-1)", title="up"),
    Command(keys=("g", "home"), action="edge(False)", title="first"),
    Command(keys=("G", "end"), action="edge(True)", title="last"),
    Command(keys=("ctrl+d", "pagedown", "ctrl+f"), action="page(1)", title="half a page down"),
    Command(keys=("ctrl+u", "pageup", "ctrl+b"), action="page(-1)", title="half a page up"),
)
"""In every table."""


def bound(commands: Sequence[Command]) -> list[BindingType]:
    """Keys as Textual takes them."""
    return [Binding(",".join(command.keys), command.action, command.title, show=False) for command in commands]


class View(Container):
    """One screen."""

    NAME: ClassVar[str] = ""
    """As it is kept and called."""
    TITLE: ClassVar[str] = ""
    COMMANDS: ClassVar[tuple[Command, ...]] = ()
    """What can be done here, in the order of the help."""
    HELP: ClassVar[str] = ""
    """Further words in the help."""

    @property
    def center(self) -> Desk:
        """The application."""
        return cast("Desk", self.app)

    @property
    def picture(self) -> Picture:
        """What is known."""
        return self.center.picture

    @property
    def glyphs(self) -> Glyphs:
        """Which characters there are."""
        return self.center.glyphs

    @property
    def grid(self) -> Grid | None:
        """The table that keys move in; None: there is none."""
        return next(iter(self.query(Grid)), None)

    @property
    def chosen(self) -> Any:
        """What the cursor stands on, for actions; None: nothing that they know."""
        return None

    def scene(self, width: int, height: int) -> Scene:
        """What a painter gets beside the picture."""
        center = self.center
        return Scene(
            width=width,
            height=height,
            now=center.now,
            glyphs=center.glyphs,
            feeder_id=center.feeder_id,
            minutes=center.state.minutes,
            limit_kw=center.eased_limit_kw,
        )

    def enter(self) -> None:
        """It comes to the front."""
        # At once: what is focused later would take the focus from whoever asked in between.
        self.screen.set_focus(self.grid if self.grid is not None else self)

    def draw(self) -> None:
        """Show the picture."""

    def selected(self) -> str:
        """The id of what the cursor stands on, to be copied; empty: nothing."""
        return self.grid.cursor_key if self.grid is not None else self.center.feeder_id

    def table(self) -> tuple[list[str], list[list[object]]]:
        """Everything that is shown, for a file: titles and rows."""
        return [], []

    def action_move(self, by: int) -> None:
        """Rows on or back."""
        if self.grid is not None:
            self.grid.go(self.grid.cursor + by)

    def action_edge(self, last: bool) -> None:
        """The first row, or the last."""
        if self.grid is not None and self.grid.source is not None:
            self.grid.go(self.grid.source.count() - 1 if last else 0)

    def action_page(self, by: int) -> None:
        """Half a page on or back."""
        if self.grid is not None:
            self.grid.go(self.grid.cursor + by * max(self.grid.page // 2, 1))
