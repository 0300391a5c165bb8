"""What Home Assistant finds on a real broker: `derms agent run --ha-discovery`.

The rules below are those of Home Assistant's own schemas (MQTT integration: device discovery, sensor).
"""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from agent.home_assistant import HomeAssistant
from derms.contract import Topics
from derms.model import DeviceKind
from tests.brokers import RunningBroker, until
from tests.processes import Programs

TOP = {"dev", "o", "cmps", "avty_t", "pl_avail", "pl_not_avail", "stat_t", "cmd_t", "qos", "e"}
DEVICE = {"ids", "cns", "mf", "mdl", "name", "hw", "sn", "sw", "via_device", "sa", "cu"}
SENSOR = {"p", "name", "uniq_id", "val_tpl", "exp_aft", "dev_cla", "stat_cla", "unit_of_meas", "ent_cat", "stat_t"}
UNITS = {"power": {"W", "kW", "mW", "MW", "GW", "TW", "BTU/h"}, "battery": {"%"}}
TOPIC = re.compile(
    r"homeassistant/device/[a-zA-Z0-9_-]+/config|homeassistant/device/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config"
)


def check_discovery(payload: dict[str, Any]) -> None:
    """Hold a message to Home Assistant's schema."""
    assert set(payload) <= TOP
    assert payload["qos"] in (0, 1, 2)
    device, origin = payload["dev"], payload["o"]
    assert set(device) <= DEVICE
    assert device["ids"]
    assert all(isinstance(each, str) for each in device["ids"])
    assert set(origin) <= {"name", "sw", "url"}
    assert isinstance(origin["name"], str)
    assert payload["cmps"]
    unique = [sensor["uniq_id"] for sensor in payload["cmps"].values()]
    assert len(set(unique)) == len(unique)
    for sensor in payload["cmps"].values():
        assert set(sensor) <= SENSOR
        assert sensor["p"] == "sensor"
        assert sensor["exp_aft"] > 0
        assert isinstance(sensor["exp_aft"], int)
        if "dev_cla" in sensor:
            assert sensor["unit_of_meas"] in UNITS[sensor["dev_cla"]]
            assert sensor["stat_cla"] == "measurement"
        else:
            assert sensor["ent_cat"] in ("config", "diagnostic")


def rendered(template: str, state: bytes) -> Any:
    """What `{{ value_json.key }}` makes of a state."""
    (key,) = re.findall(r"^\{\{ value_json\.([a-z_]+) \}\}$", template)
    return json.loads(state)[key]


def test_every_kind_of_device_is_described_as_home_assistant_wants_it() -> None:
    for kind in DeviceKind:
        stores = kind in (DeviceKind.BATTERY, DeviceKind.EV)
        there = HomeAssistant(device_id="pi.a", kind=kind, topics=Topics(), interval_s=5, stores=stores)
        topic, payload = there.discovery()
        assert TOPIC.fullmatch(topic)
        check_discovery(json.loads(payload))
        assert ("soc" in json.loads(payload)["cmps"]) is stores


async def test_a_device_shows_up_with_its_values_and_goes_when_the_agent_does(
    mosquitto_broker: RunningBroker, programs: Programs, tmp_path: Path
) -> None:
    config = tmp_path / "agent.json"
    config.write_text(
        json.dumps(
            {"device_id": "pi-a", "device_type": "battery", "broker_port": mosquitto_broker.port,
             "default_power_kw": -1.25, "dialect": "envelope"}
        )
    )  # fmt: skip
    agent = programs.derms("agent", "run", "--config", config, "--ha-discovery")
    await until(lambda: bool(agent.logged("Connected to the broker")), 60)
    kept: dict[str, bytes] = {}
    filters = [("homeassistant/#", 1), ("der/status/#", 1), ("der/homeassistant/#", 1)]

    async def told() -> None:
        """Wait until everything was published: what comes while one looks is not marked as retained."""
        seen: set[str] = set()
        async with mosquitto_broker.link("early", subscriptions=filters) as link:
            while len(seen) < 3:
                seen.update(m.topic for m in await link.receive())

    async def look() -> None:
        """As Home Assistant after a restart: only what is retained."""
        async with mosquitto_broker.link("homeassistant", subscriptions=filters) as link:
            while len(kept) < 3:
                kept.update({m.topic: m.payload for m in await link.receive() if m.retained})

    async with asyncio.timeout(60):
        await told()
        await look()
    found = json.loads(kept["homeassistant/device/pi-a/config"])
    check_discovery(found)
    assert kept[found["avty_t"]] == b"online"
    state = kept[found["stat_t"]]
    values = {name: rendered(sensor["val_tpl"], state) for name, sensor in found["cmps"].items()}
    assert values.keys() == {"power", "setpoint", "soc", "status"}
    assert (values["power"], values["setpoint"], values["status"]) == (-1.25, None, "ok")
    assert 0 <= values["soc"] <= 100
    agent.kill()

    async def gone() -> None:
        async with mosquitto_broker.link("second", subscriptions=[(found["avty_t"], 1)]) as link:
            while not any(m.payload == b"offline" for m in await link.receive()):
                pass

    async with asyncio.timeout(60):
        await gone()
