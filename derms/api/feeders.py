"""`/api/feeder` and `/api/feeders`."""

from aiohttp import web

from derms.api.bodies import answer
from derms.api.routes import Route
from derms.api.schemas.feeders import FeedersOut
from derms.api.services import Services
from derms.model import Role


def routes(services: Services) -> list[Route]:
    """The feeders, from memory."""

    async def get_summary(_: web.Request) -> web.Response:
        return answer(FeedersOut(feeders=services.feeders.feeders()))

    return [
        Route(
            method="GET", path="/api/feeder/summary", handler=get_summary, role=Role.VIEWER,
            summary="All feeders as their last tick saw them", answer=FeedersOut,
        ),
    ]  # fmt: skip
