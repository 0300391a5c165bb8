"""Logging in."""

from derms.api.schemas.auth import LoginIn, LoginOut
from derms.client.base import Caller


class AuthCalls(Caller):
    """Logging in."""

    async def login(self, username: str, password: str) -> LoginOut:
        """Exchange a password for a token, and use it from now on."""
        granted = await self.call(
            "POST", "/api/auth/login", LoginOut, body=LoginIn(username=username, password=password)
        )
        self.token = granted.token
        return granted
