"""A device on the wire: measures, reports, receives setpoints, obeys the endpoint's rules. Owns its three tasks.

::

    link ──► receive ──► Endpoint.offer ──┐ wake
                                          ▼
             control: target -> driver.apply, driver.read -> outbox (one slot)
                                                                  └──► send ──► link

Control waits for the device alone, and never longer than its guard lets it (`agent.guard`); it never waits for the
network: `send` does. The outbox holds the newest sample only; one that is still there when the next comes is dropped
and counted, and so is one that the broker does not take.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from agent.driver import Driver
from agent.endpoint import Endpoint, Verdict
from agent.guard import GuardedDriver
from derms.contract import Refusal, Topics, decode_setpoint, encode_status, encode_telemetry
from derms.errors import BrokerError
from derms.model import Dialect, Outcome, Telemetry
from derms.ports import Clock, Message

_log = logging.getLogger(__name__)

CONTROL_STEP_S = 2.0
"""The driver is told the target at least this often, also between reports [s]."""
MIN_GAP_S = 0.2
"""Reports that a changed setpoint brings forward come no closer than this [s]."""
JITTER = 0.05
"""Each interval is stretched or cut by at most this share, so that a fleet does not speak in chorus."""
LOG_EVERY_S = 60.0
"""A refused setpoint is logged at most once in this time for each reason [s]."""
_GOODBYE_S = 2.0


class Link(Protocol):
    """What the runner needs of a connection; `derms.mqtt.MqttLink` is one."""

    connections: int
    """How often it has been connected."""

    @property
    def connected(self) -> bool:
        """Whether it is now."""
        ...

    async def receive(self) -> Sequence[Message]:
        """Wait for at least one message and return all that are there."""
        ...

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, expires_s: int | None = None
    ) -> None:
        """Hand a message to the broker and wait until it has acknowledged it."""
        ...


class AgentRunner:
    """Runs one device until told to stop.

    Args:
        device_id: Its name, on the wire too.
        driver: The device itself.
        link: Its connection, with `Topics.agent_subscriptions` subscribed and its status topic as last will.
        topics: Under which prefix.
        clock: Wall and monotonic time.
        rng: For the jitter.
        interval_s: Between two reports [s].
        dialect: Which shape it speaks.
        site_id: Where it says it is.
        feeder_id: On which feeder it says it is.
        source: Who says so, in the envelope shape.
        endpoint: The rules, if not the usual ones for the driver's capabilities.
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
        dialect: Dialect = Dialect.V1,
        site_id: str | None = None,
        feeder_id: str | None = None,
        source: str = "pi-agent",
        endpoint: Endpoint | None = None,
    ) -> None:
        self._device_id = device_id
        self._driver = GuardedDriver(driver, device_id=device_id)
        self._capabilities = driver.capabilities()
        self._link = link
        self._topics = topics
        self._clock = clock
        self._rng = rng
        self._interval_s = interval_s
        self._dialect = dialect
        self._site_id = site_id
        self._feeder_id = feeder_id
        self._source = source
        self.endpoint = endpoint or Endpoint(device_id=device_id, capabilities=self._capabilities)
        self.published = 0
        """Samples that the broker took."""
        self.dropped = 0
        """Samples that it did not, or that a newer one overtook."""
        self.refused: Counter[Outcome] = Counter()
        """Setpoint messages that could not be understood, by outcome."""
        self._seq = 0
        self._announced = 0
        self._obeyed: bool | None = None
        self._fresh = False
        self._under_lease = False
        self._failing = False
        self._logged_at_s: dict[str, float] = {}
        self._outbox: Telemetry | None = None
        self._wake = asyncio.Event()
        self._to_send = asyncio.Event()

    def connected(self) -> None:
        """Say at once who is there, and how it stands. To be called after every (re)connection."""
        self._fresh = True
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; then say that the device goes offline, if the broker still listens."""
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(work(), name=f"agent-{self._device_id}-{name}")
                for name, work in (("receive", self._receive), ("control", self._control), ("send", self._send))
            ]
            try:
                await stop.wait()
            finally:
                for task in tasks:
                    task.cancel()
        await self._driver.close()
        await self._say_goodbye()

    async def _receive(self) -> None:
        while True:
            for message in await self._link.receive():
                self._take(message)

    def _take(self, message: Message) -> None:
        if not message.payload:
            return  # a retained setpoint was cleared: the lease lives on until its own end
        decoded = decode_setpoint(self._topics, message.topic, message.payload, kind=self._capabilities.kind)
        now_s = self._clock.monotonic_s()
        if isinstance(decoded, Refusal):
            self.refused[decoded.outcome] += 1
            self._log_refused(decoded.outcome.value, decoded.detail, now_s)
            return
        verdict = self.endpoint.offer(decoded, now_ms=self._clock.now_ms(), monotonic_s=now_s)
        if verdict is Verdict.ACCEPTED:
            self._fresh = True
            self._wake.set()
        elif verdict is not Verdict.REPEATED:
            self._log_refused(verdict.value, f"{decoded.p_setpoint_kw} kW", now_s)

    async def _control(self) -> None:
        start_s = self._clock.monotonic_s()
        next_report_s = start_s + self._rng.uniform(0, min(self._interval_s, 1.0))
        last_report_s = start_s - MIN_GAP_S
        while True:
            now_s = self._clock.monotonic_s()
            await self._step(now_s)
            now_s = self._clock.monotonic_s()
            early = self._fresh and now_s >= last_report_s + MIN_GAP_S
            if now_s >= next_report_s or early:
                self._fresh = False
                await self._report(now_s)
                last_report_s = now_s
                if now_s >= next_report_s:
                    next_report_s = now_s + self._interval_s * (1 + self._rng.uniform(-JITTER, JITTER))
            until_s = min(next_report_s, now_s + CONTROL_STEP_S)
            if self._fresh:
                until_s = min(until_s, last_report_s + MIN_GAP_S)
            lease = self.endpoint.following(now_s)
            if lease is not None:
                until_s = min(until_s, lease.deadline_s)
            await self._pause(until_s - now_s)

    async def _pause(self, seconds: float) -> None:
        """Until woken, at most `seconds`; at least one turn of the loop."""
        self._wake.clear()
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _step(self, now_s: float) -> None:
        under_lease = self.endpoint.following(now_s) is not None
        if self._under_lease and not under_lease:
            self._fresh = True  # the controller must not wait an interval to learn of it
        self._under_lease = under_lease
        obeyed = await self._driver.apply(self.endpoint.target(now_s), self.endpoint.hold_s(now_s))
        if self._obeyed is not None and obeyed != self._obeyed:
            self._fresh = True
        self._obeyed = obeyed

    async def _report(self, now_s: float) -> None:
        reading = await self._driver.read()
        if reading is None:
            return  # it was never measured, and a power that nobody knows is not 0
        # a lease that the device did not take is not followed
        lease = self.endpoint.following(now_s) if self._obeyed else None
        self._seq += 1
        if self._outbox is not None:
            self.dropped += 1
        self._outbox = Telemetry(
            device_id=self._device_id,
            kind=self._capabilities.kind,
            at_ms=self._clock.now_ms(),
            p_actual_kw=reading.p_actual_kw,
            p_setpoint_kw=None if lease is None else lease.p_kw,
            soc=reading.soc,
            seq=self._seq,
            site_id=self._site_id,
            feeder_id=self._feeder_id,
            p_max_kw=reading.p_max_kw if reading.p_max_kw is not None else self._rating_kw(),
            capacity_kwh=reading.capacity_kwh or self._capabilities.capacity_kwh,
            ready_by_ms=reading.ready_by_ms,
            energy_needed_kwh=reading.energy_needed_kwh,
            status=reading.status,
            applied_epoch=None if lease is None else lease.epoch,
            applied_seq=None if lease is None else lease.seq,
            dialect=self._dialect,
            source=self._source,
        )
        self._to_send.set()

    def _rating_kw(self) -> float | None:
        """None for what has no rating: a meter says nothing rather than 0."""
        return max(self._capabilities.p_import_max_kw, self._capabilities.p_export_max_kw) or None

    async def _send(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            telemetry, self._outbox = self._outbox, None
            if telemetry is None:
                continue
            if not self._link.connected:
                self.dropped += 1
                continue
            topic, payload = encode_telemetry(self._topics, telemetry, self._dialect)
            try:
                await self._announce()
                await self._link.publish(topic, payload, qos=1)
            except BrokerError as error:
                self.dropped += 1
                self._note_failure(error)
            else:
                self.published += 1
                self._note_success()

    async def _announce(self) -> None:
        """Undo the last will, once for each connection."""
        connection = self._link.connections
        if connection != self._announced:
            await self._link.publish(self._topics.status(self._device_id), encode_status(True), qos=1, retain=True)
            self._announced = connection

    async def _say_goodbye(self) -> None:
        if not self._link.connected:
            return
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await self._link.publish(self._topics.status(self._device_id), encode_status(False), qos=1, retain=True)
        except (BrokerError, TimeoutError):
            _log.info("the broker did not take the goodbye", extra={"device_id": self._device_id})

    def _note_failure(self, error: BrokerError) -> None:
        if not self._failing:
            self._failing = True
            _log.warning(
                "the broker does not take telemetry; samples are dropped until it does",
                extra={"device_id": self._device_id, "error": str(error)},
            )

    def _note_success(self) -> None:
        if self._failing:
            self._failing = False
            _log.info("the broker takes telemetry again", extra={"device_id": self._device_id, "dropped": self.dropped})

    def _log_refused(self, reason: str, detail: str, now_s: float) -> None:
        last_s = self._logged_at_s.get(reason)
        if last_s is None or now_s - last_s >= LOG_EVERY_S:
            self._logged_at_s[reason] = now_s
            _log.warning("refused a setpoint", extra={"device_id": self._device_id, "reason": reason, "detail": detail})
