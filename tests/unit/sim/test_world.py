"""The feeder on the wall's clock: one instant for all, and drivers that only look and wish."""

import asyncio

import pytest

from derms.contract import SimulationProfile
from derms.model import DeviceKind, DeviceStatus
from sim.scenario import demo_scenario
from sim.world import PlantDriver, SimWorld
from tests.unit.sim.fakes import VirtualClock

SCENARIO = demo_scenario()


class Stage:
    """A world and its devices, on a clock that the test moves."""

    def __init__(self, *, speed: float = 60.0, free: bool = False) -> None:
        self.clock = VirtualClock()
        self.world = SimWorld(SCENARIO, clock=self.clock, speed=speed, free=free)
        self.drivers: dict[str, PlantDriver] = {
            member.device.device_id: self.world.driver(member) for member in SCENARIO.members
        }

    def pass_s(self, seconds: float, step_s: float = 0.25) -> None:
        for _ in range(round(seconds / step_s)):
            self.clock.at_s += step_s
            self.world.advance()

    def sum_kw(self, *kinds: DeviceKind) -> float:
        return sum(d.read().p_actual_kw for d in self.drivers.values() if d.capabilities().kind in kinds)


def test_the_head_meter_and_the_devices_speak_of_one_instant() -> None:
    stage = Stage(free=True)
    for _ in range(40):
        stage.pass_s(0.25)
        unmetered = stage.drivers["meter-feeder-1"].read().p_actual_kw - stage.sum_kw(
            DeviceKind.PV, DeviceKind.LOAD, DeviceKind.EV, DeviceKind.BATTERY
        )
        assert 15.0 < unmetered < 35.0  # the background: no device reports it, and it never jumps


def test_without_a_setpoint_devices_are_on_their_default_control() -> None:
    stage = Stage()
    stage.pass_s(1.0)
    for device in SCENARIO.devices:
        if device.kind in (DeviceKind.EV, DeviceKind.BATTERY):
            assert stage.drivers[device.device_id].read().p_actual_kw in (0.0, device.default_power_kw)


def test_a_wish_is_followed_from_the_next_step_on() -> None:
    stage = Stage()
    driver = stage.drivers["pi-ev-02"]
    driver.apply(6.0, 1.0)
    assert driver.read().p_actual_kw == 0.0
    stage.pass_s(0.25)
    assert driver.read().p_actual_kw == 6.0
    assert driver.read().status is DeviceStatus.OK


def test_a_free_device_charges_as_it_likes_and_says_that_it_is_on_its_own() -> None:
    stage = Stage(free=True)
    driver = stage.drivers["pi-ev-02"]
    driver.apply(0.0, 1.0)
    stage.pass_s(1.0)
    assert driver.read().p_actual_kw == 11.0
    assert driver.read().status is DeviceStatus.LOCAL
    assert stage.drivers["load-001"].read().status is DeviceStatus.OK


def test_the_time_a_car_has_left_is_of_the_same_world_as_its_power() -> None:
    stage = Stage()
    driver = stage.drivers["pi-ev-02"]
    before = driver.read().ready_by_ms
    assert before is not None
    stage.pass_s(10.0)
    after = driver.read().ready_by_ms
    assert after is not None
    # 10 s of the wall are 600 s there: the time left shrinks by 600 s, while the wall went on by 10 s.
    assert after - before == pytest.approx(-590_000, abs=10)


def test_an_array_says_what_it_could_make_while_it_is_capped() -> None:
    stage = Stage()
    driver = stage.drivers["pv-001"]
    driver.apply(-0.5, 1.0)
    stage.pass_s(1.0)
    reading = driver.read()
    assert reading.p_actual_kw == -0.5
    assert reading.p_max_kw is not None
    assert reading.p_max_kw > 1.0


def test_the_hour_can_be_held_at_night_and_at_noon_and_let_go() -> None:
    stage = Stage()
    stage.world.show(SimulationProfile.NIGHT)
    stage.pass_s(1.0)
    night_load = stage.sum_kw(DeviceKind.LOAD)
    assert stage.sum_kw(DeviceKind.PV) == 0.0
    stage.world.show(SimulationProfile.DAY)
    stage.pass_s(1.0)
    assert stage.sum_kw(DeviceKind.PV) < -30.0
    assert stage.sum_kw(DeviceKind.LOAD) < night_load
    stage.world.show(SimulationProfile.AUTO)
    stage.pass_s(10 * 60.0)  # ten simulated hours later it is night by itself
    assert stage.sum_kw(DeviceKind.PV) == 0.0


def test_a_stalled_process_catches_up() -> None:
    stage, smooth = Stage(), Stage()
    stage.pass_s(30.0, step_s=30.0)
    smooth.pass_s(30.0)
    assert stage.world.simulated_s == pytest.approx(smooth.world.simulated_s)
    caught_up, lived = stage.world.summary(), smooth.world.summary()
    # Half an hour, cut in minutes instead of quarters of a minute.
    assert caught_up.background_kwh == pytest.approx(lived.background_kwh, rel=0.05)


def test_a_clock_that_stands_still_moves_nothing() -> None:
    stage = Stage()
    lived_s = stage.world.simulated_s
    stage.world.advance()
    assert stage.world.simulated_s == lived_s


def test_the_summary_adds_up_and_remembers_the_peak() -> None:
    stage = Stage(free=True)
    stage.pass_s(30.0)
    summary = stage.world.summary()
    assert summary.devices == 60
    assert summary.simulated_s == pytest.approx(1801.0)  # and the first second
    meter = DeviceKind.METER
    devices_kwh = sum(
        summary.imported_kwh[kind] - summary.exported_kwh[kind] for kind in DeviceKind if kind is not meter
    )
    head_kwh = summary.imported_kwh[meter] - summary.exported_kwh[meter]
    assert head_kwh == pytest.approx(devices_kwh + summary.background_kwh, abs=1e-6)
    assert summary.exported_kwh[DeviceKind.PV] > 15.0
    assert summary.peak_head_kw == pytest.approx(max(sample.head_kw for sample in summary.heads))
    assert summary.peak_head_kw <= SCENARIO.uncontrolled_peak_kw * 1.05
    assert [sample.at_ms for sample in summary.heads] == sorted(sample.at_ms for sample in summary.heads)


async def test_a_world_ends_when_told_to() -> None:
    stage = Stage()
    stop = asyncio.Event()
    running = asyncio.create_task(stage.world.run(stop))
    stop.set()
    async with asyncio.timeout(5.0):
        await running
