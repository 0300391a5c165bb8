"""One table of cases, run in each of the three dialects: agents of all generations obey and expire alike.

The controller's side is the contract's own encoder and decoder; the device's side a running agent on a virtual clock.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from agent.driver import Capabilities, Immediate, Reading
from agent.drivers.simulated import StorageModel
from agent.endpoint import Verdict
from agent.runner import AgentRunner
from agent.sampler import Identity, Sampler
from agent.speech import Speech
from derms.contract import Decoded, Topics, decode_telemetry, encode_setpoint
from derms.model import DeviceKind, DeviceStatus, Dialect, Telemetry
from tests.fakes_contract import NOW_MS, FakeLink, LoopClock, lease, run_virtually

TOPICS = Topics()
CAN = {
    DeviceKind.EV: Capabilities(
        kind=DeviceKind.EV, p_import_max_kw=7.2, p_min_kw=1.4, capacity_kwh=60, default_power_kw=1.4
    ),
    DeviceKind.BATTERY: Capabilities(
        kind=DeviceKind.BATTERY, p_import_max_kw=5, p_export_max_kw=5, capacity_kwh=100, default_power_kw=0
    ),
}


class Agent:
    """A running agent that speaks one dialect, and its controller."""

    def __init__(self, dialect: Dialect, kind: DeviceKind) -> None:
        self.dialect, self.kind = dialect, kind
        self.link, self.clock, self.stop = FakeLink(), LoopClock(), asyncio.Event()
        self.model = StorageModel(CAN[kind])
        self.runner = AgentRunner(
            device_id="ev-001",
            driver=Immediate(self.model, clock=self.clock),
            link=self.link,
            topics=TOPICS,
            clock=self.clock,
            rng=random.Random(3),
            dialect=dialect,
        )

    async def told(self, wait_s: float = 1.5, **changes: Any) -> None:
        """Send a lease of 90 s that is issued now, and let it act."""
        self.link.put(*self.message(**changes))
        await asyncio.sleep(wait_s)

    def message(self, **changes: Any) -> tuple[str, bytes]:
        now = self.clock.now_ms()
        fields = {"kind": self.kind, "issued_at_ms": now, "valid_until_ms": now + 90_000} | changes
        return encode_setpoint(TOPICS, lease(**fields), self.dialect)

    async def told_raw(self, edit: Callable[[bytes], bytes]) -> None:
        topic, payload = self.message(p_setpoint_kw=2.5, seq=9000)
        edited = edit(payload)
        assert edited != payload
        self.link.put(topic, edited)
        await asyncio.sleep(1.5)

    def said(self) -> Telemetry:
        """The newest sample, as the controller understands it."""
        for _, topic, payload, _ in reversed(self.link.published):
            if "telemetry" in topic:
                (result,) = decode_telemetry(
                    TOPICS, topic, payload, now_ms=self.clock.now_ms(), speaks_percent=lambda _: False
                )
                assert isinstance(result, Decoded), result
                assert result.telemetry.dialect is self.dialect
                return result.telemetry
        raise AssertionError("it said nothing")

    @property
    def p_kw(self) -> float:
        """What the device does; what it says must be that."""
        p_kw = self.model.read().p_actual_kw
        assert self.said().p_actual_kw == pytest.approx(p_kw, abs=0.8)
        return p_kw


Scene = Callable[[Agent], Awaitable[None]]


async def starts_in_default_control(agent: Agent) -> None:
    assert agent.p_kw == 1.4
    assert agent.said().p_setpoint_kw is None


async def obeys(agent: Agent) -> None:
    await agent.told(p_setpoint_kw=6.0)
    assert agent.p_kw == 6.0


async def expires_by_itself_and_ramps(agent: Agent) -> None:
    await agent.told(p_setpoint_kw=7.2)
    await asyncio.sleep(88)
    assert agent.p_kw == 7.2
    await asyncio.sleep(3.5)  # 93 s after: 3 s of ramp at 0.72 kW a second, in steps of the control
    assert 3.5 < agent.p_kw < 7.2
    await asyncio.sleep(12)
    assert agent.p_kw == 1.4
    assert agent.said().p_setpoint_kw is None


async def refuses_an_older_seq(agent: Agent) -> None:
    await agent.told(p_setpoint_kw=6.0, seq=50)
    await agent.told(p_setpoint_kw=2.0, seq=49)
    assert agent.p_kw == 6.0
    assert dict(agent.said().refused) == {"older_seq": 1}


async def refuses_a_repeated_seq(agent: Agent) -> None:
    await agent.told(p_setpoint_kw=6.0, seq=50)
    await agent.told(p_setpoint_kw=2.0, seq=50)
    assert agent.p_kw == 6.0
    assert dict(agent.said().refused) == {"repeated": 1}


async def refuses_an_older_epoch(agent: Agent) -> None:
    await agent.told(p_setpoint_kw=6.0, epoch=8, seq=1)
    await agent.told(p_setpoint_kw=2.0, epoch=7, seq=99)
    assert agent.p_kw == 6.0
    assert dict(agent.said().refused) == {"older_epoch": 1}


async def refuses_what_is_out_of_range(agent: Agent) -> None:
    await agent.told(p_setpoint_kw=6.0)
    await agent.told(p_setpoint_kw=70.0, seq=5000)
    await agent.told(p_setpoint_kw=-3.0, seq=5001)
    assert agent.p_kw == 6.0
    assert dict(agent.said().refused) == {"out_of_range": 2}


async def refuses_what_is_not_a_number(agent: Agent) -> None:
    await agent.told(p_setpoint_kw=6.0)
    for word in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"true"):
        await agent.told_raw(lambda payload, word=word: payload.replace(b"2.5", word))  # type: ignore[misc]
    await agent.told_raw(lambda payload: payload.replace(b"2.5", b'"2.5"'))
    assert agent.p_kw == 6.0
    assert dict(agent.said().refused) == {"malformed": 5, "invalid": 1}


async def refuses_what_has_expired(agent: Agent) -> None:
    now = agent.clock.now_ms()
    await agent.told(p_setpoint_kw=6.0, issued_at_ms=now - 100_000, valid_until_ms=now - 10_000)
    assert agent.p_kw == 1.4
    assert dict(agent.said().refused) == {"expired": 1}


async def refuses_a_lease_that_outlives_everyone(agent: Agent) -> None:
    await agent.told(p_setpoint_kw=6.0, valid_until_ms=agent.clock.now_ms() + 86_400_000)
    assert agent.p_kw == 1.4
    assert dict(agent.said().refused) == {"lease_too_long": 1}


async def keeps_time_when_the_wall_clock_jumps(agent: Agent) -> None:
    await agent.told(p_setpoint_kw=6.0, seq=1)
    for seq, jump_ms in enumerate((7_200_000, -7_200_000), start=2):
        agent.clock.shift_ms = jump_ms
        await asyncio.sleep(60)
        assert agent.model.read().p_actual_kw == 6.0
        # The next one is stamped by a controller whose clock did not jump, and is judged as before.
        true_ms = agent.clock.now_ms() - jump_ms
        await agent.told(p_setpoint_kw=6.0, seq=seq, issued_at_ms=true_ms, valid_until_ms=true_ms + 90_000)
    await asyncio.sleep(85)
    assert agent.model.read().p_actual_kw == 6.0
    await asyncio.sleep(15)
    assert agent.model.read().p_actual_kw == 1.4
    assert agent.runner.endpoint.counts == {Verdict.ACCEPTED: 3}


async def clamps_within_a_percent_and_skips_what_it_cannot_do(agent: Agent) -> None:
    await agent.told(p_setpoint_kw=7.25, seq=1)
    assert agent.p_kw == 7.2
    await agent.told(p_setpoint_kw=1.0, seq=2)
    assert agent.p_kw == 0.0


async def lives_on_when_its_setpoint_is_cleared(agent: Agent) -> None:
    await agent.told(p_setpoint_kw=6.0)
    agent.link.put(TOPICS.setpoint(agent.kind, "ev-001", agent.dialect), b"")
    await asyncio.sleep(2)
    assert agent.p_kw == 6.0
    assert agent.said().refused == ()


SCENES: list[Scene] = [
    starts_in_default_control,
    obeys,
    expires_by_itself_and_ramps,
    refuses_an_older_seq,
    refuses_a_repeated_seq,
    refuses_an_older_epoch,
    refuses_what_is_out_of_range,
    refuses_what_is_not_a_number,
    refuses_what_has_expired,
    refuses_a_lease_that_outlives_everyone,
    keeps_time_when_the_wall_clock_jumps,
    clamps_within_a_percent_and_skips_what_it_cannot_do,
    lives_on_when_its_setpoint_is_cleared,
]


def play(scene: Scene, dialect: Dialect, kind: DeviceKind = DeviceKind.EV) -> None:
    async def main() -> None:
        agent = Agent(dialect, kind)
        running = asyncio.create_task(agent.runner.run(agent.stop))
        await asyncio.sleep(2)
        await scene(agent)
        agent.stop.set()
        await running

    run_virtually(main())


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_an_agent_of_any_generation(scene: Scene, dialect: Dialect) -> None:
    play(scene, dialect)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_discharging_is_negative_in_every_dialect(dialect: Dialect) -> None:
    async def scene(agent: Agent) -> None:
        await agent.told(p_setpoint_kw=-3.0)
        assert agent.p_kw == -3.0

    play(scene, dialect, DeviceKind.BATTERY)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_what_is_wrong_is_said_in_words(dialect: Dialect) -> None:
    sampler = Sampler(Identity(device_id="ev-001", capabilities=CAN[DeviceKind.EV], dialect=dialect))
    sample = sampler.sample(
        Reading(p_actual_kw=0.0, status=DeviceStatus.FAULT),
        at_ms=NOW_MS,
        lease=None,
        fault="relay 3: stuck\nopen",
        refused=(),
    )
    topic, payload = Speech(device_id="ev-001", topics=TOPICS, dialect=dialect).telemetry(sample)
    (result,) = decode_telemetry(TOPICS, topic, payload, now_ms=NOW_MS, speaks_percent=lambda _: False)
    assert isinstance(result, Decoded)
    assert (result.telemetry.status, result.telemetry.fault) == (DeviceStatus.FAULT, "relay 3: stuck open")
