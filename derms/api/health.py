"""`GET /api/health`, `GET /api/ready` and `GET /metrics`."""

from aiohttp import web

from derms.api.bodies import answer
from derms.api.routes import Route
from derms.api.schemas.health import HealthOut, ReadyOut
from derms.api.services import Services
from derms.model import Role


def routes(services: Services) -> list[Route]:
    """Health is open to all: it tells nothing about devices."""

    async def get_health(_: web.Request) -> web.Response:
        return answer(services.health.health())

    async def get_ready(_: web.Request) -> web.Response:
        told = services.health.ready()
        return answer(told, status=200 if told.ready else 503)

    return [
        Route(
            method="GET", path="/api/ready", handler=get_ready, role=None,
            summary="Whether it can do all it is for; 503 when not", answer=ReadyOut, also=(503,),
        ),
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
            media="text/plain", token=services.scrape_token,
        ),
    ]  # fmt: skip
