"""From energies promised to powers now: who has least time to spare goes first. Pure."""

import numpy as np

from derms.columns import Floats
from derms.control.policies.plan import Outlook
from derms.control.wants import Round, Wants, Wish

_STAY_H = 0.1
"""Who runs stays until another has this much less time to spare [h]; else equals would swap at every tick."""
_STAY_OPEN_H = 0.5
"""The same for those who have not said when they leave."""
_NEVER_H = -1e4
"""Urgency of who is promised nothing [h]."""


def now_kw(wants: Wants, energy_kwh: Floats) -> Floats:
    """The most of an energy that can go out before the next tick, shape (n,) [kW]."""
    return np.minimum(wants.cap_kw, energy_kwh * 3600.0 / wants.params.interval_s)


def urgency_h(wants: Wants, outlook: Outlook, energy_kwh: Floats) -> Floats:
    """How little time each has to spare, shape (n,) [h], larger is more urgent; finite.

    Where nobody has said by when, the horizon counts from when the device began to wait.
    """
    laxity = outlook.laxity_h(energy_kwh) - np.where(wants.departs, 0.0, wants.waited_s / 3600.0)
    spare = np.where(np.isfinite(laxity), laxity, -_NEVER_H)
    stay = np.where(wants.drawing_kw > 0.0, np.where(wants.departs, _STAY_H, _STAY_OPEN_H), 0.0)
    # Nobody stays at the cost of one who cannot wait for the next tick.
    step = wants.params.interval_s / 3600.0
    return -np.where(spare > step, np.maximum(spare - stay, step), spare)


def must_kw(wants: Wants, outlook: Outlook, energy_kwh: Floats) -> Floats:
    """What of an energy cannot wait for the next tick, shape (n,) [kW]."""
    step = wants.params.interval_s / 3600.0
    later = outlook.cap_kw * np.maximum(outlook.left_h - step, 0.0)
    return np.minimum(np.maximum(energy_kwh - later, 0.0) / step, wants.cap_kw)


def by_laxity(wants: Wants, outlook: Outlook, energy_kwh: Floats) -> tuple[Round, ...]:
    """Serve what is promised: what cannot wait, then least time to spare first."""
    urgency = urgency_h(wants, outlook, energy_kwh)
    must = must_kw(wants, outlook, energy_kwh)
    rest = Round(ceiling_kw=now_kw(wants, energy_kwh) - must, rank=urgency)
    return (Round(ceiling_kw=must, rank=urgency), rest) if must.any() else (rest,)


def by_laxity_only(wants: Wants, outlook: Outlook, energy_kwh: Floats, *more: Round) -> Wish:
    """Serve what is promised and then some more; who has least time to spare is on first."""
    return Wish(
        rounds=(*by_laxity(wants, outlook, energy_kwh), *more),
        turn=urgency_h(wants, outlook, energy_kwh),
        claim_kw=now_kw(wants, energy_kwh),
    )


def rest_of(wants: Wants, *given_kw: Floats) -> Floats:
    """What is left of each cap, shape (n,) [kW]."""
    return np.maximum(wants.cap_kw - sum(given_kw, start=np.zeros_like(wants.cap_kw)), 0.0)
