"""The outcome of a DR event over a real server, and the rules it is made by."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aiohttp
import pytest

from derms.api.outcome_rules import _part
from derms.api.schemas.outcomes import Part
from derms.model import Author, DeviceKind, Role
from derms.ports import DeviceCourse, OutcomeBucket
from tests.fakes_api import NOW, Api, running_api
from tests.fakes_store import event

BY = Author("someone", "r")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as api:
        yield api


async def outcome(api: Api, event_id: str = "dr-9", query: str = "") -> tuple[int, dict[str, Any]]:
    url = f"{api.served.url}/api/events/{event_id}/outcome{query}"
    async with aiohttp.ClientSession() as http, http.get(url, headers=api.headers(Role.VIEWER)) as response:
        return response.status, await response.json(content_type=None)


def bucket(number: int, load_kw: float, **changes: Any) -> OutcomeBucket:
    values: dict[str, Any] = {"limit_kw": 30.0, "observed_s": 60.0, "compliant_s": 60.0, "kept_at": NOW}
    return OutcomeBucket(feeder_id="feeder-1", bucket=number, load_kw=load_kw, **(values | changes))


async def test_an_event_that_has_not_begun_has_no_intervals(api: Api) -> None:
    await api.events.add_event(event("dr-9"), by=BY)
    status, body = await outcome(api)
    assert (status, body["event"]["state"], body["total"]) == (200, "scheduled", [])
    assert body["feeders"][0]["intervals"] == []


async def test_while_it_runs_it_is_told_up_to_now(api: Api) -> None:
    await api.events.add_event(event("dr-9", start_h=-0.05, end_h=1), by=BY)  # 180 s ago
    api.dr.outcomes.feeders = [bucket(-1, 50.0, observed_s=900.0), bucket(0, 40.0), bucket(2, 25.0)]
    _, body = await outcome(api)
    (feeder,) = body["feeders"]
    assert [one["delivered_kw"] for one in feeder["intervals"]] == [10.0, None, 25.0]
    assert [one["committed_kw"] for one in feeder["intervals"]] == [20.0, None, 20.0]
    assert feeder["intervals"][-1]["end"] == "2026-01-01T00:00:00Z"
    assert (feeder["observed_s"], body["bucket_s"]) == (120.0, 60.0)
    assert api.dr.outcomes.asked[0].until == NOW


async def test_a_cancelled_event_ends_where_it_was_cancelled(api: Api) -> None:
    one = event("dr-9", start_h=-2, end_h=-1)
    await api.events.add_event(one, by=BY)
    ended = replace(one, cancelled_at=one.start + timedelta(seconds=90))
    await api.events.change_event("dr-9", "event.cancel", lambda _: ended, by=BY)
    await outcome(api)
    assert api.dr.outcomes.asked[0].until == one.start + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("query", "status"),
    # an event of an hour: 3600 intervals of a second are too many, 1200 of three are not
    [("?bucket_s=1", 422), ("?bucket_s=3", 200), ("?bucket_s=0", 422), ("?bucket_s=nan", 422), ("?x=1", 422),
     ("?bucket_s=1e999", 422)],
)  # fmt: skip
async def test_how_finely_it_is_told_is_bounded(query: str, status: int, api: Api) -> None:
    await api.events.add_event(event("dr-9", start_h=-2, end_h=-1), by=BY)
    assert (await outcome(api, query=query))[0] == status


async def test_an_event_that_is_not_there_has_no_outcome(api: Api) -> None:
    assert (await outcome(api, "nope"))[0] == 404


def course(**changes: Any) -> DeviceCourse:
    values: dict[str, Any] = {
        "device_id": "d", "kind": DeviceKind.EV, "feeder_id": "f", "before_kw": 7.0, "during_kw": 2.0,
        "followed_kw": 2.0, "told_kw": 2.0, "heard": 30, "local": 0, "overridden": False,
    }  # fmt: skip
    return DeviceCourse(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "imports", "part"),
    [
        ({}, True, Part.PARTICIPATED),
        ({"heard": 0}, True, Part.SILENT),
        ({"heard": 0, "overridden": True}, True, Part.SILENT),
        ({"overridden": True}, True, Part.OVERRIDDEN),
        ({"local": 15}, True, Part.OVERRIDDEN),
        ({"local": 14}, True, Part.PARTICIPATED),
        ({"told_kw": None, "followed_kw": None}, True, Part.NOT_CALLED),
        ({"told_kw": 7.0, "followed_kw": 7.0}, True, Part.NOT_CALLED),
        ({"followed_kw": 2.19}, True, Part.PARTICIPATED),  # up to 0.2 kW more is not astray
        ({"followed_kw": 2.3}, True, Part.REFUSED),
        ({"followed_kw": 0.0}, True, Part.PARTICIPATED),  # less than told
        ({"kind": DeviceKind.PV, "told_kw": -5.0, "followed_kw": -3.0}, True, Part.NOT_CALLED),
        ({"kind": DeviceKind.PV, "before_kw": -8.0, "told_kw": -5.0, "followed_kw": -5.0}, False, Part.PARTICIPATED),
        ({"kind": DeviceKind.PV, "before_kw": -8.0, "told_kw": -5.0, "followed_kw": -8.0}, False, Part.REFUSED),
        ({"kind": DeviceKind.PV, "before_kw": -4.0, "told_kw": -5.0, "followed_kw": -4.0}, False, Part.NOT_CALLED),
    ],
)
def test_a_device_played_one_part(changes: dict[str, Any], imports: bool, part: Part) -> None:
    assert _part(course(**changes), imports) is part
