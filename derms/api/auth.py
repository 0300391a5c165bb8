"""`/api/auth`: a password for tokens, tokens for newer ones, and the end of them."""

from datetime import UTC, datetime

from aiohttp import web

from derms.api.bodies import answer, nothing, read_body
from derms.api.middleware import asker, author, stranger
from derms.api.routes import Route
from derms.api.schemas.auth import LoginIn, LoginOut, MeOut, OwnPasswordIn, RefreshIn
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.auth import Grant
from derms.model import Role


def routes(services: Services) -> list[Route]:
    """Logging in, staying in, leaving."""
    authenticator = services.authenticator

    async def post_login(request: web.Request) -> web.Response:
        asked = await read_body(request, LoginIn)
        return answer(_granted(await authenticator.login(asked.username, asked.password, by=stranger(request))))

    async def post_refresh(request: web.Request) -> web.Response:
        asked = await read_body(request, RefreshIn)
        async with store_answers("the login may not be refreshed", next_step="log in again"):
            return answer(_granted(await authenticator.refresh(asked.refresh_token, by=stranger(request))))

    async def post_logout(request: web.Request) -> web.Response:
        async with store_answers("the login has ended, but may be good again after a restart"):
            await authenticator.logout(asker(request), by=author(request))
        return nothing()

    async def get_me(request: web.Request) -> web.Response:
        me = asker(request)
        expires_at = datetime.fromtimestamp(me.expires_s, UTC)
        return answer(
            MeOut(username=me.username, role=me.role, expires_at=expires_at, refreshable=me.session_id is not None)
        )

    async def post_password(request: web.Request) -> web.Response:
        asked = await read_body(request, OwnPasswordIn)
        async with store_answers(
            "the password may not be changed", next_step="log in with the new one, else try again"
        ):
            await authenticator.change_password(
                asker(request), asked.current_password, asked.new_password, by=author(request)
            )
        return nothing()

    return [
        Route(
            method="POST", anywhere=True, path="/api/auth/login", handler=post_login, role=None,
            summary="A password for tokens", body=LoginIn, answer=LoginOut, problems=(401, 429, 503),
        ),
        Route(
            method="POST", anywhere=True, path="/api/auth/refresh", handler=post_refresh, role=None,
            summary="A refresh token for the next tokens", body=RefreshIn, answer=LoginOut, problems=(401, 503),
        ),
        Route(
            method="POST", anywhere=True, path="/api/auth/logout", handler=post_logout, role=Role.VIEWER,
            summary="End the login that the token belongs to", status=204, problems=(503,),
        ),
        Route(
            method="GET", path="/api/auth/me", handler=get_me, role=Role.VIEWER, summary="Who the token belongs to",
            answer=MeOut,
        ),
        Route(
            method="POST", anywhere=True, path="/api/auth/password", handler=post_password, role=Role.VIEWER,
            summary="Choose another password; all one's logins end", body=OwnPasswordIn, status=204,
            problems=(429, 503),
        ),
    ]  # fmt: skip


def _granted(grant: Grant) -> LoginOut:
    access, refresh = grant.access, grant.refresh
    return LoginOut(
        token=access.token,
        role=access.role,
        expires_at=access.expires_at,
        refresh_token=None if refresh is None else refresh.token,
        refresh_expires_at=None if refresh is None else refresh.expires_at,
    )
