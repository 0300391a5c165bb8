"""The tick: one pure function over columns. No clock, no I/O, no chance.

::

    freshness -> bounds -> fixed load -> limits -> headroom -> allocation -> ramps -> leases + the record

The same inputs give the same bytes out. Everything it needs to know of the past is in `Memory`.
"""

from dataclasses import replace

import numpy as np

from derms.columns import PV, Bools, Decision, DeviceColumns, Floats, Ints, Memory, Params, Picture, Reason
from derms.control.allocate import allocate, needs, water_fill
from derms.control.bounds import Bounds, FixedLoad, device_bounds, fixed_load, freshness_of
from derms.control.dynamics import Leases, keep_silent, shape_export, shape_import
from derms.control.limits import Limits, limits_in_force


def decide(picture: Picture, memory: Memory, params: Params) -> tuple[Decision, Memory]:
    """Decide every setpoint of one feeder.

    Args:
        picture: What is known now.
        memory: What the last tick of this feeder left; shorter than the fleet where devices have joined since.
        params: The engine's constants.

    Returns:
        The decision, and the memory for the next tick.
    """
    devices, feeder = picture.devices, picture.feeder
    buckets = _grown(memory.bucket_kwh, devices.kind.size)
    fresh = freshness_of(devices, params)
    bounds = device_bounds(devices, fresh, params)
    fixed = fixed_load(feeder, devices, bounds, fresh, memory, params, picture.dt_s)
    limits = limits_in_force(feeder, picture.constraints, load_kw=fixed.load_kw, remembered=memory.shed_limits)
    reserved = float(np.sum(bounds.reserve_kw))
    headroom = limits.import_kw - feeder.margin_kw - fixed.import_kw - reserved
    given = allocate(headroom, devices, bounds, buckets, params, picture.dt_s)
    rank = given.bucket_kwh + 1e-6 * needs(devices, bounds.cap_kw, params).weight
    told = shape_import(
        given.target_kw,
        -bounds.discharge_kw,
        bounds.flexible,
        devices,
        headroom,
        rank,
        params,
        picture.dt_s,
        frozen=fixed.blind,
    )
    kept = keep_silent(bounds.waiting, devices, headroom, params)
    cap = _generation_caps(limits, feeder.margin_kw, fixed, devices, bounds, told.p_kw)
    curtailed = shape_export(cap, bounds.curtailable, devices, params, picture.dt_s)
    decision = Decision(
        target_kw=np.where(bounds.curtailable, curtailed.p_kw, np.where(bounds.waiting, kept.p_kw, told.p_kw)),
        send=told.send | curtailed.send | kept.send,
        reason=_reasons(given.waiting, bounds, devices, told, cap, headroom),
        freshness=fresh,
        import_limit_kw=limits.import_kw,
        export_limit_kw=limits.export_kw,
        import_source=limits.import_source,
        export_source=limits.export_source,
        measured_kw=feeder.metered_kw if fixed.metered else np.nan,
        background_kw=fixed.residual_kw,
        load_kw=fixed.load_kw,
        reserved_kw=reserved,
        headroom_kw=headroom,
        commanded_kw=float(np.nansum(told.p_kw)),
        shortfall_kw=given.shortfall_kw,
    )
    return decision, replace(
        memory,
        bucket_kwh=given.bucket_kwh,
        fixed_import_kw=fixed.import_kw,
        fixed_export_kw=fixed.export_kw,
        residual_kw=fixed.residual_kw if fixed.metered else memory.residual_kw,
        shed_limits=limits.shed_limits,
    )


def _grown(bucket_kwh: Floats, rows: int) -> Floats:
    """Give devices that have joined an empty bucket."""
    return np.concatenate((bucket_kwh, np.zeros(rows - bucket_kwh.size)))


def _generation_caps(
    limits: Limits, margin_kw: float, fixed: FixedLoad, devices: DeviceColumns, bounds: Bounds, told_kw: Floats
) -> Floats:
    """What each PV may generate, shape (n,) [kW], a magnitude: in proportion to rating, its rating at the most."""
    rating = np.where(bounds.curtailable, devices.p_export_max_kw, 0.0)
    if np.isinf(limits.export_kw):
        return rating
    # PV that cannot be told makes what it makes; what EVs and batteries are told they may not all take, so the
    # smaller of told and measured is counted on.
    silent = (devices.kind == PV) & ~bounds.curtailable
    loose = np.where(np.isfinite(devices.p_actual_kw), devices.p_actual_kw, -devices.p_export_max_kw)
    consumed = np.where(bounds.flexible, np.fmin(told_kw, devices.p_actual_kw), 0.0)
    net = fixed.export_kw + float(np.sum(np.where(silent, loose, 0.0))) + float(np.sum(consumed))
    return water_fill(max(limits.export_kw - margin_kw + net, 0.0), rating, rating)


def _reasons(
    waiting: Bools, bounds: Bounds, devices: DeviceColumns, told: Leases, cap_kw: Floats, headroom_kw: float
) -> Ints:
    """Name what binds each device; where several do, the one closest to the wire."""
    reason = np.full(devices.kind.shape, Reason.NONE, dtype=np.int64)
    below = bounds.flexible & (told.p_kw < bounds.cap_kw - 1e-6)
    reason[below & np.isfinite(headroom_kw)] = Reason.IMPORT_LIMIT
    reason[bounds.waiting] = Reason.SILENT
    reason[bounds.uptake] = Reason.UPTAKE
    reason[waiting] = Reason.MINIMUM_POWER
    reason[told.ramping & ~waiting] = Reason.RAMP
    nothing = bounds.flexible & (bounds.cap_kw <= 0.0)
    reason[nothing] = Reason.UNAVAILABLE
    reason[nothing & bounds.full] = Reason.FULL
    reason[bounds.flexible & (told.p_kw < 0.0)] = Reason.RELIEF
    reason[bounds.curtailable & (cap_kw < devices.p_export_max_kw - 1e-6)] = Reason.EXPORT_LIMIT
    return reason
