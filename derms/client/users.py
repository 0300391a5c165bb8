"""Users; all of it needs the role admin."""

from types import NoneType

from msgspec import UNSET

from derms.api.schemas.users import ResetIn, UserIn, UserOut, UserPatch, UsersOut, UsersQuery
from derms.client.base import Caller, part
from derms.model import Role


class UserCalls(Caller):
    """Users."""

    async def users(self, query: UsersQuery | None = None) -> UsersOut:
        """Who may log in, a page of them."""
        return await self.call("GET", "/api/users", UsersOut, query=query)

    async def add_user(self, user: UserIn) -> UserOut:
        """Make a user; stored when this returns."""
        return await self.call("POST", "/api/users", UserOut, body=user)

    async def change_user(self, username: str, *, role: Role | None = None, disabled: bool | None = None) -> UserOut:
        """Change a role, or whether somebody may log in; all their tokens end."""
        patch = UserPatch(role=UNSET if role is None else role, disabled=UNSET if disabled is None else disabled)
        return await self.call("PATCH", f"/api/users/{part(username)}", UserOut, body=patch)

    async def reset_user(self, username: str, password: str) -> None:
        """Give somebody another password; all their tokens end."""
        await self.call("POST", f"/api/users/{part(username)}/reset", NoneType, body=ResetIn(password=password))
