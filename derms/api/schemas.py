"""What the API speaks; shared by the server and `derms.client`.

Field names are snake_case with their unit. Instants are RFC 3339 in UTC. Power follows the load convention: drawn from
the feeder positive, pushed into it negative; limits are magnitudes >= 0.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from derms.model import DeviceKind, DeviceStatus, Dialect, DrEvent, Enrolment, FeederMode, Origin, Role

Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class Freshness(StrEnum):
    """How old a device's newest telemetry is."""

    GOOD = "good"
    STALE = "stale"
    LOST = "lost"
    NEVER = "never"


class PartState(StrEnum):
    """How a part of the daemon does."""

    OK = "ok"
    DOWN = "down"
    STARTING = "starting"


class EventState(StrEnum):
    """Where an unfinished event stands."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"


class PartHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One part of the daemon."""

    state: PartState
    age_s: float
    """How long it has been in this state, or for the loop since the last tick [s]."""
    detail: str = ""


class HealthOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/health`."""

    status: str
    """`ok`, or `degraded` when a part is not; control goes on as far as it can."""
    version: str
    uptime_s: float
    parts: dict[str, PartHealth]
    """By name: `mqtt`, `store`, `loop`."""


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


class EventOut(msgspec.Struct, frozen=True, kw_only=True):
    """One DR event."""

    event_id: str
    feeder_ids: list[str]
    start: Instant
    end: Instant
    """The first instant that is outside."""
    import_limit_kw: float | None = None
    export_limit_kw: float | None = None
    shed_kw: float | None = None
    reason: str = ""
    created_by: str
    created_at: Instant
    state: EventState


def event_out(event: DrEvent, state: EventState) -> EventOut:
    """An unfinished event as the API shows it."""
    return EventOut(
        event_id=event.event_id,
        feeder_ids=list(event.feeder_ids),
        start=event.start,
        end=event.end,
        import_limit_kw=event.import_limit_kw,
        export_limit_kw=event.export_limit_kw,
        shed_kw=event.shed_kw,
        reason=event.reason,
        created_by=event.created_by,
        created_at=event.created_at,
        state=state,
    )


class EventsOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/events`."""

    events: list[EventOut]


class FeederSummaryOut(msgspec.Struct, frozen=True, kw_only=True):
    """One feeder as the last tick saw it."""

    feeder_id: str
    name: str
    mode: FeederMode
    at: Instant | None
    """When the last tick was; null: there was none yet."""
    tick: int
    epoch: int
    import_limit_kw: float | None
    """In force, after DR [kW]; null: none."""
    static_import_limit_kw: float | None
    """Without DR [kW]."""
    limit_source: str
    """Who set the limit in force: `static`, or an event's id."""
    export_limit_kw: float | None
    measured_kw: float | None
    """The head meter [kW]; null: there is no fresh one."""
    load_kw: float
    """What the feeder draws, measured or else estimated [kW]."""
    background_kw: float
    """Of that, what no known device explains [kW]."""
    reserved_kw: float
    """Held back for silent devices [kW]."""
    headroom_kw: float | None
    """What there was to allocate [kW]; null: there is no limit."""
    commanded_kw: float
    """Sum of the leases of EVs and batteries [kW]."""
    shortfall_kw: float
    """Excess over the limit that nothing can relieve [kW]."""
    pv_kw: float
    battery_kw: float
    ev_kw: float
    base_kw: float
    """The `load` devices [kW]."""
    devices_total: int
    devices_by_type: dict[str, int]
    devices_by_origin: dict[str, int]
    freshness: dict[str, int]
    """`Freshness` -> number of devices."""
    active_events: list[EventOut]
    next_event: EventOut | None = None


class FeedersOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/feeder/summary`."""

    feeders: list[FeederSummaryOut]


class EventIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`POST /api/events`: at least one of the three limits; `end` or `duration_s`."""

    feeder_id: str | None = None
    feeder_ids: list[str] | None = None
    """Neither: all feeders."""
    start: Instant | None = None
    """Null: now."""
    end: Instant | None = None
    duration_s: float | None = None
    import_limit_kw: float | None = None
    export_limit_kw: float | None = None
    shed_kw: float | None = None
    """To be taken once, from the feeders together, against what they draw at the start [kW]."""
    reason: str = ""


class LoginIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /api/auth/login`."""

    username: str
    password: str

    def __repr__(self) -> str:
        """Without the password."""
        return f"LoginIn(username={self.username!r})"


class LoginOut(msgspec.Struct, frozen=True, kw_only=True):
    """A token and what it is good for."""

    token: str
    role: Role
    expires_at: Instant

    def __repr__(self) -> str:
        """Without the token."""
        return f"LoginOut(role={self.role.value!r}, expires_at={self.expires_at.isoformat()!r})"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error, as RFC 9457 `application/problem+json`."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    """What is wrong, with the value that is."""
    code: str
    """The documented code, one per kind of error."""
    rule: str = ""
    """The rule it broke, or what was met."""
    next_step: str = ""
    request_id: str
