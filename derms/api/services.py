"""All that stands behind the API; put together by the composition root, and by the tests."""

from collections.abc import Callable
from dataclasses import dataclass

from derms.api.stream import Hub
from derms.api.view import DevicesView, FeedersView, HealthView
from derms.auth import Authenticator
from derms.metrics import Metrics
from derms.model import DrEvent
from derms.ports import Clock, EventStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One field a port."""

    clock: Clock
    metrics: Metrics
    authenticator: Authenticator
    devices: DevicesView
    feeders: FeedersView
    health: HealthView
    stream: Hub
    events: EventStore
    on_event: Callable[[DrEvent], None]
    """Called with each new event once it is committed."""
    new_id: Callable[[], str]
    """Makes a new, random, short id."""
