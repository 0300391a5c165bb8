"""What the API costs: a real controller with its own database and broker, and a process that asks it.

The controller runs in this process, so that its event loop can be watched; who asks, reads and speaks is another
(`derms.bench.api_load`).
"""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from derms.bench.api_load import Phase
from derms.bench.effort import Effort
from derms.bench.figures import Figure, Section, Table
from derms.bench.served import INTERVAL_S, load_of, served
from derms.errors import UnavailableError
from derms.model import Device
from derms.serve.daemon import Controller

READERS = 200
_LAG_EVERY_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one fleet's controller took."""

    devices: int
    phases: dict[str, Phase]
    lag_ms: dict[str, float]
    """The longest that the controller's event loop was late, by phase."""


def api(effort: Effort, say: Callable[[str], None]) -> Section:
    """Measure it.

    Args:
        effort: How much.
        say: Told what is being done.
    """
    found = []
    for devices in (1_000, 10_000):
        say(f"api: {devices} devices")
        found.append(asyncio.run(_measured(devices, quick=effort.runs is not None)))
    return Section(
        key="api",
        title="The API",
        setting=(
            "`derms serve` with its embedded database and a Mosquitto that keeps nothing; a tick every "
            f"{INTERVAL_S:g} s, and every device speaks as often. One client asks one request after another, from "
            f"another process on the same machine; then {READERS} readers follow the stream. Lag: the longest the "
            "controller's event loop was late. For scale: `GET /api/health` in the same run, which does nothing."
        ),
        figures=tuple(figure for answers in found for figure in _figures(answers)),
        tables=(
            Table(
                title="Milliseconds, p50 / p99",
                header=(
                    "devices",
                    "health",
                    "summary",
                    "1,000 devices",
                    "10,000 devices",
                    "stream: events, MB, broken",
                ),
                rows=tuple(_row(answers) for answers in found),
            ),
        ),
    )


def _figures(answers: Answers) -> list[Figure]:
    devices, phases = f"{answers.devices:,} devices", answers.phases
    health = (("health", _at(phases["health"], 99)),)
    return [
        Figure(what=f"{devices}: `GET /api/devices`, a page of 1,000, p99", value=_at(phases["page"], 99), unit="ms",
               rivals=health),
        Figure(what=f"{devices}: `GET /api/devices`, all, p99", value=_at(phases["devices"], 99), unit="ms",
               rivals=health),
        Figure(what=f"{devices}: `GET /api/feeder/summary`, p99", value=_at(phases["summary"], 99), unit="ms",
               rivals=health),
        Figure(what=f"{devices}: lag while {READERS} read the stream", value=answers.lag_ms["stream"], unit="ms",
               target=INTERVAL_S * 100.0, at_least=False),
        Figure(what=f"{devices}: lag while all devices are asked for", value=answers.lag_ms["devices"], unit="ms",
               target=INTERVAL_S * 100.0, at_least=False),
    ]  # fmt: skip


def _row(answers: Answers) -> tuple[str, ...]:
    stream = answers.phases["stream"]
    asked = (answers.phases[name] for name in ("health", "summary", "page", "devices"))
    return (
        f"{answers.devices:,}",
        *(f"{_at(phase, 50):.2f} / {_at(phase, 99):.2f}" for phase in asked),
        f"{stream.events}, {stream.megabytes:.1f}, {stream.broken}",
    )


def _at(phase: Phase, percent: float) -> float:
    return float(np.percentile(phase.ms, percent))


async def _measured(devices: int, *, quick: bool) -> Answers:
    async with served(devices, limit_kw=2.0 * devices) as (running, fleet):
        return await _asked(running, fleet, quick=quick)


async def _asked(running: Controller, fleet: list[Device], *, quick: bool) -> Answers:
    load = load_of(
        running,
        fleet,
        requests=30 if quick else 300,
        readers=READERS,
        stream_s=12.0 if quick else 60.0,
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "derms.bench.api_load",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1 << 24,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(load))
    process.stdin.close()
    lag = _Lag()
    watch = asyncio.create_task(lag.run())
    phases: dict[str, Phase] = {}
    lag_ms: dict[str, float] = {}
    try:
        async for line in process.stdout:
            phase = msgspec.json.decode(line, type=Phase)
            phases[phase.name] = phase
            lag_ms[phase.name] = lag.taken_ms()
        if await process.wait() != 0 or "stream" not in phases:
            raise UnavailableError(
                "the load broke off", why=f"it ended with {process.returncode}", next_step="see above"
            )
    finally:
        watch.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Answers(devices=len(fleet), phases=phases, lag_ms=lag_ms)


class _Lag:
    """How late the event loop wakes a timer, at the most."""

    def __init__(self) -> None:
        self._most_s = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            asleep_s = time.monotonic()
            await asyncio.sleep(_LAG_EVERY_S)
            self._most_s = max(self._most_s, time.monotonic() - asleep_s - _LAG_EVERY_S)

    def taken_ms(self) -> float:
        """The most since the last call [ms]."""
        most_s, self._most_s = self._most_s, 0.0
        return most_s * 1000.0
