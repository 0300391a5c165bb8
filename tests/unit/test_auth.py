"""Tokens, passwords, roles, and the secret file."""

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import jwt
import pytest

from derms.auth import Authenticator, Credential, load_or_create_secret
from derms.errors import AccessError, ConfigError, UnavailableError
from derms.model import Role
from tests.fakes_api import NOW_MS, SECRET, FakeClock

NOW_S = NOW_MS // 1000
CLAIMS = {
    "iss": "derms",
    "aud": "derms-api",
    "sub": "ann",
    "role": "admin",
    "iat": NOW_S,
    "exp": NOW_S + 60,
    "jti": "1",
}


def authenticator(clock: FakeClock | None = None, **users: tuple[str, Role]) -> Authenticator:
    credentials = [Credential(username=name, password=word, role=role) for name, (word, role) in users.items()]
    return Authenticator(SECRET, ttl_h=1, clock=clock or FakeClock(), users=credentials)


def test_a_token_is_good_until_its_hour_and_ten_seconds_are_over() -> None:
    clock = FakeClock()
    auth = authenticator(clock)
    token = auth.issue("ann", Role.OPERATOR).token
    for late_ms in (0, 3600_000, 3609_999):
        clock.now = NOW_MS + late_ms
        principal = auth.verify(token)
        assert (principal.username, principal.role) == ("ann", Role.OPERATOR)
    clock.now = NOW_MS + 3610_000
    for _ in range(2):  # from the cache, and then without it
        with pytest.raises(AccessError, match="is over"):
            auth.verify(token)


def test_the_same_claims_signed_by_us_are_accepted() -> None:
    assert authenticator().verify(jwt.encode(CLAIMS, SECRET, "HS256")).role is Role.ADMIN


FORGED: list[tuple[str, dict[str, Any]]] = [
    ("another issuer", {"iss": "x"}),
    ("another audience", {"aud": "x"}),
    ("an audience list", {"aud": ["derms-api"]}),
    ("an unknown role", {"role": "root"}),
    ("a role that is no text", {"role": ["admin"]}),
    ("no role", {"role": None}),
    ("an end that is text", {"exp": "9999999999"}),
    ("an end that is a fraction", {"exp": NOW_S + 60.5}),
    ("an end that is true", {"exp": True}),
    ("a subject that is a number", {"sub": 7}),
    ("from the future", {"iat": NOW_S + 11}),
    ("not yet good", {"nbf": NOW_S + 999}),
    ("over", {"exp": NOW_S - 10}),
    *((f"no {name}", {name: ...}) for name in CLAIMS),
]


@pytest.mark.parametrize(("_name", "changed"), FORGED, ids=[name for name, _ in FORGED])
def test_a_token_with_other_claims_is_refused(_name: str, changed: dict[str, Any]) -> None:
    claims = {key: value for key, value in (CLAIMS | changed).items() if value is not ...}
    # Through the signature layer: the claims layer refuses to make some of these.
    token = jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, "HS256")
    with pytest.raises(AccessError):
        authenticator().verify(token)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é.é.é",
        "\ud800",
        jwt.encode(CLAIMS, "another secret of more than 32 bytes!", "HS256"),
        jwt.encode(CLAIMS, SECRET * 2, "HS512"),
        jwt.encode(CLAIMS, None, "none"),
        jwt.encode(CLAIMS, SECRET, "HS256")[:-2],
    ],
)
def test_a_token_not_signed_by_us_is_refused(token: str) -> None:
    with pytest.raises(AccessError):
        authenticator().verify(token)


def test_a_role_may_what_those_below_it_may() -> None:
    auth = authenticator()
    table = {(role, needed): auth.verify(auth.issue("u", role).token).may(needed) for role in Role for needed in Role}
    rank = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}
    assert table == {(role, needed): rank[role] >= rank[needed] for role in Role for needed in Role}


def test_the_cache_of_verified_tokens_is_bounded() -> None:
    auth = authenticator()
    tokens = [auth.issue("u", Role.VIEWER).token for _ in range(1100)]
    for token in tokens:
        auth.verify(token)
    assert len(auth._verified) == 1024


async def test_the_right_password_gives_a_token_of_the_users_role() -> None:
    async with authenticator(ann=("secret-word", Role.OPERATOR)) as auth:
        issued = await auth.login("ann", "secret-word")
        assert auth.verify(issued.token).role is Role.OPERATOR
        assert "secret-word" not in repr(vars(auth))
        assert issued.token not in repr(issued)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("ann", "wrong"),
        ("ann", ""),
        ("bob", "secret-word"),
        ("", ""),
        ("Ann", "secret-word"),
        ("ann", "\ud800"),
    ],
)
async def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(name: str, word: str) -> None:
    async with authenticator(ann=("secret-word", Role.OPERATOR)) as auth:
        with pytest.raises(AccessError) as caught:
            await auth.login(name, word)
    assert str(caught.value) == "login refused; name or password is wrong; check both and try again"


async def test_too_many_logins_at_once_are_turned_away_and_later_ones_are_not() -> None:
    async with authenticator(ann=("secret-word", Role.OPERATOR)) as auth:
        answers = await asyncio.gather(*(auth.login("ann", "x") for _ in range(12)), return_exceptions=True)
        assert [type(answer) for answer in answers].count(UnavailableError) == 4  # 12 - 8
        assert (await auth.login("ann", "secret-word")).role is Role.OPERATOR


@pytest.mark.parametrize(
    ("secret", "users"),
    [
        ("x" * 31, []),
        ("", []),
        (SECRET, [("a", "p"), ("a", "q")]),
        (SECRET, [("a", "")]),
    ],
)
def test_a_short_secret_and_wrong_users_are_refused(secret: str, users: list[tuple[str, str]]) -> None:
    credentials = [Credential(username=name, password=word, role=Role.VIEWER) for name, word in users]
    with pytest.raises(ConfigError) as caught:
        Authenticator(secret, ttl_h=1, clock=FakeClock(), users=credentials)
    assert "xxx" not in str(caught.value)


def test_a_secret_of_32_bytes_is_long_enough() -> None:
    Authenticator("x" * 32, ttl_h=1, clock=FakeClock())


def test_the_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "jwt-secret"
    secret = load_or_create_secret(path)
    assert len(secret) >= 32
    assert load_or_create_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["jwt-secret"]


@pytest.mark.parametrize(
    ("content", "mode", "text"),
    [
        (b"x" * 40, 0o644, "has mode 0644; others than its owner may read it"),
        (b"short", 0o600, "has 5 characters; at least 32 are needed"),
        (b"", 0o600, "has 0 characters"),
        (b"\xff" * 40, 0o600, "cannot be read"),
    ],
)
def test_a_wrong_secret_file_is_refused_and_left_alone(content: bytes, mode: int, text: str, tmp_path: Path) -> None:
    path = tmp_path / "jwt-secret"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=text):
        load_or_create_secret(path)
    assert path.read_bytes() == content


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be read or made"):
        load_or_create_secret(tmp_path / "file" / "jwt-secret")
