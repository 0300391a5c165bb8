"""One picture, and what changes in it."""

from collections.abc import Iterator

import msgspec
import pytest

from derms.api.schemas.devices import DeviceOut
from derms.client.stream import Mirror
from derms.metrics import Metrics
from derms.model import Device, DeviceKind, Setpoint, Telemetry
from derms.view.picture import LivePicture
from tests.fakes_api import FakeClock, FakeView
from tests.live import PARAMS, LiveController, live_controller


class Stage:
    """A fleet, what is shown of it, and a reader who puts it together again."""

    def __init__(self, live: LiveController, clock: FakeClock) -> None:
        self.clock, self.fleet, self.devices = clock, live.fleet, live.devices
        self.view = FakeView()
        self.picture = LivePicture(devices=live.devices, feeders=self.view, health=self.view, clock=clock)
        self.mirror = Mirror()

    def ev(self, name: str) -> int:
        return self.fleet.register(Device(device_id=name, kind=DeviceKind.EV, feeder_id="f", p_import_max_kw=7.0))

    def shown(self) -> list[DeviceOut]:
        return self.devices.shown(sorted(range(len(self.fleet)), key=lambda row: self.fleet.devices[row].device_id))

    def hears(self, row: int, p_kw: float) -> None:
        device_id = self.fleet.devices[row].device_id
        reading = Telemetry(device_id=device_id, kind=DeviceKind.EV, at_ms=self.clock.now, p_actual_kw=p_kw)
        self.fleet.observe(row, reading, now_s=self.clock.monotonic_s())

    def leases(self, row: int, p_kw: float) -> None:
        lease = Setpoint(
            device_id=self.fleet.devices[row].device_id,
            kind=DeviceKind.EV,
            p_setpoint_kw=p_kw,
            issued_at_ms=self.clock.now,
            valid_until_ms=self.clock.now + 10_000,
            epoch=1,
            seq=1,
        )
        self.fleet.commanded(row, lease, now_s=self.clock.monotonic_s())

    async def tell(self) -> list[dict[str, object]]:
        change = await self.picture.change()
        self.mirror.take(str(change.tick), change)
        return change.devices


@pytest.fixture
def stage() -> Iterator[Stage]:
    clock = FakeClock()
    with live_controller(clock, Metrics(version="1")) as live:
        yield Stage(live, clock)


async def test_only_who_changed_is_told_and_of_it_only_what_changed(stage: Stage) -> None:
    a, b = stage.ev("a"), stage.ev("b")
    assert [row["device_id"] for row in await stage.tell()] == ["a", "b"]
    assert await stage.tell() == []
    stage.clock.now += 1000
    stage.hears(b, 3.5)
    (told,) = await stage.tell()
    assert told["device_id"] == "b"
    assert told["p_actual_kw"] == 3.5
    assert told["freshness"] == "good"
    assert "priority" not in told
    stage.leases(a, 5.0)
    (told,) = await stage.tell()
    assert set(told) == {"device_id", "lease"}


async def test_what_only_the_passing_of_time_changes_is_told_too(stage: Stage) -> None:
    row = stage.ev("a")
    stage.hears(row, 1.0)
    stage.leases(row, 5.0)
    await stage.tell()
    stage.clock.now += round(PARAMS.stale_after_s * 1000) + 1
    assert (await stage.tell())[0]["freshness"] == "stale"
    stage.clock.now += 10_000
    (told,) = await stage.tell()
    assert told["lease"] is None
    stage.clock.now += round(PARAMS.lost_after_s * 1000)
    assert (await stage.tell())[0]["freshness"] == "lost"
    stage.clock.now += 31_000
    assert await stage.tell() == []


async def test_a_reader_who_takes_all_changes_sees_what_is_shown_at_once(stage: Stage) -> None:
    a = stage.ev("a")
    whole = stage.picture.whole()
    stage.mirror.take("0", whole)
    for power in (1.0, 1.0, 2.0):
        stage.clock.now += 5000
        stage.hears(a, power)
        stage.ev(f"new-{stage.clock.now}")
        await stage.tell()
        assert stage.mirror.devices() == stage.shown()
        assert stage.mirror.feeders() == stage.view.feeders()


async def test_a_picture_is_what_the_changes_add_up_to(stage: Stage) -> None:
    a = stage.ev("a")
    await stage.tell()
    stage.hears(a, 2.0)
    await stage.tell()
    late = Mirror()
    late.take("2", stage.picture.whole())
    assert late.devices() == stage.mirror.devices()
    assert msgspec.to_builtins(late.feeders()) == msgspec.to_builtins(stage.mirror.feeders())
