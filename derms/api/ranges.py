"""Stretches of time that are asked for: their defaults and their bounds. Pure."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from derms.api.checks import utc
from derms.api.schemas.history import Period, RangeQuery
from derms.errors import UsageError

MAX_BUCKETS = 2_000
_USUAL_BUCKETS = 300
_USUAL = timedelta(hours=1)
_LENGTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400)
"""What a bucket is long where it is not said [s]."""
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""What the store can hold."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """[since, until) in buckets; `bucket_s` None: not in buckets."""

    since: datetime
    until: datetime
    bucket_s: int | None


def stretch_of(
    query: RangeQuery, now: datetime, *, most: timedelta, in_buckets: bool, most_buckets: int = MAX_BUCKETS
) -> Stretch:
    """What is asked for, whole and within bounds.

    Args:
        query: What was sent.
        now: This instant.
        most: How long it may be.
        in_buckets: Choose a bucket where none is named; else it is then not in buckets.
        most_buckets: How many buckets it may have.

    Raises:
        UsageError: It ends before it begins, is too long, or has too many buckets.
    """
    until = now if query.until is None else utc("until", query.until)
    try:
        since = until - _USUAL if query.since is None else utc("since", query.since)
    except OverflowError:
        since = until
    since, until = max(since, _FIRST), min(until, _LAST)
    if since >= until:
        raise UsageError(
            f"since is {since.isoformat()}",
            why=f"it must lie before until, which is {until.isoformat()}",
            next_step="correct one of them",
        )
    if until - since > most:
        raise UsageError(
            f"{until - since} are asked for", why=f"at most {most.days} days are read at once", next_step="ask in parts"
        )
    length_s = (until - since).total_seconds()
    bucket_s = query.bucket_s
    if bucket_s is None:
        if not in_buckets:
            return Stretch(since, until, None)
        bucket_s = next(one for one in _LENGTHS_S if math.ceil(length_s / one) <= _USUAL_BUCKETS)
    if length_s / bucket_s > most_buckets:
        raise UsageError(
            f"bucket_s is {bucket_s}",
            why=f"that would be {math.ceil(length_s / bucket_s)} buckets, at most {most_buckets} are given",
            next_step=f"send {math.ceil(length_s / most_buckets)} or more",
        )
    # Begun where a bucket begins, so that the first one is whole.
    behind = (since - _UNIX_EPOCH) % timedelta(seconds=bucket_s)
    return Stretch(since - behind, until, bucket_s)


def period_of(period: Period, at: datetime) -> tuple[datetime, datetime]:
    """The calendar period in UTC that an instant lies in: its beginning and its end."""
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case Period.DAY:
            return day, day + timedelta(days=1)
        case Period.WEEK:
            monday = day - timedelta(days=day.weekday())
            return monday, monday + timedelta(days=7)
        case Period.MONTH:
            first = day.replace(day=1)
            return first, (first + timedelta(days=32)).replace(day=1)
