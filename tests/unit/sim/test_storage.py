"""Batteries and cars: what goes in comes out, or is lost, and is never more than allowed."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.physics import HOUR_S, Step
from sim.storage import Battery, BatterySpec, ChargerSpec, EvCharger, Visit
from tests.unit.sim.fakes import dark

BATTERY = BatterySpec(capacity_kwh=10.0, p_charge_max_kw=5.0, p_discharge_max_kw=4.0)
CHARGER = ChargerSpec(p_max_kw=11.0, p_min_kw=4.1)
COMMANDS = st.lists(st.none() | st.floats(-20.0, 20.0), min_size=1, max_size=40)
STEPS_S = st.floats(0.1, 600.0)


def charger(*visits: Visit, spec: ChargerSpec = CHARGER) -> EvCharger:
    return EvCharger(spec, visits)


def visit(arrival_s: float = 0.0, departure_s: float = 1e6, energy_kwh: float = 20.0) -> Visit:
    return Visit(arrival_s=arrival_s, departure_s=departure_s, energy_kwh=energy_kwh, capacity_kwh=50.0)


def assert_balanced(step: Step, dt_s: float) -> None:
    assert step.p_kw * dt_s / HOUR_S == pytest.approx(step.stored_kwh + step.lost_kwh, abs=1e-9)
    assert step.lost_kwh >= -1e-12


@given(soc=st.floats(0.1, 0.98), commands=COMMANDS, dt_s=STEPS_S)
def test_a_battery_conserves_energy_and_stays_in_its_window(
    soc: float, commands: list[float | None], dt_s: float
) -> None:
    battery = Battery(BATTERY, soc)
    before_kwh = battery.stored_kwh
    gained_kwh = 0.0
    for command in commands:
        step = battery.step(dark(0.0), dt_s, command)
        gained_kwh += step.stored_kwh
        assert_balanced(step, dt_s)
        assert battery.stored_kwh == pytest.approx(before_kwh + gained_kwh, abs=1e-9)
        assert -4.0 <= step.p_kw <= 5.0
        # Only its own electronics take it below the floor: 10 W over 40 steps of 600 s are 0.07 kWh, 0.7 %.
        assert 0.1 - 0.007 <= battery.soc <= 0.98 + 1e-12


def test_a_round_trip_through_a_battery_costs_a_tenth() -> None:
    # 1 kWh in: 0.95 kWh stored. Out again: 0.95 * 0.95 = 0.9025 kWh. (No standby here.)
    spec = BatterySpec(capacity_kwh=10.0, p_charge_max_kw=5.0, p_discharge_max_kw=5.0, standby_kw=0.0)
    battery = Battery(spec, 0.5)
    assert battery.step(dark(0.0), 1800.0, 2.0).stored_kwh == pytest.approx(0.95)
    out = battery.step(dark(0.0), 1800.0, -1.805)
    assert out.p_kw == pytest.approx(-1.805)
    assert battery.soc == pytest.approx(0.5)


def test_a_battery_left_alone_loses_only_its_standby() -> None:
    battery = Battery(BATTERY, 0.5)
    step = battery.step(dark(0.0), 3600.0, 0.0)
    assert step.p_kw == 0.0
    assert battery.stored_kwh == pytest.approx(5.0 - 0.01)


def test_a_battery_at_its_floor_gives_nothing_and_a_full_one_takes_nothing() -> None:
    assert Battery(BATTERY, 0.1).step(dark(0.0), 60.0, -4.0).p_kw == 0.0
    full = Battery(BATTERY, 0.98)
    assert full.step(dark(0.0), 3600.0, 5.0).p_kw == pytest.approx(0.01 / 0.95)  # what the standby took


def test_battery_limits_taper_towards_the_ends() -> None:
    levels = [0.1 + 0.88 * i / 100 for i in range(101)]
    charging = [Battery(BATTERY, soc).charge_limit_kw() for soc in levels]
    discharging = [Battery(BATTERY, soc).discharge_limit_kw() for soc in levels]
    assert all(a >= b for a, b in pairwise(charging))
    assert all(a <= b for a, b in pairwise(discharging))
    assert [charging[0], charging[-1]] == pytest.approx([5.0, 0.5])
    assert [discharging[0], discharging[-1]] == pytest.approx([0.4, 4.0])


@given(energy_kwh=st.floats(0.0, 45.0), commands=COMMANDS, dt_s=STEPS_S)
def test_a_car_conserves_energy_and_never_draws_between_zero_and_the_minimum(
    energy_kwh: float, commands: list[float | None], dt_s: float
) -> None:
    plant = charger(visit(energy_kwh=energy_kwh))
    drawn_kwh = 0.0
    for index, command in enumerate(commands):
        now = dark(index * dt_s)
        step = plant.step(now, dt_s, command)
        drawn_kwh += step.p_kw * dt_s / HOUR_S
        assert_balanced(step, dt_s)
        assert step.p_kw == 0.0 or 4.1 <= step.p_kw <= 11.0
        soc = plant.look(now).soc
        assert soc is not None
        assert 0.0 <= soc <= CHARGER.target_soc + 1e-9
    assert drawn_kwh <= energy_kwh + 1e-9


def test_a_car_left_to_itself_takes_what_was_recorded() -> None:
    plant = charger(visit(energy_kwh=20.0))
    drawn_kwh = sum(plant.step(dark(15.0 * i), 15.0, None).p_kw * 15.0 / HOUR_S for i in range(4 * 240))
    # Less the crumbs: what 4.1 kW bring in 15 s.
    assert 20.0 - 4.1 * 15.0 / HOUR_S <= drawn_kwh <= 20.0


@pytest.mark.parametrize(
    ("command", "expected"), [(-5.0, 0.0), (0.0, 0.0), (4.0, 0.0), (4.1, 4.1), (8.0, 8.0), (99.0, 11.0)]
)
def test_a_charger_knows_zero_and_its_range(command: float, expected: float) -> None:
    assert charger(visit()).step(dark(0.0), 15.0, command).p_kw == expected


def test_an_empty_charger_draws_nothing_whatever_it_is_told() -> None:
    plant = charger(visit(arrival_s=100.0, departure_s=200.0))
    for t_s in (0.0, 99.9, 200.0, 500.0):
        assert plant.step(dark(t_s), 10.0, 11.0).p_kw == 0.0
        assert plant.look(dark(t_s)).soc is None
        assert plant.look(dark(t_s)).available_kw == 0.0
    assert plant.step(dark(100.0), 10.0, 11.0).p_kw == 11.0


def test_the_next_car_arrives_with_its_own_state_of_charge() -> None:
    # Arrival: 0.9 of 50 kWh, less 0.92 of the energy it will take. 20 kWh: 0.532, 10 kWh: 0.716.
    plant = charger(visit(0.0, 100.0, 20.0), visit(100.0, 200.0, 10.0))
    assert plant.look(dark(0.0)).soc == pytest.approx(0.532)
    plant.step(dark(0.0), 100.0, 11.0)
    assert plant.look(dark(100.0)).soc == pytest.approx(0.716)
    assert plant.look(dark(100.0)).leaves_at_s == 200.0


def test_visits_come_again_every_day_and_the_car_is_hungry_again() -> None:
    spec = ChargerSpec(p_max_kw=11.0, p_min_kw=4.1, repeats_every_s=86_400.0)
    plant = charger(visit(1000.0, 5000.0), spec=spec)
    first = plant.look(dark(86_400.0 * 4 + 1000.0))
    plant.step(dark(86_400.0 * 4 + 1000.0), 3600.0, 11.0)
    second = plant.look(dark(86_400.0 * 5 + 1000.0))
    assert first.soc == second.soc == pytest.approx(0.532)
    assert second.leaves_at_s == 86_400.0 * 5 + 5000.0


def test_a_car_tapers_near_full_and_never_under_the_smallest_power() -> None:
    plant = charger(visit())
    limits = [plant.car_limit_kw(i / 100) for i in range(101)]
    assert all(a >= b for a, b in pairwise(limits))
    # Full power to 0.8, halfway down at 0.9: 4.1 + 6.9 / 2, the smallest power at 1.
    assert [limits[80], limits[90], limits[100]] == pytest.approx([11.0, 7.55, 4.1])


def test_a_car_that_is_done_says_that_it_wants_nothing() -> None:
    plant = charger(visit(energy_kwh=0.0))
    assert plant.look(dark(0.0)).available_kw == 0.0
    assert plant.look(dark(0.0)).soc == pytest.approx(0.9)
    assert plant.step(dark(0.0), 15.0, None).p_kw == 0.0
