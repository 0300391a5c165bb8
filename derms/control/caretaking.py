"""What may be sent without holding the lease: what is safe whoever else commands. Pure.

A lease that lives is renewed, or moved towards nothing; none is raised, none turned from import to export or back, and
none begun. So what the devices of a tree may take together, and what they may give, only ever falls.
"""

from dataclasses import replace

import numpy as np

from derms.columns import REVERT_S, Decision, DeviceColumns, Params
from derms.control.dynamics import changed, ending, lawful


def only_safe(decision: Decision, devices: DeviceColumns, params: Params, *, keeps: bool) -> Decision:
    """A decision without what may not be sent.

    Args:
        decision: Of n devices.
        devices: The columns it was made of.
        params: The engine's constants.
        keeps: Whether anything may be sent at all.
    """
    if not keeps:
        return replace(decision, send=np.zeros_like(decision.send))
    # By what the device may follow: one that the broker did not take counts as none of ours, and may have arrived.
    alive = np.isfinite(devices.lease_kw) & (devices.may_left_s > REVERT_S)
    low_kw, high_kw = np.minimum(devices.lease_kw, 0.0), np.maximum(devices.lease_kw, 0.0)
    # Rounding to whole steps goes down, which never leaves the bounds of an import; an export is never rounded.
    safe_kw = lawful(np.clip(decision.target_kw, low_kw, high_kw), devices)
    target_kw = np.where(alive & np.isfinite(decision.target_kw), safe_kw, decision.target_kw)
    due = changed(target_kw, devices) | ending(decision.life_s, devices, params)
    send = alive & np.isfinite(decision.target_kw) & due
    return replace(decision, target_kw=target_kw, send=send)
