"""The API over a real server: who may what, what is refused and how, and what is answered."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from derms.api.app import serve_app
from derms.api.middleware import guarded_app
from derms.errors import (
    AccessError,
    BrokerError,
    ConfigError,
    ConflictError,
    DermsError,
    NotFoundError,
    StoreError,
    UsageError,
)
from derms.metrics import Metrics
from derms.model import Role
from tests.fakes_accounts import FakeAccounts
from tests.fakes_api import Api, FakeClock, an_authenticator, running_api
from tests.fakes_dr import ROUTES as DR_ROUTES
from tests.unit.api.test_accounts import ACCOUNT_ROUTES

EVENT = {"duration_s": 600, "import_limit_kw": 30.0}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api() as api:
        yield api


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


ROUTES: list[tuple[str, str, Role | None]] = [
    ("GET", "/api/health", None),
    ("GET", "/api/ready", None),
    ("GET", "/api/devices", Role.VIEWER),
    ("GET", "/api/feeder/summary", Role.VIEWER),
    ("GET", "/api/events", Role.VIEWER),
    ("POST", "/api/events", Role.OPERATOR),
    ("GET", "/metrics", Role.VIEWER),
    ("GET", "/api/openapi.json", None),
    ("GET", "/api/docs", None),
    ("GET", "/api/docs.css", None),
]


ELSEWHERE = {
    ("GET", "/api/stream"),
    *((method, "/api/devices/{device_id}") for method in ("GET", "PATCH", "DELETE")),
    *((method, "/api/devices/{device_id}/override") for method in ("PUT", "DELETE")),
    ("POST", "/api/devices"),
    ("POST", "/api/devices/{device_id}/adopt"),
    ("GET", "/api/devices/{device_id}/why"),
    ("GET", "/api/feeder/history"),
    ("GET", "/api/feeder/metrics"),
    ("GET", "/api/metrics/tracking-error"),
    *((method, "/api/simulation/mode") for method in ("GET", "POST")),
    ("GET", "/api/telemetry/{device_id}"),
    ("POST", "/api/telemetry"),
    ("GET", "/api/feeders"),
    ("POST", "/api/feeders"),
    *((method, "/api/feeders/{feeder_id}") for method in ("GET", "PATCH")),
}
"""Routes whose roles are tested with their noun."""


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize(("method", "path", "needed"), ROUTES)
async def test_each_route_is_open_to_its_role_and_those_above(
    method: str, path: str, needed: Role | None, role: Role | None, api: Api, http: aiohttp.ClientSession
) -> None:
    headers = api.headers(role) if role else {}
    rank = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}
    may = needed is None or (role is not None and rank[role] >= rank[needed])
    body = EVENT if method == "POST" else None
    async with http.request(method, api.served.url + path, json=body, headers=headers) as response:
        text = await response.text()
        expected = (201 if method == "POST" else 200) if may else 403 if role else 401
        assert response.status == expected, text
        if response.status == 401:
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert len(api.events.committed) == (1 if method == "POST" and may else 0)


async def test_the_table_of_routes_is_whole(api: Api) -> None:
    there = {(route.method, route.resource.canonical) for route in api.app.router.routes() if route.resource}
    known = {(method, path) for method, path, _ in [*ROUTES, *DR_ROUTES]}
    accounts = {(method, path) for method, path, *_ in ACCOUNT_ROUTES}
    assert there == known | ELSEWHERE | accounts


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Bearer x.y.z", "Basic YTpi", "bearer"])
async def test_a_header_without_a_good_token_is_unauthorized(value: str, api: Api, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{api.served.url}/api/devices", headers={"Authorization": value}) as response:
        assert response.status == 401
        assert (await response.json(content_type=None))["code"] == "access"


async def test_a_route_without_a_role_does_not_start() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response()

    async with an_authenticator(FakeAccounts(), FakeClock()) as authenticator:
        app = guarded_app(authenticator, Metrics(version="1"))
        app.router.add_get("/bare", handler)
        with pytest.raises(RuntimeError, match="without a declared role"):
            async with serve_app(app, host="127.0.0.1", port=0):
                pass


async def test_devices_feeders_and_health_are_answered_in_full(api: Api, http: aiohttp.ClientSession) -> None:
    headers = api.headers(Role.VIEWER)
    async with http.get(f"{api.served.url}/api/devices", headers=headers) as response:
        (device,) = (await response.json())["devices"]
    assert device["telemetry_at"] == "2026-01-01T00:00:00Z"
    assert device["lease"]["acknowledged"] is True
    assert device["capacity_kwh"] is None
    async with http.get(f"{api.served.url}/api/feeder/summary", headers=headers) as response:
        (feeder,) = (await response.json())["feeders"]
    assert (feeder["import_limit_kw"], feeder["limit_source"], feeder["measured_kw"]) == (50.0, "dr-1", None)
    async with http.get(f"{api.served.url}/api/health") as response:
        assert await response.json() == {
            "status": "ok",
            "version": "1.2.3",
            "commit": "",
            "uptime_s": 4.0,
            "parts": {"mqtt": {"state": "ok", "age_s": 1.0, "detail": ""}},
            "role": "active",
            "trees": {"feeder-1": {"role": "active", "leader": "controller-1", "epoch": 7}},
        }


async def test_what_cannot_do_all_it_is_for_is_not_ready(api: Api, http: aiohttp.ClientSession) -> None:
    for away, status in ((False, 200), (True, 503)):
        api.view.away = away
        async with http.get(f"{api.served.url}/api/ready") as response:
            assert response.status == status
            assert (await response.json())["ready"] is not away


ERRORS: list[tuple[DermsError, int, str]] = [
    (UsageError("w", why="r", next_step="n"), 422, "usage"),
    (ConfigError("w", why="r", next_step="n"), 422, "config"),
    (NotFoundError("w", why="r", next_step="n"), 404, "not-found"),
    (AccessError("w", why="r", next_step="n"), 401, "access"),
    (ConflictError("w", why="r", next_step="n"), 409, "conflict"),
    (StoreError("w", why="r", next_step="n"), 503, "store-unavailable"),
    (BrokerError("w", why="r", next_step="n"), 503, "broker-unavailable"),
    (DermsError("w", why="r", next_step="n"), 500, "derms-error"),
]


@pytest.mark.parametrize(("error", "status", "code"), ERRORS, ids=[code for _, _, code in ERRORS])
async def test_each_error_has_its_status_and_says_all_it_knows(
    error: DermsError, status: int, code: str, api: Api, http: aiohttp.ClientSession
) -> None:
    api.events.error = error
    headers = api.headers(Role.VIEWER) | {"X-Request-ID": "r-1"}
    async with http.get(f"{api.served.url}/api/events", headers=headers) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        problem = await response.json(content_type=None)
    assert problem.pop("title")
    assert problem == {
        "status": status,
        "detail": "w",
        "rule": "r",
        "next_step": "n",
        "code": code,
        "request_id": "r-1",
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not-found"),
        ("GET", "/", 404, "not-found"),
        ("DELETE", "/api/events", 405, "method-not-allowed"),
        ("GET", "/api/auth/login", 405, "method-not-allowed"),
        ("GET", "/api/events/../../etc/passwd", 404, "not-found"),
    ],
)
async def test_an_address_that_is_not_there_is_a_problem_too(
    method: str, path: str, status: int, code: str, api: Api, http: aiohttp.ClientSession
) -> None:
    async with http.request(method, api.served.url + path) as response:
        problem = await response.json(content_type="application/problem+json")
        assert (response.status, problem["code"]) == (status, code)
        assert ("Allow" in response.headers) is (status == 405)


async def test_an_error_of_our_own_is_logged_once_and_not_shown(
    api: Api, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    api.view.fails = True
    async with http.get(f"{api.served.url}/api/devices", headers=api.headers(Role.VIEWER)) as response:
        assert response.status == 500
        text = await response.text()
    assert "s3cr3t" not in text
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert json.loads(text)["request_id"] == vars(record)["request_id"]
    async with http.get(f"{api.served.url}/api/health") as response:
        assert response.status == 200


@pytest.mark.parametrize("path", ["/api/health", "/nope", "/api/devices"])
async def test_every_answer_has_the_security_headers_and_a_request_id(
    path: str, api: Api, http: aiohttp.ClientSession
) -> None:
    async with http.get(api.served.url + path, headers={"X-Request-ID": "bad id <>"}) as response:
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Server"] == "derms"
        assert response.headers["X-Request-ID"].isalnum()


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x00\xa5", b"BREW / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nA\x00: b\r\n\r\n"]
)
async def test_what_is_no_http_is_refused_and_fills_no_log(
    sent: bytes, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.served.port)
    writer.write(sent)
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.0 400")
    writer.close()
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_expectation_nobody_knows_is_refused_not_a_failure(api: Api) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.served.port)
    writer.write(b"GET /api/health HTTP/1.1\r\nHost: x\r\nExpect: the-unexpected\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 417")


async def test_metrics_count_requests_by_route_and_can_be_switched_off(api: Api, http: aiohttp.ClientSession) -> None:
    for path in ("/nope/1", "/nope/2", "/api/health"):
        await (await http.get(api.served.url + path)).read()
    async with http.put(f"{api.served.url}/nope") as response:
        await response.read()
    async with http.get(f"{api.served.url}/metrics", headers=api.headers(Role.VIEWER)) as response:
        text = await response.text()
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'derms_api_requests_total{method="other",route="unknown",status="404"} 3.0' in text
    assert 'derms_api_requests_total{method="GET",route="/api/health",status="200"} 1.0' in text
    assert "nope" not in text
    async with (
        running_api(metrics_enabled=False) as other,
        http.get(f"{other.served.url}/metrics", headers=other.headers(Role.ADMIN)) as response,
    ):
        assert response.status == 404


async def test_a_password_is_exchanged_for_a_token_and_neither_is_logged(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running_api(logins=True) as api:
        url = f"{api.served.url}/api/auth/login"
        async with http.post(url, json={"username": "operator", "password": "operators-password"}) as response:
            assert response.status == 200
            granted = await response.json()
        assert (granted["role"], granted["expires_at"]) == ("operator", "2026-01-01T00:15:00Z")
        headers = {"Authorization": f"Bearer {granted['token']}"}
        async with http.post(f"{api.served.url}/api/events", json=EVENT, headers=headers) as response:
            assert response.status == 201
        for body in (
            {"username": "operator", "password": "hunter2"},
            {"username": "operator", "password": ["hunter2"]},
        ):
            async with http.post(url, json=body) as response:
                assert response.status in (401, 422)
                assert "hunter2" not in await response.text()
        assert not any(word in caplog.text for word in ("hunter2", "operators-password", granted["token"]))
