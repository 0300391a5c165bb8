"""Feeders."""

import msgspec

from derms.api.schemas.common import Instant
from derms.api.schemas.events import EventOut
from derms.model import FeederMode


class FeederSummaryOut(msgspec.Struct, frozen=True, kw_only=True):
    """One feeder as the last tick saw it."""

    feeder_id: str
    name: str
    mode: FeederMode
    at: Instant | None
    """When the last tick was; null: there was none yet."""
    tick: int
    epoch: int
    import_limit_kw: float | None
    """In force, after DR [kW]; null: none."""
    static_import_limit_kw: float | None
    """Without DR [kW]."""
    limit_source: str
    """Who set the limit in force: `static`, or an event's id."""
    export_limit_kw: float | None
    measured_kw: float | None
    """The head meter [kW]; null: there is no fresh one."""
    load_kw: float
    """What the feeder draws, measured or else estimated [kW]."""
    background_kw: float
    """Of that, what no known device explains [kW]."""
    reserved_kw: float
    """Held back for silent devices [kW]."""
    headroom_kw: float | None
    """What there was to allocate [kW]; null: there is no limit."""
    commanded_kw: float
    """Sum of the leases of EVs and batteries [kW]."""
    shortfall_kw: float
    """Excess over the limit that nothing can relieve [kW]."""
    pv_kw: float
    battery_kw: float
    ev_kw: float
    base_kw: float
    """The `load` devices [kW]."""
    devices_total: int
    devices_by_type: dict[str, int]
    devices_by_origin: dict[str, int]
    freshness: dict[str, int]
    """`Freshness` -> number of devices."""
    active_events: list[EventOut]
    next_event: EventOut | None = None


class FeedersOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/feeder/summary`."""

    feeders: list[FeederSummaryOut]
