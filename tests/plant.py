"""A controller on a virtual clock: the real ingest, fleet, loop, outbox and recorder; a bus in memory; devices that
follow the real endpoint's rules and do at once what they are told.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from agent.driver import Capabilities
from agent.endpoint import Endpoint
from derms.columns import Params
from derms.contract import Refusal, Topics, decode_setpoint, encode_telemetry
from derms.control.dispatch import Outbox
from derms.control.loop import ControlLoop
from derms.enrolment import FirstSight
from derms.errors import BrokerError
from derms.fleet import Fleet
from derms.ingest import Ingest
from derms.leadership import Alone
from derms.metrics import Metrics
from derms.model import Device, DeviceKind, Dialect, Enrolment, Feeder, Telemetry
from derms.ports import Message
from derms.recorder import Limits, Recorder
from derms.runtime import running
from derms.spool import Spool
from tests.fakes_contract import LoopClock
from tests.fakes_store import FakeStore

PARAMS = Params(interval_s=2.0, lease_s=20.0, stale_after_s=6.0, lost_after_s=30.0)


class Bus:
    """A broker in memory: the controller's feed and sink, and what went over it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.acknowledged: list[Message] = []
        self.down = False
        self._inbox: list[Message] = []
        self._arrived = asyncio.Event()

    def put(self, topic: str, payload: bytes) -> None:
        self._inbox.append(Message(topic, payload, receipt=len(self._inbox) + 1))
        self._arrived.set()

    async def receive(self) -> Sequence[Message]:
        await self._arrived.wait()
        self._arrived.clear()
        messages, self._inbox = self._inbox, []
        return messages

    def acknowledge(self, messages: Iterable[Message]) -> None:
        self.acknowledged += messages

    async def publish_many(
        self,
        messages: Iterable[tuple[str, bytes]],
        *,
        retain: bool = False,
        expires_s: int | None = None,
        still: Callable[[], bool] | None = None,
    ) -> list[BrokerError | None]:
        if self.down:
            return [BrokerError("the bus is down") for _ in messages]
        taken = list(messages)
        self.sent += taken
        return [None] * len(taken)


class Site:
    """One device: obeys its endpoint, reports when told to."""

    def __init__(
        self, device_id: str, wants_kw: float, *, dialect: Dialect = Dialect.V1, p_min_kw: float = 0.0
    ) -> None:
        self.device_id = device_id
        self.kind = DeviceKind.EV
        self.dialect = dialect
        self.wants_kw = wants_kw
        self.silent = False
        self.p_kw = 0.0
        self._seq = 0
        self._taken = 0
        self._rating_kw = wants_kw
        self.endpoint = Endpoint(
            device_id=device_id,
            capabilities=Capabilities(kind=self.kind, p_import_max_kw=wants_kw),
        )

    def step(self, bus: Bus, topics: Topics, clock: LoopClock) -> None:
        """Take in what was sent, and do it."""
        new, self._taken = bus.sent[self._taken :], len(bus.sent)
        mine = topics.setpoint(self.kind, self.device_id, self.dialect)
        for topic, payload in new:
            if topic == mine:
                lease = decode_setpoint(topics, topic, payload, kind=self.kind)
                assert not isinstance(lease, Refusal)
                self.endpoint.offer(lease, now_ms=clock.now_ms(), monotonic_s=clock.monotonic_s())
        self.p_kw = min(self.endpoint.target(clock.monotonic_s()) or 0.0, self.wants_kw)

    def report(self, bus: Bus, topics: Topics, clock: LoopClock) -> None:
        if self.silent:
            return
        self._seq += 1
        following = self.endpoint.following(clock.monotonic_s())
        telemetry = Telemetry(
            device_id=self.device_id,
            kind=self.kind,
            at_ms=clock.now_ms(),
            p_actual_kw=self.p_kw,
            p_setpoint_kw=None if following is None else following.p_kw,
            soc=0.4,
            seq=self._seq,
            p_max_kw=self._rating_kw,
            capacity_kwh=60.0,
            applied_epoch=None if following is None else following.epoch,
            applied_seq=None if following is None else following.seq,
            dialect=self.dialect,
        )
        bus.put(*encode_telemetry(topics, telemetry, self.dialect))


class Rig:
    """Everything, wired as `derms.serve` does it, and time that passes when told."""

    def __init__(
        self,
        tmp_path: Path,
        feeder: Feeder,
        *,
        epoch: int = 7,
        enrolment: Enrolment = Enrolment.ACTIVE,
        limits: Limits | None = None,
    ) -> None:
        self.clock = LoopClock()
        self.bus = Bus()
        self.topics = Topics()
        self.store = FakeStore()
        self.metrics = Metrics(version="test")
        self.fleet = Fleet()
        self.registered: list[Device] = []
        self.background_kw = 0.0
        self.metered = True
        self.sites: list[Site] = []
        self.heads: list[float] = []
        self._meter_seq = 0
        self.recorder = Recorder(
            store=self.store,
            spool=Spool(tmp_path / "spool"),
            on_safe=self.bus.acknowledge,
            clock=self.clock,
            rng=random.Random(1),
            limits=limits,
        )
        self.outbox = Outbox(
            sink=self.bus,
            topics=self.topics,
            on_sent=self.metrics.setpoints_sent_total.inc,
            on_failed=self.fleet.undelivered,
        )
        self.loop = ControlLoop(
            feeders=[feeder],
            fleet=self.fleet,
            outbox=self.outbox,
            recorder=self.recorder,
            clock=self.clock,
            metrics=self.metrics,
            params=PARAMS,
            authority=Alone(epoch),
        )
        self.ingest = Ingest(
            feed=self.bus,
            fleet=self.fleet,
            recorder=self.recorder,
            topics=self.topics,
            clock=self.clock,
            metrics=self.metrics,
            first_sight=FirstSight(default_feeder_id=feeder.feeder_id, enrolment=enrolment),
            feeder_ids=lambda: set(self.loop.feeders),
            on_registered=self.registered.append,
            on_metered=self.loop.observed_load,
            on_sample=lambda *_: None,
        )

    @property
    def head_kw(self) -> float:
        return self.background_kw + sum(site.p_kw for site in self.sites)

    async def live(self, seconds: float) -> None:
        """Let time pass: devices act four times a second and report once."""
        for quarter in range(round(seconds * 4)):
            for site in self.sites:
                site.step(self.bus, self.topics, self.clock)
                if quarter % 4 == 0:
                    site.report(self.bus, self.topics, self.clock)
            if quarter % 4 == 0 and self.metered:
                self._meter()
            self.heads.append(self.head_kw)
            await asyncio.sleep(0.25)

    def _meter(self) -> None:
        self._meter_seq += 1
        reading = Telemetry(
            device_id="head",
            kind=DeviceKind.METER,
            at_ms=self.clock.now_ms(),
            p_actual_kw=self.head_kw,
            seq=self._meter_seq,
        )
        self.bus.put(*encode_telemetry(self.topics, reading, Dialect.V1))

    def leases(self, device_id: str) -> list[dict[str, object]]:
        """Every v1 lease that went out to a device."""
        topic = self.topics.control(device_id)
        return [msgspec.json.decode(payload) for sent, payload in self.bus.sent if sent == topic]

    def outcomes(self) -> dict[str, float]:
        """What became of the messages, by outcome; only those that there were."""
        samples = next(metric for metric in self.metrics.messages_total.collect()).samples
        return {s.labels["outcome"]: s.value for s in samples if s.name.endswith("_total") and s.value}


@asynccontextmanager
async def running_rig(
    tmp_path: Path,
    feeder: Feeder,
    *,
    epoch: int = 7,
    enrolment: Enrolment = Enrolment.ACTIVE,
    limits: Limits | None = None,
) -> AsyncIterator[Rig]:
    """A rig whose tasks run."""
    rig = Rig(tmp_path, feeder, epoch=epoch, enrolment=enrolment, limits=limits)
    tasks = {"recorder": rig.recorder.run, "ingest": rig.ingest.run, "outbox": rig.outbox.run, "loop": rig.loop.run}
    async with rig.recorder, running(tasks):
        yield rig
