"""Who sends in `derms.bench.ingest`: a process of its own, lean, so that it takes little of the cores it shares.

Reads a `Sending` as JSON from stdin, writes a `Sent` as JSON to stdout.
"""

import asyncio
import contextlib
import resource
import sys
import time
from collections.abc import Iterator

import msgspec

from derms.mqtt.packets import PUBACK, PacketBuffer, connect, publish

_TURN_S = 0.05
"""So seldom, so that it makes few and large writes: what is measured is who receives."""
_WINDOW = 2_000
"""Messages a connection may have under way: a device that is not answered does not send for ever."""
_ANSWERS_S = 30.0


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be sent."""

    host: str
    port: int
    devices: list[tuple[str, str]]
    """Id and kind."""
    gateways: int
    """How many of these speak for them, device i behind gateway i modulo this; 0: each speaks for itself."""
    connections: int
    rate: float
    """Messages a second, of all together."""
    seconds: float


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    messages: int
    samples: int
    acknowledged: int
    """Samples in messages that the broker has acknowledged."""
    seconds: float
    """From the first message to the last."""
    answered_s: float
    """From then until the last acknowledgement."""
    cpu_s: float


class _Sender(asyncio.Protocol):
    """One connection; counts its acknowledgements."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.settled = asyncio.Event()
        """Nothing waits for an acknowledgement; looked at once nothing is sent any more."""
        self.settled.set()
        self.acknowledged = 0
        self._weights: dict[int, int] = {}
        self._buffer = PacketBuffer()
        self._next_id = 1
        self._out: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer.feed(data)
        while (packet := buffer.take()) is not None:
            start, body, _ = packet
            chunk = buffer.chunk
            if chunk[start] == PUBACK:
                self.acknowledged += self._weights.pop((chunk[body] << 8) | chunk[body + 1], 0)
                if not self._weights:
                    self.settled.set()
            elif not self.answered.done():
                self.answered.set_result(None)

    @property
    def waiting(self) -> int:
        """Messages that are not acknowledged."""
        return len(self._weights)

    def log_in(self, client_id: str) -> None:
        assert self._transport is not None
        self._transport.write(connect(client_id))

    def put(self, topic: bytes, payload: bytes, samples: int) -> None:
        """Add a message to what `flush` sends."""
        packet_id = self._next_id
        self._next_id = packet_id % 65_535 + 1
        self._weights[packet_id] = samples
        self.settled.clear()
        self._out.append(publish(topic, payload, packet_id))

    def flush(self) -> None:
        assert self._transport is not None
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()


def _measurement(head: bytes, seq: int, now_ms: int) -> bytes:
    return b'%s"ts":%d,"seq":%d,"p_actual_kw":3.61,"p_setpoint_kw":null,"soc":0.42,"p_max_kw":7.2}' % (
        head, now_ms, seq,
    )  # fmt: skip


def messages_of(sending: Sending) -> Iterator[tuple[bytes, bytes, int]]:
    """Topic, payload and number of measurements, for ever, one after the other."""
    heads = [(name, f'{{"v":1,"device_id":"{name}","type":"{kind}",'.encode()) for name, kind in sending.devices]
    first = time.time_ns() // 1_000_000
    if sending.gateways:
        groups = [heads[number :: sending.gateways] for number in range(sending.gateways)]
        topics = [f"der/gateway/gw-{number}/telemetry".encode() for number in range(sending.gateways)]
        seq = first
        while True:
            seq += 1
            for topic, group in zip(topics, groups, strict=True):
                now_ms = time.time_ns() // 1_000_000
                said = b",".join([_measurement(head, seq, now_ms) for _, head in group])
                yield topic, b"[" + said + b"]", len(group)
    topics = [f"der/telemetry/{name}".encode() for name, _ in heads]
    seq = first
    while True:
        seq += 1
        for topic, (_, head) in zip(topics, heads, strict=True):
            yield topic, _measurement(head, seq, time.time_ns() // 1_000_000), 1


async def send(sending: Sending) -> Sent:
    """Send at the rate that is asked for, as far as the broker takes it."""
    loop = asyncio.get_running_loop()
    senders: list[_Sender] = []
    for number in range(sending.connections):
        _, sender = await loop.create_connection(_Sender, sending.host, sending.port)
        sender.log_in(f"bench-{number}")
        senders.append(sender)
    async with asyncio.timeout(_ANSWERS_S):
        await asyncio.gather(*(sender.answered for sender in senders))
    source, count, samples = messages_of(sending), 0, 0
    began_s = loop.time()
    while (passed_s := loop.time() - began_s) < sending.seconds:
        due = int(passed_s * sending.rate) + 1
        while count < due:
            sender = senders[count % len(senders)]
            if sender.waiting >= _WINDOW:
                break
            topic, payload, weight = next(source)
            sender.put(topic, payload, weight)
            count, samples = count + 1, samples + weight
        for sender in senders:
            sender.flush()
        await asyncio.sleep(_TURN_S)
    ended_s = loop.time()
    for sender in senders:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(sender.settled.wait(), max(ended_s + _ANSWERS_S - loop.time(), 0.0))
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Sent(
        messages=count,
        samples=samples,
        acknowledged=sum(sender.acknowledged for sender in senders),
        seconds=ended_s - began_s,
        answered_s=loop.time() - ended_s,
        cpu_s=used.ru_utime + used.ru_stime,
    )


def main() -> None:
    """Do what stdin says."""
    sending = msgspec.json.decode(sys.stdin.buffer.read(), type=Sending)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(send(sending))))


if __name__ == "__main__":
    main()
