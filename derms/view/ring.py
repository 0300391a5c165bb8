"""Sums of tracking errors in slices of ten seconds, for the last twenty minutes. Pure: the clock is an argument.

A sample counts when it names a setpoint, by the device's own instant, and once: it is told from one that came before by
instant and sequence number, as the store tells them apart. Of a device that sends late or twice the last samples are
remembered for that.

The sums are whole numbers of a unit of 15 nW, so that they agree with the stored rows to the last digits however many
there are, and nothing is rounded off on the way.

Samples wait, a thousand or two, and are summed up together: before anything is read, and when a slice is over.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from derms.columns import Floats, Ints
from derms.view.cells import Cells
from derms.view.recent import Recent

SLICE_MS = 10_000
LONGEST_S = 1_200
_AHEAD = 4
"""Slices that a device's clock may run ahead of ours; the wire contract takes no more."""
_SLICES = LONGEST_S * 1000 // SLICE_MS + _AHEAD + 1
_UNITS_A_KW = 2.0**36
_MOST_UNITS = 2.0**62
"""No sample is worth more, 67 GW; a sum of 10 s stays at twice that, in either direction."""
_WAITING = 2_048
_AT_FIRST = 64
"""Columns at first; they double when they are full."""


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
    """Bounded: 1.15 kB for each device that names a setpoint, none for the others.

    On top come 12 bytes for each slice of ten seconds in which a device was above its setpoint and below it, and as
    many where its errors came to more than 2 MW, or its samples to more than 255.
    """

    def __init__(self) -> None:
        self._column = np.empty(0, dtype=np.int32)
        """By row of the fleet: its column here; -1: none."""
        self._seats = 0
        self._columns = 0
        self._stamp = np.full(_SLICES, -1, dtype=np.int64)
        """Which slice of time each line holds."""
        self._cells = Cells(_SLICES)
        self._recent = Recent()
        self._now = -1
        """In which slice of time those that wait have come."""
        self._waiting = 0
        self._ints = np.empty((3, _WAITING), dtype=np.int64)
        self._errors = np.empty(_WAITING)
        # A memoryview takes half as long as numpy to write one number.
        columns: list[Any] = [*self._ints, self._errors]
        cells: list[Any] = [memoryview(column) for column in columns]
        self._rows_in, self._ats_in, self._seqs_in, self._errors_in = cells

    def add(self, row: int, error_kw: float, *, at_ms: int, seq: int, now_ms: int) -> None:
        """Take a sample in.

        Args:
            row: The device's row.
            error_kw: What it drew less what it was to draw [kW].
            at_ms: The device's instant [epoch ms].
            seq: Its sequence number; -1: it does not count.
            now_ms: The controller's clock [epoch ms].
        """
        now = now_ms // SLICE_MS
        if now != self._now:
            self._sum_up()
            self._now = now
        at = self._waiting
        self._rows_in[at] = row
        self._ats_in[at] = at_ms
        self._seqs_in[at] = seq
        self._errors_in[at] = error_kw
        self._waiting = at + 1
        if self._waiting == _WAITING:
            self._sum_up()

    def sums(self, since_ms: int, until_ms: int) -> Sums:
        """Sum up [since, until), both whole slices."""
        self._sum_up()
        lines = np.flatnonzero((self._stamp >= since_ms // SLICE_MS) & (self._stamp < until_ms // SLICE_MS))
        totals = self._cells.totals(lines)
        seated = np.flatnonzero(self._column >= 0)
        rows = np.empty(self._seats, dtype=np.int64)
        rows[self._column[seated]] = seated
        return Sums(rows, totals.count, totals.sum / _UNITS_A_KW, totals.size / _UNITS_A_KW)

    def _sum_up(self) -> None:
        """Add those that wait to their cells."""
        count, self._waiting = self._waiting, 0
        if not count:
            return
        rows, at_ms, seq = self._ints[:, :count]
        columns = self._seated(rows)
        lines = self._lines(at_ms // SLICE_MS)
        counts = self._recent.take(columns, at_ms, seq) & (lines >= 0)
        errors = np.clip(np.rint(self._errors[:count] * _UNITS_A_KW), -_MOST_UNITS, _MOST_UNITS)
        self._cells.add(lines[counts], columns[counts], errors[counts].astype(np.int64))

    def _seated(self, rows: Ints) -> Ints:
        """The columns of some rows, shape (n,); who has none gets one."""
        most = int(rows.max()) + 1
        if most > self._column.size:
            more = max(most, 2 * self._column.size) - self._column.size
            self._column = np.append(self._column, np.full(more, -1, dtype=np.int32))
        new = np.unique(rows[self._column[rows] < 0])
        if new.size:
            taken = slice(self._seats, self._seats + new.size)
            self._column[new] = np.arange(taken.start, taken.stop)
            self._seats = taken.stop
            if self._seats > self._columns:
                self._columns = max(self._seats, 2 * self._columns, _AT_FIRST)
                self._cells.widen(self._columns)
                self._recent.widen(self._columns)
            self._cells.begin(taken)
            self._recent.begin(taken)
        return self._column[rows].astype(np.int64)

    def _lines(self, numbers: Ints) -> Ints:
        """The lines of slices of time, shape (n,); -1: the slice is over and gone."""
        found, which = np.unique(numbers, return_inverse=True)
        # The latest first: of two that share a line it is the one that has it.
        lines = [self._line(number) for number in found[::-1].tolist()]
        return np.array(lines[::-1], dtype=np.int64)[which]

    def _line(self, number: int) -> int:
        """The line of a slice of time, emptied where it held an older one; -1: the slice is over and gone."""
        line = number % _SLICES
        held = int(self._stamp[line])
        if held == number:
            return line
        # One beyond what may be ahead is of a time before our own clock was set back.
        latest = self._now + _AHEAD
        if not self._now - _SLICES < number <= latest or number < held <= latest:
            return -1
        self._cells.empty(line)
        self._stamp[line] = number
        return line
