"""Messages of QoS 1 on their way to the broker, by packet id, until it has acknowledged them. Writes nothing itself.

paho takes 40 us and more for each, as it looks through all that wait whenever one is acknowledged; this takes a tenth.
Packet ids cannot meet paho's own: it has none of its own under way but that of the subscriptions, which are answered
before anything is published.

Source: MQTT Version 5.0, OASIS standard, sections 2.2.1 (packet ids), 3.4 (PUBACK) and 4.9 (flow control).
"""

import asyncio
from collections import deque

from derms.errors import BrokerError, UsageError
from derms.mqtt.packets import publish

MAX_PENDING = 32_768
"""Publishes that may wait for the broker; packet ids are 16 bits wide, so there can never be twice as many."""
_LAST_ID = 65_535
_LONGEST_TOPIC, _LONGEST_PAYLOAD = 65_535, 268_000_000
_WINDOW_3_1_1 = 1_000
"""In 3.1.1 a broker has no way to say how many it takes at once; TCP holds us back where that is less."""


class Outgoing:
    """Of one connection.

    Args:
        level: 4 for MQTT 3.1.1, 5 for MQTT 5.
        loop: Makes the futures.
    """

    def __init__(self, *, level: int, loop: asyncio.AbstractEventLoop) -> None:
        self._level = level
        self._loop = loop
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._held: deque[bytes] = deque()
        """What the broker does not take yet."""
        self._ready: list[bytes] = []
        self._under_way = 0
        """Of those that wait, how many the broker has, or is about to be given."""
        self._window = _WINDOW_3_1_1 if level == 4 else _LAST_ID
        self._next_id = 0

    def __len__(self) -> int:
        """How many are not acknowledged."""
        return len(self._waiting)

    def limit(self, receive_maximum: int) -> None:
        """Note how many the broker takes at once; before the first `put`."""
        self._window = receive_maximum

    def put(self, topic: str, payload: bytes, *, retain: bool, expires_s: int | None) -> asyncio.Future[None]:
        """Add one.

        Returns:
            What is done when the broker has acknowledged it, or has refused it.

        Raises:
            BrokerError: Too many wait for the broker.
            UsageError: The topic or the payload cannot be published.
        """
        name = checked(topic, payload)
        if len(self._waiting) >= MAX_PENDING:
            raise BrokerError(
                "too many messages wait for the MQTT broker", why=f"{MAX_PENDING} are not acknowledged yet"
            )
        packet_id = self._free_id()
        packet = publish(name, payload, packet_id, level=self._level, retain=retain, expires_s=expires_s)
        if self._under_way < self._window:
            self._under_way += 1
            self._ready.append(packet)
        else:
            self._held.append(packet)
        future = self._waiting[packet_id] = self._loop.create_future()
        return future

    def take(self) -> bytes:
        """What is to be written now."""
        packets, self._ready = b"".join(self._ready), []
        return packets

    def acknowledged(self, packet_id: int) -> asyncio.Future[None] | None:
        """Make room for the next; the future of the one that is acknowledged, or None where none of that id waits."""
        future = self._waiting.pop(packet_id, None)
        if future is not None:
            if self._held:
                self._ready.append(self._held.popleft())
            else:
                self._under_way -= 1
        return future

    def give_up(self) -> list[asyncio.Future[None]]:
        """Forget all; those that wait."""
        waiting = list(self._waiting.values())
        self._waiting.clear()
        self._held.clear()
        self._ready.clear()
        return waiting

    @property
    def due(self) -> bool:
        """Something is to be written."""
        return bool(self._ready)

    def _free_id(self) -> int:
        while True:
            self._next_id = self._next_id % _LAST_ID + 1
            if self._next_id not in self._waiting:
                return self._next_id


def checked(topic: str, payload: bytes) -> bytes:
    """A topic as it stands on the wire.

    Raises:
        UsageError: It, or the payload, cannot be published.
    """
    name = topic.encode()
    if not name or len(name) > _LONGEST_TOPIC or b"+" in name or b"#" in name or b"\0" in name:
        raise UsageError(f"cannot publish to {topic!r}", why="a topic has 1 to 65535 bytes, and no wildcard or null")
    if len(payload) > _LONGEST_PAYLOAD:
        raise UsageError(f"cannot publish to {topic!r}", why="the payload is larger than MQTT allows")
    return name
