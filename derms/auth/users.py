"""Who may log in: the store's users, kept in memory, and the setting that seeds them.

The setting `auth_users` is the authority over the users it names, until one is changed through the API: from then on
the store's word counts (`UserSource`). At the start a user of the setting who is not there yet is made, one
whose role or password is another in the setting is changed, and one whom it no longer names is disabled.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from derms.accounts import User, UserChange, UserSource, UserStore
from derms.auth.hashing import Hashing
from derms.auth.passwords import check_password, is_hash
from derms.errors import ConfigError, ConflictError, NotFoundError, UsageError
from derms.model import Author, Role
from derms.ports import Clock

_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_START = Author("settings", "start")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """A user of the setting: with a password, or with its hash."""

    username: str
    role: Role
    password: str | None = field(default=None, repr=False)
    password_hash: str | None = field(default=None, repr=False)


class Users:
    """The users.

    Args:
        store: Where they are kept.
        hashing: For their passwords.
        clock: Tells the time.
    """

    def __init__(self, store: UserStore, hashing: Hashing, clock: Clock) -> None:
        self._store = store
        self._hashing = hashing
        self._clock = clock
        self._known: dict[str, User] = {}

    def get(self, username: str) -> User | None:
        """The user of that name."""
        return self._known.get(username)

    def all(self) -> list[User]:
        """All of them, by name."""
        return [self._known[name] for name in sorted(self._known)]

    async def load(self, seeds: Sequence[Credential]) -> None:
        """Read the users, and bring those of the setting up to date.

        Raises:
            ConfigError: A user stands in the setting twice, or without a password.
            StoreError: The store is away.
        """
        check_seeds(seeds)
        self._known = {user.username: user for user in await self._store.load_users()}
        for seed in seeds:
            await self._seed(seed)
        named = {seed.username for seed in seeds}
        for user in self.all():
            if user.source is UserSource.SETTINGS and user.username not in named and not user.disabled:
                change = UserChange(disabled=True, source=UserSource.SETTINGS, at=self._now())
                await self._change(user.username, change, "user.unlist", _START, keep_an_admin=False)

    async def reload(self) -> None:
        """Take in what another process changed, or what was committed without our hearing of it.

        Raises:
            StoreError: The store is away.
        """
        for user in await self._store.load_users():
            known = self._known.get(user.username)
            # One that was changed here while we asked is newer.
            if known is None or user.generation > known.generation:
                self._known[user.username] = user

    async def add(self, username: str, password: str, role: Role, *, by: Author) -> User:
        """Make a user.

        Raises:
            UsageError: The name or the password is refused.
            ConflictError: The name exists, or one that differs in capitals alone.
        """
        if not _USERNAME.fullmatch(username):
            raise UsageError(
                f"username is {username[:80]!r}",
                why="it has up to 64 letters, digits, '.', '_', '@' and '-', and begins with a letter or a digit",
                next_step="choose another name",
            )
        twin = next((name for name in self._known if name.casefold() == username.casefold()), None)
        if twin is not None:
            raise ConflictError(
                f"the user {twin!r} exists", why="each name is taken once", next_step="choose another name"
            )
        check_password(username, password)
        now = self._now()
        user = User(
            username=username,
            role=role,
            password_hash=await self._hashing.hash(password),
            created_at=now,
            changed_at=now,
        )
        await self._store.add_user(user, by=by)
        self._known[username] = user
        return user

    async def change(self, username: str, *, role: Role | None, disabled: bool | None, by: Author) -> User:
        """Change what a user may; what they were given before ends at once.

        Raises:
            NotFoundError: There is no such user.
            ConflictError: It would leave no admin who may log in.
        """
        user = self._named(username)
        if role in (None, user.role) and disabled in (None, user.disabled):
            return user
        return await self._change(username, UserChange(role=role, disabled=disabled, at=self._now()), "user.change", by)

    async def set_password(self, username: str, password: str, *, action: str, by: Author) -> User:
        """Give a user another password; what they were given before ends at once.

        Raises:
            NotFoundError: There is no such user.
            UsageError: The password is refused.
        """
        self._named(username)
        check_password(username, password)
        hashed = await self._hashing.hash(password)
        return await self._change(username, UserChange(password_hash=hashed, at=self._now()), action, by)

    async def rehash(self, user: User, better: str) -> None:
        """Replace a weak hash of the same password."""
        await self._store.rehash_user(user.username, user.password_hash, better)
        if self._known.get(user.username) is user:
            self._known[user.username] = replace(user, password_hash=better)

    async def _seed(self, seed: Credential) -> None:
        known, now = self._known.get(seed.username), self._now()
        if seed.password is not None:
            _warn_of_weak(seed.username, seed.password)
        if known is None:
            user = User(
                username=seed.username,
                role=seed.role,
                password_hash=await self._hashed(seed),
                source=UserSource.SETTINGS,
                seed=seed.password_hash,
                created_at=now,
                changed_at=now,
            )
            await self._store.add_user(user, by=_START)
            self._known[seed.username] = user
            return
        if known.source is UserSource.API:
            _log.info(
                "a user of the setting was changed through the API: the store's word counts",
                extra={"username": seed.username},
            )
            return
        same = await self._is_same(seed, known)
        if not same or known.role is not seed.role or known.disabled:
            change = UserChange(
                role=seed.role,
                disabled=False,
                password_hash=None if same else await self._hashed(seed),
                source=UserSource.SETTINGS,
                seed=seed.password_hash,
                at=now,
            )
            await self._change(seed.username, change, "user.seed", _START, keep_an_admin=False)

    async def _is_same(self, seed: Credential, known: User) -> bool:
        """Whether the setting still has the password that the store has a hash of."""
        if seed.password_hash is not None or known.seed is not None:
            return seed.password_hash == known.seed
        return (await self._hashing.check(seed.password or "", known.password_hash)).right

    async def _hashed(self, seed: Credential) -> str:
        return seed.password_hash or await self._hashing.hash(seed.password or "")

    async def _change(
        self, username: str, change: UserChange, action: str, by: Author, *, keep_an_admin: bool = True
    ) -> User:
        user = await self._store.change_user(username, change, action=action, by=by, keep_an_admin=keep_an_admin)
        self._known[username] = user
        return user

    def _named(self, username: str) -> User:
        user = self._known.get(username)
        if user is None:
            raise NotFoundError(
                f"there is no user {username[:64]!r}",
                why="no user goes by that name",
                next_step="list the users, and name one of them",
            )
        return user

    def _now(self) -> datetime:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=self._clock.now_ms())


def check_seeds(seeds: Sequence[Credential]) -> None:
    """Refuse users of the setting that cannot be meant.

    Raises:
        ConfigError: One stands there twice, or has not one password or hash.
    """
    names = [seed.username for seed in seeds]
    for seed in seeds:
        hash_is_one = seed.password_hash is None or is_hash(seed.password_hash)
        if names.count(seed.username) > 1 or bool(seed.password) == bool(seed.password_hash) or not hash_is_one:
            raise ConfigError(
                f"the user {seed.username!r} is wrong",
                why="each user stands there once, with a password or a hash of one (argon2 or scrypt:)",
                next_step="correct DERMS_AUTH_USERS",
            )


def _warn_of_weak(username: str, password: str) -> None:
    try:
        check_password(username, password)
    except UsageError as error:
        _log.warning(
            "a password in the settings is weak; the API would refuse it",
            extra={"username": username, "why": error.why},
        )
