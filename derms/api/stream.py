"""`GET /api/stream`: server-sent events, one a tick.

A reader first gets a whole `picture`, then a `change` a tick. After a break it says the last id it saw
(`Last-Event-ID`), and gets what it missed, or a new picture where that is no longer known. What is sent is encoded once
for all. A reader that falls behind is dropped, never waited for: it comes back and says where it was.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from derms.api.routes import Route
from derms.api.schemas.stream import ChangeOut, PictureOut
from derms.api.view import PictureView
from derms.errors import AccessError, UnavailableError
from derms.metrics import Metrics
from derms.model import Role

MAX_READERS = 1000
MAX_BEHIND = 32
"""Events that wait for one reader; with more of them it is dropped."""
BACKLOG_BYTES = 16 * 1024 * 1024
"""Of events past, for those that come back."""
HEARTBEAT_S = 15.0
"""Without any event, a comment is sent this often [s]: a dead connection shows, and the token is looked at again."""
_AT_ONCE = 8
"""Readers that are told in one turn of the event loop."""
_WRITE_S = 10.0
"""A reader whose connection takes nothing for so long is dropped [s]."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Reader:
    waiting: deque[bytes] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False

    def put(self, event: bytes) -> bool:
        """Let it wait for the reader; whether there was room."""
        if len(self.waiting) >= MAX_BEHIND:
            self.gone = True
        else:
            self.waiting.append(event)
        self.wake.set()
        return not self.gone


class Hub:
    """Tells all readers of every tick.

    Args:
        source: Looks at the controller.
        epoch: This run's number: ids of another run mean nothing here.
        metrics: Counts readers and those dropped.
    """

    def __init__(self, source: PictureView, *, epoch: int, metrics: Metrics) -> None:
        self._source = source
        self._epoch = epoch
        self._metrics = metrics
        self._readers: set[_Reader] = set()
        self._past: deque[tuple[int, bytes]] = deque()
        self._past_bytes = 0
        self._picture: tuple[int, bytes] | None = None
        self._tick = 0
        self._closed = False
        self._due = asyncio.Event()
        self._looking = asyncio.Lock()

    def ticked(self) -> None:
        """The controller has decided anew."""
        self._due.set()

    async def run(self) -> None:
        """Tell everybody of each tick, until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self.tell()
            except Exception:
                # What is shown must not end what controls.
                _log.exception("The stream cannot look at the controller; its readers are sent away")
                self._send_away()
                self._forget()

    async def tell(self) -> None:
        """Look at the controller and tell everybody; while nobody reads, nothing is done."""
        if not self._readers:
            self._forget()
            return
        async with self._looking:
            readers = list(self._readers)
            await self._look()
        event = self._past[-1][1]
        for number, reader in enumerate(readers):
            if number % _AT_ONCE == 0:
                # Whoever is woken writes at once: not all of them in one turn of the event loop.
                await asyncio.sleep(0)
            if reader in self._readers and not reader.put(event):
                self._readers.discard(reader)
                self._metrics.stream_dropped_total.inc()
                _log.info("A reader of the stream fell behind and is dropped")

    def close(self) -> None:
        """Send everybody away."""
        self._closed = True
        self._send_away()

    def _send_away(self) -> None:
        for reader in self._readers:
            reader.gone = True
            reader.wake.set()

    async def join(self, last_id: str) -> _Reader:
        """A new reader, with what it is to see first.

        Args:
            last_id: The last event it saw; empty: none.

        Raises:
            UnavailableError: There are too many, or the daemon is about to end.
        """
        if self._closed or len(self._readers) >= MAX_READERS:
            raise UnavailableError(
                f"{len(self._readers)} readers are on the stream",
                why=f"there may be {MAX_READERS}, and none once the controller stops",
                next_step="come back later, or poll GET /api/feeder/summary",
            )
        reader = _Reader()
        async with self._looking:
            if not self._past:
                await self._look()
            reader.waiting.extend(self._missed(last_id) or [self._whole()])
            reader.wake.set()
            self._readers.add(reader)
        self._metrics.stream_readers.set(len(self._readers))
        return reader

    def leave(self, reader: _Reader) -> None:
        """It reads no longer."""
        self._readers.discard(reader)
        self._metrics.stream_readers.set(len(self._readers))

    async def _look(self) -> None:
        change = await self._source.change()
        self._tick = change.tick
        event = self._event("change", change.tick, change)
        self._past.append((change.tick, event))
        self._past_bytes += len(event)
        while self._past_bytes > BACKLOG_BYTES and len(self._past) > 1:
            self._past_bytes -= len(self._past.popleft()[1])

    def _forget(self) -> None:
        self._past.clear()
        self._past_bytes = 0
        self._picture = None

    def _whole(self) -> bytes:
        """The picture, made at most once a tick however many come."""
        if self._picture is None or self._picture[0] != self._tick:
            self._picture = self._tick, self._event("picture", self._tick, self._source.whole())
        return self._picture[1]

    def _missed(self, last_id: str) -> list[bytes]:
        """What came after an event; empty where that is not known, or is more than a reader may be behind."""
        epoch, _, tick = last_id.partition("-")
        if epoch != str(self._epoch) or not tick.isdecimal() or len(tick) > 18:
            return []
        last = int(tick)
        if not self._past[0][0] - 1 <= last < self._tick or self._tick - last > MAX_BEHIND // 2:
            return []
        return [event for number, event in self._past if number > last]

    def _event(self, name: str, tick: int, body: PictureOut | ChangeOut) -> bytes:
        return b"id: %d-%d\nevent: %s\ndata: %s\n\n" % (self._epoch, tick, name.encode(), msgspec.json.encode(body))


def routes(hub: Hub, still_may: Callable[[web.Request], None]) -> list[Route]:
    """The stream.

    Args:
        hub: Has it.
        still_may: Looks at the token of a request again; raises `AccessError` once it is over.
    """

    async def get_stream(request: web.Request) -> web.StreamResponse:
        reader = await hub.join(request.headers.get("Last-Event-ID", ""))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        try:
            await response.prepare(request)
            await _feed(reader, response, lambda: still_may(request))
        except (ConnectionError, TimeoutError):
            # It went away, or takes nothing: there is nobody to be told.
            if request.transport is not None:
                request.transport.abort()
        finally:
            hub.leave(reader)
        return response

    return [
        Route(
            method="GET", path="/api/stream", handler=get_stream, role=Role.VIEWER,
            summary="One picture, then what changes, a tick at a time", media="text/event-stream",
            headers=("Last-Event-ID",), problems=(503,),
        ),
    ]  # fmt: skip


async def _feed(reader: _Reader, response: web.StreamResponse, still_may: Callable[[], None]) -> None:
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await reader.wake.wait()
        except TimeoutError:
            reader.waiting.append(b": still here\n\n")
        reader.wake.clear()
        try:
            still_may()
        except AccessError:
            return
        if reader.gone:
            return
        # One at a time, so that what does not fit stays in a queue whose length is known.
        while reader.waiting and not reader.gone:
            async with asyncio.timeout(_WRITE_S):
                await response.write(reader.waiting.popleft())
