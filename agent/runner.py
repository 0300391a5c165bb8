"""A device on the wire: measures, reports, receives setpoints, obeys the endpoint's rules. Owns its tasks.

::

    link ──► receive ──► Orders ──► Endpoint.offer ──┐ wake
                                                     ▼
             control: target -> driver.apply, driver.read -> Sampler ──► Reporter ──► link, or disk

Control waits for the device alone, and never longer than its guard lets it (`agent.guard`); it never waits for the
network or for the disk: the reporter does.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from agent.buffer import SampleBuffer
from agent.driver import Driver, Reading
from agent.endpoint import Endpoint, Lease, Verdict
from agent.guard import GuardedDriver
from agent.home_assistant import HomeAssistant
from agent.orders import Orders
from agent.reporter import Link as ReporterLink
from agent.reporter import Pace, Reporter, in_thread
from agent.sampler import Identity, Sampler
from agent.speech import Speech
from derms.contract import Topics
from derms.model import DeviceStatus, Dialect, Outcome
from derms.ports import Clock, Message

CONTROL_STEP_S = 2.0
"""The driver is told the target at least this often, also between reports [s]."""
MIN_GAP_S = 0.2
"""Reports that a change brings forward come no closer than this [s]."""
JITTER = 0.05
"""Each interval is stretched or cut by at most this share, so that a fleet does not speak in chorus."""


class Link(ReporterLink, Protocol):
    """What the runner needs of a connection; `derms.mqtt.MqttLink` is one."""

    async def receive(self) -> Sequence[Message]:
        """Wait for at least one message and return all that are there."""
        ...


class AgentRunner:
    """Runs one device until told to stop. It starts on default control, whatever was in force before.

    Args:
        device_id: Its name, on the wire too.
        driver: The device itself.
        link: Its connection, with `Topics.agent_subscriptions` subscribed and its status topic as last will.
        topics: Under which prefix.
        clock: Wall and monotonic time.
        rng: For the jitter.
        interval_s: Between two reports [s].
        deadband_kw: A power that moves by more is reported at once [kW]; None: at the next interval.
        dialect: Which shape it speaks.
        site_id: Where it says it is.
        feeder_id: On which feeder it says it is.
        source: Who says so, in the envelope shape.
        endpoint: The rules, if not the usual ones for the driver's capabilities.
        first_seq: Of its first sample; above all that the buffer holds.
        buffer: Where samples wait while the broker is away; None: they are dropped.
        pace: How what waited is sent.
        aside: Runs what blocks on the disk.
        home_assistant: What is said to Home Assistant; None: nothing.
        on_step: Called after every turn of control: the sign of life for a watchdog.
    """

    def __init__(
        self,
        *,
        device_id: str,
        driver: Driver,
        link: Link,
        topics: Topics,
        clock: Clock,
        rng: random.Random,
        interval_s: float = 1.0,
        deadband_kw: float | None = None,
        dialect: Dialect = Dialect.V1,
        site_id: str | None = None,
        feeder_id: str | None = None,
        source: str = "pi-agent",
        endpoint: Endpoint | None = None,
        first_seq: int = 1,
        buffer: SampleBuffer | None = None,
        pace: Pace | None = None,
        aside: Callable[[Callable[[], object]], Awaitable[object]] = in_thread,
        home_assistant: HomeAssistant | None = None,
        on_step: Callable[[], None] | None = None,
    ) -> None:
        self._device_id = device_id
        self._driver = GuardedDriver(driver, device_id=device_id)
        capabilities = driver.capabilities()
        self._link = link
        self._clock = clock
        self._rng = rng
        self._interval_s = interval_s
        self._on_step = on_step
        self.endpoint = endpoint or Endpoint(device_id=device_id, capabilities=capabilities)
        self._orders = Orders(
            device_id=device_id, kind=capabilities.kind, endpoint=self.endpoint, topics=topics, clock=clock
        )
        identity = Identity(
            device_id=device_id,
            capabilities=capabilities,
            dialect=dialect,
            site_id=site_id,
            feeder_id=feeder_id,
            source=source,
        )
        self._sampler = Sampler(identity, first_seq=first_seq, deadband_kw=deadband_kw)
        self.reporter = Reporter(
            device_id=device_id,
            link=link,
            speech=Speech(device_id=device_id, topics=topics, dialect=dialect, home_assistant=home_assistant),
            clock=clock,
            rng=rng,
            buffer=buffer,
            pace=pace,
            aside=aside,
        )
        self._followed: Lease | None = None
        self._fresh = False
        self._wake = asyncio.Event()

    @property
    def published(self) -> int:
        """Samples that the broker acknowledged when they were new."""
        return self.reporter.published

    @property
    def dropped(self) -> int:
        """Samples that are lost: it did not, or a newer one overtook them, and there is no buffer or no room in it."""
        return self.reporter.dropped

    @property
    def refused(self) -> Counter[Outcome]:
        """Setpoint messages that could not be understood, by outcome."""
        return self._orders.refused

    def connected(self) -> None:
        """Say at once who is there, and how it stands. To be called after every (re)connection."""
        self.reporter.connected()
        self._report_soon()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then say that the device goes offline, if the broker still listens."""
        works = (
            ("control", self._control),
            ("receive", self._receive),
            ("send", self.reporter.send),
            ("replay", self.reporter.replay),
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(), name=f"agent-{self._device_id}-{name}") for name, work in works]
            try:
                await stop.wait()
            finally:
                for task in tasks:
                    task.cancel()
        await self._driver.close()
        await self.reporter.finish()

    async def _receive(self) -> None:
        while True:
            for message in await self._link.receive():
                verdict = self._orders.take(message)
                if verdict is not None and verdict is not Verdict.REPEATED:
                    # What was refused is said as soon as what is followed.
                    self._report_soon()

    def _report_soon(self) -> None:
        self._fresh = True
        self._wake.set()

    async def _control(self) -> None:
        start_s = self._clock.monotonic_s()
        # The first at once: it says that the device starts on default control.
        next_report_s = start_s
        last_report_s = start_s - MIN_GAP_S
        while True:
            self._wake.clear()  # before the step: what comes while the device is asked is for the next one
            now_s = self._clock.monotonic_s()
            await self._step(now_s)
            now_s = self._clock.monotonic_s()
            early = self._fresh and now_s >= last_report_s + MIN_GAP_S
            if now_s >= next_report_s or early or self._sampler.watches:
                reading = await self._driver.read()
                if now_s >= next_report_s or early or self._differs(reading, now_s - last_report_s):
                    self._fresh = False
                    self._report(reading, now_s)
                    last_report_s = now_s
                    if now_s >= next_report_s:
                        next_report_s = now_s + self._interval_s * (1 + self._rng.uniform(-JITTER, JITTER))
            if self._on_step is not None:
                self._on_step()
            await self._pause(self._until_s(now_s, next_report_s, last_report_s) - now_s)

    def _until_s(self, now_s: float, next_report_s: float, last_report_s: float) -> float:
        """When there is something to do again [s, monotonic]."""
        until_s = min(next_report_s, now_s + CONTROL_STEP_S)
        if self._fresh:
            until_s = min(until_s, last_report_s + MIN_GAP_S)
        lease = self.endpoint.following(now_s)
        return until_s if lease is None else min(until_s, lease.deadline_s)

    async def _pause(self, seconds: float) -> None:
        """Until woken, at most `seconds`; at least one turn of the loop."""
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _step(self, now_s: float) -> None:
        """Ask the device for what is to be followed now."""
        lease = self.endpoint.following(now_s)
        obeyed = await self._driver.apply(self.endpoint.target(now_s), self.endpoint.hold_s(now_s))
        followed = lease if obeyed else None
        if followed != self._followed:
            self._fresh = True  # the controller must not wait an interval to learn of it
        self._followed = followed

    def _differs(self, reading: Reading | None, since_s: float) -> bool:
        return reading is not None and since_s >= MIN_GAP_S and self._sampler.changed(reading)

    def _report(self, reading: Reading | None, now_s: float) -> None:
        if reading is None:
            return  # it was never measured, and a power that nobody knows is not 0
        lease = self._followed  # one that the device did not take, or not yet, is not followed
        if lease is not None and now_s >= lease.deadline_s:
            lease = None
        failure = self._driver.last_error
        sample = self._sampler.sample(
            reading,
            at_ms=self._clock.now_ms(),
            lease=lease,
            fault=failure.what if failure is not None and reading.status is not DeviceStatus.OK else None,
            refused=self._orders.counts(),
        )
        self.reporter.put(sample)
