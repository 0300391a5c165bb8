"""The simulators."""

import msgspec

from derms.contract import SimulationProfile


class SimulationModeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /api/simulation/mode`."""

    mode: SimulationProfile
    """`day`: sun and households stay at noon; `night`: at ten in the evening; `auto`: they go with the clock."""


class SimulationModeOut(msgspec.Struct, frozen=True, kw_only=True):
    """`GET /api/simulation/mode`."""

    mode: SimulationProfile | None
    """What was set last since the controller started; null: nothing, and the broker may hold what was set before."""
