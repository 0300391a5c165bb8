"""What a role may do, and what those are told who may not. Pure."""

from derms.model import Role

_RANK = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}


def refusal(role: Role | None, needs: Role | None) -> str:
    """Why somebody may not; empty: they may.

    Args:
        role: Theirs; None: nobody is logged in.
        needs: The least that may; None: everybody.
    """
    if needs is None:
        return ""
    if role is None:
        return "log in first"
    if _RANK[role] >= _RANK[needs]:
        return ""
    return f"needs the role {needs.value}; you are {role.value}"
