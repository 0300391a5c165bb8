"""Before something is done: what, to what, where, and what follows."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from derms.tui.lines import Row, wrapped
from derms.tui.widgets.canvas import Canvas


class Confirm(ModalScreen[bool]):
    """A question that only `y` says yes to.

    Args:
        question: What is about to be done, in a sentence.
        facts: Context, feeder and whatever else it is about: name and value.
        effect: What follows, in lines.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "yes", "Yes, do it"),
        Binding("n,escape,q", "no", "No"),
    ]

    def __init__(self, question: str, facts: Sequence[tuple[str, str]], effect: Sequence[Row]) -> None:
        super().__init__()
        self._question = question
        self._facts = facts
        self._effect = effect

    def compose(self) -> ComposeResult:
        """A box with the question in it."""
        with Vertical(classes="dialog"):
            yield Canvas(id="question")

    def on_mount(self) -> None:
        """Fill it."""
        self._fill()

    def on_resize(self) -> None:
        """Another size."""
        self._fill()

    def _fill(self) -> None:
        canvas = self.query_one("#question", Canvas)
        width = max(min(self.app.size.width - 8, 76), 20)
        rows: list[Row] = [*wrapped(self._question, width, "title"), []]
        for name, value in self._facts:
            first, *more = wrapped(value, max(width - 11, 10))
            rows.append([(f"{name:<10} ", "dim"), *first])
            rows += [[(" " * 11, ""), *row] for row in more]
        rows += [[], *(list(row) for row in self._effect)]
        most = max(self.app.size.height - 7, 4)
        if len(rows) > most:
            rows = [*rows[: most - 1], [(f"({len(rows) - most + 1} more lines)", "dim")]]
        rows += [[], [(" y ", "tab"), (" yes, do it    ", ""), (" n ", "tab"), (" no, leave it", "")]]
        canvas.styles.height = len(rows)
        canvas.styles.width = width
        canvas.show(rows)

    def on_click(self, event: events.Click) -> None:
        """A click upon one of the answers."""
        canvas = self.query_one("#question", Canvas)
        offset = event.get_content_offset(canvas)
        if offset is not None and offset.y == len(canvas.shown) - 1:
            self.dismiss(offset.x < 15)

    def action_yes(self) -> None:
        """It is meant."""
        self.dismiss(True)

    def action_no(self) -> None:
        """It is not."""
        self.dismiss(False)
