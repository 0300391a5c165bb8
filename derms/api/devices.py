"""`/api/devices`."""

from aiohttp import web

from derms.api.bodies import answer
from derms.api.routes import Route
from derms.api.schemas.devices import DevicesOut
from derms.api.services import Services
from derms.model import Role


def routes(services: Services) -> list[Route]:
    """The devices, from memory."""

    async def get_devices(_: web.Request) -> web.Response:
        return answer(DevicesOut(devices=services.devices.devices()))

    return [
        Route(
            method="GET", path="/api/devices", handler=get_devices, role=Role.VIEWER, summary="All devices",
            answer=DevicesOut,
        ),
    ]  # fmt: skip
