"""What the service manager is told: ready, alive, stopping. Speaks sd_notify(3) to systemd, or to nobody.

Rules:
    - The sign of life comes from the turn of control itself, not from a timer of its own: a process whose control hangs
      is started anew, however alive the rest of it is.
    - A start may take long, as long as something of it moves: every sign of life puts its end off.
    - A manager that does not listen is no reason to stop.

Source: systemd, sd_notify(3) and sd_watchdog_enabled(3).
"""

import contextlib
import os
import socket
from collections.abc import Mapping

from derms.ports import Clock

_START_S = 60.0
"""A start that shows nothing for so long is given up by the manager [s]."""
_TELL_S = 5.0
"""So often a start shows that it goes on [s]."""
_TURNS = 4.0
"""A watchdog shorter than so many turns would end a process that does what it should."""


class Supervisor:
    """The service manager of this process, if it has one.

    Args:
        environment: Where systemd says how it wants to be spoken to.
        clock: Monotonic time.
        turn_s: The longest time between two turns of control [s]; where the unit's watchdog is too short for it, the
            manager is told a longer one. 0: the unit knows.
    """

    def __init__(self, environment: Mapping[str, str], *, clock: Clock, turn_s: float = 0.0) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._clock = clock
        self.is_ready = False
        self._told_s = float("-inf")
        self._status = ""
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_us = environment.get("WATCHDOG_USEC", "")
        limit_us = int(watchdog_us) if mine and watchdog_us.isdecimal() else 0
        least_us = round(_TURNS * turn_s * 1e6)
        self._longer = f"\nWATCHDOG_USEC={least_us}" if 0 < limit_us < least_us else ""
        # half of what is allowed between two signs of life, as sd_watchdog_enabled(3) recommends
        self._every_s = max(limit_us, least_us) / 2e6 if limit_us else None

    def starting(self) -> None:
        """The start goes on; until it is ready the manager waits for another while."""
        now_s = self._clock.monotonic_s()
        if not self.is_ready and now_s - self._told_s >= _TELL_S:
            self._told_s = now_s
            self._tell(f"EXTEND_TIMEOUT_USEC={round(_START_S * 1e6)}")

    def ready(self) -> None:
        """The service does what it is for; said once."""
        if not self.is_ready:
            self.is_ready = True
            self._told_s = self._clock.monotonic_s()
            self._tell(f"READY=1\nWATCHDOG=1{self._longer}")

    def alive(self) -> None:
        """A turn of control is done."""
        now_s = self._clock.monotonic_s()
        if self.is_ready and self._every_s is not None and now_s - self._told_s >= self._every_s:
            self._told_s = now_s
            self._tell("WATCHDOG=1")

    def status(self, line: str) -> None:
        """Say in one line how it does, for `systemctl status`; the same one is said once."""
        line = " ".join(line.split())
        if line != self._status:
            self._status = line
            self._tell(f"STATUS={line}")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
            there.setblocking(False)
            there.sendto(state.encode(), self._address)
