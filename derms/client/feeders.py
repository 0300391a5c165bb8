"""Feeders."""

from msgspec.structs import replace

from derms.api.schemas.feeders import (
    FeederIn,
    FeederOut,
    FeederPageOut,
    FeederPatch,
    FeedersOut,
    FeedersQuery,
    FeederSummaryOut,
)
from derms.api.schemas.history import FeederFiguresOut, FeederHistoryOut, FiguresQuery, HistoryQuery
from derms.client.base import Caller, part


class FeederCalls(Caller):
    """Feeders."""

    async def feeder_summary(self) -> list[FeederSummaryOut]:
        """All feeders as their last tick saw them."""
        return (await self.call("GET", "/api/feeder/summary", FeedersOut)).feeders

    async def feeders(self, query: FeedersQuery | None = None) -> list[FeederOut]:
        """All feeders that are asked for as they are registered, from all pages; None: every one."""
        query = query or FeedersQuery()
        found: list[FeederOut] = []
        while True:
            page = await self.call("GET", "/api/feeders", FeederPageOut, query=query)
            found += page.feeders
            if page.next_cursor is None:
                return found
            query = replace(query, cursor=page.next_cursor)

    async def feeder(self, feeder_id: str) -> FeederOut:
        """One feeder as it is registered."""
        return await self.call("GET", f"/api/feeders/{part(feeder_id)}", FeederOut)

    async def feeder_history(self, query: HistoryQuery) -> FeederHistoryOut:
        """The decision log of one feeder in buckets."""
        return await self.call("GET", "/api/feeder/history", FeederHistoryOut, query=query)

    async def feeder_metrics(self, query: FiguresQuery) -> FeederFiguresOut:
        """The figures of one feeder over a day, a week or a month."""
        return await self.call("GET", "/api/feeder/metrics", FeederFiguresOut, query=query)

    async def create_feeder(self, feeder: FeederIn) -> FeederOut:
        """Create a feeder. Needs the role operator."""
        return await self.call("POST", "/api/feeders", FeederOut, body=feeder)

    async def change_feeder(self, feeder_id: str, patch: FeederPatch) -> FeederOut:
        """Change a feeder. Needs the role operator."""
        return await self.call("PATCH", f"/api/feeders/{part(feeder_id)}", FeederOut, body=patch)
