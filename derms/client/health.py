"""How the daemon does."""

from derms.api.schemas.health import HealthOut
from derms.client.base import Caller


class HealthCalls(Caller):
    """How the daemon does."""

    async def health(self) -> HealthOut:
        """How the daemon does; needs no token."""
        return await self.call("GET", "/api/health", HealthOut)
