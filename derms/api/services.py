"""All that stands behind the API; put together by the composition root, and by the tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from derms.api.stream import Hub
from derms.api.view import DevicesView, FeedersView, HealthView, RegistryDesk, SimulationDesk, TrackingView, WhyView
from derms.auth import Authenticator
from derms.metrics import Metrics
from derms.model import DrEvent, Outcome, Telemetry
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
    offer: Callable[[Telemetry], tuple[Outcome, str]]
    """Takes a measurement in as if it came over the broker: what became of it, and why."""
    simulation: SimulationDesk
    declared: Mapping[str, frozenset[str]]
    """Feeder id -> its fields that the settings or the feeders file say outright."""
    health: HealthView
    stream: Hub
    events: EventStore
    on_event: Callable[[DrEvent], None]
    """Called with each new event once it is committed."""
    new_id: Callable[[], str]
    """Makes a new, random, short id."""
