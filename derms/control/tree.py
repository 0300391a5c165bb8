"""A forest of nodes as arrays: sums upwards, minima downwards. Pure.

::

    parent = [-1, 0, 0, 1]        0 feeder
                                  ├─ 1 transformer
                                  │  └─ 3 site
                                  └─ 2 transformer
"""

from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, Floats, Ints

Picks = Ints | slice
"""What picks rows out of an array: a slice where they stand side by side, which spares a copy, else their numbers."""


def picks(row: Ints) -> Picks:
    """What picks some rows, in their order."""
    if row.size and row[-1] - row[0] == row.size - 1 and (row[1:] > row[:-1]).all():
        return slice(int(row[0]), int(row[-1]) + 1)
    return row


@dataclass(frozen=True, slots=True)
class Depth:
    """The nodes of one depth, siblings side by side, and how they join the depth above."""

    row: Ints
    above: Ints
    """The different parents, in the order of their children."""
    first: Ints
    """Where in `row` the children of each of `above` begin."""
    rows: Picks
    """What picks `row`..."""
    parents: Picks
    """...and `above` out of all nodes."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The shape of a forest. Nodes stand parents first."""

    parent: Ints
    """Shape (m,): row of the parent, always smaller than the own; -1 for a root."""
    depths: tuple[Depth, ...]
    """Roots first."""

    @staticmethod
    def of(parent: Ints) -> "Tree":
        """Find the depths.

        Raises:
            ValueError: A parent does not stand before its child.
        """
        if np.any(parent >= np.arange(parent.size)) or np.any(parent < -1):
            raise ValueError("a parent must stand before its children, and a root's parent is -1")
        depths = []
        row = np.flatnonzero(parent < 0)
        below = np.flatnonzero(parent >= 0)
        while row.size:
            row = row[np.argsort(parent[row], kind="stable")]
            first = np.flatnonzero(np.diff(parent[row], prepend=-2))
            above = parent[row][first]
            depths.append(Depth(row, above, first, picks(row), picks(above)))
            inside = np.zeros(parent.size, dtype=bool)
            inside[row] = True
            joins = inside[parent[below]]
            row, below = below[joins], below[~joins]
        return Tree(parent, tuple(depths))

    @property
    def levels(self) -> tuple[Ints, ...]:
        """Rows by depth, roots first."""
        return tuple(depth.row for depth in self.depths)

    def up(self, own: Floats) -> Floats:
        """Sum each node with everything below it.

        Args:
            own: Each node's own values, shape (m,) or (k, m).
        """
        total = own.astype(np.float64, copy=True)
        for depth in self.depths[:0:-1]:
            total[..., depth.parents] += np.add.reduceat(total[..., depth.rows], depth.first, axis=-1)
        return total

    def down_min(self, own: Floats) -> Floats:
        """The smallest value on the way from each node to its root, itself included; shape (m,)."""
        least = own.astype(np.float64, copy=True)
        for level in self.levels[1:]:
            least[level] = np.minimum(least[level], least[self.parent[level]])
        return least

    def down_any(self, own: Bools) -> Bools:
        """Whether it holds for any node on the way from each node to its root, itself included; shape (m,)."""
        held = own.copy()
        for level in self.levels[1:]:
            held[level] |= held[self.parent[level]]
        return held

    def nearest(self, own: Bools) -> Ints:
        """The nearest node on each node's way to its root, itself first, for which it holds; shape (m,); -1: none."""
        found = np.where(own, np.arange(own.size), -1)
        for level in self.levels[1:]:
            found[level] = np.where(own[level], level, found[self.parent[level]])
        return found

    def at_nodes(self, node: Ints, value: Floats) -> Floats:
        """Sum device values, shape (n,), into the nodes they hang on, shape (m,), without what is below."""
        return np.bincount(node, weights=value, minlength=self.parent.size).astype(np.float64, copy=False)

    def subtree(self, node: Ints, value: Floats) -> Floats:
        """Sum device values, shape (n,), into every node above them, shape (m,)."""
        return self.up(self.at_nodes(node, value))
