"""The live stream: one picture, then what is not as it was, a tick at a time."""

from typing import Any

import msgspec

from derms.api.schemas.common import Instant
from derms.api.schemas.health import HealthOut


class PictureOut(msgspec.Struct, frozen=True, kw_only=True):
    """The first event, `picture`; and again whenever what the reader last saw is no longer known."""

    at: Instant
    """The controller's clock."""
    tick: int
    """Rises by one with every event of this run."""
    feeders: list[dict[str, Any]]
    """Each as in `FeederSummaryOut`."""
    devices: list[dict[str, Any]]
    """Each as in `DeviceOut`, but for `age_s`: `heard_at` is when its newest telemetry came, on the same clock."""
    health: HealthOut


class ChangeOut(msgspec.Struct, frozen=True, kw_only=True):
    """Every further event, `change`: what is not as it was one event before."""

    at: Instant
    tick: int
    feeders: list[dict[str, Any]]
    """`feeder_id`, and the fields that changed."""
    devices: list[dict[str, Any]]
    """`device_id`, and the fields that changed."""
    health: HealthOut
