"""Other people's signs and units."""

import pytest

from agent.drivers.units import PowerWords, Sign, Unit


@pytest.mark.parametrize(
    ("unit", "sign", "value", "p_kw"),
    [
        ("kW", "load", 1.5, 1.5),  # it draws 1.5 kW
        ("kW", "generation", 1.5, -1.5),  # it generates 1.5 kW
        ("W", "load", -2500.0, -2.5),
        ("W", "generation", -2500.0, 2.5),
        ("W", "generation", 0.0, 0.0),
        ("kW", "load", -0.0, 0.0),
    ],
)
def test_a_power_is_turned_once_in_each_direction(unit: Unit, sign: Sign, value: float, p_kw: float) -> None:
    words = PowerWords(unit, sign)
    assert str(words.to_kw(value)) == str(p_kw)
    assert words.from_kw(p_kw) == value
