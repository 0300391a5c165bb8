"""Times as people read and write them; the user's zone is that of the tests' own process, set for each."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from derms.errors import UsageError
from derms.wording.instants import age, local, parse_instant, parse_past, span

NOW = datetime(2026, 11, 24, 15, 30, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("now", "2026-11-24T15:30:12Z"),
        ("+2h", "2026-11-24T17:30:12Z"),
        ("17:00", "2026-11-24T16:00:00Z"),  # 16:30 it is in the user's zone, an hour ahead of UTC
        ("16:00", "2026-11-25T15:00:00Z"),  # over already: the next one
        ("today 16:00", "2026-11-24T15:00:00Z"),
        ("Tomorrow 06:00", "2026-11-25T05:00:00Z"),
        ("2026-07-01 12:00", "2026-07-01T10:00:00Z"),  # in summer two hours ahead
        ("2026-11-24T17:00:00+05:30", "2026-11-24T11:30:00Z"),
        ("2026-11-24T17:00:00Z", "2026-11-24T17:00:00Z"),
    ],
)
def test_an_instant_is_read_in_the_users_zone(text: str, instant: str) -> None:
    assert parse_instant(text, NOW) == datetime.fromisoformat(instant)


def test_with_utc_a_time_without_an_offset_is_utc() -> None:
    assert parse_instant("17:00", NOW, utc=True) == datetime(2026, 11, 24, 17, 0, tzinfo=UTC)
    assert parse_instant("2026-07-01 12:00", NOW, utc=True) == datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "25:00", "17:60", "+", "+soon", "yesterday", "2026-13-01", "17"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_instant(text, NOW)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2h", NOW - timedelta(hours=2)),
        ("1h30m", NOW - timedelta(minutes=90)),
        ("16:00", datetime(2026, 11, 24, 15, 0, tzinfo=UTC)),
        ("17:00", datetime(2026, 11, 23, 16, 0, tzinfo=UTC)),  # not yet today: the last one
        ("now", NOW),
        ("2026-11-01T00:00:00Z", datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_what_is_past_is_read_backwards(text: str, instant: datetime) -> None:
    assert parse_past(text, NOW) == instant


def test_a_time_is_shown_with_its_offset_and_a_span_with_its_zone() -> None:
    start, end = datetime(2026, 11, 24, 16, 0, tzinfo=UTC), datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
    assert local(start) == "2026-11-24 17:00:00+01:00"
    assert local(start, utc=True) == "2026-11-24 16:00:00+00:00"
    assert span(start, end, NOW) == "17:00-19:00 CET"
    assert span(start, end, NOW, utc=True) == "16:00-18:00 UTC"
    assert span(start, end, NOW - timedelta(days=2)) == "2026-11-24 17:00-19:00 CET"
    assert span(start, end + timedelta(hours=8), NOW) == "2026-11-24 17:00 - 2026-11-25 03:00 CET"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "never"), (0.4, "0s ago"), (-3.0, "0s ago"), (119, "119s ago"), (180, "3m ago"), (7200, "2h ago"),
     (400_000, "5d ago")],
)  # fmt: skip
def test_an_age_is_short(seconds: float | None, words: str) -> None:
    assert age(seconds) == words
