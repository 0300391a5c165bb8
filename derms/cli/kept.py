"""A client whose login outlives it: tokens that are renewed on the way are written back.

A refresh token is good once, and one that is sent twice ends the login. So commands that run at the same time renew
one after the other, and whoever comes second takes what the first has got.
"""

import asyncio
import contextlib
import fcntl
import os
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from msgspec.structs import replace

from derms.cli.tokens import Tokens, Vault, lock_file
from derms.client import ApiClient, Exchange
from derms.errors import UnavailableError

_LOOK_S = 0.05


class KeptClient(ApiClient):
    """One controller's API, asked with the tokens of a vault.

    Args:
        kept: What is in the vault.
        vault: Where the next ones go.
        timeout_s: For one call as a whole [s].
        tls: As for `ApiClient`.
        on_exchange: As for `ApiClient`.
    """

    def __init__(
        self,
        kept: Tokens,
        vault: Vault,
        *,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        on_exchange: Callable[[Exchange], None] | None = None,
    ) -> None:
        super().__init__(
            kept.url, token=kept.token, refresh_token=kept.refresh_token, timeout_s=timeout_s, tls=tls,
            on_exchange=on_exchange,
        )  # fmt: skip
        self._kept = kept
        self._vault = vault
        self._patience_s = timeout_s

    async def renew(self) -> None:
        """Get the next tokens, from the file where another command has got them meanwhile, and keep them."""
        async with _alone(self._vault.lock, self._patience_s):
            newest = self._vault.read()
            if newest is not None and newest.url == self._kept.url and newest.token != self.token:
                self.token, self.refresh_token = newest.token, newest.refresh_token
                return
            await super().renew()
            assert self.token is not None
            self._vault.write(replace(self._kept, token=self.token, refresh_token=self.refresh_token))


@contextlib.asynccontextmanager
async def _alone(path: Path, patience_s: float) -> AsyncIterator[None]:
    """While no other process is here; the lock ends with the process, whatever becomes of it."""
    descriptor = lock_file(path)
    try:
        try:
            async with asyncio.timeout(patience_s):
                while not _locked(descriptor):  # noqa: ASYNC110 -- there is nothing of another process to wait on
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as error:
            raise UnavailableError(
                "the login cannot be renewed",
                why=f"another command has been renewing it for {patience_s:g} s",
                next_step="try again, or log in again with `derms login`",
            ) from error
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
