"""A feeder over time."""

from enum import StrEnum
from typing import Annotated

import msgspec

from derms.api.schemas.common import Instant


class Period(StrEnum):
    """A calendar period in UTC; a week begins on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class RangeQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of time [since, until), in buckets."""

    since: Instant | None = None
    """Null: an hour before `until`."""
    until: Instant | None = None
    """Null: now."""
    bucket_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] | None = None
    """Length of a bucket [s]; null: see docs/api.md."""


class HistoryQuery(RangeQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which feeder, when, and how fine; null for `bucket_s`: so that there are at most 300."""

    feeder_id: Annotated[str, msgspec.Meta(max_length=64)]


class FeederBucketOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the ticks of one bucket came to; null where nothing was recorded."""

    at: Instant
    """Where the bucket begins."""
    ticks: int
    load_kw: float | None
    """The mean over the ticks, as everywhere where it does not say otherwise [kW]."""
    load_max_kw: float | None
    load_min_kw: float | None
    import_limit_kw: float | None
    """The least in force [kW]; null: there was none."""
    export_limit_kw: float | None
    background_kw: float | None
    commanded_kw: float | None
    headroom_kw: float | None
    """The least [kW]; null: there was no limit."""
    reserved_kw: float | None
    shortfall_kw: float
    """The largest [kW]."""
    export_shortfall_kw: float
    """The largest [kW]."""
    pv_kw: float | None
    battery_kw: float | None
    ev_kw: float | None
    base_kw: float | None
    deferred_kw: float | None
    """What EVs and batteries could have taken and were not given [kW]."""
    curtailed_kw: float | None
    """What PV says it could have made and was not allowed to [kW]."""


class FeederHistoryOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/feeder/history`."""

    feeder_id: str
    since: Instant
    until: Instant
    bucket_s: int
    buckets: list[FeederBucketOut]
    """By instant; those without a tick are left out."""


class FiguresQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which feeder, and over what."""

    feeder_id: Annotated[str, msgspec.Meta(max_length=64)]
    period: Period = Period.DAY
    at: Instant | None = None
    """The period that this instant lies in; null: now."""


class FeederFiguresOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/feeder/metrics`; the formulas are in docs/api.md."""

    feeder_id: str
    period: Period
    since: Instant
    until: Instant
    """The end of the period, or now if that is earlier."""
    covered_s: float
    """For how long something is known [s]."""
    average_kw: float | None
    """Of the load, over what is covered [kW]."""
    peak_kw: float | None
    peak_at: Instant | None
    lowest_kw: float | None
    """The least load; negative: the largest export [kW]."""
    import_kwh: float
    export_kwh: float
    utilisation: float | None
    """Load by import limit, 0..1 while the limit is held; null: there was no limit."""
    deferred_kwh: float
    """What EVs and batteries could have taken and were not given [kWh]."""
    curtailed_kwh: float
    """What PV says it could have made and was not allowed to [kWh]."""
    violations: int
    """How often the load came above a limit in force."""
    violation_s: float
    """For how long it was [s]."""
    worst_excess_kw: float | None
    """By how much at most [kW]; null: never."""
    fairness: float | None
    """Jain's index over what each device was delivered of what it asked for, 1/n..1; null: nobody asked."""
    fairness_devices: int
    """Over how many devices."""
    asked_kwh: float
    """What they asked for together [kWh]."""
    delivered_kwh: float
    """What they drew of it [kWh]."""
