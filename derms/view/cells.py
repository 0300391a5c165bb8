"""Whole numbers, their sums and the sums of their sizes, many a line of time; packed. Pure.

Nearly all that is added to a cell has one sign and comes to little, so a cell is 7 bytes: a sum of 48 bits, whose size
is the sum of the sizes too, and a count of 8. What does not fit in so, of the other sign or beyond 48 bits or 255, is
added up beside it, 12 bytes for each cell and kind that needs it:

    line 3   cells   column 0    +5 (2 of them)      column 1    -7 (1)       column 2    0 (0)
             beside  column 1, RISE: 4               so column 1 is: sum 4 - 7, sizes 4 + 7
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from derms.columns import Bools, Floats, Ints
from derms.pages import blank

S = TypeVar("S", bound=np.generic)

MOST = 2**63 - 1
"""What a sum of one sign holds; beyond it stays there."""
_CELL_MOST = 2**47
_LOW = 0xFFFF_FFFF
_RISE, _FALL, _COUNTS = range(3)
_KINDS = 3
_A_COUNT = 256
"""What one of `_COUNTS` stands for."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Of every column, shape (k,) each."""

    count: Ints
    sum: Floats
    size: Floats
    """The sum of the sizes."""


class Cells:
    """Lines of cells, all empty at first; every line has a column for each of those who sum up."""

    def __init__(self, lines: int) -> None:
        self._low = np.zeros((lines, 0), dtype=np.uint32)
        self._high = np.zeros((lines, 0), dtype=np.int16)
        self._count = np.zeros((lines, 0), dtype=np.uint8)
        self._beside = [_Beside() for _ in range(lines)]
        self._used = 0
        """Columns that somebody has; those behind them take no memory yet."""

    def widen(self, columns: int) -> None:
        """Make room for more columns; what is there stays."""
        self._low = _wider(self._low, columns)
        self._high = _wider(self._high, columns)
        self._count = _wider(self._count, columns)

    def begin(self, columns: slice) -> None:
        """Take the memory of the next columns now, and not line by line as time passes."""
        self._used = columns.stop
        for cells in (self._low, self._high, self._count):
            cells[:, columns] = 0

    def empty(self, line: int) -> None:
        """Begin a line anew."""
        for cells in (self._low, self._high, self._count):
            cells[line, : self._used] = 0
        self._beside[line] = _Beside()

    def add(self, lines: Ints, columns: Ints, values: Ints) -> None:
        """Add values to their cells; shape (n,) each, in any order, several to one cell too."""
        size = np.abs(values)
        cell = lines * self._low.shape[1] + columns
        for falls in (False, True):
            at = np.flatnonzero((values < 0) == falls)
            if at.size:
                self._add(*_summed(cell[at], size[at]), falls=falls)

    def totals(self, lines: Ints) -> Totals:
        """Sum up some lines, of every column that somebody has."""
        columns = self._used
        count, held_sum, held_size = (np.zeros(columns, dtype=np.int64) for _ in range(3))
        for line in lines:
            # No more than 2**47 each: of these it takes 65,536 lines to overflow.
            held = _held(self._low[line, :columns], self._high[line, :columns])
            count += self._count[line, :columns]
            held_sum += held
            held_size += np.abs(held)
        total, size = _Halves(held_sum), _Halves(held_size)
        for line in lines:
            beside = self._beside[line]
            for kind, sign in ((_RISE, 1), (_FALL, -1)):
                at, amounts = beside.of(kind)
                total.add(at, amounts, sign)
                size.add(at, amounts, 1)
            at, amounts = beside.of(_COUNTS)
            count[at] += amounts * _A_COUNT
        return Totals(count, total.rounded(), size.rounded())

    def _add(self, cell: Ints, amount: Ints, count: Ints, *, falls: bool) -> None:
        """Add amounts of one sign; no cell comes twice."""
        low, high, counts = self._low.reshape(-1), self._high.reshape(-1), self._count.reshape(-1)
        held = _held(low[cell], high[cell])
        total = held - amount if falls else held + amount  # wraps where it does not fit in anyway
        one_sign = (held <= 0) if falls else (held >= 0) | (amount == 0)
        fits = one_sign & (amount < _CELL_MOST) & (np.abs(total) < _CELL_MOST)
        low[cell[fits]] = total[fits] & _LOW
        high[cell[fits]] = total[fits] >> 32
        count = count + counts[cell]
        counts[cell] = count % _A_COUNT
        self._put_beside(cell, _FALL if falls else _RISE, amount, ~fits)
        self._put_beside(cell, _COUNTS, count // _A_COUNT, count >= _A_COUNT)

    def _put_beside(self, cell: Ints, kind: int, amount: Ints, which: Bools) -> None:
        if which.any():
            line, column = np.divmod(cell[which], self._low.shape[1])
            for one in np.unique(line):
                self._beside[one].add(column[line == one] * _KINDS + kind, amount[which][line == one])


class _Beside:
    """What does not fit in the cells of one line: a sum >= 0 by column and kind."""

    __slots__ = ("_keys", "_sums")

    def __init__(self) -> None:
        self._keys = np.empty(0, dtype=np.int32)
        """Column * 3 + kind, rising."""
        self._sums = np.empty(0, dtype=np.int64)

    def add(self, keys: Ints, amounts: Ints) -> None:
        """Add some; keys rise."""
        at = np.searchsorted(self._keys, keys)
        known = np.zeros(keys.size, dtype=np.bool_)
        inside = at < self._keys.size
        known[inside] = self._keys[at[inside]] == keys[inside]
        room = MOST - self._sums[at[known]]
        self._sums[at[known]] += np.minimum(amounts[known], room)
        if not known.all():
            self._keys = np.insert(self._keys, at[~known], keys[~known])
            self._sums = np.insert(self._sums, at[~known], amounts[~known])

    def of(self, kind: int) -> tuple[Ints, Ints]:
        """Columns and sums of one kind, shape (m,) each."""
        at = np.flatnonzero(self._keys % _KINDS == kind)
        return (self._keys[at] // _KINDS).astype(np.int64), self._sums[at]


class _Halves:
    """Sums in two halves of 32 bits, as all of them may be more than one number holds."""

    def __init__(self, whole: Ints) -> None:
        self._high, self._low = whole >> 32, whole & _LOW

    def add(self, at: Ints, amounts: Ints, sign: int) -> None:
        """Add amounts at some places, none of them twice."""
        self._high[at] += sign * (amounts >> 32)
        self._low[at] += sign * (amounts & _LOW)

    def rounded(self) -> Floats:
        """All, rounded once."""
        total: Floats = self._high * 2.0**32 + self._low
        return total


def _wider(cells: NDArray[S], columns: int) -> NDArray[S]:
    lines, before = cells.shape
    wider = blank((lines, columns), cells.dtype)
    wider[:, :before] = cells
    return wider


def _held(low: NDArray[np.uint32], high: NDArray[np.int16]) -> Ints:
    held: Ints = (high.astype(np.int64) << 32) | low
    return held


def _summed(cell: Ints, size: Ints) -> tuple[Ints, Ints, Ints]:
    """Each cell once, rising; the sum of its sizes, and how many they are."""
    order = np.argsort(cell, kind="stable")
    cell, size = cell[order], size[order]
    starts = np.flatnonzero(np.append(True, cell[1:] != cell[:-1]))
    low = np.add.reduceat(size & _LOW, starts)
    high = np.add.reduceat(size >> 32, starts) + (low >> 32)
    total = np.where(high < 2**31, (high << 32) | (low & _LOW), MOST)
    return cell[starts], total, np.diff(starts, append=cell.size)
