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
    return np.minimum(wants.cap_kw, energy_kwh * 3600.0 / wants.dt_s)


def urgency_h(wants: Wants, outlook: Outlook, energy_kwh: Floats) -> Floats:
    """How little time each has to spare, shape (n,) [h], larger is more urgent; finite.

    Where nobody has said by when, the horizon counts from when the device began to wait.
    """
    laxity = outlook.laxity_h(energy_kwh) - np.where(wants.departs, 0.0, wants.waited_s / 3600.0)
    stay = np.where(wants.departs, _STAY_H, _STAY_OPEN_H)
    spare = np.where(np.isfinite(laxity), laxity, -_NEVER_H)
    return np.where(wants.drawing_kw > 0.0, stay, 0.0) - spare


def by_laxity(wants: Wants, outlook: Outlook, energy_kwh: Floats, *more: Round) -> Wish:
    """Serve what is promised, least time to spare first, then some more."""
    urgency = urgency_h(wants, outlook, energy_kwh)
    first = Round(ceiling_kw=now_kw(wants, energy_kwh), rank=urgency)
    return Wish(rounds=(first, *more), turn=urgency, claim_kw=first.ceiling_kw)


def rest_of(wants: Wants, *given_kw: Floats) -> Floats:
    """What is left of each cap, shape (n,) [kW]."""
    return np.maximum(wants.cap_kw - sum(given_kw, start=np.zeros_like(wants.cap_kw)), 0.0)
