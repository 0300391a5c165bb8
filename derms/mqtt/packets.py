"""The few MQTT packets that come and go by the thousand, taken apart and put together. Pure.

paho parses and builds every packet alike, at 25 to 40 us a message in MQTT 5; a PUBLISH needs a tenth of that. All else
(logging in, subscribing, pings, QoS 0 on its way out) stays with paho.

Source: MQTT Version 5.0, OASIS standard, sections 2.1 (fixed header), 3.3 (PUBLISH) and 3.4 (PUBACK).
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from derms.mqtt.receipts import REFUSED

PUBLISH, PUBACK = 0x30, 0x40
_LONGEST_LENGTH = 4
"""Bytes that may say how long a packet is."""
_EXPIRY = 0x02
_FIXED = {0x01: 1, _EXPIRY: 4, 0x23: 2}
"""Properties of a PUBLISH that always take so many bytes: the payload's format, its expiry, a topic alias."""
_TEXTS = {0x03: 1, 0x08: 1, 0x09: 1, 0x26: 2}
"""Those of so many texts, each after its length: content type, response topic, correlation data, user property."""
_SUBSCRIPTION = 0x0B
"""The one that is a number of one to four bytes."""
_IN_PROPERTIES = "a PUBLISH ends in its properties"


class PacketError(ValueError):
    """The bytes are no MQTT: the stream is out of step for good."""


class Publish(msgspec.Struct, frozen=True, gc=False):
    """A received PUBLISH."""

    topic: bytes
    payload: bytes
    qos: int
    retained: bool
    packet_id: int
    """0 at QoS 0."""
    expires_s: int | None = None
    """What is left of a retained message's life [s]; None: it was given none, or it is not retained."""


class PacketBuffer:
    """What came of a stream and is not taken yet; gives it packet by packet."""

    __slots__ = ("_at", "_chunk", "_missing", "_parts")

    def __init__(self) -> None:
        self._chunk = b""
        self._at = 0
        self._parts: list[bytes] = []
        """Of a packet that is not whole yet; joined once it is, not at every chunk."""
        self._missing = 0

    def feed(self, data: bytes) -> None:
        """Add what came from the network."""
        if self._parts:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return
            data = b"".join(self._parts)
            self._parts.clear()
        elif self._at < len(self._chunk):
            data = self._chunk[self._at :] + data
        self._chunk, self._at = data, 0

    def take(self) -> tuple[int, int, int] | None:
        """Where the next whole packet stands in `chunk`: its start, where its body starts, its end; None: no more.

        Raises:
            PacketError: A length cannot be read.
        """
        chunk, start = self._chunk, self._at
        size, at, length, shift = len(chunk), start + 1, 0, 0
        while at < size:
            byte = chunk[at]
            at += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                end = at + length
                if end > size:
                    self._wait_for(end - size)
                    return None
                self._at = end
                return start, at, end
            shift += 7
            if shift == 7 * _LONGEST_LENGTH:
                raise PacketError("a packet's length has more than four bytes")
        self._wait_for(1)
        return None

    def _wait_for(self, missing: int) -> None:
        if self._at < len(self._chunk):
            self._parts = [self._chunk[self._at :]]
            self._missing = missing
        self._chunk, self._at = b"", 0

    @property
    def chunk(self) -> bytes:
        """What `take` speaks of."""
        return self._chunk


def read_publish(chunk: bytes, start: int, body: int, end: int, *, level: int) -> Publish:
    """Take a PUBLISH of QoS 0 or 1 apart.

    Args:
        chunk: Holds it.
        start: Where it starts.
        body: Where what follows its length starts.
        end: Where it ends.
        level: 5 for MQTT 5, where properties stand before the payload; they are passed over, but for the expiry of a
            retained one.

    Raises:
        PacketError: It does not add up.
    """
    flags = chunk[start]
    qos = (flags >> 1) & 3
    at = body + 2 + ((chunk[body] << 8) | chunk[body + 1]) if body + 2 <= end else end + 1
    topic, packet_id, expires_s = chunk[body + 2 : at], 0, None
    if qos:
        if at + 2 > end:
            raise PacketError("a PUBLISH ends in its packet id")
        packet_id = (chunk[at] << 8) | chunk[at + 1]
        at += 2
    if level == 5:
        length, start_of_properties = _number(chunk, at, end)
        at = start_of_properties + length
        if at > end:
            raise PacketError(_IN_PROPERTIES)
        if flags & 1 and length:
            expires_s = _expiry(chunk, start_of_properties, at)
    if at > end:
        raise PacketError("a PUBLISH ends in its topic")
    return Publish(topic, chunk[at:end], qos, bool(flags & 1), packet_id, expires_s)


def _number(chunk: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of one to four bytes, and where it ends."""
    number = shift = 0
    while at < end and shift < 7 * _LONGEST_LENGTH:
        byte = chunk[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise PacketError(_IN_PROPERTIES)


def _expiry(chunk: bytes, at: int, end: int) -> int | None:
    """What the properties say of a message's life [s]."""
    expires_s = None
    while at < end:
        kind = chunk[at]
        at += 1
        if kind in _FIXED:
            if kind == _EXPIRY:
                expires_s = int.from_bytes(chunk[at : at + 4], "big")
            at += _FIXED[kind]
        elif kind in _TEXTS:
            for _ in range(_TEXTS[kind]):
                at += 2 + int.from_bytes(chunk[at : at + 2], "big")
        elif kind == _SUBSCRIPTION:
            _, at = _number(chunk, at, end)
        else:
            raise PacketError(f"a PUBLISH has a property {kind}, which the standard does not have")
    if at > end:
        raise PacketError(_IN_PROPERTIES)
    return expires_s


def pubacks(packet_ids: Iterable[int], *, level: int) -> bytes:
    """The PUBACKs of messages that are safe, in the order given.

    Args:
        packet_ids: With `REFUSED` added where a message is refused.
        level: 5 for MQTT 5, where a refusal can be said (0x97, quota exceeded); in 3.1.1 all look alike.
    """
    return b"".join(
        [
            b"\x40\x02" + packet_id.to_bytes(2, "big") if packet_id < REFUSED else _refusal(packet_id & ~REFUSED, level)
            for packet_id in packet_ids
        ]
    )


def _refusal(packet_id: int, level: int) -> bytes:
    if level == 5:
        return b"\x40\x03" + packet_id.to_bytes(2, "big") + b"\x97"
    return b"\x40\x02" + packet_id.to_bytes(2, "big")


def publish(
    topic: bytes, payload: bytes, packet_id: int, *, level: int = 4, retain: bool = False, expires_s: int | None = None
) -> bytes:
    """A PUBLISH of QoS 1.

    Args:
        topic: Where to.
        payload: What is said.
        packet_id: Comes back in the acknowledgement.
        level: 5 for MQTT 5, where properties stand before the payload.
        retain: The broker keeps it for those who subscribe later.
        expires_s: The broker forgets it after so long [s]; only MQTT 5 can say that.
    """
    properties = b""
    if level == 5:
        properties = b"\x00" if expires_s is None else b"\x05\x02" + expires_s.to_bytes(4, "big")
    body = b"%b%b%b%b%b" % (len(topic).to_bytes(2, "big"), topic, packet_id.to_bytes(2, "big"), properties, payload)
    return (b"\x33" if retain else b"\x32") + _length(len(body)) + body


def read_puback(chunk: bytes, body: int, end: int) -> tuple[int, int]:
    """The packet id and the reason code of a PUBACK; in 3.1.1, and where all is well, the code is left out and 0.

    Raises:
        PacketError: It does not add up.
    """
    if body + 2 > end:
        raise PacketError("a PUBACK ends in its packet id")
    return (chunk[body] << 8) | chunk[body + 1], chunk[body + 2] if body + 2 < end else 0


def subscribe(topics: Sequence[bytes], packet_id: int) -> bytes:
    """A SUBSCRIBE at QoS 1 of MQTT 3.1.1; for measuring."""
    body = packet_id.to_bytes(2, "big") + b"".join(len(one).to_bytes(2, "big") + one + b"\x01" for one in topics)
    return b"\x82" + _length(len(body)) + body


def connect(client_id: str) -> bytes:
    """A CONNECT of MQTT 3.1.1 with a clean session and no keepalive; for measuring."""
    name = client_id.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
    return b"\x10" + _length(len(body)) + body


def _length(size: int) -> bytes:
    return bytes(_digits(size))


def _digits(size: int) -> Iterator[int]:
    while size > 0x7F:
        yield size & 0x7F | 0x80
        size >>= 7
    yield size
