"""What came of a demand-response event."""

from enum import StrEnum
from typing import Annotated

import msgspec

from derms.api.schemas.common import Instant
from derms.api.schemas.events import EventOut
from derms.model import DeviceKind


class OutcomeQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an outcome is told."""

    bucket_s: Annotated[float, msgspec.Meta(ge=1, le=86_400)] | None = None
    """Length of the intervals [s]; null: 60, or longer where the event is."""


class Direction(StrEnum):
    """Which way the power flows that an event limits."""

    IMPORT = "import"
    EXPORT = "export"


class IntervalOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One interval of an event."""

    start: Instant
    end: Instant
    load_kw: float | None
    """What flowed on average in the limited direction [kW]; null: not known."""
    limit_kw: float | None
    """What was allowed [kW]; null: nothing limited it."""
    committed_kw: float | None
    """max(0, baseline - limit) [kW]; null: one of them is not known."""
    delivered_kw: float | None
    """max(0, baseline - load) [kW]; null: one of them is not known."""


class FeederOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One feeder during an event."""

    feeder_id: str
    baseline_kw: float | None
    """What is taken for what would have flowed without the event [kW]; null: too little is known of before."""
    baseline_basis: str
    """What that was made of, in words."""
    observed_s: float
    """How much of the event is on record [s]."""
    compliance_s: float
    """For how much of that it was within the limit, give or take `tolerance` [s]."""
    until_under_limit_s: float | None
    """From the start to the first tick within the limit [s]; null: there was none."""
    intervals: list[IntervalOutcome]


class Part(StrEnum):
    """What part a device played."""

    PARTICIPATED = "participated"
    """It was told to give something, and followed."""
    REFUSED = "refused"
    """It was told to give something, and did not follow."""
    OVERRIDDEN = "overridden"
    """An operator held or blocked it, or it was controlled locally."""
    SILENT = "silent"
    """Nothing was heard of it."""
    NOT_CALLED = "not_called"
    """It was not told to give anything."""


class DeviceOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """One device during an event; powers in load convention."""

    device_id: str
    type: DeviceKind
    feeder_id: str
    part: Part
    before_kw: float | None
    """What it drew before, on average [kW]; null: not heard."""
    during_kw: float | None
    """What it drew during the event [kW]; null: not heard."""
    told_kw: float | None
    """What it was told then [kW]; null: nothing."""
    shed_kw: float | None
    """What it gave, against before [kW]; negative: it took more; null: not known."""


class OutcomeOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/events/{event_id}/outcome`."""

    event: EventOut
    at: Instant
    """When it was worked out; what is told ends there where the event has not."""
    direction: Direction
    """Which way it is judged: `export` where it limits nothing but that."""
    bucket_s: float
    tolerance: str
    """What counts as within the limit, in words."""
    feeders: list[FeederOutcome]
    total: list[IntervalOutcome]
    """Of its feeders together, without those that lie below another of them."""
    devices: list[DeviceOutcome]
