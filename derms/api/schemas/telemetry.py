"""What devices measured."""

from typing import Annotated

import msgspec

from derms.api.paging import MAX_PAGE
from derms.api.schemas.common import Instant
from derms.api.schemas.history import RangeQuery
from derms.model import DeviceKind, DeviceStatus, Outcome

Text = Annotated[str, msgspec.Meta(max_length=128)]


class TelemetryQuery(RangeQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When, and how fine; null for `bucket_s`: every sample, a page at a time."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] = 1000
    """At most so many samples; not for buckets."""
    cursor: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    """`next_cursor` of the page before; not for buckets."""


class SampleOut(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement."""

    at: Instant
    """By the device's clock."""
    seq: int | None
    """Null: the device does not count."""
    received_at: Instant
    p_actual_kw: float
    p_setpoint_kw: float | None
    """The setpoint it says it follows [kW]; null: its default control."""
    soc: float | None
    status: DeviceStatus


class TelemetryBucketOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the samples of one bucket come to."""

    at: Instant
    """Where the bucket begins."""
    samples: int
    p_actual_kw: float
    """The mean [kW]."""
    p_actual_max_kw: float
    p_actual_min_kw: float
    p_setpoint_kw: float | None
    """The mean of those that name one [kW]."""
    soc: float | None
    """The mean of those that name one."""


class TelemetryOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/telemetry/{device_id}`."""

    device_id: str
    since: Instant
    until: Instant
    bucket_s: int | None
    samples: list[SampleOut] | None
    """By instant and sequence number; null: it is in buckets."""
    buckets: list[TelemetryBucketOut] | None
    """By instant, without empty ones; null: it is not in buckets."""
    next_cursor: str | None = None
    """For the next page of samples; null: this was the last."""


class TelemetryIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`POST /api/telemetry`: one measurement in the device's place, by the rules of the wire contract."""

    device_id: Annotated[str, msgspec.Meta(max_length=64)]
    type: DeviceKind
    at: Instant | None = None
    """Null: now."""
    p_actual_kw: float
    """[kW], load convention."""
    p_setpoint_kw: float | None = None
    soc: float | None = None
    """0..1."""
    seq: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    status: DeviceStatus = DeviceStatus.OK
    p_max_kw: float | None = None
    capacity_kwh: float | None = None
    energy_needed_kwh: float | None = None
    ready_by: Instant | None = None
    site_id: Text | None = None
    feeder_id: Text | None = None
    """Only looked at when the device is new."""


class TelemetryTakenOut(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a measurement that was not refused."""

    device_id: str
    at: Instant
    outcome: Outcome
    """`accepted`, `duplicate`, or `out_of_order`: stored, without replacing the newest."""
