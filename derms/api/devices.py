"""`GET /api/devices`."""

from aiohttp import web

from derms.api.middleware import Route, answer
from derms.api.schemas import DevicesOut
from derms.api.view import ControllerView
from derms.model import Role


def routes(view: ControllerView) -> list[Route]:
    """The devices, from memory."""

    async def get_devices(_: web.Request) -> web.Response:
        return answer(DevicesOut(devices=view.devices()))

    return [Route(method="GET", path="/api/devices", handler=get_devices, role=Role.VIEWER)]
