"""Demand-response events."""

from enum import StrEnum

import msgspec

from derms.api.schemas.common import Instant
from derms.model import DrEvent


class EventState(StrEnum):
    """Where an unfinished event stands."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"


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
