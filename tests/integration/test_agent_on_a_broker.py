"""Agents and devices on real brokers, seen by an independent client."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.config import AgentConfig, parse_config
from agent.process import run_agent
from agent.runner import AgentRunner
from derms.contract import Decoded, Topics, decode_telemetry, encode_setpoint
from derms.model import DeviceKind, Dialect
from derms.mqtt import MqttLink
from derms.runtime import SystemClock
from tests.brokers import RunningBroker, until
from tests.fakes_contract import lease

TOPICS = Topics()
EXAMPLE = Path(__file__).parents[2] / "examples" / "device.py"


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What agents keep on disk is kept with the test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


class Watcher:
    """Keeps everything that is said."""

    def __init__(self, link: MqttLink) -> None:
        self.link = link
        self.heard: list[tuple[str, bytes]] = []

    async def listen(self) -> None:
        while True:
            for message in await self.link.receive():
                self.heard.append((message.topic, message.payload))

    def telemetry(self, device_id: str) -> list[dict[str, Any]]:
        return [json.loads(payload) for topic, payload in self.heard if topic == TOPICS.telemetry(device_id)]

    async def order(self, device_id: str, p_kw: float, *, seq: int, kind: DeviceKind, retain: bool = True) -> None:
        now = SystemClock().now_ms()
        setpoint = lease(
            device_id=device_id, kind=kind, p_setpoint_kw=p_kw, seq=seq, issued_at_ms=now, valid_until_ms=now + 60_000
        )
        await self.link.publish(*encode_setpoint(TOPICS, setpoint, Dialect.V1), qos=1, retain=retain)


@contextlib.asynccontextmanager
async def watching(broker: RunningBroker) -> AsyncIterator[Watcher]:
    async with broker.link("watcher", subscriptions=[("der/#", 1)]) as link:
        await link.wait_connected(20)
        watcher = Watcher(link)
        listening = asyncio.create_task(watcher.listen())
        try:
            yield watcher
        finally:
            listening.cancel()
            await asyncio.wait([listening])


@contextlib.asynccontextmanager
async def agent(config: AgentConfig) -> AsyncIterator[asyncio.Task[AgentRunner]]:
    stop = asyncio.Event()
    running = asyncio.create_task(run_agent(config, stop=stop))
    try:
        yield running
    finally:
        stop.set()
        await running


def config(broker: RunningBroker, **changes: Any) -> AgentConfig:
    fields = {
        "broker_host": "127.0.0.1",
        "broker_port": broker.port,
        "device_id": "pi-batt-1",
        "device_type": "battery",
        "p_max_kw": 5.0,
        "publish_interval_seconds": 0.5,
    }
    return parse_config(json.dumps(fields | changes).encode(), name="config")


@pytest.mark.timeout(120)
async def test_an_agent_obeys_a_lease_confirms_it_and_leaves_politely(broker: RunningBroker) -> None:
    async with watching(broker) as watcher:
        async with agent(config(broker)):
            await until(lambda: bool(watcher.telemetry("pi-batt-1")))
            assert ("der/status/pi-batt-1", b"online") in watcher.heard
            await watcher.order("pi-batt-1", -2.0, seq=1, kind=DeviceKind.BATTERY)
            await until(lambda: watcher.telemetry("pi-batt-1")[-1].get("applied") == {"epoch": 7, "seq": 1})
            last = watcher.telemetry("pi-batt-1")[-1]
            assert (last["p_setpoint_kw"], last["p_actual_kw"]) == (-2.0, -2.0)
        await until(lambda: watcher.heard[-1] == ("der/status/pi-batt-1", b"offline"))


async def test_a_restarted_agent_finds_its_lease_and_refuses_the_replay(mosquitto_broker: RunningBroker) -> None:
    async with watching(mosquitto_broker) as watcher:
        await watcher.order("pi-batt-1", 3.0, seq=5, kind=DeviceKind.BATTERY)
        stop = asyncio.Event()
        running = asyncio.create_task(run_agent(config(mosquitto_broker), stop=stop))
        await until(lambda: any("applied" in sample for sample in watcher.telemetry("pi-batt-1")))
        await watcher.order("pi-batt-1", -5.0, seq=4, kind=DeviceKind.BATTERY, retain=False)
        seen = len(watcher.telemetry("pi-batt-1"))
        await until(lambda: len(watcher.telemetry("pi-batt-1")) >= seen + 2)
        assert watcher.telemetry("pi-batt-1")[-1]["p_setpoint_kw"] == 3.0
        stop.set()
        runner = await running
        assert {verdict.value: n for verdict, n in runner.endpoint.counts.items()} == {"accepted": 1, "older_seq": 1}


async def test_an_agent_outlives_its_broker_and_says_so_when_it_is_back(mosquitto_broker: RunningBroker) -> None:
    async with agent(config(mosquitto_broker)) as running:
        async with watching(mosquitto_broker) as watcher:
            await until(lambda: bool(watcher.telemetry("pi-batt-1")))
        await mosquitto_broker.kill()
        await mosquitto_broker.restart()
        async with watching(mosquitto_broker) as watcher:
            await until(lambda: bool(watcher.telemetry("pi-batt-1")))
            await until(lambda: ("der/status/pi-batt-1", b"online") in watcher.heard)
        assert not running.done()


async def test_an_agent_tells_its_manager_that_it_is_ready_and_whether_it_has_a_broker(
    mosquitto_broker: RunningBroker, tmp_path: Path
) -> None:
    told: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)

        def heard(text: str) -> bool:
            with contextlib.suppress(BlockingIOError):
                while True:
                    told.append(manager.recv(1000).decode())
            return text in told

        stop, environment = asyncio.Event(), {"NOTIFY_SOCKET": str(tmp_path / "notify"), "HOME": str(tmp_path)}
        running = asyncio.create_task(run_agent(config(mosquitto_broker), stop=stop, environment=environment))
        await until(lambda: heard("STATUS=Connected to the broker"))
        assert told[0] == "READY=1\nWATCHDOG=1", "the device is on default control first"
        await mosquitto_broker.kill()
        told.clear()
        await until(lambda: heard("STATUS=Without the broker: on its own"))
        stop.set()
        await running
        await until(lambda: heard("STOPPING=1"))


@pytest.mark.timeout(120)
async def test_the_example_device_gets_a_setpoint_on_either_broker(broker: RunningBroker) -> None:
    async with watching(broker) as watcher:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(EXAMPLE), "127.0.0.1", str(broker.port), "my-ev", stdout=asyncio.subprocess.PIPE
        )
        try:
            await until(lambda: bool(watcher.telemetry("my-ev")))
            payload = json.dumps(watcher.telemetry("my-ev")[0]).encode()
            (entry,) = decode_telemetry(
                TOPICS, "der/telemetry/my-ev", payload, now_ms=SystemClock().now_ms(), speaks_percent=lambda _: False
            )
            assert isinstance(entry, Decoded), entry
            await watcher.order("my-ev", 3.5, seq=1, kind=DeviceKind.EV)
            await until(lambda: watcher.telemetry("my-ev")[-1]["p_actual_kw"] == 3.5)
            assert watcher.telemetry("my-ev")[-1]["applied"] == {"epoch": 7, "seq": 1}
            assert process.stdout is not None
            async with asyncio.timeout(20):
                line = await process.stdout.readline()
            assert b"setpoint" in line
            assert b"3.5" in line
        finally:
            process.terminate()
            await process.wait()
