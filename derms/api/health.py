"""`GET /api/health` and `GET /metrics`."""

from aiohttp import web

from derms.api.bodies import answer
from derms.api.routes import Route
from derms.api.schemas.health import HealthOut
from derms.api.services import Services
from derms.model import Role


def routes(services: Services) -> list[Route]:
    """Health is open to all: it tells nothing about devices."""

    async def get_health(_: web.Request) -> web.Response:
        return answer(services.health.health())

    return [
        Route(
            method="GET", path="/api/health", handler=get_health, role=None, summary="How the daemon does",
            answer=HealthOut,
        ),
    ]  # fmt: skip


def metrics_routes(services: Services) -> list[Route]:
    """The Prometheus exposition."""

    async def get_metrics(_: web.Request) -> web.Response:
        metrics = services.metrics
        return web.Response(body=metrics.expose(), headers={"Content-Type": metrics.content_type})

    return [
        Route(
            method="GET", path="/metrics", handler=get_metrics, role=Role.VIEWER, summary="Prometheus metrics",
            media="text/plain",
        ),
    ]  # fmt: skip
