"""Feeders."""

from derms.api.schemas.feeders import FeedersOut, FeederSummaryOut
from derms.client.base import Caller


class FeederCalls(Caller):
    """Feeders."""

    async def feeder_summary(self) -> list[FeederSummaryOut]:
        """All feeders."""
        return (await self.call("GET", "/api/feeder/summary", FeedersOut)).feeders
