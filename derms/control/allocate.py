"""Headroom -> targets: who is on, smallest powers first, then a policy's rounds, then relief. Pure."""

from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, Floats, Ints
from derms.control.fill import Pouring, pour
from derms.control.seats import Seats
from derms.control.wants import Round, Wants, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Targets before ramps."""

    target_kw: Floats
    waiting: Bools
    """Off although they want power: their smallest power does not fit now."""
    shortfall_kw: Floats
    """Load above the limit that nothing controllable can relieve, shape (m,) [kW]."""
    bound_node: Ints
    """The node whose room bound the device; -1: none."""


def allocate(wants: Wants, wish: Wish, discharge_kw: Floats, seats: Seats) -> Allocation:
    """Give the headroom to the flexible devices."""
    tree = wants.tree
    relief = np.zeros_like(wants.cap_kw)
    room = wants.room_kw.copy()
    short = np.zeros_like(room)
    need = np.where(room < 0.0, -room, 0.0)
    if need.any():
        left = need[seats.node]
        given, _ = pour(
            seats, left, Pouring.of(seats, Round(ceiling_kw=discharge_kw, weight=np.maximum(discharge_kw, 1e-9)))
        )
        relief = seats.rows(given)
        room = room + tree.subtree(wants.node, relief)
        short = np.maximum(-room, 0.0)
    cap = np.where(relief > 0.0, 0.0, wants.cap_kw)
    left = np.fmax(room, 0.0)[seats.node]
    smallest = np.where(cap > 0.0, np.minimum(wants.minimum_kw, cap), 0.0)
    on = cap > 0.0
    base = np.zeros_like(cap)
    if smallest.any():
        given, _ = pour(seats, left, Pouring.of(seats, Round(ceiling_kw=smallest, rank=wish.turn)))
        base = seats.rows(given)
        on = on & (base >= smallest - 1e-9)
        base = np.where(on, base, 0.0)
        left = np.fmax(left - tree.subtree(wants.node, base)[seats.node], 0.0)
    target = base
    rest = Round(ceiling_kw=cap, weight=np.ones_like(cap))
    for asked in (*wish.rounds, rest):
        ceiling = np.where(on, np.minimum(asked.ceiling_kw, cap - target), 0.0)
        given, left = pour(
            seats,
            left,
            Pouring.of(
                seats,
                Round(ceiling_kw=np.maximum(ceiling, 0.0), weight=asked.weight, start=asked.start, rank=asked.rank),
            ),
        )
        target = target + seats.rows(given)
    bound = np.where(
        target < wants.cap_kw - 1e-9, seats.node[seats.down_argmin(left)][_place_of(seats)[wants.node]], -1
    )
    return Allocation(
        target_kw=target - relief,
        waiting=(wants.cap_kw > 0.0) & ~on & (relief <= 0.0),
        shortfall_kw=short,
        bound_node=bound,
    )


def _place_of(seats: Seats) -> Ints:
    place = np.empty_like(seats.node)
    place[seats.node] = np.arange(seats.node.size)
    return place
