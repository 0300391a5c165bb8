"""Who does what its lease says. Pure.

A reading taken a moment after a lease was sent should show it followed. One that does not is a strike: what the device
draws beyond its lease is reserved at once, as its next reading may be long in coming. Two in a row, on readings of
their own, and the device counts as disobedient: what it really draws is reserved, others make room, and an alarm names
it. Three readings in a row that follow, and it takes part again.
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import PV, Bools, DeviceColumns, DeviceMemory, Floats, Params
from derms.control.choice import keep

_STRIKES = 2.0
PARDON = 3.0
"""So many readings in a row that follow, and a disobedient device takes part again."""
_SLACK = 0.05
"""A device counts as following within this share of its rating."""
_SLACK_KW = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Obedience:
    """Arrays of shape (n,)."""

    disobedient: Bools
    draw_kw: Floats
    """Measured power, with a sign that its kind can have [kW]; NaN: unknown."""
    beyond_kw: Floats
    """What one with a first strike draws beyond its lease [kW]; 0 for the others."""


def plausible_kw(devices: DeviceColumns) -> Floats:
    """Measured power with the worse sign where the reported one is impossible, shape (n,) [kW].

    A charger that cannot export and reports that it does is taken to draw what it says it pushes.
    """
    draw = devices.p_actual_kw
    impossible = (draw < 0.0) & (devices.p_export_max_kw <= 0.0) & (devices.p_import_max_kw > 0.0)
    if not impossible.any():
        return draw
    return np.where(impossible & (draw < -_slack_kw(devices)), -draw, draw)


def judge(
    devices: DeviceColumns, good: Bools, memory: DeviceMemory, params: Params, dt_s: float
) -> tuple[Obedience, DeviceMemory]:
    """Judge every device by its newest reading.

    Args:
        devices: The columns.
        good: Whose readings are fresh, shape (n,).
        memory: What was remembered.
        params: The engine's constants.
        dt_s: Since the last tick [s]; a reading is judged once, so only one that is younger counts.
    """
    draw = plausible_kw(devices)
    slack = _slack_kw(devices)
    lease = devices.lease_kw
    judged = devices.controllable & good & np.isfinite(lease) & (devices.age_s <= dt_s)
    judged &= devices.age_s + params.obey_s <= devices.told_s
    # A device on its way down is obeying, however slowly it ramps.
    over = (draw > lease + slack) & (devices.kind != PV)
    over &= ~(draw < memory.last_kw - slack)
    under = draw < np.minimum(lease, 0.0) - slack
    under &= ~(draw > memory.last_kw + slack)
    strikes = _counted(memory.strikes, judged, over | under)
    read = np.isfinite(draw)
    last = draw if read.all() else np.where(read, draw, memory.last_kw)
    struck = (strikes > 0.0).nonzero()[0]
    beyond = np.zeros(draw.size)
    beyond[struck] = np.fmax(draw[struck] - lease[struck], 0.0)
    found = Obedience(disobedient=strikes < 0.0, draw_kw=draw, beyond_kw=beyond)
    return found, replace(memory, strikes=strikes, last_kw=last)


def _counted(before: Floats, judged: Bools, astray: Bools) -> Floats:
    """Strikes count up to 2, which becomes -1: disobedient; from there pardons count down, to 0."""
    after = keep(~judged, before)
    # Nearly all follow and have no strikes: only the others are looked at.
    rows = (judged & (astray | (before < 0.0))).nonzero()[0]
    before, astray = before[rows], astray[rows]
    struck = np.where(before + 1.0 >= _STRIKES, -1.0, before + 1.0)
    pardoned = np.where(before - 1.0 <= -1.0 - PARDON, 0.0, before - 1.0)
    after[rows] = np.where(before < 0.0, np.where(astray, -1.0, pardoned), struck)
    return after


def _slack_kw(devices: DeviceColumns) -> Floats:
    rating = np.maximum(devices.p_import_max_kw, devices.p_export_max_kw)
    return np.maximum(_SLACK * rating, _SLACK_KW)
