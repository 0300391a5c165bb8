"""Alarms."""

from typing import Annotated

import msgspec

from derms.api.paging import PageQuery
from derms.api.schemas.common import Instant
from derms.model import AlarmChange, AlarmRecord, AlarmState, Priority

Word = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9*][A-Za-z0-9._-]{0,63}$")]


class AlarmOut(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm: its newest occurrence, and what was said of it."""

    alarm_id: str
    """The same for every occurrence: kind, a dot, subject."""
    kind: str
    subject: str
    """What it is about: a feeder, a device, an event, a part of the daemon; `*`: many at once."""
    state: AlarmState
    priority: Priority
    cause: str
    consequence: str
    """What follows, or does already."""
    response: str
    """What to do."""
    active: bool
    """Its condition holds."""
    acknowledged: bool
    """Somebody has said that they know of this occurrence."""
    occurrences: int
    """How often it was raised since it was last normal."""
    raised_at: Instant
    returned_at: Instant | None = None
    """When its condition was gone; null: it holds."""
    acknowledged_by: str | None = None
    acknowledged_at: Instant | None = None
    shelved_until: Instant | None = None
    """Null: it is not shelved."""
    shelved_by: str | None = None
    shelved_reason: str | None = None


def alarm_out(record: AlarmRecord) -> AlarmOut:
    """An alarm as the API shows it."""
    return AlarmOut(
        alarm_id=record.alarm_id,
        kind=record.kind,
        subject=record.subject,
        state=record.state,
        priority=record.priority,
        cause=record.cause,
        consequence=record.consequence,
        response=record.response,
        active=record.active,
        acknowledged=record.acknowledged,
        occurrences=record.occurrences,
        raised_at=record.raised_at,
        returned_at=record.returned_at,
        acknowledged_by=record.acknowledged_by,
        acknowledged_at=record.acknowledged_at,
        shelved_until=record.shelved_until,
        shelved_by=record.shelved_by,
        shelved_reason=record.shelved_reason,
    )


class AlarmsQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alarms, sorted by `priority`, `raised_at`, `kind`, `subject` or `state`; one that is normal is not kept."""

    state: AlarmState | None = None
    """Where they stand; null: all."""
    kind: Word | None = None
    subject: Word | None = None


class AlarmsOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/alarms`."""

    alarms: list[AlarmOut]
    next_cursor: str | None = None
    """For the next page; null: this was the last."""


class ShelveIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`POST /api/alarms/{alarm_id}/shelve`: why, and for how long: exactly one of `until` and `duration_s`."""

    reason: str
    until: Instant | None = None
    duration_s: float | None = None


class AlarmHistoryQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines of the history, the newest first."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    """At most so many."""
    cursor: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None = None
    """`next_cursor` of the page before; null: from the newest on."""
    kind: Word | None = None
    subject: Word | None = None


class AlarmLineOut(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to an alarm."""

    number: int
    """Rises with every line."""
    at: Instant
    alarm_id: str
    kind: str
    subject: str
    change: AlarmChange
    cause: str
    by: str | None
    """Who did it; null: it happened by itself."""


class AlarmHistoryOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/alarms/history`."""

    lines: list[AlarmLineOut]
    next_cursor: int | None = None
    """For the next page; null: this was the last."""
