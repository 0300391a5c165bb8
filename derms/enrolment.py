"""Registrations made on first sight. Pure.

What a telemetry message says of rating, capacity and site only fills a registration that an operator has not made;
from then on the registration is what counts, and telemetry can lower what a device can do now, never raise it.
"""

from collections.abc import Collection
from dataclasses import dataclass

from derms.model import Device, DeviceKind, Dialect, Enrolment, Origin, Telemetry

_USUAL_KW = {
    DeviceKind.PV: 10.0,
    DeviceKind.BATTERY: 5.0,
    DeviceKind.EV: 7.4,
    DeviceKind.LOAD: 0.0,
    DeviceKind.METER: 0.0,
}
"""Rating assumed for a device that does not say its own: a household's usual one [kW]."""
_ONE_PHASE_KW = 7.5
"""A charger above this is a three-phase one [kW]: one phase ends at 32 A x 230 V = 7.4."""
_MINIMUM_KW = {True: 4.1, False: 1.4}
"""Smallest charging power, 6 A, by three-phase or not [kW]. Source: IEC 61851-1, control pilot duty cycle of 10 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSight:
    """What an unknown device is given."""

    default_feeder_id: str
    enrolment: Enrolment
    """ACTIVE: its word is taken at once. QUARANTINED: it waits for an operator."""
    priority: int = 5
    min_soc_reserve: float = 0.2
    target_soc: float = 0.8


def register_on_sight(
    reading: Telemetry, rules: FirstSight, feeder_ids: Collection[str], *, gateway_id: str | None = None
) -> Device:
    """Make the registration of a device never seen before.

    Args:
        reading: Its first reading.
        rules: What it is given.
        feeder_ids: The feeders there are; one it names that is not there counts as not named.
        gateway_id: The gateway it came through; from now on it is enrolled behind that one.
    """
    kind = reading.kind
    rating_kw = _USUAL_KW[kind] if reading.p_max_kw is None else reading.p_max_kw
    named = reading.feeder_id if reading.feeder_id in feeder_ids else None
    minimum_kw = _MINIMUM_KW[rating_kw > _ONE_PHASE_KW] if kind is DeviceKind.EV else 0.0
    return Device(
        device_id=reading.device_id,
        kind=kind,
        feeder_id=named or rules.default_feeder_id,
        site_id=reading.site_id,
        origin=_origin(reading),
        enrolment=rules.enrolment,
        dialect=reading.dialect,
        p_import_max_kw=rating_kw if kind in (DeviceKind.EV, DeviceKind.BATTERY) else 0.0,
        p_export_max_kw=rating_kw if kind in (DeviceKind.PV, DeviceKind.BATTERY) else 0.0,
        p_min_kw=min(minimum_kw, rating_kw),
        capacity_kwh=reading.capacity_kwh,
        min_soc_reserve=rules.min_soc_reserve,
        target_soc=rules.target_soc,
        priority=rules.priority,
        # Nobody has said what it does without a lease: a charger is taken to trickle, the rest to rest.
        default_power_kw=min(minimum_kw, rating_kw),
        gateway_id=gateway_id,
    )


def _origin(reading: Telemetry) -> Origin:
    named_pi = reading.device_id.lower().startswith("pi-")
    said_pi = reading.dialect is Dialect.ENVELOPE and reading.source == "pi-agent"
    return Origin.PHYSICAL if named_pi or said_pi else Origin.SIMULATED
