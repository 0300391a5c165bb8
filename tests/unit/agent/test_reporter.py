"""A device's samples on their way: live while there is a broker, from disk later, each until it is acknowledged."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.buffer import SampleBuffer
from agent.driver import Capabilities, Immediate, Reading
from agent.drivers.simulated import StorageModel
from agent.home_assistant import HomeAssistant
from agent.reporter import Pace
from agent.runner import AgentRunner
from derms.contract import Topics, encode_setpoint
from derms.errors import StoreError
from derms.model import DeviceKind, Dialect
from tests.fakes_contract import FakeLink, LoopClock, lease, run_virtually

TOPICS = Topics()
CAN = Capabilities(kind=DeviceKind.EV, p_import_max_kw=7.2, p_min_kw=1.4, capacity_kwh=60, default_power_kw=1.4)


async def at_once(work: Callable[[], object]) -> object:
    """The disk, as fast as memory: a virtual clock does not wait for threads."""
    return work()


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[SampleBuffer]:
    opened = SampleBuffer(tmp_path / "buffer")
    yield opened
    opened.close()


class Noisy(StorageModel):
    """A device whose power the test sets."""

    p_kw = 1.4

    def read(self) -> Reading:
        return Reading(p_actual_kw=self.p_kw)


class Stage:
    """A running agent with a buffer; its broker is there or not."""

    def __init__(self, buffer: SampleBuffer | None, *, connected: bool = True, **options: Any) -> None:
        self.link, self.clock, self.stop = FakeLink(), LoopClock(), asyncio.Event()
        self.link.connected = connected
        self.link.connections = int(connected)
        self.device = Noisy(CAN)
        fields: dict[str, Any] = {"interval_s": 1.0, "rng": random.Random(3), "aside": at_once}
        self.runner = AgentRunner(
            device_id="ev-001",
            driver=Immediate(self.device, clock=self.clock),
            link=self.link,
            topics=TOPICS,
            clock=self.clock,
            buffer=buffer,
            **(fields | options),
        )

    def lose(self) -> None:
        self.link.connected = False

    def reconnect(self) -> None:
        self.link.connected = True
        self.link.connections += 1
        self.runner.connected()

    @property
    def said(self) -> list[tuple[float, int]]:
        """When each sample was acknowledged, and its seq."""
        return [
            (at, json.loads(payload)["seq"]) for at, topic, payload, _ in self.link.published if "telemetry" in topic
        ]

    @property
    def seqs(self) -> list[int]:
        return [seq for _, seq in self.said]


def play(scene: Callable[[Stage], Awaitable[None]], buffer: SampleBuffer | None, **options: Any) -> Stage:
    stages: list[Stage] = []

    async def main() -> None:
        stage = Stage(buffer, **options)
        stages.append(stage)
        running = asyncio.create_task(stage.runner.run(stage.stop))
        await scene(stage)
        stage.stop.set()
        await running

    run_virtually(main())
    return stages[0]


def test_after_an_outage_the_newest_comes_first_and_the_rest_in_order_slowly_and_once(buffer: SampleBuffer) -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.lose()
        before = stage.seqs[-1]
        await asyncio.sleep(60)
        stage.reconnect()
        await asyncio.sleep(0.3)
        live = stage.seqs[-1]
        assert live >= before + 58  # what is newest is said at once
        back_s = stage.said[-1][0]
        await asyncio.sleep(30)
        old = [(at, seq) for at, seq in stage.said if before < seq < live]
        assert [seq for _, seq in old] == list(range(before + 1, live))
        assert old[0][0] > back_s
        took_s = old[-1][0] - old[0][0]
        assert 0.8 * len(old) / 10 < took_s < 1.3 * len(old) / 10  # ten a second
        assert buffer.empty

    stage = play(scene, buffer)
    assert len(stage.seqs) == len(set(stage.seqs))
    assert stage.runner.dropped == 0
    assert sorted(stage.seqs) == list(range(1, max(stage.seqs) + 1))


def test_what_a_run_could_not_send_the_next_one_does(tmp_path: Path) -> None:
    async def away(stage: Stage) -> None:
        await asyncio.sleep(30)

    first = SampleBuffer(tmp_path)
    play(away, first, connected=False)
    first.close()
    second = SampleBuffer(tmp_path)
    held = second.last_seq
    assert held >= 28

    async def back(stage: Stage) -> None:
        stage.reconnect()
        await asyncio.sleep(20)

    stage = play(back, second, connected=False, first_seq=held + 1)
    second.close()
    assert sorted(stage.seqs) == list(range(1, max(stage.seqs) + 1))
    assert [seq for seq in stage.seqs if seq <= held] == list(range(1, held + 1))
    assert stage.seqs[0] == held + 1


def test_a_broker_that_acknowledges_nothing_gets_every_sample_again_later(buffer: SampleBuffer) -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.link.failing = True
        await asyncio.sleep(20)
        stage.link.failing = False
        await asyncio.sleep(30)
        assert buffer.empty

    stage = play(scene, buffer)
    assert sorted(stage.seqs) == list(range(1, max(stage.seqs) + 1))


def test_the_end_sends_what_is_in_hand_or_keeps_it(buffer: SampleBuffer) -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(5)
        stage.link.delay_s = 100.0
        await asyncio.sleep(5)

    stage = play(scene, buffer)
    kept = []
    while (sample := buffer.peek()) is not None:
        kept.append(sample.seq or 0)
        buffer.acknowledge(sample.seq or 0)
    assert sorted({*stage.seqs, *kept}) == list(range(1, max(kept) + 1))


def test_a_disk_that_takes_nothing_stops_nobody_and_is_used_again(buffer: SampleBuffer) -> None:
    broken = True

    async def failing(work: Callable[[], object]) -> object:
        if broken:
            raise StoreError("the buffer cannot be written", why="No space left on device")
        return work()

    async def scene(stage: Stage) -> None:
        nonlocal broken
        await asyncio.sleep(2)
        stage.lose()
        await asyncio.sleep(60)
        assert stage.device.p_kw == 1.4
        assert buffer.empty
        broken = False
        await asyncio.sleep(3)
        assert not buffer.empty
        stage.reconnect()
        await asyncio.sleep(30)

    stage = play(scene, buffer, aside=failing)
    assert sorted(stage.seqs) == list(range(1, max(stage.seqs) + 1))  # they had waited in memory
    assert stage.runner.dropped == 0


def test_it_starts_on_default_control_and_says_so_first(buffer: SampleBuffer) -> None:
    async def scene(stage: Stage) -> None:
        now = stage.clock.now_ms()
        await asyncio.sleep(0.5)
        stage.reconnect()
        stage.link.put(*encode_setpoint(TOPICS, lease(issued_at_ms=now, valid_until_ms=now + 90_000), Dialect.V1))
        await asyncio.sleep(2)

    stage = play(scene, buffer, connected=False)
    first = next(json.loads(payload) for _, topic, payload, _ in stage.link.published if "telemetry" in topic)
    assert (first["seq"], first["p_setpoint_kw"]) == (1, None)
    assert buffer.empty


def test_a_power_that_moves_beyond_the_deadband_is_said_at_once_and_one_within_is_not(buffer: SampleBuffer) -> None:
    async def scene(stage: Stage) -> None:
        await asyncio.sleep(10)
        before = len(stage.seqs)
        stage.device.p_kw = 1.7
        await asyncio.sleep(10)
        assert len(stage.seqs) == before
        stage.device.p_kw = 2.0
        await asyncio.sleep(2.1)
        assert len(stage.seqs) == before + 1
        await asyncio.sleep(10)
        assert len(stage.seqs) == before + 1

    play(scene, buffer, interval_s=300.0, deadband_kw=0.36)


def test_two_hundred_agents_that_come_back_at_once_spread_over_seconds(tmp_path: Path) -> None:
    starts: list[float] = []

    async def main() -> None:
        stages, buffers, running = [], [], []
        for number in range(200):
            buffers.append(SampleBuffer(tmp_path / str(number)))
            stages.append(Stage(buffers[-1], rng=random.Random(number), pace=Pace(within_s=5.0)))
            running.append(asyncio.create_task(stages[-1].runner.run(stages[-1].stop)))
        await asyncio.sleep(0.5)
        for stage in stages:
            stage.lose()
        await asyncio.sleep(4)
        back_s = asyncio.get_running_loop().time()
        for stage in stages:
            stage.reconnect()
        await asyncio.sleep(7)
        for stage, buffer in zip(stages, buffers, strict=True):
            assert buffer.empty
            old = [at for at, seq in stage.said if at > back_s and seq < 5]
            starts.append(old[0] - back_s)
            stage.stop.set()
        await asyncio.gather(*running)
        for buffer in buffers:
            buffer.close()

    run_virtually(main())
    a_second = [sum(1 for at in starts if second <= at < second + 1) for second in range(6)]
    assert sum(a_second) == 200
    assert max(a_second) <= 70
    assert min(a_second[:5]) >= 20


def test_home_assistant_is_told_of_the_device_and_of_every_live_sample() -> None:
    there = HomeAssistant(device_id="ev-001", kind=DeviceKind.EV, topics=TOPICS, interval_s=1.0)

    async def scene(stage: Stage) -> None:
        await asyncio.sleep(3.5)

    stage = play(scene, None, home_assistant=there)
    retained = [(topic, payload) for _, topic, payload, retain in stage.link.published if retain]
    assert [topic for topic, _ in retained[:2]] == ["der/status/ev-001", "homeassistant/device/ev-001/config"]
    states = [json.loads(payload) for topic, payload in retained if topic == "der/homeassistant/ev-001"]
    assert len(states) >= 3
    assert states[0] == {"power_kw": 1.4, "setpoint_kw": None, "soc_pct": None, "status": "ok"}
