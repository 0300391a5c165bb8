"""`POST /api/auth/login`."""

from aiohttp import web

from derms.api.middleware import Route, answer, read_body
from derms.api.schemas import LoginIn, LoginOut
from derms.auth import Authenticator


def routes(authenticator: Authenticator) -> list[Route]:
    """A password for a token."""

    async def post_login(request: web.Request) -> web.Response:
        asked = await read_body(request, LoginIn)
        issued = await authenticator.login(asked.username, asked.password)
        return answer(LoginOut(token=issued.token, role=issued.role, expires_at=issued.expires_at))

    return [Route(method="POST", path="/api/auth/login", handler=post_login, role=None)]
