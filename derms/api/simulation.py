"""`/api/simulation/mode`: which hour the simulators play."""

from aiohttp import web

from derms.api.bodies import answer, read_body
from derms.api.middleware import author
from derms.api.routes import Route
from derms.api.schemas.simulation import SimulationModeIn, SimulationModeOut
from derms.api.services import Services
from derms.api.waiting import store_answers
from derms.model import Role


def routes(services: Services) -> list[Route]:
    """Looking at the mode and setting it; it reaches the simulators by the broker, which keeps it for later ones."""

    async def get_mode(_: web.Request) -> web.Response:
        return answer(SimulationModeOut(mode=services.simulation.mode))

    async def post_mode(request: web.Request) -> web.Response:
        asked = await read_body(request, SimulationModeIn)
        async with store_answers("the mode is not set"):
            await services.registrations.note(
                "simulation.mode", "simulation", after={"mode": asked.mode.value}, by=author(request)
            )
        await services.simulation.play(asked.mode)
        return answer(SimulationModeOut(mode=services.simulation.mode))

    path = "/api/simulation/mode"
    return [
        Route(
            method="GET", path=path, handler=get_mode, role=Role.VIEWER, summary="Which hour the simulators play",
            answer=SimulationModeOut,
        ),
        Route(
            method="POST", path=path, handler=post_mode, role=Role.OPERATOR,
            summary="Let the simulators play day, night, or go with the clock", body=SimulationModeIn,
            answer=SimulationModeOut, problems=(503,),
        ),
    ]  # fmt: skip
