"""Demand-response events."""

from derms.api.schemas.events import EventIn, EventOut, EventsOut
from derms.client.base import Caller


class EventCalls(Caller):
    """Demand-response events."""

    async def events(self) -> list[EventOut]:
        """The DR events that are not over."""
        return (await self.call("GET", "/api/events", EventsOut)).events

    async def create_event(self, event: EventIn) -> EventOut:
        """Create a DR event; it is stored when this returns. Needs the role operator."""
        return await self.call("POST", "/api/events", EventOut, body=event)
