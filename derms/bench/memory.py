"""What a real `derms serve` holds in memory while 100,000 devices report, and whether it grows."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from derms.bench.daemon import Daemon, daemon
from derms.bench.effort import Effort
from derms.bench.figures import Figure, Section, Table
from derms.bench.fleet import fleet, until_known
from derms.bench.fleet_load import Crowd
from derms.bench.loop_run import LIMIT_KW
from derms.bench.served import local_broker, scratch_directory
from derms.client import ApiClient
from derms.mqtt import parse_broker_url

DEVICES, GATEWAYS = 100_000, 1_000
_EVERY_S, _TICK_S = 10.0, 2.0
_SECONDS, _QUICK_SECONDS = 600.0, 60.0
_LOOK_EVERY_S = 1.0
_MOST_MB = 600.0
_FLAT_MB_H = 10.0
"""Less growth than this is none, as far as ten minutes can tell."""
_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Memory over time, from when all devices were known."""

    empty_mb: float
    """Before the first device."""
    seen: list[tuple[float, float]]
    """Instant [s], resident [MB]."""
    rate: float
    """Samples a second."""
    ticks: int


def memory(effort: Effort, say: Callable[[str], None], *, minutes: float | None = None) -> Section:
    """Measure it.

    Args:
        effort: How much, where `minutes` does not say it.
        say: Told what is being done.
        minutes: For how long [min].

    Raises:
        UnavailableError: There is no Mosquitto, or a part of what is measured does not come up.
    """
    seconds = _SECONDS if effort.runs is None else _QUICK_SECONDS
    seconds = seconds if minutes is None else 60.0 * minutes
    held = asyncio.run(_held(seconds, lambda text: say(f"memory: {text}")))
    most_mb = max(mb for _, mb in held.seen)
    return Section(
        key="memory",
        title="Memory",
        setting=(
            "The resident memory of the process of `derms serve`, without its embedded database and the Mosquitto, "
            f"all on the same {os.cpu_count()} processors: {DEVICES:,} devices through {GATEWAYS:,} gateways, each "
            f"every {_EVERY_S:g} s, and each hears its leases; a tick every {_TICK_S:g} s. Looked at once a second for "
            f"{seconds:g} s, from when all devices were known. Growth: the slope by least squares over the second "
            "half. What the daemon keeps of each device for twenty minutes fills for so long."
        ),
        figures=(
            Figure(what=f"{DEVICES:,} devices: the most it held", value=most_mb, unit="MB", target=_MOST_MB,
                   at_least=False, rivals=(("before the first device", held.empty_mb),)),
            Figure(what=f"{DEVICES:,} devices: growth", value=slope(held.seen), unit="MB an hour", target=_FLAT_MB_H,
                   at_least=False),
            Figure(what="a device", value=(most_mb - held.empty_mb) * 1000.0 / DEVICES, unit="kB"),
        ),
        tables=(
            Table(
                title=f"Over time, at {held.rate:,.0f} samples a second, {held.ticks} ticks that sent leases",
                header=("s", "MB"),
                rows=tuple((f"{at_s:.0f}", f"{mb:.1f}") for at_s, mb in _thinned(held.seen)),
            ),
        ),
    )  # fmt: skip


def slope(seen: Sequence[tuple[float, float]]) -> float:
    """How fast it grows over the second half, by least squares [MB an hour].

    Args:
        seen: Instant [s], resident [MB].
    """
    half = np.array(seen[len(seen) // 2 :])
    return float(np.polyfit(half[:, 0], half[:, 1], 1)[0] * 3600.0)


async def _held(seconds: float, say: Callable[[str], None]) -> Held:
    with scratch_directory() as home:
        async with (
            local_broker(home) as url,
            daemon(
                home, mqtt_url=url, control_interval_s=_TICK_S, feeder_policy="fair",
                feeder_import_limit_kw=LIMIT_KW * DEVICES, stale_after_s=3.0 * _EVERY_S, lost_after_s=6.0 * _EVERY_S,
            ) as running,
        ):  # fmt: skip
            empty_mb = running.memory_mb
            address = parse_broker_url(url)
            crowd = Crowd(host=address.host, port=address.port, devices=DEVICES, gateways=GATEWAYS, connections=100,
                          every_s=_EVERY_S)  # fmt: skip
            async with fleet(crowd) as speaking:
                async with ApiClient(running.api_url, token=running.token, timeout_s=60.0) as client:
                    await until_known(client, DEVICES, say)
                seen = await _watched(running, seconds, say)
                heard = await speaking.end()
    return Held(empty_mb=empty_mb, seen=seen, rate=heard.acknowledged / heard.seconds, ticks=len(heard.ticks))


async def _watched(running: Daemon, seconds: float, say: Callable[[str], None]) -> list[tuple[float, float]]:
    began_s, seen = time.monotonic(), []
    say(f"{seconds:g} s")
    while (passed_s := time.monotonic() - began_s) <= seconds:
        seen.append((passed_s, running.memory_mb))
        await asyncio.sleep(_LOOK_EVERY_S)
    return seen


def _thinned(seen: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    return [seen[int(at)] for at in np.linspace(0, len(seen) - 1, min(_SHOWN, len(seen)))]
