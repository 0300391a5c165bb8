"""What the control center needs of whoever starts it: a way to the controller, and where to keep things."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from derms.client import ApiClient


class Door(Protocol):
    """The way to one controller."""

    @property
    def context(self) -> str:
        """Its name, as people know it."""

    @property
    def url(self) -> str:
        """Where it is."""

    @property
    def state_file(self) -> Path | None:
        """Where it is kept how the screens were left; None: nowhere."""

    def known(self) -> bool:
        """Whether there is a token to try."""

    def client(self) -> AbstractAsyncContextManager[ApiClient]:
        """The controller, asked with the newest token there is."""

    async def login(self, username: str, password: str) -> None:
        """Log in; clients that are made from now on use what that gave.

        Raises:
            DermsError: As the client says.
        """

    async def logout(self) -> None:
        """End the login, as far as the controller can be told, and forget it."""
