"""A thread that notices when the event loop itself stands: then no task on it can say so.

As long as the event loop runs, a control loop that does not tick is seen by `derms.alarms.watch`. A tick that never
ends, or anything else that holds the event loop, stops that too; this thread says so in the log, with where it stands,
and to the webhook.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Self

from derms.ports import Clock

_CHECK_S = 1.0

log = logging.getLogger(__name__)


class Watchdog:
    """Watches one thread's event loop from another thread; a context manager.

    Args:
        beat_s: When the event loop last showed itself, by `clock` [s].
        limit_s: Without a beat for longer than this it stands [s].
        clock: The machine's clocks.
        on_stall: Called in the watchdog's thread, once a stall, with how long it has lasted [s]; may take its time.
    """

    def __init__(
        self, beat_s: Callable[[], float], *, limit_s: float, clock: Clock, on_stall: Callable[[float], None]
    ) -> None:
        self._beat_s = beat_s
        self._limit_s = limit_s
        self._clock = clock
        self._on_stall = on_stall
        self._watched = threading.get_ident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="derms-watchdog", daemon=True)
        self.stalled = False
        """It stands as far as the last check saw."""

    def __enter__(self) -> Self:
        """Begin to watch the thread that calls this."""
        self._watched = threading.get_ident()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; a message on its way is not waited for long."""
        self._stop.set()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while not self._stop.wait(_CHECK_S):
            self.check()

    def check(self) -> None:
        """Look once."""
        silent_s = self._clock.monotonic_s() - self._beat_s()
        if silent_s <= self._limit_s:
            if self.stalled:
                log.warning("The event loop runs again")
            self.stalled = False
            return
        if self.stalled:
            return
        self.stalled = True
        frame = sys._current_frames().get(self._watched)
        where = "".join(traceback.format_stack(frame)[-8:]) if frame is not None else ""
        log.critical("The event loop stands", extra={"silent_s": round(silent_s, 1), "where": where})
        self._on_stall(silent_s)
