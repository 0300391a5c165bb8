"""Logging in and out."""

from types import NoneType

from derms.api.schemas.auth import LoginIn, LoginOut, MeOut, OwnPasswordIn
from derms.client.base import Caller


class AuthCalls(Caller):
    """Logging in and out."""

    async def login(self, username: str, password: str) -> LoginOut:
        """Exchange a password for tokens, and use them from now on."""
        granted = await self.call(
            "POST", "/api/auth/login", LoginOut, body=LoginIn(username=username, password=password)
        )
        self.token, self.refresh_token = granted.token, granted.refresh_token
        return granted

    async def logout(self) -> None:
        """End the login."""
        await self.call("POST", "/api/auth/logout", NoneType)
        self.token = self.refresh_token = None

    async def me(self) -> MeOut:
        """Who the token belongs to."""
        return await self.call("GET", "/api/auth/me", MeOut)

    async def change_password(self, current: str, new: str) -> None:
        """Choose another password; all one's logins end, this one too."""
        body = OwnPasswordIn(current_password=current, new_password=new)
        await self.call("POST", "/api/auth/password", NoneType, body=body)
