"""Powers that come in lumps: who is on where not all smallest powers fit, and whole steps above them. Pure.

A charger is off, or at its smallest power and above, perhaps in whole steps (amps). All arrays are by seat (see
`derms.control.seats`), `left` is by place.
"""

from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, Floats, Ints
from derms.control.fill import Pouring, pour_to
from derms.control.seats import Seats

_CLOSE = 1e-9
"""So many steps short of a whole one is a whole one."""
_WHOLE = 1.0 - 1e-11
"""A lump served to this share is served."""
_BY_RANK = 6
"""After so many rounds of turns by rank the smallest go first, so that the search ends."""
_KEEPS = 0.5
"""A step that is drawn already counts as this much more of a step lost, so that noise does not hand it about."""


@dataclass(frozen=True, slots=True)
class Lumps:
    """What each device can be set to: 0, or from `smallest` to `top`, in whole steps where `step` is not 0 [kW]."""

    smallest: Floats
    """0: any power."""
    top: Floats
    """0: nothing."""
    step: Floats
    lumpy: bool
    """Some have a smallest power."""
    stepped: bool
    """Some have steps."""

    @staticmethod
    def of(cap_kw: Floats, minimum_kw: Floats, step_kw: Floats) -> "Lumps":
        """Round caps down and smallest powers up to whole steps."""
        cap, smallest, step = np.fmax(cap_kw, 0.0), np.fmax(minimum_kw, 0.0), np.fmax(step_kw, 0.0)
        stepped = bool((step > 0.0).any())
        if not stepped and not (smallest > 0.0).any():
            return Lumps(smallest, cap, step, False, False)
        if stepped:
            # `fmax` has made them our own: they may be changed.
            has = np.flatnonzero(step > 0.0)
            unit = step[has]
            smallest[has] = np.maximum(np.ceil(smallest[has] / unit - _CLOSE), 1.0) * unit
            cap[has] = np.floor(cap[has] / unit + _CLOSE) * unit
        top = cap * (cap >= smallest)
        return Lumps(smallest * (top > 0.0), top, step, True, stepped)


def spend(seats: Seats, left: Floats, who: Ints, given: Floats) -> Floats:
    """Room by place after grants to some of the seats."""
    return np.maximum(left - seats.below(who, given), 0.0)


def served_whole(seats: Seats, left: Floats, who: Ints, size: Floats, rank: Floats) -> Bools:
    """Serve lumps all or not at all, largest rank first, until no lump that is left fits.

    Args:
        seats: The layout.
        left: Room by place [kW].
        who: The seats that ask, ascending.
        size: What each of them asks [kW], > 0.
        rank: Who of them is first.

    Returns:
        Which of them are served.
    """
    served = np.zeros(who.size, dtype=bool)
    asks = np.arange(who.size)
    for attempt in range(who.size):
        asks = asks[size[asks] * _WHOLE <= seats.down_min(left)[seats.place[who[asks]]]]
        if not asks.size:
            break
        # A lump that fits in part keeps others from its room for this attempt only; where those do fit, the next
        # attempt serves them. The first in the order is always served, so this ends.
        lump = size[asks]
        given, _ = pour_to(seats, left, who[asks], Pouring(lump, rank=rank[asks] if attempt < _BY_RANK else -lump))
        now = given >= lump * _WHOLE
        if not now.any():
            break
        served[asks[now]] = True
        left = spend(seats, left, who[asks[now]], lump[now])
        asks = asks[~now]
    return served


def seated(seats: Seats, left: Floats, lumps: Lumps, turn: Floats) -> Bools:
    """Settle who is on, in the order of `turn`.

    Where all smallest powers fit, all are on. Where they do not, a device that can run at any power stands in the queue
    too, with the smallest of the smallest powers: else those with smallest powers would always leave it nothing. It is
    granted nothing by that; room is only kept for it.

    Returns:
        Who is on, by seat; a device that can run at any power always is.
    """
    on = lumps.top > 0.0
    if not lumps.lumpy:
        return on
    crowded = seats.overfull(seats.own(lumps.smallest), left)
    if not crowded.any():
        return on
    # Who stands below no crowded node is on, and cannot be in the way of the others.
    below = seats.down_any(crowded)[seats.place]
    free = lumps.smallest <= 0.0
    token = np.min(lumps.smallest[np.flatnonzero(~free)])
    size = (lumps.smallest + np.minimum(lumps.top, token) * free) * below
    who = np.flatnonzero(size > 0.0)
    on[who] = served_whole(seats, left, who, size[who], turn[who])
    return on | (free & (lumps.top > 0.0))


def whole_steps(
    seats: Seats, left: Floats, share: Floats, lumps: Lumps, turn: Floats, drawing: Floats
) -> tuple[Floats, Floats]:
    """Floor shares to whole steps, and give the room that frees out again: a step to each, then all that still fits.

    Who loses the largest part of a step is first, one that draws that step already before others, equals by `turn`.

    Args:
        seats: The layout.
        left: Room by place that the shares leave [kW].
        share: By seat [kW]; 0, or at least the smallest power.
        lumps: What each can be set to.
        turn: Who is first among equals.
        drawing: What each draws now [kW].

    Returns:
        Shares in whole steps, and the room they leave.
    """
    who = np.flatnonzero((lumps.step > 0.0) & (share > 0.0)) if lumps.stepped else np.zeros(0, dtype=np.int64)
    if not who.size:
        return share, left
    step, top, had, draws = lumps.step[who], lumps.top[who] * (1.0 + _CLOSE), share[who], drawing[who]
    counts = np.floor(had / step + _CLOSE)
    lost = np.maximum(had - counts * step, 0.0)
    left = left + seats.below(who, lost)
    lost /= step
    span = np.ptp(turn[who])
    among_equals = (turn[who] - np.min(turn[who])) / (2.0 * span) if 0.0 < span < np.inf else np.zeros(who.size)
    one_each = True
    while True:
        fit = np.floor(np.minimum(top - counts * step, seats.down_min(left)[seats.place[who]]) / step + _CLOSE)
        asks = np.flatnonzero(fit >= 1.0)
        if not asks.size:
            break
        after = (counts[asks] + 1.0) * step[asks]
        keeps = draws[asks] >= after * (1.0 - _CLOSE)
        rank = np.round((lost[asks] + _KEEPS * keeps) * 1e6) + among_equals[asks]
        if one_each:
            steps = 1.0 * served_whole(seats, left, who[asks], step[asks], rank)
        else:
            # What is left lets few take more, and those all of it: who is first among them is then done.
            given, _ = pour_to(seats, left, who[asks], Pouring(fit[asks] * step[asks], rank=rank))
            steps = np.floor(given / step[asks] + _CLOSE)
        one_each = False
        taken, steps = asks[steps > 0.0], steps[steps > 0.0]
        if not taken.size:
            break
        counts[taken] += steps
        lost[taken] = 0.0
        left = spend(seats, left, who[taken], steps * step[taken])
    share = share.copy()
    share[who] = counts * step
    return share, left
