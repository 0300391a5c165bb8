"""The `driver` table of the agent's configuration."""

import json
import random
from typing import Any

import pytest

from agent.config import parse_config
from agent.driver import Capabilities
from agent.drivers import open_driver
from agent.drivers.options import CommandOptions, SunspecOptions, driver_options
from derms.errors import ConfigError
from derms.model import DeviceKind
from derms.runtime import SystemClock


def test_a_good_table_becomes_its_options() -> None:
    options = driver_options({"kind": "sunspec", "host": "192.0.2.10", "unit": 126}, name="driver")
    assert options == SunspecOptions(host="192.0.2.10", unit=126)
    assert driver_options({"kind": "command", "read": ["./read"]}, name="driver") == CommandOptions(read=["./read"])


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "there is no kind; it is one of simulated, sunspec, modbus, command; choose one"),
        ({"kind": "sunspek"}, "kind = 'sunspek' is wrong; it is one of"),
        ({"kind": 7}, "kind = '7' is wrong"),
        ({"kind": "sunspec", "hots": "x"}, "unknown key 'hots'; every key must have a reader; did you mean 'host'?"),
        ({"kind": "sunspec"}, "neither host nor serial_port"),
        ({"kind": "sunspec", "host": "x", "serial_port": "/dev/y"}, "both host and serial_port"),
        ({"kind": "sunspec", "host": "x", "baud": 9600}, "baud = 9600 has no meaning here"),
        ({"kind": "sunspec", "serial_port": "/dev/y", "port": 502}, "port = 502 has no meaning here"),
        ({"kind": "sunspec", "host": "x", "unit": 256}, "unit = 256 is wrong; Expected `int` <= 255"),
        ({"kind": "sunspec", "host": "x", "unit": True}, "unit = true is wrong; Expected `int`, got `bool`"),
        ({"kind": "modbus", "host": "x"}, "map is wrong; it is required"),
        ({"kind": "command", "read": []}, "read = [] is wrong"),
        ({"kind": "command", "read": ["x", 1]}, 'read[1] = ["x", 1] is wrong; Expected `str`, got `int`'),
        ({"kind": "command", "read": "x"}, 'read = "x" is wrong; Expected `array`, got `str`'),
        ({"kind": "simulated", "host": "x"}, "unknown key 'host'"),
    ],
)
def test_a_wrong_table_is_told_with_the_value_and_the_rule(table: dict[str, Any], said: str) -> None:
    document = {"device_id": "a", "device_type": "pv", "driver": table}
    with pytest.raises(ConfigError) as caught:
        parse_config(json.dumps(document).encode(), name="agent.json")
    assert str(caught.value).startswith("agent.json, driver: ")
    assert said in str(caught.value)


def test_a_kind_that_does_not_drive_the_device_says_so_at_the_start() -> None:
    car = Capabilities(kind=DeviceKind.EV, p_import_max_kw=11)
    table = {"kind": "sunspec", "host": "192.0.2.1"}
    with pytest.raises(ConfigError, match="the kind sunspec drives no ev; it drives pv and battery; choose the kind"):
        open_driver(table, car, clock=SystemClock(), rng=random.Random(1))


async def test_a_device_is_simulated_when_the_table_says_so() -> None:
    car = Capabilities(kind=DeviceKind.EV, p_import_max_kw=11)
    driver = open_driver({"kind": "simulated"}, car, clock=SystemClock(), rng=random.Random(1))
    await driver.apply(7.0, 60)
    assert (await driver.read()).p_actual_kw == 7.0
    await driver.close()
