"""`/api/auth`."""

from aiohttp import web

from derms.api.bodies import answer, read_body
from derms.api.routes import Route
from derms.api.schemas.auth import LoginIn, LoginOut
from derms.api.services import Services


def routes(services: Services) -> list[Route]:
    """A password for a token."""

    async def post_login(request: web.Request) -> web.Response:
        asked = await read_body(request, LoginIn)
        issued = await services.authenticator.login(asked.username, asked.password)
        return answer(LoginOut(token=issued.token, role=issued.role, expires_at=issued.expires_at))

    return [
        Route(
            method="POST", path="/api/auth/login", handler=post_login, role=None, summary="A password for a token",
            body=LoginIn, answer=LoginOut, problems=(401, 503),
        ),
    ]  # fmt: skip
