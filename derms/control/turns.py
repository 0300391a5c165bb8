"""Powers that come in lumps: who is on where not all smallest powers fit, and whole steps above them. Pure.

A charger is off, or at its smallest power and above, perhaps in whole steps (amps). All arrays are by seat (see
`derms.control.seats`), `left` is by place.
"""

from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, Floats
from derms.control.fill import Pouring, dense, pour
from derms.control.seats import Seats

_CLOSE = 1e-9
"""So many steps short of a whole one is a whole one."""
_WHOLE = 1.0 - 1e-12
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
    stepped: bool
    """Some have steps."""

    @staticmethod
    def of(cap_kw: Floats, minimum_kw: Floats, step_kw: Floats) -> "Lumps":
        """Round caps down and smallest powers up to whole steps."""
        cap, smallest, step = np.fmax(cap_kw, 0.0), np.fmax(minimum_kw, 0.0), np.fmax(step_kw, 0.0)
        stepped = bool(np.any(step > 0.0))
        if stepped:
            unit = np.where(step > 0.0, step, 1.0)
            least = np.maximum(np.ceil(smallest / unit - _CLOSE), 1.0) * step
            smallest = np.where(step > 0.0, least, smallest)
            cap = np.where(step > 0.0, np.floor(cap / unit + _CLOSE) * step, cap)
        top = cap * (cap >= smallest)
        return Lumps(smallest * (top > 0.0), top, step, stepped)


def spend(seats: Seats, left: Floats, given: Floats) -> Floats:
    """Room by place after grants by seat."""
    return np.maximum(left - seats.up(seats.own(given)), 0.0)


def served_whole(seats: Seats, left: Floats, size: Floats, rank: Floats) -> Bools:
    """Serve lumps all or not at all, largest rank first, until no lump that is left fits.

    Args:
        seats: The layout.
        left: Room by place [kW].
        size: The lumps by seat [kW]; 0: none.
        rank: Who is first, by seat.

    Returns:
        Who is served.
    """
    served = np.zeros(size.size, dtype=bool)
    for attempt in range(size.size + 1):
        fits = (size > 0.0) & ~served & (size * _WHOLE <= seats.down_min(left)[seats.place])
        if not fits.any():
            break
        # A lump that fits in part keeps others from its room for this attempt only; where those do fit, the next
        # attempt serves them. The first in the order is always served, so this ends.
        asked = size * fits
        given, _ = pour(seats, left, Pouring(asked, rank=rank if attempt < _BY_RANK else -size))
        now = fits & (given >= asked * _WHOLE)
        served |= now
        left = spend(seats, left, asked * now)
    return served


def seated(seats: Seats, left: Floats, lumps: Lumps, turn: Floats) -> Bools:
    """Settle who is on, in the order of `turn`.

    Where all smallest powers fit, all are on. Where they do not, a device that can run at any power stands in the queue
    too, with the smallest of the smallest powers: else those with smallest powers would always leave it nothing. It is
    granted nothing by that; room is only kept for it.

    Returns:
        Who is on, by seat; a device that can run at any power always is.
    """
    wants = lumps.top > 0.0
    size = lumps.smallest
    on = wants & (size <= 0.0)
    lumpy = wants & ~on
    if not lumpy.any():
        return on
    first = served_whole(seats, left, size, turn)
    waiting = lumpy & ~first
    if not waiting.any() or not on.any():
        return on | first
    bottleneck = np.zeros(left.size)
    bottleneck[seats.down_argmin(spend(seats, left, size * first))[seats.place[waiting]]] = -1.0
    crowded = seats.down_min(bottleneck)[seats.place] < 0.0
    token = np.minimum(lumps.top, np.min(size[lumpy])) * (on & crowded)
    return on | (served_whole(seats, left, size + token, turn) & lumpy)


def whole_steps(
    seats: Seats, left: Floats, share: Floats, lumps: Lumps, turn: Floats, drawing: Floats
) -> tuple[Floats, Floats]:
    """Floor shares to whole steps, and give the room that frees out again step by step.

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
    if not lumps.stepped:
        return share, left
    unit = np.where(lumps.step > 0.0, lumps.step, np.inf)
    counts = np.floor(share / unit + _CLOSE)
    floored = np.where(lumps.step > 0.0, counts * lumps.step, share)
    lost = np.maximum(share - floored, 0.0) / unit
    left = left + seats.up(seats.own(np.maximum(share - floored, 0.0)))
    among_equals = dense(turn, np.argsort(turn)) / max(turn.size, 1)
    running = floored > 0.0
    while True:
        more = lumps.step * (running & (floored + lumps.step <= lumps.top * (1.0 + _CLOSE)))
        keeps = drawing >= floored + more * (1.0 - _CLOSE)
        rank = np.round((lost + _KEEPS * keeps) * 1e6) + among_equals
        served = served_whole(seats, left, more, rank)
        if not served.any():
            return floored, left
        taken = more * served
        counts = counts + served
        floored = np.where(taken > 0.0, counts * lumps.step, floored)
        left = spend(seats, left, taken)
        lost = np.where(served, 0.0, lost)
