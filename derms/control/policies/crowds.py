"""The devices below overfull nodes, and what they need by when. Pure.

A device that starts as late as it can, at full power, has by any moment had just what could not wait until after it::

    kW                     what it needs in the next t hours is cap (t - start)+ - cap (t - left)+,
    cap   ┌─────┐          so two sums in each slot of time serve all devices of a node at once
    ──────┴─────┴───► h
        start  left
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import Bools, Floats, Ints
from derms.control.tree import Tree

AHEAD_H: tuple[float, ...] = (
    1 / 12, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 3 / 4, 1, 1.25, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 16, 24, 36, 72,
)  # fmt: skip
"""How far ahead is looked [h]; whole twelfths of an hour."""
_TWELFTHS = 12.0
FORESIGHT_H = 12.0
"""Room that lies so far ahead [h] counts for 1/e, because cars that come later will want some of it.
A policy may say otherwise."""
MANY = 2000
"""With more devices than this every other moment is looked at."""
SLACK_KWH = 1e-9
_SLACK = 1e-12
"""Rounding puts nobody over the line."""


@dataclass(frozen=True, slots=True)
class Moments:
    """When is looked."""

    ahead_h: Floats
    """Shape (k,)."""
    slot: Ints
    """For each twelfth of an hour the first moment that is not before it; k where there is none."""

    @staticmethod
    def of(devices: int) -> "Moments":
        """For a tree of so many devices."""
        ahead = np.asarray(AHEAD_H if devices <= MANY else AHEAD_H[1::2])
        twelfths = np.rint(ahead * _TWELFTHS)
        return Moments(ahead, np.searchsorted(twelfths, np.arange(twelfths[-1] + 2.0)))

    def by_then_kwh(self, node: Ints, nodes: int, cap_kw: Floats, start_h: Floats) -> Floats:
        """What devices that run from `start_h` on, for ever, have had together, shape (nodes, k) [kWh].

        Args:
            node: Where each counts, shape (n,).
            nodes: How many of those there are.
            cap_kw: At what power, shape (n,) [kW].
            start_h: From now, shape (n,) [h].
        """
        columns = self.ahead_h.size + 1
        twelfth = np.ceil(np.minimum(np.maximum(start_h * _TWELFTHS, 0.0), self.slot.size - 1.0))
        cell = self.slot[twelfth.astype(np.int64)]
        if nodes > 1:
            cell += node * columns
        power = np.bincount(cell, weights=cap_kw, minlength=nodes * columns).reshape(nodes, columns)[:, :-1]
        before = np.bincount(cell, weights=cap_kw * start_h, minlength=nodes * columns).reshape(nodes, columns)[:, :-1]
        had: Floats = self.ahead_h * power.cumsum(axis=1)
        had -= before.cumsum(axis=1)
        return had


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The devices below the overfull nodes of one depth, sorted by node."""

    row: Ints
    """Device rows."""
    inside: Ints
    """Below which of the nodes each is."""
    first: Ints
    """Where each node's devices begin in `row`."""
    size: Ints
    cap_kw: Floats
    """Of each device."""
    left_h: Floats
    """Until each device must be ready."""
    moments: Moments
    room_kw: Floats
    """Of each node."""
    line_kwh: Floats
    """What each node can deliver by each moment, shape (nodes, k)."""
    left_kwh: Floats
    """What its devices would have had by then had they started when they must be ready, shape (nodes, k)."""

    @staticmethod
    def of(
        row: Ints, inside: Ints, cap_kw: Floats, left_h: Floats, room_kw: Floats, moments: Moments, foresight_h: float
    ) -> "Crowd":
        """Of devices sorted by node; `room_kw` is one a node."""
        size = np.bincount(inside, minlength=room_kw.size)
        ahead = moments.ahead_h
        line = room_kw[:, None] * (foresight_h * -np.expm1(-ahead / foresight_h))
        return Crowd(
            row=row,
            inside=inside,
            first=np.cumsum(size) - size,
            size=size,
            cap_kw=cap_kw,
            left_h=left_h,
            moments=moments,
            room_kw=room_kw,
            line_kwh=line * (1.0 + _SLACK) + SLACK_KWH,
            left_kwh=moments.by_then_kwh(inside, room_kw.size, cap_kw, left_h),
        )

    def spread(self, value: Floats) -> Floats:
        """One value a node -> one value a device; a single one is left to broadcasting."""
        return value if value.size == 1 else value.repeat(self.size)

    def sums(self, value: Floats) -> Floats:
        """One value a device -> one value a node."""
        return np.add.reduceat(value, self.first)

    def need_kwh(self, energy_kwh: Floats) -> Floats:
        """What of energies, one a device, cannot wait until after each moment, shape (nodes, k) [kWh]."""
        start = self.left_h - energy_kwh / self.cap_kw
        return self.moments.by_then_kwh(self.inside, self.room_kw.size, self.cap_kw, start) - self.left_kwh

    def at(self, order: Ints) -> "Crowd":
        """The same devices in another order, which leaves each at its node."""
        return replace(self, row=self.row[order], cap_kw=self.cap_kw[order], left_h=self.left_h[order])

    def only(self, chosen: Bools) -> "Crowd":
        """The devices of some of the nodes."""
        if chosen.all():
            return self
        kept, size = np.repeat(chosen, self.size), self.size[chosen]
        return replace(
            self,
            row=self.row[kept],
            inside=np.repeat(np.arange(size.size), size),
            first=np.cumsum(size) - size,
            size=size,
            cap_kw=self.cap_kw[kept],
            left_h=self.left_h[kept],
            room_kw=self.room_kw[chosen],
            line_kwh=self.line_kwh[chosen],
            left_kwh=self.left_kwh[chosen],
        )


def crowds_of(
    tree: Tree, node: Ints, cap_kw: Floats, left_h: Floats, room_kw: Floats, foresight_h: float = FORESIGHT_H
) -> tuple[Crowd, ...]:
    """Find the nodes below which more is wanted than there is room, deepest first.

    Args:
        tree: The nodes.
        node: Where each device hangs, shape (n,).
        cap_kw: What each can take, shape (n,) [kW].
        left_h: Hours until each must be ready, shape (n,).
        room_kw: Of each node, shape (m,) [kW].
        foresight_h: Room that lies so far ahead counts for 1/e [h].
    """
    wanted = tree.at_nodes(node, cap_kw)
    found: list[Crowd] = []
    moments: Moments | None = None
    for depth, level in reversed(tuple(enumerate(tree.depths))):
        full = wanted[level.row] > room_kw[level.row]
        if full.any():
            over = level.row[full]
            moments = moments or Moments.of(node.size)
            row, inside = _below(tree, depth, over, node, cap_kw)
            found.append(Crowd.of(row, inside, cap_kw[row], left_h[row], room_kw[over], moments, foresight_h))
            wanted[over] = room_kw[over]
        if depth:
            wanted[level.above] += np.add.reduceat(wanted[level.row], level.first)
    return tuple(found)


def _below(tree: Tree, depth: int, over: Ints, node: Ints, cap_kw: Floats) -> tuple[Ints, Ints]:
    """Device rows below the nodes `over` of one depth, sorted by those, and below which of them each is."""
    if depth == 0 and over.size == 1 and tree.depths[0].row.size == 1:
        row = np.flatnonzero(cap_kw > 0.0)
        return row, np.zeros(row.size, dtype=np.int64)
    above = np.full(tree.parent.size, -1, dtype=np.int64)
    above[over] = np.arange(over.size)
    for level in tree.depths[depth + 1 :]:
        above[level.row] = above[tree.parent[level.row]]
    number = above[node]
    row = np.flatnonzero((number >= 0) & (cap_kw > 0.0))
    # Sorting whole keys is many times faster than a stable argsort.
    key = np.sort((number[row] << 32) | row)
    return key & 0xFFFFFFFF, key >> 32
