"""Users."""

import msgspec
from msgspec import UNSET, UnsetType

from derms.accounts import User, UserSource
from derms.api.paging import PageQuery
from derms.api.schemas.auth import NameText, PasswordText
from derms.api.schemas.common import Instant
from derms.model import Role


class UserOut(msgspec.Struct, frozen=True, kw_only=True):
    """Someone who may log in."""

    username: str
    role: Role
    disabled: bool
    """Whether they may not log in now."""
    source: UserSource
    """Whose word counts: the setting `auth_users`, or what was done here."""
    created_at: Instant
    changed_at: Instant
    """When role, password or `disabled` last changed."""


class UsersOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/users`."""

    users: list[UserOut]
    next_cursor: str | None = None


class UsersQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which users."""

    role: Role | None = None
    disabled: bool | None = None


class UserIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /api/users`."""

    username: NameText
    """Up to 64 letters, digits, `.`, `_`, `@` and `-`; begins with a letter or a digit."""
    password: PasswordText
    """12 to 256 characters, whatever they are; not the user's name, not one that everybody tries first."""
    role: Role = Role.VIEWER

    def __repr__(self) -> str:
        """Without the password."""
        return f"UserIn(username={self.username!r}, role={self.role.value!r})"


class UserPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`PATCH /api/users/{username}`."""

    role: Role | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET


class ResetIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /api/users/{username}/reset`."""

    password: PasswordText
    """The new one; see `POST /api/users`."""

    def __repr__(self) -> str:
        """Without the password."""
        return "ResetIn()"


def user_out(user: User) -> UserOut:
    """What is told of a user: never a hash."""
    return UserOut(
        username=user.username,
        role=user.role,
        disabled=user.disabled,
        source=user.source,
        created_at=user.created_at,
        changed_at=user.changed_at,
    )
