"""Creating and listing DR events over a real server, and what a body must be."""

import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from derms.errors import (
    StoreError,
)
from derms.model import Role
from tests.fakes_api import Api, running_api

EVENT = {"duration_s": 600, "import_limit_kw": 30.0}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as api:
        yield api


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


async def post_event(
    http: aiohttp.ClientSession, api: Api, body: object, role: Role = Role.OPERATOR, request_id: str = "r"
) -> tuple[int, dict[str, Any]]:
    async with http.post(
        f"{api.served.url}/api/events", json=body, headers=api.headers(role) | {"X-Request-ID": request_id}
    ) as response:
        return response.status, await response.json(content_type=None)


async def test_an_event_is_committed_then_told_then_answered(api: Api, http: aiohttp.ClientSession) -> None:
    status, body = await post_event(http, api, EVENT, request_id="req-1")
    assert status == 201
    assert body["event_id"] == "dr-1"
    assert (body["start"], body["end"]) == ("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z")
    assert (body["feeder_ids"], body["state"], body["created_by"]) == (
        ["feeder-1", "feeder-2"],
        "active",
        "a-operator",
    )
    ((event, actor, request_id),) = api.events.committed
    assert (event.event_id, actor, request_id) == ("dr-1", "a-operator", "req-1")
    assert api.told == [event]


async def test_an_event_that_is_not_committed_is_not_told(api: Api, http: aiohttp.ClientSession) -> None:
    api.events.error = StoreError("the database is away", why="refused", next_step="start it")
    status, body = await post_event(http, api, EVENT)
    assert (status, body["code"], body["next_step"]) == (503, "store-unavailable", "start it")
    assert api.told == []


async def test_unfinished_events_are_listed_in_order(api: Api, http: aiohttp.ClientSession) -> None:
    await post_event(http, api, EVENT | {"start": "2026-01-01T02:00:00+01:00"})
    await post_event(http, api, EVENT)
    async with http.get(f"{api.served.url}/api/events", headers=api.headers(Role.VIEWER)) as response:
        events = (await response.json())["events"]
    # 02:00+01:00 is 01:00 UTC, an hour from now.
    assert [(event["event_id"], event["state"]) for event in events] == [("dr-2", "active"), ("dr-1", "scheduled")]


ACCEPTED: list[dict[str, Any]] = [
    {"end": "2026-01-01T01:00:00Z", "shed_kw": 5},
    {"duration_s": 0.5, "export_limit_kw": 0},
    {"duration_s": 31 * 86400, "import_limit_kw": 0, "export_limit_kw": 1, "shed_kw": 2},
    EVENT | {"start": "2025-12-31T23:59:00Z"},
    EVENT | {"feeder_id": "feeder-2", "reason": "Straßenfest, 30 kW"},
    EVENT | {"feeder_ids": ["feeder-2", "feeder-2"]},
    EVENT | {"feeder_id": None, "start": None, "end": None},
]


@pytest.mark.parametrize("body", ACCEPTED)
async def test_an_event_that_can_be_meant_is_accepted(
    body: dict[str, Any], api: Api, http: aiohttp.ClientSession
) -> None:
    status, answer = await post_event(http, api, body)
    assert status == 201, answer
    assert len(set(answer["feeder_ids"])) == len(answer["feeder_ids"])


REFUSED: list[tuple[object, int, str]] = [
    ({"import_limit_kw": 1}, 422, "the event has no end"),
    (EVENT | {"end": "2026-01-01T01:00:00Z"}, 422, "the event has both end and duration_s"),
    ({"import_limit_kw": 1, "end": "2025-12-31T23:00:00Z"}, 422, "it must be after start"),
    ({"import_limit_kw": 1, "start": "2026-01-01T01:00:00Z", "end": "2026-01-01T01:00:00Z"}, 422, "it must be after"),
    (EVENT | {"start": "2025-12-31T23:40:00Z"}, 422, "the event ends at 2025-12-31T23:50:00+00:00; that is past"),
    (EVENT | {"start": "2025-12-31T23:58:59Z"}, 422, "start is 2025-12-31T23:58:59+00:00; that is past"),
    (EVENT | {"duration_s": 0}, 422, "duration_s is 0; it must be more than 0"),
    (EVENT | {"duration_s": -1}, 422, "duration_s is -1;"),
    (EVENT | {"duration_s": 1e18}, 422, "duration_s is 1e+18; it must be more than 0 and at most"),
    ({"import_limit_kw": 1, "end": "2027-01-01T00:00:00Z"}, 422, "at most 31 days are taken"),
    ({"import_limit_kw": 1, "end": "9999-12-31T23:59:59-10:00"}, 422, "outside of time"),
    (EVENT | {"start": "9999-12-31T23:59:59Z"}, 422, "outside of time"),
    (EVENT | {"start": "0001-01-01T00:00:00+10:00"}, 422, "outside of time"),
    ({"duration_s": 60}, 422, "the event limits nothing"),
    (EVENT | {"import_limit_kw": -1}, 422, "import_limit_kw is -1; it is a magnitude"),
    (EVENT | {"export_limit_kw": -0.5}, 422, "export_limit_kw is -0.5;"),
    (EVENT | {"shed_kw": -2}, 422, "shed_kw is -2;"),
    (EVENT | {"shed_kw": 0}, 422, "shed_kw is 0; that sheds nothing"),
    (EVENT | {"feeder_id": "nope"}, 404, "the feeder 'nope' does not exist; there are feeder-1, feeder-2"),
    (EVENT | {"feeder_ids": ["feeder-1", "x"]}, 404, "the feeder 'x' does not exist"),
    (EVENT | {"feeder_ids": []}, 422, "the event names no feeder"),
    (EVENT | {"feeder_id": "feeder-1", "feeder_ids": ["feeder-1"]}, 422, "both feeder_id and feeder_ids"),
    (EVENT | {"reason": "x" * 501}, 422, "the reason is refused"),
    (EVENT | {"reason": "a\nb"}, 422, "the reason is refused"),
    (EVENT | {"reason": "\x00"}, 422, "the reason is refused"),
    (EVENT | {"limit_kw": 1}, 422, "unknown field `limit_kw`"),
    (EVENT | {"import_limit_kw": "30"}, 422, "$.import_limit_kw"),
    (EVENT | {"import_limit_kw": True}, 422, "$.import_limit_kw"),
    (EVENT | {"start": "2026-01-01T00:00:00"}, 422, "$.start"),
    (EVENT | {"start": 5}, 422, "$.start"),
    ([], 422, "Expected `object`"),
]


@pytest.mark.parametrize(("body", "status", "text"), REFUSED)
async def test_an_event_that_cannot_be_meant_is_refused_in_its_own_words(
    body: object, status: int, text: str, api: Api, http: aiohttp.ClientSession
) -> None:
    got, problem = await post_event(http, api, body)
    assert (got, problem["status"]) == (status, status), problem
    assert text in f"{problem['detail']}; {problem['rule']}"
    assert problem["next_step"]
    assert api.events.committed == []
    assert api.told == []


RAW: list[tuple[bytes, str, int, str]] = [
    (b"", "application/json", 400, "usage"),
    (b"{", "application/json", 400, "usage"),
    (b"null", "application/json", 422, "usage"),
    (b'{"duration_s":NaN}', "application/json", 400, "usage"),
    (b'{"duration_s":1e999,"import_limit_kw":1}', "application/json", 422, "usage"),
    (b'{"duration_s":1,"import_limit_kw":1,"import_limit_kw":99}', "application/json", 400, "usage"),
    (b'{"duration_s":1,"import_limit_kw":1,"reason":"\xff"}', "application/json", 400, "usage"),
    (b'{"duration_s":1,"import_limit_kw":1,"reason":"\\ud800"}', "application/json", 400, "usage"),
    (b"[" * 100_000, "application/json", 422, "usage"),
    (b'{"a":' * 100_000, "application/json", 422, "usage"),
    (b'{"duration_s":1,"import_limit_kw":1}', "text/plain", 415, "media-type"),
    (b'{"duration_s":1,"import_limit_kw":1}', "application/x-www-form-urlencoded", 415, "media-type"),
    (b" " * (1024 * 1024 + 1), "application/json", 413, "too-large"),
]


@pytest.mark.parametrize(("raw", "media", "status", "code"), RAW, ids=range(len(RAW)))
async def test_a_body_that_is_not_strict_json_is_refused(
    raw: bytes, media: str, status: int, code: str, api: Api, http: aiohttp.ClientSession
) -> None:
    headers = api.headers(Role.ADMIN) | {"Content-Type": media}
    async with http.post(f"{api.served.url}/api/events", data=io.BytesIO(raw), headers=headers) as response:
        problem = await response.json(content_type="application/problem+json")
        assert (response.status, problem["code"]) == (status, code), problem
    assert api.events.committed == []
