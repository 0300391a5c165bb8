"""The dead-man envelope: the worst load of every node if everything above the devices died this instant. Pure.

No lease would be renewed and none would be recalled. A device stays within its leases while any it may follow lives,
and goes to its default control when the last is over; background and reservations stay. ::

    kW   ___                      granted 7, default 0: falls when its lease is over, at the latest
        |   |________   ____      granted 0, default 1.4: rises when its lease is over, at the earliest
        |___|________|_|_______ s
            the sum peaks where early risers meet late fallers

Time is cut into slots; within a slot a device that changes counts at its worse side, so the figure is a bound. A set
of leases whose sum could peak above a limit is reshaped: those that end in a rise live on, those that end in a fall
end before them.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from derms.columns import PV, REVERT_S, Bools, DeviceColumns, Floats, Ints, Params
from derms.control.background import Background
from derms.control.bounds import Bounds
from derms.control.choice import choose, keep
from derms.control.tree import Tree

_SLOTS = 16
_NOTHING_KW = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Arrays of shape (m,)."""

    import_kw: Floats
    import_s: Floats
    export_kw: Floats
    """A magnitude; negative where it would import at the least [kW]."""
    export_s: Floats
    default_over_kw: Floats
    """By how much the default controls alone pass a limit [kW]: no lease can help that, only other defaults."""
    default_over_exports: Bools
    """It is the export limit that they pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slots:
    """Time, cut into slots: 0 to `_SLOTS`, the last of which is "for ever after"."""

    length_s: float
    first: Ints
    """The slot in which each device's leases may begin to end, shape (n,)."""
    settled: Ints
    """The slot from which on it is surely on its default control, shape (n,)."""

    @staticmethod
    def of(earliest_s: Floats, latest_s: Floats, params: Params) -> "_Slots":
        """Leases end between these moments, >= 0, shape (n,) [s]."""
        length_s = max(float(np.max(latest_s, initial=0.0)), params.lease_s + REVERT_S) / _SLOTS
        first = np.minimum(earliest_s / length_s, _SLOTS).astype(np.int64)
        settled = np.ceil(np.minimum(latest_s / length_s - 1e-9, _SLOTS)).astype(np.int64)
        return _Slots(length_s=length_s, first=first, settled=np.maximum(settled, first))


def lease_lives(
    p_kw: Floats, devices: DeviceColumns, bounds: Bounds, background: Background, tree: Tree,
    import_kw: Floats, params: Params,
) -> tuple[Floats, Bools]:  # fmt: skip
    """Choose how long leases live, so that no mixture of ended and living ones passes an import limit.

    Where the larger of lease and default control of all devices fits together, every lease lives `lease_s`. Where it
    does not, a lease above its default lives only so long that the device has come down before any lease below its
    default ends, and the latter are renewed at every tick, but for those that are followed and last anyway.

    Args:
        p_kw: What is leased, shape (n,) [kW]; NaN: nothing.
        devices: The columns.
        bounds: What each may do.
        background: What is not told.
        tree: The nodes' shape.
        import_kw: The limit in force at each node, shape (m,) [kW].
        params: The engine's constants.

    Returns:
        Lives, shape (n,) [s], and whose leases are to be renewed now so that they outlive the others.
    """
    leased = bounds.flexible & np.isfinite(p_kw)
    default = np.maximum(devices.default_power_kw, 0.0)
    worse = keep(leased, np.maximum(p_kw, default))
    mixed = tree.subtree(devices.node, worse + bounds.reserve_kw) + background.import_kw
    tight = mixed > import_kw + _NOTHING_KW
    if not tight.any():
        return np.full(p_kw.size, params.lease_s), np.zeros(p_kw.size, dtype=bool)
    under = tree.down_any(tight)[devices.node] & leased
    falls = under & (p_kw > default)
    rises = under & (p_kw < default)
    slot_s = (params.lease_s + REVERT_S) / _SLOTS
    short_s = max(params.lease_s - REVERT_S - 2.0 * slot_s, params.lease_s / 3.0)
    # What must be left while others fall; two ticks more, as the next one may be late.
    enough_s = np.ceil((short_s + REVERT_S) / slot_s - 1e-9) * slot_s + 2.0 * params.interval_s
    lasting = (devices.lease_left_s >= enough_s) & np.isfinite(devices.acknowledged_s)
    return np.where(falls, short_s, params.lease_s), rises & ~lasting


def followed(devices: DeviceColumns, p_kw: Floats, send: Bools) -> DeviceColumns:
    """The same devices once all that goes out is followed, as it is in lockstep: no older lease counts any more."""
    lowered = send & (devices.kind != PV) & (devices.p_actual_kw > p_kw)
    return replace(
        devices,
        p_actual_kw=np.where(lowered, p_kw, devices.p_actual_kw),
        may_kw=np.where(send, np.nan, devices.may_kw),
        may_low_kw=np.where(send, np.nan, devices.may_low_kw),
        may_left_s=np.where(send, -np.inf, devices.may_left_s),
    )


def envelope_of(
    p_kw: Floats, send: Bools, life_s: Floats, devices: DeviceColumns, bounds: Bounds, background: Background,
    tree: Tree, import_kw: Floats, export_kw: Floats, params: Params,
) -> Envelope:  # fmt: skip
    """Work out the worst load in both directions, and when.

    Args:
        p_kw: What is leased, shape (n,) [kW]; NaN: nothing.
        send: Which leases go out now, shape (n,); they may arrive or not.
        life_s: How long those live, shape (n,) [s].
        devices: The columns, with the leases that are out already.
        bounds: What each may do.
        background: What is not told.
        tree: The nodes' shape.
        import_kw: The import limit in force at each node, shape (m,) [kW].
        export_kw: The export limit in force, shape (m,) [kW].
        params: The engine's constants.
    """
    told, pv = bounds.flexible, (devices.kind == PV).nonzero()[0]
    # Without a lease a panel makes what the sun gives, unless a default control is told of it.
    default = devices.default_power_kw.copy()
    default[pv] = np.where(default[pv] < 0.0, default[pv], -devices.p_export_max_kw[pv])
    read = np.isfinite(devices.p_actual_kw)
    draw = devices.p_actual_kw if read.all() else choose(read, devices.p_actual_kw, default)
    new = choose(send, p_kw, np.nan)
    alive = np.isfinite(devices.may_kw)
    leased = alive | np.isfinite(new)
    highest = choose(leased, np.fmax(devices.may_kw, new), np.maximum(draw, default))
    lowest = choose(leased, np.fmin(devices.may_low_kw, new), np.minimum(draw, default))
    ends = keep(send, life_s)
    # What is sent may not arrive, and then the older lease ends first; if it does, it ends last.
    earliest = choose(alive, np.maximum(devices.lease_left_s, 0.0), ends)
    latest = np.maximum(ends + REVERT_S * send, np.maximum(devices.may_left_s, 0.0))
    slots = _Slots.of(earliest, latest, params)
    held = keep(bounds.held, np.maximum(bounds.reserve_kw, default))
    granted, drawn, capped = choose(told, np.maximum(highest, draw), held), draw[pv], bounds.curtailable[pv]
    # A battery that discharges by default does so until it is empty, and may be so already.
    at_default = choose(told, np.maximum(default, 0.0), held)
    # PV is in the background already as it draws; what it would lose under a lease or its default is on top.
    loses = at_default.copy()
    granted[pv] = np.where(capped, np.maximum(highest[pv], drawn), drawn) - drawn
    loses[pv] = np.maximum(drawn, default[pv]) - drawn
    import_peak, import_s = _peak(granted, loses, slots, devices.node, tree, background.import_kw)
    # Towards export a charger counts with what it takes, not with what it may take, and a silent one with nothing.
    gives = choose(told, -np.minimum(draw, lowest), bounds.backfeed_kw)
    falls = choose(told, -np.minimum(default, np.maximum(draw, 0.0)), bounds.backfeed_kw)
    gives[pv] = np.where(capped & leased[pv], -lowest[pv], devices.p_export_max_kw[pv])
    falls[pv] = np.where(capped, -default[pv], gives[pv])
    export_peak, export_s = _peak(gives, falls, slots, devices.node, tree, -background.export_kw)
    over_import = tree.subtree(devices.node, at_default) + background.import_kw - import_kw
    over_export = tree.subtree(devices.node, falls) - background.export_kw - export_kw
    return Envelope(
        import_kw=import_peak,
        import_s=import_s,
        export_kw=export_peak,
        export_s=export_s,
        default_over_kw=np.maximum(np.maximum(over_import, over_export), 0.0) + 0.0,
        default_over_exports=over_export > np.maximum(over_import, _NOTHING_KW),
    )


def _peak(
    granted_kw: Floats, default_kw: Floats, slots: _Slots, node: Ints, tree: Tree, base_kw: Floats
) -> tuple[Floats, Floats]:
    """The highest sum over all slots at each node [kW], and its slot's beginning [s]; shape (m,) each.

    Args:
        granted_kw: Of each device while its leases live, shape (n,) [kW].
        default_kw: When they are over, shape (n,) [kW].
        slots: When that is.
        node: Where each hangs, shape (n,).
        tree: The nodes' shape.
        base_kw: What comes on top at each node, shape (m,) [kW].
    """
    nodes = base_kw.size
    worst = np.maximum(granted_kw, default_kw)
    steps = np.bincount(node, weights=granted_kw, minlength=nodes * (_SLOTS + 1)).astype(np.float64, copy=False)
    for slot, change in ((slots.first, worst - granted_kw), (slots.settled, default_kw - worst)):
        # Most change only one way or not at all.
        who = (change != 0.0).nonzero()[0]
        if who.size:
            steps += np.bincount(slot[who] * nodes + node[who], weights=change[who], minlength=steps.size)
    levels = steps.reshape(-1, nodes)
    # Row by row, which is many times faster than `cumsum` along so short an axis.
    for before, level in pairwise(levels):
        level += before
    sums = tree.up(levels) + base_kw
    peak = sums.max(axis=0)
    return peak, (sums == peak).argmax(axis=0) * slots.length_s
