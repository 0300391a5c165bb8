"""A few values that somebody is to give, each checked before anything is done with them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from derms.errors import DermsError
from derms.tui.lines import Row, wrapped
from derms.tui.widgets.canvas import Canvas


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One value."""

    key: str
    label: str
    value: str = ""
    """What stands there at first."""
    hint: str = ""
    read: Callable[[str], Any]
    """What was written -> the value; raises `DermsError`."""


class Form(ModalScreen[dict[str, Any] | None]):
    """Asks for values; None: it was given up.

    Args:
        title: What they are for.
        fields: From the top down.
        facts: What it is about: name and value.
        together: Looks at all values together; raises `DermsError`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Leave"),
        Binding("ctrl+s", "send", "Go on"),
        # At once, so that what is typed next stands in the next line.
        Binding("down,tab", "app.focus_next", "Next", show=False, priority=True),
        Binding("up,shift+tab", "app.focus_previous", "Previous", show=False, priority=True),
    ]

    def __init__(
        self,
        title: str,
        fields: Sequence[Field],
        facts: Sequence[tuple[str, str]] = (),
        together: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        super().__init__()
        self._title = title
        self._fields = fields
        self._facts = facts
        self._together = together

    def compose(self) -> ComposeResult:
        """A box with a line for every value."""
        with VerticalScroll(classes="dialog", can_focus=False):
            yield Canvas(id="form-head")
            for field in self._fields:
                with Horizontal(classes="field"):
                    yield Canvas(id=f"label-{field.key}", classes="label")
                    yield Input(field.value, placeholder=field.hint, id=f"field-{field.key}", compact=True,
                                select_on_focus=False)  # fmt: skip
            with Vertical(classes="form-foot"):
                yield Canvas(id="form-foot")

    def on_mount(self) -> None:
        """Fill it."""
        self._fill([])

    def _fill(self, problem: list[Row]) -> None:
        width = max(min(self.app.size.width - 8, 76), 20)
        head = self.query_one("#form-head", Canvas)
        rows: list[Row] = [[(self._title, "title")]]
        rows += [[(f"{name:<10} ", "dim"), (value, "")] for name, value in self._facts]
        rows.append([])
        head.styles.height = len(rows)
        head.styles.width = width
        head.show(rows)
        for field in self._fields:
            self.query_one(f"#label-{field.key}", Canvas).show([[(field.label, "dim")]])
        foot = self.query_one("#form-foot", Canvas)
        keys: Row = [(" enter ", "tab"), (" go on    ", ""), (" esc ", "tab"), (" leave", "")]
        rows = [[], *problem, keys]
        foot.styles.height = len(rows)
        foot.styles.width = width
        foot.show(rows)

    def on_input_submitted(self) -> None:
        """Enter goes on."""
        self.action_send()

    def on_click(self, event: events.Click) -> None:
        """A click upon one of the answers."""
        foot = self.query_one("#form-foot", Canvas)
        offset = event.get_content_offset(foot)
        if offset is not None and offset.y == len(foot.shown) - 1:
            if offset.x < 15:
                self.action_send()
            else:
                self.action_leave()

    def action_send(self) -> None:
        """Read all values; where one cannot be meant, say so and stay."""
        found: dict[str, Any] = {}
        width = max(min(self.app.size.width - 8, 76), 20)
        for field in self._fields:
            line = self.query_one(f"#field-{field.key}", Input)
            try:
                found[field.key] = field.read(line.value.strip())
            except DermsError as error:
                self._fill(wrapped(f"{field.label}: {error}", width, "bad"))
                line.focus()
                return
        if self._together is not None:
            try:
                self._together(found)
            except DermsError as error:
                self._fill(wrapped(str(error), width, "bad"))
                return
        self.dismiss(found)

    def action_leave(self) -> None:
        """Give it up."""
        self.dismiss(None)
