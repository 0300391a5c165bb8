"""How far something has come, on stderr and only where somebody looks."""

import sys

from derms.cli.terminal import Terminal

_CELLS = 24


class Progress:
    """One line that is written over and over.

    Args:
        terminal: Where.
        wanted: False: nothing is shown.
    """

    def __init__(self, terminal: Terminal, *, wanted: bool) -> None:
        self._terminal = terminal
        self._shown = wanted and terminal.narrates
        self._length = 0

    def show(self, share: float, words: str) -> None:
        """Write it.

        Args:
            share: 0..1.
            words: What stands behind the bar.
        """
        if self._shown:
            self._write(line(share, words, self._terminal))

    def end(self) -> None:
        """Wipe it away."""
        if self._length:
            self._write("")
            sys.stderr.write("\r")
            sys.stderr.flush()
            self._length = 0

    def _write(self, text: str) -> None:
        # Blanks instead of an escape sequence: they work on every terminal.
        sys.stderr.write(f"\r{text:<{self._length}}")
        sys.stderr.flush()
        self._length = len(text)


def line(share: float, words: str, terminal: Terminal) -> str:
    """A bar and words, as wide as the terminal at most."""
    full, empty = ("█", "░") if terminal.unicode else ("#", ".")
    filled = round(_CELLS * min(max(share, 0.0), 1.0))
    return f"{full * filled}{empty * (_CELLS - filled)} {words}"[: terminal.columns - 1]
