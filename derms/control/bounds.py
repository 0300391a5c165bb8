"""Freshness, reservations, and what each device may do now. Pure.

Unknown is never zero: a device that does not report keeps a reservation of the worst it may be drawing, and its
room is given to nobody.
"""

from dataclasses import dataclass

import numpy as np

from derms.columns import (
    BATTERY,
    EV,
    LOAD,
    PV,
    STATUS_CODE,
    Bools,
    DeviceColumns,
    FeederState,
    Floats,
    Freshness,
    Ints,
    Memory,
    Params,
)
from derms.model import DeviceStatus


def freshness_of(devices: DeviceColumns, params: Params) -> Ints:
    """Class each device's newest reading by its age; codes of `Freshness`, shape (n,)."""
    codes = np.full(devices.age_s.shape, Freshness.LOST, dtype=np.int64)
    codes[devices.age_s <= params.lost_after_s] = Freshness.STALE
    codes[devices.age_s <= params.stale_after_s] = Freshness.GOOD
    codes[~np.isfinite(devices.age_s)] = np.where(devices.spoke, Freshness.LOST, Freshness.NEVER)[
        ~np.isfinite(devices.age_s)
    ]
    return codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What may be asked of each device now; arrays of shape (n,)."""

    flexible: Bools
    """EVs and batteries that can be told, and that say they listen."""
    curtailable: Bools
    """PV that can be told."""
    held: Bools
    """Devices that may draw but cannot be told: silent, faulty, or under local control."""
    waiting: Bools
    """Of those, the merely stale ones that hold a lease: it is renewed as it is, never raised."""
    reserve_kw: Floats
    """What is kept for each held device [kW]; 0 for the others."""
    cap_kw: Floats
    """The most a flexible device can take now [kW]."""
    minimum_kw: Floats
    """Its smallest non-zero power [kW]."""
    discharge_kw: Floats
    """What a battery can give now [kW], a magnitude; 0 for the others."""
    uptake: Bools
    """Capped by what it is seen to take."""
    full: Bools


def device_bounds(devices: DeviceColumns, fresh: Ints, params: Params) -> Bounds:
    """Work out each device's bounds from its registration, its newest reading and its leases."""
    good = fresh == Freshness.GOOD
    storage = (devices.kind == EV) | (devices.kind == BATTERY)
    listens = (devices.status == STATUS_CODE[DeviceStatus.OK]) | (
        devices.status == STATUS_CODE[DeviceStatus.UNAVAILABLE]
    )
    flexible = storage & devices.controllable & good & listens
    held = storage & ~flexible
    may = np.where(np.isfinite(devices.may_kw), devices.may_kw, devices.default_power_kw)
    last = np.where(np.isfinite(devices.p_actual_kw), devices.p_actual_kw, -np.inf)
    alive = np.isfinite(devices.may_kw)
    # While its lease lives, or while it is merely stale, the worse of what it drew and what it was allowed; once both
    # are over the contract says it is on its default control. One that never spoke has promised nothing.
    worst = np.where(alive | (fresh <= Freshness.STALE), np.maximum(may, last), devices.default_power_kw)
    worst = np.where(fresh == Freshness.NEVER, devices.p_import_max_kw, worst)
    reserve = np.where(held, worst, 0.0)

    waiting = held & listens & devices.controllable & (fresh == Freshness.STALE) & np.isfinite(devices.lease_kw)
    cap = np.fmin(devices.p_import_max_kw, devices.available_kw)
    full = devices.soc >= np.where(devices.kind == BATTERY, devices.target_soc, 1.0)
    cap = np.where(full | (devices.status == STATUS_CODE[DeviceStatus.UNAVAILABLE]), 0.0, cap)
    seen = np.maximum(1.1 * devices.p_actual_kw, 0.0) + 0.05 * devices.p_import_max_kw
    took = np.maximum(seen, devices.p_min_kw)
    uptake = flexible & (devices.acknowledged_s > params.uptake_s) & (devices.lease_kw > 0.0) & (took < cap)
    uptake &= devices.p_actual_kw < 0.85 * devices.lease_kw
    cap = np.where(uptake, np.minimum(cap, took), cap)
    cap = np.where(flexible & (cap >= devices.p_min_kw), cap, 0.0)

    above_reserve = devices.soc > devices.min_soc_reserve
    discharge = np.fmin(devices.p_export_max_kw, devices.available_kw)
    discharge = np.where(flexible & (devices.kind == BATTERY) & above_reserve, discharge, 0.0)
    return Bounds(
        flexible=flexible,
        curtailable=(devices.kind == PV) & devices.controllable & good,
        held=held,
        waiting=waiting,
        reserve_kw=reserve,
        cap_kw=cap,
        minimum_kw=devices.p_min_kw,
        discharge_kw=discharge,
        uptake=uptake,
        full=full,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedLoad:
    """What the feeder carries that is not told what to do [kW]."""

    metered: bool
    """There is a fresh head meter."""
    blind: bool
    """There was a head meter and it is silent: hold, raise nothing."""
    import_kw: float
    """As the import side believes it: risen at once, fallen slowly. Without reservations."""
    export_kw: float
    """As the export side believes it, without PV: fallen at once, risen slowly."""
    residual_kw: float
    """Metered minus every known device; remembered, or assumed, without a meter."""
    load_kw: float
    """The feeder's net load."""


def fixed_load(
    feeder: FeederState,
    devices: DeviceColumns,
    bounds: Bounds,
    fresh: Ints,
    memory: Memory,
    params: Params,
    dt_s: float,
) -> FixedLoad:
    """Split the feeder's load into what is told and what is not.

    With a fresh head meter the uncontrolled part is what it reads less what the controlled devices report. Without
    one it is the sum of the `load` devices and PV plus the residual last seen, or the assumed unmetered load where
    no meter ever was.
    """
    power = np.where(np.isfinite(devices.p_actual_kw), devices.p_actual_kw, 0.0)
    generation = float(np.sum(power[devices.kind == PV]))
    # A silent panel may be making nothing: it is not counted on where there is no meter to see it.
    seen_pv = float(np.sum(power[(devices.kind == PV) & (fresh == Freshness.GOOD)]))
    told = float(np.sum(power[bounds.flexible | bounds.held]))
    base = float(np.sum(power[devices.kind == LOAD]))
    has_meter = np.isfinite(feeder.metered_kw)
    metered = bool(has_meter and feeder.metered_age_s <= params.stale_after_s)
    if metered:
        residual = feeder.metered_kw - told - generation - base
        now_import = feeder.metered_kw - told
        now_export = now_import - generation
        load = feeder.metered_kw
    else:
        residual = memory.residual_kw if has_meter else feeder.assumed_unmetered_kw
        now_import = base + seen_pv + residual
        now_export = base + residual
        load = now_import + told
    belief = 1.0 - np.exp(-dt_s / params.background_fall_s)
    return FixedLoad(
        metered=metered,
        blind=bool(has_meter and not metered),
        import_kw=_believe(now_import, memory.fixed_import_kw, belief, upward=True),
        export_kw=_believe(now_export, memory.fixed_export_kw, belief, upward=False),
        residual_kw=float(residual),
        load_kw=float(load),
    )


def _believe(now_kw: float, before_kw: float, belief: float, *, upward: bool) -> float:
    """Follow a change for the worse at once, one for the better slowly."""
    if not np.isfinite(before_kw):
        return float(now_kw)
    if (now_kw >= before_kw) == upward:
        return float(now_kw)
    return float(before_kw + belief * (now_kw - before_kw))
