"""Feeders."""

from collections.abc import Collection
from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from derms.api.paging import PageQuery
from derms.api.schemas.common import Instant, MagnitudeKw, PowerKw
from derms.api.schemas.events import EventOut
from derms.model import Feeder, FeederMode, Policy

FeederId = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A letter or digit, then up to 63 letters, digits, `.`, `_` or `-`."""
FeederName = Annotated[str, msgspec.Meta(max_length=120)]
"""Printable text."""


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
    parent_id: str | None = None
    """The feeder it hangs on; null: it is a root."""
    policy: Policy | None = None
    """How the headroom of its tree is given: its root's."""
    margin_kw: float | None = None
    """Kept free below its limits [kW]."""
    static_export_limit_kw: float | None = None
    """Without DR [kW]; null: none."""
    export_limit_source: str | None = None
    """Who set the export limit in force; null: nothing is decided yet."""
    export_headroom_kw: float | None = None
    """What PV may generate [kW]; null: there is no limit, or nothing is decided yet."""
    export_shortfall_kw: float | None = None
    """Export above the limit that nothing can relieve [kW]."""
    envelope_import_kw: float | None = None
    """The worst load if the controller, the broker or any path died now [kW]."""
    envelope_import_s: float | None = None
    """When that would be, from then [s]."""
    envelope_export_kw: float | None = None
    """The worst export, a magnitude [kW]; negative: it would import at the least."""
    envelope_export_s: float | None = None
    default_over_kw: float | None = None
    """By how much the default controls alone pass a limit [kW]; 0: they do not."""
    active_programs: list[str] = []
    """DR programs that bear on it."""
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


class FeedersQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which feeders, and in what order.

    Sorts by `feeder_id` (the default), `name`, `parent_id`, `mode`, `import_limit_kw`, `export_limit_kw` and
    `margin_kw`.
    """

    parent_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    """Those right below it."""


class FeederOut(msgspec.Struct, frozen=True, kw_only=True):
    """One feeder as it is registered."""

    feeder_id: str
    name: str
    parent_id: str | None
    """The feeder it hangs on; null: it is a root."""
    import_limit_kw: float | None
    """Static, a magnitude [kW]; null: none."""
    export_limit_kw: float | None
    margin_kw: float
    """Kept free below the limits [kW]."""
    assumed_unmetered_kw: float
    """Load that nobody measures, used while there is no fresh head meter [kW]."""
    mode: FeederMode
    """Its own; the least active on the way to the root counts."""
    policy: Policy
    """How the headroom of its tree is given: its root's."""
    declared: list[str]
    """Fields that the settings or the feeders file say outright: at the next start what they say counts again, whatever
    was changed here."""


class FeederPageOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/feeders`."""

    feeders: list[FeederOut]
    next_cursor: str | None = None
    """For the next page; null: this was the last."""


class FeederIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`POST /api/feeders`."""

    feeder_id: FeederId
    name: FeederName = ""
    parent_id: str | None = None
    """Null: it is a root."""
    import_limit_kw: MagnitudeKw | None = None
    """Null: none."""
    export_limit_kw: MagnitudeKw | None = None
    margin_kw: MagnitudeKw = 0.0
    assumed_unmetered_kw: PowerKw = 0.0
    mode: FeederMode = FeederMode.AUTO
    policy: Policy | None = None
    """Of roots only; null: `deficit`, or its root's."""


class FeederPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PATCH /api/feeders/{feeder_id}`: only what is sent is changed; null clears where that is allowed."""

    name: FeederName | UnsetType = UNSET
    parent_id: str | UnsetType | None = UNSET
    """Null: it becomes a root."""
    import_limit_kw: MagnitudeKw | UnsetType | None = UNSET
    """Null: there is none any more."""
    export_limit_kw: MagnitudeKw | UnsetType | None = UNSET
    margin_kw: MagnitudeKw | UnsetType = UNSET
    assumed_unmetered_kw: PowerKw | UnsetType = UNSET
    mode: FeederMode | UnsetType = UNSET
    policy: Policy | UnsetType = UNSET
    """Of roots only."""


def feeder_out(feeder: Feeder, *, root: Feeder, declared: Collection[str]) -> FeederOut:
    """A feeder as the API shows it.

    Args:
        feeder: The feeder.
        root: Of its tree.
        declared: What settings and file say of it.
    """
    return FeederOut(
        feeder_id=feeder.feeder_id,
        name=feeder.name,
        parent_id=feeder.parent_id,
        import_limit_kw=feeder.import_limit_kw,
        export_limit_kw=feeder.export_limit_kw,
        margin_kw=feeder.margin_kw,
        assumed_unmetered_kw=feeder.assumed_unmetered_kw,
        mode=feeder.mode,
        policy=root.policy,
        declared=sorted(declared),
    )
