"""A head meter that rises above its limit, again and again, and the first lease that answers it."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from derms.bench.fleet_load import METER_TOPIC, Tick, meter_says
from derms.mqtt import MqttLink, parse_broker_url

_ABOVE, _STEP = 1.05, 0.0005
"""Of the limit: what the meter reads at the first breach, and by how much more at each next one."""
_HIGH_TICKS, _REST_TICKS = 2.0, (6.0, 7.0)
"""How long the load stays there, and then lies where it was, until the next breach: some time in that range."""
_PATIENCE_MS = 5_000.0
_PART = 0.5
"""A tick answers when it takes away at least this part of what is too much: leases move a little at any time."""


async def breaches(
    url: str, *, times: int, limit_kw: float, tick_s: float,
    level: Callable[[float | None], None],
    say: Callable[[str], None],
) -> list[float]:  # fmt: skip
    """Let the meter rise so many times.

    Args:
        url: The broker.
        times: How often.
        limit_kw: The feeder's import limit.
        tick_s: The controller's interval: how long the load stays high and low hangs on it.
        level: Lets the load be so high [kW] from now on, also for the meter's later readings; None: as before.
        say: Told what is being done.

    Returns:
        When the meter's messages left [epoch ms].
    """
    left_ms: list[float] = []
    if not times:
        return left_ms
    say(f"{times} breaches")
    rng = random.Random(1)
    async with MqttLink(parse_broker_url(url), client_id="bench-meter", rng=rng) as meter:
        await meter.wait_connected(30.0)
        for number in range(times):
            await asyncio.sleep(rng.uniform(*_REST_TICKS) * tick_s)
            load_kw = (_ABOVE + _STEP * number) * limit_kw
            level(load_kw)
            left_ms.append(time.time() * 1000.0)
            await meter.publish(METER_TOPIC, meter_says(load_kw, time.time_ns() // 1_000_000), qos=1)
            await asyncio.sleep(_HIGH_TICKS * tick_s)
            level(None)
    return left_ms


def answers_ms(ticks: Sequence[Tick], left_ms: Sequence[float], limit_kw: float) -> list[float]:
    """From each breach until the first lower lease of the tick that answers it [ms]; inf: none did in five seconds."""
    least_kw = _PART * (_ABOVE - 1.0) * limit_kw
    found = []
    for at_ms in left_ms:
        answers = [
            tick for tick in ticks if at_ms <= tick.issued_ms <= at_ms + _PATIENCE_MS and tick.cut_kw >= least_kw
        ]
        first = min(answers, key=lambda tick: tick.issued_ms, default=None)
        found.append(float("inf") if first is None else first.cut_ms - at_ms)
    return found
