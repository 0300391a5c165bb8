"""Times as people read them, and as they write them."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

from derms.errors import UsageError
from derms.wording.values import parse_duration

_DURATION = re.compile(r"(\d+(\.\d+)?\s*(s|min|m|h|d)\s*)+")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


def local(at: datetime, *, utc: bool = False) -> str:
    """`2026-11-24 17:00:00+01:00`: with its offset, in the zone of whoever looks."""
    zone = UTC if utc else None
    return at.astimezone(zone).isoformat(sep=" ", timespec="seconds")


def age(seconds: float | None) -> str:
    """`12s ago`, `3m ago`, `5h ago`, `2d ago`; `never`."""
    if seconds is None:
        return "never"
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit} ago"
    return f"{max(seconds, 0.0):.0f}s ago"


def span(start: datetime, end: datetime, now: datetime, *, utc: bool = False) -> str:
    """`17:00-19:00 CET`; with the day, where it is not today alone."""
    zone = UTC if utc else None
    first, last, today = start.astimezone(zone), end.astimezone(zone), now.astimezone(zone).date()
    name = last.tzname() or last.strftime("%z")
    if first.date() == last.date():
        day = "" if first.date() == today else f"{first:%Y-%m-%d} "
        return f"{day}{first:%H:%M}-{last:%H:%M} {name}"
    return f"{first:%Y-%m-%d %H:%M} - {last:%Y-%m-%d %H:%M} {name}"


def parse_instant(text: str, now: datetime, *, utc: bool = False) -> datetime:
    """Read `now`, `+2h`, `17:30` (the next one), `tomorrow 06:00`, `2026-11-24 17:00`, or RFC 3339.

    Args:
        text: What was written.
        now: This instant.
        utc: Times without an offset are UTC; else in the user's zone.

    Raises:
        UsageError: It is none of these.
    """
    words = text.strip().lower()
    zone: tzinfo | None = UTC if utc else None
    here = now.astimezone(zone)
    if words == "now":
        return now
    if words.startswith("+"):
        return now + timedelta(seconds=parse_duration(words[1:]))
    day, _, clock = words.rpartition(" ")
    if (found := _CLOCK.fullmatch(clock)) and day in ("", "today", "tomorrow"):
        hour, minute, second = (int(part or 0) for part in found.groups())
        if hour < 24 and minute < 60 and second < 60:
            naive = here.replace(tzinfo=None, hour=hour, minute=minute, second=second, microsecond=0)
            if day == "tomorrow" or (day == "" and naive <= here.replace(tzinfo=None)):
                naive += timedelta(days=1)
            # Without a zone of its own it is resolved for its own day: an offset of today may be wrong tomorrow.
            return naive.astimezone(UTC) if not utc else naive.replace(tzinfo=UTC)
    try:
        read = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no time",
            why="it is now, +2h, 17:30, tomorrow 06:00, 2026-11-24 17:00, or RFC 3339 with an offset",
            next_step="write it like one of these",
        ) from error
    if read.tzinfo is None:
        return read.replace(tzinfo=UTC) if utc else read.astimezone(UTC)
    return read.astimezone(UTC)


def parse_past(text: str, now: datetime, *, utc: bool = False) -> datetime:
    """Read `2h` (so long ago), `17:30` (the last one), or an instant as `parse_instant` does.

    Raises:
        UsageError: It is none of these.
    """
    if _DURATION.fullmatch(text.strip().lower()):
        return now - timedelta(seconds=parse_duration(text))
    at = parse_instant(text, now, utc=utc)
    return at - timedelta(days=1) if at > now and _CLOCK.fullmatch(text.strip()) else at
