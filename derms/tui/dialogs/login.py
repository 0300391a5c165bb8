"""Who is there?"""

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from derms.errors import DermsError
from derms.tui.door import Door
from derms.tui.lines import Row, wrapped
from derms.tui.widgets.canvas import Canvas


class Login(ModalScreen[bool]):
    """Asks for name and password until the controller takes them; False: it was given up.

    Args:
        door: The way to the controller.
        why: Why one must log in again; empty: one has not yet.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Quit"),
        # At once, before the next key: a password that is pasted with its Enter must not land in the line before.
        Binding("enter", "enter", "Log in", priority=True),
        Binding("down,tab", "app.focus_next", "Next", show=False, priority=True),
        Binding("up,shift+tab", "app.focus_previous", "Previous", show=False, priority=True),
    ]

    def __init__(self, door: Door, why: str = "") -> None:
        super().__init__()
        self._door = door
        self._why = why
        self._asking = False

    def compose(self) -> ComposeResult:
        """A box with two lines to write in."""
        with Vertical(classes="dialog"):
            yield Canvas(id="login-head")
            with Horizontal(classes="field"):
                yield Canvas(id="label-user", classes="label")
                yield Input(id="login-user", compact=True)
            with Horizontal(classes="field"):
                yield Canvas(id="label-password", classes="label")
                yield Input(password=True, id="login-password", compact=True)
            yield Canvas(id="login-foot")

    def on_mount(self) -> None:
        """Fill it."""
        self._fill([] if not self._why else [[(self._why, "warn")]])
        self.query_one("#login-user", Input).focus()

    def _fill(self, said: list[Row]) -> None:
        width = max(min(self.app.size.width - 8, 64), 20)
        head = self.query_one("#login-head", Canvas)
        rows: list[Row] = [
            [("derms", "title"), ("  control center", "dim")],
            [],
            [("context    ", "dim"), (self._door.context, "")],
            [("controller ", "dim"), (self._door.url, "")],
            [],
        ]
        head.styles.height, head.styles.width = len(rows), width
        head.show(rows)
        self.query_one("#label-user", Canvas).show([[("user", "dim")]])
        self.query_one("#label-password", Canvas).show([[("password", "dim")]])
        foot = self.query_one("#login-foot", Canvas)
        rows = [[], *said, [(" enter ", "tab"), (" log in    ", ""), (" esc ", "tab"), (" quit", "")]]
        foot.styles.height, foot.styles.width = len(rows), width
        foot.show(rows)

    def action_enter(self) -> None:
        """On to the password; from there ask, once the line has taken all that was typed."""
        user, password = self.query_one("#login-user", Input), self.query_one("#login-password", Input)
        if self.focused is user:
            self.set_focus(password)
        else:
            password.call_later(self._entered)

    def _entered(self) -> None:
        if not self._asking:
            user, password = self.query_one("#login-user", Input), self.query_one("#login-password", Input)
            self._ask(user.value.strip(), password.value)

    @work(exclusive=True)
    async def _ask(self, username: str, password: str) -> None:
        self._asking = True
        self._fill([[("asking ...", "dim")]])
        try:
            await self._door.login(username, password)
        except DermsError as error:
            width = max(min(self.app.size.width - 8, 64), 20)
            self._fill(wrapped(str(error), width, "bad"))
            line = self.query_one("#login-password", Input)
            line.value = ""
            line.focus()
        else:
            self.dismiss(True)
        finally:
            self._asking = False

    def action_leave(self) -> None:
        """Give it up."""
        self.dismiss(False)
