"""Who may log in, what of a login is remembered, and who did what: the values, and the ports they are kept through.

Implemented by `derms.store.users` and `derms.store.audit`; the fake is in `tests/fakes_accounts.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from derms.model import Author, Role


class UserSource(StrEnum):
    """Whose word counts about a user."""

    SETTINGS = "settings"
    """The setting `auth_users`: what it says at the next start is taken over."""
    API = "api"
    """The store: the user was made or changed through the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Someone who may log in."""

    username: str
    role: Role
    password_hash: str = field(repr=False)
    disabled: bool = False
    source: UserSource = UserSource.API
    seed: str | None = field(default=None, repr=False)
    """The hash that the setting gave; None: it gave the password itself, or there is none."""
    generation: int = 1
    """Rises with each change that ends the user's tokens; they carry it."""
    created_at: datetime
    changed_at: datetime
    """When role, password or `disabled` last changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """What is to be changed of a user; None: stays."""

    role: Role | None = None
    disabled: bool | None = None
    password_hash: str | None = field(default=None, repr=False)
    source: UserSource = UserSource.API
    seed: str | None = field(default=None, repr=False)
    """Taken over as it stands when a password hash is given."""
    at: datetime
    """When."""


def changed(user: User, change: UserChange) -> User:
    """The user after a change."""
    has_new_password = change.password_hash is not None
    return replace(
        user,
        role=user.role if change.role is None else change.role,
        disabled=user.disabled if change.disabled is None else change.disabled,
        password_hash=change.password_hash if change.password_hash is not None else user.password_hash,
        seed=change.seed if has_new_password else user.seed,
        source=change.source,
        generation=user.generation + 1,
        changed_at=change.at,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login, for as long as it can be refreshed."""

    session_id: str
    username: str
    remote: str
    turn: int = 1
    """The number of the one refresh token that is good."""
    opened_at: datetime
    expires_at: datetime


class Turned(StrEnum):
    """What became of a refresh token."""

    TURNED = "turned"
    """It was good, and the next one is now."""
    SPENT = "spent"
    """It was used before: somebody else has it."""
    GONE = "gone"
    """Its session is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something for the audit log that changes nothing in the store."""

    actor: str
    action: str
    subject: str
    remote: str
    after: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One line of the audit log."""

    audit_id: int
    at: datetime
    actor: str
    action: str
    subject: str
    request_id: str
    remote: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which lines are asked for; None: any."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    """The instant is not inside."""
    below: int | None = None
    """Only lines with a smaller id."""
    limit: int = 100


class UserStore(Protocol):
    """Users. Every change but a better hash is committed together with its line in the audit log."""

    async def load_users(self) -> list[User]:
        """All of them, by name."""
        ...

    async def add_user(self, user: User, *, by: Author) -> None:
        """Commit a new user.

        Raises:
            ConflictError: The name exists.
            StoreError: It is not committed.
        """
        ...

    async def change_user(
        self, username: str, change: UserChange, *, action: str, by: Author, keep_an_admin: bool = True
    ) -> User:
        """Commit a change, end the user's sessions, and raise the generation.

        Args:
            username: Whose.
            change: What.
            action: As the audit log calls it.
            by: Who asks.
            keep_an_admin: Refuse when no admin who may log in would be left.

        Returns:
            The user as it is now.

        Raises:
            NotFoundError: There is no such user.
            ConflictError: It would be the last admin.
            StoreError: It is not committed.
        """
        ...

    async def rehash_user(self, username: str, old: str, new: str) -> None:
        """Replace a password's hash by a better one of the same password; not when it is no longer `old`."""
        ...


class SessionStore(Protocol):
    """What of logins must outlast a restart."""

    async def open_session(self, session: Session, *, keep: int, by: Author) -> list[str]:
        """Commit a session with its line in the audit log, and forget what is over.

        Args:
            session: The new one.
            keep: How many the user may have; beyond it the oldest end.
            by: Who logs in.

        Returns:
            The ids of the sessions that ended.

        Raises:
            NotFoundError: There is no such user.
        """
        ...

    async def turn_session(self, session_id: str, turn: int, *, now: datetime) -> Turned:
        """Take a refresh token in for the next one; of two who come with the same one turns it."""
        ...

    async def end_session(self, ended_id: str, until: datetime, *, subject: str, action: str, by: Author) -> None:
        """End a session, or a token that belongs to none, with a line in the audit log; twice is no error.

        Args:
            ended_id: The session's id or the token's.
            until: How long it must be remembered.
            subject: Whose it is.
            action: As the audit log calls it.
            by: Who asks.
        """
        ...

    async def load_ended(self, now: datetime) -> dict[str, datetime]:
        """What was ended before its time: id -> until when that matters."""
        ...


class AuditStore(Protocol):
    """The audit log, which only grows."""

    async def read_audit(self, asked: AuditFilter) -> list[AuditLine]:
        """Lines, newest first."""
        ...

    async def note_all(self, notes: Sequence[Note]) -> None:
        """Commit lines together."""
        ...


class AccountStore(UserStore, SessionStore, AuditStore, Protocol):
    """All that logging in needs."""
