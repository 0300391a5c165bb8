"""A head meter that rises above its limit, again and again, and the device that waits for its lease to fall."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from derms.bench.fleet_load import METER_TOPIC, device_id, meter_says
from derms.mqtt import MqttLink, parse_broker_url

_ABOVE, _STEP = 1.05, 0.0005
"""Of the limit: what the meter reads at the first breach, and by how much more at each next one."""
_HIGH_TICKS, _REST_TICKS = 2.0, (4.0, 5.0)
"""How long the load stays there, and then lies where it was, until the next breach: some time in that range."""
_PATIENCE_S = 5.0
_WATCHED = 20
"""Devices whose leases are watched, evenly over the fleet."""
_CUT_KW = 0.001


@dataclass(slots=True)
class Breaches:
    """From the meter's message leaving until the first lease that is lower came to a device [ms]."""

    ms: list[float] = field(default_factory=list)
    unanswered: int = 0


class _Lease(msgspec.Struct, gc=False):
    p_setpoint_kw: float
    issued_at: int


class Watch:
    """Leases of some devices as they come; knows one that is lower than that before."""

    def __init__(self) -> None:
        self.cut_s: float | None = None
        """When the first lease came that was lower and decided after `since_ms` [s, monotonic]."""
        self.since_ms = float("inf")
        self.fell = asyncio.Event()
        self._newest: dict[str, float] = {}

    def take(self, topic: str, payload: bytes, at_s: float) -> None:
        """One more."""
        lease = msgspec.json.decode(payload, type=_Lease)
        before = self._newest.get(topic, 0.0)
        self._newest[topic] = lease.p_setpoint_kw
        lower = lease.p_setpoint_kw < before - _CUT_KW
        if lower and lease.issued_at >= self.since_ms and not self.fell.is_set():
            self.cut_s = at_s
            self.fell.set()

    def wait_for(self, since_ms: float) -> None:
        """From now on look for one that was decided after an instant [epoch ms]."""
        self.cut_s, self.since_ms = None, since_ms
        self.fell.clear()


async def breaches(
    url: str, *, times: int, limit_kw: float, devices: int, tick_s: float,
    level: Callable[[float | None], None],
    say: Callable[[str], None],
) -> Breaches:  # fmt: skip
    """Let the meter rise so many times.

    Args:
        url: The broker.
        times: How often.
        limit_kw: The feeder's import limit.
        devices: How many there are.
        tick_s: The controller's interval: how long the load stays high and low hangs on it.
        level: Lets the load be so high [kW] from now on, also for the meter's later readings; None: as before.
        say: Told what is being done.
    """
    found, watch, rng = Breaches(), Watch(), random.Random(1)
    if not times:
        return found
    say(f"{times} breaches")
    topics = [f"der/control/{device_id(number)}" for number in range(0, devices, max(devices // _WATCHED, 1))]
    address = parse_broker_url(url)
    device = MqttLink(address, client_id="bench-device", subscriptions=[(topic, 1) for topic in topics], rng=rng)
    meter = MqttLink(address, client_id="bench-meter", rng=rng)
    async with device, meter:
        await device.wait_connected(30.0)
        await meter.wait_connected(30.0)
        task = asyncio.create_task(_watch(device, watch))
        try:
            for number in range(times):
                await asyncio.sleep(rng.uniform(*_REST_TICKS) * tick_s)
                load_kw = (_ABOVE + _STEP * number) * limit_kw
                level(load_kw)
                await _rise(meter, watch, found, load_kw)
                await asyncio.sleep(_HIGH_TICKS * tick_s)
                level(None)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    return found


async def _watch(link: MqttLink, watch: Watch) -> None:
    while True:
        messages, at_s = await link.receive(), time.monotonic()
        for message in messages:
            watch.take(message.topic, message.payload, at_s)


async def _rise(meter: MqttLink, watch: Watch, found: Breaches, load_kw: float) -> None:
    watch.wait_for(float(time.time_ns() // 1_000_000))
    began_s = time.monotonic()
    await meter.publish(METER_TOPIC, meter_says(load_kw, time.time_ns() // 1_000_000), qos=1)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await watch.fell.wait()
    except TimeoutError:
        found.unanswered += 1
    else:
        assert watch.cut_s is not None
        found.ms.append((watch.cut_s - began_s) * 1000.0)
