"""Tokens: what stands in them, and how they are made and read; the only door to PyJWT.

A token is HS256 and nothing else. It names its key (`kid`) and has `iss`, `aud`, `sub`, `role`, `iat`, `exp` and `jti`;
one that came of a login has `gen` too (the user's generation) and `sid` (the session). An access token and a refresh
token differ in `aud`, so that neither passes for the other. Times are judged on the injected clock, with `LEEWAY_S` of
tolerance for clocks that differ.
"""

import math
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from derms.auth.keys import KeyRing
from derms.errors import AccessError
from derms.model import Role
from derms.ports import Clock

LEEWAY_S = 10

_ALGORITHM = "HS256"
_ISSUER = "derms"
_MAX_LENGTH = 4096
LOG_IN = "log in again, POST /api/auth/login, or make one with `derms token`"
"""What to do about a token that is refused."""


def load_library() -> None:
    """Load what the first token would have to wait for, 50 ms; a start need not wait for it."""
    import jwt  # noqa: F401


class Audience(StrEnum):
    """What a token is for."""

    API = "derms-api"
    REFRESH = "derms-refresh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a token says."""

    username: str
    role: Role
    issued_s: int
    """[epoch s]."""
    expires_s: int
    """[epoch s]; the instant is not inside."""
    token_id: str
    session_id: str | None = None
    generation: int | None = None
    """The user's, at the login; None: whoever holds the key made it (`derms token`)."""
    turn: int | None = None
    """Of a refresh token: its number in the session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A new token."""

    token: str = field(repr=False)
    role: Role
    expires_at: datetime


class Tokens:
    """Makes and reads tokens.

    Args:
        keys: Sign them, and are believed.
        clock: Tells the time.
    """

    def __init__(self, keys: KeyRing, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    @property
    def now_s(self) -> int:
        """This instant [epoch s]."""
        return self._clock.now_ms() // 1000

    def issue(
        self,
        username: str,
        role: Role,
        *,
        ttl_s: float,
        audience: Audience = Audience.API,
        session_id: str | None = None,
        generation: int | None = None,
        turn: int | None = None,
    ) -> IssuedToken:
        """Make a token."""
        import jwt

        now_s = self.now_s
        expires_s = now_s + math.ceil(ttl_s)
        claims: dict[str, Any] = {
            "iss": _ISSUER,
            "aud": audience.value,
            "sub": username,
            "role": role.value,
            "iat": now_s,
            "exp": expires_s,
            "jti": secrets.token_hex(16),
            "sid": session_id,
            "gen": generation,
            "turn": turn,
        }
        key = self._keys.newest
        token = jwt.encode(
            {name: value for name, value in claims.items() if value is not None},
            key.secret,
            algorithm=_ALGORITHM,
            headers={"kid": key.kid},
        )
        return IssuedToken(token=token, role=role, expires_at=datetime.fromtimestamp(expires_s, UTC))

    def read(self, token: str, audience: Audience = Audience.API) -> Claims:
        """What a token says, once it is known to be ours; whether it is over is another question (`is_over`).

        Raises:
            AccessError: It is not one of ours.
        """
        import jwt

        refused = AccessError("the token is refused", why="it is not one this controller made", next_step=LOG_IN)
        if len(token) > _MAX_LENGTH:
            raise refused
        # Times are checked here and not by the library, which knows only the machine's clock.
        try:
            key = self._keys.get(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise refused
            claims = jwt.decode(
                token,
                key.secret,
                algorithms=[_ALGORITHM],
                audience=audience.value,
                issuer=_ISSUER,
                options={
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "strict_aud": True,
                    "require": ["iss", "aud", "sub", "iat", "exp", "jti"],
                },
            )
            said = Claims(
                username=claims["sub"],
                role=Role(claims["role"]),
                issued_s=_whole(claims["iat"]),
                expires_s=_whole(claims["exp"]),
                token_id=claims["jti"],
                session_id=_text(claims.get("sid")),
                generation=None if claims.get("gen") is None else _whole(claims["gen"]),
                turn=None if claims.get("turn") is None else _whole(claims["turn"]),
            )
            from_s = max(said.issued_s, _whole(claims.get("nbf", said.issued_s)))
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise refused from error
        if from_s * 1000 > self._clock.now_ms() + LEEWAY_S * 1000:
            raise AccessError("the token is refused", why="it is from the future", next_step=LOG_IN)
        return said

    def is_over(self, expires_s: int) -> bool:
        """Whether a token's time has passed."""
        return self._clock.now_ms() >= (expires_s + LEEWAY_S) * 1000


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ValueError("not a whole number")
    return value


def _text(value: object) -> str | None:
    if value is not None and type(value) is not str:
        raise ValueError("not a text")
    return value
