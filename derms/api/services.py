"""All that stands behind the API; put together by the composition root, and by the tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from derms.accounts import AuditStore
from derms.api.stream import Hub
from derms.api.view import DevicesView, FeedersView, HealthView, RegistryDesk, TrackingView, WhyView
from derms.auth import Authenticator
from derms.metrics import Metrics
from derms.model import DrEvent
from derms.ports import Clock, EventStore, OverrideStore, RegistrationStore, ReportStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One field a port."""

    clock: Clock
    metrics: Metrics
    authenticator: Authenticator
    devices: DevicesView
    why: WhyView
    feeders: FeedersView
    registry: RegistryDesk
    registrations: RegistrationStore
    overrides: OverrideStore
    reports: ReportStore
    tracking: TrackingView
    declared: Mapping[str, frozenset[str]]
    """Feeder id -> its fields that the settings or the feeders file say outright."""
    health: HealthView
    stream: Hub
    events: EventStore
    audit: AuditStore
    on_event: Callable[[DrEvent], None]
    """Called with each new event once it is committed."""
    new_id: Callable[[], str]
    """Makes a new, random, short id."""
    scrape_token: str | None = field(default=None, repr=False)
    """A token that suffices for `/metrics` alone."""
    cors_origins: tuple[str, ...] = ()
    """Whose pages may read answers in a browser."""
