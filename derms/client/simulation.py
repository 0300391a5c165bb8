"""The simulators."""

from derms.api.schemas.simulation import SimulationModeIn, SimulationModeOut
from derms.client.base import Caller
from derms.contract import SimulationProfile


class SimulationCalls(Caller):
    """The simulators."""

    async def simulation_mode(self) -> SimulationModeOut:
        """Which hour they play."""
        return await self.call("GET", "/api/simulation/mode", SimulationModeOut)

    async def set_simulation_mode(self, mode: SimulationProfile) -> SimulationModeOut:
        """Let them play another. Needs the role operator."""
        return await self.call("POST", "/api/simulation/mode", SimulationModeOut, body=SimulationModeIn(mode=mode))
