"""Logging in and out."""

from typing import Annotated

import msgspec

from derms.api.schemas.common import Instant
from derms.model import Role

NameText = Annotated[str, msgspec.Meta(max_length=64)]
PasswordText = Annotated[str, msgspec.Meta(max_length=1024)]
TokenText = Annotated[str, msgspec.Meta(max_length=4096)]


class LoginIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /api/auth/login`."""

    username: NameText
    password: PasswordText

    def __repr__(self) -> str:
        """Without the password."""
        return f"LoginIn(username={self.username!r})"


class RefreshIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /api/auth/refresh`."""

    refresh_token: TokenText
    """The newest one; each is good once."""

    def __repr__(self) -> str:
        """Without the token."""
        return "RefreshIn()"


class LoginOut(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens and what they are good for."""

    token: str
    """The access token, for `Authorization: Bearer`."""
    role: Role
    expires_at: Instant
    """When the access token ends."""
    refresh_token: str | None = None
    """For `POST /api/auth/refresh`; null: the store is away, and this login cannot be refreshed."""
    refresh_expires_at: Instant | None = None
    """When the login ends, however often it is refreshed."""

    def __repr__(self) -> str:
        """Without the tokens."""
        return f"LoginOut(role={self.role.value!r}, expires_at={self.expires_at.isoformat()!r})"


class MeOut(msgspec.Struct, frozen=True, kw_only=True):
    """Who a token belongs to."""

    username: str
    role: Role
    expires_at: Instant
    """When the token ends."""
    refreshable: bool
    """Whether it came with a refresh token."""


class OwnPasswordIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /api/auth/password`."""

    current_password: PasswordText
    new_password: PasswordText
    """12 to 256 characters, whatever they are; not the user's name, not one that everybody tries first."""

    def __repr__(self) -> str:
        """Without the passwords."""
        return "OwnPasswordIn()"
