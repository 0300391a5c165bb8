"""From energies promised to powers now: who has least time to spare goes first. Pure."""

import numpy as np

from derms.columns import Floats
from derms.control.policies.plan import Outlook
from derms.control.wants import Round, Wants

_STAY_H = 0.1
"""Who runs stays until another has this much less time to spare [h]; else equals would swap at every tick."""


def now_kw(wants: Wants, energy_kwh: Floats) -> Floats:
    """The most of an energy that can go out before the next tick, shape (n,) [kW]."""
    return np.minimum(wants.cap_kw, energy_kwh * 3600.0 / wants.dt_s)


def urgency_h(wants: Wants, outlook: Outlook, energy_kwh: Floats) -> Floats:
    """How little time each has to spare, shape (n,) [h], larger is more urgent; finite."""
    laxity = outlook.laxity_h(energy_kwh)
    return np.where(np.isfinite(laxity), np.where(wants.drawing_kw > 0.0, _STAY_H, 0.0) - laxity, -1e6)


def by_laxity(wants: Wants, outlook: Outlook, energy_kwh: Floats) -> Round:
    """Serve what is promised, least time to spare first."""
    return Round(ceiling_kw=now_kw(wants, energy_kwh), rank=urgency_h(wants, outlook, energy_kwh))


def rest_of(wants: Wants, *given_kw: Floats) -> Floats:
    """What is left of each cap, shape (n,) [kW]."""
    return np.maximum(wants.cap_kw - sum(given_kw, start=np.zeros_like(wants.cap_kw)), 0.0)
