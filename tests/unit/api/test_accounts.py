"""Logging in, users and the audit log over a real server: who may what, what is answered, what is refused."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from derms.api.schemas.audit import AuditQuery
from derms.api.schemas.users import UserIn, UsersQuery
from derms.client import ApiClient
from derms.errors import (
    AccessError,
    ConflictError,
    NotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
    UsageError,
)
from derms.model import Role
from tests.fakes_api import PASSWORDS, Api, running_api

WORD = "four words of nonsense"
ACCOUNT_ROUTES: list[tuple[str, str, Role | None, Any, int]] = [
    ("POST", "/api/auth/login", None, {"username": "viewer", "password": PASSWORDS[Role.VIEWER]}, 200),
    ("POST", "/api/auth/refresh", None, None, 415),
    ("GET", "/api/auth/me", Role.VIEWER, None, 200),
    ("POST", "/api/auth/logout", Role.VIEWER, None, 204),
    ("POST", "/api/auth/password", Role.VIEWER, None, 415),
    ("GET", "/api/users", Role.ADMIN, None, 200),
    ("POST", "/api/users", Role.ADMIN, {"username": "bob", "password": WORD}, 201),
    ("PATCH", "/api/users/{username}", Role.ADMIN, {"role": "operator"}, 200),
    ("POST", "/api/users/{username}/reset", Role.ADMIN, {"password": WORD}, 204),
    ("GET", "/api/audit", Role.ADMIN, None, 200),
]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api(logins=True) as api:
        yield api


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


@pytest.fixture
async def admin(api: Api) -> AsyncIterator[ApiClient]:
    async with ApiClient(api.served.url) as client:
        await client.login("admin", PASSWORDS[Role.ADMIN])
        yield client


@pytest.mark.parametrize("role", [None, *Role])
@pytest.mark.parametrize(("method", "path", "needed", "body", "status"), ACCOUNT_ROUTES)
async def test_each_route_is_open_to_its_role_and_those_above(
    method: str,
    path: str,
    needed: Role | None,
    body: object,
    status: int,
    role: Role | None,
    api: Api,
    http: aiohttp.ClientSession,
) -> None:
    rank = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}
    may = needed is None or (role is not None and rank[role] >= rank[needed])
    url = api.served.url + path.format(username="viewer")
    before = (dict(api.accounts.users), len(api.accounts.lines))
    async with http.request(method, url, json=body, headers=api.headers(role) if role else {}) as response:
        assert response.status == (status if may else 403 if role else 401), await response.text()
    assert may or (api.accounts.users, len(api.accounts.lines)) == before


async def test_a_login_lives_is_refreshed_by_the_client_and_ends(api: Api) -> None:
    async with ApiClient(api.served.url) as client:
        granted = await client.login("operator", PASSWORDS[Role.OPERATOR])
        assert granted.refresh_token is not None
        assert granted.refresh_expires_at is not None
        assert granted.token not in repr(granted)
        assert granted.refresh_token not in repr(granted)
        me = await client.me()
        assert (me.username, me.role, me.expires_at, me.refreshable) == (
            "operator", Role.OPERATOR, granted.expires_at, True,
        )  # fmt: skip
        api.clock.now += 1_000_000  # the access token is over
        assert len(await client.devices()) == 1
        assert client.token != granted.token
        assert client.refresh_token != granted.refresh_token
        last = client.token
        await client.logout()
        client.token = last
        with pytest.raises(AccessError, match="ended before its time"):
            await client.me()


async def test_a_client_whose_login_is_over_says_so(api: Api) -> None:
    async with ApiClient(api.served.url) as client:
        await client.login("operator", PASSWORDS[Role.OPERATOR])
        api.clock.now += 4_000_000
        for _ in range(2):
            with pytest.raises(AccessError, match="the token is over"):
                await client.devices()


async def test_a_wrong_password_often_enough_is_429_with_when_to_come_again(
    api: Api, http: aiohttp.ClientSession
) -> None:
    answers: dict[str, list[tuple[int, str | None, Any]]] = {}
    for name in ("operator", "nobody"):
        answers[name] = []
        for _ in range(6):
            body = {"username": name, "password": "wrong"}
            async with http.post(f"{api.served.url}/api/auth/login", json=body) as response:
                problem = await response.json(content_type=None)
                problem.pop("request_id")
                answers[name].append((response.status, response.headers.get("Retry-After"), problem))
    assert answers["operator"] == answers["nobody"]
    assert [status for status, _, _ in answers["nobody"]] == [401] * 5 + [429]
    assert answers["nobody"][-1][1] == "1"
    async with ApiClient(api.served.url) as client:
        with pytest.raises(ThrottledError, match="too many logins failed"):
            await client.login("operator", PASSWORDS[Role.OPERATOR])
    exposed = api.metrics.expose().decode()
    assert 'derms_logins_total{result="refused"} 10.0' in exposed
    assert 'derms_logins_total{result="held"} 3.0' in exposed


async def test_an_admin_makes_changes_disables_and_resets_users(api: Api, admin: ApiClient) -> None:
    made = await admin.add_user(UserIn(username="bob", password=WORD, role=Role.OPERATOR))
    assert (made.username, made.role, made.disabled, made.source) == ("bob", Role.OPERATOR, False, "api")
    listed = await admin.users(UsersQuery(role=Role.OPERATOR))
    assert [user.username for user in listed.users] == ["bob", "operator"]
    page = await admin.users(UsersQuery(limit=3, sort="-username"))
    assert ([user.username for user in page.users], page.next_cursor is None) == (["viewer", "operator", "bob"], False)
    rest = await admin.users(UsersQuery(limit=3, sort="-username", cursor=page.next_cursor))
    assert ([user.username for user in rest.users], rest.next_cursor) == (["admin"], None)
    async with ApiClient(api.served.url) as bob:
        await bob.login("bob", WORD)
        assert (await admin.change_user("bob", disabled=True)).disabled is True
        with pytest.raises(AccessError):
            await bob.me()
        with pytest.raises(AccessError, match="login refused"):
            await bob.login("bob", WORD)
        await admin.change_user("bob", disabled=False)
        await admin.reset_user("bob", "another four words")
        await bob.login("bob", "another four words")
        await bob.change_password("another four words", "and yet another four")
        with pytest.raises(AccessError):
            await bob.me()
        await bob.login("bob", "and yet another four")
        assert (await admin.change_user("bob", role=Role.VIEWER)).role is Role.VIEWER
        with pytest.raises(AccessError):
            await bob.me()
    with pytest.raises(ConflictError):
        await admin.add_user(UserIn(username="Bob", password=WORD))
    for call in (admin.change_user("carl", disabled=True), admin.reset_user("carl", WORD)):
        with pytest.raises(NotFoundError):
            await call
    with pytest.raises(UsageError, match="nothing is to be changed"):
        await admin.change_user("bob")
    with pytest.raises(UsageError, match="the password is refused"):
        await admin.reset_user("bob", "short")
    actions = [line.action for line in api.accounts.lines if line.subject == "bob"]
    assert actions == [
        "user.create", "auth.login", "user.change", "user.change", "user.reset", "auth.login", "user.password",
        "auth.login", "user.change",
    ]  # fmt: skip


async def test_the_last_admin_stays_one(admin: ApiClient) -> None:
    for change in (admin.change_user("admin", role=Role.VIEWER), admin.change_user("admin", disabled=True)):
        with pytest.raises(ConflictError, match="last admin"):
            await change
    await admin.add_user(UserIn(username="second", password=WORD, role=Role.ADMIN))
    await admin.change_user("second", disabled=True)
    with pytest.raises(ConflictError, match="last admin"):
        await admin.change_user("admin", disabled=True)
    await admin.change_user("second", disabled=False)
    await admin.change_user("admin", role=Role.VIEWER)


async def test_when_the_store_is_away_nothing_is_changed_and_that_is_said(api: Api, admin: ApiClient) -> None:
    before = dict(api.accounts.users)
    api.accounts.away = True
    calls = [
        admin.add_user(UserIn(username="bob", password=WORD)),
        admin.change_user("viewer", disabled=True),
        admin.reset_user("viewer", WORD),
        admin.audit(),
        admin.renew(),
    ]
    for call in calls:
        with pytest.raises(UnavailableError):
            await call
    assert len((await admin.users()).users) == 3
    api.accounts.away = False
    assert api.accounts.users == before
    assert StoreError.code == "store-unavailable"


async def test_the_audit_log_is_read_by_pages_newest_first_and_filtered(api: Api, admin: ApiClient) -> None:
    for number in range(5):
        await admin.add_user(UserIn(username=f"user-{number}", password=WORD))
    first = await admin.audit(AuditQuery(limit=2, action="user.create", actor="admin"))
    assert [line.subject for line in first.lines] == ["user-4", "user-3"]
    line = first.lines[0]
    assert (line.actor, line.remote, line.before) == ("admin", "127.0.0.1", {})
    assert line.after == {"role": "viewer", "disabled": False, "source": "api"}
    assert line.request_id
    seen, cursor = [], first.next_cursor
    while cursor is not None:
        page = await admin.audit(AuditQuery(limit=2, action="user.create", actor="admin", cursor=cursor))
        seen += [line.subject for line in page.lines]
        cursor = page.next_cursor
    assert seen == ["user-2", "user-1", "user-0"]
    assert [line.action for line in (await admin.audit(AuditQuery(subject="admin"))).lines] == [
        "auth.login", "user.create",
    ]  # fmt: skip
    assert (await admin.audit(AuditQuery(since=line.at, until=line.at.replace(year=line.at.year + 1)))).lines
    assert (await admin.audit(AuditQuery(until=line.at.replace(year=2000)))).lines == []


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("limit=0", "the query is refused"),
        ("limit=1001", "the query is refused"),
        ("sort=at", "the query is refused"),
        ("cursor=x", "cursor is 'x'"),
        ("cursor=YXVkaXQ6LTE", "cursor is"),  # audit:-1
        ("cursor=YXVkaXQ6OTk5OTk5OTk5OTk5OTk5OTk5OTk", "cursor is"),  # audit:99999999999999999999
        ("cursor=%F0%9F", "the query is refused"),
        ("since=null", "since is null"),
        ("since=0.5", "since is '0.5'"),
        ("since=1767225600", "since is '1767225600'"),
        ("actor=a&actor=a", "actor stands twice"),
        ("actor=%00", "actor is"),
        ("since=2026-01-01T00:00:00", "the query is refused"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "until is"),
        ("since=0001-01-01T00:00:00%2B14:00", "lies outside of time"),
    ],
)
async def test_an_audit_query_that_cannot_be_meant_is_refused(
    query: str, text: str, api: Api, http: aiohttp.ClientSession
) -> None:
    async with http.get(f"{api.served.url}/api/audit?{query}", headers=api.headers(Role.ADMIN)) as response:
        assert response.status == 422
        assert text in (await response.json(content_type=None))["detail"]


async def test_a_token_of_its_own_suffices_for_the_metrics_and_for_nothing_else(http: aiohttp.ClientSession) -> None:
    async with running_api(scrape_token="a token for the scraper") as api:
        for path, token, status in [
            ("/metrics", "a token for the scraper", 200),
            ("/metrics", "a token for the scrapeR", 401),
            ("/metrics", "a token for the scraper ", 200),  # a header's blanks at the end do not count
            ("/metrics", "é", 401),
            ("/metrics", "", 401),
            ("/api/devices", "a token for the scraper", 401),
        ]:
            headers = {"Authorization": f"Bearer {token}"}
            async with http.get(api.served.url + path, headers=headers) as response:
                assert response.status == status, (path, token)
        async with http.get(f"{api.served.url}/metrics", headers=api.headers(Role.VIEWER)) as response:
            assert response.status == 200


ORIGIN = "https://screen.example"
ASK = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


async def test_pages_of_other_origins_are_let_only_where_listed(http: aiohttp.ClientSession) -> None:
    async with running_api(cors_origins=(ORIGIN,)) as api:
        url = f"{api.served.url}/api/events"
        async with http.options(url, headers={"Origin": ORIGIN, **ASK}) as response:
            assert response.status == 204
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
            assert "Access-Control-Allow-Credentials" not in response.headers
            assert "Origin" in response.headers["Vary"]
        async with http.get(url, headers={"Origin": ORIGIN}) as response:
            assert response.status == 401  # a preflight opens no route
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        for origin in ("https://evil.example", "null", "", f"{ORIGIN}.evil.example", ORIGIN.upper()):
            async with http.options(url, headers={"Origin": origin, **ASK}) as response:
                assert response.status == 405
                assert "Access-Control-Allow-Origin" not in response.headers


async def test_without_a_listed_origin_there_is_no_word_of_it(api: Api, http: aiohttp.ClientSession) -> None:
    for ask in (
        http.options(f"{api.served.url}/api/events", headers={"Origin": ORIGIN, **ASK}),
        http.get(f"{api.served.url}/api/health", headers={"Origin": ORIGIN}),
    ):
        async with ask as response:
            assert not [name for name in response.headers if name.startswith("Access-Control")]
