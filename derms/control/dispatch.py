"""Leases on their way to the broker: the newest one a device, in slices, never waited for by the tick.

The first slice leaves as it is put; a few are under way at once, so that the broker has the next one when it has
answered the last.

Full-policy: there is at most one pending lease a device, so the outbox is as large as the fleet and no larger; a
newer lease replaces the one still waiting, which nobody needs any more.

A lease goes out only while its sender may command: that is asked right before it is handed to the broker, and again by
the link right before the bytes are written.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice

from derms.contract import Topics, encode_setpoint
from derms.errors import BrokerError
from derms.model import Dialect, Setpoint
from derms.ports import SetpointSink

_SLICE = 250
"""Leases handed to the broker together; between slices ingest gets its turn."""
_AT_ONCE = 4
"""Slices that wait for the broker's answer together."""

Still = Callable[[], bool]
"""Whether who decided something may still say it."""
Batch = dict[int, tuple[Setpoint, Dialect, Still]]
"""Row -> lease, the dialect it goes out in, and whether it may still go out."""


def _always() -> bool:
    return True


log = logging.getLogger(__name__)


class Outbox:
    """Publishes leases and reports those the broker did not take."""

    def __init__(
        self,
        *,
        sink: SetpointSink,
        topics: Topics,
        on_sent: Callable[[int], None],
        on_failed: Callable[[int, Setpoint], None],
    ) -> None:
        """Prepare an empty outbox.

        Args:
            sink: Where leases go.
            topics: The topics of the wire contract.
            on_sent: Told how many leases the broker has acknowledged.
            on_failed: Told row and lease of each that it has not, or that was held back.
        """
        self._sink = sink
        self._topics = topics
        self._on_sent = on_sent
        self._on_failed = on_failed
        self._pending: Batch = {}
        self._under_way: dict[asyncio.Future[Sequence[BrokerError | None]], Batch] = {}
        self._changed = asyncio.Event()
        """There is something to do for `run`."""
        self._runs = False
        self._failing = False
        self.sent = 0
        """Leases the broker has acknowledged."""
        self.withheld = 0
        """Leases held back because their sender might not command any more."""

    def put(
        self, leases: Iterable[tuple[int, Setpoint, Dialect]], still: Still = _always, *, first: bool = False
    ) -> None:
        """Queue leases to go out; never waits.

        Args:
            leases: Row, lease and the device's dialect of each.
            still: They go out while this says so.
            first: At once, and before all that wait.
        """
        put = {row: (lease, dialect, still) for row, lease, dialect in leases}
        if first:
            self._pending = put | {row: entry for row, entry in self._pending.items() if row not in put}
        else:
            self._pending |= put
        if self._runs and (first or not self._under_way):
            self._begin(len(put) if first else _SLICE)
        self._changed.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        self._runs = True
        try:
            while True:
                self._changed.clear()
                for answers in [each for each in self._under_way if each.done()]:
                    self._settle(self._under_way.pop(answers), answers.result())
                if self._pending and len(self._under_way) < _AT_ONCE:
                    self._begin(_SLICE)
                    await asyncio.sleep(0)
                else:
                    await self._changed.wait()
        finally:
            self._runs = False
            for each in self._under_way:
                each.cancel()

    def _begin(self, count: int) -> None:
        """Hand the next so many to the broker."""
        rows = tuple(islice(self._pending, count))
        batch = self._allowed({row: self._pending.pop(row) for row in rows})
        if batch:
            answers = asyncio.ensure_future(self._published(batch))
            answers.add_done_callback(lambda _: self._changed.set())
            self._under_way[answers] = batch

    def _allowed(self, batch: Batch) -> Batch:
        """Those that may still go out; the others are held back."""
        may = {still: still() for still in {still for _, _, still in batch.values()}}
        for row, (lease, _, still) in batch.items():
            if not may[still]:
                self.withheld += 1
                self._on_failed(row, lease)
        return {row: entry for row, entry in batch.items() if may[entry[2]]}

    def _published(self, batch: Batch) -> Awaitable[Sequence[BrokerError | None]]:
        # The broker forgets a retained lease when it ends, so that a device which comes back finds none that is over.
        lives_s = [-(-(lease.valid_until_ms - lease.issued_at_ms) // 1000) for lease, _, _ in batch.values()]
        messages = [encode_setpoint(self._topics, lease, dialect) for lease, dialect, _ in batch.values()]
        stills = {still for _, _, still in batch.values()}
        return self._sink.publish_many(
            messages, retain=True, expires_s=max(1, *lives_s), still=lambda: all(still() for still in stills)
        )

    def _settle(self, batch: Batch, results: Sequence[BrokerError | None]) -> None:
        sent = 0
        failure: BrokerError | None = None
        for (row, (lease, _, _)), result in zip(batch.items(), results, strict=True):
            if result is None:
                sent += 1
            else:
                failure = result
                self._on_failed(row, lease)
        self.sent += sent
        self._on_sent(sent)
        if failure is not None and not self._failing:
            log.error("The broker does not take setpoints: %s", failure, extra={"failed": len(batch) - sent})
        elif failure is None and self._failing:
            log.info("The broker takes setpoints again", extra={"sent": sent})
        self._failing = failure is not None
