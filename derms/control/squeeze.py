"""Shares that pass a node's room, brought down to it: by a common level, or one after the other. Pure.

Many nodes at once: what hangs below each is one slice of the members, and every step is a segmented one.

Source: Bertsekas and Gallager, Data Networks, section 6.5.2 (weighted max-min). The level is found by Newton's method
on a piecewise linear sum, which ends after finitely many steps.
"""

from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, Floats, Ints

_EXACT = 1e-13
"""A level is found when what it gives is this close to the room, as a share of it."""
_MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class Slices:
    """Disjoint slices of an array, read as one array in which each is a segment."""

    index: Ints | slice
    """What picks them out of the whole."""
    first: Ints
    """Where each begins in what was picked."""
    size: Ints

    @staticmethod
    def of(begin: Ints, end: Ints) -> "Slices":
        """Slices ``begin[k]:end[k]``, ascending, none of them empty."""
        size = end - begin
        first = np.cumsum(size) - size
        if begin.size == 1:
            return Slices(slice(int(begin[0]), int(end[0])), first, size)
        index = np.arange(first[-1] + size[-1]) + np.repeat(begin - first, size)
        return Slices(index, first, size)

    def only(self, chosen: Bools) -> "Slices":
        """Some of the segments."""
        if isinstance(self.index, slice) or chosen.all():
            return self
        size = self.size[chosen]
        return Slices(self.index[np.repeat(chosen, self.size)], np.cumsum(size) - size, size)

    def spread(self, value: Floats) -> Floats:
        """One value a segment -> one value a member; a single one is left to broadcasting."""
        return value if value.size == 1 else np.repeat(value, self.size)

    def sums(self, value: Floats) -> Floats:
        """Sum each segment."""
        return np.add.reduceat(value, self.first)

    def fit(self, value: Floats, room: Floats) -> Floats:
        """Take back what rounding has given beyond the room."""
        total = self.sums(value)
        if (total <= room).all():
            return value
        return value * self.spread(np.where(total > room, room / np.where(total > room, total, 1.0), 1.0))


@dataclass(frozen=True, slots=True)
class Level:
    """Service by a rising level."""

    weight: Floats
    start: Floats | None = None

    @staticmethod
    def of(weight: Floats, start: Floats | None) -> "Level":
        """Equal starts are no starts: only differences between starts mean anything."""
        differ = start is not None and bool((start != start[0]).any())
        return Level(weight, start if differ else None)

    def squeeze(self, share: Floats, slices: Slices, room: Floats) -> None:
        """Lower shares in place so that each segment, whose shares sum to more, fits its room > 0."""
        ceiling, weight = share[slices.index], self.weight[slices.index]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            if self.start is None:
                found = _rise(ceiling, weight, slices, room)
            else:
                found = _rise_from(ceiling, weight, self.start[slices.index], slices, room)
        share[slices.index] = slices.fit(found, room)


def _rise(ceiling: Floats, weight: Floats, slices: Slices, room: Floats) -> Floats:
    """``min(weight * level, ceiling)`` with the level at which each segment sums to its room.

    Newton's method: the sum is concave and piecewise linear in the level, so from below it rises to the answer without
    passing it, and it ends on the answer's own piece.
    """
    level, close = room / slices.sums(weight), _EXACT * room
    rising, share = np.empty_like(weight), np.empty_like(weight)
    for _ in range(_MOST_STEPS):
        np.multiply(weight, slices.spread(level), out=rising)
        np.minimum(rising, ceiling, out=share)
        short = room - slices.sums(share)
        move = short > close
        if not move.any():
            break
        slope = slices.sums(np.multiply(weight, rising < ceiling, out=rising))
        level = level + np.where(move & (slope > 0.0), short / slope, 0.0)
    return share


def _rise_from(ceiling: Floats, weight: Floats, start: Floats, slices: Slices, room: Floats) -> Floats:
    """``clip(weight * (level - start), 0, ceiling)`` with the level at which each segment sums to its room.

    The sum rises with the level, but bends both ways where starts differ: Newton's steps are kept inside a bracket, and
    where one has not halved what is missing, the bracket is halved instead.
    """
    start = start - slices.spread(np.minimum.reduceat(start, slices.first))
    low, close, before = np.zeros(room.size), _EXACT * room, room
    high = np.fmin(np.maximum.reduceat(start + ceiling / weight, slices.first), 1e300)
    # As if all had begun and none were full: errors of both kinds, so often close.
    level = np.fmin((room + slices.sums(weight * start)) / slices.sums(weight), high)
    for _ in range(_MOST_STEPS):
        rising = slices.spread(level) - start
        rising *= weight
        share = np.minimum(np.maximum(rising, 0.0), ceiling)
        short = room - slices.sums(share)
        missing = np.abs(short)
        move = missing > close
        if not move.any():
            return share
        low, high = np.where(short >= 0.0, level, low), np.where(short < 0.0, level, high)
        newton = level + short / slices.sums(weight * (share == rising))
        good = (newton > low) & (newton < high) & (missing <= 0.5 * before)
        level = np.where(move, np.where(good, newton, low + 0.5 * (high - low)), level)
        before = missing
    # The bracket is as narrow as numbers go, or holds one straight piece: between its ends everything is in proportion.
    below = np.clip(weight * (slices.spread(low) - start), 0.0, ceiling)
    above = np.clip(weight * (slices.spread(high) - start), 0.0, ceiling)
    floor, top = slices.sums(below), slices.sums(above)
    part = np.where(top > floor, (room - floor) / np.where(top > floor, top - floor, 1.0), 0.0)
    return below + slices.spread(np.clip(part, 0.0, 1.0)) * (above - below)


@dataclass(frozen=True, slots=True)
class Queue:
    """Service of one after the other, in the order of `in_order`."""

    rank: Floats
    size: Floats

    def squeeze(self, share: Floats, slices: Slices, room: Floats) -> None:
        """Lower shares in place so that each segment fits its room."""
        # Only those in the way of others are sorted, often a small part of all.
        order = in_order(self.rank[slices.index], self.size[slices.index])
        if slices.first.size > 1:
            segment = np.repeat(np.arange(slices.first.size), slices.size)
            order = order[np.sort((segment[order] << 32) | np.arange(order.size)) & 0xFFFFFFFF]
        asked = share[slices.index][order]
        before = np.cumsum(asked) - asked
        left = slices.spread(room + before[slices.first]) - before
        given = np.empty_like(asked)
        given[order] = slices.fit(np.minimum(np.maximum(left, 0.0), asked), room)
        share[slices.index] = given


def in_order(rank: Floats, size: Floats) -> Ints:
    """Sort by rank, largest first; equals by size, smallest first; equals of those as they stand.

    The fast sort of numpy leaves equals in an order that depends on the machine, so they are told apart by keys.

    Returns:
        Indices, shape (k,).
    """
    first = -rank
    order = first.argsort()
    ranked = first[order]
    same = ranked[1:] == ranked[:-1]
    if not same.any():
        return order
    bits = rank.size.bit_length()
    if 3 * bits > 63:
        return np.lexsort((size, first))
    # Only those that have equals are sorted again, each group where it stands.
    tied = np.zeros(rank.size, dtype=bool)
    tied[1:] |= same
    tied[:-1] |= same
    place = tied.nonzero()[0]
    row = order[place]
    sizes = size[row]
    key = (dense(ranked[place]) << bits) | dense(sizes, sizes.argsort())
    order[place] = np.sort((key << bits) | row) & ((1 << bits) - 1)
    return order


def dense(value: Floats | Ints, order: Ints | None = None) -> Ints:
    """Number values: how many different ones are smaller, for each, shape (k,); `order` sorts them; None: they are."""
    ascending = value if order is None else value[order]
    count = np.zeros(value.size, dtype=np.int64)
    (ascending[1:] != ascending[:-1]).cumsum(out=count[1:])
    if order is None:
        return count
    dense = np.empty_like(count)
    dense[order] = count
    return dense
