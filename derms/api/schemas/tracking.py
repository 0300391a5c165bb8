"""How well devices follow."""

from typing import Annotated

import msgspec

from derms.api.paging import PageQuery
from derms.api.schemas.common import Instant


class TrackingQuery(PageQuery, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Over which window, and of whom.

    Sorts by `device_id` (the default), `mean_kw`, `mean_abs_kw` and `samples`.
    """

    window_s: Annotated[int, msgspec.Meta(ge=10, le=1200)] = 600
    """Rounded up to whole tens [s]."""
    feeder_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    """Those on it and on the feeders below it."""
    device_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class DeviceErrorOut(msgspec.Struct, frozen=True, kw_only=True):
    """How well one device follows."""

    device_id: str
    feeder_id: str
    mean_kw: float
    """The mean of what it draws less what it says it is to draw [kW]."""
    mean_abs_kw: float
    """The mean of that without its sign [kW]."""
    samples: int
    """Over how many."""


class TrackingOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/metrics/tracking-error`: over samples measured in [since, until) that name a setpoint."""

    since: Instant
    until: Instant
    """The end of the ten seconds that now lies in."""
    window_s: int
    mean_kw: float | None
    """Over all samples of all devices that are asked for; null: there is none."""
    mean_abs_kw: float | None
    samples: int
    devices: list[DeviceErrorOut]
    """Those with a sample in the window."""
    next_cursor: str | None = None
    """For the next page; null: this was the last."""
