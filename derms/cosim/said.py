"""What a line may say, field by field. Pure.

Most fields may be absent (nothing is said of it) or null (not known, none, as by default).
"""

from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from derms.contract.fields import MAX_POWER_KW, Fraction, Magnitude, Power
from derms.model import DeviceKind, DeviceStatus, FeederMode, Policy, ProgramKind

Time = float | str
Size = Annotated[float, Meta(gt=0, le=MAX_POWER_KW)]
Priority = Annotated[float, Meta(ge=1, le=10)]


class OverrideWord(StrEnum):
    """What an operator lays upon a device."""

    HOLD = "hold"
    BLOCK = "block"
    RELEASE = "release"


class OverrideSaid(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An operator's word; it ends by itself."""

    kind: OverrideWord
    p_kw: Power | None = None
    reason: str | None = None
    until: Time | None = None


class NodeSaid(Struct, frozen=True, kw_only=True):
    """What is said of a node."""

    parent: str | UnsetType | None = UNSET
    import_limit_kw: Magnitude | UnsetType | None = UNSET
    export_limit_kw: Magnitude | UnsetType | None = UNSET
    margin_kw: Magnitude | UnsetType | None = UNSET
    assumed_unmetered_kw: Power | UnsetType | None = UNSET
    mode: FeederMode | UnsetType | None = UNSET
    policy: Policy | UnsetType | None = UNSET
    metered_kw: Power | UnsetType | None = UNSET
    metered_at: Time | UnsetType | None = UNSET


class DeviceSaid(Struct, frozen=True, kw_only=True):
    """What is said of a device: registry first, then telemetry, then the operator."""

    type: DeviceKind | UnsetType = UNSET
    node: str | UnsetType | None = UNSET
    p_import_max_kw: Magnitude | UnsetType | None = UNSET
    p_export_max_kw: Magnitude | UnsetType | None = UNSET
    p_min_kw: Magnitude | UnsetType | None = UNSET
    p_step_kw: Magnitude | UnsetType | None = UNSET
    capacity_kwh: Size | UnsetType | None = UNSET
    min_soc_reserve: Fraction | UnsetType | None = UNSET
    target_soc: Fraction | UnsetType | None = UNSET
    priority: Priority | UnsetType | None = UNSET
    default_power_kw: Power | UnsetType | None = UNSET

    at: Time | UnsetType | None = UNSET
    p_actual_kw: Power | UnsetType | None = UNSET
    p_setpoint_kw: Power | UnsetType | None = UNSET
    p_max_kw: Magnitude | UnsetType | None = UNSET
    soc: Fraction | UnsetType | None = UNSET
    status: DeviceStatus | UnsetType | None = UNSET
    ready_by: Time | UnsetType | None = UNSET
    energy_needed_kwh: Magnitude | UnsetType | None = UNSET

    override: OverrideSaid | UnsetType | None = UNSET


class EventSaid(Struct, frozen=True, kw_only=True):
    """A demand-response event; said again with the same id it replaces what was said before."""

    id: str
    nodes: list[str] | None = None
    start: Time | None = None
    end: Time
    import_limit_kw: Magnitude | None = None
    export_limit_kw: Magnitude | None = None
    shed_kw: Magnitude | None = None


class ProgramSaid(Struct, frozen=True, kw_only=True):
    """A demand-response program, active from its start to its end; said again it replaces what was said before."""

    id: str
    kind: ProgramKind
    nodes: list[str] | None = None
    start: Time | None = None
    end: Time
    target_shed_kw: Magnitude | None = None
    incentive_per_kwh: Magnitude | None = None
    penalty_per_kwh: Magnitude | None = None


REGISTRY = (
    "type", "node", "p_import_max_kw", "p_export_max_kw", "p_min_kw", "p_step_kw", "capacity_kwh", "min_soc_reserve",
    "target_soc", "priority", "default_power_kw",
)  # fmt: skip
"""Fields of a device that say nothing of the present moment."""
TELEMETRY = ("at", "p_actual_kw", "p_setpoint_kw", "p_max_kw", "soc", "status", "ready_by", "energy_needed_kwh")
"""Fields of a device that show that it was heard."""


class Opening(Struct, frozen=True, kw_only=True):
    """The first line."""

    nodes: dict[str, NodeSaid]
    devices: dict[str, DeviceSaid]
    policy: Policy
    parameters: dict[str, float]
    """Those of `Params` that were given."""
    lockstep: bool | None


class TickSaid(Struct, frozen=True, kw_only=True):
    """Any later line."""

    now: Time
    nodes: dict[str, NodeSaid]
    devices: dict[str, DeviceSaid]
    events: list[EventSaid]
    programs: list[ProgramSaid]
    gone: list[str]
