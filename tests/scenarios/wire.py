"""A broker in memory, a store that keeps little, and a controller between them that can be stopped and started."""

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from derms.columns import Params
from derms.contract import Topics
from derms.control.dispatch import Outbox
from derms.control.loop import ControlLoop
from derms.enrolment import FirstSight
from derms.errors import BrokerError, StoreError
from derms.fleet import Fleet
from derms.ingest import Ingest
from derms.leadership import Alone
from derms.metrics import Metrics
from derms.model import Device, Enrolment, Feeder, Setpoint
from derms.ports import Clock, MemoryRecord, Message, RecordBatch
from derms.recorder import Recorder
from derms.runtime import running
from derms.spool import Spool


class Wire:
    """The controller's feed and sink; whoever listens gets each message that the broker took."""

    def __init__(self, deliver: Callable[[str, bytes], None]) -> None:
        self.down = False
        self._deliver = deliver
        self._inbox: list[Message] = []
        self._arrived = asyncio.Event()
        self._count = 0

    def put(self, topic: str, payload: bytes) -> None:
        """A device's message; lost while the broker is away."""
        if not self.down:
            self._count += 1
            self._inbox.append(Message(topic, payload, receipt=self._count))
            self._arrived.set()

    async def receive(self) -> Sequence[Message]:
        await self._arrived.wait()
        self._arrived.clear()
        messages, self._inbox = self._inbox, []
        return messages

    def acknowledge(self, messages: Iterable[Message]) -> None:
        """Nobody waits for it."""

    async def publish_many(
        self,
        messages: Iterable[tuple[str, bytes]],
        *,
        retain: bool = False,
        expires_s: int | None = None,
        still: Callable[[], bool] | None = None,
    ) -> list[BrokerError | None]:
        taken = list(messages)
        if self.down:
            return [BrokerError("the broker is away") for _ in taken]
        for topic, payload in taken:
            self._deliver(topic, payload)
        return [None] * len(taken)


class Books:
    """A store that keeps the newest lease of each device and memory of each tree, and counts the rest."""

    def __init__(self) -> None:
        self.away = False
        self.leases: dict[str, Setpoint] = {}
        self.memories: dict[str, MemoryRecord] = {}
        self.samples = 0
        self.decisions = 0

    async def write(self, batch: RecordBatch) -> None:
        if self.away:
            raise StoreError("the store is away")
        self.samples += len(batch.samples)
        self.decisions += len(batch.decisions)
        self.memories |= {memory.feeder_id: memory for memory in batch.memories}
        self.leases |= {lease.device_id: lease for lease in batch.setpoints}


class Controller:
    """Everything that `derms serve` runs between wire and store; `start` after `stop` is a restart."""

    def __init__(
        self, *, feeders: Sequence[Feeder], wire: Wire, books: Books, clock: Clock, params: Params, spool: Path
    ) -> None:
        self._feeders, self._wire, self._books = list(feeders), wire, books
        self._clock, self._params, self._spool = clock, params, spool
        self._exits: AsyncExitStack | None = None
        self._epoch = 0
        self._asked: list[Callable[[ControlLoop], None]] = []
        """What a store would read back at a restart: events, programs, overrides."""
        self.fleet = Fleet()
        self.loop: ControlLoop | None = None
        self.recorder: Recorder | None = None

    async def start(self, devices: Iterable[tuple[Device, bool]]) -> None:
        """Begin with these registrations, and whether each has spoken before; leases alive are resumed."""
        self._epoch += 1
        clock, topics, metrics = self._clock, Topics(), Metrics(version="test")
        self.fleet = fleet = Fleet()
        for device, spoke in devices:
            fleet.register(device, spoke=spoke)
        fleet.resume(self._books.leases.values(), now_s=clock.monotonic_s(), now_ms=clock.now_ms())
        recorder = Recorder(
            store=self._books,
            spool=Spool(self._spool / str(self._epoch)),
            on_safe=self._wire.acknowledge,
            clock=clock,
            rng=random.Random(self._epoch),
        )
        outbox = Outbox(
            sink=self._wire,
            topics=topics,
            on_sent=metrics.setpoints_sent_total.inc,
            on_failed=fleet.undelivered,
        )
        loop = ControlLoop(
            feeders=self._feeders,
            fleet=fleet,
            outbox=outbox,
            recorder=recorder,
            clock=clock,
            metrics=metrics,
            params=self._params,
            authority=Alone(self._epoch),
        )
        ingest = Ingest(
            feed=self._wire,
            fleet=fleet,
            recorder=recorder,
            topics=topics,
            clock=clock,
            metrics=metrics,
            first_sight=FirstSight(default_feeder_id=self._feeders[0].feeder_id, enrolment=Enrolment.ACTIVE),
            feeder_ids=lambda: set(loop.feeders),
            on_registered=lambda _: None,
            on_metered=loop.observed_load,
            on_sample=lambda *_: None,
        )
        loop.recall(self._books.memories.values())
        for deed in self._asked:
            deed(loop)
        tasks = {"recorder": recorder.run, "ingest": ingest.run, "outbox": outbox.run, "loop": loop.run}
        self._exits = AsyncExitStack()
        await self._exits.enter_async_context(recorder)
        await self._exits.enter_async_context(running(tasks))
        self.loop, self.recorder = loop, recorder

    def register(self, device: Device) -> None:
        """An operator registers a device, or changes its registration."""
        if self._exits is not None:
            self.fleet.register(device)

    def ask(self, deed: Callable[[ControlLoop], None]) -> None:
        """Ask the running loop for something; one that is down is asked again when it is back."""
        if self.loop is not None:
            deed(self.loop)
        self._asked.append(deed)

    async def stop(self) -> None:
        """End; what was sent lives on at the devices."""
        if self._exits is not None:
            exits, self._exits = self._exits, None
            await exits.aclose()
        self.loop = None
