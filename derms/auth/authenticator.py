"""Logs users in and out, and tells who a token belongs to."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Sequence

from derms.accounts import AccountStore, User
from derms.auth.hashing import Hashing
from derms.auth.keys import KeyRing
from derms.auth.passwords import Passwords
from derms.auth.principal import Principal, principal_of
from derms.auth.sessions import STORE_PATIENCE_S, Grant, Sessions, refused
from derms.auth.throttle import Attempt, Throttle
from derms.auth.tokens import LOG_IN, Audience, IssuedToken, Tokens, load_library
from derms.auth.trail import UNKNOWN, Trail
from derms.auth.users import Credential, Users
from derms.errors import AccessError, StoreError, ThrottledError, UnavailableError
from derms.model import Author, Role
from derms.ports import Clock

_CACHE_SIZE = 1024
_TIDY_S = 60.0
_QUIET_S = 1.0
"""So long after the beginning a start has nothing to do any more [s]."""


class Authenticator:
    """Logs in. Use as ``async with``: it reads the users and what ended, and ends the thread that hashes.

    Args:
        keys: Sign the tokens.
        store: Keeps users, sessions and the audit log.
        clock: Tells the time.
        access_ttl_s: How long an access token is good [s].
        session_ttl_s: How long a login can be refreshed, and a token made by `issue` is good [s].
        seeds: The users of the setting.
        passwords: How passwords are hashed.
        on_login: Told what became of each login: `granted`, `refused` or `held`.
    """

    def __init__(
        self,
        keys: KeyRing,
        *,
        store: AccountStore,
        clock: Clock,
        access_ttl_s: float,
        session_ttl_s: float,
        seeds: Sequence[Credential] = (),
        passwords: Passwords | None = None,
        on_login: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._session_ttl_s = session_ttl_s
        self._seeds = seeds
        self._on_login = on_login
        self._tokens = Tokens(keys, clock)
        self._hashing = Hashing(passwords or Passwords())
        self._throttle = Throttle(clock)
        self._trail = Trail(store)
        self._sessions = Sessions(
            store, self._tokens, self._trail, clock, access_ttl_s=access_ttl_s, session_ttl_s=session_ttl_s
        )
        self._verified: OrderedDict[str, Principal] = OrderedDict()
        self.users = Users(store, self._hashing, clock)
        """Who may log in."""

    async def __aenter__(self) -> "Authenticator":
        """Read what the store has."""
        try:
            await self.users.load(self._seeds)
            await self._sessions.load()
        except BaseException:
            self._hashing.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the thread, give up logins that wait, and tell the audit log the rest if it is there."""
        self._hashing.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STORE_PATIENCE_S):
                await self._trail.flush()

    async def run(self) -> None:
        """Load the rest of the library in a quiet moment; once a minute, `tidy`."""
        await asyncio.sleep(_QUIET_S)
        await asyncio.to_thread(load_library)
        while True:
            await asyncio.sleep(_TIDY_S)
            await self.tidy()

    async def tidy(self) -> None:
        """Tell the audit log of refused logins, forget what no longer matters, and look what the store has."""
        self._sessions.tidy()
        await self._trail.flush()
        with contextlib.suppress(StoreError):  # in a minute again
            await self.users.reload()
            await self._sessions.reload()

    async def login(self, username: str, password: str, *, by: Author) -> Grant:
        """Exchange a password for tokens.

        Args:
            username: Who says to be there.
            password: Theirs.
            by: The request, and from where.

        Raises:
            AccessError: Name or password is wrong, or the user is disabled; it is not said which.
            ThrottledError: It was tried too often.
            UnavailableError: Too many logins at once.
        """
        user = await self._checked(username, password, by.remote)
        grant = await self._sessions.open(user, Author(user.username, by.request_id, by.remote))
        self._on_login("granted")
        return grant

    async def refresh(self, token: str, *, by: Author) -> Grant:
        """Exchange a refresh token for the next tokens of its session, which lasts no longer by that.

        Raises:
            AccessError: It is not good, or was used before, which ends the session.
            StoreError: The store is away.
        """
        claims = self._tokens.read(token, Audience.REFRESH)
        user = self._standing(principal_of(claims))
        if user is None:
            raise refused("it belongs to no login")
        return await self._sessions.refresh(user, claims, Author(user.username, by.request_id, by.remote))

    async def logout(self, principal: Principal, *, by: Author) -> None:
        """End the login that a token belongs to, or the token when it belongs to none.

        Raises:
            StoreError: It is ended here, but not committed: after a restart it would be good again.
        """
        ended_id = principal.session_id or principal.token_id
        await self._sessions.end(ended_id, "auth.logout", principal.username, by)

    async def change_password(self, principal: Principal, current: str, new: str, *, by: Author) -> None:
        """Let users choose another password; all their logins end, this one too.

        Raises:
            AccessError: The current one is wrong.
            ThrottledError: It was tried too often.
            UsageError: The new one is refused.
        """
        user = await self._checked(principal.username, current, by.remote)
        await self.users.set_password(user.username, new, action="user.password", by=by)

    def issue(self, username: str, role: Role) -> IssuedToken:
        """Make a token without asking for a password; for the process's own use."""
        return self._tokens.issue(username, role, ttl_s=self._session_ttl_s)

    def verify(self, token: str) -> Principal:
        """Tell who a token belongs to.

        Raises:
            AccessError: It is not one of ours, or is over.
        """
        principal = self._verified.get(token)
        if principal is None:
            principal = principal_of(self._tokens.read(token))
            self._verified[token] = principal
            if len(self._verified) > _CACHE_SIZE:
                self._verified.popitem(last=False)
        else:
            self._verified.move_to_end(token)
        self.ensure_good(principal)
        return principal

    def ensure_good(self, principal: Principal) -> None:
        """Look again at one who was verified before; for what lasts, a stream say.

        Raises:
            AccessError: The token is over, was ended, or its user has changed.
        """
        self._standing(principal)

    def _standing(self, principal: Principal) -> User | None:
        """The user behind a token that is good now; None: there is none, the key's holder made it."""
        if self._tokens.is_over(principal.expires_s):
            raise AccessError("the token is over", why="its time has passed", next_step=LOG_IN)
        if self._sessions.has_ended(principal):
            raise refused("it was ended before its time")
        user = self.users.get(principal.username)
        if user is None:
            if principal.generation is not None:
                raise refused("its user is gone")
            return None
        if principal.generation is None:
            # It has whole seconds: one of the same second counts as older, which errs on the safe side.
            is_older = principal.issued_s < user.changed_at.timestamp()
        else:
            is_older = principal.generation != user.generation
        if user.disabled or is_older:
            raise refused("its user was changed since")
        return user

    async def _checked(self, username: str, password: str, remote: str) -> User:
        """The user, if the password is theirs."""
        attempt = self._begun(username, remote)
        user = self.users.get(username)
        try:
            checked = await self._hashing.check(password, None if user is None else user.password_hash)
        except UnavailableError:
            attempt.unmade()
            raise
        # Looked up again: they may have been changed while the password was hashed.
        now = self.users.get(username)
        if not checked.right or user is None or now is None or now.disabled or now.generation != user.generation:
            self._trail.refused(UNKNOWN if user is None else username, remote)
            self._on_login("refused")
            raise AccessError("login refused", why="name or password is wrong", next_step="check both and try again")
        attempt.succeeded()
        if checked.better is not None:
            with contextlib.suppress(UnavailableError):  # it stays as it is until the next login
                await self.users.rehash(now, checked.better)
        return now

    def _begun(self, username: str, remote: str) -> Attempt:
        try:
            return self._throttle.begin(username, remote)
        except ThrottledError:
            self._on_login("held")
            raise
