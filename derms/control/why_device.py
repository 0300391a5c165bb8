"""A device's own bounds: rating, capability, status, need, uptake, override, ramp, smallest power, lease. Pure."""

import numpy as np

from derms.columns import (
    ADVISE,
    BATTERY,
    KINDS,
    OFF,
    Freshness,
    Override,
    Reason,
)
from derms.control.cause import Bound, BoundKind, Case
from derms.control.obedience import PARDON
from derms.control.words import allowed_text, kw_text, load_text, wait_text
from derms.model import DeviceStatus

_DONE_KWH = 1e-3
_SLIGHT_KW = 1e-6


def rating(case: Case) -> Bound:
    """What the registration says."""
    devices = case.devices
    limit = -case.at(devices.p_export_max_kw) + 0.0 if case.is_pv else case.at(devices.p_import_max_kw)
    return Bound(
        kind=BoundKind.RATING,
        subject=case.device,
        source="registry",
        limit_kw=limit,
        words=f"rated for {allowed_text(limit, case.kind)}",
    )


def capability(case: Case) -> Bound:
    """What the device says it can do now."""
    available, least = case.at(case.devices.available_kw), case.at(case.devices.p_min_kw)
    limit = case.at(case.decision.capability_kw)
    said = "it does not say what it can do now" if np.isnan(available) else f"says it can do {kw_text(available)} now"
    remedies: tuple[str, ...] = ()
    if case.is_pv:
        return Bound(kind=BoundKind.CAPABILITY, subject=case.device, source="device", words=said)
    if case.shares and (limit < least or limit <= 0.0):
        rating = case.at(case.devices.p_import_max_kw)
        if rating < least or rating <= 0.0:
            said = f"its rating of {kw_text(rating)} allows nothing, its smallest power is {kw_text(least)}"
            remedies = ("correct its registration",)
        else:
            said = f"{said}: too little, its smallest power is {kw_text(least)}" if least > 0.0 else f"{said}: nothing"
            remedies = (f"it takes part when it can do {kw_text(max(least, 0.1))} or more",)
        limit = 0.0
    binding = case.binds(BoundKind.CAPABILITY)
    return Bound(
        kind=BoundKind.CAPABILITY,
        subject=case.device,
        source="device",
        limit_kw=limit,
        binding=binding,
        words=said,
        remedies=remedies if binding else (),
    )


def status(case: Case) -> Bound:
    """Whether it is heard, listens and follows."""
    limit: float | None = None
    if case.reason is Reason.DISOBEDIENT and case.decision.disobedient[case.row]:
        words, remedies = _disobedient(case)
        limit = None if case.is_pv or not np.isfinite(case.setpoint_kw) else case.setpoint_kw
    elif not np.isfinite(case.setpoint_kw):
        words, remedies = _told_nothing(case)
    elif case.reason is Reason.SILENT:
        left_s = case.params.lost_after_s - case.at(case.devices.age_s)
        words = f"not heard for {wait_text(case.at(case.devices.age_s))}: its lease is renewed as it is, never raised"
        remedies = (f"it takes part again when it is heard; after {wait_text(left_s)} more it counts as lost",)
        limit = case.setpoint_kw
    elif case.says(DeviceStatus.UNAVAILABLE) and not case.is_pv:
        words, limit = "reports that it is not available, or that nothing is connected", 0.0
        remedies = ("it takes part when it reports that it is available",)
    else:
        words, remedies = f"heard {wait_text(case.at(case.devices.age_s))} ago, and listens", ()
    binding = case.binds(BoundKind.STATUS)
    return Bound(
        kind=BoundKind.STATUS,
        subject=case.device,
        source="device",
        limit_kw=limit,
        binding=binding,
        words=words,
        remedies=remedies if binding else (),
    )


def _disobedient(case: Case) -> tuple[str, tuple[str, ...]]:
    lease, draw = case.at(case.devices.lease_kw), case.at(case.devices.p_actual_kw)
    told = f"was told {allowed_text(lease, case.kind)} and" if np.isfinite(lease) else "it"
    kept = "" if case.is_pv else "; what it draws is kept for it"
    return f"does not follow its leases: {told} reads {load_text(draw)}{kept}", (
        f"it takes part again after {PARDON:.0f} readings in a row that follow its lease",
    )


def _told_nothing(case: Case) -> tuple[str, tuple[str, ...]]:
    """Why there is no setpoint at all, and what would give it one."""
    devices, fresh = case.devices, Freshness(int(case.decision.freshness[case.row]))
    off = [node for node in case.path if case.picture.nodes.mode[node] == OFF]
    if not case.is_pv and not case.storage[case.row]:
        return f"a {KINDS[case.kind].value} is measured and takes no setpoints", ()
    if not devices.controllable[case.row]:
        return "is not enrolled to be told", ("enrol it",)
    if off:
        return f"{case.names.nodes[off[0]]} is off", (f"set {case.names.nodes[off[0]]} to auto",)
    if fresh is Freshness.NEVER:
        return f"has never spoken: its rating of {kw_text(case.at(devices.p_import_max_kw))} is kept for it", (
            "it takes part when it is heard",
        )
    age = wait_text(case.at(devices.age_s)) if np.isfinite(case.at(devices.age_s)) else "this whole run"
    if fresh is not Freshness.GOOD:
        return f"not heard for {age}, and holds no lease that could be renewed: told nothing, its room is kept", (
            "it takes part when it is heard",
        )
    if case.says(DeviceStatus.LOCAL):
        return "is under local control", ("hand it back from local control",)
    if case.says(DeviceStatus.FAULT):
        return "reports a fault", ("clear its fault",)
    return "does not follow, and holds no lease that could be renewed", (
        f"it takes part again after {PARDON:.0f} readings in a row that follow its lease",
    )


def energy(case: Case) -> Bound:
    """State of charge and energy need."""
    devices = case.devices
    soc, target = case.at(devices.soc), case.at(devices.target_soc)
    left, states = case.at(case.decision.left_kwh), bool(np.isfinite(case.at(devices.energy_needed_kwh)))
    battery, cap = case.kind == BATTERY, case.at(case.decision.cap_kw)
    full = left <= _DONE_KWH if states else soc >= (target if battery else 1.0)
    limit: float | None = None
    remedies: tuple[str, ...] = ()
    if case.reason is Reason.ABSORB or (full and cap > 0.0):
        words = f"is at its target SOC of {target:.0%} and charges on, because generation has nowhere else to go"
        remedies = ("it stops when generation falls or the export limit is raised",)
    elif full:
        limit = 0.0 if case.shares else None
        words = "has the energy it asked for" if states else f"full: SOC {soc:.0%} of {target if battery else 1:.0%}"
        if states:
            remedies = ("it takes part when it states a new energy need",)
        elif battery and soc < 1.0:
            remedies = (f"raise its target SOC above {soc:.0%}",)
    else:
        words = f"needs {left:.1f} kWh" + ("" if states or np.isnan(soc) else f": SOC {soc:.0%}, target {target:.0%}")
        if states and case.shares:
            step_s = max(case.params.interval_s, 1e-3)
            limit = max(left * 3600.0 / step_s, case.at(devices.p_min_kw))
    binding = case.binds(BoundKind.ENERGY)
    return Bound(
        kind=BoundKind.ENERGY,
        subject=case.device,
        source="device",
        limit_kw=limit,
        binding=binding,
        words=words,
        remedies=remedies if binding else (),
    )


def uptake(case: Case) -> tuple[Bound, ...]:
    """What it is seen to take of what it was granted; nothing where that does not bound it."""
    limit = case.at(case.decision.uptake_kw)
    if not np.isfinite(limit):
        return ()
    draw = case.at(case.devices.p_actual_kw)
    binding = case.binds(BoundKind.UPTAKE)
    return (
        Bound(
            kind=BoundKind.UPTAKE,
            subject=case.device,
            source="controller",
            limit_kw=limit,
            binding=binding,
            words=f"takes {kw_text(draw)}, and less than it was granted: offered {kw_text(limit)}",
            remedies=(f"it is offered more when it takes all of {kw_text(limit)}",) if binding else (),
        ),
    )


def override(case: Case) -> tuple[Bound, ...]:
    """What an operator has laid upon it; nothing where none has."""
    code = Override(int(case.devices.override[case.row]))
    if code is Override.NONE:
        return ()
    known = case.names.overrides.get(case.device)
    limit, done, comes = 0.0, "blocked", ""
    if code is Override.HOLD:
        limit, wish = _held_at_kw(case), min(case.hold_kw, 0.0) if case.is_pv else case.hold_kw
        done = f"held at {allowed_text(wish, case.kind)}"
        comes = f", which comes to {allowed_text(limit, case.kind)}" if abs(limit - wish) > _SLIGHT_KW else ""
    by = f" by {known.who}" if known and known.who else " by an operator"
    reason = f" ({known.reason})" if known and known.reason else ""
    ends = f", or wait until it ends at {known.end_text()}" if known and known.until else ""
    binding = case.binds(BoundKind.OVERRIDE)
    return (
        Bound(
            kind=BoundKind.OVERRIDE,
            subject=case.device,
            source=known.who if known and known.who else "operator",
            limit_kw=limit,
            binding=binding,
            words=f"{done}{by}{reason}{comes}",
            remedies=(f"release the override{ends}",) if binding else (),
        ),
    )


def _held_at_kw(case: Case) -> float:
    """Where holding it comes to rest: a battery gives what it has and export limits let it, a charger runs in steps."""
    devices, hold = case.devices, case.hold_kw
    if case.is_pv:
        return min(hold, 0.0)
    if hold <= 0.0:
        # One that is silent or does not follow is only brought down, never sent to discharge.
        return min(case.share_kw, 0.0) if case.shares else 0.0
    step = case.at(devices.p_step_kw)
    lawful = float(np.floor(hold / step + _SLIGHT_KW)) * step if step > 0.0 else hold
    return 0.0 if lawful < case.at(devices.p_min_kw) - _SLIGHT_KW else lawful


def lease(case: Case) -> Bound:
    """The lease itself: whether it goes out, how long it lives, whether it is seen to be followed."""
    devices, row = case.devices, case.row
    advised = any(case.picture.nodes.mode[node] == ADVISE for node in case.path)
    if not np.isfinite(case.setpoint_kw):
        left = case.at(devices.may_left_s)
        words = f"no lease; it may follow an older one for {wait_text(left)}" if left > 0.0 else "no lease"
    elif advised:
        words = "only advised: nothing is sent"
    elif case.decision.send[row]:
        words = f"goes out now and lives {wait_text(case.at(case.decision.life_s))}"
    else:
        words = f"lives {wait_text(max(case.at(devices.lease_left_s), 0.0))} more"
    if np.isfinite(case.at(devices.lease_kw)) and not advised:
        seen = case.at(devices.acknowledged_s)
        words += f"; seen to be followed for {wait_text(seen)}" if seen >= 0.0 else "; not seen to be followed yet"
    return Bound(kind=BoundKind.LEASE, subject=case.device, source="controller", words=words)
