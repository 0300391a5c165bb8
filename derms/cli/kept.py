"""A client whose login outlives it: tokens that are renewed on the way are written back.

A refresh token is good once, and one that is sent twice ends the login. So commands that run at the same time renew
one after the other, and whoever comes second takes what the first has got.
"""

import asyncio
import contextlib
import fcntl
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec.structs import replace

from derms.cli.contexts import Tokens, read_tokens, write_tokens
from derms.client import ApiClient
from derms.errors import UnavailableError

_LOOK_S = 0.05


class KeptClient(ApiClient):
    """One controller's API, asked with the tokens of a file.

    Args:
        kept: What stands in the file.
        path: The file.
        timeout_s: For one call as a whole [s].
        tls: As for `ApiClient`.
    """

    def __init__(self, kept: Tokens, path: Path, *, timeout_s: float, tls: ssl.SSLContext | None) -> None:
        super().__init__(kept.url, token=kept.token, refresh_token=kept.refresh_token, timeout_s=timeout_s, tls=tls)
        self._kept = kept
        self._path = path
        self._patience_s = timeout_s

    async def renew(self) -> None:
        """Get the next tokens, from the file where another command has got them meanwhile, and keep them."""
        async with _alone(self._path.with_suffix(".lock"), self._patience_s):
            newest = read_tokens(self._path)
            if newest is not None and newest.url == self._kept.url and newest.token != self.token:
                self.token, self.refresh_token = newest.token, newest.refresh_token
                return
            await super().renew()
            assert self.token is not None
            write_tokens(self._path, replace(self._kept, token=self.token, refresh_token=self.refresh_token))


@contextlib.asynccontextmanager
async def _alone(path: Path, patience_s: float) -> AsyncIterator[None]:
    """While no other process is here; the lock ends with the process, whatever becomes of it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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
