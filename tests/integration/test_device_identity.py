"""A device is itself at the broker and nobody else: the shipped Mosquitto configuration, judged by what is delivered.

(In MQTT 3.1.1 a forbidden publish is acknowledged and a forbidden subscription granted; only delivery tells.)
"""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest

from derms.broker import find_mosquitto
from derms.cli.enroll import enroll
from derms.errors import BrokerError, ConfigError, ConflictError, NotFoundError, UsageError
from derms.mqtt import BrokerRefusedError, MqttLink, Will
from tests.brokers import until
from tests.processes import Programs
from tests.shipped import JUDGE, ShippedBroker, shipped_broker

pytestmark = [
    pytest.mark.skipif(find_mosquitto() is None, reason="there is no mosquitto on this machine"),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl on this machine"),
]
Level = Literal[4, 5]
OWN = [
    "der/telemetry/pi-a",
    "der/telemetry/battery/pi-a",
    "der/status/pi-a",
    "der/homeassistant/pi-a",
    "homeassistant/device/pi-a/config",
]
FORBIDDEN = [
    "der/telemetry/pi-b",
    "der/telemetry/battery/pi-b",
    "der/telemetry/pi-a/pi-b",
    "der/telemetry/battery/pi-a/x",
    "der/telemetry",
    "der/status/pi-b",
    "der/control/pi-a",
    "der/control/pi-b",
    "der/setpoints/battery/pi-a",
    "der/setpoints/battery/pi-b",
    "der/controller/derms",
    "der/gateway/pi-a/telemetry",
    "der/gateway/pi-b/telemetry",
    "der/simulation/profile",
    "der/homeassistant/pi-b",
    "homeassistant/device/pi-b/config",
    "homeassistant/sensor/pi-a/config",
    "other/pi-a",
]
READABLE = ["der/control/pi-a", "der/setpoints/battery/pi-a", "der/controller/derms"]
UNREADABLE = [
    *("der/control/pi-b", "der/setpoints/battery/pi-b", "der/telemetry/pi-a", "der/telemetry/pi-b"),
    *("der/telemetry/battery/pi-b", "der/status/pi-b", "der/status/pi-a", "der/gateway/g/telemetry"),
    *("der/homeassistant/pi-b", "homeassistant/device/pi-b/config", "der/simulation/profile", "other"),
]


@pytest.fixture
async def shipped(tmp_path: Path) -> AsyncIterator[ShippedBroker]:
    async with shipped_broker(tmp_path, ("pi-a", "pi-b", "derms-controller", "homeassistant")) as broker:
        yield broker


@contextlib.asynccontextmanager
async def hearing(link: MqttLink) -> AsyncIterator[list[str]]:
    """The topics of what a connection is delivered."""
    heard: list[str] = []

    async def listen() -> None:
        while True:
            heard.extend(message.topic for message in await link.receive())

    async with link:
        await link.wait_connected(15)
        listening = asyncio.create_task(listen())
        try:
            yield heard
        finally:
            listening.cancel()
            await asyncio.wait([listening])


async def publish_all(link: MqttLink, topics: list[str], payload: bytes = b"x") -> list[str]:
    """Try all; returns those whose publisher was told no (MQTT 5)."""
    refused = []
    for topic in topics:
        try:
            await link.publish(topic, payload, qos=1)
        except BrokerError:
            refused.append(topic)
    return refused


async def delivered(judge: MqttLink, heard: list[str]) -> list[str]:
    """Everything that came before a mark that the judge sends itself."""
    await judge.publish("mark", b"", qos=1)
    await until(lambda: "mark" in heard)
    return [topic for topic in heard if topic != "mark"]


@pytest.mark.parametrize("certified", [False, True], ids=["password", "certificate"])
@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_device_speaks_for_itself_alone(shipped: ShippedBroker, protocol: Level, certified: bool) -> None:
    judge = shipped.link(JUDGE, subscriptions=[("#", 1)])
    connect = shipped.certified_link if certified else shipped.link
    async with hearing(judge) as heard, connect("pi-a", protocol=protocol) as device:
        await device.wait_connected(15)
        refused = await publish_all(device, FORBIDDEN)
        await publish_all(device, OWN)
        assert sorted(await delivered(judge, heard)) == sorted(OWN)
        assert refused == ([] if protocol == 4 else FORBIDDEN)


@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_device_hears_its_own_setpoints_alone(shipped: ShippedBroker, protocol: Level) -> None:
    wanted = [("#", 1), ("der/#", 1), ("der/control/pi-b", 1), ("der/+/+/+", 1), ("$SYS/#", 1), ("+/+/pi-b", 1)]
    device = shipped.link(
        "pi-a",
        protocol=protocol,
        subscriptions=[*wanted, *((topic, 1) for topic in READABLE)],
        may_be_refused=[topic for topic, _ in wanted],
    )
    async with shipped.link(JUDGE) as judge, hearing(device) as heard:
        await judge.wait_connected(15)
        for topic in UNREADABLE:
            await judge.publish(topic, b"x", qos=1, retain=True)
        await publish_all(judge, READABLE)
        await until(lambda: set(READABLE) <= set(heard))
        assert set(heard) == set(READABLE)
    async with (
        hearing(
            shipped.link("pi-a", protocol=protocol, subscriptions=wanted, may_be_refused=[t for t, _ in wanted])
        ) as heard,
        shipped.link(JUDGE) as judge,
    ):  # what is retained is no way around it
        await judge.wait_connected(15)
        await judge.publish("der/control/pi-a", b"x", qos=1)
        await until(lambda: bool(heard))
        assert set(heard) == {"der/control/pi-a"}


async def test_a_last_will_speaks_for_nobody_else(shipped: ShippedBroker) -> None:
    judge = shipped.link(JUDGE, subscriptions=[("der/#", 1), ("mark", 1)])
    async with hearing(judge) as heard:
        for topic in ("der/status/pi-b", "der/status/pi-a"):
            device = shipped.link("pi-a", will=Will(topic=topic, payload=b"offline"))
            async with device:
                await device.wait_connected(15)
                # A second connection of the same user throws the first one out, which publishes its will.
                async with shipped.link("pi-a", client_id="another") as second:
                    await second.wait_connected(15)
        await until(lambda: "der/status/pi-a" in heard)
        assert set(await delivered(judge, heard)) == {"der/status/pi-a"}


async def test_nobody_is_thrown_out_by_a_device_that_takes_its_client_id(shipped: ShippedBroker) -> None:
    judge = shipped.link(JUDGE, subscriptions=[("der/#", 1), ("mark", 1)])
    async with hearing(judge) as heard, shipped.link("pi-a") as victim:
        await victim.wait_connected(15)
        async with (
            shipped.link("pi-b", client_id="pi-a") as thief,
            shipped.certified_link("pi-b", client_id="pi-a") as other,
        ):
            await other.wait_connected(15)
            del thief
            await victim.publish("der/telemetry/pi-a", b"x", qos=1)
            assert "der/telemetry/pi-a" in await delivered(judge, heard)
        assert (victim.connected, victim.connections) == (True, 1)


async def test_nobody_gets_in_without_credentials(shipped: ShippedBroker) -> None:
    shipped.passwords["pi-c"] = "guessed"
    shipped.passwords["pi-b"] = shipped.passwords["pi-a"]
    for name in ("pi-c", "pi-b"):
        async with shipped.link(name) as link:
            with pytest.raises(BrokerRefusedError, match="refused the login"):
                await link.wait_connected(15)


async def test_the_accounts_may_do_what_they_are_for(shipped: ShippedBroker) -> None:
    telemetry = [("der/telemetry/+", 1), ("der/telemetry/+/+", 1), ("der/status/+", 1)]
    seen = [("homeassistant/#", 1), ("der/homeassistant/+", 1), ("der/status/+", 1)]
    async with (
        hearing(shipped.link("derms-controller", subscriptions=telemetry)) as controller,
        hearing(shipped.link("homeassistant", subscriptions=seen)) as house,
        shipped.link("pi-a", subscriptions=[("der/control/pi-a", 1)]) as device,
        shipped.link("derms-controller", client_id="second") as second,
    ):
        await device.wait_connected(15)
        await second.wait_connected(15)  # on its own machine an account may connect more than once
        await publish_all(device, OWN)
        await second.publish("der/control/pi-a", b"x", qos=1)
        assert (await device.receive())[0].topic == "der/control/pi-a"
        await until(lambda: len(controller) >= 3 and len(house) >= 3)
        assert sorted(controller) == sorted(OWN[:3])
        assert sorted(house) == sorted(OWN[2:])


def test_enroll_makes_credentials_once_and_shows_the_secret_nowhere_else(
    programs: Programs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "passwords", tmp_path / "pi-b.json"
    made = programs.derms("agent", "enroll", "pi-a", "-o", "json", "--password-file", file)
    assert made.wait() == 0, made.stderr
    secret = json.loads(made.stdout)["password"]
    assert len(secret) == 32
    first = file.read_text()
    assert first.startswith("pi-a:$7$101$")
    assert secret not in first + made.stderr
    assert file.stat().st_mode & 0o777 == 0o640
    with pytest.raises(ConflictError, match="--yes"):
        enroll("pi-a", password_file=file)
    assert file.read_text() == first
    enroll("pi-b", password_file=file, out=out, broker="mqtts://broker.example:8883")
    assert out.stat().st_mode & 0o777 == 0o600
    told = json.loads(out.read_text())
    assert told["broker"] == "mqtts://broker.example:8883"
    assert told["password"] not in "".join(capsys.readouterr())
    assert file.read_text().startswith(first)
    enroll("pi-a", password_file=file, remove=True)
    assert [line.partition(":")[0] for line in file.read_text().splitlines()] == ["pi-b"]
    with pytest.raises(NotFoundError):
        enroll("pi-a", password_file=file, remove=True)


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("pi/a", {}, "cannot name a device"),
        ("#", {}, "cannot name a device"),
        ("a" * 65, {}, "cannot name a device"),
        ("derms-controller", {}, "--account"),
        ("homeassistant", {}, "--account"),
        ("pi-a", {"account": True}, "--account"),
        ("pi-a", {"broker": "mqtt://u:p@h"}, "holds a password"),
        ("pi-a", {"output": "xml"}, "text or json"),
    ],
)
def test_enroll_refuses_what_cannot_be_meant(tmp_path: Path, name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        enroll(name, password_file=tmp_path / "passwords", **options)
    assert not (tmp_path / "passwords").exists()


def test_enroll_touches_no_file_that_is_no_password_file(tmp_path: Path) -> None:
    file = tmp_path / "passwords"
    file.write_text("pi-a:in clear\n")
    with pytest.raises(ConfigError, match="line 1"):
        enroll("pi-b", password_file=file)
    assert file.read_text() == "pi-a:in clear\n"
