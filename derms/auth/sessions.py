"""Sessions: what a login gives, how it is made to last, and how it ends.

A session has a short-lived access token, and a refresh token that is exchanged for the next two. Each refresh token is
good once. One that comes a second time was stolen, by whoever came first or second: it ends the session. What ended
before its time is kept in memory, and in the store for the next start.
"""

import asyncio
import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from derms.accounts import Note, Session, SessionStore, Turned, User
from derms.auth.principal import Principal
from derms.auth.tokens import LEEWAY_S, LOG_IN, Audience, Claims, IssuedToken, Tokens
from derms.auth.trail import Trail
from derms.errors import AccessError, StoreError
from derms.model import Author
from derms.ports import Clock

MAX_SESSIONS = 20
"""Of one user; beyond it the oldest end."""
STORE_PATIENCE_S = 3.0
"""What a login gives the store; then it does without [s]."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a login gives."""

    access: IssuedToken
    refresh: IssuedToken | None = None
    """None: the store is away, and the login ends with the access token."""


class Sessions:
    """The sessions.

    Args:
        store: Keeps what must outlast a restart.
        tokens: Makes the tokens.
        trail: For logins while the store is away.
        clock: Tells the time.
        access_ttl_s: How long an access token is good [s].
        session_ttl_s: How long a session lasts at most [s].
    """

    def __init__(
        self,
        store: SessionStore,
        tokens: Tokens,
        trail: Trail,
        clock: Clock,
        *,
        access_ttl_s: float,
        session_ttl_s: float,
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._trail = trail
        self._clock = clock
        self._access_ttl_s = min(access_ttl_s, session_ttl_s)
        self._session_ttl_s = session_ttl_s
        self._ended: dict[str, datetime] = {}

    async def load(self) -> None:
        """Read what ended before its time."""
        self._ended = await self._store.load_ended(self._now())

    def tidy(self) -> None:
        """Forget what is over by itself."""
        now = self._now()
        self._ended = {ended: until for ended, until in self._ended.items() if until > now}

    async def reload(self) -> None:
        """Take in what another process ended.

        Raises:
            StoreError: The store is away.
        """
        self._ended |= await self._store.load_ended(self._now())

    def has_ended(self, principal: Principal) -> bool:
        """Whether a token, or the session it belongs to, ended before its time."""
        return principal.token_id in self._ended or principal.session_id in self._ended

    async def open(self, user: User, by: Author) -> Grant:
        """Log a user in; while the store is away, for as long as one access token lasts."""
        now = self._now()
        expires_at = now + timedelta(seconds=self._session_ttl_s)
        session = Session(
            session_id=secrets.token_hex(16),
            username=user.username,
            remote=by.remote,
            opened_at=now,
            expires_at=expires_at,
        )
        try:
            async with asyncio.timeout(STORE_PATIENCE_S):
                ended = await self._store.open_session(session, keep=MAX_SESSIONS, by=by)
        except (StoreError, TimeoutError):
            # Whoever must look after a feeder while the database is away is let in all the same.
            self._trail.owe(Note(actor=user.username, action="auth.login", subject=user.username, remote=by.remote))
            return Grant(access=self._access(user, None, self._access_ttl_s))
        self._ended |= dict.fromkeys(ended, expires_at + timedelta(seconds=LEEWAY_S))
        return self._granted(user, session.session_id, session.turn, self._session_ttl_s)

    async def refresh(self, user: User, claims: Claims, by: Author) -> Grant:
        """Exchange a refresh token, known to be ours and in its time, for the next tokens.

        Raises:
            AccessError: It was used before, which ends the session, or the session has ended.
            StoreError: The store is away.
        """
        if claims.session_id is None or claims.turn is None:
            raise refused("it belongs to no login")
        turned = await self._store.turn_session(claims.session_id, claims.turn, now=self._now())
        if turned is Turned.SPENT:
            await self.end(claims.session_id, "auth.reuse", user.username, by)
            _log.warning("a refresh token came twice; its session is ended", extra={"username": user.username})
        if turned is not Turned.TURNED:
            raise refused("it was used before, or its login has ended")
        return self._granted(user, claims.session_id, claims.turn + 1, max(claims.expires_s - self._tokens.now_s, 1))

    async def end(self, ended_id: str, action: str, username: str, by: Author) -> None:
        """End a session, or a token that belongs to none.

        Raises:
            StoreError: It is ended here, but not committed: after a restart it would be good again.
        """
        until = self._now() + timedelta(seconds=self._session_ttl_s + LEEWAY_S)
        self._ended[ended_id] = until
        await self._store.end_session(ended_id, until, subject=username, action=action, by=by)

    def _granted(self, user: User, session_id: str, turn: int, left_s: float) -> Grant:
        refresh = self._tokens.issue(
            user.username,
            user.role,
            ttl_s=left_s,
            audience=Audience.REFRESH,
            session_id=session_id,
            generation=user.generation,
            turn=turn,
        )
        return Grant(access=self._access(user, session_id, min(self._access_ttl_s, left_s)), refresh=refresh)

    def _access(self, user: User, session_id: str | None, ttl_s: float) -> IssuedToken:
        return self._tokens.issue(
            user.username, user.role, ttl_s=ttl_s, session_id=session_id, generation=user.generation
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self._clock.now_ms())


def refused(why: str) -> AccessError:
    """Why a token of ours is not taken."""
    return AccessError("the token is refused", why=why, next_step=LOG_IN)
