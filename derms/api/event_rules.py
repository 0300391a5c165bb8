"""What a DR event must be, when it is made, amended, cancelled or removed. Pure."""

from collections.abc import Set
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgspec

from derms.api.schemas.events import EventAmendIn, EventIn
from derms.errors import ConflictError, NotFoundError, UsageError
from derms.model import DrEvent, EventState

MAX_DURATION = timedelta(days=31)
PAST_TOLERANCE = timedelta(seconds=60)
"""How far a start may lie back: clocks differ, and a request takes its time."""
_MAX_REASON = 500
_MAX_NAME = 120
_MOST_KW = 1e9


def to_event(asked: EventIn, *, feeder_ids: Set[str], now: datetime, event_id: str, created_by: str) -> DrEvent:
    """Check what was asked for and make the event of it.

    Args:
        asked: The request's body.
        feeder_ids: The feeders there are.
        now: This instant.
        event_id: The event's id.
        created_by: Who asks.

    Raises:
        UsageError: It cannot be meant.
        NotFoundError: A feeder does not exist.
    """
    try:
        start, end = _window(asked, now)
    except OverflowError as error:
        raise outside_of_time("the event") from error
    check_limits(asked.import_limit_kw, asked.export_limit_kw, asked.shed_kw)
    check_line("reason", asked.reason, _MAX_REASON)
    check_line("name", asked.name, _MAX_NAME)
    return DrEvent(
        event_id=event_id,
        feeder_ids=_feeders(asked, feeder_ids),
        start=start,
        end=end,
        import_limit_kw=asked.import_limit_kw,
        export_limit_kw=asked.export_limit_kw,
        shed_kw=asked.shed_kw,
        reason=asked.reason,
        created_by=created_by,
        created_at=now,
        name=asked.name,
    )


def amended(event: DrEvent, asked: EventAmendIn, now: datetime) -> DrEvent:
    """The event as it is asked to be.

    Raises:
        UsageError: It cannot be meant.
        ConflictError: It is over, or began with a shed that was another.
    """
    _refuse_finished(event, now, "amended")
    changes = {
        name: value
        for name in asked.__struct_fields__
        if not isinstance(value := getattr(asked, name), msgspec.UnsetType)
    }
    if not changes:
        raise UsageError("the body changes nothing", why="it is empty", next_step="send the fields to change")
    began = event.state_at(now) is EventState.ACTIVE
    if began and changes.get("shed_kw", event.shed_kw) != event.shed_kw:
        raise ConflictError(
            f"the shed of {event.event_id} stays {event.shed_kw or 0:g} kW",
            why="a shed is taken once, when its event starts, and it has started",
            next_step="set import_limit_kw, or cancel it and create another",
        )
    if "end" in changes:
        changes["end"] = _checked_end(event.start, changes["end"], now)
    after = replace(event, **changes)
    check_limits(after.import_limit_kw, after.export_limit_kw, after.shed_kw)
    check_line("reason", after.reason, _MAX_REASON)
    check_line("name", after.name, _MAX_NAME)
    return after


def cancelled(event: DrEvent, now: datetime) -> DrEvent:
    """The event, ended at once.

    Raises:
        ConflictError: It is over already.
    """
    _refuse_finished(event, now, "cancelled")
    return replace(event, cancelled_at=now)


def check_removable(event: DrEvent, now: datetime) -> None:
    """Whether the event may be taken from the list.

    Raises:
        ConflictError: It has begun: what it did is to be accounted for.
    """
    if (event.cancelled_at or now) >= event.start:
        raise ConflictError(
            f"{event.event_id} stays in the list",
            why=f"it began at {event.start.isoformat()}, and what it did is to be accounted for",
            next_step="cancel it if it still runs",
        )


def _refuse_finished(event: DrEvent, now: datetime, what: str) -> None:
    if event.cancelled_at is not None:
        why = f"it was cancelled at {event.cancelled_at.isoformat()}"
    elif event.end <= now:
        why = f"it was over at {event.end.isoformat()}"
    else:
        return
    raise ConflictError(f"{event.event_id} cannot be {what}", why=why, next_step="create another")


def outside_of_time(what: str) -> UsageError:
    """An instant that no calendar has."""
    return UsageError(
        f"{what} lies outside of time", why="the years 1 to 9999 can be told", next_step="correct start and end"
    )


def check_line(field: str, text: str, most: int) -> None:
    """Whether a text is one line that is not too long.

    Raises:
        UsageError: It is not.
    """
    if len(text) > most or not text.isprintable():
        raise UsageError(
            f"the {field} is refused",
            why=f"it may have {most} characters, none of them a control character",
            next_step="shorten it to one line",
        )


def _checked_end(start: datetime, end: datetime, now: datetime) -> datetime:
    try:
        end = end.astimezone(UTC)
    except OverflowError as error:
        raise outside_of_time("end") from error
    if end <= start:
        raise UsageError(
            f"end is {end.isoformat()}", why=f"it must be after start, {start.isoformat()}", next_step="correct it"
        )
    if end <= now:
        raise UsageError(
            f"end is {end.isoformat()}", why=f"that is past, now is {now.isoformat()}", next_step="cancel it instead"
        )
    _check_length(start, end)
    return end


def _check_length(start: datetime, end: datetime) -> None:
    if end - start > MAX_DURATION:
        raise UsageError(
            f"the event lasts {end - start}", why=f"at most {MAX_DURATION.days} days are taken", next_step="end earlier"
        )


def _window(asked: EventIn, now: datetime) -> tuple[datetime, datetime]:
    start = now if asked.start is None else asked.start.astimezone(UTC)
    if (asked.end is None) == (asked.duration_s is None):
        raise UsageError(
            "the event has no end" if asked.end is None else "the event has both end and duration_s",
            why="exactly one of end and duration_s says when it is over",
            next_step="send one of them",
        )
    if asked.end is not None:
        end = asked.end.astimezone(UTC)
        if end <= start:
            raise UsageError(
                f"end is {end.isoformat()}", why=f"it must be after start, {start.isoformat()}", next_step="correct it"
            )
    else:
        seconds = asked.duration_s or 0.0
        if not 0 < seconds <= MAX_DURATION.total_seconds():
            raise UsageError(
                f"duration_s is {seconds:g}",
                why=f"it must be more than 0 and at most {MAX_DURATION.total_seconds():g}",
                next_step="correct it",
            )
        end = start + timedelta(seconds=seconds)
    if end <= now:
        raise UsageError(
            f"the event ends at {end.isoformat()}", why=f"that is past, now is {now.isoformat()}", next_step="end later"
        )
    if start < now - PAST_TOLERANCE:
        raise UsageError(
            f"start is {start.isoformat()}",
            why=f"that is past, now is {now.isoformat()}",
            next_step="leave start out to begin now",
        )
    if end <= start:
        raise UsageError(
            "the event has no length", why="an instant is told to the microsecond", next_step="raise duration_s"
        )
    _check_length(start, end)
    return start, end


def check_limits(import_limit_kw: float | None, export_limit_kw: float | None, shed_kw: float | None) -> None:
    """Whether they limit something.

    Raises:
        UsageError: They do not, or one is no magnitude.
    """
    limits = {"import_limit_kw": import_limit_kw, "export_limit_kw": export_limit_kw, "shed_kw": shed_kw}
    given = {name: value for name, value in limits.items() if value is not None}
    if not given:
        raise UsageError(
            "the event limits nothing", why=f"it needs one of {', '.join(limits)}", next_step="send at least one"
        )
    for name, value in given.items():
        check_magnitude(name, value)
    if shed_kw == 0:
        raise UsageError("shed_kw is 0", why="that sheds nothing", next_step="send more than 0")


def check_magnitude(name: str, value: float) -> None:
    """Whether it is one.

    Raises:
        UsageError: It is not.
    """
    if value < 0:
        raise UsageError(
            f"{name} is {value:g}",
            why="it is a magnitude and must be 0 or more",
            next_step="the name gives the direction, send it without the sign",
        )
    if value > _MOST_KW:
        raise UsageError(f"{name} is {value:g}", why=f"at most {_MOST_KW:g} kW are taken", next_step="correct it")


def _feeders(asked: EventIn, known: Set[str]) -> tuple[str, ...]:
    if asked.feeder_id is not None and asked.feeder_ids is not None:
        raise UsageError(
            "the event has both feeder_id and feeder_ids", why="one of them says where", next_step="send one of them"
        )
    named = [asked.feeder_id] if asked.feeder_id is not None else asked.feeder_ids
    if named is None:
        named = sorted(known)
    if not named:
        raise UsageError(
            "the event names no feeder", why="it must act on one", next_step="leave feeder_ids out for all"
        )
    return check_feeders(named, known)


def check_feeders(named: list[str], known: Set[str]) -> tuple[str, ...]:
    """Those that are named, each once.

    Raises:
        NotFoundError: One does not exist.
    """
    for feeder_id in named:
        if feeder_id not in known:
            raise NotFoundError(
                f"the feeder {feeder_id[:64]!r} does not exist",
                why=f"there are {', '.join(sorted(known)[:10]) or 'none'}",
                next_step="name one of them",
            )
    return tuple(dict.fromkeys(named))
