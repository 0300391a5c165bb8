"""What waits on disk for the store, and its way there; and whether the store answers.

Rules:
    - The store is tried beside whoever has new rows, never while they wait: new rows go to disk meanwhile.
    - One write at a time. Rows go straight to the store only while nothing waits on disk, so that order is kept.
    - A straight write that takes too long stays under way while its rows go to disk, where they are the oldest: when it
      comes to a good end they are left behind there, else they are replayed. Where its end is not heard (a lost
      connection, a crash) they are written twice, which leaves one row.
    - Of the last little that waits the newest rows stand aside for a moment, so that it comes to an end at any rate.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from derms.errors import StoreError
from derms.ports import Clock, RecordBatch, RecordStore
from derms.runtime import wait_first
from derms.spool import Spool

_log = logging.getLogger(__name__)

_T = TypeVar("_T")
_USUALLY, _LEARNS = 4.0, 0.3
"""A write that takes so many times what writes have lately taken is a slow one; each new one counts for this share."""
_SLOWEST_S = 3.0
"""However slow the store is, one that has not answered for so long may hang [s]."""
_LITTLE_BYTES = 256 * 1024
"""So much on disk is replayed in about the time that new rows may stand aside for it."""


class Backlog:
    """The spool, replayed to the store for as long as `run` does.

    Args:
        store: Where rows go.
        spool: Where they go meanwhile; closed by `close`.
        clock: To measure the pauses.
        rng: For their jitter.
        batch_rows: The most rows that one commit of the replay takes.
        write_s: A write that takes longer counts as failed.
        retry_s: The first and the longest pause between attempts on a store that is away [s].
    """

    def __init__(
        self,
        *,
        store: RecordStore,
        spool: Spool,
        clock: Clock,
        rng: random.Random,
        batch_rows: int,
        write_s: float,
        retry_s: tuple[float, float],
    ) -> None:
        self._store = store
        self._spool = spool
        self._clock = clock
        self._rng = rng
        self._batch_rows = batch_rows
        self._write_s = write_s
        self._first_retry_s, self._longest_retry_s = retry_s
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="derms-spool")
        self._retry_at_s = float("-inf")
        self._pause_s = self._first_retry_s
        self._away_since_s = 0.0
        self._usual_s = 0.0
        """How long writes have lately taken [s]."""
        self._straight: asyncio.Task[bool] | None = None
        """A write that did not come from disk."""
        self._straight_rows = 0
        self._oldest: int | None = None
        """How many of the oldest batches on disk are those of the straight write; None: whoever began it waits."""
        self._news = asyncio.Event()
        """There may be something to replay."""
        self._relief = asyncio.Event()
        """A straight write has ended, or the spool has room again."""
        self._open = asyncio.Event()
        """New rows need not stand aside."""
        self._open.set()
        self.stored = 0
        """Rows committed to the store; those that were replayed once they are left behind on disk."""
        self.store_away = False
        """The last attempt to write failed."""
        self.disk_failed = False
        """The disk took nothing when it was last tried."""

    @property
    def bytes_used(self) -> int:
        """What the spool takes on disk [bytes]."""
        return self._spool.bytes_used

    async def stand_aside(self, timeout_s: float) -> None:
        """Wait while the last little is replayed, no longer than that [s]."""
        if not self._open.is_set():
            await wait_first(self._open, timeout_s=timeout_s)

    async def write(self, batch: RecordBatch, *, write_s: float, patience_s: float | None) -> bool:
        """Write new rows straight to the store, if none are before them and it is not to be left alone for now.

        What is asked again before `append` or `let_go` goes on waiting for the write that was begun.

        Args:
            batch: The rows.
            write_s: After so long it has failed [s].
            patience_s: After so long it is not waited for any more, and goes on beside [s]; None: until its end. Longer
                where all writes are slow: rows that went to disk for that would only make more work.

        Returns:
            Whether they are stored by now.
        """
        if self._straight is None:
            if not self._spool.empty or self._clock.monotonic_s() < self._retry_at_s:
                return False
            self._straight = asyncio.create_task(self._written(batch, write_s), name="recorder-write")
            self._straight.add_done_callback(lambda _: self._relief.set())
            self._straight_rows = len(batch)
        elif self._oldest is not None:
            return False
        if patience_s:
            patience_s = max(patience_s, min(_USUALLY * self._usual_s, _SLOWEST_S))
        await asyncio.wait({self._straight}, timeout=patience_s)
        if not self._straight.done():
            return False
        done, self._straight = self._straight, None
        if done.result():
            self.stored += self._straight_rows
        return done.result()

    async def append(self, rows: RecordBatch) -> None:
        """Put new rows on disk; if their straight write goes on, it is the backlog's from here on.

        Raises:
            StoreError: The disk does not take them.
        """
        self._relief.clear()
        try:
            await self._on_disk(lambda: self._spool.append(rows))
        except StoreError as error:
            self._disk_trouble(error)
            raise
        if self.disk_failed:
            _log.info("the spool works again")
        self.disk_failed = False
        self.let_go(1)

    def let_go(self, batches: int = 0) -> None:
        """Leave a straight write that goes on to the backlog: so many batches on disk are its rows."""
        if self._straight is not None and self._oldest is None:
            self._oldest = batches
        self._news.set()

    async def relieved(self, timeout_s: float) -> None:
        """Wait, no longer than that [s], until there may be room for rows again that nobody took."""
        await wait_first(self._relief, timeout_s=timeout_s)

    async def run(self) -> None:
        """Replay what is on disk, until cancelled."""
        while True:
            await self._until_due()
            try:
                if self._straight is not None:
                    await self._finish_straight(self._straight)
                else:
                    await self._replay()
            except StoreError as error:
                self._disk_trouble(error)
                self._postpone()
            if self._spool.empty or self.store_away or self.disk_failed:
                self._open.set()

    async def stop(self) -> None:
        """Give up what is under way; to be called once `run` has ended."""
        self._open.set()
        if self._straight is not None:
            self._straight.cancel()
            await asyncio.wait({self._straight})
        self._straight = self._oldest = None

    async def close(self) -> None:
        """Let go of the disk."""
        await asyncio.to_thread(self._disk.shutdown)
        self._spool.close()

    async def _until_due(self) -> None:
        """Wait until a straight write is left to us, or what is on disk is to be tried."""
        while True:
            self._news.clear()
            if self._straight is not None and self._oldest is not None:
                return
            if self._straight is not None or self._spool.empty:
                await self._news.wait()
                continue
            wait_s = self._retry_at_s - self._clock.monotonic_s()
            if wait_s <= 0.0:
                return
            await asyncio.sleep(wait_s)

    async def _finish_straight(self, write: asyncio.Task[bool]) -> None:
        await asyncio.wait({write})
        batches, self._straight, self._oldest = self._oldest or 0, None, None
        if write.result():
            await self._leave_behind(batches, self._straight_rows)

    async def _replay(self) -> None:
        """Move the oldest rows on disk to the store."""
        self._let_new_rows_in()
        found = await self._on_disk(lambda: self._spool.peek_several(self._batch_rows))
        if found is not None:
            batch, count = found
            if await self._written(batch, self._write_s):
                self._let_new_rows_in()  # or not: the store may just have come back
                await self._leave_behind(count, len(batch))
                if self._spool.empty:
                    _log.info("the spool is replayed")

    def _let_new_rows_in(self) -> None:
        """Let them go to disk behind what is there, unless that is little and the store takes it."""
        if self.store_away or self._spool.bytes_waiting > _LITTLE_BYTES:
            self._open.set()
        else:
            self._open.clear()

    async def _leave_behind(self, batches: int, rows: int) -> None:
        before = self._spool.bytes_used
        await self._on_disk(lambda: self._spool.advance_over(batches))
        self.stored += rows
        if self._spool.bytes_used < before:
            self._relief.set()

    async def _written(self, batch: RecordBatch, write_s: float) -> bool:
        began_s = self._clock.monotonic_s()
        try:
            async with asyncio.timeout(write_s):
                await self._store.write(batch)
        except (StoreError, TimeoutError) as error:
            if not self.store_away:
                self._away_since_s = self._clock.monotonic_s()
                words = str(error) or f"no answer within {write_s:g} s"
                _log.warning("the store is away; rows go to the spool", extra={"error": words})
            self.store_away = True
            self._postpone()
            return False
        if self.store_away:
            away_s = round(self._clock.monotonic_s() - self._away_since_s, 1)
            _log.info("the store is back", extra={"away_s": away_s, "spool_bytes": self.bytes_used})
        self.store_away = False
        took_s = min(self._clock.monotonic_s() - began_s, _SLOWEST_S / _USUALLY)
        self._usual_s += _LEARNS * (took_s - self._usual_s)
        self._pause_s = self._first_retry_s
        self._retry_at_s = float("-inf")
        return True

    def _disk_trouble(self, error: StoreError) -> None:
        if not self.disk_failed:
            _log.error("the spool does not work; rows wait in memory", extra={"error": str(error)})
        self.disk_failed = True

    def _postpone(self) -> None:
        self._retry_at_s = self._clock.monotonic_s() + self._pause_s * self._rng.uniform(0.5, 1.5)
        self._pause_s = min(self._pause_s * 2, self._longest_retry_s)

    async def _on_disk(self, action: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, action)
