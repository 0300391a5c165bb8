"""`GET /api/health` and `GET /metrics`."""

from aiohttp import web

from derms.api.middleware import Route, answer
from derms.api.view import ControllerView
from derms.metrics import Metrics
from derms.model import Role


def routes(view: ControllerView) -> list[Route]:
    """Health is open to all: it tells nothing about devices."""

    async def get_health(_: web.Request) -> web.Response:
        return answer(view.health())

    return [Route(method="GET", path="/api/health", handler=get_health, role=None)]


def metrics_routes(metrics: Metrics) -> list[Route]:
    """The Prometheus exposition."""

    async def get_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.expose(), headers={"Content-Type": metrics.content_type})

    return [Route(method="GET", path="/metrics", handler=get_metrics, role=Role.VIEWER)]
