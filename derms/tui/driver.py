"""Textual's driver, with a sieve before the terminal."""

from typing import Any

from textual.drivers.linux_driver import LinuxDriver

from derms.tui.sieve import Sieve


class SievedDriver(LinuxDriver):
    """Writes what the sieve lets through."""

    ascii_only = False
    colour = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._sieve = Sieve(ascii_only=self.ascii_only, colour=self.colour)

    def write(self, data: str) -> None:
        """Write to the terminal."""
        self.put(self._sieve.passed(data))

    def forget(self) -> None:
        """It is not known any more what stands on the terminal."""
        self._sieve.forget()

    def put(self, data: str) -> None:
        """Write what was let through."""
        super().write(data)

    def stop_application_mode(self) -> None:
        """Give the terminal back as it was."""
        if self._writer_thread is not None:
            self.put(self._sieve.reset())
        super().stop_application_mode()


def driver(*, ascii_only: bool, colour: bool) -> type[LinuxDriver]:
    """A driver for a terminal.

    Args:
        ascii_only: It shows nothing beyond ASCII.
        colour: It shows colours, and they are wanted.
    """
    return type("Driver", (SievedDriver,), {"ascii_only": ascii_only, "colour": colour})
