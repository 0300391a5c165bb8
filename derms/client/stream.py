"""The live stream, and what it tells put together again."""

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Any

import msgspec

from derms.api.schemas.devices import DeviceOut
from derms.api.schemas.feeders import FeederSummaryOut
from derms.api.schemas.health import HealthOut
from derms.api.schemas.stream import ChangeOut, PictureOut
from derms.client.base import Caller
from derms.client.http import FAILURES
from derms.errors import UnavailableError

_SILENCE_S = 45.0
"""The server says something every 15 s; without a word for so long it is gone [s]."""


class Mirror:
    """The controller as the stream last told it."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.last_id = ""
        """Of the last event; where to go on after a break."""
        self.at: datetime | None = None
        """The controller's clock at the last event."""
        self.health: HealthOut | None = None
        self._feeders: dict[str, dict[str, Any]] = {}
        self._devices: dict[str, dict[str, Any]] = {}

    def take(self, event_id: str, event: PictureOut | ChangeOut) -> None:
        """Take one event in."""
        if isinstance(event, PictureOut):
            self._feeders.clear()
            self._devices.clear()
        for known, key, rows in (
            (self._feeders, "feeder_id", event.feeders),
            (self._devices, "device_id", event.devices),
        ):
            for row in rows:
                if (old := known.get(row[key])) is None:
                    known[row[key]] = row
                else:
                    old.update(row)
        self.last_id, self.at, self.health = event_id, event.at, event.health

    def feeders(self) -> list[FeederSummaryOut]:
        """All feeders, by id."""
        return [msgspec.convert(self._feeders[key], FeederSummaryOut) for key in sorted(self._feeders)]

    def devices(self) -> list[DeviceOut]:
        """All devices, by id; their ages are as of `at`."""
        return [self.device(key) for key in sorted(self._devices)]

    def device(self, device_id: str) -> DeviceOut:
        """One device; its age is as of `at`.

        Raises:
            KeyError: The stream has not told of it.
        """
        row = self._devices[device_id]
        age_s = None
        if row.get("heard_at") is not None and self.at is not None:
            age_s = max((self.at - msgspec.convert(row["heard_at"], datetime)).total_seconds(), 0.0)
        return msgspec.convert({**row, "age_s": age_s}, DeviceOut)


class StreamCalls(Caller):
    """The live stream."""

    async def stream(self, last_id: str = "") -> AsyncGenerator[tuple[str, PictureOut | ChangeOut], None]:
        """Every event, with its id; ends when the server ends it.

        Args:
            last_id: The last one seen before; empty: begin anew.

        Raises:
            DermsError: It cannot be had, or broke off.
        """
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        async with self.opened("GET", "/api/stream", headers=headers, silence_s=_SILENCE_S) as response:
            blocks = _Blocks()
            try:
                async for chunk in response.chunks():
                    for block in blocks.add(chunk):
                        if (event := _event(block)) is not None:
                            yield event
            except (msgspec.DecodeError, UnicodeDecodeError, KeyError) as error:
                raise UnavailableError(
                    f"the stream of {self.url} cannot be read", why=str(error), next_step="correct the URL"
                ) from error
            except FAILURES as error:
                raise UnavailableError(
                    f"the stream of {self.url} broke off", why=str(error) or "nothing came", next_step="open it again"
                ) from error


class _Blocks:
    """What ends with an empty line, from chunks of any size; a picture of 100,000 devices comes in a thousand."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def add(self, chunk: bytes) -> list[bytes]:
        """Take a chunk; the blocks that are whole now."""
        # The first of the two line ends may stand at the end of what waits.
        begin = max(len(self._waiting) - 1, 0)
        self._waiting += chunk
        if self._waiting.find(b"\n\n", begin) < 0:
            return []
        *whole, rest = bytes(self._waiting).split(b"\n\n")
        self._waiting = bytearray(rest)
        return whole


def _event(block: bytes) -> tuple[str, PictureOut | ChangeOut] | None:
    """One event; None for a comment, or an event of a later release."""
    fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if not line.startswith(b":") and b": " in line)
    kinds: dict[bytes, type[PictureOut] | type[ChangeOut]] = {b"picture": PictureOut, b"change": ChangeOut}
    kind = kinds.get(fields.get(b"event", b""))
    if kind is None:
        return None
    return fields.get(b"id", b"").decode(), msgspec.json.decode(fields[b"data"], type=kind)
