"""Logging in."""

import msgspec

from derms.api.schemas.common import Instant
from derms.model import Role


class LoginIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /api/auth/login`."""

    username: str
    password: str

    def __repr__(self) -> str:
        """Without the password."""
        return f"LoginIn(username={self.username!r})"


class LoginOut(msgspec.Struct, frozen=True, kw_only=True):
    """A token and what it is good for."""

    token: str
    role: Role
    expires_at: Instant

    def __repr__(self) -> str:
        """Without the token."""
        return f"LoginOut(role={self.role.value!r}, expires_at={self.expires_at.isoformat()!r})"
