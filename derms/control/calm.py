"""The same room for fewer moves. Pure.

Targets wander with every tick: the level of a fair share with the load, an order of urgency with every kWh. Chargers
and cars shall not. So a device that runs may stay within a band around its target, and keeps its turn for a while
where its target is nothing only because others have come before it. Inside these bands room is taken from, and given
to, as few devices as will do: lowered are those that last went down, raised those that last went up, and of those the
ones that can go furthest. A load that swings moves some down and some up, and hardly any to and fro.

How wide the bands are is learnt: as wide as the load that nobody controls is seen to swing. Where it stands still they
close within a minute or two after a move, and everybody is where its target is. A device without slack stays
closer to its target.

The room itself is always respected, and always used.
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import Bools, DeviceColumns, DeviceMemory, Floats, Override, Params
from derms.control.choice import choose, keep
from derms.control.layout import Layout
from derms.control.wants import Round

_BAND = 1.0
"""How far a lease may stay off its target at the most [share of the rating]."""
_LEAST = 0.025
"""...and at least."""
_STICKS, _STICKS_S = 0.15, 20.0
"""The band of a device that has just moved is at least so wide, and closes with this time constant [s]."""
_COLLAPSE = 0.85
"""Where the room falls below so much of what is leased, as by an event, all come down to their targets."""
_SWINGS = 80.0
"""Bands are this many times as wide as the load swings [shares of what is shared]."""
_SHARE_S = 60.0
"""Targets are averaged over about this long [s]."""
_KEPT = 0.1
"""A device that was switched on less than this part of `turn_s` ago is not switched off for another's sake."""
_UNSEATED_S = 30.0
"""...and not before others have come before it for so long [s]."""
_ROUNDING_KW = 1e-9
"""What is missing by less than this is not missing."""
_MUST = 0.5
"""One that has no slack may stay below its target by so much at the most [share of the rating]."""


@dataclass(frozen=True, slots=True)
class _Bands:
    """Between what, and from where, each device is moved; shape (n,) [kW]."""

    base: Floats
    """Its smallest power: these fit together, as allocation gave them."""
    low: Floats
    stand: Floats
    high: Floats


def calmed(
    target_kw: Floats,
    room_kw: Floats,
    cap_kw: Floats,
    flexible: Bools,
    must_kw: Floats,
    swing: Floats,
    memory: DeviceMemory,
    devices: DeviceColumns,
    layout: Layout,
    step_kw: Floats,
    params: Params,
) -> Floats:
    """Find leases near the targets that need few moves.

    Args:
        target_kw: What allocation gives each, shape (n,) [kW].
        room_kw: What there is below each node, shape (m,) [kW]; inf: no limit.
        cap_kw: The most each can take now, shape (n,) [kW].
        flexible: Which rows are meant.
        must_kw: What each must have now; above 0 it stays closer to its target, shape (n,) [kW].
        swing: How much of what it shares in swings, shape (n,) [share].
        memory: Since when each runs, and which way it last moved.
        devices: The columns.
        layout: Where they hang.
        step_kw: How far each may be raised now, shape (n,) [kW]: nobody makes room for more than that.
        params: The engine's constants.

    Returns:
        Targets, shape (n,) [kW]; below every node they sum to its room at the most.
    """
    runs = flexible & (devices.lease_kw > 0.0) & (devices.override == Override.NONE)
    # A lease below the smallest power, of other days or of another car, is none that anybody runs at.
    runs &= devices.lease_kw >= devices.p_min_kw - _ROUNDING_KW
    seated = runs & (target_kw > 0.0)
    recent = (memory.running_s < _KEPT * params.turn_s) | (memory.unseated_s < _UNSEATED_S)
    kept = runs & (target_kw == 0.0) & (cap_kw > 0.0) & recent
    if not (seated | kept).any():
        return target_kw
    leased = layout.sums(keep(runs, devices.lease_kw))
    collapsed = layout.below(room_kw < _COLLAPSE * leased)
    # Where orders of urgency flap, targets do; their means hardly.
    mean = np.where(collapsed, target_kw, memory.share_kw)
    bands = _bands(target_kw, mean, cap_kw, must_kw, swing, step_kw, seated, kept, collapsed, devices)
    relief = np.minimum(target_kw, 0.0)
    room = room_kw - layout.sums(relief) if np.any(relief < 0.0) else room_kw
    base = bands.base
    if kept.any():
        # Who starts waits for those that are kept; what is less than its smallest power is of no use to anybody.
        base = layout.serve(room, [Round(ceiling_kw=base, rank=np.where(kept, 1.0, np.where(runs, 2.0, 0.0)))])
        base = np.where(base < np.minimum(devices.p_min_kw, bands.base) - 1e-9, 0.0, base)
        off = (base <= 0.0) & (bands.base > 0.0)
        bands = _Bands(base, *(np.where(off, 0.0, each) for each in (bands.low, bands.stand, bands.high)))
    # None is turned round while another can go on; then the one with the longest way to go.
    down, up = bands.stand - bands.base, bands.high - bands.stand
    fall = memory.heading - down / (down + 1.0)
    rise = memory.heading + up / (up + 1.0)
    rounds = [
        Round(ceiling_kw=bands.low - base, rank=fall),
        Round(ceiling_kw=bands.stand - bands.low, rank=fall),
        Round(ceiling_kw=up, rank=rise),
    ]
    return relief + base + layout.serve(np.maximum(room - layout.sums(base), 0.0), rounds)


def remember_shares(target_kw: Floats, runs: Bools, memory: DeviceMemory, dt_s: float) -> DeviceMemory:
    """Note what allocation has lately given to each that runs, in the mean.

    Args:
        target_kw: What it gives now, shape (n,) [kW].
        runs: Who has power, shape (n,).
        memory: What was remembered.
        dt_s: Since the last tick [s].
    """
    slow = 1.0 - np.exp(-dt_s / _SHARE_S)
    mean = choose(np.isfinite(memory.share_kw), memory.share_kw, target_kw)
    return replace(memory, share_kw=choose(runs, mean + slow * (target_kw - mean), np.nan))


def _bands(
    target_kw: Floats,
    mean_kw: Floats,
    cap_kw: Floats,
    must_kw: Floats,
    swing: Floats,
    step_kw: Floats,
    seated: Bools,
    kept: Bools,
    collapsed: Bools,
    devices: DeviceColumns,
) -> _Bands:
    """Those that start, and those that are held or off, stand where their targets are, as far as they get there."""
    reach = np.fmax(devices.lease_kw, 0.0) + step_kw
    target = np.clip(target_kw, 0.0, reach)
    mean = np.clip(np.where(np.isfinite(mean_kw), mean_kw, target_kw), 0.0, np.minimum(cap_kw, reach))
    sticks = np.where(collapsed, 0.0, _STICKS * np.exp(-np.maximum(devices.told_s, 0.0) / _STICKS_S))
    wide = np.clip(_SWINGS * swing, _LEAST, _BAND)
    band = np.maximum(wide, sticks) * devices.p_import_max_kw
    smallest = np.minimum(devices.p_min_kw, np.where(kept, devices.lease_kw, target))
    least, most = np.minimum(target, mean), np.maximum(target, mean)
    below = np.where(must_kw > 0.0, np.minimum(band, _MUST * devices.p_import_max_kw), band)
    low = np.maximum(least - below, smallest)
    high = np.maximum(np.minimum(most + band, cap_kw), np.maximum(low, target))
    stand = np.clip(devices.lease_kw, low, high)
    # Where the load does not swing, one that does move goes all the way.
    strays = seated & (sticks > wide) & ((devices.lease_kw < low) | (devices.lease_kw > high))
    stand = np.where(strays, target, stand)
    kept_kw = np.minimum(devices.lease_kw, np.maximum(cap_kw, smallest))
    return _Bands(
        np.where(seated | kept, smallest, target),
        np.where(seated, low, np.where(kept, smallest, target)),
        np.where(seated, stand, np.where(kept, kept_kw, target)),
        np.where(seated, high, np.where(kept, kept_kw, target)),
    )
