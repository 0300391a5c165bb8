"""Messages to a webhook: an HTTP POST each, retried, in order; nobody waits for them.

Rules:
    - 2xx: delivered. 408, 429, 5xx, no answer within `TIMEOUT_S` or no connection: tried again, with a pause that
      doubles from 1 to 60 s, `ATTEMPTS` times in all. Anything else, redirects too: given up at once.
    - Redirects are not followed: they would take what is sent, and the secret in the address, elsewhere.
    - Of the address the log has the host at most: the rest may be a secret.
    - Full-policy: `MAX_WAITING` messages wait; when there are more the oldest is dropped and counted.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aiohttp

MAX_WAITING = 100
ATTEMPTS = 8
TIMEOUT_S = 10.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0

log = logging.getLogger(__name__)


class Webhook:
    """One address, and what waits to be sent there.

    Args:
        url: `http://` or `https://`.
        on_result: Told of each `delivered`, `retried`, `given_up` and `dropped`.
        pause: Waits between two attempts.
        timeout_s: For one attempt [s].
    """

    def __init__(
        self,
        url: str,
        *,
        on_result: Callable[[str], None],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._url = url
        self._on_result = on_result
        self._pause = pause
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._waiting: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._failing = False

    def put(self, body: bytes) -> None:
        """Queue a message; never waits."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self._on_result("dropped")
        self._waiting.append(body)
        self._filled.set()

    async def run(self) -> None:
        """Send until cancelled."""
        async with self._session() as session:
            while True:
                await self._filled.wait()
                self._filled.clear()
                while self._waiting:
                    await self._deliver(session, self._waiting.popleft())

    def post_now(self, body: bytes) -> None:
        """Send one message once, from a thread that has no event loop, and wait for it."""

        async def post() -> str:
            async with self._session() as session:
                return await self._attempt(session, body)

        self._on_result("delivered" if asyncio.run(post()) == "" else "given_up")

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            timeout=self._timeout, connector=aiohttp.TCPConnector(force_close=True), cookie_jar=aiohttp.DummyCookieJar()
        )

    async def _deliver(self, session: aiohttp.ClientSession, body: bytes) -> None:
        pause_s, why = _FIRST_PAUSE_S, ""
        for attempt in range(1, ATTEMPTS + 1):
            why = await self._attempt(session, body)
            if why == "":
                self._on_result("delivered")
                self._note("")
                return
            self._note(why)
            if attempt == ATTEMPTS or why.startswith("refused"):
                break
            self._on_result("retried")
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._on_result("given_up")

    async def _attempt(self, session: aiohttp.ClientSession, body: bytes) -> str:
        """Send once; empty: it was taken, else why not."""
        try:
            async with session.post(
                self._url, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
            ) as response:
                status = response.status
        except TimeoutError:
            return "no answer in time"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # Not its words: they may repeat the address.
            return f"no connection ({type(error).__name__})"
        if 200 <= status < 300:
            return ""
        again = status in (408, 429) or status >= 500
        return f"{'answered' if again else 'refused with'} {status}"

    def _note(self, why: str) -> None:
        """Log a failure when it begins and when it ends."""
        if bool(why) is not self._failing:
            self._failing = bool(why)
            host = ""
            with contextlib.suppress(ValueError):
                host = urlsplit(self._url).hostname or ""
            if why:
                log.error("The alert webhook does not take messages: %s", why, extra={"host": host})
            else:
                log.info("The alert webhook takes messages again", extra={"host": host})
