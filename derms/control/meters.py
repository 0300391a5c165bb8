"""Which head meters can be believed. Pure.

A meter that stands still while what hangs below it moves is frozen: its reading arrives fresh and is worth nothing,
and every charger that starts would look like a background that fell. Noise, drift and resolution of a live meter do
not repeat a value while devices below it change by more than `_MOVED_KW`.
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import Bools, Floats, NodeColumns, NodeMemory, Params
from derms.control.choice import keep
from derms.control.layout import Layout

_MOVED_KW = 0.5
_MOVED = 0.02
"""Of the reading, where that is more."""
_STRIKES = 2.0
"""So many new readings of the same value after the devices moved: the first may have been taken before they did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meters:
    """Arrays of shape (m,)."""

    known: Bools
    """There is a head meter."""
    live: Bools
    """It is fresh and not frozen."""
    doubted: Bools
    """It did not move with the devices: what it says now must not be remembered."""


def believe_meters(
    nodes: NodeColumns,
    layout: Layout,
    draw_kw: Floats,
    last_kw: Floats,
    memory: NodeMemory,
    params: Params,
    dt_s: float,
) -> tuple[Meters, NodeMemory]:
    """Judge every head meter.

    Args:
        nodes: The nodes.
        layout: Where devices hang.
        draw_kw: Measured power, shape (n,) [kW].
        last_kw: The same at the last tick; NaN: it had not been heard, and may have drawn that all along.
        memory: What was remembered.
        params: The engine's constants.
        dt_s: Since the last tick [s].
    """
    drawn = keep(np.isfinite(draw_kw), draw_kw)
    # Against the sum of then, so that what left with a device that is gone has moved too.
    moved_kw = layout.sums(keep(np.isfinite(last_kw), drawn)) - memory.meter_drawn_kw
    known = np.isfinite(nodes.metered_kw)
    new = known & (nodes.metered_age_s <= dt_s)
    same = nodes.metered_kw == memory.meter_kw
    moved = np.where(new & ~same, 0.0, memory.meter_moved_kw + np.where(np.isfinite(moved_kw), moved_kw, 0.0))
    astray = new & same & (np.abs(moved) > np.maximum(_MOVED_KW, _MOVED * np.abs(nodes.metered_kw)))
    strikes = np.where(new & ~same, 0.0, memory.meter_strikes + astray)
    frozen = strikes >= _STRIKES
    found = Meters(
        known=known,
        live=known & (nodes.metered_age_s <= params.stale_after_s) & ~frozen,
        doubted=strikes > 0.0,
    )
    return found, replace(
        memory,
        meter_kw=nodes.metered_kw,
        meter_drawn_kw=layout.sums(drawn),
        meter_moved_kw=moved,
        meter_strikes=strikes,
    )
