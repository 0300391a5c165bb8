"""Those who want in where they do not belong, by the API: what they send, and that they get nothing by it."""

import base64
import io
import itertools
import json
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest

from derms.auth.keys import KeyRing
from derms.model import Author, Role
from tests.fakes_api import NOW_MS, PASSWORDS, SECRET, Api, running_api

NOW_S = NOW_MS // 1000
KID = {"kid": KeyRing(SECRET).newest.kid}
ADMIN_CLAIMS = {
    "iss": "derms", "aud": "derms-api", "sub": "admin", "role": "admin", "iat": NOW_S, "exp": NOW_S + 600, "jti": "1",
}  # fmt: skip
WORD = "four words of nonsense"
BY = Author("admin", "r", "192.0.2.1")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with running_api(logins=True) as api:
        yield api


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


async def login(api: Api, role: Role) -> dict[str, str]:
    grant = await api.authenticator.login(role.value, PASSWORDS[role], by=BY)
    assert grant.refresh is not None
    return {"access": grant.access.token, "refresh": grant.refresh.token}


def b64(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


async def test_every_forged_stale_or_borrowed_token_is_refused_on_every_route_with_a_role(
    api: Api, http: aiohttp.ClientSession
) -> None:
    viewer, revoked = await login(api, Role.VIEWER), await login(api, Role.ADMIN)
    await api.authenticator.logout(api.authenticator.verify(revoked["access"]), by=BY)
    head, body, signature = viewer["access"].split(".")
    promoted = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = {
        "none": jwt.encode(ADMIN_CLAIMS, "", "none", headers=KID),
        "none, spelt otherwise": f"{b64({'alg': 'nOnE', **KID})}.{b64(ADMIN_CLAIMS)}.",
        "alg swapped": jwt.encode(ADMIN_CLAIMS, SECRET * 2, "HS512", headers=KID),
        "wrong key": jwt.encode(ADMIN_CLAIMS, secrets.token_urlsafe(48), "HS256", headers=KID),
        "key id of a file": jwt.encode(ADMIN_CLAIMS, SECRET, "HS256", headers={"kid": "../../../../dev/null"}),
        "expired": jwt.encode(ADMIN_CLAIMS | {"exp": NOW_S - 11}, SECRET, "HS256", headers=KID),
        "revoked": revoked["access"],
        "role raised": f"{head}.{b64(promoted | {'role': 'admin'})}.{signature}",
        "another user's signature": f"{head}.{b64(promoted | {'sub': 'admin'})}.{signature}",
        "refresh token": viewer["refresh"],
        "another generation": jwt.encode(ADMIN_CLAIMS | {"gen": 99}, SECRET, "HS256", headers=KID),
    }
    guarded = [
        (route.method, re.sub(r"{\w+}", "viewer", route.resource.canonical))
        for route in api.app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    ]
    closed = 0
    for method, path in guarded:
        async with http.request(method, api.served.url + path) as response:
            if response.status != 401 or path.startswith("/api/auth/login"):
                continue  # open to all
        closed += 1
        for name, token in forged.items():
            async with http.request(
                method, api.served.url + path, headers={"Authorization": f"Bearer {token}"}, json={}
            ) as response:
                text = await response.text()
                assert response.status == 401, (name, method, path, text)
                assert token not in text
    assert closed >= 10
    async with http.get(f"{api.served.url}/api/users", headers={"Authorization": f"Bearer {viewer['access']}"}) as got:
        assert got.status == 403


async def test_a_token_elsewhere_than_in_the_header_is_not_looked_for(api: Api, http: aiohttp.ClientSession) -> None:
    token = (await login(api, Role.ADMIN))["access"]
    for more in ({"params": {"token": token, "access_token": token}}, {"cookies": {"token": token}}):
        async with http.get(f"{api.served.url}/api/audit", **more) as response:  # type: ignore[arg-type]  # either
            assert response.status == 401


STRANGE = [
    "' OR '1'='1", "'; DROP TABLE users; --", "admin'--", '{"$ne": null}', "%27%20OR%201=1", "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd", "${jndi:ldap://x}", "{{7*7}}", "<script>alert(1)</script>", "a\r\nSet-Cookie: x=1",
    "\x00", "\x1b[2J", "💥" * 20, "a" * 64, "\u202eadmin", "ａｄｍｉｎ", " admin",
    "admin ", "ADMIN", "%s%s%n", "-1", "*",
]  # fmt: skip


@pytest.mark.parametrize("word", STRANGE)
async def test_strange_words_are_data_everywhere(word: str, api: Api, http: aiohttp.ClientSession) -> None:
    headers = api.headers(Role.ADMIN)
    before = (dict(api.accounts.users), set(api.accounts.sessions))
    quoted = "".join(f"%{byte:02X}" for byte in word.encode())
    tries: list[tuple[str, str, Any]] = [
        ("POST", "/api/auth/login", {"username": word, "password": word}),
        ("POST", "/api/auth/refresh", {"refresh_token": word}),
        ("PATCH", f"/api/users/{quoted}", {"disabled": True}),
        ("POST", f"/api/users/{quoted}/reset", {"password": WORD}),
        ("GET", f"/api/audit?actor={quoted}&action={quoted}&subject={quoted}", None),
        ("GET", f"/api/audit?cursor={quoted}", None),
        ("GET", f"/api/users?sort={quoted}&cursor={quoted}", None),
        ("GET", f"/api/users?{quoted}={quoted}", None),
        ("GET", f"/{quoted}", None),
        ("GET", f"/api/docs/{quoted}", None),
    ]
    for method, path, body in tries:
        async with http.request(method, api.served.url + path, json=body, headers=headers) as response:
            text = await response.text()
            assert response.status in (200, 400, 401, 404, 405, 422), (method, path, text)
            assert "root:" not in text
            assert "Set-Cookie" not in response.headers
            if response.status == 200:
                assert json.loads(text) == {"lines": [], "next_cursor": None}
    assert (api.accounts.users, set(api.accounts.sessions)) == before


async def test_a_request_id_cannot_carry_anything_into_the_log(api: Api, http: aiohttp.ClientSession) -> None:
    for sent in ("a b", "x" * 65, '"}', "é", "<x>"):
        async with http.get(f"{api.served.url}/api/health", headers={"X-Request-ID": sent}) as response:
            assert response.headers["X-Request-ID"].isalnum()


MASS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/api/users", {"username": "eve", "password": WORD, "disabled": False}),
    ("POST", "/api/users", {"username": "eve", "password": WORD, "password_hash": "$argon2id$"}),
    ("POST", "/api/users", {"username": "eve", "password": WORD, "generation": 9}),
    ("POST", "/api/users", {"username": "eve", "password": WORD, "source": "settings"}),
    ("POST", "/api/users", {"username": "eve", "password": WORD, "role": "root"}),
    ("POST", "/api/users", {"username": "eve", "password": WORD, "role": ["admin"]}),
    ("PATCH", "/api/users/viewer", {"role": "admin", "password": WORD}),
    ("PATCH", "/api/users/viewer", {"username": "admin"}),
    ("PATCH", "/api/users/viewer", {"disabled": None}),
    ("PATCH", "/api/users/viewer", {"disabled": 1}),
    ("PATCH", "/api/users/viewer", {"role": None}),
    ("POST", "/api/users/viewer/reset", {"password": WORD, "role": "admin"}),
    ("POST", "/api/auth/login", {"username": "viewer", "password": PASSWORDS[Role.VIEWER], "role": "admin"}),
    ("POST", "/api/auth/password", {"current_password": "x", "new_password": WORD, "username": "admin"}),
    ("POST", "/api/auth/refresh", {"refresh_token": "x", "role": "admin"}),
]


@pytest.mark.parametrize(("method", "path", "body"), MASS, ids=range(len(MASS)))
async def test_nobody_sets_what_is_not_theirs_to_set(
    method: str, path: str, body: dict[str, Any], api: Api, http: aiohttp.ClientSession
) -> None:
    before = dict(api.accounts.users)
    async with http.request(method, api.served.url + path, json=body, headers=api.headers(Role.ADMIN)) as response:
        assert response.status == 422, await response.text()
    assert api.accounts.users == before


BODIES = {
    "/api/auth/login": b'{"username":"viewer","password":"x"}',
    "/api/auth/refresh": b'{"refresh_token":"x"}',
    "/api/auth/password": b'{"current_password":"x","new_password":"x"}',
    "/api/users": b'{"username":"eve","password":"x"}',
    "/api/users/viewer/reset": b'{"password":"x"}',
}
SPOILT = [
    lambda good: good[:-1] + b',"password":"y","password":"y"}',
    lambda good: good[:-1] + b',"x":NaN}',
    lambda good: good[:-1] + b',"x":Infinity}',
    lambda good: good[:-1] + b',"x":1e999}',
    lambda good: good[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    lambda good: good[:-1] + b',"x":' + b'{"y":' * 5000 + b"1" + b"}" * 5001,
    lambda good: good + good,
    lambda good: good[:-1],
    lambda good: good.replace(b'"x"', b'"\xff"'),
    lambda good: good.replace(b'"x"', b'"\\ud800"'),
    lambda good: good.replace(b'"x"', b"[" * 1000),
    lambda good: good.replace(b'"x"', b"null"),
    lambda good: good.replace(b'"x"', b"true"),
    lambda good: good.replace(b'"x"', b'"' + b"x" * 5000 + b'"'),
    lambda good: b"[" + good + b"]",
    lambda _: b"",
    lambda _: b"null",
    lambda _: b" " * (1024 * 1024 + 1),
    lambda _: b"\x00" * 100,
]


@pytest.mark.parametrize(
    ("path", "spoil"), list(itertools.product(BODIES, SPOILT)), ids=range(len(BODIES) * len(SPOILT))
)
async def test_a_spoilt_body_is_refused_whole(path: str, spoil: Any, api: Api, http: aiohttp.ClientSession) -> None:
    before = (dict(api.accounts.users), len(api.accounts.lines))
    headers = {**api.headers(Role.ADMIN), "Content-Type": "application/json"}
    sent = io.BytesIO(spoil(BODIES[path]))
    async with http.post(api.served.url + path, data=sent, headers=headers) as response:
        assert response.status in (400, 413, 422), await response.text()
        assert len(await response.read()) < 2000
    assert (api.accounts.users, len(api.accounts.lines)) == before


async def test_neither_login_nor_users_tell_strangers_who_there_is(api: Api, http: aiohttp.ClientSession) -> None:
    answers = []
    for name in ("admin", "nobody"):
        async with http.post(f"{api.served.url}/api/auth/login", json={"username": name, "password": "x"}) as response:
            problem = await response.json(content_type=None)
            problem.pop("request_id")
            answers.append((response.status, problem, sorted(response.headers)))
        for method, path in (("PATCH", f"/api/users/{name}"), ("POST", f"/api/users/{name}/reset")):
            for role in (None, Role.VIEWER, Role.OPERATOR):
                headers = api.headers(role) if role else {}
                async with http.request(method, api.served.url + path, headers=headers, json={}) as response:
                    assert response.status == (403 if role else 401)
    assert answers[0] == answers[1]


async def test_no_answer_holds_a_hash_a_secret_or_an_inside(api: Api, http: aiohttp.ClientSession) -> None:
    await login(api, Role.ADMIN)
    for path in ("/api/users", "/api/audit", "/api/auth/me", "/api/openapi.json", "/metrics", "/api/nope"):
        async with http.get(api.served.url + path, headers=api.headers(Role.ADMIN)) as response:
            text = await response.text()
            for word in ("$argon2", SECRET, "Traceback", "aiohttp", "password_hash", "session_id", *PASSWORDS.values()):
                assert word not in text, path
            assert "aiohttp" not in response.headers["Server"]
