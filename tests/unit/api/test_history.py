"""A feeder over time, over a real server: which stretch is meant, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from derms.api.ranges import period_of
from derms.api.schemas.history import Period
from derms.model import Role
from derms.ports import RecordBatch
from derms.reports import DeviceHour
from tests.asking import Asker
from tests.fakes_api import NOW, NOW_MS
from tests.fakes_store import decision
from tests.live import LiveController


@pytest.fixture(autouse=True)
async def ticks(live: LiveController) -> None:
    """A tick every 30 s for five minutes, at the hour before now; and what two devices got."""
    made = [decision(n, at_ms=NOW_MS - 300_000 + 30_000 * n, load_kw=float(n), import_limit_kw=10.0) for n in range(10)]
    await live.store.write(RecordBatch(decisions=made))
    for device_id, feeder_id, got in (("a", "feeder-1", 1.0), ("b", "feeder-2", 3.0)):
        at = NOW - timedelta(hours=1)
        await live.store.save_hours(
            [DeviceHour(device_id=device_id, feeder_id=feeder_id, hour=at, epoch=1, asked_kwh=4.0, delivered_kwh=got)]
        )


async def test_the_last_hour_is_what_is_meant_where_nothing_is_said(ask: Asker) -> None:
    status, body = await ask("GET", "/api/feeder/history", query={"feeder_id": "feeder-1"}, role=Role.VIEWER)
    assert status == 200, body
    # an hour in 300 buckets is 12 s, and 15 s is the next usual length
    assert (body["since"], body["until"], body["bucket_s"]) == ("2025-12-31T23:00:00Z", "2026-01-01T00:00:00Z", 15)
    assert [bucket["load_kw"] for bucket in body["buckets"]] == [float(n) for n in range(10)]
    assert body["buckets"][0]["at"] == "2025-12-31T23:55:00Z"


async def test_a_stretch_begins_where_a_bucket_begins(ask: Asker) -> None:
    query = {"feeder_id": "feeder-1", "since": "2026-01-01T00:57:13+01:00", "bucket_s": "60"}
    _, body = await ask("GET", "/api/feeder/history", query=query)
    assert body["since"] == "2025-12-31T23:57:00Z"
    assert [(bucket["ticks"], bucket["load_max_kw"]) for bucket in body["buckets"]] == [(2, 5.0), (2, 7.0), (2, 9.0)]


async def test_the_figures_of_a_day_are_of_the_day_that_an_instant_lies_in(ask: Asker) -> None:
    query = {"feeder_id": "feeder-1", "at": "2025-12-31T23:59:00Z"}
    _, body = await ask("GET", "/api/feeder/metrics", query=query, role=Role.VIEWER)
    assert (body["since"], body["until"]) == ("2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z")
    assert (body["covered_s"], body["average_kw"], body["peak_kw"]) == (300.0, 4.5, 9.0)
    # a got a quarter, b, below it, three quarters: (1/4 + 3/4)^2 / (2 (1/16 + 9/16))
    assert (body["fairness"], body["fairness_devices"]) == (pytest.approx(0.8), 2)
    assert (body["asked_kwh"], body["delivered_kwh"]) == (8.0, 4.0)
    _, body = await ask("GET", "/api/feeder/metrics", query={"feeder_id": "feeder-2", "period": "month"})
    assert (body["since"], body["until"]) == ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z")
    assert (body["covered_s"], body["average_kw"], body["fairness"]) == (0.0, None, None)


@pytest.mark.parametrize(
    ("period", "since", "until"),
    [
        (Period.DAY, (2026, 3, 1), (2026, 3, 2)),
        (Period.WEEK, (2026, 2, 23), (2026, 3, 2)),  # 1 March 2026 is a Sunday
        (Period.MONTH, (2026, 3, 1), (2026, 4, 1)),
    ],
)
def test_periods_are_those_of_the_calendar(
    period: Period, since: tuple[int, int, int], until: tuple[int, int, int]
) -> None:
    found = period_of(period, datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    assert found == (datetime(*since, tzinfo=UTC), datetime(*until, tzinfo=UTC))


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("history", {}, 422, "feeder_id"),
    ("history", {"feeder_id": "nope"}, 404, "does not exist"),
    ("history", {"feeder_id": "feeder-1", "since": "2026-01-01T00:00:00Z"}, 422, "must lie before until"),
    ("history", {"feeder_id": "feeder-1", "since": "2025-09-01T00:00:00Z"}, 422, "at most 92 days"),
    ("history", {"feeder_id": "feeder-1", "bucket_s": "1"}, 422, "that would be 3600 buckets"),
    ("history", {"feeder_id": "feeder-1", "bucket_s": "0"}, 422, "bucket_s"),
    ("history", {"feeder_id": "feeder-1", "since": "yesterday"}, 422, "since"),
    ("history", {"feeder_id": "feeder-1", "since": "2026-01-01T00:00:00"}, 422, "since"),
    ("history", {"feeder_id": "feeder-1", "until": "0001-01-01T00:00:00Z"}, 422, "must lie before until"),
    ("history", {"feeder_id": "feeder-1", "until": "0001-01-01T00:00:00+10:00"}, 422, "outside of time"),
    ("history", {"feeder_id": "feeder-1", "until": "9999-12-31T23:59:59Z"}, 422, "must lie before until"),
    ("metrics", {"feeder_id": "nope"}, 404, "does not exist"),
    ("metrics", {"feeder_id": "feeder-1", "period": "year"}, 422, "period"),
    ("metrics", {"feeder_id": "feeder-1", "at": "9999-12-31T23:59:59Z"}, 422, "the years 2000 to 2199"),
    ("metrics", {"feeder_id": "feeder-1", "at": "0001-01-01T00:00:00Z"}, 422, "the years 2000 to 2199"),
]


@pytest.mark.parametrize(("path", "query", "status", "text"), REFUSED)
async def test_a_stretch_that_cannot_be_meant_is_refused(
    path: str, query: dict[str, Any], status: int, text: str, ask: Asker
) -> None:
    got, problem = await ask("GET", f"/api/feeder/{path}", query=query)
    assert got == status, problem
    assert text in f"{problem['detail']}; {problem['rule']}"
