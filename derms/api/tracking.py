"""`/api/metrics/tracking-error`: how well devices follow, from memory."""

from aiohttp import web

from derms.api.bodies import answer, read_query
from derms.api.checks import check_feeder, no_device
from derms.api.routes import Route
from derms.api.schemas.tracking import TrackingOut, TrackingQuery
from derms.api.services import Services
from derms.model import Role


def routes(services: Services) -> list[Route]:
    """The rolling mean of what devices draw less what they are to draw."""

    async def get_tracking(request: web.Request) -> web.Response:
        query = read_query(request, TrackingQuery)
        if query.feeder_id is not None:
            check_feeder(query.feeder_id, services.feeders.feeder_ids())
        if query.device_id is not None and services.registry.device(query.device_id) is None:
            raise no_device(query.device_id)
        return answer(services.tracking.errors(query))

    return [
        Route(
            method="GET", path="/api/metrics/tracking-error", handler=get_tracking, role=Role.VIEWER,
            summary="How well devices follow their setpoints", query=TrackingQuery, answer=TrackingOut, problems=(404,),
        ),
    ]  # fmt: skip
