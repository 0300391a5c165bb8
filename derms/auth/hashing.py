"""Passwords are hashed on one thread of its own: 50 ms a piece would stop the control loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from derms.auth.passwords import Passwords
from derms.errors import UnavailableError

AT_ONCE = 8
"""How many may wait for their hash."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Checked:
    """What a password turned out to be."""

    right: bool
    better: str | None = field(default=None, repr=False)
    """A hash to replace the one there is, which is weak; None: there is no need."""


class Hashing:
    """The thread. Close it at the end.

    Args:
        passwords: How they are hashed.
    """

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="derms-login")
        self._waiting = 0

    def close(self) -> None:
        """End the thread; who still waits is given up."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """A new hash.

        Raises:
            UnavailableError: Too many at once.
        """
        return await self._there(lambda: self._passwords.hash(password))

    async def check(self, password: str, stored: str | None) -> Checked:
        """Compare; a user who is not there (None) takes as long as one who is.

        Raises:
            UnavailableError: Too many at once.
        """
        return await self._there(lambda: self._checked(password, stored))

    def _checked(self, password: str, stored: str | None) -> Checked:
        if not self._passwords.matches(password, stored) or stored is None:
            return Checked(False)
        return Checked(True, self._passwords.hash(password) if self._passwords.is_weak(stored) else None)

    async def _there(self, work: Callable[[], T]) -> T:
        if self._waiting >= AT_ONCE:
            raise UnavailableError(
                "too many logins at once",
                why=f"at most {AT_ONCE} are checked at a time",
                next_step="try again in a second",
            )
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1
