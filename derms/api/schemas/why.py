"""Why a device has the setpoint it has."""

from enum import StrEnum

import msgspec

from derms.api.schemas.common import Instant
from derms.model import FeederMode


class BoundName(StrEnum):
    """What sort of bound, in the order in which a setpoint passes them."""

    RATING = "rating"
    CAPABILITY = "capability"
    STATUS = "status"
    ENERGY = "energy"
    UPTAKE = "uptake"
    OVERRIDE = "override"
    NODE = "node"
    EVENT = "event"
    RAMP = "ramp"
    MINIMUM = "minimum"
    LEASE = "lease"


class BoundOut(msgspec.Struct, frozen=True, kw_only=True):
    """One bound on the setpoint."""

    kind: BoundName
    subject: str
    """Whose it is: the id of the device or of the feeder."""
    source: str
    """Who set it: `static`, the id of an event or program, `recovery`; else `registry`, `device`, `controller`, or the
    operator's name."""
    limit_kw: float | None
    """The most it allows, for PV the most negative [kW]; null: it does not limit."""
    binding: bool
    words: str
    remedies: list[str]
    """What would change the answer; only where it binds."""


class WhyOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/devices/{device_id}/why`."""

    device_id: str
    words: str
    """The answer in one sentence."""
    setpoint_kw: float | None
    """What it is told [kW]; null: nothing."""
    mode: FeederMode
    """The least active on the way from its feeder to the root; `advise`: nothing is sent."""
    decided_at: Instant | None
    """When that was decided; null: no decision stands behind this answer."""
    bounds: list[BoundOut]
    """From the device up to the root; at most one binds, none: it gets all it can take."""
