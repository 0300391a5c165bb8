"""Devices."""

from enum import StrEnum

import msgspec

from derms.api.schemas.common import Instant
from derms.model import DeviceKind, DeviceStatus, Dialect, Enrolment, Origin


class Freshness(StrEnum):
    """How old a device's newest telemetry is."""

    GOOD = "good"
    STALE = "stale"
    LOST = "lost"
    NEVER = "never"


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
    capacity_kwh: float | None = None
    p_actual_kw: float | None = None
    """Newest measured power [kW]; null: it has never been heard."""
    p_setpoint_kw: float | None = None
    """The setpoint the device says it follows [kW]; null: its default control."""
    soc: float | None = None
    """State of charge, 0..1."""
    status: DeviceStatus | None = None
    online: bool | None = None
    """What the broker's last will says; null: nothing was said."""
    freshness: Freshness
    telemetry_at: Instant | None = None
    age_s: float | None = None
    """Age of the newest telemetry on the controller's clock [s]."""
    lease: LeaseOut | None = None


class DevicesOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/devices`."""

    devices: list[DeviceOut]
