"""All that stands behind the API; put together by the composition root, and by the tests."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from derms.accounts import AuditStore
from derms.api.stream import Hub
from derms.api.view import (
    AlarmsView,
    DevicesView,
    FeedersView,
    HealthView,
    PreviewView,
    RegistryDesk,
    SimulationDesk,
    TrackingView,
    WhyView,
)
from derms.auth import Authenticator
from derms.metrics import Metrics
from derms.model import DrEvent, DrProgram, Outcome, Telemetry
from derms.ports import (
    AlarmStore,
    Clock,
    EventReader,
    EventStore,
    OutcomeStore,
    OverrideStore,
    ProgramStore,
    RegistrationStore,
    ReportStore,
)


async def _at_once() -> bool:
    return True


class Events(EventStore, EventReader, Protocol):
    """DR events, to be read and changed."""


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
    stored: Callable[[], Awaitable[bool]] = _at_once
    """Waits until what was offered is on disk; whether it is."""
    simulation: SimulationDesk
    declared: Mapping[str, frozenset[str]]
    """Feeder id -> its fields that the settings or the feeders file say outright."""
    health: HealthView
    stream: Hub
    events: Events
    audit: AuditStore
    on_event: Callable[[DrEvent], None]
    """Called with each event that is new or changed, once it is committed."""
    on_event_gone: Callable[[str], None]
    """Called with the id of each event that is removed."""
    programs: ProgramStore
    on_program: Callable[[DrProgram], None]
    """Called with each program that is new or changed, once it is committed."""
    on_program_gone: Callable[[str], None]
    """Called with the id of each program that is removed."""
    previews: PreviewView
    outcomes: OutcomeStore
    alarms: AlarmsView
    alarm_store: AlarmStore
    new_id: Callable[[], str]
    """Makes a new, random, short id."""
    scrape_token: str | None = field(default=None, repr=False)
    """A token that suffices for `/metrics` alone."""
    send_on: Callable[[], None] = lambda: None
    """Raises StandbyError where another controller commands."""
    cors_origins: tuple[str, ...] = ()
    """Whose pages may read answers in a browser."""
