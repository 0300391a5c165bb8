"""What a device is seen to take of what it is granted: the rest goes to others. Pure.

A car has its own limit, which no message tells. It shows when the car stays below a lease that it follows and has had
the time to reach. It is remembered, with a little on top in which the car can show that it would take more; when it
takes that too, it is offered more and more.
"""

from dataclasses import replace

import numpy as np

from derms.columns import Bools, DeviceColumns, DeviceMemory, Floats, Params

_SHORT = 0.94
"""A device that draws less than this share of its lease does not take it."""
_ON_TOP, _ON_TOP_OF_RATING = 0.02, 0.01
"""Room to show more: this share of what it takes, and this share of its rating."""
_STEPS_UP = 4.0
"""A device that takes what is on top is believed to take this many times as much more."""
_MOST = 0.9
"""Who takes this share of what is on top has shown that it takes all of it."""
_STILL = 0.02
"""A reading that rose by more than this share of the rating since the last tick is on its way."""


def uptake_of(
    devices: DeviceColumns, good: Bools, draw_kw: Floats, last_kw: Floats, memory: DeviceMemory, params: Params,
    *, lockstep: bool,
) -> tuple[Floats, Floats, DeviceMemory]:  # fmt: skip
    """Learn who takes less than it may.

    Args:
        devices: The columns.
        good: Whose readings are fresh, shape (n,).
        draw_kw: Measured power, shape (n,) [kW].
        last_kw: The same at the last tick; NaN: unknown.
        memory: What was remembered.
        params: The engine's constants.
        lockstep: `Picture.lockstep`.

    Returns:
        What each is granted at the most on these grounds, shape (n,) [kW], inf where there are none; what each
        leaves of its lease now, shape (n,) [kW]; and the memory.
    """
    rating = devices.p_import_max_kw
    settled = good & (devices.acknowledged_s > min(params.uptake_s, 1.5 * params.interval_s)) & (devices.lease_kw > 0.0)
    rising = draw_kw > last_kw + _STILL * rating
    short = settled & ~rising & (draw_kw < _SHORT * devices.lease_kw)
    gone = good & (devices.available_kw <= 0.0)
    before = np.where(gone, np.nan, memory.takes_kw)
    shown = np.where(good, np.fmax(draw_kw - before, 0.0), 0.0)
    takes = np.where(short, np.maximum(draw_kw, 0.0), before + (1.0 + _STEPS_UP) * shown)
    # Where ticks are minutes long, who takes most of what is on top is offered everything: at worst for one of them.
    all_of_it = lockstep & ~short & (shown >= _MOST * (_on_top(before, rating) - before))
    # Once it is offered all it can ever take, there is no limit left to remember.
    takes = np.where(all_of_it | (takes >= rating), np.nan, takes)
    idle = np.where(settled & ~rising, np.fmax(devices.lease_kw - np.maximum(draw_kw, 0.0), 0.0), 0.0)
    return np.fmin(np.inf, _on_top(takes, rating)), idle, replace(memory, takes_kw=takes)


def _on_top(takes_kw: Floats, rating_kw: Floats) -> Floats:
    return takes_kw * (1.0 + _ON_TOP) + _ON_TOP_OF_RATING * rating_kw
