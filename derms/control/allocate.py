"""Headroom -> targets: tiers, deficit buckets, weighted water-filling. Pure.

::

    headroom ──► 1 below the reserve ──► 2 what a target needs now ──► 3 deficits, largest first ──► 4 by weight

A device with a smallest power is either off or at it and above, so who is on is settled first: in the order of
tier and bucket, with a bonus for those already on that keeps turns long. Their smallest powers are set aside, the
rest is filled as drawn.
"""

from dataclasses import dataclass

import numpy as np

from derms.columns import BATTERY, EV, Bools, DeviceColumns, Floats, Params
from derms.control.bounds import Bounds

_NEED_FLOOR = 0.05
"""Need of a device that has its target but would still take more."""


def water_fill(amount_kw: float, weight: Floats, cap_kw: Floats) -> Floats:
    """Share an amount in proportion to weight with every cap respected (weighted max-min).

    Solves ``sum(min(level * weight, cap)) = amount`` for the level, exactly, by walking the caps in the order in
    which a rising level meets them.

    Args:
        amount_kw: What there is [kW], >= 0; inf fills every cap.
        weight: Shape (n,), > 0 where the cap is.
        cap_kw: Shape (n,) [kW], >= 0.

    Returns:
        Shares, shape (n,) [kW]; they sum to ``min(amount, sum(cap))``.

    Source: Bertsekas and Gallager, Data Networks, section 6.5.2 (max-min fair allocation), with weights.
    """
    if amount_kw <= 0.0 or not cap_kw.size:
        return np.zeros_like(cap_kw)
    wants = cap_kw > 0.0
    if amount_kw >= float(np.sum(cap_kw)):
        return np.where(wants, cap_kw, 0.0)
    meets = np.where(wants, cap_kw / np.where(wants, weight, 1.0), np.inf)
    order = np.argsort(meets, kind="stable")
    caps = np.where(wants, cap_kw, 0.0)[order]
    weights = np.where(wants, weight, 0.0)[order]
    full_before = np.concatenate(([0.0], np.cumsum(caps)[:-1]))
    weight_left = np.cumsum(weights[::-1])[::-1]
    # The level at which everything is spent, if exactly those before k are full; the first k whose cap is not
    # reached at that level is the answer.
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.where(weight_left > 0.0, (amount_kw - full_before) / weight_left, np.inf)
    settled = np.flatnonzero(level <= meets[order])
    chosen = level[settled[0]] if settled.size else np.inf
    return np.where(wants, np.minimum(chosen * weight, cap_kw), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """How badly, and in which tier, each device wants power; arrays of shape (n,)."""

    weight: Floats
    """priority x need."""
    required_kw: Floats
    """The steady power that reaches the target in time [kW]."""
    below_reserve: Bools


def needs(devices: DeviceColumns, cap_kw: Floats, params: Params) -> Need:
    """Turn SOC gaps and deadlines into weights.

    ``need = gap / target + required / cap``: the share of the target still missing, plus the share of its power
    that a device must use from now on to have it in time (1: no slack left). A SOC that is not known counts as a
    gap of a half.
    """
    known = np.isfinite(devices.soc)
    gap = np.where(known, np.maximum(devices.target_soc - np.where(known, devices.soc, 0.0), 0.0), 0.5)
    energy_kwh = gap * np.where(np.isfinite(devices.capacity_kwh), devices.capacity_kwh, 0.0)
    left_s = np.where(np.isfinite(devices.ready_in_s), np.maximum(devices.ready_in_s, 60.0), params.horizon_s)
    # Only a car leaves; a battery that fills at the pace of its horizon would take from cars that must go.
    required = np.where(devices.kind == EV, np.minimum(energy_kwh / (left_s / 3600.0), cap_kw), 0.0)
    urgency = required / np.where(cap_kw > 0.0, cap_kw, 1.0)
    need = np.maximum(gap / np.maximum(devices.target_soc, 0.01) + urgency, _NEED_FLOOR)
    need = np.where(devices.kind == BATTERY, np.minimum(need, 1.0), need)
    below = known & (np.where(known, devices.soc, 1.0) < devices.min_soc_reserve)
    return Need(weight=devices.priority * need, required_kw=required, below_reserve=below)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Targets before ramps, and the buckets after paying for them."""

    target_kw: Floats
    bucket_kwh: Floats
    waiting: Bools
    """Off although they want power: their smallest power does not fit now."""
    shortfall_kw: float
    """Load above the limit that nothing controllable can relieve [kW]."""


def allocate(
    headroom_kw: float,
    devices: DeviceColumns,
    bounds: Bounds,
    bucket_kwh: Floats,
    params: Params,
    dt_s: float,
) -> Allocation:
    """Give the headroom to the flexible devices of one feeder.

    Args:
        headroom_kw: What flexible devices may draw together [kW]; below 0 they must relieve; inf: no limit.
        devices: The columns.
        bounds: What each may do.
        bucket_kwh: Deficit buckets before this tick, shape (n,) [kWh].
        params: The engine's constants.
        dt_s: Since the last tick [s].
    """
    cap = bounds.cap_kw
    need = needs(devices, cap, params)
    amount = max(headroom_kw, 0.0)
    on = _turns(amount, devices, bounds, need, bucket_kwh, params)
    cap_on = np.where(on, cap, 0.0)
    target = np.where(on, np.minimum(bounds.minimum_kw, cap_on), 0.0)
    if np.isinf(amount):
        target = cap_on
    else:
        for ceiling in (
            np.where(need.below_reserve, cap_on, 0.0),
            np.minimum(need.required_kw, cap_on),
        ):
            room = np.maximum(ceiling - target, 0.0)
            target = target + water_fill(amount - float(np.sum(target)), need.weight, room)
        owed = np.minimum(np.maximum(bucket_kwh, 0.0) * 3600.0 / params.pay_s, np.maximum(cap_on - target, 0.0))
        target = target + _in_order(amount - float(np.sum(target)), owed, bucket_kwh)
        room = np.maximum(cap_on - target, 0.0)
        target = target + water_fill(amount - float(np.sum(target)), need.weight, room)
    buckets = _settle(bucket_kwh, target, cap, need.weight, devices.p_import_max_kw, amount, params, dt_s)
    relief = np.zeros_like(target)
    if headroom_kw < 0.0:
        relief = water_fill(-headroom_kw, np.maximum(bounds.discharge_kw, 1e-9), bounds.discharge_kw)
    return Allocation(
        target_kw=target - relief,
        bucket_kwh=buckets,
        waiting=bounds.flexible & (cap > 0.0) & ~on,
        shortfall_kw=max(-headroom_kw - float(np.sum(relief)), 0.0),
    )


def _turns(
    amount_kw: float, devices: DeviceColumns, bounds: Bounds, need: Need, bucket_kwh: Floats, params: Params
) -> Bools:
    """Who is on: as many as fit with their smallest powers, the most deserving first."""
    wants = bounds.flexible & (bounds.cap_kw > 0.0)
    smallest = np.where(wants, bounds.minimum_kw, 0.0)
    if np.sum(smallest) <= amount_kw:
        return wants
    running = np.where(devices.lease_kw > 0.0, smallest * params.turn_s / 3600.0, 0.0)
    score = bucket_kwh + running + 1e-6 * need.weight
    order = np.lexsort((-score, ~need.below_reserve, ~wants))
    on = np.zeros(wants.shape, dtype=bool)
    left = amount_kw
    # Two passes: what the first refuses may leave room for smaller ones further down.
    for _ in range(2):
        candidates = order[wants[order] & ~on[order] & (smallest[order] <= left)]
        fits = candidates[np.cumsum(smallest[candidates]) <= left]
        on[fits] = True
        left -= float(np.sum(smallest[fits]))
    return on


def _in_order(amount_kw: float, owed_kw: Floats, bucket_kwh: Floats) -> Floats:
    """Pay the largest buckets first, each up to what it is owed now."""
    order = np.argsort(-bucket_kwh, kind="stable")
    owed = owed_kw[order]
    before = np.cumsum(owed) - owed
    paid = np.zeros_like(owed_kw)
    paid[order] = np.clip(max(amount_kw, 0.0) - before, 0.0, owed)
    return paid


def _settle(
    bucket_kwh: Floats,
    target_kw: Floats,
    cap_kw: Floats,
    weight: Floats,
    rating_kw: Floats,
    amount_kw: float,
    params: Params,
    dt_s: float,
) -> Floats:
    """Credit each bucket with its fair share of the headroom and debit what it was given."""
    wants = cap_kw > 0.0
    fair = water_fill(amount_kw, weight, cap_kw)
    bound = params.bucket_bound_h * rating_kw
    moved = np.clip(bucket_kwh + (fair - target_kw) * dt_s / 3600.0, -bound, bound)
    return np.where(wants, moved, bucket_kwh * np.exp(-dt_s / params.bucket_fade_s))
