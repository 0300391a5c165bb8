"""How well devices follow."""

from msgspec.structs import replace

from derms.api.schemas.tracking import TrackingOut, TrackingQuery
from derms.client.base import Caller


class TrackingCalls(Caller):
    """How well devices follow."""

    async def tracking_error(self, query: TrackingQuery | None = None) -> TrackingOut:
        """The tracking error of all devices that are asked for, from all pages; None: every one, over ten minutes."""
        query = query or TrackingQuery()
        whole = page = await self.call("GET", "/api/metrics/tracking-error", TrackingOut, query=query)
        while page.next_cursor is not None:
            query = replace(query, cursor=page.next_cursor)
            page = await self.call("GET", "/api/metrics/tracking-error", TrackingOut, query=query)
            whole = replace(whole, devices=whole.devices + page.devices, next_cursor=None)
        return whole
