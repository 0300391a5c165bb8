"""Devices."""

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from derms.api.paging import PageQuery
from derms.api.schemas.common import Fraction, Instant, MagnitudeKw, PowerKw
from derms.api.schemas.overrides import OverrideOut
from derms.model import DeviceKind, DeviceStatus, Dialect, Enrolment, Origin

Priority = Annotated[int, msgspec.Meta(ge=1, le=10)]
"""1..10, larger is served first."""
EnergyKwh = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
"""[kWh]."""
DeviceId = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A letter or digit, then up to 63 letters, digits, `.`, `_` or `-`."""
GatewayId = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""Named like a device."""
SiteId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
"""Printable text."""


class Freshness(StrEnum):
    """How old a device's newest telemetry is."""

    GOOD = "good"
    STALE = "stale"
    LOST = "lost"
    NEVER = "never"


class DevicesQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which devices, and in what order.

    Sorts by every field of a device that is one value, by `lease_kw` and by `override_kind`; by default by `device_id`.
    """

    type: DeviceKind | None = None
    origin: Origin | None = None
    feeder_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    """Those on it and on the feeders below it."""
    enrolment: Enrolment | None = None
    freshness: Freshness | None = None
    gateway_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    """Those that this gateway speaks for."""
    q: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    """A part of the id or of the site's id, in capitals or not."""


class LeaseOut(msgspec.Struct, frozen=True, kw_only=True):
    """The setpoint lease a device holds."""

    p_setpoint_kw: float
    issued_at: Instant
    valid_until: Instant
    epoch: int
    seq: int
    acknowledged: bool
    """The device has said that it follows this very lease."""
    reason: str = ""


class DeviceOut(msgspec.Struct, frozen=True, kw_only=True):
    """One device: its registration, its newest telemetry, its lease."""

    device_id: str
    type: DeviceKind
    feeder_id: str
    site_id: str | None = None
    origin: Origin
    enrolment: Enrolment
    priority: int
    dialect: Dialect
    p_import_max_kw: float
    p_export_max_kw: float
    p_min_kw: float
    p_step_kw: float = 0.0
    """Above `p_min_kw` it takes whole multiples of this [kW]; 0: any power."""
    capacity_kwh: float | None = None
    target_soc: float = 0.8
    min_soc_reserve: float = 0.2
    default_power_kw: float = 0.0
    """What it does by itself without a lease [kW]."""
    ready_by: Instant | None = None
    """When its energy is needed: as an operator says, else as the device does."""
    gateway_id: str | None = None
    """The gateway that speaks for it, and nobody else; null: it speaks for itself."""
    p_actual_kw: float | None = None
    """Newest measured power [kW]; null: it has never been heard."""
    p_setpoint_kw: float | None = None
    """The setpoint the device says it follows [kW]; null: its default control."""
    soc: float | None = None
    """State of charge, 0..1."""
    p_max_kw: float | None = None
    """What the device says it can do now [kW], a magnitude."""
    energy_needed_kwh: float | None = None
    """What the session still needs, where the device says so [kWh]."""
    status: DeviceStatus | None = None
    online: bool | None = None
    """What the broker's last will says; null: nothing was said."""
    freshness: Freshness
    telemetry_at: Instant | None = None
    age_s: float | None = None
    """Age of the newest telemetry on the controller's clock [s]."""
    lease: LeaseOut | None = None
    override: OverrideOut | None = None
    """What an operator has laid upon it."""


class DevicesOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/devices`."""

    devices: list[DeviceOut]
    total: int
    """How many there are on all pages."""
    next_cursor: str | None = None
    """For the next page; null: this was the last."""


class DeviceIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`POST /api/devices`: a registration made beforehand; it is active at once."""

    device_id: DeviceId
    type: DeviceKind
    feeder_id: str
    site_id: SiteId | None = None
    origin: Origin = Origin.PHYSICAL
    dialect: Dialect = Dialect.V1
    """The shape it is spoken to until it speaks."""
    priority: Priority = 5
    p_import_max_kw: MagnitudeKw = 0.0
    """Rating in the import direction (charging) [kW]."""
    p_export_max_kw: MagnitudeKw = 0.0
    """Rating in the export direction (discharging, generation) [kW], a magnitude."""
    p_min_kw: MagnitudeKw = 0.0
    """The smallest non-zero charging power [kW]."""
    p_step_kw: MagnitudeKw = 0.0
    """Above `p_min_kw` it takes whole multiples of this [kW]; 0: any power."""
    capacity_kwh: EnergyKwh | None = None
    target_soc: Fraction = 0.8
    min_soc_reserve: Fraction = 0.2
    default_power_kw: PowerKw = 0.0
    """What it does by itself without a lease [kW]."""
    ready_by: Instant | None = None
    """When its energy is needed; until then it beats what the device says."""
    gateway_id: GatewayId | None = None
    """The gateway that speaks for it, and nobody else; null: it speaks for itself."""


class DevicePatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PATCH /api/devices/{device_id}`: only what is sent is changed; null clears where that is allowed."""

    feeder_id: str | UnsetType = UNSET
    site_id: SiteId | UnsetType | None = UNSET
    origin: Origin | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    p_import_max_kw: MagnitudeKw | UnsetType = UNSET
    p_export_max_kw: MagnitudeKw | UnsetType = UNSET
    p_min_kw: MagnitudeKw | UnsetType = UNSET
    p_step_kw: MagnitudeKw | UnsetType = UNSET
    capacity_kwh: EnergyKwh | UnsetType | None = UNSET
    target_soc: Fraction | UnsetType = UNSET
    min_soc_reserve: Fraction | UnsetType = UNSET
    default_power_kw: PowerKw | UnsetType = UNSET
    ready_by: Instant | UnsetType | None = UNSET
    """When its energy is needed; until then it beats what the device says. Null: what the device says counts."""
    gateway_id: GatewayId | UnsetType | None = UNSET
    """The gateway that speaks for it, and nobody else. Null: it speaks for itself."""
