"""What binds each device, and at which node; the words are in `derms.control.words`. Pure.

Several things may lie in a device's way; the one named is the one without which its setpoint would be another. So a
limit is named only where the setpoint lies on it, and what is closer to the wire goes before what it hides::

    export absorbed < uptake < import limit < smallest power < full, unavailable < held < relief, export limit
        < ramp and room not free yet < blocked < silent < disobedient < told by an operator all the same
"""

from dataclasses import dataclass

import numpy as np

from derms.columns import STATUS_CODE, Bools, DeviceColumns, Floats, Freshness, Ints, Override, Reason
from derms.control.allocate import Allocation
from derms.control.bounds import Bounds
from derms.control.dynamics import Leases, lawful, ordered_kw
from derms.control.layout import Layout
from derms.model import DeviceStatus

_SLIGHT_KW = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How the setpoints of one tick came about; device arrays have shape (n,), node arrays (m,)."""

    given: Allocation
    share_kw: Floats
    """What each EV and battery is to get before ramps [kW]."""
    p_kw: Floats
    """What it is leased [kW]; NaN: nothing."""
    room_kw: Floats
    """What allocation had to give at each node [kW]; negative: relief was due."""
    kept_kw: Floats
    """What the silent and disobedient are leased [kW]; NaN: nothing."""
    curtailed: Leases
    """Of PV."""
    generation_cap_kw: Floats
    """What each PV may make before ramps [kW], a magnitude."""
    export_room_kw: Floats
    """What PV may make below each node [kW]; inf: no limit."""
    export_over: Bools
    """Where export was over, or PV curtailed, at the last tick, shape (m,)."""


def reasons_of(
    devices: DeviceColumns, bounds: Bounds, fresh: Ints, disobedient: Bools, course: Course, layout: Layout
) -> tuple[Ints, Ints]:
    """Name what binds each device.

    Args:
        devices: The columns.
        bounds: What each may do.
        fresh: Codes of `Freshness`, shape (n,).
        disobedient: Who does not follow, shape (n,).
        course: How the setpoints came about.
        layout: Where the devices hang.

    Returns:
        Codes of `Reason`, and the row of the node whose limit it is, -1 where it is none's; shape (n,) each.
    """
    flexible, curtailable = bounds.flexible, bounds.curtailable
    given, told, share = course.given, flexible | curtailable, course.share_kw
    short = flexible & (bounds.cap_kw > 0.0) & (share < lawful(bounds.cap_kw, devices) - _SLIGHT_KW)
    reason = np.full(devices.kind.shape, Reason.NONE, dtype=np.int64)
    reason[flexible & bounds.absorbing & (share > 0.0)] = Reason.ABSORB
    reason[bounds.uptake] = Reason.UPTAKE
    reason[short & (given.bound_node >= 0)] = Reason.IMPORT_LIMIT
    reason[flexible & given.waiting & (course.share_kw <= 0.0)] = Reason.MINIMUM_POWER
    nothing = flexible & (bounds.cap_kw <= 0.0)
    reason[nothing] = Reason.UNAVAILABLE
    reason[nothing & bounds.full] = Reason.FULL
    reason[_at_hold(devices, bounds, given.bound_node)] = Reason.HELD
    reason[flexible & (given.target_kw < 0.0)] = Reason.RELIEF
    curtailed = curtailable & (course.generation_cap_kw < bounds.generation_kw - _SLIGHT_KW)
    reason[curtailed] = Reason.EXPORT_LIMIT
    # What could be given all of it and is not stays where it is, so that few need to move.
    kept = short & (given.bound_node < 0) & (given.target_kw > 0.0)
    reason[kept | (flexible & (course.p_kw < lawful(share, devices) - _SLIGHT_KW))] = Reason.RAMP
    reason[curtailable & course.curtailed.ramping] = Reason.RAMP
    reason[told & (devices.override == Override.BLOCK)] = Reason.BLOCKED
    reason[bounds.waiting] = Reason.SILENT
    reason[disobedient & (fresh == Freshness.GOOD)] = Reason.DISOBEDIENT
    ordered = bounds.waiting & (np.abs(course.kept_kw - ordered_kw(devices)) <= _SLIGHT_KW)
    reason[ordered] = np.where(devices.override == Override.BLOCK, Reason.BLOCKED, Reason.HELD)[ordered]
    return reason, _nodes_of(reason, course, layout)


def _at_hold(devices: DeviceColumns, bounds: Bounds, bound_node: Ints) -> Bools:
    """Who is where an operator holds it, and not at a bound of its own or of a node on the way there."""
    hold = np.where(devices.override == Override.HOLD, devices.override_kw, np.nan)
    able = (devices.status != STATUS_CODE[DeviceStatus.UNAVAILABLE]) & (bounds.capability_kw >= devices.p_min_kw)
    too_little = (hold < devices.p_min_kw) & able & ~bounds.full
    charging = (hold > 0.0) & np.where(bounds.cap_kw > 0.0, (bounds.cap_kw >= hold) & (bound_node < 0), too_little)
    return np.where(bounds.flexible, (hold <= 0.0) | charging, bounds.curtailable & (-hold <= devices.p_export_max_kw))


def _nodes_of(reason: Ints, course: Course, layout: Layout) -> Ints:
    """The node whose limit each reason speaks of, shape (n,); -1 where it speaks of none."""
    node = np.where((reason == Reason.IMPORT_LIMIT) | (reason == Reason.MINIMUM_POWER), course.given.bound_node, -1)
    for named, where in (
        (Reason.RELIEF, course.room_kw < 0.0),
        (Reason.EXPORT_LIMIT, None),
        (Reason.ABSORB, course.export_over),
    ):
        meant = reason == named
        if meant.any():
            # Levels fall towards the root, so the nearest node that is full is the one that binds.
            where = _full(course, layout) if where is None else where
            node = np.where(meant, layout.tree.nearest(where)[layout.node], node)
    return node


def _full(course: Course, layout: Layout) -> Bools:
    """Where all the generation that export allows is given away, shape (m,)."""
    room = np.maximum(course.export_room_kw, 0.0)
    return np.isfinite(room) & (layout.sums(course.generation_cap_kw) >= (1.0 - _SLIGHT_KW) * room - _SLIGHT_KW)
