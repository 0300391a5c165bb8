"""What stands beside the figures of `derms bench loop`: paho by itself, a message that goes round, PostgreSQL."""

import asyncio
import ssl
import time
from pathlib import Path
from typing import Any

from derms.bench.fleet_load import device_id
from derms.mqtt import MqttLink
from derms.mqtt.address import BrokerAddress
from derms.mqtt.client import ConnectOptions, Wire, WiredClient, new_client
from derms.store.embedded import EmbeddedPostgres

_WAIT_S = 60.0
_PAYLOAD = (
    b'{"v":1,"device_id":"ev-000000","p_setpoint_kw":3.612345,"issued_at":1767225600000,"valid_until":1767225630000,'
    b'"epoch":1,"seq":1234567,"reason":"feeder-1: import limit"}'
)
ECHO_TOPIC = "bench/echo"


class _Alone(asyncio.Protocol):
    """paho on a connection, and nothing else."""

    def __init__(self, client: WiredClient) -> None:
        self._client = client
        self.answered = asyncio.Event()
        self.settled = asyncio.Event()
        self.missing = 0
        self.wire: Wire | None = None
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in."""
        assert isinstance(transport, asyncio.Transport)
        self._client.wire = self.wire = Wire(transport)
        self._client.reconnect()
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take answers."""
        assert self.wire is not None
        self.wire.feed(data)
        while self.wire.unread:
            self._client.loop_read()
        self._flush()

    def publish(self, messages: int) -> None:
        """Hand over so many."""
        self.missing = messages
        for number in range(messages):
            self._client.publish(f"bench/alone/{device_id(number)}", _PAYLOAD, 1)
            if number % 200 == 0:
                self._flush()
        self._flush()

    def _flush(self) -> None:
        assert self.wire is not None
        self._client.loop_write()
        self.wire.flush()

    def _on_connect(self, *_: Any) -> None:
        self.answered.set()

    def _on_publish(self, *_: Any) -> None:
        self.missing -= 1
        if not self.missing:
            self.settled.set()


async def paho_publishes_s(address: BrokerAddress, messages: int) -> float:
    """Until so many MQTT 5 messages of QoS 1 are published by paho alone and acknowledged [s]."""
    no_tls: ssl.SSLContext | None = None
    options = ConnectOptions(
        address=address, client_id="bench-paho", subscriptions=(), will=None, tls=no_tls, manual_ack=False,
        no_echo=False, session_expiry_s=0, receive_maximum=None, keepalive_s=60, connect_timeout_s=5.0,
    )  # fmt: skip
    alone = _Alone(new_client(options, 5))
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: alone, address.host, address.port)
    try:
        async with asyncio.timeout(_WAIT_S):
            await alone.answered.wait()
            began_s = time.perf_counter()
            alone.publish(messages)
            await alone.settled.wait()
            return time.perf_counter() - began_s
    finally:
        transport.close()


async def echoes_ms(link: MqttLink, times: int, every_s: float) -> list[float]:
    """How long a message takes through the broker and back on the same link, which has subscribed to `ECHO_TOPIC`."""
    took = []
    for _ in range(times):
        began_s = time.perf_counter()
        await link.publish(ECHO_TOPIC, _PAYLOAD, qos=0)
        async with asyncio.timeout(_WAIT_S):
            while not any(message.topic == ECHO_TOPIC for message in await link.receive()):
                pass
        took.append((time.perf_counter() - began_s) * 1000.0)
        await asyncio.sleep(every_s)
    return took


async def postgres_starts_s(directory: Path) -> tuple[float, float]:
    """Until the embedded PostgreSQL by itself is ready: with an empty directory, and again [s]."""
    took = []
    for _ in range(2):
        began_s = time.perf_counter()
        async with EmbeddedPostgres(directory):
            took.append(time.perf_counter() - began_s)
    return took[0], took[1]
