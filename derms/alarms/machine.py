"""The states of one alarm, and what moves it between them. Pure.

::

                    condition, for the on-delay
          normal ────────────────────────────────► unacknowledged ──acknowledge──► acknowledged
            ▲  ▲                                     │      ▲                          │
            │  └────────────acknowledge────┐    gone │      │ condition                │ gone
            │                              │         ▼      │                          │
            │                    returned_unacknowledged ───┘                          │
            └──────────────────────────────────────────────────────────────────────────┘

"Gone" means for the off-delay. Shelving lies over all of it: the alarm goes on moving beneath, and comes back, at the
end of its time or before, as what it is by then. So nothing that happened while it was shelved is lost, and nothing but
a person acknowledges.

Source: ANSI/ISA-18.2, Management of Alarm Systems for the Process Industries, the alarm state transition diagram; there
an alarm that is unshelved starts anew, here it goes on.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from derms.errors import ConflictError
from derms.model import AlarmChange, AlarmRecord, AlarmState, Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one kind of alarm behaves, and what it means."""

    priority: Priority
    on_s: float
    """It is raised once its condition has held so long [s]."""
    off_s: float
    """It has returned once its condition has been gone so long [s]."""
    consequence: str
    response: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What is wrong with something now."""

    kind: str
    subject: str
    cause: str
    raises: bool = True
    """Far enough to raise an alarm; otherwise it only keeps one: the deadband."""
    response: str = ""
    """Where it can be said more exactly than the rule does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One alarm between two looks."""

    record: AlarmRecord | None = None
    """None: it was never raised, or is forgotten."""
    since_s: float | None = None
    """When the delay that runs began, by a clock that only goes forward [s]; None: none runs."""

    @property
    def idle(self) -> bool:
        """Nothing is worth remembering."""
        return self.since_s is None and (self.record is None or self.record.state is AlarmState.NORMAL)


def stepped(
    point: Point, condition: Condition | None, rule: Rule, now: datetime, now_s: float
) -> tuple[Point, list[AlarmChange]]:
    """Look at one alarm again.

    Args:
        point: What the last look left.
        condition: What is wrong now; None: nothing.
        rule: Of its kind.
        now: The wall clock, UTC.
        now_s: A clock that only goes forward [s].

    Returns:
        What this look leaves, and what happened.
    """
    record, changes = point.record, []
    if record is not None and record.shelved_until is not None and record.shelved_until <= now:
        record = unshelved(record)
        changes.append(AlarmChange.UNSHELVED)
    if record is not None and record.active:
        if condition is not None:
            return Point(record=_said(record, condition, rule)), changes
        since_s = now_s if point.since_s is None else point.since_s
        if now_s - since_s < rule.off_s:
            return Point(record=record, since_s=since_s), changes
        return Point(record=replace(record, active=False, returned_at=now)), [*changes, AlarmChange.RETURNED]
    if condition is None or not condition.raises:
        return Point(record=record), changes
    since_s = now_s if point.since_s is None else point.since_s
    if now_s - since_s < rule.on_s:
        return Point(record=record, since_s=since_s), changes
    return Point(record=_raised(record, condition, rule, now)), [*changes, AlarmChange.RAISED]


def _raised(record: AlarmRecord | None, condition: Condition, rule: Rule, now: datetime) -> AlarmRecord:
    fresh = AlarmRecord(
        kind=condition.kind,
        subject=condition.subject,
        priority=rule.priority,
        cause=condition.cause,
        consequence=rule.consequence,
        response=condition.response or rule.response,
        active=True,
        acknowledged=False,
        occurrences=1,
        raised_at=now,
    )
    if record is None:
        return fresh
    return replace(
        fresh,
        occurrences=1 if record.acknowledged else record.occurrences + 1,
        shelved_until=record.shelved_until,
        shelved_by=record.shelved_by,
        shelved_reason=record.shelved_reason,
    )


def _said(record: AlarmRecord, condition: Condition, rule: Rule) -> AlarmRecord:
    """The same occurrence, in today's words."""
    response = condition.response or rule.response
    if (record.cause, record.response) == (condition.cause, response):
        return record
    return replace(record, cause=condition.cause, response=response)


def acknowledged(record: AlarmRecord, by: str, now: datetime) -> AlarmRecord:
    """Somebody knows of it.

    Raises:
        ConflictError: Somebody knew before.
    """
    if record.acknowledged:
        raise ConflictError(
            f"{record.alarm_id} is acknowledged",
            why=f"{record.acknowledged_by or 'somebody'} did so",
            next_step="there is nothing left to do",
        )
    return replace(record, acknowledged=True, acknowledged_by=by, acknowledged_at=now)


def shelved(record: AlarmRecord, until: datetime, by: str, reason: str) -> AlarmRecord:
    """Somebody puts it aside; one that is shelved is shelved anew.

    Raises:
        ConflictError: There is nothing to put aside.
    """
    if record.state is AlarmState.NORMAL:
        raise ConflictError(
            f"{record.alarm_id} is normal", why="what is not there cannot be shelved", next_step="wait until it is"
        )
    return replace(record, shelved_until=until, shelved_by=by, shelved_reason=reason)


def unshelved(record: AlarmRecord) -> AlarmRecord:
    """It counts again.

    Raises:
        ConflictError: It was not shelved.
    """
    if record.shelved_until is None:
        raise ConflictError(
            f"{record.alarm_id} is {record.state.value}", why="it was not shelved", next_step="there is nothing to do"
        )
    return replace(record, shelved_until=None, shelved_by=None, shelved_reason=None)
