"""Payload -> contract -> fleet -> recorder; one counted outcome a message.

One of the three places that catch everything: whatever a message holds, it cannot stop the process. A message is
acknowledged to the broker when what it holds is safe (the recorder says when), or when it is refused and nothing
of it will ever be kept.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import msgspec

from derms.contract import (
    Decoded,
    Refusal,
    TelemetrySource,
    Topics,
    decode_from,
    decode_setpoint,
    decode_status,
    decode_telemetry,
    encode_telemetry,
)
from derms.enrolment import FirstSight, register_on_sight
from derms.errors import UnavailableError
from derms.fleet import Fleet
from derms.metrics import Metrics
from derms.model import Device, DeviceKind, Dialect, Enrolment, Outcome, Setpoint, Telemetry
from derms.ports import Clock, Message, Sample, TelemetryFeed
from derms.recorder import Recorder

_SLICE = 100
_SLICE_BYTES = 64 * 1024
"""Messages, and what they hold, that are taken in before others on the event loop get their turn."""
_QUIET_S = 60.0
"""A refusal is logged at most this often per device and outcome [s]."""
_MOST_DEVICES = 200_000
"""Registrations on first sight end here: whoever may publish must not be able to fill the memory."""
_QUIET_PAIRS = 10_000
"""How many (device, outcome) pairs are remembered for that; at more the memory starts anew."""

log = logging.getLogger(__name__)


class Taken(msgspec.Struct, frozen=True, gc=False):
    """What became of one measurement."""

    outcome: Outcome
    detail: str = ""
    """Why it is refused."""
    sample: Sample | None = None
    """What is to be stored; None: it is refused."""


class Ingest:
    """Takes messages in."""

    def __init__(
        self,
        *,
        feed: TelemetryFeed,
        fleet: Fleet,
        recorder: Recorder,
        topics: Topics,
        clock: Clock,
        metrics: Metrics,
        first_sight: FirstSight,
        feeder_ids: Callable[[], set[str]],
        on_registered: Callable[[Device], None],
        on_metered: Callable[[str, float], None],
        on_sample: Callable[[int, Telemetry, int], None],
        on_lease: Callable[[int, Setpoint], None] = lambda _row, _lease: None,
        stores: bool = True,
    ) -> None:
        """Prepare; nothing is received before `run`.

        Args:
            feed: Where measurements come from.
            fleet: The live state.
            recorder: Where samples go.
            topics: The topics of the wire contract.
            clock: The controller's clocks.
            metrics: The instruments.
            first_sight: What an unknown device is given.
            feeder_ids: The feeders there are.
            on_registered: Told each registration that is new or changed.
            on_metered: Told feeder and power [kW] of each head meter reading.
            on_sample: Told row, reading and arrival [epoch ms] of each sample that is to be stored, duplicates too.
            on_lease: Told row and lease of each setpoint that is heard on the wire.
            stores: False: other processes store what is heard; here it only becomes the live state.
        """
        self._feed = feed
        self._fleet = fleet
        self._recorder = recorder
        self._topics = topics
        self._clock = clock
        self._metrics = metrics
        self._counts: dict[Outcome, int] = {}
        """Messages of each outcome since the metric was last told: it is told of many at once."""
        self._first_sight = first_sight
        self._feeder_ids = feeder_ids
        self._on_registered = on_registered
        self._on_metered = on_metered
        self._on_sample = on_sample
        self._on_lease = on_lease
        self._stores = stores
        self._glanced: dict[int, int] = {}
        """Of head meters that are heard ahead of the feed, by row: the newest that the feed itself has brought
        [epoch ms]."""
        self._quiet: dict[tuple[str, Outcome], float] = {}
        self._sources: dict[str, TelemetrySource] = {}
        """Who speaks on a telemetry topic: taking one apart costs as much as reading what came on it."""

    async def run(self) -> None:
        """Receive until cancelled."""
        while True:
            for some in _slices(await self._feed.receive()):
                await self._recorder.room()
                self._feed.acknowledge(self.take(some))
                await asyncio.sleep(0)

    async def overhear(self, feed: TelemetryFeed) -> None:
        """Receive where nothing is measured, until cancelled; what the recorder has to do holds none of it up."""
        while True:
            await self.overhear_once(feed)

    async def overhear_once(self, feed: TelemetryFeed) -> None:
        """Receive what has come, or else the next that comes."""
        for some in _slices(await feed.receive()):
            feed.acknowledge(self.take(some))
            await asyncio.sleep(0)

    def take(self, messages: Sequence[Message]) -> list[Message]:
        """Take messages in, each for itself; returns those of which nothing is kept, to be acknowledged at once."""
        done = []
        for message in messages:
            try:
                kept = self._take_one(message)
            except Exception:
                log.exception("A message on %s could not be handled and is dropped", message.topic[:200])
                self._count(Outcome.INVALID)
                kept = False
            if not kept:
                done.append(message)
        self._tell_counts()
        return done

    def glance(self, messages: Sequence[Message]) -> None:
        """Take in what head meters say ahead of the feed, which brings it again to be stored, counted and answered."""
        for message in messages:
            try:
                self._glance_at(message)
            except Exception:
                log.exception("A message on %s could not be glanced at", message.topic[:200])

    def _glance_at(self, message: Message) -> None:
        source = self._sources.get(message.topic) or self._source(message.topic)
        if source is None:
            return
        now_ms = self._clock.now_ms()
        for result in decode_from(source, message.payload, now_ms=now_ms, speaks_percent=self._speaks_percent):
            row = None if isinstance(result, Refusal) else self._fleet.row(result.telemetry.device_id)
            if row is not None and not isinstance(result, Refusal):
                self._glance(row, result)

    def _glance(self, row: int, decoded: Decoded) -> None:
        reading, device, before = decoded.telemetry, self._fleet.devices[row], self._fleet.readings[row]
        its_own = device.gateway_id == decoded.gateway_id and device.enrolment is Enrolment.ACTIVE
        if not its_own or device.kind is not DeviceKind.METER or reading.kind is not DeviceKind.METER:
            return
        if self._fleet.observe(row, reading, now_s=self._clock.monotonic_s()) is not Outcome.ACCEPTED:
            return
        newest_ms = -1 if before is None else before.at_ms
        if reading.at_ms <= newest_ms:  # its clock was set back
            self._glanced[row] = reading.at_ms - 1
        self._glanced.setdefault(row, newest_ms)
        self._tell(reading, before)
        self._learn(row, decoded, device)
        self._on_metered(device.feeder_id, reading.p_actual_kw)

    def _take_one(self, message: Message) -> bool:
        """Take one message in; whether the recorder now answers for it."""
        source = self._sources.get(message.topic) or self._source(message.topic)
        if source is not None:
            return self._take_telemetry(source, message)
        if self._topics.status_device(message.topic) is not None:
            self._take_status(message)
            return False
        if (target := self._topics.setpoint_target(message.topic)) is not None:
            self._take_lease(message, target[0])
            return False
        self._refuse(Refusal(Outcome.INVALID, None, "not a topic of the wire contract"))
        return False

    def _source(self, topic: str) -> TelemetrySource | None:
        """Take a topic apart, and remember it; None: it is none of telemetry."""
        source = self._topics.telemetry_source(topic)
        if source is not None:
            if len(self._sources) >= _MOST_DEVICES:
                self._sources.clear()
            self._sources[topic] = source
        return source

    def _take_telemetry(self, source: TelemetrySource, message: Message) -> bool:
        results = decode_from(source, message.payload, now_ms=self._clock.now_ms(), speaks_percent=self._speaks_percent)
        samples = []
        for result in results:
            if isinstance(result, Refusal):
                self._refuse(result)
            else:
                sample = self._take_reading(result).sample
                if sample is not None and self._stores:
                    samples.append(sample)
        if samples:
            self._recorder.put_samples(samples, message)
        return bool(samples)

    def offer(self, reading: Telemetry) -> Taken:
        """Take a measurement in that came by another way, by the same rules.

        Args:
            reading: What it says; its dialect is passed over, the device is answered in the one it speaks.

        Raises:
            UnavailableError: The recorder is full.
        """
        topic, payload = encode_telemetry(self._topics, reading, Dialect.V1)
        (result,) = decode_telemetry(
            self._topics, topic, payload, now_ms=self._clock.now_ms(), speaks_percent=self._speaks_percent
        )
        if isinstance(result, Refusal):
            self._refuse(result)
            self._tell_counts()
            return Taken(result.outcome, result.detail)
        row = self._fleet.row(reading.device_id)
        device = None if row is None else self._fleet.devices[row]
        # Who may offer it was judged by the other way's own rules, so nobody's place is taken here.
        dialect, gateway_id = (Dialect.V1, None) if device is None else (device.dialect, device.gateway_id)
        said = msgspec.structs.replace(result.telemetry, dialect=dialect)
        taken = self._take_reading(msgspec.structs.replace(result, telemetry=said, gateway_id=gateway_id))
        self._tell_counts()
        if taken.sample is not None and not self._recorder.put_sample(taken.sample, None):
            raise UnavailableError(
                "the measurement is not stored", why="more wait to be written than there is room for",
                next_step="send it again in a while",
            )  # fmt: skip
        return taken

    def _take_reading(self, decoded: Decoded) -> Taken:
        reading = decoded.telemetry
        row = self._fleet.row(reading.device_id)
        if row is None:
            if len(self._fleet) >= _MOST_DEVICES:
                detail = f"the registry is full with {_MOST_DEVICES} devices; retire some"
                return self._refused(Outcome.QUARANTINED, reading, detail)
            row = self._enrol(reading, decoded.gateway_id)
        device = self._fleet.devices[row]
        if device.gateway_id != decoded.gateway_id:
            return self._refused(Outcome.IDENTITY_MISMATCH, reading, _not_its_voice(device, decoded.gateway_id))
        if device.enrolment is not Enrolment.ACTIVE:
            detail = f"device {reading.device_id} is {device.enrolment.value}; an operator has to adopt it"
            return self._refused(Outcome.QUARANTINED, reading, detail)
        if device.kind is not reading.kind:
            detail = f"type {reading.kind.value} but {reading.device_id} is registered as {device.kind.value}"
            return self._refused(Outcome.IDENTITY_MISMATCH, reading, detail)
        return self._observe(row, decoded)

    def _refused(self, outcome: Outcome, reading: Telemetry, detail: str) -> Taken:
        self._refuse(Refusal(outcome, reading.device_id, detail))
        return Taken(outcome, detail)

    def _observe(self, row: int, decoded: Decoded) -> Taken:
        reading, device, before = decoded.telemetry, self._fleet.devices[row], self._fleet.readings[row]
        outcome = self._fleet.observe(row, reading, now_s=self._clock.monotonic_s())
        if outcome is Outcome.ACCEPTED and (reading.refused or reading.fault):
            self._tell(reading, before)
        self._learn(row, decoded, device)
        if device.kind is DeviceKind.METER:
            if outcome is Outcome.ACCEPTED:
                self._on_metered(device.feeder_id, reading.p_actual_kw)
            outcome = self._in_turn(row, reading, outcome)
        self._count(outcome)
        # A duplicate too is handed on: it may be the broker's second try at one that is not safe yet, and to answer for
        # it before the first is written could lose both. Writing twice leaves one row.
        received_ms = self._clock.now_ms()
        self._on_sample(row, reading, received_ms)
        return Taken(outcome, sample=Sample(reading, received_ms, device.feeder_id))

    def _learn(self, row: int, decoded: Decoded, device: Device) -> None:
        """Note what a reading says of how the device speaks; `device` is what was known before."""
        learnt = self._fleet.devices[row] is not device
        if decoded.spoke_percent and not device.soc_in_percent:
            self._fleet.register(replace(self._fleet.devices[row], soc_in_percent=True))
            learnt = True
        if learnt:
            self._on_registered(self._fleet.devices[row])

    def _in_turn(self, row: int, reading: Telemetry, outcome: Outcome) -> Outcome:
        """What became of a head meter's reading, had it not been glanced at before."""
        newest_ms = self._glanced.get(row)
        if newest_ms is None or reading.at_ms <= newest_ms:
            return outcome
        self._glanced[row] = reading.at_ms
        return Outcome.ACCEPTED

    def _tell(self, reading: Telemetry, before: Telemetry | None) -> None:
        """Log what a device says is wrong, when it begins to say so."""
        extra = {"device": reading.device_id}
        if reading.fault is not None and (before is None or before.fault != reading.fault):
            log.warning("Device %s has a fault: %s", reading.device_id, reading.fault, extra=extra)
        known = {} if before is None else dict(before.refused)
        # A setpoint that comes twice is no news: brokers may do that.
        new = {reason: n for reason, n in reading.refused if n > known.get(reason, 0) and reason != "repeated"}
        if new:
            now_s, key = self._clock.monotonic_s(), (reading.device_id, Outcome.ACCEPTED)
            if now_s - self._quiet.get(key, -_QUIET_S) >= _QUIET_S:
                self._quiet[key] = now_s
                words = ", ".join(f"{reason} ({n} since it started)" for reason, n in new.items())
                log.warning("Device %s refuses setpoints: %s", reading.device_id, words, extra=extra)

    def _enrol(self, reading: Telemetry, gateway_id: str | None) -> int:
        device = register_on_sight(reading, self._first_sight, self._feeder_ids(), gateway_id=gateway_id)
        row = self._fleet.register(device)
        self._on_registered(device)
        log.info(
            "Device %s is new: %s on %s",
            device.device_id,
            device.enrolment.value,
            device.feeder_id,
            extra={"device": device.device_id, "type": device.kind.value, "origin": device.origin.value},
        )
        return row

    def _take_status(self, message: Message) -> None:
        status = decode_status(self._topics, message.topic, message.payload)
        if isinstance(status, Refusal):
            self._refuse(status)
            return
        self._count(Outcome.ACCEPTED)
        row = self._fleet.row(status.device_id)
        if row is not None:
            self._fleet.heard(row, online=status.online)

    def _take_lease(self, message: Message, device_id: str) -> None:
        """What a controller has said, another one or we ourselves; what cannot be understood says nothing."""
        row = self._fleet.row(device_id)
        if row is None:
            return
        lease = decode_setpoint(self._topics, message.topic, message.payload, kind=self._fleet.devices[row].kind)
        if isinstance(lease, Setpoint):
            self._on_lease(row, lease)

    def _speaks_percent(self, device_id: str) -> bool:
        row = self._fleet.row(device_id)
        return row is not None and self._fleet.devices[row].soc_in_percent

    def _count(self, outcome: Outcome) -> None:
        self._counts[outcome] = self._counts.get(outcome, 0) + 1

    def _tell_counts(self) -> None:
        for outcome, count in self._counts.items():
            self._metrics.messages_total.labels(outcome=outcome.value).inc(count)
        self._counts.clear()

    def _refuse(self, refusal: Refusal) -> None:
        self._count(refusal.outcome)
        key = (refusal.device_id or "?", refusal.outcome)
        now_s = self._clock.monotonic_s()
        if now_s - self._quiet.get(key, -_QUIET_S) < _QUIET_S:
            return
        if len(self._quiet) >= _QUIET_PAIRS:
            self._quiet.clear()
        self._quiet[key] = now_s
        log.warning(
            "A message of %s is refused: %s: %s",
            key[0],
            refusal.outcome.value,
            refusal.detail,
            extra={"device": key[0], "outcome": refusal.outcome.value},
        )


def _not_its_voice(device: Device, gateway_id: str | None) -> str:
    """Why somebody may not speak for a device."""
    enrolled = "behind no gateway" if device.gateway_id is None else f"behind gateway {device.gateway_id}"
    spoke = "it spoke for itself" if gateway_id is None else f"gateway {gateway_id} spoke for it"
    return f"device {device.device_id} is enrolled {enrolled}, but {spoke}"


def _slices(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Cut what came into parts that take a few milliseconds each; a gateway's message weighs what it holds."""
    start = size = 0
    for number, message in enumerate(messages):
        size += len(message.payload)
        if size >= _SLICE_BYTES or number - start >= _SLICE:
            yield messages[start : number + 1]
            start, size = number + 1, 0
    if start < len(messages):
        yield messages[start:]
