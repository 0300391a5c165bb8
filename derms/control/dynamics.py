"""From targets to leases: down at once, up by ramp and only into room that is free. Pure.

Lower before raise: what another device has only been *told* to leave is still occupied, until it is seen to
follow, or its older lease has ended. So a raise is granted only out of ``headroom - sum(occupied)``.
"""

from dataclasses import dataclass

import numpy as np

from derms.columns import Bools, DeviceColumns, Floats, Params


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """What is to be leased; arrays of shape (n,)."""

    p_kw: Floats
    send: Bools
    ramping: Bools
    """Held below the target by the ramp or by room that is not free yet."""


def occupied_kw(devices: DeviceColumns) -> Floats:
    """The most each device may be drawing at this moment [kW], shape (n,): measured, or still allowed."""
    actual = np.where(np.isfinite(devices.p_actual_kw), devices.p_actual_kw, devices.default_power_kw)
    return np.fmax(actual, devices.may_kw)


def shape_import(
    target_kw: Floats,
    floor_kw: Floats,
    flexible: Bools,
    devices: DeviceColumns,
    headroom_kw: float,
    rank: Floats,
    params: Params,
    dt_s: float,
    *,
    frozen: bool,
) -> Leases:
    """Turn targets into leases for EVs and batteries.

    Args:
        target_kw: What allocation gives each, shape (n,) [kW].
        floor_kw: The least each can do now, shape (n,) [kW]: 0, or what a battery can give, negative.
        flexible: Which rows are meant.
        devices: The columns.
        headroom_kw: What they may draw together [kW]; inf: no limit.
        rank: Who is raised first, larger first, shape (n,).
        params: The engine's constants.
        dt_s: Since the last tick [s].
        frozen: Raise nothing: the head meter is silent.
    """
    busy = np.where(flexible, occupied_kw(devices), 0.0)
    base = np.where(np.isfinite(devices.lease_kw), devices.lease_kw, np.minimum(busy, target_kw))
    base = np.maximum(base, floor_kw)
    lowered = np.minimum(target_kw, base)
    step = np.maximum(devices.p_import_max_kw * dt_s / params.ramp_up_s, devices.p_min_kw)
    # From discharge to charge the ramp counts from where the device is, so that relief ends gently too.
    want = np.where(flexible, np.minimum(target_kw, base + step), 0.0)
    rise = np.where(flexible, np.maximum(want - np.maximum(busy, lowered), 0.0), 0.0)
    free = 0.0 if frozen else headroom_kw - float(np.sum(busy))
    granted = _grant(rise, max(free, 0.0), rank, busy, devices.p_min_kw)
    # Up to what it may draw anyway, a device is not "raised": that room is already its own.
    p_kw = np.where(granted > 0.0, np.maximum(busy, lowered) + granted, np.minimum(want, np.maximum(busy, lowered)))
    p_kw = np.where((p_kw > 0.0) & (p_kw < devices.p_min_kw), 0.0, p_kw)
    if frozen:
        p_kw = np.minimum(p_kw, base)
    p_kw = _settle_small_changes(p_kw, floor_kw, devices, flexible, headroom_kw, params)
    return Leases(
        p_kw=np.where(flexible, p_kw, np.nan),
        send=flexible & _due(p_kw, devices, params),
        ramping=flexible & (p_kw < target_kw - 1e-6),
    )


def keep_silent(waiting: Bools, devices: DeviceColumns, headroom_kw: float, params: Params) -> Leases:
    """Renew the leases of devices that have gone quiet a moment ago, as they are.

    A device that reports more slowly than others must not fall off its lease between two reports. It is never raised
    on an old reading; when there is no room at all it is told to go to its default control, in case it listens. Its
    room stays reserved either way.

    Args:
        waiting: Which rows are meant.
        devices: The columns.
        headroom_kw: What the others may draw together [kW].
        params: The engine's constants.
    """
    lowest = np.minimum(devices.lease_kw, np.maximum(devices.default_power_kw, 0.0))
    p_kw = np.where(waiting, devices.lease_kw if headroom_kw >= 0.0 else lowest, np.nan)
    return Leases(p_kw=p_kw, send=waiting & _due(p_kw, devices, params), ramping=np.zeros_like(waiting))


def shape_export(cap_kw: Floats, curtailable: Bools, devices: DeviceColumns, params: Params, dt_s: float) -> Leases:
    """Turn generation caps (magnitudes) into leases for PV: tighter at once, looser by ramp.

    Args:
        cap_kw: What each may generate, shape (n,) [kW], a magnitude.
        curtailable: Which rows are meant.
        devices: The columns.
        params: The engine's constants.
        dt_s: Since the last tick [s].
    """
    step = devices.p_export_max_kw * dt_s / params.ramp_up_s
    before = np.where(np.isfinite(devices.lease_kw), -devices.lease_kw, devices.p_export_max_kw)
    p_kw = -np.minimum(cap_kw, before + step) + 0.0  # + 0.0: a cap of nothing is 0, not -0
    return Leases(
        p_kw=np.where(curtailable, p_kw, np.nan),
        send=curtailable & _due(p_kw, devices, params),
        ramping=curtailable & (cap_kw > before + step),
    )


def _grant(rise_kw: Floats, free_kw: float, rank: Floats, busy_kw: Floats, minimum_kw: Floats) -> Floats:
    """Give the free room to those that rise, in order of rank, each all it asks or what is left."""
    order = np.argsort(-rank, kind="stable")
    asked = rise_kw[order]
    before = np.cumsum(asked) - asked
    granted = np.zeros_like(rise_kw)
    granted[order] = np.clip(free_kw - before, 0.0, asked)
    starts_below = np.maximum(busy_kw, 0.0) + granted < minimum_kw
    return np.where(starts_below, 0.0, granted)


def _settle_small_changes(
    p_kw: Floats, floor_kw: Floats, devices: DeviceColumns, flexible: Bools, headroom_kw: float, params: Params
) -> Floats:
    """Keep leases that would change by less than the deadband, unless keeping them breaks the limit."""
    band = params.deadband * devices.p_import_max_kw
    lawful = (devices.lease_kw >= devices.p_min_kw) | (devices.lease_kw <= 0.0)
    keep = flexible & lawful & (devices.lease_kw >= floor_kw) & (np.abs(p_kw - devices.lease_kw) < band)
    kept = np.where(keep, devices.lease_kw, p_kw)
    if float(np.sum(kept[flexible])) > headroom_kw:
        return np.where(keep & (devices.lease_kw < p_kw), devices.lease_kw, p_kw)
    return kept


def _due(p_kw: Floats, devices: DeviceColumns, params: Params) -> Bools:
    """Changed, or due for renewal: before a third of the life is left, also if the next tick comes late."""
    renew = devices.lease_left_s <= params.lease_s / 3.0 + 2.0 * params.interval_s
    return ~(np.abs(p_kw - devices.lease_kw) <= 1e-9) | renew
