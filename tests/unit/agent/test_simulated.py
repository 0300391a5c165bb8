"""The stand-in devices."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import parse_config
from agent.driver import Capabilities
from agent.drivers.simulated import EFFICIENCY, StorageModel, simulated_model
from derms.model import DeviceKind

BATTERY = Capabilities(kind=DeviceKind.BATTERY, p_import_max_kw=5, p_export_max_kw=5, capacity_kwh=10)
CAR = Capabilities(kind=DeviceKind.EV, p_import_max_kw=7.2, p_min_kw=1.4, capacity_kwh=60)


class StillClock:
    def __init__(self, hour: float) -> None:
        self._ms = 1_767_225_600_000 + round(hour * 3_600_000)

    def now_ms(self) -> int:
        return self._ms

    def monotonic_s(self) -> float:
        return 0.0


def test_an_hour_of_charging_stores_what_was_bought_less_the_loss() -> None:
    battery = StorageModel(BATTERY, soc=0.2)
    battery.apply(4.0, 0)
    battery.apply(4.0, 3600)
    # 2 kWh + 4 kWh * 0.95 = 5.8 kWh of 10
    assert battery.read().soc == pytest.approx(0.58)


def test_an_hour_of_discharging_takes_more_than_was_sold() -> None:
    battery = StorageModel(BATTERY, soc=0.9)
    battery.apply(-3.8, 0)
    battery.apply(-3.8, 3600)
    # 9 kWh - 3.8 kWh / 0.95 = 5 kWh of 10
    assert battery.read().soc == pytest.approx(0.5)


def test_charging_tapers_and_stops_below_the_smallest_power() -> None:
    # (1 - 0.94) / 0.15 = 0.4 of 7.2 kW = 2.88 kW; at 0.98 0.96 kW would be below 1.4
    for soc, p_kw in ((0.5, 7.2), (0.94, 2.88), (0.98, 0.0), (1.0, 0.0)):
        car = StorageModel(CAR, soc=soc)
        car.apply(7.2, 0)
        assert car.read().p_actual_kw == pytest.approx(p_kw)


def test_a_car_sells_nothing() -> None:
    car = StorageModel(CAR)
    car.apply(-5.0, 0)
    assert str(car.read().p_actual_kw) == "0.0"


@given(st.floats(0, 1), st.lists(st.tuples(st.floats(-8, 8) | st.none(), st.floats(0, 7200)), max_size=30))
def test_energy_is_conserved_and_power_stays_within_the_rating(
    soc: float, steps: list[tuple[float | None, float]]
) -> None:
    battery = StorageModel(BATTERY, soc=soc)
    for p_kw, seconds in steps:
        before = battery.read()
        battery.apply(p_kw, seconds)
        after = battery.read()
        assert before.soc is not None
        assert after.soc is not None
        gained_kwh = (after.soc - before.soc) * 10
        hours = seconds / 3600
        # What it lived through was at most what it said before: the end of the store cuts it short.
        gain = EFFICIENCY if before.p_actual_kw > 0 else 1 / EFFICIENCY
        assert abs(gained_kwh) <= abs(before.p_actual_kw) * gain * hours + 1e-9
        assert gained_kwh * before.p_actual_kw >= -1e-9
        assert 0 <= after.soc <= 1
        assert -5 <= after.p_actual_kw <= 5


@pytest.mark.parametrize(("hour", "low_kw", "high_kw"), [(0, 0, 0), (12, -5, -3), (5.9, 0, 0)])
def test_the_sun_shines_by_day_and_a_cap_holds(hour: float, low_kw: float, high_kw: float) -> None:
    config = parse_config(b'{"device_id":"p","device_type":"pv"}', name="c")
    pv = simulated_model(config.capabilities(), clock=StillClock(hour), rng=random.Random(1))
    assert low_kw <= pv.read().p_actual_kw <= high_kw
    free_kw = pv.read().p_actual_kw
    pv.apply(-1.0, 1)
    assert pv.read().p_actual_kw == max(free_kw, -1.0)
    assert pv.read().p_max_kw == -free_kw
    pv.apply(None, 1)
    assert pv.read().p_actual_kw == free_kw


@pytest.mark.parametrize("kind", ["battery", "ev", "load", "meter"])
def test_every_kind_has_a_stand_in_that_repeats_by_seed(kind: str) -> None:
    config = parse_config(b'{"device_id":"x","device_type":"%s"}' % kind.encode(), name="c")
    first, second = (
        simulated_model(config.capabilities(), clock=StillClock(19), rng=random.Random(4)) for _ in range(2)
    )
    for driver in (first, second):
        driver.apply(2.0, 0)
        driver.apply(2.0, 60)
    assert first.read() == second.read()
    assert first.read().p_actual_kw > 0
