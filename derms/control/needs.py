"""What each device still needs, in kWh, and by when. Pure.

A session says what it needs as energy or as a state of charge. An energy need may be stated once, or anew with every
reading: between two statements what is delivered is counted off, so both come to the same.
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import BATTERY, EV, STATUS_CODE, Bools, DeviceColumns, DeviceMemory, Floats, Params
from derms.control.choice import choose, keep
from derms.model import DeviceStatus

_NEW_SESSION_KWH = 0.5
"""A stated need that grows by more than this is another car's [kWh]."""
_GUESSED_HOURS = 6.0
"""A device whose capacity nobody knows is taken to fill in this long at its rating [h]."""
_DONE_KWH = 1e-3
"""What is left below this counts as nothing [kWh]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Arrays of shape (n,)."""

    gap: Floats
    """SOC missing to the target, 0..1; a half where it is unknown."""
    left_kwh: Floats
    asked_kwh: Floats
    got_kwh: Floats
    time_left_s: Floats
    departs: Bools
    below_reserve: Bools
    states_energy: Bools
    """It asks for energy, not for a SOC."""
    done: Bools
    """It asked for energy and has it."""


def needs_of(
    devices: DeviceColumns, draw_kw: Floats, good: Bools, memory: DeviceMemory, params: Params, dt_s: float
) -> tuple[Needs, DeviceMemory]:
    """Work out needs, and count off what was delivered since the last tick.

    Args:
        devices: The columns.
        draw_kw: Measured power, shape (n,) [kW].
        good: Whose readings are fresh, shape (n,).
        memory: What was remembered.
        params: The engine's constants.
        dt_s: Since the last tick [s].
    """
    delivered = keep(good & np.isfinite(draw_kw), np.maximum(draw_kw, 0.0)) * dt_s / 3600.0
    away = devices.status == STATUS_CODE[DeviceStatus.UNAVAILABLE]
    states = np.isfinite(devices.energy_needed_kwh)
    said_anew = states & ~(devices.energy_needed_kwh == memory.stated_kwh)
    grown = states & (devices.energy_needed_kwh > memory.left_kwh + _NEW_SESSION_KWH) & said_anew
    counted = np.maximum(memory.left_kwh - delivered, 0.0)
    stated_left = np.where(said_anew, devices.energy_needed_kwh, counted)
    got = keep(~(away | grown), memory.got_kwh + delivered)
    known = np.isfinite(devices.soc)
    gap = choose(known, np.maximum(devices.target_soc - devices.soc, 0.0), 0.5)
    capacity, sized = devices.capacity_kwh, np.isfinite(devices.capacity_kwh)
    if not sized.all():
        capacity = choose(sized, capacity, _GUESSED_HOURS * devices.p_import_max_kw)
    left = choose(states, stated_left, gap * capacity)
    # By when is worth nothing where nobody knows how much.
    departs = (devices.kind == EV) & np.isfinite(devices.ready_in_s) & (states | known)
    reserve = known & (devices.soc < devices.min_soc_reserve)
    found = Needs(
        gap=gap,
        left_kwh=left,
        asked_kwh=got + left,
        got_kwh=got,
        time_left_s=choose(departs, np.maximum(devices.ready_in_s, 60.0), params.horizon_s),
        departs=departs,
        below_reserve=reserve & ((devices.kind == EV) | (devices.kind == BATTERY)),
        states_energy=states,
        done=states & (left <= _DONE_KWH),
    )
    return found, replace(
        memory,
        stated_kwh=np.where(away, np.nan, devices.energy_needed_kwh),
        left_kwh=choose(states & ~away, stated_left, np.nan),
        got_kwh=got,
    )
