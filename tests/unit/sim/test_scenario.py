"""The demo's feeder: its limit binds, its default control is safe, and its drivers' needs are recorded ones."""

import time
from collections import Counter
from dataclasses import replace

import pytest

from derms.errors import UsageError
from derms.model import DeviceKind, Dialect, Origin
from sim.feeder import FeederPhysics
from sim.physics import HouseholdSpec
from sim.scenario import Scenario, demo_scenario, limited, uncontrolled_peak

SEEDS = range(1, 5)


def limit_kw(scenario: Scenario) -> float:
    assert scenario.feeder.import_limit_kw is not None
    return scenario.feeder.import_limit_kw


def flexible(scenario: Scenario) -> list[str]:
    return [d.device_id for d in scenario.devices if d.kind in (DeviceKind.EV, DeviceKind.BATTERY)]


def hold(physics: FeederPhysics, scenario: Scenario, target_kw: float) -> float:
    """Share what is free under a target in proportion, a stand-in for a controller; returns the wish [kW]."""
    kinds = {device.device_id: device.kind for device in scenario.devices}
    fixed_kw = physics.background_kw + sum(
        step.p_kw for device_id, step in physics.steps.items() if kinds[device_id] in (DeviceKind.PV, DeviceKind.LOAD)
    )
    wishes = {device_id: physics.look(device_id).available_kw or 0.0 for device_id in flexible(scenario)}
    wish_kw = sum(wishes.values())
    share = min(1.0, max(0.0, target_kw - fixed_kw) / wish_kw) if wish_kw else 0.0
    for device_id, wish in wishes.items():
        physics.commands[device_id] = share * wish
    return wish_kw + fixed_kw


def test_the_demo_has_about_sixty_devices_of_every_kind() -> None:
    scenario = demo_scenario()
    assert Counter(device.kind for device in scenario.devices) == {
        DeviceKind.METER: 1,
        DeviceKind.LOAD: 6,
        DeviceKind.BATTERY: 10,
        DeviceKind.EV: 24,
        DeviceKind.PV: 19,
    }
    assert len({device.device_id for device in scenario.devices}) == 60


def test_three_generations_of_agents_share_the_feeder() -> None:
    devices = {device.device_id: device for device in demo_scenario().devices}
    physical = {device_id for device_id, device in devices.items() if device.origin is Origin.PHYSICAL}
    assert physical == {"pi-ev-01", "pi-ev-02", "pi-batt-01"}
    assert {device_id: devices[device_id].dialect for device_id in physical} == {
        "pi-ev-01": Dialect.ENVELOPE,
        "pi-ev-02": Dialect.V1,
        "pi-batt-01": Dialect.PLAIN,
    }


@pytest.mark.parametrize("seed", SEEDS)
def test_the_limit_is_at_least_a_third_below_what_the_fleet_would_draw(seed: int) -> None:
    scenario = demo_scenario(seed)
    assert scenario.uncontrolled_peak_kw == uncontrolled_peak(scenario)
    assert 240.0 < scenario.uncontrolled_peak_kw < 320.0
    assert 0.55 * scenario.uncontrolled_peak_kw <= limit_kw(scenario) <= 0.62 * scenario.uncontrolled_peak_kw
    assert 0.0 < scenario.feeder.margin_kw < 0.15 * limit_kw(scenario)


def test_looking_ahead_takes_less_than_a_second() -> None:
    scenario = demo_scenario()
    start = time.process_time()
    uncontrolled_peak(scenario)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_default_control_without_sun_stays_below_the_limit(seed: int) -> None:
    scenario = demo_scenario(seed)
    physics = scenario.physics()
    for device in scenario.devices:
        if device.kind is DeviceKind.PV:
            physics.commands[device.device_id] = 0.0
        elif device.kind in (DeviceKind.EV, DeviceKind.BATTERY):
            physics.commands[device.device_id] = device.default_power_kw
    for _ in range(2 * 60 * 2):
        physics.step(30.0)
        assert physics.head_kw < 0.7 * limit_kw(scenario)  # also below a DR event's limit


@pytest.mark.parametrize("seed", SEEDS)
def test_the_limit_binds_for_two_hours_also_when_it_is_held(seed: int) -> None:
    scenario = demo_scenario(seed)
    physics = scenario.physics()
    for _ in range(2 * 240):
        physics.step(15.0)
        assert hold(physics, scenario, limit_kw(scenario)) > limit_kw(scenario)


def test_a_dr_event_a_third_lower_is_feasible_throughout() -> None:
    scenario = demo_scenario()
    physics = scenario.physics()
    event_kw = 0.7 * limit_kw(scenario)
    hold(physics, scenario, event_kw)
    heads = []
    for _ in range(2 * 240):
        physics.step(15.0)
        heads.append(physics.head_kw)
        hold(physics, scenario, event_kw - scenario.feeder.margin_kw)
    assert max(heads[1:]) < event_kw


def test_arrays_visibly_produce_around_noon() -> None:
    scenario = demo_scenario()
    physics = scenario.physics()
    arrays = [device.device_id for device in scenario.devices if device.kind is DeviceKind.PV]
    for _ in range(60):
        physics.step(60.0)
        assert -80.0 < sum(physics.steps[device_id].p_kw for device_id in arrays) < -35.0


def test_cars_come_and_go_within_the_first_two_hours() -> None:
    scenario = demo_scenario()
    physics = scenario.physics()
    cars = [device.device_id for device in scenario.devices if device.kind is DeviceKind.EV]
    before = {device_id for device_id in cars if physics.look(device_id).soc is not None}
    for _ in range(180):
        physics.step(60.0)
    after = {device_id for device_id in cars if physics.look(device_id).soc is not None}
    assert before - after
    assert after - before


def test_the_same_seed_gives_the_same_feeder_to_the_last_bit() -> None:
    def heads(seed: int) -> list[float]:
        physics = demo_scenario(seed).physics()
        shown = []
        for _ in range(60):
            physics.step(20.0)
            shown.append(physics.head_kw)
        return shown

    assert heads(3) == heads(3)
    assert heads(3) != heads(4)


def test_the_head_is_the_sum_of_everything_on_the_feeder() -> None:
    physics = demo_scenario().physics()
    for _ in range(50):
        background_kw = physics.background_kw
        physics.step(15.0)
        total = sum(step.p_kw for step in physics.steps.values()) + background_kw
        assert physics.head_kw == pytest.approx(total, abs=1e-9)
        assert background_kw > 10.0
        assert 0.0 < abs(physics.metered_head_kw - physics.head_kw) <= 0.05


@pytest.mark.parametrize("devices", [12, 25, 300])
def test_a_feeder_of_another_size_binds_too(devices: int) -> None:
    scenario = demo_scenario(1, devices)
    assert len(scenario.devices) == devices
    assert limit_kw(scenario) <= 0.62 * scenario.uncontrolled_peak_kw


@pytest.mark.parametrize(("devices", "hour", "said"), [(11, 12.0, "11 devices"), (60, 24.0, "start hour 24")])
def test_what_cannot_be_a_demo_is_refused_with_a_reason(devices: int, hour: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        demo_scenario(1, devices, start_hour=hour)


def test_a_feeder_whose_default_control_breaks_its_limit_is_refused() -> None:
    # 5 GWh a year are 500 kW at noon that nobody can turn down; 0.6 of (500 + 270) is less than that.
    heavy = replace(demo_scenario(), background=HouseholdSpec(annual_kwh=5e6, seed=1))
    with pytest.raises(UsageError, match="default control draws"):
        limited(heavy)


@pytest.mark.parametrize("hour", [0.0, 8.0, 19.0])
def test_a_day_may_start_at_another_hour(hour: float) -> None:
    scenario = demo_scenario(1, 60, start_hour=hour)
    assert limit_kw(scenario) <= 0.62 * scenario.uncontrolled_peak_kw
