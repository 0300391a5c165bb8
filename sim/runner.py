"""Running a fleet: a simulated device is an agent whose driver is physics, and each is an MQTT client of its own."""

import asyncio
import logging
import random
import ssl
from dataclasses import dataclass
from pathlib import Path

from agent.driver import Immediate
from agent.runner import AgentRunner
from derms.contract import Refusal, SimulationProfile, Topics, decode_profile, encode_status
from derms.errors import DermsError, UsageError
from derms.model import Origin
from derms.mqtt import BrokerAddress, MqttLink, TlsFiles, Will, parse_broker_url, tls_context
from derms.ports import Clock
from derms.runtime import wait_first
from sim.replay import replay_scenario
from sim.scenario import START_HOUR, Member, demo_scenario
from sim.world import SimSummary, SimWorld

_log = logging.getLogger(__name__)

CONNECTIONS_PER_S = 60.0
"""How fast a fleet connects: the slowest broker in use accepts about a hundred a second."""
_INBOX_SIZE = 100
"""Setpoints that may wait for one device; when it is full the broker waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimOptions:
    """What `derms sim run` was asked for."""

    broker_url: str
    replay: Path | None = None
    """A CSV file to replay; None: the demo's feeder."""
    devices: int = 60
    """Of the demo's feeder, its head meter included."""
    seed: int = 1
    speed: float = 60.0
    """Simulated seconds in a second."""
    interval_s: float = 1.0
    """Between two measurements of a device [s]."""
    duration_s: float | None = None
    """How long to run [s of the wall]; None: until told to stop, or until a replay is over."""
    free: bool = False
    """Devices ignore setpoints and charge as they like."""
    tls: TlsFiles | None = None
    """Certificates; only looked at for a ``mqtts`` broker."""
    topic_prefix: str = "der"
    start_hour: float = START_HOUR
    """When the demo's simulated day starts, 0..24."""


async def run_sim(options: SimOptions, *, stop: asyncio.Event, clock: Clock) -> SimSummary:
    """Run what the command line asked for, until it is over.

    Args:
        options: What was asked for; all of it is checked before anything is sent.
        stop: Ends it early.
        clock: The wall's clocks.

    Raises:
        UsageError: The options, or the file to replay, cannot be meant.
    """
    address = parse_broker_url(options.broker_url)
    topics = Topics(options.topic_prefix)
    _check(options)
    if options.replay is None:
        scenario = demo_scenario(options.seed, options.devices, start_hour=options.start_hour)
    else:
        # A large file takes a while to check.
        scenario = await asyncio.to_thread(replay_scenario, options.replay)
    return await run_fleet(
        SimWorld(scenario, clock=clock, speed=options.speed, free=options.free),
        address=address,
        topics=topics,
        interval_s=options.interval_s,
        duration_s=options.duration_s,
        tls=options.tls,
        stop=stop,
        clock=clock,
        rng=random.Random(options.seed),
    )


async def run_fleet(
    world: SimWorld,
    *,
    address: BrokerAddress,
    topics: Topics,
    stop: asyncio.Event,
    clock: Clock,
    rng: random.Random,
    interval_s: float = 1.0,
    duration_s: float | None = None,
    tls: TlsFiles | None = None,
) -> SimSummary:
    """Run every device of a simulated feeder against a broker.

    Args:
        world: The feeder.
        address: The broker.
        topics: Under which prefix.
        stop: Ends it.
        clock: The wall's clocks.
        rng: Spreads what would otherwise happen at once.
        interval_s: Between two measurements of a device [s].
        duration_s: How long to run [s of the wall]; None: until stopped, or the scenario is over.
        tls: Certificates; only looked at when the address asks for TLS.

    Raises:
        DermsError: A part of it cannot go on; the rest is ended first.
    """
    scenario = world.scenario
    context = tls_context(tls or TlsFiles()) if address.tls else None
    reached = asyncio.Event()
    fleet = _Fleet(
        world=world,
        address=address,
        tls=context,
        conductor=MqttLink(
            address,
            client_id=f"{topics.prefix}-simulation",
            subscriptions=[(topics.simulation_profile, 1)],
            rng=random.Random(rng.getrandbits(64)),
            tls=context,
            inbox_size=_INBOX_SIZE,
            on_connect=reached.set,
        ),
        reached=reached,
        topics=topics,
        clock=clock,
        interval_s=interval_s,
        done=asyncio.Event(),
    )
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.live(), name="sim-world")
            group.create_task(fleet.conduct(), name="sim-conductor")
            for number, member in enumerate(scenario.members):
                seat = fleet.seat(member, rng=random.Random(rng.getrandbits(64)), delay_s=number / CONNECTIONS_PER_S)
                group.create_task(seat, name=f"sim-{member.device.device_id}")
            await wait_first(stop, fleet.done, timeout_s=duration_s)
            fleet.done.set()
    except ExceptionGroup as group_error:
        known = _first_known(group_error)
        if known is None:
            raise
        raise known from group_error
    finally:
        if scenario.release is not None:
            scenario.release()
    return world.summary()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """What all clients of a simulation share."""

    world: SimWorld
    address: BrokerAddress
    tls: ssl.SSLContext | None
    conductor: MqttLink
    """The one client that speaks of the broker in the log, and hears which hour to play."""
    reached: asyncio.Event
    """Set once the conductor has been connected."""
    topics: Topics
    clock: Clock
    interval_s: float
    done: asyncio.Event
    """Set when it is over: every task then ends by itself, politely."""

    async def live(self) -> None:
        """Advance the world once there is someone to show it to; when it has nothing more to show, all is over."""
        await wait_first(self.done, self.reached)
        await self.world.run(self.done)
        self.done.set()

    async def seat(self, member: Member, *, rng: random.Random, delay_s: float) -> None:
        """One device: connect when it is its turn, then be an agent."""
        await wait_first(self.done, self.reached)
        if await wait_first(self.done, timeout_s=delay_s):
            return
        device = member.device
        link = MqttLink(
            self.address,
            client_id=f"{self.topics.prefix}-{device.device_id}",
            subscriptions=self.topics.agent_subscriptions(device.kind, device.device_id, device.dialect),
            rng=rng,
            will=Will(topic=self.topics.status(device.device_id), payload=encode_status(False)),
            tls=self.tls,
            # A broker without MQTT 5 need not be asked again by everyone: it may answer with a long silence.
            protocol=4 if self.conductor.protocol_level == 4 else "auto",
            inbox_size=_INBOX_SIZE,
            on_connect=lambda: runner.connected(),
            log_changes=False,
        )
        runner = AgentRunner(
            device_id=device.device_id,
            driver=Immediate(self.world.driver(member), clock=self.clock),
            link=link,
            topics=self.topics,
            clock=self.clock,
            rng=rng,
            interval_s=self.interval_s,
            dialect=device.dialect,
            site_id=device.site_id,
            feeder_id=device.feeder_id,
            source="pi-agent" if device.origin is Origin.PHYSICAL else "simulator",
        )
        async with link:
            await runner.run(self.done)

    async def conduct(self) -> None:
        """Follow the simulated hour that the controller asks for."""
        async with self.conductor, asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen(), name="sim-profile")
            await self.done.wait()
            listening.cancel()

    async def _listen(self) -> None:
        while True:
            for message in await self.conductor.receive():
                # A retained profile that is taken back leaves the clock to itself.
                payload = message.payload or SimulationProfile.AUTO.encode()
                profile = decode_profile(self.topics, message.topic, payload)
                if isinstance(profile, Refusal):
                    _log.warning("Passed over a profile: %s.", profile.detail, extra={"topic": message.topic})
                else:
                    self.world.show(profile)
                    _log.info("The simulation now plays `%s`.", profile, extra={"profile": profile.value})


def check_speed(speed: float) -> None:
    """See that a simulation can run at this many simulated seconds in a second.

    Raises:
        UsageError: It cannot.
    """
    _check_range("speed", speed, 0.01, 100_000.0, "times the speed of life")


def _check(options: SimOptions) -> None:
    check_speed(options.speed)
    limits = (
        ("interval", options.interval_s, 0.05, 3_600.0, "s"),
        ("duration", options.duration_s, 0.1, 1e9, "s"),
    )
    for name, value, low, high, unit in limits:
        if value is not None:
            _check_range(name, value, low, high, unit)


def _check_range(name: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} {value:g} {unit}", why=f"it lies between {low:g} and {high:g}")


def _first_known(group: ExceptionGroup[Exception]) -> DermsError | None:
    for error in group.exceptions:
        found = _first_known(error) if isinstance(error, ExceptionGroup) else error
        if isinstance(found, DermsError):
            return found
    return None
