"""Turns that everybody gets: deficit buckets, and who is on while not all can be. Pure.

A bucket holds the energy that a device is owed: what its weight would have given it less what it was given. Measured
in hours of its own fair share, all who wait are owed more at the same pace, whatever their weight; who runs is owed
less the faster, the smaller its share. So waits are alike, turns are as long as weights are large, and a bonus for
those who run, `turn_s`, sets the pace: with places for two in five, a turn takes four fifths of it.

Source: Waldspurger and Weihl, Stride Scheduling: Deterministic Proportional-Share Resource Management, MIT LCS TM-528,
1995.
"""

import numpy as np

from derms.columns import Bools, Floats
from derms.control.choice import choose, keep
from derms.control.fill import serve_seated
from derms.control.wants import Round, Wants, Wish

_NEED_FLOOR = 0.05
"""Need of a device that has its target but would still take more."""
LEAST_KW = 1e-9
"""Nothing is divided by less."""
_STARTS, _STAYS = 0.5, -0.5
"""Who is to be on for a part of the time starts when it is owed so many turns, and rests when it is owed so few."""
_LEAST_SHARE = 1e-3
"""Fair shares below this part of what a device can take are not told apart."""
OVERDUE = 1e4
"""What is added to the turn of who has waited too long [h]: more than any other turn."""


def weights(wants: Wants) -> Floats:
    """Weigh by priority x need, > 0, shape (n,).

    ``need = gap + required / cap``: the SOC still missing, plus the share of its power that a car must use from now on
    to be ready in time (1: no slack left). A battery does not leave, so that part is not counted for it.
    """
    able = choose(wants.cap_kw > LEAST_KW, wants.cap_kw, 1.0)
    required = np.minimum(wants.left_kwh / (wants.time_left_s / 3600.0) / able, 1.0)
    need = wants.gap + keep(wants.is_ev, required)
    return np.maximum(wants.priority, _NEED_FLOOR) * np.maximum(need, _NEED_FLOOR)


def fair_kw(wants: Wants, weight: Floats) -> Floats:
    """What each would have now by its weight alone, shape (n,) [kW]."""
    return serve_seated(wants.seats, wants.room_kw, [Round(ceiling_kw=wants.cap_kw, weight=weight)])


def by_level(wants: Wants, weight: Floats) -> Wish:
    """Give in proportion to weight, and turns where not all can be on."""
    rounds = (Round(ceiling_kw=wants.cap_kw, weight=weight),)
    if not np.any(wants.minimum_kw > 0.0):
        return Wish(rounds=rounds, turn=np.zeros_like(weight))
    fair = fair_kw(wants, weight)
    owed_h = turn_h(wants, fair)
    return Wish(rounds=rounds, turn=owed_h, claim_kw=claims(wants, fair, owed_h), fair_kw=fair)


def turn_h(wants: Wants, fair: Floats) -> Floats:
    """Hours of its fair share that each is owed, with a bonus for those who run, shape (n,) [h]."""
    share = np.maximum(fair, _LEAST_SHARE * np.maximum(wants.cap_kw, 1e-9))
    owed = wants.bucket_kwh / share + (wants.drawing_kw > 0.0) * (wants.params.turn_s / 3600.0)
    owed += overdue(wants) * OVERDUE
    return owed


def claims(wants: Wants, fair: Floats, owed_h: Floats) -> Floats:
    """Who is to be on, as claims of the smallest power, shape (n,) [kW].

    Whose fair share is less than its smallest power is on for a part of the time, even where all could be on at once.
    Once it is on it stays a while longer unless others are due: a place that nobody takes over is room lost twice.
    """
    turn_h = wants.params.turn_s / 3600.0
    rests = (fair < wants.minimum_kw) & (owed_h < np.where(wants.drawing_kw > 0.0, _STAYS, _STARTS) * turn_h)
    return keep(~rests, wants.minimum_kw)


def overdue(wants: Wants) -> Bools:
    """Who has waited too long, shape (n,)."""
    return (wants.cap_kw > 0.0) & (wants.waited_s >= wants.params.wait_max_s)


def settle(wants: Wants, given_kw: Floats, fair: Floats) -> Floats:
    """Credit each bucket with its fair share of the room and debit what it was given.

    Args:
        wants: What the tick saw.
        given_kw: What it gave, shape (n,) [kW].
        fair: What each would have by its weight alone, shape (n,) [kW].

    Returns:
        The buckets for the next tick, shape (n,) [kWh]: within `bucket_bound_h` of what each can take, and fading where
        nothing is wanted.
    """
    bound = wants.params.bucket_bound_h * wants.cap_kw
    moved = wants.bucket_kwh + (fair - np.maximum(given_kw, 0.0)) * wants.dt_s / 3600.0
    faded = wants.bucket_kwh * np.exp(-wants.dt_s / wants.params.bucket_fade_s)
    return choose(wants.cap_kw > 0.0, np.clip(moved, -bound, bound), faded)
