"""What both versions of the protocol share: one connection, its messages bounded, its errors translated."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ocpp.exceptions import OCPPError
from websockets.exceptions import ConnectionClosed

from agent.ocpp.station import BOOT_GRACE_S, Connector, Station, refused, rfc3339
from derms.errors import DeviceError
from derms.ports import Clock

CALL_TIMEOUT_S = 4.0
"""For a station's answer [s]."""
MAX_UNASKED = 50
"""Answers to nothing that a station may send before it is hung up on."""

_ACCEPTED = "Accepted"
_quiet = logging.getLogger("derms.ocpp.wire")
"""The library's log of each message: for debugging, never above."""


class Socket(Protocol):
    """What the library needs of a websocket; messages are taken from it here (`SessionBase.hear`)."""

    async def send(self, message: str) -> None:
        """Send a message."""
        ...


@dataclass(slots=True, kw_only=True)
class Desk:
    """What a session needs of this side."""

    clock: Clock
    heartbeat_s: int
    sample_s: int
    tokens: frozenset[str] | None
    """Who may charge; None: everyone."""
    quarantined: bool = False
    """The station is not known: it may talk, and nothing comes of it."""
    changed: Callable[[], None] = field(default=lambda: None)
    """Called when something of the station changed that should be reported soon."""

    def may_charge(self, token: object) -> bool:
        """Whether a token is among those."""
        return not self.quarantined and (self.tokens is None or str(token) in self.tokens)


class SessionBase:
    """Mixed into the library's `ChargePoint` of a version.

    The class that it is mixed into provides `call`, `route_message` and `_response_queue`.
    """

    station: Station
    desk: Desk
    started: asyncio.Event
    """Set when the station has announced itself."""

    def connector(self, number: object) -> Connector | None:
        """A connector by its number; None: it is not configured, or stands for the whole station."""
        return self.station.connectors.get(number) if isinstance(number, int) else None

    def now(self) -> str:
        """For answers: this side's clock."""
        return rfc3339(self.desk.clock.now_ms())

    async def ask(self, payload: Any, what: str, *, fine: tuple[str, ...] = (_ACCEPTED,)) -> None:
        """Call the station, and see that it does what it is told.

        Raises:
            DeviceError: It does not answer, or is gone.
            DeviceFaultError: It refuses.
        """
        try:
            answer = await self.call(payload, suppress=False)  # type: ignore[attr-defined]  # the library's
        except OCPPError as error:
            raise refused(self.station.station_id, what, error) from error
        except (TimeoutError, ConnectionClosed, OSError) as error:
            raise DeviceError(
                f"station {self.station.station_id} does not answer",
                why=f"it was told a {what}, and was silent for {CALL_TIMEOUT_S:g} s or hung up",
                next_step="check its network",
            ) from error
        status = getattr(answer, "status", _ACCEPTED)
        if status not in fine:
            raise refused(self.station.station_id, what, status)

    async def wait_started(self) -> None:
        """Wait until the station may be spoken to: it has announced itself, or does not do so after a reconnection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BOOT_GRACE_S):
                await self.started.wait()

    async def hear(self, raw: str) -> None:
        """Take one message; what is wrong with it stays with it."""
        try:
            await self.route_message(raw)  # type: ignore[attr-defined]  # the library's
        except (OCPPError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            # the library lets some malformed messages raise what they happen to raise
            _quiet.info(
                "a message made no sense", extra={"station": self.station.station_id, "error": repr(error)[:200]}
            )
        queue: asyncio.Queue[Any] = self._response_queue  # type: ignore[attr-defined]  # the library's
        if queue.qsize() > MAX_UNASKED:
            raise DeviceError(f"station {self.station.station_id} answers what it was not asked")


def wire_log() -> logging.Logger:
    """Where the library may write: not where operators read."""
    _quiet.setLevel(logging.CRITICAL)
    return _quiet
