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


@dataclass(frozen=True, slots=True)
class Tree:
    """The shape of a forest. Nodes stand parents first."""

    parent: Ints
    """Shape (m,): row of the parent, always smaller than the own; -1 for a root."""
    levels: tuple[Ints, ...]
    """Rows by depth, roots first."""

    @staticmethod
    def of(parent: Ints) -> "Tree":
        """Build the levels.

        Raises:
            ValueError: A parent does not stand before its child.
        """
        if np.any(parent >= np.arange(parent.size)) or np.any(parent < -1):
            raise ValueError("a parent must stand before its children, and a root's parent is -1")
        levels = [np.flatnonzero(parent < 0)]
        below = parent >= 0
        while below.any():
            inside = np.zeros(parent.size, dtype=bool)
            inside[levels[-1]] = True
            found = np.flatnonzero(below & inside[np.maximum(parent, 0)])
            levels.append(found)
            below[found] = False
        return Tree(parent, tuple(levels))

    def up(self, own: Floats) -> Floats:
        """Sum each node with everything below it.

        Args:
            own: Each node's own values, shape (m,) or (m, k).
        """
        total = own.astype(np.float64, copy=True)
        for level in self.levels[:0:-1]:
            np.add.at(total, self.parent[level], total[level])
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
