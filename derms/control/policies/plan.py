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
line is checked at the moments of `crowds.AHEAD_H` only, at every node on its own, deepest first; for many devices at
every other of them, and levels are found less finely: what a plan of hours loses by that is less than it is wrong by.

Source: Gale, A Theorem on Flows in Networks (supply and demand: the cut that is tight is always the nearest ``t``
hours, as all devices are here already).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, Floats, Ints
from derms.control.choice import choose, keep
from derms.control.policies.crowds import FORESIGHT_H, MANY, SLACK_KWH, Crowd, crowds_of
from derms.control.policies.rotation import LEAST_KW
from derms.control.squeeze import dense
from derms.control.wants import Wants

_HALVINGS, _FEW_HALVINGS = 11, 8
"""So finely levels are found; the second is for many devices."""


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
    def of(
        wants: Wants, who: Bools | None = None, room_kw: Floats | None = None, foresight_h: float = FORESIGHT_H
    ) -> "Outlook":
        """Look ahead.

        Args:
            wants: The devices.
            who: Whom to plan for, shape (n,); the others are left out.
            room_kw: What each node has for them, shape (m,) [kW]; all its room unless said otherwise.
            foresight_h: Room that lies so far ahead counts for 1/e [h].
        """
        cap = wants.cap_kw if who is None else keep(who, wants.cap_kw)
        room = np.maximum(wants.room_kw if room_kw is None else room_kw, 0.0)
        left_h = wants.time_left_s / 3600.0
        return Outlook(
            cap_kw=cap,
            left_h=left_h,
            can_kwh=np.minimum(keep(cap > 0.0, wants.left_kwh), cap * left_h),
            crowds=crowds_of(wants.tree, wants.node, cap, left_h, room, foresight_h),
        )

    def laxity_h(self, energy_kwh: Floats) -> Floats:
        """How long each could do without power and still get `energy_kwh` in time [h]; inf where that is 0.

        Source: Mok, Fundamental Design Problems of Distributed Systems for the Hard-Real-Time Environment, 1983
        (least laxity first).
        """
        wants = (energy_kwh > SLACK_KWH) & (self.cap_kw > 0.0)
        return choose(wants, self.left_h - energy_kwh / choose(self.cap_kw > LEAST_KW, self.cap_kw, 1.0), np.inf)


def admit(outlook: Outlook, promised_kwh: Floats, *merits: Floats, whole: bool = False) -> Floats:
    """Promise each as much as the line allows, the most deserving first.

    Args:
        outlook: The coming hours.
        promised_kwh: What each gets at the least, shape (n,); must itself fit.
        merits: Larger is more deserving, shape (n,); equals by the next.
        whole: All that a device can take, or no more than what is promised.

    Returns:
        Energies, shape (n,) [kWh]. Greedy service is optimal for any weights that fall along that order, because
        the energies that fit form a polymatroid.
    """
    energy = np.maximum(outlook.can_kwh, promised_kwh)
    for crowd in outlook.crowds:
        over = crowd.need_kwh(energy[crowd.row]) > crowd.line_kwh
        crossed = np.any(over, axis=1)
        if not crossed.any():
            continue
        crowd = _in_order(crowd.only(crossed), merits)
        took, least = energy[crowd.row], promised_kwh[crowd.row]
        for k in np.flatnonzero(np.any(over, axis=0)).tolist():
            late = crowd.cap_kw * np.maximum(crowd.left_h - crowd.moments.ahead_h[k], 0.0)
            more, line = np.maximum(took - late, 0.0), crowd.line_kwh[:, k]
            if (crowd.sums(more) <= line).all():
                continue
            base = np.maximum(least - late, 0.0)
            more -= base
            slack = np.maximum(line - crowd.sums(base), SLACK_KWH)
            given = _whole(more, slack, crowd) if whole else _in_turn(more, slack, crowd)
            kept = least if whole else np.maximum(late + base + given, least)
            took = choose(more > given + SLACK_KWH, kept, took)
        energy[crowd.row] = took
    return energy


def even_out(outlook: Outlook, least_kwh: Floats, rise_kwh: Floats) -> Floats:
    """Raise one level at every node as far as the line allows.

    Args:
        outlook: The coming hours.
        least_kwh: What each is owed at level 0, shape (n,) [kWh]; below 0: nothing, until the level has risen enough.
        rise_kwh: How much more at level 1, shape (n,) [kWh], >= 0.

    Returns:
        Energies, shape (n,) [kWh]; each at the lowest of the levels on its way to the root.
    """
    level = np.ones_like(outlook.cap_kw)
    energy = _at_level(least_kwh, rise_kwh, outlook.can_kwh, level)
    for crowd in outlook.crowds:
        over = np.any(crowd.need_kwh(energy[crowd.row]) > crowd.line_kwh, axis=1)
        if over.any():
            crowd = crowd.only(over)
            row, own = crowd.row, level[crowd.row]
            found = _highest(crowd, own, least_kwh[row], rise_kwh[row], outlook.can_kwh[row])
            level[row] = np.minimum(own, crowd.spread(found))
            energy = _at_level(least_kwh, rise_kwh, outlook.can_kwh, level)
    return energy


def _at_level(least_kwh: Floats, rise_kwh: Floats, can_kwh: Floats, level: Floats) -> Floats:
    return np.minimum(np.maximum(least_kwh + rise_kwh * level, 0.0), can_kwh)


def _highest(crowd: Crowd, own: Floats, least_kwh: Floats, rise_kwh: Floats, can_kwh: Floats) -> Floats:
    """The highest level that each node of a crowd has room for, shape (nodes,), below 1; arguments as the devices."""
    low, part = np.zeros(crowd.size.size), 1.0
    # Needs bend so much where devices are few that a straight line finds the level no sooner than halving.
    for _ in range(_HALVINGS if own.size <= MANY else _FEW_HALVINGS):
        part *= 0.5
        level = np.minimum(own, crowd.spread(low + part))
        need = crowd.need_kwh(_at_level(least_kwh, rise_kwh, can_kwh, level))
        low += part * (need <= crowd.line_kwh).all(axis=1)
    return low


def share_in_order(outlook: Outlook, ceiling_kw: Floats, merit: Floats) -> Floats:
    """Powers that fit the rooms of the outlook, the largest merit first, shape (n,) [kW]."""
    given = ceiling_kw.copy()
    for crowd in outlook.crowds:
        over = crowd.sums(given[crowd.row]) > crowd.room_kw
        if over.any():
            crowd = _in_order(crowd.only(over), (merit,))
            given[crowd.row] = _in_turn(given[crowd.row], crowd.room_kw, crowd)
    return given


def _in_order(crowd: Crowd, merits: Sequence[Floats]) -> Crowd:
    """The same devices, those of each node by merit."""
    order = _ranked([merit[crowd.row] for merit in merits])
    if crowd.size.size > 1:
        order = order[np.sort((crowd.inside[order] << 32) | np.arange(order.size)) & 0xFFFFFFFF]
    return crowd.at(order)


def _ranked(keys: Sequence[Floats]) -> Ints:
    """Rows from the largest to the smallest, by the first key, ties by the next."""
    bits = keys[0].size.bit_length()
    first = -keys[0]
    order = first.argsort()
    code = dense(first, order)
    for key in keys[1:]:
        if code.max(initial=0) + 1 == code.size:
            return order
        # The fast sort of numpy leaves equals as it likes, so they are told apart by the numbers of their values.
        code = (code << bits) | dense(key, key.argsort()[::-1])
        order = code.argsort()
        code = dense(code, order)
    if code.max(initial=0) + 1 == code.size:
        return order
    return np.sort((code << bits) | np.arange(code.size)) & ((1 << bits) - 1)


def _before(value: Floats, crowd: Crowd) -> Floats:
    """The sum of those before each one at its node."""
    total = value.cumsum() - value
    return total - crowd.spread(total[crowd.first])


def _in_turn(value: Floats, room: Floats, crowd: Crowd) -> Floats:
    """One after the other, until the room of the node is spent."""
    return np.minimum(np.maximum(crowd.spread(room) - _before(value, crowd), 0.0), value)


def _whole(value: Floats, room: Floats, crowd: Crowd) -> Floats:
    """One after the other, all or nothing; twice, as what one cannot use may do for smaller ones after it."""
    given = np.zeros_like(value)
    for _ in range(2):
        open_kwh = np.where(given > 0.0, 0.0, value)
        left = crowd.spread(room - crowd.sums(given)) + SLACK_KWH
        open_kwh = np.where(open_kwh <= left, open_kwh, 0.0)
        given = given + np.where(_before(open_kwh, crowd) + open_kwh <= left, open_kwh, 0.0)
    return given
