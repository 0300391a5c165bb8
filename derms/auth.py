"""Passwords, tokens, roles; the only door to PyJWT.

A token is HS256 and nothing else, and has `iss`, `aud`, `sub`, `role`, `iat`, `exp` and `jti`. Its times are judged on
the injected clock. Roles are ordered: viewer < operator < admin.
"""

import asyncio
import contextlib
import hashlib
import hmac
import math
import os
import secrets
import stat
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import jwt

from derms.errors import AccessError, ConfigError, UnavailableError
from derms.model import Role
from derms.ports import Clock

MIN_SECRET_BYTES = 32
"""An HS256 key shorter than the hash can be guessed off line."""

_ALGORITHM = "HS256"
_ISSUER = "derms"
_AUDIENCE = "derms-api"
_LEEWAY_S = 10
_CACHE_SIZE = 1024
_LOGINS_AT_ONCE = 8
_LOG_IN = "log in again, POST /api/auth/login, or make one with `derms token`"
_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Someone who may log in."""

    username: str
    password: str = field(repr=False)
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks."""

    username: str
    role: Role
    expires_s: int
    """When the token ends [epoch s]."""

    def may(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        return _RANK[self.role] >= _RANK[needed]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A new token."""

    token: str = field(repr=False)
    role: Role
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Hashed:
    salt: bytes
    digest: bytes
    role: Role


class Authenticator:
    """Logs users in and tells who a token belongs to.

    Use as ``async with``: passwords are hashed on one thread of its own, which ends with it.

    Args:
        secret: Signs the tokens; at least `MIN_SECRET_BYTES` bytes.
        ttl_h: How long a token is good [h].
        clock: Tells the time.
        users: Who may log in.

    Raises:
        ConfigError: The secret is too short, a user stands there twice, or a password is empty.
    """

    def __init__(self, secret: str, *, ttl_h: float, clock: Clock, users: Sequence[Credential] = ()) -> None:
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise ConfigError(
                f"the token secret has {len(secret.encode())} bytes",
                why=f"a secret that signs tokens needs at least {MIN_SECRET_BYTES}",
                next_step="set DERMS_JWT_SECRET to a longer random text, or leave it out to have one generated",
            )
        self._secret = secret
        self._ttl_s = math.ceil(ttl_h * 3600)
        self._clock = clock
        self._users: dict[str, _Hashed] = {}
        for user in users:
            if user.username in self._users or not user.password:
                raise ConfigError(
                    f"the user {user.username!r} is wrong",
                    why="each user stands there once and has a password",
                    next_step="correct DERMS_AUTH_USERS",
                )
            salt = secrets.token_bytes(16)
            self._users[user.username] = _Hashed(salt, _hash(user.password, salt), user.role)
        # Against whom unknown names are checked, so that they take as long as known ones.
        self._nobody = _Hashed(secrets.token_bytes(16), secrets.token_bytes(32), Role.VIEWER)
        self._verified: OrderedDict[str, Principal] = OrderedDict()
        self._logins = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="derms-login")

    async def __aenter__(self) -> "Authenticator":
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the thread; logins still waiting are given up."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def login(self, username: str, password: str) -> IssuedToken:
        """Exchange a password for a token.

        Raises:
            AccessError: Name or password is wrong; it is not said which.
            UnavailableError: Too many logins at once.
        """
        if self._logins >= _LOGINS_AT_ONCE:
            raise UnavailableError(
                "too many logins at once",
                why=f"at most {_LOGINS_AT_ONCE} are checked at a time",
                next_step="try again in a second",
            )
        user = self._users.get(username, self._nobody)
        self._logins += 1
        try:
            digest = await asyncio.get_running_loop().run_in_executor(self._thread, _hash, password, user.salt)
        finally:
            self._logins -= 1
        if not hmac.compare_digest(digest, user.digest) or user is self._nobody:
            raise AccessError("login refused", why="name or password is wrong", next_step="check both and try again")
        return self.issue(username, user.role)

    def issue(self, username: str, role: Role) -> IssuedToken:
        """Make a token without asking for a password; for the process's own use."""
        now_s = self._clock.now_ms() // 1000
        expires_s = now_s + self._ttl_s
        claims = {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": username,
            "role": role.value,
            "iat": now_s,
            "exp": expires_s,
            "jti": secrets.token_hex(16),
        }
        token = jwt.encode(claims, self._secret, algorithm=_ALGORITHM)
        return IssuedToken(token=token, role=role, expires_at=datetime.fromtimestamp(expires_s, UTC))

    def verify(self, token: str) -> Principal:
        """Tell who a token belongs to.

        Raises:
            AccessError: It is not one of ours, or is over.
        """
        principal = self._verified.get(token)
        if principal is None:
            principal = self._decode(token)
            self._verified[token] = principal
            if len(self._verified) > _CACHE_SIZE:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(token)
        if self._clock.now_ms() >= (principal.expires_s + _LEEWAY_S) * 1000:
            del self._verified[token]
            raise AccessError("the token is over", why="its time has passed", next_step=_LOG_IN)
        return principal

    def _decode(self, token: str) -> Principal:
        refused = AccessError("the token is refused", why="it is not one this controller made", next_step=_LOG_IN)
        # Times are checked here and not by the library, which knows only the machine's clock.
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                issuer=_ISSUER,
                options={
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "strict_aud": True,
                    "require": ["iss", "aud", "sub", "iat", "exp", "jti"],
                },
            )
            issued_s, expires_s, role = claims["iat"], claims["exp"], Role(claims["role"])
        except (jwt.PyJWTError, KeyError, ValueError) as error:
            raise refused from error
        if type(issued_s) is not int or type(expires_s) is not int or claims.get("nbf") is not None:
            raise refused
        if issued_s * 1000 > self._clock.now_ms() + _LEEWAY_S * 1000:
            raise AccessError("the token is refused", why="it is from the future", next_step=_LOG_IN)
        return Principal(username=claims["sub"], role=role, expires_s=expires_s)


def _hash(password: str, salt: bytes) -> bytes:
    """About 50 ms and 16 MiB: a login is rare, a stolen table must stay expensive."""
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=2**14, r=8, p=1, dklen=32)


def load_or_create_secret(path: Path) -> str:
    """Read the token secret, or make one: 0600, in a directory that is made 0700, never overwriting one.

    Raises:
        ConfigError: The file cannot be read or made, is too short, or others may read it.
    """
    try:
        if not path.exists():
            _create_secret(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the token secret {path} cannot be read or made",
            why=str(error),
            next_step="correct its permissions, or set DERMS_JWT_SECRET",
        ) from error
    if mode & 0o077:
        raise ConfigError(
            f"the token secret {path} has mode {mode:04o}",
            why="others than its owner may read it",
            next_step=f"remove it to have a new one made, or run `chmod 600 {path}`",
        )
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"the token secret {path} has {len(secret)} characters",
            why=f"at least {MIN_SECRET_BYTES} are needed",
            next_step="remove the file to have a new one made",
        )
    return secret


def _create_secret(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: when another process was first, its secret stays.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
