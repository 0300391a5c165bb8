"""What operators lay upon devices."""

from typing import Annotated

import msgspec

from derms.api.schemas.common import Instant, PowerKw
from derms.model import DeviceOverride, OverrideKind


class OverrideIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`PUT /api/devices/{device_id}/override`: in place of the one that is there."""

    kind: OverrideKind
    p_kw: PowerKw | None = None
    """Where it is held [kW], load convention; null for a block."""
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    """Printable, for whoever finds it."""
    until: Instant | None = None
    """When it ends by itself; the instant is not inside."""
    duration_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Instead of `until`, from now on [s]."""


class OverrideOut(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has laid upon a device."""

    kind: OverrideKind
    p_kw: float | None
    """Where it is held [kW], load convention; null for a block."""
    reason: str
    created_by: str
    created_at: Instant
    until: Instant
    """It ends by itself; the instant is not inside."""


def override_out(override: DeviceOverride) -> OverrideOut:
    """An override as the API shows it."""
    return OverrideOut(
        kind=override.kind,
        p_kw=override.p_kw,
        reason=override.reason,
        created_by=override.created_by,
        created_at=override.created_at,
        until=override.until,
    )
