"""What the parts of the intake could do by themselves: paho taking messages, the store writing rows."""

import asyncio
import random
import ssl
import time
from dataclasses import dataclass
from typing import Any

from derms.model import DeviceKind, Telemetry
from derms.mqtt.address import BrokerAddress
from derms.mqtt.client import ConnectOptions, Wire, new_client
from derms.mqtt.packets import publish
from derms.ports import RecordBatch, Sample
from derms.store.postgres import PostgresStore

_MESSAGES, _ROWS, _BATCH = 5_000, 20_000, 5_000
_AGO_MS = 3_600_000
"""Of devices that are not there; not so old that they are packed or dropped while it is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Processor time of each by itself [us], and the rate by the wall clock [1/s]."""

    paho_us: float
    paho_rate: float
    store_us: float
    store_rate: float


class _Sink(asyncio.Transport):
    """Takes what is written, and forgets it."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


async def measure_parts(store: PostgresStore, rng: random.Random) -> Parts:
    """Measure both, one after the other, in this process.

    Args:
        store: Gets rows of devices that are not there, an hour old.
        rng: What they say.
    """
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    _paho_takes(_MESSAGES)
    paho_cpu_s, paho_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    now_ms = time.time_ns() // 1_000_000 - _AGO_MS
    samples = [
        Sample(
            Telemetry(device_id=f"alone-{number % 10_000}", kind=DeviceKind.EV, at_ms=now_ms + number,
                      p_actual_kw=rng.uniform(0.0, 7.0), soc=0.42, seq=number, p_max_kw=7.2),
            now_ms, "feeder-1",
        )
        for number in range(_ROWS + 1)
    ]  # fmt: skip
    # Once before, uncounted: the first batch makes a partition and reads what a session reads once.
    await store.write(RecordBatch(samples=samples[_ROWS:]))
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    for start in range(0, _ROWS, _BATCH):
        await store.write(RecordBatch(samples=samples[start : start + _BATCH], setpoints=[], decisions=[]))
    store_cpu_s, store_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    return Parts(
        paho_us=paho_cpu_s * 1e6 / _MESSAGES,
        paho_rate=_MESSAGES / paho_s,
        store_us=store_cpu_s * 1e6 / _ROWS,
        store_rate=_ROWS / store_s,
    )


def _acknowledge(client: Any, _: object, message: Any) -> None:
    client.ack(message.mid, 1)


def _paho_takes(messages: int) -> None:
    """Let paho take MQTT 5 messages of QoS 1 out of memory, and acknowledge each."""
    no_tls: ssl.SSLContext | None = None
    options = ConnectOptions(
        address=BrokerAddress(host="127.0.0.1", port=1), client_id="bench", subscriptions=(), will=None, tls=no_tls,
        manual_ack=True, no_echo=False, session_expiry_s=0, receive_maximum=None, keepalive_s=0,
        connect_timeout_s=1.0,
    )  # fmt: skip
    client = new_client(options, 5)
    client.wire = wire = Wire(_Sink())
    client.on_message = _acknowledge
    client.reconnect()
    wire.feed(b"\x20\x03\x00\x00\x00")  # CONNACK: accepted, no properties
    while wire.unread:
        client.loop_read()
    said = b'{"v":1,"device_id":"ev-00001","type":"ev","ts":1767225600000,"seq":1,"p_actual_kw":3.61,"soc":0.42}'
    for number in range(messages):
        # No properties: one zero byte more than in 3.1.1, before the payload.
        wire.feed(publish(b"der/telemetry/ev-00001", b"\x00" + said, number % 65_535 + 1))
        while wire.unread:
            client.loop_read()
        client.loop_write()
