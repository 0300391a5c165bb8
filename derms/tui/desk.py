"""What screens and actions may ask of the application; it stands above them, and they know no more of it."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from derms.client import ApiClient
from derms.model import Role
from derms.tui.dialogs.form import Field
from derms.tui.lines import Glyphs, Row
from derms.tui.paint.detail import Chosen
from derms.tui.picture import Picture
from derms.tui.session import Session
from derms.tui.state import UiState


class Desk(Protocol):
    """The application."""

    glyphs: Glyphs
    state: UiState
    picture: Picture
    chosen: Chosen | None
    session: Session | None
    eased_limit_kw: float | None

    @property
    def now_s(self) -> float:
        """The monotonic clock [s]."""

    @property
    def now(self) -> datetime:
        """The controller's clock."""

    @property
    def frozen(self) -> bool:
        """What is shown is old."""

    @property
    def feeder_id(self) -> str:
        """The feeder that is looked at."""

    @property
    def selected(self) -> Any:
        """What the cursor of the screen in front stands on: an event, a program, an alarm; None: nothing."""

    def keep(self, **changes: Any) -> None:
        """Keep how somebody left the screens."""

    def draw_soon(self) -> None:
        """Draw, together with what else happens in a moment."""

    def notice(self, text: str, tone: str = "") -> None:
        """Tell something for a moment."""

    def may(self, needs: Role | None, what: str) -> bool:
        """Whether they may; tells them why not."""

    async def confirmed(self, question: str, facts: Sequence[tuple[str, str]], effect: Sequence[Row]) -> bool:
        """Ask, naming the context; whether it was meant."""

    async def filled(
        self,
        title: str,
        fields: Sequence[Field],
        facts: Sequence[tuple[str, str]],
        together: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any] | None:
        """Ask for values; None: it was given up."""

    async def doing(self, what: str, work_: Callable[[ApiClient], Awaitable[str]]) -> bool:
        """Do something at the controller, and tell how it went."""

    def look_at(self, feeder_id: str) -> None:
        """Look at a feeder."""

    def choose_device(self, device_id: str) -> None:
        """Look at another device."""

    def step_device(self, by: int) -> None:
        """Look at the next device of the table, or the one before."""

    def filter_devices(self, text: str) -> None:
        """Show the devices that a filter keeps."""

    def action_do(self, name: str, *arguments: str) -> None:
        """Do one of the actions."""
