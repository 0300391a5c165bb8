"""What a tick came to, by kind of device, and what was held back; for the decision log. Pure."""

from dataclasses import dataclass

import numpy as np

from derms.columns import BATTERY, EV, LOAD, PV, Bools, Decision, Floats, Freshness, Picture
from derms.control.layout import Layout

_SLIGHT_KW = 1e-6
_AT_CAP = 0.02
"""PV that makes less than its cap by more than this share of its rating is held back by the sky, not by the cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tallies:
    """Of one tick of one tree; nodes have shape (m,), everything below included, devices shape (n,)."""

    pv_kw: Floats
    """The sum of the newest readings [kW]."""
    battery_kw: Floats
    ev_kw: Floats
    base_kw: Floats
    """The `load` devices [kW]."""
    deferred_kw: Floats
    """What EVs and batteries could have taken and were not given [kW]."""
    curtailed_kw: Floats
    """What PV says it could have made and was not allowed to [kW]."""
    asked_kw: Floats
    """What each EV or battery that takes part could have been given [kW]; 0 for the others, shape (n,)."""
    drawn_kw: Floats
    """What each of those read [kW], shape (n,)."""


def tally(picture: Picture, decision: Decision, layout: Layout) -> Tallies:
    """Sum up a tick.

    Args:
        picture: What the tick knew.
        decision: What it decided.
        layout: Where the devices hang.
    """
    devices = picture.devices
    reading = np.nan_to_num(devices.p_actual_kw)
    heard = (decision.freshness == Freshness.GOOD) & ~decision.disobedient & np.isfinite(decision.target_kw)
    wants = heard & ((devices.kind == EV) | (devices.kind == BATTERY)) & (decision.cap_kw > 0.0)
    asked = np.where(wants, decision.cap_kw, 0.0)
    given = np.where(wants, np.clip(decision.target_kw, 0.0, None), 0.0)

    def of_kind(kind: int) -> Floats:
        return layout.sums(np.where(devices.kind == kind, reading, 0.0))

    return Tallies(
        pv_kw=of_kind(PV),
        battery_kw=of_kind(BATTERY),
        ev_kw=of_kind(EV),
        base_kw=of_kind(LOAD),
        deferred_kw=layout.sums(np.clip(asked - given, 0.0, None)),
        curtailed_kw=layout.sums(_curtailed_kw(picture, decision, heard & (devices.kind == PV))),
        asked_kw=asked,
        drawn_kw=np.where(wants, np.clip(reading, 0.0, None), 0.0),
    )


def _curtailed_kw(picture: Picture, decision: Decision, told: Bools) -> Floats:
    """What each PV array that runs at its cap says it could make beyond that, shape (n,) [kW]."""
    devices = picture.devices
    able = np.fmin(devices.p_export_max_kw, devices.available_kw)
    cap = -np.nan_to_num(decision.target_kw)
    makes = np.clip(-np.nan_to_num(devices.p_actual_kw), 0.0, None)
    at_cap = makes >= cap - _AT_CAP * devices.p_export_max_kw
    says = np.isfinite(devices.available_kw)
    held_back = told & says & at_cap & (cap < able - _SLIGHT_KW)
    return np.where(held_back, np.clip(able - makes, 0.0, None), 0.0)
