"""`/api/users`: who may log in. All of it is the admins'."""

from aiohttp import web
from msgspec import UNSET

from derms.accounts import User
from derms.api.bodies import answer, nothing, read_body, read_query
from derms.api.middleware import author
from derms.api.paging import page_of
from derms.api.routes import Route
from derms.api.schemas.users import ResetIn, UserIn, UserOut, UserPatch, UsersOut, UsersQuery, user_out
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.errors import UsageError
from derms.model import Role

_NEXT = "list the users before sending it again"
_KEYS = {
    "username": lambda user: user.username,
    "role": lambda user: user.role.value,
    "created_at": lambda user: user.created_at,
    "changed_at": lambda user: user.changed_at,
}


def routes(services: Services) -> list[Route]:
    """Listing, making and changing users."""
    users = services.authenticator.users

    async def get_users(request: web.Request) -> web.Response:
        asked = read_query(request, UsersQuery)
        found = [user for user in users.all() if _fits(user, asked)]
        page, cursor = page_of(found, asked, _KEYS, lambda user: user.username)
        return answer(UsersOut(users=[user_out(user) for user in page], next_cursor=cursor))

    async def post_user(request: web.Request) -> web.Response:
        asked = await read_body(request, UserIn)
        async with store_answers("the user may not be stored", next_step=_NEXT):
            user = await users.add(asked.username, asked.password, asked.role, by=author(request))
        return answer(user_out(user), status=201)

    async def patch_user(request: web.Request) -> web.Response:
        asked = await read_body(request, UserPatch)
        role = None if asked.role is UNSET else asked.role
        disabled = None if asked.disabled is UNSET else asked.disabled
        if role is None and disabled is None:
            raise UsageError(
                "nothing is to be changed", why="a user has role and disabled to change", next_step="send one of them"
            )
        async with store_answers("the user may not be changed", next_step=_NEXT):
            user = await users.change(request.match_info["username"], role=role, disabled=disabled, by=author(request))
        return answer(user_out(user))

    async def post_reset(request: web.Request) -> web.Response:
        asked = await read_body(request, ResetIn)
        async with store_answers("the password may not be changed"):
            await users.set_password(
                request.match_info["username"], asked.password, action="user.reset", by=author(request)
            )
        return nothing()

    return [
        Route(
            method="GET", path="/api/users", handler=get_users, role=Role.ADMIN, summary="Who may log in",
            query=UsersQuery, answer=UsersOut,
        ),
        Route(
            method="POST", path="/api/users", handler=post_user, role=Role.ADMIN, summary="Make a user", body=UserIn,
            answer=UserOut, status=201, problems=(409, 503),
        ),
        Route(
            method="PATCH", path="/api/users/{username}", handler=patch_user, role=Role.ADMIN,
            summary="Change a user's role, or whether they may log in; all their tokens end", body=UserPatch,
            answer=UserOut, problems=(404, 409, 503),
        ),
        Route(
            method="POST", path="/api/users/{username}/reset", handler=post_reset, role=Role.ADMIN,
            summary="Give a user another password; all their tokens end", body=ResetIn, status=204,
            problems=(404, 503),
        ),
    ]  # fmt: skip


def _fits(user: User, asked: UsersQuery) -> bool:
    return asked.role in (None, user.role) and asked.disabled in (None, user.disabled)
