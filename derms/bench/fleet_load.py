"""Devices that speak and obey, for `derms bench loop` and `derms bench memory`: a process of its own, and a lean one.

Each hears its own leases, draws what it may, and says so; when a lease came is noted as its bytes are read. Reads a
`Crowd` as a line of JSON from stdin and writes an empty line once all are subscribed. A further line on stdin is a
number: what the head meter is to read now, by what lies beside the devices [kW], or nothing for what it was at first.
The end of stdin ends it, and a `Heard` as JSON goes to stdout.
"""

import asyncio
import contextlib
import random
import sys
import time
from functools import partial

import msgspec

from derms.mqtt.packets import PUBACK, PUBLISH, PacketBuffer, connect, pubacks, publish, read_publish, subscribe

RATING_KW = 7.2
METER = "head"
METER_TOPIC = f"der/telemetry/{METER}"
_TURN_S = 0.02
_WINDOW = 2_000
"""Messages a connection may have under way: a device that is not answered does not send for ever."""
_TOPICS = 500
"""In one SUBSCRIBE."""
_ANSWERS_S = 60.0
_SUBACK = 0x90
_WANTS_KW = (3.0, RATING_KW)
BASE_KW = 0.2
"""What the meter sees beside the devices, for each of them [kW]."""


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """Who speaks."""

    host: str
    port: int
    devices: int
    gateways: int = 0
    """How many of these speak for them, device i behind gateway i modulo this; 0: each speaks for itself."""
    connections: int
    every_s: float
    """Between two readings of a device."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What they said and were told."""

    samples: int
    acknowledged: int
    """Samples in messages that the broker has acknowledged."""
    seconds: float
    ticks: list["Tick"]
    """Of the leases that came."""


class Tick(msgspec.Struct, array_like=True, kw_only=True):
    """What came of one tick."""

    issued_ms: int
    """Its instant, as its leases say it [epoch ms]."""
    leases: int = 0
    last_ms: float = 0.0
    """When the last of them came [epoch ms]."""
    cut_kw: float = 0.0
    """What all those take away that are lower than the lease before."""
    cut_ms: float = 0.0
    """When the first of those came [epoch ms]."""


class _Applied(msgspec.Struct, gc=False):
    p_setpoint_kw: float
    issued_at: int
    epoch: int
    seq: int


LEASE = msgspec.json.Decoder(_Applied)


class Device:
    """One car: what it wants, what it may draw, and what it says."""

    __slots__ = ("_head", "_lease", "_tail", "topic", "wants_kw")

    def __init__(self, device_id: str, wants_kw: float) -> None:
        self.topic = f"der/telemetry/{device_id}".encode()
        self.wants_kw = wants_kw
        self._head = b'{"v":1,"device_id":"%s","type":"ev",' % device_id.encode()
        self._tail = b""
        self._lease: float | None = None

    @property
    def draws_kw(self) -> float:
        """What it draws: what it wants, as far as it may [kW]."""
        return 1.4 if self._lease is None else min(self.wants_kw, self._lease)

    def obey(self, lease: _Applied) -> float:
        """Follow a lease from now on; by how much it is higher than the one before [kW]."""
        before, self._lease = self._lease, lease.p_setpoint_kw
        self._tail = b',"p_setpoint_kw":%.6f,"applied":{"epoch":%d,"seq":%d}' % (
            lease.p_setpoint_kw, lease.epoch, lease.seq,
        )  # fmt: skip
        return 0.0 if before is None else lease.p_setpoint_kw - before

    def says(self, now_ms: int, seq: int) -> bytes:
        """A measurement."""
        return b'%s"ts":%d,"seq":%d,"p_actual_kw":%.3f,"soc":0.42,"p_max_kw":7.2%s}' % (
            self._head, now_ms, seq, self.draws_kw, self._tail,
        )  # fmt: skip


class Noted:
    """When the leases of each tick came."""

    def __init__(self) -> None:
        self._ticks: dict[int, Tick] = {}

    def note(self, issued_ms: int, at_ms: float, rise_kw: float) -> None:
        """One more lease of that tick, by so much higher than the one before."""
        tick = self._ticks.get(issued_ms)
        if tick is None:
            tick = self._ticks[issued_ms] = Tick(issued_ms=issued_ms)
        tick.leases += 1
        tick.last_ms = at_ms
        if rise_kw < 0.0:
            tick.cut_ms = tick.cut_ms or at_ms
            tick.cut_kw -= rise_kw

    def told(self) -> list[Tick]:
        """All of it, as `Heard.ticks`."""
        return list(self._ticks.values())


class Line(asyncio.BufferedProtocol):
    """One connection, of many devices."""

    _SPACE = memoryview(bytearray(1 << 16))
    """What is read, of whichever line; a new piece of memory for each answer took longer than the answer."""

    def __init__(self, devices: dict[bytes, Device], noted: Noted) -> None:
        self.waiting: dict[int, int] = {}
        """Samples by the packet that is not acknowledged."""
        self.acknowledged = 0
        self.granted = asyncio.Event()
        """All topics are subscribed."""
        self._devices = devices
        self._noted = noted
        self._buffer = PacketBuffer()
        self._next_id = 1
        self._out: list[bytes] = []
        self._asked = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to."""
        return self._SPACE

    def buffer_updated(self, nbytes: int) -> None:
        """Take acknowledgements and leases."""
        buffer, at_ms = self._buffer, time.time() * 1000.0
        buffer.feed(bytes(self._SPACE[:nbytes]))
        got: list[int] = []
        while (packet := buffer.take()) is not None:
            start, body, end = packet
            chunk = buffer.chunk
            kind = chunk[start] & 0xF0
            if kind == PUBACK:
                self.acknowledged += self.waiting.pop((chunk[body] << 8) | chunk[body + 1], 0)
            elif kind == PUBLISH:
                message = read_publish(chunk, start, body, end, level=4)
                if message.qos:
                    got.append(message.packet_id)
                lease = LEASE.decode(message.payload)
                self._noted.note(lease.issued_at, at_ms, self._devices[message.topic].obey(lease))
            elif kind == _SUBACK:
                self._asked -= 1
                if not self._asked:
                    self.granted.set()
        if got:
            assert self._transport is not None
            self._transport.write(pubacks(got, level=4))

    def begin(self, client_id: str) -> None:
        """Log in, and ask for the leases of its devices."""
        topics = list(self._devices)
        self._out.append(connect(client_id))
        for start in range(0, len(topics), _TOPICS):
            self._out.append(subscribe(topics[start : start + _TOPICS], self._packet_id()))
            self._asked += 1
        if not self._asked:
            self.granted.set()
        self.flush()

    def put(self, topic: bytes, payload: bytes, samples: int) -> None:
        """Add a message to what `flush` sends."""
        packet_id = self._packet_id()
        self.waiting[packet_id] = samples
        self._out.append(publish(topic, payload, packet_id))

    def flush(self) -> None:
        """Write what was put."""
        if self._out:
            assert self._transport is not None
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _packet_id(self) -> int:
        packet_id = self._next_id
        self._next_id = packet_id % 65_535 + 1
        return packet_id


class Speakers:
    """All lines, and whose turn it is."""

    def __init__(self, crowd: Crowd) -> None:
        rng = random.Random(1)
        self.noted = Noted()
        self.devices = [Device(device_id(number), rng.uniform(*_WANTS_KW)) for number in range(crowd.devices)]
        self._crowd = crowd
        self._groups = (
            [(f"der/gateway/gw-{n}/telemetry".encode(), self.devices[n :: crowd.gateways])
             for n in range(crowd.gateways)]
            if crowd.gateways
            else [(device.topic, [device]) for device in self.devices]
        )  # fmt: skip
        # Neighbours share a line, so that a turn's messages leave on a few of them.
        share = -(-len(self._groups) // crowd.connections)
        self._line_of = [number // share for number in range(len(self._groups))]
        self.lines = []
        for number in range(crowd.connections):
            mine = [device for _, group in self._groups[number * share : (number + 1) * share] for device in group]
            heard = {device.topic.replace(b"telemetry", b"control", 1): device for device in mine}
            self.lines.append(Line(heard, self.noted))
        self.samples = 0
        self._beside_kw = BASE_KW * crowd.devices

    @property
    def load_kw(self) -> float:
        """What flows through the head [kW]."""
        return sum(device.draws_kw for device in self.devices) + self._beside_kw

    def level(self, line: bytes) -> None:
        """Let what lies beside the devices come to a load, or to what it was at first."""
        at_first_kw = BASE_KW * len(self.devices)
        self._beside_kw = float(line) - (self.load_kw - self._beside_kw) if line.strip() else at_first_kw

    async def connect(self) -> None:
        """Log in and subscribe, all of them."""
        loop = asyncio.get_running_loop()
        for number, line in enumerate(self.lines):
            await loop.create_connection(partial(_same, line), self._crowd.host, self._crowd.port)
            line.begin(f"bench-{number}")
        async with asyncio.timeout(_ANSWERS_S):
            await asyncio.gather(*(line.granted.wait() for line in self.lines))

    async def speak(self) -> None:
        """Until cancelled, each in its turn."""
        loop, groups, lines = asyncio.get_running_loop(), self._groups, self.lines
        rate, began_s, count, metered_s = len(groups) / self._crowd.every_s, loop.time(), 0, 0.0
        while True:
            passed_s = loop.time() - began_s
            due = int(passed_s * rate) + 1
            now_ms = time.time_ns() // 1_000_000
            while count < due:
                at = count % len(groups)
                line = lines[self._line_of[at]]
                if len(line.waiting) >= _WINDOW:
                    break
                topic, group = groups[at]
                seq = now_ms
                said = [device.says(now_ms, seq) for device in group]
                line.put(topic, b"[%s]" % b",".join(said) if self._crowd.gateways else said[0], len(group))
                count, self.samples = count + 1, self.samples + len(group)
            if passed_s >= metered_s:
                metered_s += 1.0
                self._meter(now_ms)
            for line in lines:
                line.flush()
            await asyncio.sleep(_TURN_S)

    def _meter(self, now_ms: int) -> None:
        self.lines[0].put(METER_TOPIC.encode(), meter_says(self.load_kw, now_ms), 0)


def device_id(number: int) -> str:
    """What the device of that number is called."""
    return f"ev-{number:06d}"


def meter_says(load_kw: float, now_ms: int) -> bytes:
    """A reading of the head meter [kW]."""
    return b'{"v":1,"device_id":"%s","type":"meter","ts":%d,"seq":%d,"p_actual_kw":%.3f}' % (
        METER.encode(), now_ms, now_ms, load_kw,
    )  # fmt: skip


def _same(line: Line) -> Line:
    return line


async def run(stdin: asyncio.StreamReader) -> Heard:
    """Do what stdin says until it ends."""
    speakers = Speakers(msgspec.json.decode(await stdin.readline(), type=Crowd))
    await speakers.connect()
    sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    began_s = time.monotonic()
    task = asyncio.create_task(speakers.speak())
    while line := await stdin.readline():
        speakers.level(line)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return Heard(
        samples=speakers.samples,
        acknowledged=sum(line.acknowledged for line in speakers.lines),
        seconds=time.monotonic() - began_s,
        ticks=speakers.noted.told(),
    )


async def _main() -> None:
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    sys.stdout.buffer.write(msgspec.json.encode(await run(stdin)))


if __name__ == "__main__":
    asyncio.run(_main())
