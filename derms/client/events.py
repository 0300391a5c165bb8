"""Demand-response events."""

from derms.api.schemas.events import (
    EventAmendIn,
    EventFilter,
    EventIn,
    EventOut,
    EventsOut,
    EventsQuery,
    PreviewOut,
)
from derms.api.schemas.outcomes import OutcomeOut, OutcomeQuery
from derms.client.base import Caller, part


class EventCalls(Caller):
    """Demand-response events."""

    async def events(self, *, state: EventFilter = EventFilter.OPEN, feeder_id: str | None = None) -> list[EventOut]:
        """All DR events that stand there, page by page; those that are not over unless asked otherwise."""
        found: list[EventOut] = []
        cursor = None
        while True:
            query = EventsQuery(state=state, feeder_id=feeder_id, cursor=cursor)
            page = await self.event_page(query)
            found += page.events
            if (cursor := page.next_cursor) is None:
                return found

    async def event_page(self, query: EventsQuery) -> EventsOut:
        """One page of them."""
        return await self.call("GET", "/api/events", EventsOut, query=query)

    async def event(self, event_id: str) -> EventOut:
        """One DR event."""
        return await self.call("GET", _path(event_id), EventOut)

    async def create_event(self, event: EventIn, *, key: str | None = None) -> EventOut:
        """Create a DR event; it is stored when this returns. Needs the role operator.

        Args:
            event: What it is to be.
            key: With one, asking again after no answer came creates no second event.
        """
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.call("POST", "/api/events", EventOut, body=event, headers=headers)

    async def preview_event(self, event: EventIn) -> PreviewOut:
        """What an event is expected to do; nothing is stored or sent. Needs the role operator."""
        return await self.call("POST", "/api/events/preview", PreviewOut, body=event)

    async def amend_event(self, event_id: str, changes: EventAmendIn) -> EventOut:
        """Change an event that is not over. Needs the role operator."""
        return await self.call("PATCH", _path(event_id), EventOut, body=changes)

    async def cancel_event(self, event_id: str) -> EventOut:
        """End an event at once. Needs the role operator."""
        return await self.call("POST", f"{_path(event_id)}/cancel", EventOut)

    async def delete_event(self, event_id: str) -> None:
        """Remove an event that never began. Needs the role admin."""
        await self.call("DELETE", _path(event_id), type(None))

    async def event_outcome(self, event_id: str, *, bucket_s: float | None = None) -> OutcomeOut:
        """What came of an event so far.

        Args:
            event_id: Which one.
            bucket_s: Length of the intervals [s]; None: by the length of the event.
        """
        query = OutcomeQuery(bucket_s=bucket_s)
        return await self.call("GET", f"{_path(event_id)}/outcome", OutcomeOut, query=query)


def _path(event_id: str) -> str:
    return f"/api/events/{part(event_id)}"
