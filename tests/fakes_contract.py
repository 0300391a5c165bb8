"""Fakes and examples for the wire contract and the agent."""

import asyncio
import selectors
from collections.abc import Coroutine, Sequence
from typing import Any

from derms.errors import BrokerError
from derms.model import DeviceKind, Setpoint
from derms.ports import Message

NOW_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""

V1 = (
    b'{"v":1,"device_id":"ev-001","type":"ev","ts":1767225600000,"seq":812,"p_actual_kw":3.61,"p_setpoint_kw":3.6,'
    b'"soc":0.42,"site_id":"house-01","p_max_kw":7.2,"capacity_kwh":60.0,"ready_by":1767250800000,"status":"ok",'
    b'"applied":{"epoch":7,"seq":1201}}'
)
PLAIN = (
    b'{"deviceId":"pi-der-001","type":"battery","timestamp":"2026-01-01T00:00:00Z","p_actual_kw":1.5,'
    b'"p_setpoint_kw":1.5,"soc":0.5,"site_id":"home-site","p_max_kw":5.0}'
)
ENVELOPE = (
    b'{"v":1,"messageType":"telemetry","messageId":"5b0e4a52-6d2b-4b43-9f5e-0c5a4f0b8f11","deviceId":"pi-pv-1",'
    b'"deviceType":"pv","timestampMs":1767225600000,"sentAtMs":1767225600001,"source":"pi-agent","payload":'
    b'{"readings":{"powerKw":4.25,"energyKwh":11.5},"status":{"online":true},'
    b'"capabilities":{"maxChargeKw":0,"maxDischargeKw":6.0},"siteId":"roof","feederId":"feeder-1"}}'
)


def lease(**changes: Any) -> Setpoint:
    """A good lease of 90 s for `ev-001`, with changes."""
    fields: dict[str, Any] = {
        "device_id": "ev-001",
        "kind": DeviceKind.EV,
        "p_setpoint_kw": 3.6,
        "issued_at_ms": NOW_MS,
        "valid_until_ms": NOW_MS + 90_000,
        "epoch": 7,
        "seq": 1202,
        "reason": "feeder-1 import limit",
    }
    return Setpoint(**(fields | changes))


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer when nobody has anything to do."""

    def __init__(self) -> None:
        self._virtual_s = 1000.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self._virtual_s

    def jump(self, seconds: float) -> None:
        self._virtual_s += seconds


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            # Nothing but a thread can end this: those keep real time.
            ready = super().select(5.0)
            if not ready:
                raise AssertionError("everything waits for ever")
        if not ready and timeout:
            self._loop.jump(timeout)
        return ready


def run_virtually(main: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine on a virtual clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


class LoopClock:
    """The clock of the running loop; the wall clock starts at `NOW_MS` and may be shifted."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()
        self.shift_ms = 0

    def now_ms(self) -> int:
        return NOW_MS + round((self._loop.time() - self._start_s) * 1000) + self.shift_ms

    def monotonic_s(self) -> float:
        return self._loop.time()


class FakeLink:
    """A connection to nobody: keeps what was published, hands out what the test puts in."""

    def __init__(self) -> None:
        self.connections = 1
        self.connected = True
        self.published: list[tuple[float, str, bytes, bool]] = []
        self.failing = False
        self.delay_s = 0.0
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(maxsize=100)

    def put(self, topic: str, payload: bytes) -> None:
        self._inbox.put_nowait(Message(topic, payload))

    async def receive(self) -> Sequence[Message]:
        return [await self._inbox.get()]

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, expires_s: int | None = None
    ) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.failing or not self.connected:
            raise BrokerError("not acknowledged")
        self.published.append((asyncio.get_running_loop().time(), topic, payload, retain))
