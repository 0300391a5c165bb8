"""A device on the wire, on a virtual clock."""

import asyncio
import itertools
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from agent.driver import Capabilities, Immediate, Reading
from agent.drivers.simulated import StorageModel
from agent.endpoint import Verdict
from agent.guard import GuardedDriver
from agent.runner import JITTER, AgentRunner
from derms.contract import Topics, encode_setpoint
from derms.errors import DeviceError
from derms.model import DeviceKind, Dialect, Outcome
from tests.fakes_contract import FakeLink, LoopClock, lease, run_virtually

CAR = Capabilities(kind=DeviceKind.EV, p_import_max_kw=7.2, p_min_kw=1.4, capacity_kwh=60, default_power_kw=1.4)
TOPICS = Topics()
CONTROL = "der/control/ev-001"
TELEMETRY = "der/telemetry/ev-001"


class Stage:
    """A running agent and what stands around it."""

    def __init__(self, **options: Any) -> None:
        self.link = FakeLink()
        self.clock = LoopClock()
        self.stop = asyncio.Event()
        self.driver = StorageModel(CAR)
        fields: dict[str, Any] = {"interval_s": 1.0, "rng": random.Random(3), "topics": TOPICS}
        driver = options.pop("driver", self.driver)
        if isinstance(driver, StorageModel):
            driver = Immediate(driver, clock=self.clock)
        fields |= {"driver": driver}
        self.runner = AgentRunner(device_id="ev-001", link=self.link, clock=self.clock, **(fields | options))

    def telemetry(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for _, topic, payload, _ in self.link.published if topic == TELEMETRY]

    def send(self, **changes: Any) -> None:
        now = self.clock.now_ms()
        fields = {"issued_at_ms": now, "valid_until_ms": now + 90_000} | changes
        self.link.put(*encode_setpoint(TOPICS, lease(**fields), Dialect.V1))


def play(scene: Callable[[Stage], Awaitable[None]], **options: Any) -> Stage:
    stages: list[Stage] = []

    async def main() -> None:
        stage = Stage(**options)
        stages.append(stage)
        running = asyncio.create_task(stage.runner.run(stage.stop))
        await scene(stage)
        stage.stop.set()
        await running

    run_virtually(main())
    return stages[0]


class Asking(StorageModel):
    """A charger that was told what the car needs, and counts it off."""

    def read(self) -> Reading:
        return replace(super().read(), energy_needed_kwh=round(30.0 - self.delivered_kwh, 3))

    delivered_kwh = 0.0

    def apply(self, p_kw: float | None, seconds: float) -> None:
        super().apply(p_kw, seconds)
        self.delivered_kwh += max(super().read().p_actual_kw, 0.0) * seconds / 3600


def test_a_driver_that_knows_what_the_session_needs_has_it_said() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(10)

    stage = play(scene, driver=Asking(CAR))
    needs = [said["energy_needed_kwh"] for said in stage.telemetry()]
    assert needs[0] == 30.0
    assert needs == sorted(needs, reverse=True)
    assert 29.99 < needs[-1] < 30.0  # 10 s at 1.4 kW: 0.0039 kWh less


def test_it_announces_itself_reports_every_interval_and_says_goodbye() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(60)

    stage = play(scene)
    status = [(payload, retain) for _, topic, payload, retain in stage.link.published if topic == "der/status/ev-001"]
    assert status == [(b"online", True), (b"offline", True)]
    assert stage.link.published[0][2] == b"online"
    times = [at for at, topic, *_ in stage.link.published if topic == TELEMETRY]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert 57 <= len(times) <= 64
    assert all(1 - JITTER - 0.01 <= gap <= 1 + JITTER + 0.01 for gap in gaps)
    assert max(gaps) > min(gaps)
    assert [t["seq"] for t in stage.telemetry()] == list(range(1, len(times) + 1))
    assert stage.telemetry()[0] | {"ts": 0, "soc": 0.5} == {
        "v": 1, "device_id": "ev-001", "type": "ev", "ts": 0, "p_actual_kw": 1.4, "p_setpoint_kw": None, "seq": 1,
        "soc": 0.5, "p_max_kw": 7.2, "capacity_kwh": 60.0, "status": "ok",
    }  # fmt: skip


def test_a_setpoint_is_obeyed_and_confirmed_at_once() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(5)
        before = len(stage.telemetry())
        stage.send(p_setpoint_kw=6.0)
        await asyncio.sleep(0.25)
        (last,) = stage.telemetry()[before:][-1:]
        assert last["p_setpoint_kw"] == 6.0
        assert last["applied"] == {"epoch": 7, "seq": 1202}
        assert last["p_actual_kw"] == 6.0

    play(scene, interval_s=60.0)


def test_the_end_of_a_lease_is_obeyed_and_told_at_once_without_anyone_speaking() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(5)
        # 90.7 s, so that no regular step falls on its end
        stage.send(p_setpoint_kw=6.0, valid_until_ms=stage.clock.now_ms() + 90_700)
        await asyncio.sleep(90.6)
        assert stage.driver.read().p_actual_kw == 6.0
        before = len(stage.telemetry())
        await asyncio.sleep(0.2)
        assert stage.telemetry()[before:][-1]["p_setpoint_kw"] is None
        assert "applied" not in stage.telemetry()[-1]
        await asyncio.sleep(12)
        assert stage.driver.read().p_actual_kw == 1.4

    play(scene, interval_s=300.0)


def test_a_wall_clock_that_jumps_does_not_cut_or_lengthen_a_lease() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.send(p_setpoint_kw=6.0)
        await asyncio.sleep(1)
        for shift_ms in (10**9, -(10**9)):
            stage.clock.shift_ms = shift_ms
            await asyncio.sleep(40)
            assert stage.driver.read().p_actual_kw == 6.0
        await asyncio.sleep(10)
        assert stage.driver.read().p_actual_kw < 6.0

    play(scene)


def test_a_flood_of_setpoints_does_not_become_a_flood_of_reports() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(5)
        before = len(stage.telemetry())
        for seq in range(2000, 2100):
            stage.send(seq=seq)
            await asyncio.sleep(0.01)
        # 100 setpoints in a second: at most one report each 0.2 s, and the regular ones
        assert 4 <= len(stage.telemetry()) - before <= 7
        await asyncio.sleep(0.3)
        assert stage.telemetry()[-1]["applied"]["seq"] == 2099

    play(scene)


def test_bad_setpoints_are_counted_and_change_nothing() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(2)
        stage.send(p_setpoint_kw=6.0)
        await asyncio.sleep(1)
        for payload in (b"", b"junk", b'{"v":1,"v":1}', b'{"v":2}', b"[" * 10_000):
            stage.link.put(CONTROL, payload)
        stage.send(seq=1, p_setpoint_kw=0.0)
        stage.send(seq=5000, p_setpoint_kw=100.0)
        await asyncio.sleep(1)
        assert stage.driver.read().p_actual_kw == 6.0

    stage = play(scene)
    assert stage.runner.refused == {Outcome.MALFORMED: 3, Outcome.UNKNOWN_VERSION: 1}
    assert stage.runner.endpoint.counts == {Verdict.ACCEPTED: 1, Verdict.OLDER_SEQ: 1, Verdict.OUT_OF_RANGE: 1}


def test_while_the_broker_is_away_control_goes_on_and_samples_are_dropped() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.send(p_setpoint_kw=6.0)
        await asyncio.sleep(1)
        stage.link.connected = False
        before = stage.runner.published
        await asyncio.sleep(100)
        assert stage.runner.published == before
        assert stage.runner.dropped >= 95
        assert stage.driver.read().p_actual_kw == 1.4
        stage.link.connected, stage.link.connections = True, 2
        stage.runner.connected()
        await asyncio.sleep(0.25)
        assert stage.link.published[-2][1:] == ("der/status/ev-001", b"online", True)
        assert stage.link.published[-1][1] == TELEMETRY

    play(scene)


def test_a_broker_that_refuses_or_is_slow_does_not_hold_up_the_device() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(3)
        stage.link.failing = True
        await asyncio.sleep(5)
        stage.link.failing, stage.link.delay_s = False, 30.0
        await asyncio.sleep(10)
        stage.send(p_setpoint_kw=6.0)
        await asyncio.sleep(0.1)
        assert stage.driver.read().p_actual_kw == 6.0
        await asyncio.sleep(89)
        assert stage.runner.published >= 3
        stage.link.delay_s = 0.0

    stage = play(scene)
    assert stage.runner.dropped > 50


class Failing(Immediate):
    """A charger that can be broken."""

    broken = True

    async def read(self) -> Reading:
        if self.broken:
            raise DeviceError("silence")
        return await super().read()

    async def apply(self, p_kw: float | None, seconds: float) -> None:
        if self.broken:
            raise DeviceError("silence")
        await super().apply(p_kw, seconds)


def test_a_device_that_fails_is_said_to_fail_and_follows_no_lease_until_it_works_again() -> None:
    async def scene(stage: Stage) -> None:
        driver = Failing(stage.driver, clock=stage.clock)
        stage.runner._driver = GuardedDriver(driver, device_id="ev-001")
        await asyncio.sleep(5)
        assert stage.telemetry() == []  # it was never measured: there is no power to report
        driver.broken = False
        stage.send(p_setpoint_kw=6.0)
        await asyncio.sleep(3)
        assert stage.telemetry()[-1]["applied"] == {"epoch": 7, "seq": 1202}
        driver.broken = True
        await asyncio.sleep(5)
        last = stage.telemetry()[-1]
        assert (last["status"], last["p_setpoint_kw"], last["p_actual_kw"]) == ("unavailable", None, 6.0)
        assert "applied" not in last
        driver.broken = False
        await asyncio.sleep(2.1)
        assert (stage.telemetry()[-1]["status"], stage.telemetry()[-1]["p_setpoint_kw"]) == ("ok", 6.0)

    play(scene)


class Slow(Immediate):
    """A charger that takes a second to obey."""

    async def apply(self, p_kw: float | None, seconds: float) -> None:
        await asyncio.sleep(1.0)
        await super().apply(p_kw, seconds)


def test_a_lease_that_comes_while_the_device_is_asked_is_claimed_once_the_device_has_taken_it() -> None:
    async def scene(stage: Stage) -> None:
        stage.runner._driver = GuardedDriver(Slow(stage.driver, clock=stage.clock), device_id="ev-001")
        await asyncio.sleep(0.5)  # it is being asked for its default control
        stage.send(p_setpoint_kw=6.0)
        await asyncio.sleep(1.0)  # and then for the lease
        assert all("applied" not in said for said in stage.telemetry())
        assert stage.driver.read().p_actual_kw == 1.4
        await asyncio.sleep(1.0)
        assert stage.telemetry()[-1]["applied"] == {"epoch": 7, "seq": 1202}
        assert stage.telemetry()[-1]["p_actual_kw"] == 6.0

    play(scene, interval_s=60.0)


def test_goodbye_does_not_wait_for_a_broker_that_is_stuck() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(3)
        stage.link.delay_s = 1000.0

    async def main() -> None:
        stage = Stage()
        running = asyncio.create_task(stage.runner.run(stage.stop))
        await scene(stage)
        stage.stop.set()
        async with asyncio.timeout(5):
            await running

    run_virtually(main())


def test_the_older_dialects_are_spoken_on_request() -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(3)

    topics = {dialect: play(scene, dialect=dialect).link.published[1][1] for dialect in Dialect}
    assert topics == {
        Dialect.V1: TELEMETRY,
        Dialect.PLAIN: TELEMETRY,
        Dialect.ENVELOPE: "der/telemetry/ev/ev-001",
    }
