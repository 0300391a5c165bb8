"""What a device says, on its way to the broker: at once while there is one, from disk later. Owns two tasks.

::

    put ──► queue ──► send ──► link                     live: the newest first
                       │ not connected, or not acknowledged
                       ▼
                     buffer (disk) ──► replay ──► link   oldest first, one at a time, slowly

A sample is done when the broker has acknowledged it (QoS 1), and not before. After a reconnect what is newest is said
first, so that nobody takes an old sample for the present; what was kept follows after a random pause, at a steady pace.
Without a buffer a sample that cannot be sent is dropped and counted, and the queue holds the newest one only.
"""

import asyncio
import functools
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agent.buffer import SampleBuffer
from derms.errors import BrokerError, StoreError
from derms.model import Telemetry
from derms.ports import Clock

T = TypeVar("T")
_log = logging.getLogger(__name__)

QUEUE = 600
"""Samples that may wait for the disk or for a broker that is slow to acknowledge; then the oldest is dropped."""
SYNC_S = 5.0
"""What is kept is on the disk no later than this [s]; at every sample it would wear out a memory card."""
START_GRACE_S = 1.0
"""At the start the broker is waited for this long before samples go to disk [s]."""
RETRY_S = 5.0
"""After a failed replay while connected [s]."""
GOODBYE_S = 2.0
"""What the end may take to send what is in hand, and again to say goodbye [s]."""


class Link(Protocol):
    """What the reporter needs of a connection; `derms.mqtt.MqttLink` is one."""

    connections: int
    """How often it has been connected."""

    @property
    def connected(self) -> bool:
        """Whether it is now."""
        ...

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, expires_s: int | None = None
    ) -> None:
        """Hand a message to the broker and wait until it has acknowledged it."""
        ...


class Speech(Protocol):
    """How a device's words look on the wire."""

    def telemetry(self, sample: Telemetry) -> tuple[str, bytes]:
        """Topic and message of a sample."""
        ...

    def greeting(self) -> Sequence[tuple[str, bytes]]:
        """What is said, retained, at every connection."""
        ...

    def state(self, sample: Telemetry) -> Sequence[tuple[str, bytes]]:
        """What is said, retained, beside a live sample."""
        ...

    def goodbye(self) -> tuple[str, bytes]:
        """What is said, retained, at the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How slowly what was kept is sent."""

    per_s: float = 10.0
    """Samples a second."""
    within_s: float = 10.0
    """Between a connection and the first of them lies a random time up to this [s], so that a street does not speak
    at once."""


async def in_thread(work: Callable[[], T]) -> T:
    """Run what blocks beside the event loop."""
    return await asyncio.to_thread(work)


class Reporter:
    """Sends one device's samples.

    Args:
        device_id: For the log.
        link: Its connection.
        speech: Its words.
        clock: Monotonic time.
        rng: Spreads what would otherwise happen at once.
        buffer: Where samples wait; None: nowhere.
        pace: How what waited is sent.
        aside: Runs what blocks on the disk.
    """

    def __init__(
        self,
        *,
        device_id: str,
        link: Link,
        speech: Speech,
        clock: Clock,
        rng: random.Random,
        buffer: SampleBuffer | None = None,
        pace: Pace | None = None,
        aside: Callable[[Callable[[], object]], Awaitable[object]] = in_thread,
    ) -> None:
        self._device_id = device_id
        self._link = link
        self._speech = speech
        self._clock = clock
        self._rng = rng
        self._buffer = buffer
        self._pace = pace or Pace()
        self._aside = aside
        self._disk = asyncio.Lock()
        self._queue: deque[Telemetry] = deque()
        self._in_hand: list[Telemetry] = []
        self._room = 1 if buffer is None else QUEUE
        self._to_send = asyncio.Event()
        self._to_replay = asyncio.Event()
        self._met = asyncio.Event()
        self._greeted = 0
        self._synced_s = clock.monotonic_s()
        self._failing = False
        self._disk_failing = False
        self.published = 0
        """Samples that the broker acknowledged when they were new."""
        self.kept = 0
        """Samples that went to disk."""
        self.replayed = 0
        """Samples from disk that the broker acknowledged."""
        self.dropped = 0
        """Samples that are lost: no buffer, or no room."""

    def put(self, sample: Telemetry) -> None:
        """Say this; never waits."""
        while len(self._queue) >= self._room:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(sample)
        self._to_send.set()

    def connected(self) -> None:
        """To be called after every (re)connection."""
        self._met.set()
        self._to_send.set()
        self._to_replay.set()

    async def send(self) -> None:
        """Send what is put, until cancelled."""
        if self._buffer is not None and not self._link.connected:
            await self._wait_first()
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            await self._greet()
            while self._queue:
                self._in_hand = list(self._queue)
                self._queue.clear()
                left = await self._publish(self._in_hand)
                self._in_hand = left
                if left and not await self._keep(left):
                    break
                self._in_hand = []

    async def replay(self) -> None:
        """Send what waits on disk, until cancelled."""
        if self._buffer is None:
            return
        while True:
            await self._to_replay.wait()
            self._to_replay.clear()
            if not self._link.connected:
                continue
            await asyncio.sleep(self._rng.uniform(0, self._pace.within_s))
            if not await self._replay_all():
                await asyncio.sleep(RETRY_S)
                self._to_replay.set()

    async def finish(self) -> None:
        """Send what is in hand if the broker listens, keep what it does not take, and say goodbye."""
        left = [*self._in_hand, *self._queue]
        self._queue.clear()
        self._in_hand = []
        try:
            async with asyncio.timeout(GOODBYE_S):
                left = await self._publish(left)
        except TimeoutError:
            _log.info("the broker did not take the last samples in time", extra={"device_id": self._device_id})
        if left:
            await self._keep(left)
        if self._buffer is not None:
            await self._on_disk(self._buffer.sync)
        if self._link.connected:
            topic, payload = self._speech.goodbye()
            try:
                async with asyncio.timeout(GOODBYE_S):
                    await self._link.publish(topic, payload, qos=1, retain=True)
            except (BrokerError, TimeoutError):
                _log.info("the broker did not take the goodbye", extra={"device_id": self._device_id})

    # ------------------------------------------------------------------ live

    async def _wait_first(self) -> None:
        try:
            async with asyncio.timeout(START_GRACE_S):
                await self._met.wait()
        except TimeoutError:
            return

    async def _greet(self) -> None:
        """Undo the last will, once for each connection."""
        connection = self._link.connections
        if not self._link.connected or connection == self._greeted:
            return
        try:
            for topic, payload in self._speech.greeting():
                await self._link.publish(topic, payload, qos=1, retain=True)
            self._greeted = connection
        except BrokerError as error:
            self._note_failure(error)

    async def _publish(self, samples: Sequence[Telemetry]) -> list[Telemetry]:
        """Send them in order; returns those that the broker did not acknowledge."""
        if not samples:
            return []
        if not self._link.connected:
            return list(samples)
        # Together: their order stands when they are handed over, and one round trip answers for all.
        answers = await asyncio.gather(*(self._publish_one(sample) for sample in samples))
        failures = [error for error in answers if error is not None]
        if failures:
            self._note_failure(failures[0])
        else:
            self._note_success()
            await self._show(samples[-1])
        return [sample for sample, error in zip(samples, answers, strict=True) if error is not None]

    async def _publish_one(self, sample: Telemetry) -> BrokerError | None:
        topic, payload = self._speech.telemetry(sample)
        try:
            await self._link.publish(topic, payload, qos=1)
        except BrokerError as error:
            return error
        self.published += 1
        return None

    async def _show(self, sample: Telemetry) -> None:
        for topic, payload in self._speech.state(sample):
            try:
                await self._link.publish(topic, payload, qos=0, retain=True)
            except BrokerError:
                return  # the next sample shows more

    # ------------------------------------------------------------------ disk

    async def _keep(self, samples: list[Telemetry]) -> bool:
        """Put samples on disk; False when the disk does not take them: then they wait in the queue again."""
        if self._buffer is None:
            self.dropped += len(samples)
            return True
        now_s = self._clock.monotonic_s()
        sync = now_s - self._synced_s >= SYNC_S
        if not await self._on_disk(functools.partial(self._buffer.append, samples, sync=sync)):
            room = self._room - len(self._queue)
            self.dropped += max(0, len(samples) - room)
            self._queue.extendleft(reversed(samples[-room:] if room > 0 else []))
            return False
        if sync:
            self._synced_s = now_s
        self.kept += len(samples)
        if self._link.connected:
            self._to_replay.set()
        return True

    async def _replay_all(self) -> bool:
        """Send all that waits; False: something failed although we are connected."""
        buffer = self._buffer
        assert buffer is not None
        begun = self.replayed
        while self._link.connected:
            found: list[Telemetry | None] = []
            if not await self._on_disk(lambda: found.append(buffer.peek())):  # noqa: B023 - done before the next turn
                return False
            (sample,) = found
            if sample is None:
                if self.replayed > begun:
                    extra = {"device_id": self._device_id, "samples": self.replayed - begun, "thinned": buffer.thinned}
                    _log.info("all that was kept on disk has been sent", extra=extra)
                return True
            topic, payload = self._speech.telemetry(sample)
            try:
                await self._link.publish(topic, payload, qos=1)
            except BrokerError as error:
                self._note_failure(error)
                return not self._link.connected
            self.replayed += 1
            if not await self._on_disk(functools.partial(buffer.acknowledge, sample.seq or 0)):
                return False
            await asyncio.sleep(self._rng.uniform(0.5, 1.5) / self._pace.per_s)
        return True

    async def _on_disk(self, work: Callable[[], object]) -> bool:
        """Let the disk work; one thing at a time, and whole even when we are cancelled meanwhile."""
        async with self._disk:
            doing = asyncio.ensure_future(self._aside(work))
            try:
                await asyncio.shield(doing)
            except asyncio.CancelledError:
                await asyncio.wait([doing])
                raise
            except StoreError as error:
                if not self._disk_failing:
                    self._disk_failing = True
                    extra = {"device_id": self._device_id, "error": str(error)}
                    _log.error("samples cannot be kept on disk; they wait in memory", extra=extra)
                return False
        if self._disk_failing:
            self._disk_failing = False
            _log.info("the disk takes samples again", extra={"device_id": self._device_id, "dropped": self.dropped})
        return True

    def _note_failure(self, error: BrokerError) -> None:
        if not self._failing:
            self._failing = True
            where = "kept on disk" if self._buffer is not None else "dropped"
            _log.warning(
                "the broker does not take telemetry; samples are %s until it does", where,
                extra={"device_id": self._device_id, "error": str(error)},
            )  # fmt: skip

    def _note_success(self) -> None:
        if self._failing:
            self._failing = False
            extra = {"device_id": self._device_id, "dropped": self.dropped, "kept": self.kept}
            _log.info("the broker takes telemetry again", extra=extra)
