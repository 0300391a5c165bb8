"""What the service manager is told: ready, alive, stopping. Speaks sd_notify(3) to systemd, or to nobody.

The sign of life comes from the turn of control itself, not from a timer of its own: an agent whose control hangs is
started anew, however alive the rest of it is.

Source: systemd, sd_notify(3) and sd_watchdog_enabled(3).
"""

import contextlib
import os
import socket
from collections.abc import Mapping

from derms.ports import Clock


class Supervisor:
    """The service manager of this process, if it has one.

    Args:
        environment: Where systemd says how it wants to be spoken to.
        clock: Monotonic time.
    """

    def __init__(self, environment: Mapping[str, str], *, clock: Clock) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._clock = clock
        self._ready = False
        self._told_s = 0.0
        # half of what is allowed between two signs of life, as sd_watchdog_enabled(3) recommends
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watchdog_us = environment.get("WATCHDOG_USEC", "")
        self._every_s = int(watchdog_us) / 2e6 if mine and watchdog_us.isdecimal() else None

    def alive(self) -> None:
        """A turn of control is done; the first one makes the service ready: the device is on default control."""
        now_s = self._clock.monotonic_s()
        if not self._ready:
            self._ready = True
            self._told_s = now_s
            self._tell("READY=1\nWATCHDOG=1")
        elif self._every_s is not None and now_s - self._told_s >= self._every_s:
            self._told_s = now_s
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # A manager that does not listen is no reason to stop.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
            there.setblocking(False)
            there.sendto(state.encode(), self._address)
