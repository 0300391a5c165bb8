"""What happened, on its way to the store: queues -> batches -> one commit each; a spool while the store is away.

Rules:
    - Putting never waits: the control loop and the ingest call it on the event loop.
    - A message is reported safe only after the commit that holds its sample, or after the fsync of the spool.
    - Order is kept: while anything waits in the spool, what is newer queues up behind it.
    - The store holds nobody up: what it does not take soon goes to the spool, from which it is replayed beside; see
      `derms.backlog`.
    - Every queue is bounded. A full sample queue drops the newest sample of those that no broker waits for (QoS 0); the
      others are bounded by the broker's own window, and by `room`, for which their reader waits. Full queues of
      setpoints and decisions drop their oldest. All of it is counted.
    - What the spool holds was acknowledged and is never given up. When it is full, or the disk fails, while the store
      is away, the newest samples wait in memory and the ones before them are refused to the broker: a window full of
      unanswered messages would leave control without new ones.
    - What the engine remembers is worth only its newest value: of each tree the newest waits, and rides along with the
      rows of the next commit. It never goes to the spool: while the store is away it is dropped, uncounted, as the next
      tick brings a newer one.
"""

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from derms.backlog import Backlog
from derms.errors import StoreError
from derms.model import DecisionRecord, Setpoint
from derms.ports import Clock, MemoryRecord, Message, RecordBatch, RecordStore, Sample
from derms.spool import Spool

_log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The recorder's bounds."""

    samples: int = 50_000
    setpoints: int = 50_000
    decisions: int = 10_000
    batch_rows: int = 5_000
    """The most samples, setpoints and decisions, each, that one commit takes."""
    linger_s: float = 0.05
    """How long a first row waits for company, so that a commit (and its fsync) serves many."""
    patience_s: float = 1.0
    """What the store does not take within this time goes to the spool, while the write is still under way."""
    aside_s: float = 0.5
    """How long at most a batch waits for the last of the spool to be replayed before it goes there too."""
    write_s: float = 15.0
    """A write that takes longer counts as failed."""
    first_retry_s: float = 0.5
    longest_retry_s: float = 15.0
    """Pauses between attempts on a store that is away double from the first to the longest, with jitter."""
    held: int = 2_000
    """Samples that wait in memory while neither store nor disk takes any."""
    drain_s: float = 5.0
    """At the end, how long the store may take before the spool gets the rest."""


@dataclass(frozen=True, slots=True)
class _Work:
    batch: RecordBatch
    messages: list[Message]


class Recorder:
    """Takes rows without waiting and sees them stored; an async context manager, whose end drains it.

    Args:
        store: Where rows go.
        spool: Where they go meanwhile; the recorder owns it from here on, and closes it.
        on_safe: Told which messages may be acknowledged, on the event loop.
        on_refused: Told which are given up, likewise.
        clock: To measure the pauses.
        rng: For their jitter.
        limits: The bounds.
    """

    def __init__(
        self,
        *,
        store: RecordStore,
        spool: Spool,
        on_safe: Callable[[Sequence[Message]], None],
        on_refused: Callable[[Sequence[Message]], None] = lambda _messages: None,
        clock: Clock,
        rng: random.Random,
        limits: Limits | None = None,
    ) -> None:
        self._on_safe = on_safe
        self._on_refused = on_refused
        self._clock = clock
        self._limits = limits or Limits()
        self._backlog = Backlog(
            store=store,
            spool=spool,
            clock=clock,
            rng=rng,
            batch_rows=self._limits.batch_rows,
            write_s=self._limits.write_s,
            retry_s=(self._limits.first_retry_s, self._limits.longest_retry_s),
        )
        self._samples: deque[tuple[Sample, Message | None]] = deque()
        self._setpoints: deque[Setpoint] = deque()
        self._decisions: deque[DecisionRecord] = deque()
        self._memories: dict[str, MemoryRecord] = {}
        self._work: _Work | None = None
        """Taken from the queues, not safe yet; survives the cancellation of `run`."""
        self._wake = asyncio.Event()
        self._freed = asyncio.Event()
        """Rows have left the queue."""
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._samples_put = 0
        self._samples_safe = 0
        """Of those, how many are safe or given up; they go in order."""
        self._times_given_up = 0
        self._progress = asyncio.Event()
        self._overflowed = 0
        self._abandoned = 0
        self.linger_s = self._limits.linger_s
        """As `Limits.linger_s`; may be changed while it runs."""
        self.spooled = 0
        """Rows written to the spool."""

    @property
    def stored(self) -> int:
        """Rows committed to the store, replayed ones too."""
        return self._backlog.stored

    @property
    def store_away(self) -> bool:
        """The last attempt to write failed."""
        return self._backlog.store_away

    @property
    def disk_failed(self) -> bool:
        """The disk under the spool took nothing when it was last tried; rows wait in memory."""
        return self._backlog.disk_failed

    @property
    def queued(self) -> int:
        """Rows in memory that are not safe yet."""
        held = len(self._work.batch) if self._work is not None else 0
        return len(self._samples) + len(self._setpoints) + len(self._decisions) + held

    @property
    def lost(self) -> int:
        """Rows given up: a queue was full, or neither store nor disk took them."""
        return self._overflowed + self._abandoned

    @property
    def spool_bytes(self) -> int:
        """What the spool takes on disk [bytes]."""
        return self._backlog.bytes_used

    def put_sample(self, sample: Sample, message: Message | None) -> bool:
        """Take a measurement.

        Args:
            sample: The measurement.
            message: What may be acknowledged once it is safe.

        Returns:
            False: the queue is full, and nothing was taken. Only a sample for which no broker waits (QoS 0) is ever
            dropped so: those it waits for are bounded by its own window, and answering for none of them would stop it.
        """
        return self.put_samples((sample,), message)

    def put_samples(self, samples: Sequence[Sample], message: Message | None) -> bool:
        """Take the measurements of one message, all or none.

        Args:
            samples: At least one.
            message: What may be acknowledged once all of them are safe.

        Returns:
            As `put_sample`. A gateway's message holds many, so its window is no bound: wait for `room` before.
        """
        waited_for = message is not None and message.receipt != 0
        if len(self._samples) >= self._limits.samples and not waited_for:
            self._overflow(len(samples), "samples")
            return False
        # The last answers for the message: rows are written in order, so when it is safe all are.
        if len(samples) > 1:
            self._samples.extend([(sample, None) for sample in samples[:-1]])
        self._samples.append((samples[-1], message))
        self._samples_put += len(samples)
        self._wake.set()
        self._quiet.clear()
        return True

    def put_setpoints(self, setpoints: Sequence[Setpoint]) -> None:
        """Take leases that were sent."""
        self._setpoints.extend(setpoints)
        self._overflow(_trim(self._setpoints, self._limits.setpoints), "setpoints")
        self._wake.set()
        self._quiet.clear()

    def put_decision(self, record: DecisionRecord) -> None:
        """Take the record of a tick."""
        self._decisions.append(record)
        self._overflow(_trim(self._decisions, self._limits.decisions), "decisions")
        self._wake.set()
        self._quiet.clear()

    def put_memory(self, record: MemoryRecord) -> None:
        """Take what the engine remembers of one tree, in place of an older one that still waits; see the rules."""
        self._memories[record.feeder_id] = record
        self._wake.set()
        self._quiet.clear()

    async def room(self) -> None:
        """Wait while the queue of samples is full, unless neither store nor disk takes any: control must still hear."""
        while len(self._samples) >= self._limits.samples and not self.disk_failed:
            self._freed.clear()
            await self._freed.wait()

    async def quiet(self, timeout_s: float) -> bool:
        """Wait until nothing waits any more.

        Args:
            timeout_s: How long at most [s].

        Returns:
            False: something still does.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), timeout_s)
        return self._quiet.is_set()

    async def samples_safe(self, timeout_s: float) -> bool:
        """Wait until every sample that was put so far is in the store or in the spool.

        Args:
            timeout_s: How long at most [s].

        Returns:
            False: one of them is not yet, or was given up.
        """
        put, before = self._samples_put, self._times_given_up
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._samples_safe < put:
                    self._progress.clear()
                    await self._progress.wait()
        return self._samples_safe >= put and self._times_given_up == before

    async def run(self) -> None:
        """Store what was put, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take_in(), name="recorder-intake")
                group.create_task(self._backlog.run(), name="recorder-replay")
        finally:
            await self._backlog.stop()

    async def __aenter__(self) -> Self:
        """Nothing to open; the end matters."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """See everything that was put stored or spooled; `run` has ended by now."""
        try:
            await self._drain()
        finally:
            await self._backlog.close()

    async def _take_in(self) -> None:
        """Make safe what is put, batch after batch."""
        limits, backlog = self._limits, self._backlog
        while True:
            await self._until_due()
            self._wake.clear()
            work = self._next()
            if work is None:
                continue
            await backlog.stand_aside(limits.aside_s)
            patience_s = 0.0 if backlog.store_away else limits.patience_s
            if not await self._keep(work, limits.write_s, patience_s):
                self._give_up(work)
                await backlog.relieved(limits.first_retry_s)

    async def _drain(self) -> None:
        deadline_s = self._clock.monotonic_s() + self._limits.drain_s
        while (work := self._next()) is not None:
            if not await self._keep(work, deadline_s - self._clock.monotonic_s()):
                self._abandoned += self.queued
                _log.error("rows are lost: neither store nor disk takes them", extra={"rows": self.queued})
                return

    async def _until_due(self) -> None:
        """Wait for rows, and a little for company."""
        if self._work is not None:
            return
        await self._wake.wait()
        if len(self._samples) < self._limits.batch_rows and self.linger_s > 0:
            await asyncio.sleep(self.linger_s)

    def _next(self) -> _Work | None:
        """The batch in hand, or else one from the queues."""
        if self._work is None and (self._samples or self._setpoints or self._decisions or self._memories):
            pairs = _taken(self._samples, self._limits.batch_rows)
            self._freed.set()
            self._work = _Work(
                batch=RecordBatch(
                    samples=[sample for sample, _ in pairs],
                    setpoints=_taken(self._setpoints, self._limits.batch_rows),
                    decisions=_taken(self._decisions, self._limits.batch_rows),
                    memories=list(self._memories.values()),
                ),
                messages=[message for _, message in pairs if message is not None],
            )
            self._memories.clear()
            if self._samples or self._setpoints or self._decisions:
                self._wake.set()
        return self._work

    async def _keep(self, work: _Work, write_s: float, patience_s: float | None = None) -> bool:
        """Make one batch safe; False: neither the store nor the disk took it, and it stays in hand."""
        backlog = self._backlog
        if write_s > 0 and await backlog.write(work.batch, write_s=write_s, patience_s=patience_s):
            backlog.disk_failed = False  # as far as anybody needs it
        elif work.batch:
            try:
                await backlog.append(replace(work.batch, memories=[]))
            except StoreError:
                self._freed.set()
                return False
            self.spooled += len(work.batch)
        else:
            backlog.let_go()
        self._work = None
        self._samples_safe += len(work.batch.samples)
        self._progress.set()
        if self.queued or self._memories:
            self._wake.set()  # they may have come while this one was tried again and again
        else:
            self._quiet.set()
        if work.messages:
            self._on_safe(work.messages)
        return True

    def _give_up(self, work: _Work) -> None:
        """Refuse what is more than may wait, oldest first, as its answers are due in the order it came.

        What can be written again tomorrow, setpoints and decisions, is not touched: their queues have their own bound.
        """
        if len(work.batch.samples) + len(self._samples) <= self._limits.held:
            return
        beyond = max(len(self._samples) - self._limits.held, 0)
        pairs = _taken(self._samples, beyond)
        rows = len(work.batch.samples) + len(pairs)
        messages = [*work.messages, *(message for _, message in pairs if message is not None)]
        self._work = _Work(batch=replace(work.batch, samples=[]), messages=[])
        self._overflow(rows, "samples")
        self._samples_safe += rows  # they are out of the way of those behind them
        self._times_given_up += 1
        self._progress.set()
        self._freed.set()
        if messages:
            self._on_refused(messages)

    def _overflow(self, rows: int, queue: str) -> None:
        if rows and not self._overflowed:
            _log.error("a recorder queue is full; rows are dropped, and counted from here on", extra={"queue": queue})
        self._overflowed += rows


def _taken(queue: deque[_T], most: int) -> list[_T]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]


def _trim(queue: deque[_T], most: int) -> int:
    """Drop the oldest beyond `most`; returns how many."""
    beyond = max(len(queue) - most, 0)
    for _ in range(beyond):
        queue.popleft()
    return beyond
