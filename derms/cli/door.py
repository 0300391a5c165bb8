"""The way to the controller that `derms tui` goes: with the token that is kept, or with one of its own."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from derms.cli.command import Run
from derms.cli.contexts import ui_state_file
from derms.cli.tokens import Tokens
from derms.client import ApiClient
from derms.errors import DermsError


class KeptDoor:
    """Uses the token of the last `derms login`, and keeps the next one. Implements `derms.tui.door.Door`."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @property
    def context(self) -> str:
        """Its name."""
        return self._run.context.name

    @property
    def url(self) -> str:
        """Where it is."""
        return self._run.context.url

    @property
    def state_file(self) -> Path | None:
        """Where it is kept how the screens were left."""
        return ui_state_file(os.environ, self._run.context.name)

    def known(self) -> bool:
        """Whether there is a token to try."""
        return bool(os.environ.get("DERMS_TOKEN")) or self._run.tokens() is not None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ApiClient]:
        """The controller, asked with the newest token there is."""
        async with self._run.client() as client:
            yield client

    async def login(self, username: str, password: str) -> None:
        """Log in, and keep the token."""
        async with self._run.client(anonymous=True) as client:
            granted = await client.login(username, password)
        # A token from the environment would be taken instead; it was just refused, or never there.
        os.environ.pop("DERMS_TOKEN", None)
        kept = Tokens(url=self.url, username=username, token=granted.token, refresh_token=granted.refresh_token)
        self._run.vault.write(kept)

    async def logout(self) -> None:
        """End the login, and forget it."""
        with suppress(DermsError):
            async with self._run.client() as client:
                await client.logout()
        self._run.vault.forget()


class FreshDoor(KeptDoor):
    """Knows nobody at first, and keeps nothing: for those who are not the user of this machine."""

    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self._tokens: tuple[str, str | None] | None = None

    @property
    def state_file(self) -> Path | None:
        """Nowhere."""
        return None

    def known(self) -> bool:
        """Whether they have logged in."""
        return self._tokens is not None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ApiClient]:
        """The controller, asked with what their login gave."""
        async with self._run.client(anonymous=True) as client:
            if self._tokens is not None:
                client.token, client.refresh_token = self._tokens
            yield client
            if client.token is not None:
                self._tokens = (client.token, client.refresh_token)

    async def login(self, username: str, password: str) -> None:
        """Log in."""
        async with self._run.client(anonymous=True) as client:
            granted = await client.login(username, password)
        self._tokens = (granted.token, granted.refresh_token)

    async def logout(self) -> None:
        """End the login."""
        if self._tokens is not None:
            with suppress(DermsError):
                async with self.client() as client:
                    await client.logout()
        self._tokens = None
