"""The typed API client that the CLI and the TUI use; it speaks `derms.api.schemas`, one module a noun."""

from derms.client.alarms import AlarmCalls
from derms.client.audit import AuditCalls
from derms.client.auth import AuthCalls
from derms.client.base import Exchange
from derms.client.devices import DeviceCalls
from derms.client.events import EventCalls
from derms.client.feeders import FeederCalls
from derms.client.health import HealthCalls
from derms.client.programs import ProgramCalls
from derms.client.simulation import SimulationCalls
from derms.client.stream import StreamCalls
from derms.client.telemetry import TelemetryCalls
from derms.client.tracking import TrackingCalls
from derms.client.users import UserCalls

__all__ = ["ApiClient", "Exchange"]


class ApiClient(
    HealthCalls,
    AuthCalls,
    UserCalls,
    AuditCalls,
    DeviceCalls,
    FeederCalls,
    TrackingCalls,
    TelemetryCalls,
    SimulationCalls,
    EventCalls,
    ProgramCalls,
    AlarmCalls,
    StreamCalls,
):
    """One controller's API; see `derms.client.base.Caller` for how it is made and what it raises."""
