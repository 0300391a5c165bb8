"""Tokens: made, read, forged."""

import base64
import json
import secrets
from typing import Any

import jwt
import pytest

from derms.auth.keys import KeyRing
from derms.auth.tokens import Audience, Tokens
from derms.errors import AccessError
from derms.model import Role
from tests.fakes_api import NOW_MS, SECRET, FakeClock

NOW_S = NOW_MS // 1000
RING = KeyRing(SECRET)
KID = {"kid": RING.newest.kid}
CLAIMS = {
    "iss": "derms",
    "aud": "derms-api",
    "sub": "ann",
    "role": "admin",
    "iat": NOW_S,
    "exp": NOW_S + 60,
    "jti": "1",
}


def tokens(ring: KeyRing = RING, clock: FakeClock | None = None) -> Tokens:
    return Tokens(ring, clock or FakeClock())


def test_a_token_says_what_was_put_into_it() -> None:
    issued = tokens().issue("ann", Role.OPERATOR, ttl_s=59.5, session_id="s", generation=3, turn=2)
    said = tokens().read(issued.token)
    assert (said.username, said.role, said.session_id, said.generation, said.turn) == ("ann", Role.OPERATOR, "s", 3, 2)
    assert (said.issued_s, said.expires_s) == (NOW_S, NOW_S + 60)
    assert issued.token not in repr(issued)
    assert jwt.get_unverified_header(issued.token) == {"alg": "HS256", "typ": "JWT", **KID}


def test_no_two_tokens_are_the_same() -> None:
    assert len({tokens().read(tokens().issue("ann", Role.VIEWER, ttl_s=1).token).token_id for _ in range(50)}) == 50


def test_a_token_is_over_ten_seconds_after_its_end() -> None:
    clock = FakeClock()
    for late_ms, is_over in ((0, False), (60_000, False), (69_999, False), (70_000, True)):
        clock.now = NOW_MS + late_ms
        assert tokens(clock=clock).is_over(NOW_S + 60) is is_over


def test_the_same_claims_signed_by_us_are_accepted() -> None:
    assert tokens().read(jwt.encode(CLAIMS, SECRET, "HS256", headers=KID)).role is Role.ADMIN
    early = CLAIMS | {"nbf": NOW_S + 10, "iat": NOW_S + 10}
    assert tokens().read(jwt.encode(early, SECRET, "HS256", headers=KID)).role is Role.ADMIN


def test_a_refresh_token_and_an_access_token_do_not_pass_for_each_other() -> None:
    for made, wanted in ((Audience.REFRESH, Audience.API), (Audience.API, Audience.REFRESH)):
        token = tokens().issue("ann", Role.ADMIN, ttl_s=60, audience=made).token
        assert tokens().read(token, made).username == "ann"
        with pytest.raises(AccessError):
            tokens().read(token, wanted)


def test_a_token_of_an_older_key_is_believed_as_long_as_the_key_is_there() -> None:
    newest = secrets.token_urlsafe(48)
    old = tokens().issue("ann", Role.VIEWER, ttl_s=60).token
    both, new = KeyRing(f"{newest}\n{SECRET}"), KeyRing(newest)
    assert tokens(both).read(old).username == "ann"
    assert tokens(new).read(tokens(both).issue("ann", Role.VIEWER, ttl_s=60).token).username == "ann"
    with pytest.raises(AccessError):
        tokens(new).read(old)


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
    ("an id that is a number", {"jti": 7}),
    ("a session that is a number", {"sid": 7}),
    ("a generation that is text", {"gen": "1"}),
    ("from the future", {"iat": NOW_S + 11}),
    ("not yet good", {"nbf": NOW_S + 11}),
    ("good from a text on", {"nbf": "now"}),
    *((f"no {name}", {name: ...}) for name in CLAIMS),
]


@pytest.mark.parametrize(("_name", "changed"), FORGED, ids=[name for name, _ in FORGED])
def test_a_token_with_other_claims_is_refused(_name: str, changed: dict[str, Any]) -> None:
    claims = {key: value for key, value in (CLAIMS | changed).items() if value is not ...}
    # Through the signature layer: the claims layer refuses to make some of these.
    token = jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, "HS256", headers=KID)
    with pytest.raises(AccessError):
        tokens().read(token)


def unsigned(header: dict[str, object]) -> str:
    parts = (json.dumps(part).encode() for part in (header, CLAIMS))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + "."


GOOD = jwt.encode(CLAIMS, SECRET, "HS256", headers=KID)
HEAD, BODY, SIGNATURE = GOOD.split(".")
OTHER_SECRET = "another key of more than 32 bytes!"


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é.é.é",
        "\ud800",
        "." * 5000,
        GOOD + "A" * 5000,
        jwt.encode(CLAIMS, OTHER_SECRET, "HS256", headers=KID),
        jwt.encode(CLAIMS, OTHER_SECRET, "HS256", headers={"kid": KeyRing(OTHER_SECRET).newest.kid}),
        jwt.encode(CLAIMS, SECRET, "HS256"),
        jwt.encode(CLAIMS, SECRET, "HS256", headers={"kid": ""}),
        jwt.encode(CLAIMS, SECRET * 2, "HS512", headers=KID),
        jwt.encode(CLAIMS, "", "none", headers=KID),
        unsigned({"alg": "none", **KID}),
        unsigned({"alg": "NONE", **KID}),
        unsigned({"alg": "HS256", **KID}),
        unsigned({"alg": "RS256", "jwk": {"kty": "oct", "k": "AA"}, **KID}),
        GOOD[:-2],
        f"{HEAD}.{BODY}.",
        f"{HEAD}.{unsigned({}).split('.')[1]}x.{SIGNATURE}",
        f"{unsigned({'alg': 'HS384', **KID}).split('.')[0]}.{BODY}.{SIGNATURE}",
    ],
    ids=range(21),
)
def test_a_token_not_signed_by_us_is_refused(token: str) -> None:
    with pytest.raises(AccessError):
        tokens().read(token)
