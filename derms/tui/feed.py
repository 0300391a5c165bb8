"""The stream, read for ever: it comes back by itself, and says how it does. Posts to its owner, and owns nothing."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from derms.api.schemas.stream import ChangeOut, PictureOut
from derms.client import ApiClient
from derms.errors import AccessError, DermsError, ThrottledError

FIRST_WAIT_S = 0.5
MOST_WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Trying:
    """It is being opened."""


@dataclass(frozen=True, slots=True)
class Told:
    """The controller said something."""

    event: PictureOut | ChangeOut


@dataclass(frozen=True, slots=True)
class Broken:
    """It broke off, and is opened again later."""

    why: str
    wait_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """Who asks is not known any more; it is not opened again."""

    why: str


Word: TypeAlias = Trying | Told | Broken | Refused


class Feed:
    """Reads the stream of one client.

    Args:
        client: Whose stream; it stays the caller's.
        post: Told of everything; must not wait.
        rng: Spreads the attempts of many that lost the same controller.
    """

    def __init__(self, client: ApiClient, post: Callable[[Word], None], *, rng: random.Random) -> None:
        self._client = client
        self._post = post
        self._rng = rng
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Try again now instead of later."""
        self._hurry.set()

    async def run(self) -> None:
        """Read until it is refused, or cancelled."""
        last_id, wait_s = "", FIRST_WAIT_S
        while True:
            self._post(Trying())
            why = "the controller ended the stream"
            try:
                async with contextlib.aclosing(self._client.stream(last_id)) as events:
                    async for event_id, event in events:
                        last_id, wait_s = event_id, FIRST_WAIT_S
                        self._post(Told(event))
            except ThrottledError as error:
                why, wait_s = error.what, max(wait_s, error.retry_after_s)
            except AccessError as error:
                self._post(Refused(error.what))
                return
            except DermsError as error:
                why = f"{error.what}: {error.why}" if error.why else error.what
            pause_s = wait_s * self._rng.uniform(0.8, 1.2)
            self._post(Broken(why, pause_s))
            self._hurry.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pause_s)
            wait_s = min(wait_s * 2.0, MOST_WAIT_S)
