"""Turns that everybody gets: deficit buckets, and who is on while not all can be. Pure.

A bucket holds the energy that a device is owed: what its weight would have given it less what it was given. Measured
in hours of its own fair share, all who wait are owed more at the same pace, whatever their weight; who runs is owed
less the faster, the smaller its share. So waits are alike, turns are as long as weights are large, and a bonus for
those who run sets the pace.

Source: Waldspurger and Weihl, Stride Scheduling (MIT LCS TM-528), 1995.
"""

import numpy as np

from derms.columns import Bools, Floats
from derms.control.fill import serve
from derms.control.wants import Round, Wants

_NEED_FLOOR = 0.05
"""Need of a device that has its target but would still take more."""
_TURN_H = 0.5
"""Who waits must be owed this much more than who runs to take its place [h]: waits of about twice that."""
_LEAST_SHARE = 1e-3
"""Fair shares below this part of what a device can take are not told apart."""


def weights(wants: Wants) -> Floats:
    """priority x need, > 0, shape (n,).

    ``need = gap + required / cap``: the SOC still missing, plus the share of its power that a car must use from now on
    to be ready in time (1: no slack left). A battery does not leave, so that part is not counted for it.
    """
    able = np.where(wants.cap_kw > 0.0, wants.cap_kw, 1.0)
    required = np.minimum(wants.left_kwh / (wants.time_left_s / 3600.0) / able, 1.0)
    need = wants.gap + np.where(wants.is_ev, required, 0.0)
    return wants.priority * np.maximum(need, _NEED_FLOOR)


def fair_kw(wants: Wants, weight: Floats) -> Floats:
    """What each would have now by its weight alone, shape (n,) [kW]."""
    return serve(wants.tree, wants.node, wants.room_kw, [Round(ceiling_kw=wants.cap_kw, weight=weight)])


def turn(wants: Wants, fair: Floats) -> Floats:
    """Hours of its fair share that each is owed, with a bonus for those who run, shape (n,) [h]."""
    share = np.maximum(fair, _LEAST_SHARE * np.maximum(wants.cap_kw, 1e-9))
    return wants.bucket_kwh / share + np.where(wants.drawing_kw > 0.0, _TURN_H, 0.0)


def claims(wants: Wants, fair: Floats, score: Floats) -> Floats:
    """Who is to be on, as claims of the smallest power, shape (n,) [kW].

    Whose fair share is less than its smallest power is on for a part of the time, even where all could be on at once.
    """
    rests = (fair < wants.minimum_kw) & (score < 0.5 * _TURN_H)
    return np.where(rests, 0.0, wants.minimum_kw)


def overdue(wants: Wants) -> Bools:
    """Who has waited too long, shape (n,)."""
    return (wants.cap_kw > 0.0) & (wants.waited_s >= wants.params.wait_max_s)


def settle(wants: Wants, given_kw: Floats, weight: Floats) -> Floats:
    """Credit each bucket with its fair share of the room and debit what it was given.

    Args:
        wants: What the tick saw.
        given_kw: What it gave, shape (n,) [kW].
        weight: Shape (n,).

    Returns:
        The buckets for the next tick, shape (n,) [kWh]: within `bucket_bound_h` of what each can take, and fading where
        nothing is wanted.
    """
    wanting = wants.cap_kw > 0.0
    bound = wants.params.bucket_bound_h * wants.cap_kw
    moved = wants.bucket_kwh + (fair_kw(wants, weight) - np.maximum(given_kw, 0.0)) * wants.dt_s / 3600.0
    faded = wants.bucket_kwh * np.exp(-wants.dt_s / wants.params.bucket_fade_s)
    return np.where(wanting, np.clip(moved, -bound, bound), faded)
