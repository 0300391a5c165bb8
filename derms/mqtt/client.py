"""What paho is made of here: a client built for one connection, and the thing it takes for its socket.

Together with `derms.mqtt.connection` the only door to paho.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from derms.mqtt.address import BrokerAddress, Will

Level = Literal[4, 5]
"""The protocol level on the wire: 4 is MQTT 3.1.1, 5 is MQTT 5."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """What every connection of a link has in common."""

    address: BrokerAddress
    client_id: str
    subscriptions: Sequence[tuple[str, int]]
    will: Will | None
    tls: ssl.SSLContext | None
    manual_ack: bool
    no_echo: bool
    session_expiry_s: int
    receive_maximum: int | None
    keepalive_s: int
    connect_timeout_s: float
    may_be_refused: frozenset[str] = frozenset()
    """Of the subscriptions, the filters that the link can do without."""


class Wire:
    """What paho takes for a socket: reads come from the last chunk, writes gather until `flush`."""

    __slots__ = ("_chunk", "_out", "_position", "_transport", "at_end", "parting")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._chunk = b""
        self._position = 0
        self._out: list[bytes | bytearray] = []
        self.at_end = False
        self.parting = False
        """The next `close` is our goodbye."""

    @property
    def unread(self) -> bool:
        """Bytes are left of the last chunk."""
        return self._position < len(self._chunk)

    def feed(self, data: bytes) -> None:
        """Add what came from the network."""
        self._chunk = self._chunk[self._position :] + data if self.unread else data
        self._position = 0

    def recv(self, size: int) -> bytes:
        """Give paho the next bytes."""
        data = self._chunk[self._position : self._position + size]
        if not data and not self.at_end:
            raise BlockingIOError
        self._position += len(data)
        return data

    def send(self, data: bytes | bytearray) -> int:
        """Take bytes from paho."""
        self._out.append(data)
        return len(data)

    def flush(self) -> None:
        """Write what was gathered, at once."""
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def close(self) -> None:
        """Write what was gathered and close; in parting only our direction, the other one is the broker's to close.

        A socket that is closed with bytes unread is reset. The broker may see that before it reads the goodbye, and
        would then publish the will.
        """
        self.flush()
        if not self.parting:
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()

    def fileno(self) -> int:
        """There is none; only paho's own loop would ask."""
        return -1

    def setblocking(self, flag: bool) -> None:
        """There is nothing that could block."""


class WiredClient(Client):
    """A paho client that is handed its socket instead of opening one."""

    wire: Wire

    def _create_socket(self) -> Wire:
        # paho's own connects, resolves names and shakes hands for TLS while blocking; there is no public hook
        return self.wire


def new_client(options: ConnectOptions, level: Level) -> WiredClient:
    """Build the paho client of one connection."""
    client = WiredClient(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        clean_session=None if level == 5 else options.session_expiry_s == 0,
        protocol=MQTTProtocolVersion.MQTTv5 if level == 5 else MQTTProtocolVersion.MQTTv311,
        # paho would otherwise try other versions by itself, blocking
        reconnect_on_failure=False,
        manual_ack=options.manual_ack,
    )
    if options.address.username is not None:
        client.username_pw_set(options.address.username, options.address.password)
    if options.will is not None:
        client.will_set(options.will.topic, options.will.payload, options.will.qos, options.will.retain)
    client.connect_async(
        options.address.host, options.address.port, options.keepalive_s, **_session_options(options, level)
    )
    return client


def expiring(expires_s: int) -> Properties:
    """The properties of a message that the broker forgets after a time [s]."""
    properties = _properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = expires_s
    return properties


def _session_options(options: ConnectOptions, level: Level) -> dict[str, Any]:
    if level != 5:
        return {}
    session: dict[str, Any] = {"clean_start": options.session_expiry_s == 0}
    if options.session_expiry_s or options.receive_maximum is not None:
        # only when needed: paho keeps them, and they weigh some 10 kB
        properties = session["properties"] = _properties(PacketTypes.CONNECT)
        if options.session_expiry_s:
            properties.SessionExpiryInterval = options.session_expiry_s
        if options.receive_maximum is not None:
            properties.ReceiveMaximum = options.receive_maximum
    return session


def _properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho leaves this constructor untyped
