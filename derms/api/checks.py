"""Rules that several nouns share. Pure."""

import math
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from derms.errors import NotFoundError, UsageError
from derms.ports import Clock

LONGEST = timedelta(days=31)
"""How far ahead an operator may fix something."""
_SHOWN = 64


def now_of(clock: Clock) -> datetime:
    """This instant, to the millisecond."""
    # Through integers: a float of seconds would move the instant by microseconds.
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=clock.now_ms())


def utc(name: str, instant: datetime) -> datetime:
    """An instant in UTC.

    Raises:
        UsageError: It lies outside of time.
    """
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise UsageError(
            f"{name} lies outside of time", why="the years 1 to 9999 can be told", next_step=f"correct {name}"
        ) from error


def end_of(*, until: datetime | None, duration_s: float | None, now: datetime) -> datetime:
    """When something ends that is said to last until an instant, or for a while from now on.

    Raises:
        UsageError: Neither or both are said, it is past, or too far ahead.
    """
    if (until is None) == (duration_s is None):
        raise UsageError(
            "it has no end" if until is None else "both until and duration_s are there",
            why="exactly one of until and duration_s says when it is over",
            next_step="send one of them",
        )
    if duration_s is not None:
        if not 0.0 < duration_s <= LONGEST.total_seconds() or math.isnan(duration_s):
            raise UsageError(
                f"duration_s is {duration_s:g}",
                why=f"it must be more than 0 and at most {LONGEST.total_seconds():g}",
                next_step="correct it",
            )
        return now + timedelta(seconds=duration_s)
    return ahead("until", until or now, now)


def ahead(name: str, instant: datetime, now: datetime) -> datetime:
    """An instant that must lie ahead, and not too far, in UTC.

    Raises:
        UsageError: It does not.
    """
    at = utc(name, instant)
    if at <= now:
        raise UsageError(
            f"{name} is {at.isoformat()}", why=f"that is past, now is {now.isoformat()}", next_step="choose a later one"
        )
    if at - now > LONGEST:
        raise UsageError(
            f"{name} is {at.isoformat()}", why=f"at most {LONGEST.days} days ahead are taken", next_step="end earlier"
        )
    return at


def check_line(name: str, text: str) -> None:
    """See that a text is one printable line.

    Raises:
        UsageError: It is not.
    """
    if not text.isprintable():
        raise UsageError(
            f"{name} is refused", why="it may hold no control character", next_step="write it as one line of text"
        )


def check_feeder(feeder_id: str, known: Collection[str]) -> None:
    """See that a feeder exists.

    Raises:
        NotFoundError: It does not.
    """
    if feeder_id not in known:
        raise NotFoundError(
            f"the feeder {feeder_id[:_SHOWN]!r} does not exist",
            why=f"there are {', '.join(sorted(known)[:10]) or 'none'}",
            next_step="name one of them",
        )


def no_device(device_id: str) -> NotFoundError:
    """There is no such device."""
    return NotFoundError(
        f"there is no device {device_id[:_SHOWN]!r}",
        why="nobody of that id has been registered or has spoken",
        next_step="list the devices, GET /api/devices, and name one of them",
    )
