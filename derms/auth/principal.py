"""Who asks, as a token says it. Roles are ordered: viewer < operator < admin."""

from dataclasses import dataclass

from derms.auth.tokens import Claims
from derms.model import Role

_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks."""

    username: str
    role: Role
    expires_s: int
    """When the token ends [epoch s]."""
    token_id: str
    session_id: str | None = None
    """None: the token was not got by a login, or while the store was away."""
    generation: int | None = None
    """Of the user; None: whoever holds the key made the token."""
    issued_s: int = 0
    """[epoch s]."""

    def may(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        return _RANK[self.role] >= _RANK[needed]


def principal_of(claims: Claims) -> Principal:
    """Whom a token is about."""
    return Principal(
        username=claims.username,
        role=claims.role,
        expires_s=claims.expires_s,
        token_id=claims.token_id,
        session_id=claims.session_id,
        generation=claims.generation,
        issued_s=claims.issued_s,
    )
