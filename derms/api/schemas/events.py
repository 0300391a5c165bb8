"""Demand-response events."""

from enum import StrEnum
from typing import Annotated

import msgspec

from derms.api.paging import PageQuery
from derms.api.schemas.common import Instant
from derms.model import DeviceKind, DrEvent, EventState

Identifier = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class EventOut(msgspec.Struct, frozen=True, kw_only=True):
    """One DR event."""

    event_id: str
    name: str = ""
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
    cancelled_at: Instant | None = None
    """When it was cancelled, and ended; null: it was not."""
    state: EventState


def event_out(event: DrEvent, state: EventState) -> EventOut:
    """An event as the API shows it."""
    return EventOut(
        event_id=event.event_id,
        name=event.name,
        feeder_ids=list(event.feeder_ids),
        start=event.start,
        end=event.end,
        import_limit_kw=event.import_limit_kw,
        export_limit_kw=event.export_limit_kw,
        shed_kw=event.shed_kw,
        reason=event.reason,
        created_by=event.created_by,
        created_at=event.created_at,
        cancelled_at=event.cancelled_at,
        state=state,
    )


class EventFilter(StrEnum):
    """Which DR events are listed."""

    OPEN = "open"
    """Scheduled and active."""
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    OVER = "over"
    CANCELLED = "cancelled"
    ALL = "all"

    @property
    def states(self) -> tuple[EventState, ...]:
        """Where those stand."""
        match self:
            case EventFilter.OPEN:
                return EventState.SCHEDULED, EventState.ACTIVE
            case EventFilter.ALL:
                return tuple(EventState)
            case _:
                return (EventState(self.value),)


class EventsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which DR events, sorted by `start`, `end` or `created_at`."""

    state: EventFilter = EventFilter.OPEN
    """Where they stand."""
    feeder_id: Identifier | None = None
    """Only those that name this feeder."""


class EventsOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/events`."""

    events: list[EventOut]
    next_cursor: str | None = None
    """For the next page; null: this was the last."""


class EventIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`POST /api/events`: at least one of the three limits; `end` or `duration_s`."""

    name: str = ""
    """What people are to call it."""
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


class EventAmendIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PATCH /api/events/{event_id}`: what stands there replaces what was; a limit of null takes it away."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    end: Instant | msgspec.UnsetType = msgspec.UNSET
    """After now."""
    import_limit_kw: float | msgspec.UnsetType | None = msgspec.UNSET
    export_limit_kw: float | msgspec.UnsetType | None = msgspec.UNSET
    shed_kw: float | msgspec.UnsetType | None = msgspec.UNSET
    """Only before the start: a shed is taken once."""
    reason: str | msgspec.UnsetType = msgspec.UNSET


class PreviewBasis(StrEnum):
    """What a preview was made of."""

    DECISION = "decision"
    """The engine decided on a copy of what it knows now."""
    DECISION_AHEAD = "decision_ahead"
    """The same, for a later start: what is drawn then may be another."""
    READINGS = "readings"
    """The feeder was not decided yet: the most that its devices could give by their newest readings."""


class DevicePreview(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of one device."""

    device_id: str
    type: DeviceKind
    feeder_id: str
    now_kw: float | None
    """What it draws now, load convention [kW]; null: it is not heard."""
    expected_kw: float
    """What it is expected to draw instead [kW]."""
    relief_kw: float
    """What that takes off the import of its feeder, or off its export where that is limited [kW]."""


class FeederPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What is expected of one feeder."""

    feeder_id: str
    basis: PreviewBasis
    sends: bool
    """False: its mode is not `auto`, so nothing would be sent."""
    load_before_kw: float | None
    """What it draws now, load convention [kW]; null: not known."""
    load_after_kw: float | None
    import_limit_kw: float | None
    """In force with it [kW]; null: none, or not known."""
    export_limit_kw: float | None
    shortfall_kw: float | None
    """What nothing controllable can relieve [kW]; null: not known."""
    feasible: bool | None
    """Whether its limits can be held; null: not known."""


class PreviewOut(msgspec.Struct, frozen=True, kw_only=True):
    """What an event or a program is expected to do; nothing was stored or told to anybody."""

    at: Instant
    """When it was worked out."""
    start: Instant
    end: Instant
    feasible: bool | None
    """Whether the limits of all its feeders can be held; null: not known of one."""
    shortfall_kw: float | None
    """What nothing controllable can relieve, of all feeders that lie below none of the others [kW]."""
    relief_kw: float
    """What the devices are expected to give together [kW]."""
    shed_fraction: float | None = None
    """Of a price-elastic program: the share of the flexible load that its price puts off, 0..1."""
    notes: list[str]
    """What the figures rest on, in words."""
    feeders: list[FeederPreview]
    devices: list[DevicePreview]
    """Those of whom something is expected, the largest relief first."""
