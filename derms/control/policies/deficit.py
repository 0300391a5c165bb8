"""The default: what priority and need entitle to, energy where it is due in time, and turns for everybody. Pure.

::

    below the reserve ─► departing: as planned ─► deficits, largest first ─► staying: by weight ─► departing: the rest

Devices that say when they leave are planned for: a quarter of the common share is promised to all, and beyond it the
higher priority is promised as much as can be delivered in time, in equal priorities who needs least first. The others
hold the part of the room that their weights give them.
"""

import numpy as np

from derms.columns import Floats
from derms.control.policies.fair import common_share_kwh
from derms.control.policies.plan import Outlook, admit, ranked, share_in_order
from derms.control.policies.rotation import claims, fair_kw, overdue, turn, weights
from derms.control.policies.serving import now_kw, rest_of, urgency_h
from derms.control.wants import Round, Wants, Wish

_FLOOR = 0.25
"""The part of the common share that is promised to every session, whatever its priority."""
_TIER = 1e4


def deficit(wants: Wants) -> Wish:
    """Serve tier by tier."""
    wanting = wants.cap_kw > 0.0
    departs = wants.departs & wanting
    stays = wanting & ~departs
    weight = weights(wants)
    rounds = []
    reserve = np.where(wants.below_reserve, wants.cap_kw, 0.0)
    if wants.below_reserve.any():
        rounds.append(Round(ceiling_kw=reserve, weight=weight))
    score = np.zeros_like(weight)
    planned = np.zeros_like(weight)
    claim = planned
    if departs.any():
        outlook = Outlook.of(wants, departs, _room_for(departs, stays, wants, weight))
        energy = _promised_kwh(wants, outlook)
        urgency = urgency_h(wants, outlook, energy)
        planned = now_kw(wants, energy)
        if stays.any():
            planned = share_in_order(outlook, planned, ranked(urgency))
        rounds.append(Round(ceiling_kw=np.minimum(planned, rest_of(wants, reserve)), rank=urgency))
        claim = planned
        score = np.where(planned > 0.0, urgency, urgency_h(wants, outlook, wants.left_kwh) - _TIER)
    if stays.any():
        owed = np.maximum(wants.bucket_kwh, 0.0) * 3600.0 / max(wants.params.pay_s, wants.dt_s)
        owed = np.where(stays, np.minimum(owed, rest_of(wants, reserve, planned)), 0.0)
        rounds.append(Round(ceiling_kw=owed, rank=wants.bucket_kwh))
        rest = np.where(stays, rest_of(wants, reserve, planned, owed), 0.0)
        rounds.append(Round(ceiling_kw=rest, weight=weight))
        if np.any(wants.minimum_kw[stays] > 0.0):
            fair = fair_kw(wants, weight)
            owed_h = turn(wants, fair) + _TIER * overdue(wants)
            score = np.where(stays, owed_h, score)
            claim = np.where(stays, claims(wants, fair, owed_h), claim)
    if departs.any():
        by_need = urgency_h(wants, outlook, wants.left_kwh)
        rounds.append(Round(ceiling_kw=np.where(departs, rest_of(wants, reserve, planned), 0.0), rank=by_need))
    return Wish(
        rounds=tuple(rounds),
        turn=score + np.where(wants.below_reserve, 2.0 * _TIER, 0.0),
        claim_kw=np.maximum(claim, reserve),
    )


def _room_for(departs: Floats, stays: Floats, wants: Wants, weight: Floats) -> Floats:
    """What the departing have at each node once the others hold their part by weight, shape (m,) [kW]."""
    below = wants.tree.subtree
    others = below(wants.node, np.where(stays, weight, 0.0))
    together = others + below(wants.node, np.where(departs, weight, 0.0))
    part = others / np.where(together > 0.0, together, 1.0)
    held = np.where(part > 0.0, np.minimum(wants.room_kw, 1e9) * part, 0.0)
    return wants.room_kw - np.minimum(held, below(wants.node, np.where(stays, wants.cap_kw, 0.0)))


def _promised_kwh(wants: Wants, outlook: Outlook) -> Floats:
    """A part of the common share for all, then by priority."""
    if not outlook.crowds:
        return outlook.can_kwh
    common = common_share_kwh(wants, outlook)
    floor = np.minimum(np.maximum(_FLOOR * (wants.got_kwh + common) - wants.got_kwh, 0.0), common)
    order = ranked(wants.priority, -wants.left_kwh, -wants.time_left_s)
    return admit(outlook, order, floor)
