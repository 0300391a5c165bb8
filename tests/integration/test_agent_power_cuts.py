"""The power fails at random: the agent is killed (-9), again and again, on a real broker before a real subscriber.

It always starts on default control, leaves no torn file, and every sample that was on disk arrives, once. (MQTT cannot
tell an agent that dies between a delivery and its acknowledgement that it was delivered: such a sample comes again,
the same to the last byte, which the controller counts as `duplicate` and the store keeps once.)
"""

import asyncio
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent.buffer import SampleBuffer, in_use
from derms.contract import Topics, encode_setpoint
from derms.model import DeviceKind, Dialect
from tests.brokers import Cable, RunningBroker, until
from tests.fakes_contract import lease
from tests.processes import Program, Programs

NAME = "pi-batt-1"
TOPICS = Topics()
pytestmark = pytest.mark.skipif(shutil.which("mosquitto_sub") is None, reason="there is no mosquitto_sub here")


class Judge:
    """`mosquitto_sub` with a session that outlives its absences: what was delivered, in order."""

    def __init__(self, port: int, out: Path) -> None:
        self._out = out
        topics = ("-t", TOPICS.telemetry(NAME), "-t", TOPICS.status(NAME))
        with out.open("wb") as file:
            self.process = subprocess.Popen(
                ["mosquitto_sub", "-p", str(port), "-q", "1", "-c", "-i", "judge", *topics, "-F", "%p"], stdout=file
            )

    @property
    def said(self) -> list[str]:
        return self._out.read_text().splitlines()

    @property
    def samples(self) -> list[str]:
        return [line for line in self.said if line.startswith("{")]

    def seqs(self) -> set[int]:
        return {json.loads(line)["seq"] for line in self.samples}


@pytest.fixture
def judge(mosquitto_broker: RunningBroker, tmp_path: Path) -> Iterator[Judge]:
    there = Judge(mosquitto_broker.port, tmp_path / "judged")
    yield there
    there.process.terminate()
    there.process.wait(10)


@pytest.fixture
async def gate(mosquitto_broker: RunningBroker) -> AsyncIterator[Cable]:
    """The way to the broker, which may be closed."""
    async with Cable(mosquitto_broker.port) as there:
        yield there


def on_disk(state: Path, copy: Path) -> set[int]:
    """What waits on disk, read from a copy; nothing of it may be torn."""
    if not state.exists():
        return set()
    shutil.copytree(state, copy)
    buffer = SampleBuffer(copy)
    found: set[int] = set()
    while (sample := buffer.peek()) is not None:
        found.add(sample.seq or 0)
        buffer.acknowledge(sample.seq or 0)
    assert buffer.damaged == 0
    buffer.close()
    shutil.rmtree(copy)
    return found


class Street:
    """One agent whose power fails, its broker, and the judge."""

    def __init__(self, broker: RunningBroker, gate: Cable, judge: Judge, programs: Programs, tmp_path: Path) -> None:
        self.broker, self.gate, self.judge, self.programs = broker, gate, judge, programs
        self.state, self.copy = tmp_path / "state" / NAME, tmp_path / "copy"
        self.config = tmp_path / "agent.json"
        self.config.write_text(
            json.dumps(
                {
                    "device_id": NAME,
                    "device_type": "battery",
                    "broker_port": gate.port,
                    "state_dir": str(self.state.parent),
                    "publish_interval_seconds": 0.1,
                    "reconnect_spread_seconds": 0.1,
                    "replay_per_second": 100,
                    "default_power_kw": 0.5,
                }
            )
        )
        self.held: set[int] = set()
        """Every sample that was on disk when the power failed."""
        self.starts: list[int] = []
        """When each life began [epoch ms]; its first `seq` is above that."""

    def begin(self) -> Program:
        self.starts.append(int(time.time() * 1000))
        return self.programs.derms("agent", "run", "--config", self.config)

    async def live_and_die(self, rng: random.Random) -> None:
        """Run for a random time, the broker coming and going meanwhile; then the power fails."""
        self.gate.shut = rng.random() < 0.5
        agent = self.begin()
        if rng.random() < 0.8:
            await until(lambda: in_use(self.state))  # the others die while they start
        begun_s = time.monotonic()
        flips = sorted(begun_s + rng.uniform(0, 3.0) for _ in range(2))
        die_s = begun_s + rng.uniform(0.1, 3.0)
        while (now_s := time.monotonic()) < die_s:
            if flips and now_s > flips[0]:
                flips.pop(0)
                self.gate.shut = not self.gate.shut
                self.gate.cut()
            await asyncio.sleep(0.01)
        assert agent.running, agent.stderr
        agent.kill()
        self.gate.cut()
        self.held |= on_disk(self.state, self.copy)

    async def live_in_peace(self) -> None:
        """Run until all is sent."""
        self.gate.shut = False
        agent = self.begin()
        await until(lambda: max(self.judge.seqs(), default=0) > self.starts[-1])
        await until(lambda: self.held <= self.judge.seqs(), 120)
        await until(lambda: not list(self.state.glob("*.samples")), 60)
        assert agent.terminate() == 0

    def check_what_arrived(self, times: int) -> None:
        whole = self.judge.samples
        assert not self.held - self.judge.seqs()
        assert len(set(whole)) == len(self.judge.seqs())  # what comes again is the same to the last byte
        again = len(whole) - len(set(whole))
        # shown by `pytest -s`, and where something fails
        sys.stdout.write(f"{times} cuts, {len(self.held)} were on disk, {len(set(whole))} arrived, {again} twice\n")
        assert again <= times
        assert len(self.held) > times

    def check_how_it_began(self, times: int) -> None:
        by_seq = {json.loads(line)["seq"]: json.loads(line) for line in self.judge.samples}
        begun = 0
        for start, end in zip(self.starts, [*self.starts[1:], 2**62], strict=True):
            if run := [seq for seq in by_seq if start <= seq < end]:
                first = by_seq[min(run)]
                assert (first["p_setpoint_kw"], first["p_actual_kw"]) == (None, 0.5)
                begun += 1
        assert begun > times / 2
        assert any(sample["p_setpoint_kw"] == 3.0 for sample in by_seq.values())


async def cut_the_power(times: int, street: Street) -> None:
    rng = random.Random(times)
    async with street.broker.link("controller") as controller:
        await controller.wait_connected(20)
        for turn in range(times + 1):
            now = round(time.time() * 1000)
            order = lease(
                device_id=NAME,
                kind=DeviceKind.BATTERY,
                p_setpoint_kw=3.0,
                seq=turn + 1,
                issued_at_ms=now,
                valid_until_ms=now + 600_000,
            )
            # It finds a good lease each time, and still begins without one.
            await controller.publish(*encode_setpoint(TOPICS, order, Dialect.V1), qos=1, retain=True)
            if turn < times:
                await street.live_and_die(rng)
        await street.live_in_peace()
    street.check_what_arrived(times)
    street.check_how_it_began(times)


@pytest.fixture
def street(mosquitto_broker: RunningBroker, gate: Cable, judge: Judge, programs: Programs, tmp_path: Path) -> Street:
    return Street(mosquitto_broker, gate, judge, programs, tmp_path)


@pytest.mark.timeout(120)
async def test_after_some_power_cuts_nothing_is_lost_and_nothing_is_unsafe(street: Street) -> None:
    await cut_the_power(8, street)


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_after_a_hundred_power_cuts_nothing_is_lost_and_nothing_is_unsafe(street: Street) -> None:
    await cut_the_power(100, street)
