"""Which samples came before: the last few of each device, by instant and sequence number. Pure.

A sample is remembered by one number: its instant times the golden ratio of 2**64, plus its sequence number. Two samples
of a device whose instants lie less than 2**31 ms (24 days) apart, and their sequence numbers less than 2**31, never
share one, nor do two that have no sequence number; of others one in 2**64 pairs does.

Source: D. E. Knuth, The Art of Computer Programming, vol. 3, section 6.4, "Fibonacci hashing": multiples of the golden
ratio keep the greatest distance from one another, here 2**64 / (sqrt(5) * 2**31) > 2**31.
"""

import numpy as np

from derms.columns import Bools, Ints
from derms.pages import blank

KNOWN = 33
"""So many a device: one counts once when no more than 32 others came before it came again."""
_SPREAD = 0x9E37_79B9_7F4A_7C15 - 2**64


class Recent:
    """264 bytes a device."""

    def __init__(self) -> None:
        self._keys: Ints = np.zeros((0, KNOWN), dtype=np.int64)
        """By column; 0: none."""
        self._next = np.zeros(0, dtype=np.uint8)

    def widen(self, columns: int) -> None:
        """Make room for more devices; what is there stays."""
        before = self._next.size
        keys = blank((columns, KNOWN), self._keys.dtype)
        keys[:before] = self._keys
        self._keys = keys
        self._next = np.append(self._next, np.zeros(columns - before, dtype=np.uint8))

    def begin(self, columns: slice) -> None:
        """Take the memory of some columns now, and not as they fill."""
        self._keys[columns] = 0

    def take(self, columns: Ints, at_ms: Ints, seq: Ints) -> Bools:
        """Which of some samples were not there before; these are remembered from now on.

        Args:
            columns: Whose they are, shape (n,).
            at_ms: Their instants [epoch ms].
            seq: Their sequence numbers; -1: none.
        """
        keys = (at_ms + 1) * _SPREAD + (seq + 1)  # wraps round; 0 is (-1, -1), which no sample is
        again = (self._keys[columns] == keys[:, np.newaxis]).any(axis=1)
        in_turn = np.argsort(columns, kind="stable")
        if np.any(columns[in_turn[1:]] == columns[in_turn[:-1]]):  # some device has several
            order = np.lexsort((keys, columns))
            first, second = order[:-1], order[1:]
            again[second] |= (columns[first] == columns[second]) & (keys[first] == keys[second])
        new: Bools = ~again
        kept = in_turn[new[in_turn]]
        if kept.size:
            self._remember(columns[kept], keys[kept])
        return new

    def _remember(self, columns: Ints, keys: Ints) -> None:
        """Put some in place of the oldest; those of one device stand together, the newest last."""
        starts = np.flatnonzero(np.append(True, columns[1:] != columns[:-1]))
        sizes = np.diff(starts, append=columns.size)
        rank = np.arange(columns.size) - np.repeat(starts, sizes)
        stays = rank >= np.repeat(sizes, sizes) - KNOWN
        slots = (self._next[columns] + rank) % KNOWN
        self._keys[columns[stays], slots[stays]] = keys[stays]
        owners = columns[starts]
        self._next[owners] = (self._next[owners] + sizes) % KNOWN
