"""`GET /api/feeder/summary`."""

from aiohttp import web

from derms.api.middleware import Route, answer
from derms.api.schemas import FeedersOut
from derms.api.view import ControllerView
from derms.model import Role


def routes(view: ControllerView) -> list[Route]:
    """The feeders, from memory."""

    async def get_summary(_: web.Request) -> web.Response:
        return answer(FeedersOut(feeders=view.feeders()))

    return [Route(method="GET", path="/api/feeder/summary", handler=get_summary, role=Role.VIEWER)]
