"""The default: what priority and need entitle to, energy where it is due in time, and turns for everybody. Pure.

::

    below the reserve ─► overdue ─► departing, as planned ─► deficits, largest first ─► staying, by weight ─► the rest

Devices that say when they leave are planned for: a quarter of the common share is promised to all, and beyond it the
higher priority is promised as much as can be delivered in time, in equal priorities who can be finished and needs least
first. The others hold the part of the room that their weights give them, as far as those that leave still become ready
in time, and take turns where their smallest powers do not all fit.
"""

import numpy as np

from derms.columns import Bools, Floats
from derms.control.choice import choose, keep
from derms.control.policies.fair import common_share_kwh
from derms.control.policies.plan import Outlook, admit, share_in_order
from derms.control.policies.rotation import OVERDUE, claims, fair_kw, overdue, turn_h, weights
from derms.control.policies.serving import must_kw, now_kw, rest_of, urgency_h
from derms.control.wants import Round, Wants, Wish

_FLOOR = 0.25
"""The part of the common share that is promised to every session, whatever its priority."""
_OVERDUE_PART = 0.2
"""What a device that has waited too long gets for a turn, as a part of its cap."""
_AHEAD = 1.15
"""Beside devices that stay, those that leave have room to be served so much faster than they must be."""
_PRESSED = 0.5
"""That is for those that must charge at more than this share of what they can from now on."""
_HUNGRY = 1.5
_HUNGRY_H = 2.0
"""Who for hours needs so many times what it could get alone has said nothing that could be planned with."""
_LOST = 1.0001
"""Who needs more than this many times what it could get alone cannot be finished, and comes after its equals."""
_BOTTOMLESS_H = 24.0
"""Nor has who asks for more than so long at its full power [h], also in its last hours."""


def deficit(wants: Wants) -> Wish:
    """Serve tier by tier."""
    wanting = wants.cap_kw > 0.0
    left_h = wants.time_left_s / 3600.0
    hungry = (wants.left_kwh > _HUNGRY * wants.cap_kw * left_h) & (left_h > _HUNGRY_H)
    hungry |= wants.asked_kwh > _BOTTOMLESS_H * wants.cap_kw
    departs = wants.departs & wanting & ~hungry
    stays = wanting & ~departs
    weight = weights(wants)
    reserve = keep(wants.below_reserve, wants.cap_kw)
    rounds = [Round(ceiling_kw=reserve, weight=weight)] if wants.below_reserve.any() else []
    planned = claim = turn = last = np.zeros_like(weight)
    fair = None
    if departs.any():
        outlook = Outlook.of(wants, departs, _room_for(departs, stays, wants, weight))
        energy = _promised_kwh(wants, outlook)
        planned = now_kw(wants, energy)
        urgency = urgency_h(wants, outlook, energy)
        due = overdue(wants) & departs & (energy < 0.99 * wants.left_kwh)
        if stays.any():
            planned = share_in_order(outlook, planned, urgency)
        must = np.minimum(must_kw(wants, outlook, energy), planned)
        early = must
        if due.any():
            turns = np.minimum(planned, np.maximum(wants.minimum_kw, _OVERDUE_PART * wants.cap_kw))
            early = np.maximum(keep(due, turns), must)
        if early.any():
            rounds.append(Round(ceiling_kw=np.minimum(must, rest_of(wants, reserve)), rank=urgency))
            rounds.append(
                Round(ceiling_kw=np.minimum(early - must, rest_of(wants, reserve, must)), rank=wants.waited_s)
            )
        rounds.append(Round(ceiling_kw=rest_of(wants, reserve, early, wants.cap_kw - planned), rank=urgency))
        last = urgency_h(wants, outlook, wants.left_kwh)
        claim = np.where(due, early, planned)
        turn = np.where(due, OVERDUE, choose(planned > 0.0, urgency, last - OVERDUE))
    if stays.any():
        rounds += _by_weight(wants, stays, weight, rest_of(wants, reserve, planned))
        if (stays & (wants.minimum_kw > 0.0)).any():
            fair = fair_kw(wants, weight)
            owed_h = turn_h(wants, fair)
            turn = choose(stays, owed_h, turn)
            claim = choose(stays, claims(wants, fair, owed_h), claim)
    if departs.any():
        rounds.append(Round(ceiling_kw=keep(departs, rest_of(wants, reserve, planned)), rank=last))
    return Wish(
        rounds=tuple(rounds),
        turn=turn + wants.below_reserve * (2.0 * OVERDUE),
        claim_kw=np.maximum(claim, reserve),
        weight=weight,
        fair_kw=fair,
    )


def _by_weight(wants: Wants, stays: Bools, weight: Floats, rest_kw: Floats) -> list[Round]:
    """Pay what is owed, largest first; share the rest by weight.

    Equals are paid alike, and who is owed more by just so much more: served strictly one after the other, those whose
    buckets are nearly the same would change places at every tick.
    """
    owed = np.maximum(wants.bucket_kwh, 0.0) * 3600.0 / max(wants.params.pay_s, wants.dt_s)
    owed = keep(stays, np.minimum(owed, rest_kw))
    rest = keep(stays, rest_kw - owed)
    first = Round(ceiling_kw=owed, weight=np.ones_like(owed), start=np.max(owed) - owed)
    return [first, Round(ceiling_kw=rest, weight=weight)]


def _room_for(departs: Bools, stays: Bools, wants: Wants, weight: Floats) -> Floats:
    """What the departing have at each node once the others hold their part by weight, shape (m,) [kW]."""
    if not stays.any():
        return wants.room_kw
    below = wants.tree.subtree
    others = below(wants.node, keep(stays, weight))
    together = others + below(wants.node, keep(departs, weight))
    part = others / np.where(together > 0.0, together, 1.0)
    room = np.minimum(np.maximum(wants.room_kw, 0.0), 1e12)
    held = np.where(part > 0.0, room * part, 0.0)
    held = np.minimum(held, below(wants.node, keep(stays, wants.cap_kw)))
    # Whatever the weights: who leaves soon has the pace that makes it ready in time before others have more.
    pressed = departs & (wants.left_kwh * 3600.0 / wants.time_left_s > _PRESSED * wants.cap_kw)
    pace = np.minimum(_AHEAD * wants.left_kwh * 3600.0 / wants.time_left_s, wants.cap_kw)
    pace = np.maximum(pace, np.minimum(wants.minimum_kw, wants.cap_kw))
    return np.maximum(wants.room_kw - held, np.minimum(room, below(wants.node, keep(pressed, pace))))


def _promised_kwh(wants: Wants, outlook: Outlook) -> Floats:
    """A part of the common share for all, then by priority."""
    if not outlook.crowds:
        return outlook.can_kwh
    common = common_share_kwh(wants, outlook)
    floor = np.minimum(np.maximum(_FLOOR * (wants.got_kwh + common) - wants.got_kwh, 0.0), common)
    lost = wants.left_kwh > _LOST * outlook.can_kwh
    return admit(outlook, floor, wants.priority, np.where(lost, -1.0, 0.0), -wants.left_kwh, -wants.time_left_s)
