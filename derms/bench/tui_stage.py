"""The control center on a pseudo-terminal of its own, with a controller that is made up: run by `derms.bench.tui`.

It shows the device table of a fleet of any size. First it is told nothing new, then once a second of a tenth of the
devices, then of all of them. What that took goes to a pipe as one JSON object.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec

from derms.api.schemas.alarms import AlarmHistoryOut, AlarmsOut
from derms.api.schemas.auth import MeOut
from derms.api.schemas.events import EventsOut
from derms.api.schemas.health import ControllerRole, HealthOut, PartHealth, PartState
from derms.api.schemas.history import FeederHistoryOut
from derms.api.schemas.programs import ProgramsOut
from derms.api.schemas.simulation import SimulationModeOut
from derms.api.schemas.stream import ChangeOut, PictureOut
from derms.client import ApiClient
from derms.errors import UnavailableError
from derms.model import Role
from derms.tui.app import ControlCenter, Options
from derms.tui.driver import SievedDriver

_BEGAN_AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


class CountingDriver(SievedDriver):
    """Counts what is written to the terminal."""

    written = 0

    def put(self, data: str) -> None:
        """Write, and count [bytes]."""
        CountingDriver.written += len(data.encode())
        super().put(data)


class StageClient:
    """A controller that is made up."""

    def __init__(self, devices: int) -> None:
        self.devices = devices
        self.words: asyncio.Queue[PictureOut | ChangeOut] = asyncio.Queue()
        self._tick = 0
        self.words.put_nowait(PictureOut(at=_BEGAN_AT, tick=0, feeders=[self._feeder()],
                                         devices=[self._row(number) for number in range(devices)],
                                         health=_health()))  # fmt: skip

    def change(self, share: float) -> ChangeOut:
        """What another second brings: so many of the devices report another power."""
        self._tick += 1
        at = _BEGAN_AT + timedelta(seconds=self._tick)
        every = round(1.0 / share) if share else 0
        heard = cast("str", msgspec.to_builtins(at))
        changed = range(self._tick % every, self.devices, every) if every else ()
        devices = [
            {"device_id": f"ev-{number:06d}", "p_actual_kw": 3.0 + (number * 7 + self._tick * 13) % 40 / 10.0,
             "heard_at": heard}
            for number in changed
        ]  # fmt: skip
        return ChangeOut(at=at, tick=self._tick, feeders=[], devices=devices, health=_health())

    def _row(self, number: int) -> dict[str, Any]:
        heard = cast("str", msgspec.to_builtins(_BEGAN_AT))
        lease = {"p_setpoint_kw": 5.0, "issued_at": heard, "valid_until": msgspec.to_builtins(_BEGAN_AT +
                 timedelta(hours=3)), "epoch": 1, "seq": number, "acknowledged": True, "reason": ""}  # fmt: skip
        return {
            "device_id": f"ev-{number:06d}", "type": "ev", "feeder_id": "feeder-1", "site_id": f"site-{number // 7}",
            "origin": "simulated", "enrolment": "active", "priority": 1 + number % 10, "p_import_max_kw": 7.4,
            "p_export_max_kw": 0.0, "p_actual_kw": 5.0, "p_setpoint_kw": 5.0, "soc": (number * 37 % 100) / 100.0,
            "status": "ok", "online": True, "freshness": "good", "heard_at": heard, "lease": lease, "override": None,
        }  # fmt: skip

    def _feeder(self) -> dict[str, Any]:
        return {
            "feeder_id": "feeder-1", "name": "", "mode": "auto", "at": None, "tick": 0, "epoch": 1,
            "import_limit_kw": 5.0 * self.devices, "static_import_limit_kw": 5.0 * self.devices,
            "limit_source": "static", "export_limit_kw": None, "measured_kw": None, "load_kw": 4.0 * self.devices,
            "background_kw": 0.0, "reserved_kw": 0.0, "headroom_kw": 0.0, "commanded_kw": 0.0, "shortfall_kw": 0.0,
            "pv_kw": 0.0, "battery_kw": 0.0, "ev_kw": 0.0, "base_kw": 0.0, "devices_total": self.devices,
            "devices_by_type": {"ev": self.devices}, "devices_by_origin": {"simulated": self.devices},
            "freshness": {"good": self.devices}, "active_events": [],
        }  # fmt: skip

    async def stream(self, last_id: str = "") -> AsyncGenerator[tuple[str, PictureOut | ChangeOut], None]:
        """What it is told to say."""
        while True:
            yield "", await self.words.get()

    async def me(self) -> MeOut:
        """A viewer."""
        return MeOut(username="bench", role=Role.VIEWER, expires_at=_BEGAN_AT, refreshable=False)

    async def alarms(self, query: object) -> AlarmsOut:
        """None."""
        return AlarmsOut(alarms=[])

    async def alarm_history(self, query: object) -> AlarmHistoryOut:
        """None."""
        return AlarmHistoryOut(lines=[])

    async def event_page(self, query: object) -> EventsOut:
        """None."""
        return EventsOut(events=[])

    async def programs(self, query: object) -> ProgramsOut:
        """None."""
        return ProgramsOut(programs=[])

    async def simulation_mode(self) -> SimulationModeOut:
        """Nothing was set."""
        return SimulationModeOut(mode=None)

    async def feeder_history(self, query: object) -> FeederHistoryOut:
        """None."""
        return FeederHistoryOut(feeder_id="feeder-1", since=_BEGAN_AT, until=_BEGAN_AT, bucket_s=5, buckets=[])

    async def telemetry(self, *_: object) -> None:
        """Nothing is known."""
        raise UnavailableError("no database")

    async def why(self, device_id: str) -> None:
        """Nothing is known."""
        raise UnavailableError("no reason")


class StageDoor:
    """The way to it."""

    context = "bench"
    url = "http://127.0.0.1:8080"
    state_file: Path | None = None

    def __init__(self, client: StageClient) -> None:
        self._client = client

    def known(self) -> bool:
        """Somebody is."""
        return True

    @asynccontextmanager
    async def client(self) -> AsyncIterator[ApiClient]:
        """The controller."""
        yield cast("ApiClient", self._client)

    async def login(self, username: str, password: str) -> None:
        """Not asked for."""

    async def logout(self) -> None:
        """Not asked for."""


def _health() -> HealthOut:
    return HealthOut(
        status="ok",
        version="",
        uptime_s=1e6,
        parts={"loop": PartHealth(state=PartState.OK, age_s=0.1)},
        role=ControllerRole.ACTIVE,
        trees={},
    )


async def main(devices: int, seconds: int, out: int) -> None:
    """Show it, and measure."""
    client = StageClient(devices)
    app = ControlCenter(StageDoor(client), Options(theme="night", animation=False), driver_class=CountingDriver)
    app.state.view = "devices"
    running = asyncio.create_task(app.run_async())
    found: dict[str, Any] = {}
    try:
        while not app.is_running or app.picture.at is None:  # noqa: ASYNC110 -- it says so to nobody
            await asyncio.sleep(0.005)
        begun = time.perf_counter()
        app.draw_now()
        found["open_ms"] = (time.perf_counter() - begun) * 1000.0
        found["first_cpu_s"] = time.process_time()
        await asyncio.sleep(2.0)
        for name, share in (("still", 0.0), ("tenth", 0.1), ("all", 1.0)):
            found[name] = await _phase(app, client, share, seconds)
        found["rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    finally:
        app.exit(0)
        await running
        os.write(out, json.dumps(found).encode())
        os.close(out)


async def _phase(app: ControlCenter, client: StageClient, share: float, seconds: int) -> dict[str, Any]:
    """So many pictures, one a second: what they took, and what was written."""
    changes = [client.change(share) for _ in range(seconds)]
    frames: list[float] = []
    frames_cpu: list[float] = []
    written, cpu_s, begun = CountingDriver.written, time.process_time(), time.perf_counter()
    for number, change in enumerate(changes):
        client.words.put_nowait(change)
        while app.picture.tick < change.tick:  # noqa: ASYNC110 -- it says so to nobody
            await asyncio.sleep(0.002)
        drawn, drawn_cpu = time.perf_counter(), time.thread_time()
        app.draw_now()
        frames_cpu.append((time.thread_time() - drawn_cpu) * 1000.0)
        frames.append((time.perf_counter() - drawn) * 1000.0)
        await asyncio.sleep(max(begun + number + 1 - time.perf_counter(), 0.0))
    return {
        "frames_ms": frames,
        "frames_cpu_ms": frames_cpu,
        "bytes_s": (CountingDriver.written - written) / seconds,
        "cpu": (time.process_time() - cpu_s) / (time.perf_counter() - begun),
    }


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
