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

import numpy as np

from derms.columns import BATTERY, EV, PV, REVERT_S, Bools, DeviceColumns, Floats, Params
from derms.control.background import Background
from derms.control.bounds import Bounds
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
class _Course:
    """What each device would do, shape (n,): `granted_kw` until `earliest_s`, `default_kw` from `latest_s` on."""

    granted_kw: Floats
    default_kw: Floats
    earliest_s: Floats
    latest_s: Floats


def lease_lives(
    p_kw: Floats, devices: DeviceColumns, bounds: Bounds, background: Background, tree: Tree,
    import_kw: Floats, params: Params,
) -> tuple[Floats, Bools]:  # fmt: skip
    """Choose how long leases live, so that no mixture of ended and living ones passes an import limit.

    Where the larger of lease and default control of all devices fits together, every lease lives `lease_s`. Where it
    does not, a lease above its default lives only so long that the device has come down before any lease below its
    default ends, and the latter are renewed at every tick.

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
    worse = np.where(leased, np.maximum(p_kw, default), 0.0)
    mixed = tree.subtree(devices.node, worse + bounds.reserve_kw) + background.import_kw
    tight = mixed > import_kw + _NOTHING_KW
    under = tree.down_any(tight)[devices.node] & leased
    falls = under & (p_kw > default)
    rises = under & (p_kw < default)
    slot_s = (params.lease_s + REVERT_S) / _SLOTS
    short_s = max(params.lease_s - REVERT_S - 2.0 * slot_s, params.lease_s / 3.0)
    return np.where(falls, short_s, params.lease_s), rises


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
    storage = (devices.kind == EV) | (devices.kind == BATTERY)
    told = storage & bounds.flexible
    is_pv = devices.kind == PV
    # Without a lease a panel makes what the sun gives, unless a default control is told of it.
    free = is_pv & ~(devices.default_power_kw < 0.0)
    default = np.where(free, -devices.p_export_max_kw, devices.default_power_kw)
    draw = np.where(np.isfinite(devices.p_actual_kw), devices.p_actual_kw, default)
    new = np.where(send, p_kw, np.nan)
    leased = np.isfinite(devices.may_kw) | np.isfinite(new)
    highest = np.where(leased, np.fmax(devices.may_kw, new), np.maximum(draw, default))
    lowest = np.where(leased, np.fmin(devices.may_low_kw, new), np.minimum(draw, default))
    ends = np.where(send, life_s, 0.0)
    # What is sent may not arrive, and then the older lease ends first; if it does, it ends last.
    earliest = np.where(np.isfinite(devices.may_kw), np.maximum(devices.lease_left_s, 0.0), 0.0)
    earliest = np.where(np.isfinite(devices.may_kw), earliest, ends)
    latest = np.maximum(ends + np.where(send, REVERT_S, 0.0), np.maximum(devices.may_left_s, 0.0))
    held = np.where(bounds.held, np.maximum(bounds.reserve_kw, default), 0.0)
    # A battery that discharges by default does so until it is empty, and may be so already.
    idle = np.maximum(default, 0.0)
    up = _Course(
        granted_kw=np.where(told | bounds.curtailable, np.maximum(highest, draw), np.where(is_pv, draw, held)),
        default_kw=np.where(told, idle, np.where(is_pv, np.maximum(draw, default), held)),
        earliest_s=earliest,
        latest_s=latest,
    )
    import_peak, import_s = _peak(_above(up, is_pv, draw), devices, tree, background.import_kw, params)
    # Towards export a charger counts with what it takes, not with what it may take, and a silent one with nothing.
    takes = np.where(told, np.minimum(draw, lowest), -bounds.backfeed_kw)
    rests = np.where(told, np.minimum(default, np.maximum(draw, 0.0)), -bounds.backfeed_kw)
    pv_low = np.where(is_pv, np.where(leased & bounds.curtailable, lowest, -devices.p_export_max_kw), 0.0)
    down = _Course(
        granted_kw=-np.where(is_pv, pv_low, takes),
        default_kw=-np.where(is_pv, np.where(bounds.curtailable, default, pv_low), rests),
        earliest_s=earliest,
        latest_s=latest,
    )
    export_peak, export_s = _peak(down, devices, tree, -background.export_kw, params)
    at_default = tree.subtree(devices.node, np.where(told, idle, held)) + background.import_kw
    made = tree.subtree(devices.node, down.default_kw)
    over_import, over_export = at_default - import_kw, made - background.export_kw - export_kw
    return Envelope(
        import_kw=import_peak,
        import_s=import_s,
        export_kw=export_peak,
        export_s=export_s,
        default_over_kw=np.maximum(np.maximum(over_import, over_export), 0.0) + 0.0,
        default_over_exports=over_export > np.maximum(over_import, _NOTHING_KW),
    )


def _above(course: _Course, is_pv: Bools, draw_kw: Floats) -> _Course:
    """PV is in the background already as it draws; what it would lose under a lease or its default is on top."""
    return _Course(
        granted_kw=np.where(is_pv, course.granted_kw - draw_kw, course.granted_kw),
        default_kw=np.where(is_pv, course.default_kw - draw_kw, course.default_kw),
        earliest_s=course.earliest_s,
        latest_s=course.latest_s,
    )


def _peak(
    course: _Course, devices: DeviceColumns, tree: Tree, base_kw: Floats, params: Params
) -> tuple[Floats, Floats]:
    """The highest sum over all slots at each node [kW], and its slot's beginning [s]; shape (m,) each."""
    longest_s = max(float(np.max(course.latest_s, initial=0.0)), params.lease_s + REVERT_S)
    slot_s = longest_s / _SLOTS
    # Slots 0.._SLOTS; the last one is "for ever after".
    first = np.clip(np.floor(course.earliest_s / slot_s), 0, _SLOTS).astype(np.int64)
    settled = np.clip(np.ceil(course.latest_s / slot_s - 1e-9), 0, _SLOTS).astype(np.int64)
    settled = np.maximum(settled, first)
    worst = np.maximum(course.granted_kw, course.default_kw)
    columns = _SLOTS + 1
    cells = devices.node * columns
    size = base_kw.size * columns
    steps = np.bincount(cells, weights=course.granted_kw, minlength=size)
    steps += np.bincount(cells + first, weights=worst - course.granted_kw, minlength=size)
    steps += np.bincount(cells + settled, weights=course.default_kw - worst, minlength=size)
    levels = np.cumsum(steps.astype(np.float64).reshape(-1, columns), axis=1)
    sums = tree.up(levels) + base_kw[:, None]
    at = np.argmax(sums, axis=1)
    return sums[np.arange(at.size), at], at * slot_s
