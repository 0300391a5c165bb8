"""What happened, on its way to the store: queues -> batches -> one commit each; a spool while the store is away.

Rules:
    - Putting never waits: the control loop and the ingest call it on the event loop.
    - A message is reported safe only after the commit that holds its sample, or after the fsync of the spool.
    - Order is kept: while anything waits in the spool, what is newer queues up behind it.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self, TypeVar

from derms.errors import StoreError
from derms.model import DecisionRecord, Setpoint
from derms.ports import Clock, MemoryRecord, Message, RecordBatch, RecordStore, Sample
from derms.spool import Spool

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
_REPLAY_S = 0.5
"""How long the spool is replayed before what is new gets its turn."""


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
        self._store = store
        self._spool = spool
        self._on_safe = on_safe
        self._on_refused = on_refused
        self._clock = clock
        self._rng = rng
        self._limits = limits or Limits()
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
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="derms-spool")
        self._retry_at_s = float("-inf")
        self._pause_s = self._limits.first_retry_s
        self._away_since_s = 0.0
        self.disk_failed = False
        """The disk under the spool took nothing when it was last tried; rows wait in memory."""
        self._overflowed = 0
        self._abandoned = 0
        self.linger_s = self._limits.linger_s
        """As `Limits.linger_s`; may be changed while it runs."""
        self.stored = 0
        """Rows committed to the store, replayed ones too."""
        self.spooled = 0
        """Rows written to the spool."""
        self.store_away = False
        """The last attempt to write failed."""

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
        return self._spool.bytes_used

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
        while True:
            await self._until_due()
            self._wake.clear()
            if (work := self._next()) is not None and not await self._keep(work, self._limits.write_s):
                self._give_up(work)
                await asyncio.sleep(self._limits.first_retry_s)
            await self._replay()

    async def __aenter__(self) -> Self:
        """Nothing to open; the end matters."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """See everything that was put stored or spooled; `run` has ended by now."""
        try:
            await self._drain()
        finally:
            await asyncio.to_thread(self._disk.shutdown)
            self._spool.close()

    async def _drain(self) -> None:
        deadline_s = self._clock.monotonic_s() + self._limits.drain_s
        while (work := self._next()) is not None:
            if not await self._keep(work, deadline_s - self._clock.monotonic_s()):
                self._abandoned += self.queued
                _log.error("rows are lost: neither store nor disk takes them", extra={"rows": self.queued})
                return

    async def _until_due(self) -> None:
        """Wait for rows, or until the store is to be tried again."""
        if self._work is not None:
            return
        if self._spool.empty:
            await self._wake.wait()
        else:
            pause_s = self._retry_at_s - self._clock.monotonic_s()
            try:
                async with asyncio.timeout(max(pause_s, 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                return
        if self.linger_s and len(self._samples) < self._limits.batch_rows:
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

    async def _keep(self, work: _Work, patience_s: float) -> bool:
        """Make one batch safe; False: neither the store nor the disk took it, and it stays in hand."""
        may_write = self._spool.empty and self._is_due() and patience_s > 0
        if not (may_write and await self._write(work.batch, patience_s)) and work.batch:
            rows = replace(work.batch, memories=[])
            try:
                await self._on_disk(lambda: self._spool.append(rows))
            except StoreError as error:
                self._disk_trouble(error)
                return False
            if self.disk_failed:
                _log.info("the spool works again")
            self.disk_failed = False
            self.spooled += len(work.batch)
        elif self.disk_failed and not self.store_away:
            self.disk_failed = False  # as far as anybody needs it
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

    async def _replay(self) -> None:
        """Move what the spool holds to the store, oldest first, for a while."""
        until_s = self._clock.monotonic_s() + _REPLAY_S
        while not self._spool.empty and self._is_due() and self._clock.monotonic_s() < until_s:
            try:
                found = await self._on_disk(lambda: self._spool.peek_several(self._limits.batch_rows))
                if found is None:
                    return
                batch, count = found
                if not await self._write(batch, self._limits.write_s):
                    return
                await self._on_disk(lambda n=count: self._spool.advance_over(n))  # type: ignore[misc]
            except StoreError as error:
                self._disk_trouble(error)
                self._postpone()
                return
            if self._spool.empty:
                _log.info("the spool is replayed")

    def _disk_trouble(self, error: StoreError) -> None:
        if not self.disk_failed:
            _log.error("the spool does not work; rows wait in memory", extra={"error": str(error)})
        self.disk_failed = True
        self._freed.set()

    def _is_due(self) -> bool:
        return self._clock.monotonic_s() >= self._retry_at_s

    async def _write(self, batch: RecordBatch, patience_s: float) -> bool:
        try:
            async with asyncio.timeout(patience_s):
                await self._store.write(batch)
        except (StoreError, TimeoutError) as error:
            if not self.store_away:
                self._away_since_s = self._clock.monotonic_s()
                words = str(error) or f"no answer within {patience_s:g} s"
                _log.warning("the store is away; rows go to the spool", extra={"error": words})
            self.store_away = True
            self._postpone()
            return False
        if self.store_away:
            away_s = round(self._clock.monotonic_s() - self._away_since_s, 1)
            _log.info("the store is back", extra={"away_s": away_s, "spool_bytes": self.spool_bytes})
        self.store_away = False
        self._pause_s = self._limits.first_retry_s
        self._retry_at_s = float("-inf")
        self.stored += len(batch)
        return True

    def _postpone(self) -> None:
        self._retry_at_s = self._clock.monotonic_s() + self._pause_s * self._rng.uniform(0.5, 1.5)
        self._pause_s = min(self._pause_s * 2, self._limits.longest_retry_s)

    def _overflow(self, rows: int, queue: str) -> None:
        if rows and not self._overflowed:
            _log.error("a recorder queue is full; rows are dropped, and counted from here on", extra={"queue": queue})
        self._overflowed += rows

    async def _on_disk(self, action: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, action)


def _taken(queue: deque[_T], most: int) -> list[_T]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]


def _trim(queue: deque[_T], most: int) -> int:
    """Drop the oldest beyond `most`; returns how many."""
    beyond = max(len(queue) - most, 0)
    for _ in range(beyond):
        queue.popleft()
    return beyond
