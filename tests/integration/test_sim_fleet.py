"""The simulated fleet on a real broker, as an independent client sees it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from derms.contract import SimulationProfile, Topics, encode_profile, encode_setpoint
from derms.errors import UsageError
from derms.model import DeviceKind, Dialect, Setpoint
from derms.mqtt import MqttLink
from derms.runtime import SystemClock
from sim.runner import SimOptions, run_sim
from sim.world import SimSummary
from tests.brokers import RunningBroker, until

TOPICS = Topics()
_Running = asyncio.Task[SimSummary]


class Observer:
    """The newest message on each topic."""

    def __init__(self) -> None:
        self.newest: dict[str, bytes] = {}
        self.stop = asyncio.Event()
        """Ends the fleet."""

    def telemetry(self, tail: str) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.newest.get(f"der/telemetry/{tail}", b"{}"))
        return message

    def power(self, tail: str) -> float | None:
        value: float | None = self.telemetry(tail).get("p_actual_kw")
        return value


@asynccontextmanager
async def fleet(broker: RunningBroker, **options: Any) -> AsyncIterator[tuple[Observer, MqttLink, _Running]]:
    observer = Observer()
    async with broker.link("observer", subscriptions=[("der/#", 1)]) as link:
        await link.wait_connected(20.0)

        async def listen() -> None:
            while True:
                for message in await link.receive():
                    observer.newest[message.topic] = message.payload

        listening = asyncio.create_task(listen())
        running = asyncio.create_task(
            run_sim(
                SimOptions(broker_url=broker.url, interval_s=0.3, **options), stop=observer.stop, clock=SystemClock()
            )
        )
        try:
            yield observer, link, running
        finally:
            observer.stop.set()
            await asyncio.wait([running], timeout=20.0)
            listening.cancel()
            running.cancel()


async def test_every_device_speaks_its_own_dialect_and_says_goodbye(broker: RunningBroker) -> None:
    async with fleet(broker, devices=20) as (observer, _, running):
        await until(lambda: sum("/telemetry/" in topic for topic in observer.newest) == 20)
        assert observer.telemetry("ev/pi-ev-01")["source"] == "pi-agent"
        assert observer.telemetry("pi-batt-01")["deviceId"] == "pi-batt-01"
        assert observer.telemetry("pi-ev-02")["v"] == 1
        head_kw = observer.power("meter-feeder-1")
        assert head_kw is not None
        assert observer.newest["der/status/pv-001"] == b"online"
        observer.stop.set()
        async with asyncio.timeout(20.0):
            summary = await asyncio.shield(running)
        await until(lambda: all(p == b"offline" for t, p in observer.newest.items() if "/status/" in t))
    assert summary.devices == 20
    assert summary.simulated_s > 1.0


async def test_a_lease_is_obeyed_and_felt_at_the_head(any_broker: RunningBroker) -> None:
    async with fleet(any_broker, devices=20) as (observer, link, _):
        await until(lambda: observer.power("pi-ev-02") == 0.0 and observer.power("meter-feeder-1") is not None)
        before_kw = observer.power("meter-feeder-1")
        assert before_kw is not None
        now_ms = SystemClock().now_ms()
        setpoint = Setpoint(
            device_id="pi-ev-02",
            kind=DeviceKind.EV,
            p_setpoint_kw=10.5,
            issued_at_ms=now_ms,
            valid_until_ms=now_ms + 60_000,
            epoch=1,
            seq=1,
        )
        await link.publish(*encode_setpoint(TOPICS, setpoint, Dialect.V1))
        await until(lambda: observer.power("pi-ev-02") == 10.5)
        assert observer.telemetry("pi-ev-02")["applied"] == {"epoch": 1, "seq": 1}
        # Sun and households wander by some kilowatts meanwhile, not by ten.
        await until(lambda: (observer.power("meter-feeder-1") or 0.0) > before_kw + 5.0)


async def test_the_controller_chooses_the_hour(any_broker: RunningBroker) -> None:
    async with fleet(any_broker, devices=20) as (observer, link, _):
        await until(lambda: (observer.power("pv-001") or 0.0) < -0.5)
        topic, payload = encode_profile(TOPICS, SimulationProfile.NIGHT)
        await link.publish(topic, payload, retain=True)
        await until(lambda: observer.power("pv-001") == 0.0)


async def test_free_devices_do_as_they_like(any_broker: RunningBroker) -> None:
    async with fleet(any_broker, devices=20, free=True) as (observer, _, _running):
        await until(lambda: observer.power("pi-ev-02") == 11.0)
        assert observer.telemetry("pi-ev-02")["status"] == "local"


async def test_a_fleet_survives_the_death_of_its_broker(mosquitto_broker: RunningBroker) -> None:
    async with fleet(mosquitto_broker, devices=12) as (observer, _, running):
        await until(lambda: observer.power("meter-feeder-1") is not None)
        await mosquitto_broker.kill()
        observer.newest.clear()
        await mosquitto_broker.restart()
        await until(lambda: sum("/telemetry/" in topic for topic in observer.newest) == 12, timeout_s=40.0)
        assert not running.done()


async def test_a_replay_ends_by_itself_when_its_file_does(any_broker: RunningBroker, tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("ts,device_id,p_kw\n0,load-1,2.5\n120,load-1,4\n", encoding="utf-8")
    async with fleet(any_broker, replay=path, speed=60.0) as (observer, _, running):
        await until(lambda: observer.power("load-1") == 2.5)
        async with asyncio.timeout(20.0):
            summary = await asyncio.shield(running)
    assert 240.0 < summary.simulated_s < 360.0
    assert summary.peak_head_kw == pytest.approx(4.0)


async def test_nothing_is_published_from_a_file_with_one_bad_row(any_broker: RunningBroker, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("ts,device_id,p_kw\n0,load-1,2.5\n1,load-1,lots\n", encoding="utf-8")
    async with fleet(any_broker, replay=path) as (observer, _, running):
        with pytest.raises(UsageError, match="line 3"):
            await running
        assert observer.newest == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"broker_url": "localhost"}, "not a broker URL"),
        ({"speed": 0.0}, "speed 0"),
        ({"speed": float("nan")}, "speed nan"),
        ({"interval_s": -1.0}, "interval -1 s"),
        ({"duration_s": 0.0}, "duration 0 s"),
        ({"topic_prefix": "a/#"}, "topic prefix"),
        ({"devices": 3}, "3 devices"),
    ],
)
async def test_options_that_cannot_be_meant_are_refused_at_once(options: dict[str, Any], said: str) -> None:
    wanted = SimOptions(**{"broker_url": "mqtt://127.0.0.1:1", **options})
    with pytest.raises(UsageError, match=said):
        await run_sim(wanted, stop=asyncio.Event(), clock=SystemClock())


async def test_a_fleet_without_a_broker_can_still_be_stopped() -> None:
    stop = asyncio.Event()
    options = SimOptions(broker_url="mqtt://127.0.0.1:1", devices=12)
    running = asyncio.create_task(run_sim(options, stop=stop, clock=SystemClock()))
    await until(lambda: any(task.get_name() == "sim-world" for task in asyncio.all_tasks()))
    stop.set()
    async with asyncio.timeout(10.0):
        summary = await running
    assert summary.devices == 12
