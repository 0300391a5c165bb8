"""What sampled values say."""

from typing import Any

import pytest

from agent.ocpp.meter import Measured, measured, power_between, samples_of


def said(*values: dict[str, Any]) -> Measured:
    return measured(samples_of([{"timestamp": "", "sampled_value": list(values)}]), voltage_v=230, phases=3)


def v(value: Any, measurand: str | None = None, **more: Any) -> dict[str, Any]:
    return {"value": value, **({} if measurand is None else {"measurand": measurand}), **more}


@pytest.mark.parametrize(
    ("values", "power_kw"),
    [
        ([v("7200", "Power.Active.Import", unit="W")], 7.2),
        ([v("7.2", "Power.Active.Import", unit="kW")], 7.2),
        ([v("7200", "Power.Active.Import")], 7.2),  # W is the usual unit
        ([v(7200.0, "Power.Active.Import", unit_of_measure={"unit": "W"})], 7.2),
        ([v(72, "Power.Active.Import", unit_of_measure={"unit": "W", "multiplier": 2})], 7.2),
        ([v("2400", "Power.Active.Import", phase=line) for line in ("L1", "L2", "L3")], 7.2),
        ([v("2400", "Power.Active.Import", phase=line) for line in ("L1-N", "L2-N", "L3-N")], 7.2),
        ([v("7000", "Power.Active.Import"), v("1", "Power.Active.Import", phase="L1")], 7.0),  # the total counts
        ([v("3000", "Power.Active.Export", unit="W")], -3.0),  # it feeds in
        ([v("10", "Current.Import", unit="A", phase=line) for line in ("L1", "L2", "L3")], 6.9),
        ([v("10", "Current.Import", phase="L1"), v("240", "Voltage", phase="L1-N", unit="V")], 2.4),
        ([v("10", "Current.Import", unit="A")], 6.9),  # of each of three phases
        ([v("10", "Current.Import", phase="N")], None),
        ([v("100", "Energy.Active.Import.Register", unit="Wh")], None),
        ([v("garbage", "Power.Active.Import")], None),
        ([v("nan", "Power.Active.Import")], None),
        ([v("1e999", "Power.Active.Import")], None),
        ([v("1e12", "Power.Active.Import")], None),
        ([v("7200", "Power.Active.Import", unit="Celsius")], None),
        ([{"measurand": "Power.Active.Import"}], None),
        ([v(1, "Power.Active.Import", unit_of_measure={"multiplier": 400})], None),
        ([], None),
    ],
)
def test_power_is_found_however_it_is_said(values: list[dict[str, Any]], power_kw: float | None) -> None:
    found = said(*values).power_kw
    assert found == (None if power_kw is None else pytest.approx(power_kw))


def test_energy_is_what_a_value_without_a_name_means_and_charge_is_a_percentage() -> None:
    assert said(v("12500"), v("42", "SoC", unit="Percent", location="EV")) == Measured(energy_kwh=12.5, soc=0.42)
    assert said(v("12.5", unit="kWh")).energy_kwh == 12.5
    assert said(v("142", "SoC")).soc is None


def test_the_newest_moment_counts() -> None:
    moments = [
        {"sampled_value": [v("1000", "Power.Active.Import")]},
        {"sampled_value": [v("2000", "Power.Active.Import")]},
        {"sampled_value": [v("x", "Power.Active.Import")]},
    ]
    assert measured(samples_of(moments), voltage_v=230, phases=1).power_kw == 2.0


def test_power_between_two_energies_is_their_mean_and_nothing_when_that_cannot_be_told() -> None:
    assert power_between(10.0, 10.2, 60.0) == pytest.approx(12.0)  # 0.2 kWh in a minute
    assert power_between(10.0, 10.2, 0.5) is None
    assert power_between(10.0, 9.0, 60.0) is None
    assert power_between(10.0, 11.0, 100_000.0) is None
