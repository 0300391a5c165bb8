"""Who sits where on a forest, laid out so that everything below a node is one slice. Pure.

Nodes are numbered depth first ("places") and devices sorted by the place they hang on, so that a segmented sum over
slices serves all nodes of one depth at once::

    node      0 feeder                place  0 1 2 3        seats of place 1: 1 and 2 together
              ├─ 1 transformer        node   0 1 3 2
              │  └─ 3 site            end    4 3 3 4
              └─ 2 transformer

Arrays "by place" have shape (m,) in that order; arrays "by seat" have shape (n,) in the order of `Seats.row`.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from derms.columns import Bools, Floats, Ints
from derms.control.tree import Picks, Tree, picks

_Column = TypeVar("_Column", Floats, Ints, Bools)


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """The places of one depth, ascending, and how they join the depth above."""

    place: Ints
    parent: Ints
    """Place of each one's parent; roots have -1."""
    above: Ints
    """The different parents, ascending."""
    first: Ints
    """Where in `place` the children of each of `above` begin."""
    places: Picks
    """What picks `place`..."""
    parents: Picks
    """...and `above` out of all places."""

    def add_up(self, total: Floats) -> None:
        """Add what stands here to the parents, in place; roots have none."""
        if self.parent[0] >= 0:
            total[self.parents] += np.add.reduceat(total[self.places], self.first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seats:
    """The layout of one tree and of what hangs on it. Worth keeping for as long as both stay the same."""

    row: Ints
    """Device row of each seat, shape (n,)."""
    place: Ints
    """Place of each seat's node, shape (n,), ascending."""
    node: Ints
    """Node row of each place, shape (m,)."""
    end: Ints
    """One beyond the last place below each place, shape (m,)."""
    edge: Ints
    """Seats before each place, shape (m + 1,)."""
    depths: tuple[Depth, ...]
    """Roots first."""

    @staticmethod
    def of(tree: Tree, node: Ints) -> "Seats":
        """Lay out devices that hang on nodes `node`, shape (n,)."""
        order, place, end, depths = _depth_first(tree)
        stands = place[node]
        # Sorting whole keys is many times faster than a stable argsort.
        row = np.sort((stands << 32) | np.arange(node.size)) & 0xFFFFFFFF
        edge = np.zeros(order.size + 1, dtype=np.int64)
        np.cumsum(np.bincount(stands, minlength=order.size), out=edge[1:])
        return Seats(row=row, place=stands[row], node=order, end=end, edge=edge, depths=depths)

    def up(self, own: Floats) -> Floats:
        """Sum each place with everything below it; by place."""
        total = own.copy()
        for depth in self.depths[:0:-1]:
            depth.add_up(total)
        return total

    def overfull(self, own: Floats, left: Floats) -> Bools:
        """Where sums pass the room, when no place below passes on more than its own room; by place."""
        total = own.copy()
        for depth in reversed(self.depths):
            if depth.parent[0] >= 0:
                passed = np.minimum(total[depth.places], left[depth.places])
                total[depth.parents] += np.add.reduceat(passed, depth.first)
        return total > left

    def down_min(self, own: Floats) -> Floats:
        """The smallest value on the way from each place to its root, itself included; by place."""
        least = own.copy()
        for depth in self.depths[1:]:
            least[depth.places] = np.minimum(least[depth.places], least[depth.parent])
        return least

    def down_any(self, own: Bools) -> Bools:
        """Whether it holds anywhere on the way from each place to its root, itself included; by place."""
        held = own.copy()
        for depth in self.depths[1:]:
            held[depth.places] |= held[depth.parent]
        return held

    def down_argmin(self, own: Floats) -> Ints:
        """Where on the way to its root the smallest value stands, the nearest such place; by place."""
        least = own.copy()
        where = np.arange(own.size)
        for depth in self.depths[1:]:
            tighter = least[depth.parent] < least[depth.places]
            inherits, bequeaths = depth.place[tighter], depth.parent[tighter]
            least[inherits] = least[bequeaths]
            where[inherits] = where[bequeaths]
        return where

    def own(self, value: Floats) -> Floats:
        """Sum values by seat into their own places, without what is below; by place."""
        return sums_between(value, self.edge)

    def edges(self, who: Ints) -> Ints:
        """How many of the seats `who`, ascending, come before each place, shape (m + 1,)."""
        if who.size == self.row.size:
            return self.edge
        if who.size > 4 * self.node.size:
            return who.searchsorted(self.edge)
        edge = np.zeros_like(self.edge)
        np.cumsum(np.bincount(self.place[who], minlength=self.node.size), out=edge[1:])
        return edge

    def below(self, who: Ints, value: Floats) -> Floats:
        """Sum values of the seats `who` into their places and everything above them; by place."""
        own = np.bincount(self.place[who], weights=value, minlength=self.node.size)
        return self.up(own.astype(np.float64, copy=False))

    def rows(self, value: _Column) -> _Column:
        """Put values by seat back into the order of the device rows."""
        put = np.empty_like(value)
        put[self.row] = value
        return put

    def nodes(self, value: _Column) -> _Column:
        """Put values by place back into the order of the node rows."""
        put = np.empty_like(value)
        put[self.node] = value
        return put


def sums_between(value: Floats, edge: Ints) -> Floats:
    """Sum each slice ``value[edge[k]:edge[k + 1]]``; an empty one sums to 0."""
    total = np.zeros(edge.size - 1)
    filled = (edge[1:] > edge[:-1]).nonzero()[0]
    if filled.size:
        total[filled] = np.add.reduceat(value, edge[filled])
    return total


def _depth_first(tree: Tree) -> tuple[Ints, Ints, Ints, tuple[Depth, ...]]:
    """Number the nodes depth first: nodes by place, places by node, ends and depths by place."""
    size = tree.up(np.ones(tree.parent.size)).astype(np.int64)
    place = np.empty(tree.parent.size, dtype=np.int64)
    depths: list[Depth] = []
    for level in tree.levels:
        parent = np.where(tree.parent[level] >= 0, place[tree.parent[level]], -1) if depths else tree.parent[level]
        sorting = np.argsort(parent, kind="stable")
        nodes, parent = level[sorting], parent[sorting]
        first = np.flatnonzero(np.diff(parent, prepend=-2))
        before = np.cumsum(size[nodes]) - size[nodes]
        # A node comes right after its parent and everything below its elder siblings.
        elder = before - np.repeat(before[first], np.diff(np.append(first, parent.size)))
        place[nodes] = parent + 1 + elder
        here, above = place[nodes], parent[first]
        depths.append(
            Depth(place=here, parent=parent, above=above, first=first, places=picks(here), parents=picks(above))
        )
    order = np.empty_like(place)
    order[place] = np.arange(place.size)
    return order, place, np.arange(place.size) + size[order], tuple(depths)
