"""Alarms on their way to the store; nobody waits for them.

Full-policy: of each alarm the newest state waits, so there are no more of them than alarms. Lines of the history wait
in a queue of `MAX_LINES`; when it is full the oldest is dropped and counted. While the store is away both wait.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from derms.errors import StoreError, UsageError
from derms.model import AlarmLine, AlarmRecord
from derms.ports import AlarmStore

MAX_LINES = 10_000
_SLICE = 500
"""So many lines go with one commit."""
_GATHER_S = 0.2
_RETRY_S = 5.0
_FINISH_S = 2.0

log = logging.getLogger(__name__)


class AlarmKeeper:
    """Writes alarms behind the desk.

    Args:
        store: Where they go.
        on_dropped: Told of each line that is given up.
        max_lines: `MAX_LINES`.
    """

    def __init__(self, store: AlarmStore, *, on_dropped: Callable[[], None], max_lines: int = MAX_LINES) -> None:
        self._store = store
        self._on_dropped = on_dropped
        self._max_lines = max_lines
        self._records: dict[str, AlarmRecord] = {}
        self._lines: deque[AlarmLine] = deque()
        self._filled = asyncio.Event()

    def put(self, record: AlarmRecord, line: AlarmLine | None) -> None:
        """Queue an alarm, and a line of its history; never waits."""
        self._records[record.alarm_id] = record
        if line is not None:
            if len(self._lines) >= self._max_lines:
                self._lines.popleft()
                self._on_dropped()
            self._lines.append(line)
        self._filled.set()

    async def run(self) -> None:
        """Write until cancelled."""
        failing = False
        while True:
            await self._filled.wait()
            await asyncio.sleep(_RETRY_S if failing else _GATHER_S)
            try:
                await self.flush()
            except StoreError as error:
                if not failing:
                    log.error("Alarms cannot be written, will try again: %s", error)
                failing = True
                continue
            if failing:
                log.info("Alarms are written again")
            failing = False

    async def finish(self) -> None:
        """Write what is still queued, if the store takes it; `run` has ended by now."""
        try:
            async with asyncio.timeout(_FINISH_S):
                while self._records or self._lines:
                    await self.flush()
        except (StoreError, TimeoutError):
            log.error("Alarms are not written", extra={"alarms": len(self._records), "lines": len(self._lines)})

    async def flush(self) -> None:
        """Write what is queued, or a slice of it.

        Raises:
            StoreError: It stays queued.
        """
        records, lines = dict(self._records), [self._lines[at] for at in range(min(len(self._lines), _SLICE))]
        try:
            await self._store.keep_alarms(list(records.values()), lines)
        except UsageError as error:
            # What the database will never take must not hold back what comes after it.
            log.error("Alarms cannot be stored: %s", error)
        for alarm_id, record in records.items():
            if self._records.get(alarm_id) is record:
                del self._records[alarm_id]
        for line in lines:
            if self._lines and self._lines[0] is line:
                self._lines.popleft()
        if not self._records and not self._lines:
            self._filled.clear()
