"""What can still be delivered to the devices behind a limit, and what each is promised of it. Pure.

A device that is here now, can take ``cap`` and has ``d`` hours left, needs at least ``max(0, e - cap (d - t)+)`` of an
energy ``e`` in the next ``t`` hours. A room of ``C`` kW can deliver energies ``e`` to all in time exactly if for every
``t`` these sum to ``C t`` at the most::

    kWh      C t                      Every step below is one of two ways to bring energies under that line:
     │      ／   ┌──── needed         `admit` (the best ranked first) and `even_out` (all alike).
     │    ／ ┌───┘
     │  ／───┘
     └──────────────── t

Cars that come later will want some of the room too, so room that lies ``t`` ahead counts for ``exp(-t / 12 h)``. The
line is checked at `AHEAD_H` only, at every node on its own, deepest first.

Source: Gale, A Theorem on Flows in Networks (supply and demand: the cut that is tight is always the nearest ``t``
hours, as all devices are here already).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, Floats, Ints
from derms.control.tree import Tree
from derms.control.wants import Wants

AHEAD_H: tuple[float, ...] = (
    1 / 12, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 3 / 4, 1, 1.25, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 16, 24, 36, 72,
)  # fmt: skip
"""How far ahead the line is checked [h]."""
_FORESIGHT_H = 12.0
_HALVINGS = 11
_SLACK_KWH = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The devices below the overfull nodes of one depth, sorted by node."""

    row: Ints
    """Device rows."""
    first: Ints
    """Where each node's devices begin in `row`."""
    size: Ints
    room_kw: Floats
    """Of each node."""

    def spread(self, value: Floats) -> Floats:
        """One value a node -> one value a device."""
        return np.repeat(value, self.size, axis=0)

    def ordered(self, place: Ints) -> "Crowd":
        """The same devices, those of each node by `place`, shape (n,)."""
        inside = np.repeat(np.arange(self.size.size), self.size)
        order = np.lexsort((place[self.row], inside))
        return Crowd(row=self.row[order], first=self.first, size=self.size, room_kw=self.room_kw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the coming hours look like from now."""

    cap_kw: Floats
    """Of the devices planned for, 0 for the others, shape (n,)."""
    left_h: Floats
    """Hours until each must be ready, shape (n,)."""
    can_kwh: Floats
    """The most each can still get if it were alone, shape (n,)."""
    crowds: tuple[Crowd, ...]
    """Deepest first; empty where all can have all they can take."""

    @staticmethod
    def of(wants: Wants, who: Bools | None = None, room_kw: Floats | None = None) -> "Outlook":
        """Look ahead.

        Args:
            wants: The devices.
            who: Whom to plan for, shape (n,); the others are left out.
            room_kw: What each node has for them, shape (m,) [kW]; all its room unless said otherwise.
        """
        cap = wants.cap_kw if who is None else np.where(who, wants.cap_kw, 0.0)
        room = np.maximum(wants.room_kw if room_kw is None else room_kw, 0.0)
        left_h = wants.time_left_s / 3600.0
        return Outlook(
            cap_kw=cap,
            left_h=left_h,
            can_kwh=np.minimum(np.where(cap > 0.0, wants.left_kwh, 0.0), cap * left_h),
            crowds=_crowds(wants.tree, wants.node, cap, room),
        )

    def laxity_h(self, energy_kwh: Floats) -> Floats:
        """How long each could do without power and still get `energy_kwh` in time [h]; inf where that is 0.

        Source: Mok, Fundamental Design Problems of Distributed Systems for the Hard-Real-Time Environment, 1983
        (least laxity first).
        """
        wants = (energy_kwh > _SLACK_KWH) & (self.cap_kw > 0.0)
        return np.where(wants, self.left_h - energy_kwh / np.where(wants, self.cap_kw, 1.0), np.inf)


def admit(outlook: Outlook, order: Ints, promised_kwh: Floats, *, whole: bool = False) -> Floats:
    """Promise each as much as the line allows, the first in `order` first.

    Args:
        outlook: The coming hours.
        order: Device rows, most deserving first, shape (n,).
        promised_kwh: What each gets at the least, shape (n,); must itself fit.
        whole: All that a device can take, or no more than what is promised.

    Returns:
        Energies, shape (n,) [kWh]. Greedy service is optimal for any weights that fall along `order`, because the
        energies that fit form a polymatroid.
    """
    energy = np.maximum(outlook.can_kwh, promised_kwh)
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    for crowd in outlook.crowds:
        crowd = crowd.ordered(place)
        late, tight, room = _late_kwh(outlook, crowd, energy)
        took, least = energy[crowd.row], promised_kwh[crowd.row]
        for k in range(tight.size):
            base = np.maximum(least - late[:, k], 0.0)
            more = np.maximum(took - late[:, k], 0.0) - base
            slack = np.maximum(room[:, k] - np.add.reduceat(base, crowd.first), 0.0)
            if np.all(np.add.reduceat(more, crowd.first) <= slack + _SLACK_KWH):
                continue
            given = _whole(more, slack, crowd) if whole else _in_turn(more, slack, crowd)
            short = more > given + _SLACK_KWH
            took = np.where(short, np.maximum(least if whole else late[:, k] + base + given, least), took)
        energy[crowd.row] = took
    return energy


def even_out(outlook: Outlook, energy_at: Callable[[Floats], Floats]) -> Floats:
    """Raise one level at every node as far as the line allows.

    Args:
        outlook: The coming hours.
        energy_at: Levels of the devices, shape (n,), 0..1 -> energies, shape (n,) [kWh]; rising.

    Returns:
        Energies, shape (n,) [kWh]; each at the lowest of the levels on its way to the root.
    """
    level = np.ones_like(outlook.cap_kw)
    energy = np.minimum(energy_at(level), outlook.can_kwh)
    for crowd in outlook.crowds:
        late, tight, room = _late_kwh(outlook, crowd, energy)
        if not tight.size:
            continue
        low, high = np.zeros(crowd.size.size), np.ones(crowd.size.size)
        own = level[crowd.row]
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            level[crowd.row] = np.minimum(own, crowd.spread(middle))
            tried = np.minimum(energy_at(level), outlook.can_kwh)[crowd.row]
            need = np.add.reduceat(np.maximum(tried[:, None] - late, 0.0), crowd.first)
            fits = np.all(need <= room + _SLACK_KWH, axis=1)
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        level[crowd.row] = np.minimum(own, crowd.spread(low))
        energy = np.minimum(energy_at(level), outlook.can_kwh)
    return energy


def share_in_order(outlook: Outlook, ceiling_kw: Floats, order: Ints) -> Floats:
    """Powers that fit the rooms of the outlook, the first in `order` first, shape (n,) [kW]."""
    given = ceiling_kw.copy()
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    for crowd in outlook.crowds:
        crowd = crowd.ordered(place)
        given[crowd.row] = _in_turn(given[crowd.row], crowd.room_kw, crowd)
    return given


def ranked(*keys: Floats) -> Ints:
    """Rows from the largest to the smallest, by the first key, ties by the next."""
    return np.lexsort(tuple(-key for key in reversed(keys)))


def _crowds(tree: Tree, node: Ints, cap_kw: Floats, room_kw: Floats) -> tuple[Crowd, ...]:
    """Find the nodes below which more is wanted than there is room, deepest first."""
    wanted = tree.at_nodes(node, cap_kw)
    found = []
    for depth in range(len(tree.levels) - 1, -1, -1):
        level = tree.levels[depth]
        over = level[wanted[level] > room_kw[level]]
        if over.size:
            found.append(_crowd(tree, depth, over, node, cap_kw, room_kw))
        wanted[level] = np.minimum(wanted[level], room_kw[level])
        if depth:
            np.add.at(wanted, tree.parent[level], wanted[level])
    return tuple(found)


def _crowd(tree: Tree, depth: int, over: Ints, node: Ints, cap_kw: Floats, room_kw: Floats) -> Crowd:
    above = np.full(tree.parent.size, -1, dtype=np.int64)
    above[over] = np.arange(over.size)
    for level in tree.levels[depth + 1 :]:
        above[level] = above[tree.parent[level]]
    number = above[node]
    row = np.flatnonzero((number >= 0) & (cap_kw > 0.0))
    row = row[np.argsort(number[row], kind="stable")]
    size = np.bincount(number[row], minlength=over.size)
    return Crowd(row=row, first=np.cumsum(size) - size, size=size, room_kw=room_kw[over])


def _late_kwh(outlook: Outlook, crowd: Crowd, energy_kwh: Floats) -> tuple[Floats, Ints, Floats]:
    """What can wait until after each moment at which the line would be crossed.

    Returns:
        Energies that can wait, shape (devices of the crowd, k); the moments, as indices of `AHEAD_H`, shape (k,); the
        line there, shape (nodes of the crowd, k) [kWh].
    """
    ahead = np.asarray(AHEAD_H)
    cap, left = outlook.cap_kw[crowd.row], outlook.left_h[crowd.row]
    late = cap[:, None] * np.maximum(left[:, None] - ahead, 0.0)
    room = crowd.room_kw[:, None] * (_FORESIGHT_H * -np.expm1(-ahead / _FORESIGHT_H))
    need = np.add.reduceat(np.maximum(energy_kwh[crowd.row][:, None] - late, 0.0), crowd.first)
    tight = np.flatnonzero(np.any(need > room + _SLACK_KWH, axis=0))
    return late[:, tight], tight, room[:, tight]


def _before(value: Floats, crowd: Crowd) -> Floats:
    """The sum of those before each one at its node."""
    total = np.cumsum(value) - value
    return total - np.repeat(total[crowd.first], crowd.size)


def _in_turn(value: Floats, room: Floats, crowd: Crowd) -> Floats:
    """One after the other, until the room of the node is spent."""
    return np.minimum(np.maximum(crowd.spread(room) - _before(value, crowd), 0.0), value)


def _whole(value: Floats, room: Floats, crowd: Crowd) -> Floats:
    """One after the other, all or nothing; twice, as what one cannot use may do for smaller ones after it."""
    given = np.zeros_like(value)
    for _ in range(2):
        open_kwh = np.where(given > 0.0, 0.0, value)
        left = crowd.spread(room - np.add.reduceat(given, crowd.first)) + _SLACK_KWH
        open_kwh = np.where(open_kwh <= left, open_kwh, 0.0)
        given = given + np.where(_before(open_kwh, crowd) + open_kwh <= left, open_kwh, 0.0)
    return given
