"""Sums of tracking errors in slices of ten seconds, for the last twenty minutes. Pure: the clock is an argument.

A sample counts when it names a setpoint, by the device's own instant, and once: it is told from one that came before by
instant and sequence number, as the store tells them apart. Of a device that sends late or twice the last `_KNOWN`
samples are remembered for that.

The sums are whole numbers of a unit of 15 nW, so that they agree with the stored rows to the last digits however many
there are, and nothing is rounded off on the way.
"""

from dataclasses import dataclass

import numpy as np

from derms.columns import Floats, Ints

SLICE_MS = 10_000
LONGEST_S = 1_200
_AHEAD = 4
"""Slices that a device's clock may run ahead of ours; the wire contract takes no more."""
_SLICES = LONGEST_S * 1000 // SLICE_MS + _AHEAD + 1
_KNOWN = 32
_UNITS_A_KW = 2.0**36
_MOST = 2**63 - 1
"""What a sum of 10 s holds, 134 GW; beyond it stays there."""
_AT_FIRST, _GROWTH = 64, 8
"""Columns at first; when they are full an eighth more is made, as doubling could hold half of the memory for nobody."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Of every device that ever named a setpoint, over a window; arrays of shape (k,)."""

    rows: Ints
    """Its row in the fleet."""
    samples: Ints
    error_kw: Floats
    """The sum of p_actual_kw - p_setpoint_kw [kW]."""
    abs_kw: Floats
    """The sum of that without its sign [kW]."""


class ErrorRing:
    """Bounded: about 3 kB for each device that names a setpoint, none for the others."""

    def __init__(self) -> None:
        self._seat: dict[int, int] = {}
        """Row of the fleet -> column here."""
        self._newest: list[tuple[int, int]] = []
        """Instant and sequence number of the newest sample, by column."""
        self._stamp = np.full(_SLICES, -1, dtype=np.int64)
        """Which slice of time each line holds."""
        self._count = np.zeros((_SLICES, 0), dtype=np.int32)
        self._error = np.zeros((_SLICES, 0), dtype=np.int64)
        self._abs = np.zeros((_SLICES, 0), dtype=np.int64)
        self._known = np.full((0, _KNOWN, 2), -1, dtype=np.int64)
        self._next_known: list[int] = []

    def add(self, row: int, error_kw: float, *, at_ms: int, seq: int, now_ms: int) -> None:
        """Take a sample in.

        Args:
            row: The device's row.
            error_kw: What it drew less what it was to draw [kW].
            at_ms: The device's instant [epoch ms].
            seq: Its sequence number; -1: it does not count.
            now_ms: The controller's clock [epoch ms].
        """
        column = self._seat.get(row)
        if column is None:
            column = self._sit(row)
        if not self._is_new(column, at_ms, seq):
            return
        line = self._line(at_ms // SLICE_MS, now_ms // SLICE_MS)
        if line is not None:
            units = round(error_kw * _UNITS_A_KW)
            self._count[line, column] += 1
            _add(self._error, line, column, units)
            _add(self._abs, line, column, abs(units))

    def sums(self, since_ms: int, until_ms: int) -> Sums:
        """Sum up [since, until), both whole slices."""
        lines = np.flatnonzero((self._stamp >= since_ms // SLICE_MS) & (self._stamp < until_ms // SLICE_MS))
        seats = len(self._seat)
        return Sums(
            rows=np.fromiter(self._seat, dtype=np.int64, count=seats),
            samples=self._count[lines, :seats].sum(axis=0, dtype=np.int64),
            error_kw=_summed(self._error[lines, :seats]),
            abs_kw=_summed(self._abs[lines, :seats]),
        )

    def _sit(self, row: int) -> int:
        column = len(self._seat)
        if column == self._count.shape[1]:
            more = max(_AT_FIRST, column // _GROWTH)
            for name in ("_count", "_error", "_abs"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate((old, np.zeros((_SLICES, more), dtype=old.dtype)), axis=1))
            self._known = np.concatenate((self._known, np.full((more, _KNOWN, 2), -1, dtype=np.int64)))
        self._seat[row] = column
        self._newest.append((-1, -1))
        self._next_known.append(0)
        return column

    def _is_new(self, column: int, at_ms: int, seq: int) -> bool:
        """Whether it was not there before; it is remembered from now on."""
        if (at_ms, seq) > self._newest[column]:
            self._newest[column] = (at_ms, seq)
        else:
            known = self._known[column]
            if bool(np.any((known[:, 0] == at_ms) & (known[:, 1] == seq))):
                return False
        self._known[column, self._next_known[column]] = (at_ms, seq)
        self._next_known[column] = (self._next_known[column] + 1) % _KNOWN
        return True

    def _line(self, number: int, now: int) -> int | None:
        """The line of a slice of time, emptied where it held an older one; None: the slice is over and gone."""
        line = number % _SLICES
        held = int(self._stamp[line])
        if held == number:
            return line
        # One beyond what may be ahead is of a time before our own clock was set back.
        if not now - _SLICES < number <= now + _AHEAD or number < held <= now + _AHEAD:
            return None
        for sums in (self._count, self._error, self._abs):
            sums[line] = 0
        self._stamp[line] = number
        return line


def _add(sums: Ints, line: int, column: int, units: int) -> None:
    sums[line, column] = max(-_MOST, min(int(sums[line, column]) + units, _MOST))


def _summed(sums: Ints) -> Floats:
    """The sum over the lines [kW], shape (k,), rounded once; by halves, as all may be more than one number holds."""
    high = (sums >> 32).sum(axis=0, dtype=np.int64)
    low = (sums & 0xFFFF_FFFF).sum(axis=0, dtype=np.int64)
    total: Floats = (high * 2.0**32 + low) / _UNITS_A_KW
    return total
