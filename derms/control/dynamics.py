"""From targets to leases: down at once, up by ramp and only into room that is free. Pure.

Lower before raise: what another device has only been *told* to leave is still occupied, until it is seen to
follow, or its older lease has ended. So a raise is granted only out of ``headroom - sum(occupied)``, on every node.
"""

from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, DeviceColumns, Floats, Override, Params
from derms.control.choice import choose, keep
from derms.control.layout import Layout
from derms.control.wants import Round

_ROUNDING_KW = 2e-6
"""What is missing by less than this is not missing: setpoints go out in milliwatts [kW]."""
_ROUNDING = 1e-5
"""The same for whole steps [steps]."""
_SPREAD = 0.2
"""Leases are renewed earlier than they must by up to this share of their life..."""
_GOLDEN = 0.618
"""...another one each time, so that those which once met do not meet for ever [1/s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """What is to be leased; arrays of shape (n,)."""

    p_kw: Floats
    send: Bools
    """Changed; which are to be renewed hangs on how long they live."""
    ramping: Bools
    """Held below the target by the ramp or by room that is not free yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast this tick may go."""

    dt_s: float
    """Since the last tick [s]."""
    lockstep: bool
    """`Picture.lockstep`."""
    frozen: Bools
    """Raise nothing here: a head meter above is silent, or its own last reading contradicts its lease; shape (n,)."""


def occupied_kw(devices: DeviceColumns, draw_kw: Floats) -> Floats:
    """The most each device may be drawing at this moment [kW], shape (n,): measured, or still allowed."""
    known = np.isfinite(draw_kw)
    actual = draw_kw if known.all() else choose(known, draw_kw, devices.default_power_kw)
    return np.fmax(actual, devices.may_kw)


def step_up_kw(devices: DeviceColumns, params: Params, dt_s: float) -> Floats:
    """How far each may be raised in one tick, shape (n,) [kW]: by its ramp, but from nothing to its smallest power."""
    ramp = devices.p_import_max_kw * dt_s / params.ramp_up_s
    return np.maximum(ramp, np.fmax(devices.p_min_kw, devices.p_step_kw))


def shape_import(
    target_kw: Floats,
    floor_kw: Floats,
    flexible: Bools,
    devices: DeviceColumns,
    draw_kw: Floats,
    headroom_kw: Floats,
    rank: Floats,
    step_kw: Floats,
    layout: Layout,
    params: Params,
    pace: Pace,
) -> Leases:
    """Turn targets into leases for EVs and batteries.

    Args:
        target_kw: What allocation gives each, shape (n,) [kW].
        floor_kw: The least each can do now, shape (n,) [kW]: 0, or what a battery can give, negative.
        flexible: Which rows are meant.
        devices: The columns.
        draw_kw: Measured power, shape (n,) [kW].
        headroom_kw: What they may draw together below each node, shape (m,) [kW]; inf: no limit.
        rank: Who is raised first, larger first, shape (n,).
        step_kw: How far each may be raised in this tick, shape (n,) [kW]; see `step_up_kw`.
        layout: Where they hang.
        params: The engine's constants.
        pace: How fast.
    """
    busy = keep(flexible, occupied_kw(devices, draw_kw))
    leased = np.isfinite(devices.lease_kw)
    base = devices.lease_kw if leased.all() else choose(leased, devices.lease_kw, np.minimum(busy, target_kw))
    base = np.maximum(base, floor_kw)
    lowered = np.minimum(target_kw, base)
    if pace.lockstep:
        busy = keep(flexible, np.minimum(busy, lowered))
    # From discharge to charge the ramp counts from where the device is, so that relief ends gently too.
    want = keep(flexible, np.minimum(target_kw, base + step_kw))
    own = np.maximum(busy, lowered)
    rise = keep(flexible & ~pace.frozen, np.maximum(want - own, 0.0))
    free = headroom_kw - layout.sums(busy)
    granted = layout.serve(free, [Round(ceiling_kw=rise, rank=rank)])
    cut = (rise > 0.0) & (np.maximum(own, 0.0) + granted < devices.p_min_kw - _ROUNDING_KW)
    granted = keep(~cut, granted)
    # Up to what it may draw anyway, a device is not "raised": that room is already its own.
    p_kw = choose(granted > 0.0, own + granted, np.minimum(want, own))
    if pace.frozen.any():
        p_kw = np.where(pace.frozen, np.minimum(p_kw, base), p_kw)
    p_kw = lawful(p_kw, devices)
    cut |= (devices.p_step_kw > 0.0) & (granted < rise - _ROUNDING_KW)
    claim = keep(cut, np.maximum(lawful(want, devices) - np.maximum(p_kw, 0.0), 0.0))
    p_kw = _settle_small_changes(p_kw, claim, floor_kw, devices, flexible, headroom_kw, layout, params)
    return Leases(
        p_kw=choose(flexible, p_kw, np.nan),
        send=flexible & changed(p_kw, devices),
        ramping=flexible & (p_kw < target_kw - 1e-6),
    )


def keep_silent(waiting: Bools, devices: DeviceColumns, layout: Layout, headroom_kw: Floats, params: Params) -> Leases:
    """Renew the leases of devices that have gone quiet a moment ago, or do not follow, as they are.

    A device that reports more slowly than others must not fall off its lease between two reports. It is never raised
    on an old reading; when there is no room at all it is told to go to its default control, and where an operator
    blocks it or holds it lower, to that, in case it listens. Its room stays reserved either way.

    Args:
        waiting: Which rows are meant.
        devices: The columns.
        layout: Where they hang.
        headroom_kw: What the others may draw together below each node, shape (m,) [kW].
        params: The engine's constants.
    """
    if not waiting.any():
        return Leases(p_kw=np.full(waiting.size, np.nan), send=waiting, ramping=waiting)
    lowest = np.minimum(devices.lease_kw, np.maximum(devices.default_power_kw, 0.0))
    roomy = ~layout.below(headroom_kw < 0.0)
    p_kw = np.minimum(np.where(roomy, devices.lease_kw, lowest), ordered_kw(devices))
    # A lease from when the smallest power or the step was another is not renewed as it is.
    p_kw = np.where(waiting, lawful(p_kw, devices), np.nan)
    return Leases(p_kw=p_kw, send=waiting & changed(p_kw, devices), ramping=np.zeros_like(waiting))


def ordered_kw(devices: DeviceColumns) -> Floats:
    """The most an operator lets each charge, shape (n,) [kW]; inf: nobody says."""
    hold = np.where(devices.override == Override.HOLD, lawful(np.maximum(devices.override_kw, 0.0), devices), np.inf)
    return np.where(devices.override == Override.BLOCK, 0.0, hold)


def generated_kw(devices: DeviceColumns) -> Floats:
    """The most each PV may be making at this moment, shape (n,) [kW], a magnitude: measured, or still allowed."""
    allowed = np.where(np.isfinite(devices.may_low_kw), -devices.may_low_kw, devices.p_export_max_kw)
    return np.fmax(np.abs(devices.p_actual_kw), allowed)


def shape_export(
    cap_kw: Floats,
    curtailable: Bools,
    devices: DeviceColumns,
    room_kw: Floats,
    layout: Layout,
    params: Params,
    pace: Pace,
) -> Leases:
    """Turn generation caps (magnitudes) into leases for PV: tighter at once, looser by ramp and into room that is free.

    Args:
        cap_kw: What each may generate, shape (n,) [kW], a magnitude.
        curtailable: Which rows are meant.
        devices: The columns.
        room_kw: What they may generate together below each node, shape (m,) [kW]; inf: no limit.
        layout: Where they hang.
        params: The engine's constants.
        pace: How fast.
    """
    step = devices.p_export_max_kw * pace.dt_s / params.ramp_up_s
    leased = np.isfinite(devices.lease_kw)
    before = -devices.lease_kw if leased.all() else choose(leased, -devices.lease_kw, devices.p_export_max_kw)
    want, lowered = np.minimum(cap_kw, before + step), np.minimum(cap_kw, before)
    busy = keep(curtailable, generated_kw(devices))
    if pace.lockstep:
        busy = np.minimum(busy, lowered)
    own = np.maximum(busy, lowered)
    rise = keep(curtailable, np.maximum(want - own, 0.0))
    if not np.all(np.isinf(room_kw)):
        rise = layout.serve(np.maximum(room_kw - layout.sums(busy), 0.0), [Round(ceiling_kw=rise, weight=rise)])
    made = choose(rise > 0.0, own + rise, np.minimum(want, own))
    p_kw = -made + 0.0  # + 0.0: a cap of nothing is 0, not -0
    return Leases(
        p_kw=choose(curtailable, p_kw, np.nan),
        send=curtailable & changed(p_kw, devices),
        ramping=curtailable & (made < cap_kw - 1e-6),
    )


def changed(p_kw: Floats, devices: DeviceColumns) -> Bools:
    """Whose lease is another than before, or the first."""
    return ~(np.abs(p_kw - devices.lease_kw) <= 1e-9)


def ending(life_s: Floats, devices: DeviceColumns, params: Params) -> Bools:
    """Whose lease is to be renewed: before a third of its life is left, also if the next tick comes late.

    Those given in one tick are renewed over several, so that none has to renew a whole fleet.

    Args:
        life_s: How long each is to live, shape (n,) [s].
        devices: The columns.
        params: The engine's constants.
    """
    told_s = keep(np.isfinite(devices.told_s), devices.told_s)
    early = (devices.stagger + _GOLDEN * told_s) % 1.0 * _SPREAD
    return devices.lease_left_s <= life_s * (1.0 / 3.0 + early) + 2.0 * params.interval_s


def lawful(p_kw: Floats, devices: DeviceColumns) -> Floats:
    """Down to a power the device can run at: whole steps, nothing between 0 and its smallest power."""
    stepped = devices.p_step_kw > 0.0
    if stepped.any():
        step = choose(stepped, devices.p_step_kw, 1.0)
        whole = np.floor(p_kw / step + _ROUNDING) * step
        p_kw = choose(stepped & (p_kw > 0.0), whole, p_kw)
    least = devices.p_min_kw
    if not (least > 0.0).any():
        return p_kw
    return choose(p_kw > 0.0, keep(~(p_kw < least - _ROUNDING_KW), np.maximum(p_kw, least)), p_kw)


def _settle_small_changes(
    p_kw: Floats, claim_kw: Floats, floor_kw: Floats, devices: DeviceColumns, flexible: Bools, headroom_kw: Floats,
    layout: Layout, params: Params,
) -> Floats:  # fmt: skip
    """Keep leases that would change by less than the deadband, unless that breaks a limit or keeps a claim waiting.

    A claim is what a smallest power or a whole step that waits for room would take on top, shape (n,) [kW].
    """
    band = params.deadband * devices.p_import_max_kw
    lawful = (devices.lease_kw >= devices.p_min_kw) | (devices.lease_kw <= 0.0)
    small = flexible & lawful & (devices.lease_kw >= floor_kw) & (np.abs(p_kw - devices.lease_kw) < band)
    kept = choose(small, devices.lease_kw, p_kw)
    broken = layout.sums(keep(flexible, kept + claim_kw)) > headroom_kw
    if not broken.any():
        return kept
    down_only = layout.below(broken)
    return np.where(down_only & (devices.lease_kw > p_kw), p_kw, kept)
