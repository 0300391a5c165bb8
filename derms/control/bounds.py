"""Freshness, reservations, and what each device may do now. Pure.

Unknown is never zero: a device that does not report keeps a reservation of the worst it may be drawing, and its
room is given to nobody.
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import (
    BATTERY,
    EV,
    PV,
    STATUS_CODE,
    Bools,
    DeviceColumns,
    Floats,
    Freshness,
    Ints,
    Override,
    Params,
)
from derms.control.choice import choose, keep
from derms.control.layout import Layout
from derms.control.needs import Needs
from derms.control.obedience import Obedience
from derms.control.wants import Round
from derms.model import DeviceStatus


def in_whole_steps(devices: DeviceColumns) -> DeviceColumns:
    """The same devices with smallest powers that they can run at: rounded up to a whole step, one at least."""
    if not (devices.p_step_kw > 0.0).any():
        return devices
    rows = (devices.p_step_kw > 0.0).nonzero()[0]
    step, least = devices.p_step_kw[rows], devices.p_min_kw.copy()
    least[rows] = np.maximum(np.ceil(least[rows] / step - 1e-6), 1.0) * step
    return replace(devices, p_min_kw=least)


def freshness_of(devices: DeviceColumns, params: Params) -> Ints:
    """Class each device's newest reading by its age; codes of `Freshness`, shape (n,)."""
    codes = np.full(devices.age_s.shape, Freshness.GOOD, dtype=np.int64)
    old = (~(devices.age_s <= params.stale_after_s)).nonzero()[0]
    if old.size:
        age = devices.age_s[old]
        lost = np.where(np.isfinite(age) | devices.spoke[old], Freshness.LOST, Freshness.NEVER)
        codes[old] = np.where(age <= params.lost_after_s, Freshness.STALE, lost)
    return codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What may be asked of each device now; arrays of shape (n,)."""

    flexible: Bools
    """EVs and batteries that can be told, and that say they listen."""
    curtailable: Bools
    """PV that can be told."""
    held: Bools
    """Devices that may draw but cannot be told: silent, faulty, disobedient, or under local control."""
    waiting: Bools
    """Of those, the merely stale or disobedient ones that hold a lease: it is renewed as it is, never raised."""
    reserve_kw: Floats
    """What is kept for each held device, and for one with a first strike beside its lease [kW]; 0 for the others."""
    backfeed_kw: Floats
    """What each held device may be pushing out [kW], a magnitude; 0 for the others."""
    capability_kw: Floats
    """The smaller of rating and what it says it can do [kW]."""
    cap_kw: Floats
    """The most a flexible device can take now [kW]."""
    minimum_kw: Floats
    """Its smallest non-zero power [kW]."""
    discharge_kw: Floats
    """What a battery can give now [kW], a magnitude; 0 for the others."""
    forced_kw: Floats
    """Discharge an operator holds it at [kW], negative; 0 for the others."""
    generation_kw: Floats
    """The most PV may make, after overrides [kW], a magnitude; 0 for the others."""
    uptake: Bools
    """Capped by what it is seen to take."""
    uptake_kw: Floats
    """To how much [kW]; NaN where it is not."""
    absorbing: Bools
    """It may charge beyond its target, because export is over."""
    full: Bools


def device_bounds(
    devices: DeviceColumns,
    commanded: Bools,
    fresh: Ints,
    obedience: Obedience,
    needs: Needs,
    uptake_kw: Floats,
    export_over: Bools,
    step_s: float,
) -> Bounds:
    """Work out each device's bounds from its registration, its newest reading and its leases.

    Args:
        devices: The columns.
        commanded: Whom the controller commands at all: the node's mode lets it, shape (n,).
        fresh: Codes of `Freshness`, shape (n,).
        obedience: Who follows.
        needs: What they need.
        uptake_kw: The most each takes by what it was seen to take, shape (n,) [kW]; inf: not known.
        export_over: Behind which node export is over its limit, shape (n,).
        step_s: Until the next tick, as far as is known [s].
    """
    good = (fresh == Freshness.GOOD) & commanded
    is_battery = devices.kind == BATTERY
    storage = (devices.kind == EV) | is_battery
    listens = (devices.status == STATUS_CODE[DeviceStatus.OK]) | (
        devices.status == STATUS_CODE[DeviceStatus.UNAVAILABLE]
    )
    flexible = storage & devices.controllable & good & listens & ~obedience.disobedient
    held = storage & ~flexible
    leased = devices.controllable & commanded & np.isfinite(devices.lease_kw)
    waiting = held & listens & leased & ((fresh == Freshness.STALE) | (obedience.disobedient & good))
    blocked = devices.override == Override.BLOCK
    # NaN where nothing is held is the rule, and passes every comparison below as false.
    hold = np.where(devices.override == Override.HOLD, devices.override_kw, np.nan)
    absorbing = export_over & flexible & is_battery & (devices.soc >= devices.target_soc)
    absorbing &= ~needs.states_energy  # it has said itself what it takes
    full = _is_full(devices, needs) & ~(absorbing & (devices.soc < 1.0))
    capability = np.fmin(choose(storage, devices.p_import_max_kw, devices.p_export_max_kw), devices.available_kw)
    cap, uptake = _cap_kw(devices, flexible, np.fmin(devices.p_import_max_kw, devices.available_kw), full, needs,
                          uptake_kw, step_s)  # fmt: skip
    offered = choose(uptake, cap, np.nan)
    held_down = blocked | (hold <= 0.0)
    cap = np.fmin(cap, hold)
    cap = keep(flexible & (cap >= devices.p_min_kw) & ~held_down, cap)
    discharge = _discharge_kw(devices, flexible & ~blocked & ~(hold >= 0.0))
    curtailable = (devices.kind == PV) & devices.controllable & good
    generation = np.maximum(np.fmin(devices.p_export_max_kw, -hold), 0.0)
    return Bounds(
        flexible=flexible,
        curtailable=curtailable,
        held=held,
        waiting=waiting,
        reserve_kw=_reserve_kw(held, devices, fresh, obedience) + keep(flexible, obedience.beyond_kw),
        backfeed_kw=_backfeed_kw(held, devices, fresh, obedience),
        capability_kw=capability,
        cap_kw=cap,
        minimum_kw=devices.p_min_kw,
        discharge_kw=discharge,
        forced_kw=keep(flexible & (hold < 0.0), -np.minimum(discharge, -hold)),
        generation_kw=keep(curtailable & ~blocked, generation),
        uptake=uptake,
        uptake_kw=offered,
        absorbing=absorbing,
        full=full,
    )


def within_export(bounds: Bounds, room_kw: Floats, layout: Layout) -> Bounds:
    """Let batteries discharge, as ordered or for relief, only as far as no export limit is passed.

    Args:
        bounds: What each could do.
        room_kw: What may flow out of each node on top of what does now, shape (m,) [kW]; inf: no limit.
        layout: Where they hang.
    """
    if np.all(np.isinf(room_kw)) or not np.any(bounds.discharge_kw > 0.0):
        return bounds
    ordered = -bounds.forced_kw
    first = Round(ceiling_kw=ordered, weight=ordered)
    relief = Round(ceiling_kw=bounds.discharge_kw - ordered, weight=bounds.discharge_kw)
    return replace(
        bounds,
        discharge_kw=layout.serve(room_kw, [first, relief]),
        forced_kw=-layout.serve(room_kw, [first]) + 0.0,
    )


def _is_full(devices: DeviceColumns, needs: Needs) -> Bools:
    """A battery is full at its target, a car when the battery is; one that asked for energy when it has that."""
    is_battery = devices.kind == BATTERY
    by_soc = (is_battery & (devices.soc >= devices.target_soc)) | (~is_battery & (devices.soc >= 1.0))
    full: Bools = (needs.states_energy & needs.done) | (~needs.states_energy & by_soc)
    return full


def _reserve_kw(held: Bools, devices: DeviceColumns, fresh: Ints, obedience: Obedience) -> Floats:
    """The worst a device that cannot be told may be drawing, shape (n,) [kW]; 0 for the others.

    While its lease lives, or while it is merely stale, the worst of what it drew, what it was allowed, and its default
    control, since a renewal may not reach it; once both are over the contract says it is on its default control. One
    that never spoke has promised nothing.
    """
    reserve, rows = np.zeros(held.size), held.nonzero()[0]
    if not rows.size:
        return reserve
    may, default, fresh = devices.may_kw[rows], devices.default_power_kw[rows], fresh[rows]
    last = np.where(np.isfinite(obedience.draw_kw[rows]), obedience.draw_kw[rows], -np.inf)
    told = np.isfinite(may) | (fresh <= Freshness.STALE)
    worst = np.where(told, np.maximum(np.fmax(may, default), last), default)
    worst = np.where(fresh == Freshness.NEVER, devices.p_import_max_kw[rows], worst)
    # What is measured fresh counts for one that does as it likes; what it was told does not.
    astray = obedience.disobedient[rows] & (fresh == Freshness.GOOD)
    reserve[rows] = np.where(astray, np.fmax(last, devices.lease_kw[rows]), worst)
    return reserve


def _backfeed_kw(held: Bools, devices: DeviceColumns, fresh: Ints, obedience: Obedience) -> Floats:
    """The most a device that cannot be told may be pushing out, shape (n,) [kW]: `_reserve_kw` mirrored."""
    backfeed, rows = np.zeros(held.size), held.nonzero()[0]
    if not rows.size:
        return backfeed
    may, default, fresh = devices.may_low_kw[rows], devices.default_power_kw[rows], fresh[rows]
    told = np.isfinite(may) | (fresh <= Freshness.STALE)
    least = np.where(told, np.fmin(np.fmin(may, default), obedience.draw_kw[rows]), default)
    least = np.where(fresh == Freshness.NEVER, -devices.p_export_max_kw[rows], least)
    backfeed[rows] = np.maximum(-least, 0.0) + 0.0
    return backfeed


def _cap_kw(
    devices: DeviceColumns,
    flexible: Bools,
    capability_kw: Floats,
    full: Bools,
    needs: Needs,
    uptake_kw: Floats,
    step_s: float,
) -> tuple[Floats, Bools]:
    """The most each device can take now [kW], and whom what it is seen to take has capped; shape (n,) each."""
    cap = keep(~(full | (devices.status == STATUS_CODE[DeviceStatus.UNAVAILABLE])), capability_kw)
    # No more than what finishes before the next tick: in steps of minutes the rest would be room nobody uses.
    finishing = np.maximum(needs.left_kwh * 3600.0 / max(step_s, 1e-3), devices.p_min_kw)
    cap = choose(needs.states_energy, np.minimum(cap, finishing), cap)
    took = np.maximum(uptake_kw, devices.p_min_kw)
    uptake = flexible & (took < cap)
    return choose(uptake, took, cap), uptake


def _discharge_kw(devices: DeviceColumns, willing: Bools) -> Floats:
    """What a battery can give now, above its reserve, shape (n,) [kW], a magnitude."""
    above_reserve = devices.soc > devices.min_soc_reserve
    able = np.fmin(devices.p_export_max_kw, devices.available_kw)
    return keep(willing & (devices.kind == BATTERY) & above_reserve, able)
