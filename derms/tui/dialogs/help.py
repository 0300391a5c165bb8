"""All keys of what is in front of somebody."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from derms.model import Role
from derms.tui.access import refusal
from derms.tui.commands import Command, key_names
from derms.tui.lines import Row, wrapped
from derms.tui.widgets.canvas import Canvas


class Help(ModalScreen[None]):
    """Every command of the view, then those that are always there.

    Args:
        parts: A title, and its commands, each.
        role: Whose help it is: what they may not is marked.
        words: Further lines below.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "leave", "Close"),
        Binding("j,down", "roll(1)", "Down", show=False),
        Binding("k,up", "roll(-1)", "Up", show=False),
    ]

    def __init__(self, parts: Sequence[tuple[str, Sequence[Command]]], role: Role | None, words: str = "") -> None:
        super().__init__()
        self._parts = parts
        self._role = role
        self._words = words

    def compose(self) -> ComposeResult:
        """A box that can be rolled."""
        with VerticalScroll(classes="dialog", id="help-box"):
            yield Canvas(id="help")

    def on_mount(self) -> None:
        """Fill it."""
        width = max(min(self.app.size.width - 8, 76), 20)
        canvas = self.query_one("#help", Canvas)
        rows = help_rows(self._parts, self._role, width)
        if self._words:
            rows += [[], *wrapped(self._words, width, "dim")]
        rows += [[], [(" esc ", "tab"), (" close", "")]]
        canvas.styles.height = len(rows)
        canvas.styles.width = width
        canvas.show(rows)

    def action_leave(self) -> None:
        """Close it."""
        self.dismiss(None)

    def action_roll(self, by: int) -> None:
        """A row on or back."""
        self.query_one("#help-box", VerticalScroll).scroll_relative(y=by, animate=False)


def help_rows(parts: Sequence[tuple[str, Sequence[Command]]], role: Role | None, width: int) -> list[Row]:
    """What the help says."""
    rows: list[Row] = []
    for title, commands in parts:
        if rows:
            rows.append([])
        rows.append([(title, "title")])
        for command in commands:
            why = refusal(role, command.needs)
            text = (command.help or command.title) + (f" ({why})" if why else "")
            first, *more = wrapped(text, max(width - 17, 10), "dim" if why else "")
            rows.append([(f"  {key_names(command):<14} ", "key"), *first])
            rows += [[(" " * 17, ""), *row] for row in more]
    return rows
