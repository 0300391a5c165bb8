"""What one tick sees and keeps: columns, one row a device, one row a node. Pure values, no behaviour.

All powers are in kW in the load convention; NaN means "unknown", never zero. Nodes stand parents first, and a device
names its node by row. Rows have no ids here: `Memory.aligned` moves what is remembered when rows join, move or leave.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from derms.model import DeviceKind, DeviceStatus, FeederMode, Policy

KINDS = tuple(DeviceKind)
KIND_CODE = {kind: code for code, kind in enumerate(KINDS)}
PV, BATTERY, EV, LOAD, METER = (KIND_CODE[kind] for kind in DeviceKind)
"""Kind codes: the order of `DeviceKind`."""
STATUS_CODE = {status: code for code, status in enumerate(DeviceStatus)}
"""Status codes: the order of `DeviceStatus`."""
MODE_CODE = {mode: code for code, mode in enumerate(FeederMode)}
AUTO, ADVISE, OFF = (MODE_CODE[mode] for mode in FeederMode)
"""Mode codes: the order of `FeederMode`; the larger, the less is done."""

REVERT_S = 10.0
"""A device whose lease has ended reaches its default control by a ramp of at most this length [s]."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Freshness(IntEnum):
    """How far a reading can be trusted, by its age on the controller's clock."""

    GOOD = 0
    STALE = 1
    LOST = 2
    NEVER = 3


class Override(IntEnum):
    """What an operator has laid upon one device; it ends by itself."""

    NONE = 0
    HOLD = 1
    """It is kept at `override_kw` as long as every limit allows that, before all others."""
    BLOCK = 2
    """It is kept at nothing: no charge, no discharge, no generation."""


class Reason(IntEnum):
    """What bound a device's setpoint; the words are in `derms.control.words`."""

    NONE = 0
    """Nothing does: it gets all it can take."""
    IMPORT_LIMIT = 1
    MINIMUM_POWER = 2
    """Its smallest power does not fit now; it waits for its turn."""
    RAMP = 3
    """On its way up, or waiting until others have made room."""
    FULL = 4
    UNAVAILABLE = 5
    RELIEF = 6
    """It discharges because the limit cannot be held otherwise."""
    EXPORT_LIMIT = 7
    UPTAKE = 8
    """It took less than it was granted; the rest went to others."""
    SILENT = 9
    """It has gone quiet; what it had is renewed, and its room kept."""
    HELD = 10
    """An operator holds it at a power."""
    BLOCKED = 11
    """An operator has blocked it."""
    DISOBEDIENT = 12
    """It does not follow its leases; what it really draws is reserved."""
    ABSORB = 13
    """It charges beyond its target because export would be over its limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceColumns:
    """The devices of one tree of nodes; every array has shape (n,)."""

    node: Ints
    """Row of the node each hangs on."""
    kind: Ints
    """Codes of `DeviceKind`."""
    controllable: Bools
    """Enrolled and of a kind that takes setpoints."""
    status: Ints
    """Codes of `DeviceStatus`."""
    spoke: Bools
    """It has spoken at least once since it was registered, in this run or an earlier one."""
    age_s: Floats
    """Since the newest reading arrived [s]; inf: none in this run."""
    p_actual_kw: Floats
    soc: Floats
    available_kw: Floats
    """What it says it can do now [kW], a magnitude; NaN: it does not say."""
    ready_in_s: Floats
    """Until the driver needs it [s]; NaN: not said."""
    energy_needed_kwh: Floats
    """What the session still needs as it last said [kWh]; NaN: it does not say."""
    p_import_max_kw: Floats
    p_export_max_kw: Floats
    p_min_kw: Floats
    """Smallest non-zero charging power [kW]; between 0 and it there is nothing."""
    p_step_kw: Floats
    """Above the smallest power it takes whole steps of this [kW], counted from 0; 0: any power."""
    capacity_kwh: Floats
    min_soc_reserve: Floats
    target_soc: Floats
    priority: Floats
    default_power_kw: Floats
    override: Ints
    """Codes of `Override`."""
    override_kw: Floats
    """Where it is held [kW]; NaN: it is not."""
    lease_kw: Floats
    """The newest lease sent that has not ended [kW]; NaN: none."""
    lease_left_s: Floats
    """Its life left [s]; <= 0: none, or to be sent again."""
    told_s: Floats
    """Since it was told its present power [s]; a renewal at the same power does not count; inf: not in this run."""
    may_kw: Floats
    """The most it may draw under any lease that may still be followed [kW]; NaN: none is alive."""
    may_low_kw: Floats
    """The least (most export) under any lease that may still be followed [kW]; NaN: none is alive."""
    may_left_s: Floats
    """Until the last of them is over and its default control is reached [s]; <= 0: none."""
    acknowledged_s: Floats
    """Since it was seen following its newest lease [s]; -inf: not yet."""
    stagger: Floats
    """Its place where a whole fleet would do something at once, 0 to 1; by its id, so the same for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeColumns:
    """One tree of nodes, parents first; every array has shape (m,)."""

    parent: Ints
    """Row of the parent, always smaller than the own; -1: the root."""
    mode: Ints
    """Codes of `FeederMode`; the least active on the way to the root counts."""
    import_limit_kw: Floats
    """Static, a magnitude [kW]; inf: none."""
    export_limit_kw: Floats
    margin_kw: Floats
    assumed_unmetered_kw: Floats
    metered_kw: Floats
    """Newest reading of the node's head meter [kW]; NaN: there is no meter."""
    metered_age_s: Floats
    """Since it arrived [s]; inf: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One active DR event or program as it bears on one node; only ever tightens."""

    source: str
    node: int = 0
    import_limit_kw: float = np.inf
    export_limit_kw: float = np.inf
    shed_kw: float = 0.0
    """This node's share of what is to be shed against its draw at the start [kW]."""
    shed_fraction: float = 0.0
    """To be shed of what its flexible devices drew at the start, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything one tick for one tree may know."""

    dt_s: float
    """Since the last tick of this tree [s]."""
    nodes: NodeColumns
    constraints: tuple[Constraint, ...]
    devices: DeviceColumns
    policy: Policy = Policy.DEFICIT
    lockstep: bool = False
    """All leases of one decision take effect together and are seen followed before the next tick: so in
    co-simulations with steps of minutes, never on a wire. A raise then needs not wait for the others to be lowered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """The engine's constants."""

    lease_s: float = 30.0
    """Life of a setpoint [s]."""
    interval_s: float = 5.0
    """Between ticks [s]."""
    stale_after_s: float = 15.0
    lost_after_s: float = 60.0
    horizon_s: float = 4 * 3600.0
    """By when a device without `ready_by` should have its target [s]."""
    ramp_up_s: float = 10.0
    """From zero to the rating, upwards only [s]; down is at once."""
    deadband: float = 0.02
    """Changes below this share of the rating are not sent."""
    background_fall_s: float = 5.0
    """Time constant with which a fallen background is believed [s]; a risen one is believed at once."""
    pay_s: float = 120.0
    """A deficit bucket is paid back over about this long [s]."""
    bucket_bound_h: float = 0.5
    """A bucket holds at most this many hours of the device's rating."""
    bucket_fade_s: float = 300.0
    """Time constant with which the bucket of a device that wants nothing fades [s]."""
    turn_s: float = 1800.0
    """About how long a device that runs at its smallest power keeps its turn [s]."""
    wait_max_s: float = 3000.0
    """A device that wants power and has had none this long goes before all others of its tier [s]."""
    uptake_s: float = 6.0
    """After this long under a lease, what a device does not take is given to others [s]."""
    obey_s: float = 1.0
    """A reading made this long after a lease was sent should show it followed [s]."""
    recovery_s: float = 120.0
    """After a DR event the limit rises back to the static one over this long [s]."""
    rebound_s: float = 3600.0
    """So long after an event, at most, the load is kept under the peak before it [s]."""
    peak_s: float = 900.0
    """How far back the peak before an event is looked for [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """What a tick remembers of each device; every array has shape (n,). A field's default is its metadata."""

    bucket_kwh: Floats
    """Deficit bucket [kWh]: positive is owed."""
    strikes: Floats
    """Ticks in a row in which it was seen not to follow its lease; negative: disobedient, ticks of following."""
    last_kw: Floats
    """Its power as read at the last tick [kW]; NaN: never."""
    takes_kw: Floats
    """What it was seen to take of a larger lease [kW]; NaN: it takes what it is granted."""
    unseated_s: Floats
    """Since others came before it while it runs [s]; 0: none did."""
    share_kw: Floats
    """What allocation has lately given it while it runs, on average [kW]; NaN: it does not run."""
    heading: Floats
    """Which way its lease last moved: 1.0 up, -1.0 down; 0.0: it never did."""
    stated_kwh: Floats
    """The energy need it last stated [kWh]; NaN: none."""
    left_kwh: Floats
    """Of that, not yet delivered by the readings since [kWh]; NaN: it states none."""
    got_kwh: Floats
    """Delivered in this session [kWh]."""
    waited_s: Floats
    """Since it last had power while wanting some [s]."""
    running_s: Floats
    """Since it was last switched on [s]; 0: off."""

    @classmethod
    def empty(cls, rows: int = 0) -> Self:
        """Of `rows` devices never seen before."""
        return cls(**{item.name: np.full(rows, _UNKNOWN.get(item.name, 0.0)) for item in fields(cls)})

    def aligned(self, index: Ints) -> "DeviceMemory":
        """Rows in a new order: `index[k]` is the old row of new row k; -1: a device never seen before."""
        return _aligned(self, index)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMemory:
    """What a tick remembers of each node; every array has shape (m,)."""

    fixed_import_kw: Floats
    """The uncontrolled net load as the import side believes it (slow to fall) [kW]; NaN: never looked."""
    fixed_export_kw: Floats
    """The same for the export side (slow to rise) [kW]."""
    residual_kw: Floats
    """Metered minus known devices, when last metered [kW]."""
    peak_kw: Floats
    """The highest load of the running `peak_s` window [kW]; NaN: none yet."""
    peak_before_kw: Floats
    """Of the window before it [kW]; NaN: none yet."""
    peak_age_s: Floats
    """Since the running window began [s]."""
    event_kw: Floats
    """The import limit of the DR event that bears or last bore [kW]; NaN: none."""
    event_peak_kw: Floats
    """The peak before that event [kW]; NaN: none."""
    since_event_s: Floats
    """Since it ended [s]; 0 while it bears; NaN: none."""
    level_kw: Floats
    """What nobody explains, noise averaged away; NaN: never read. Its learning is in `derms.control.caution`."""
    level_kw2: Floats
    """Its variance."""
    pace_kw_s: Floats
    """How fast the level last moved."""
    trend_kw_s: Floats
    """How fast it is expected to go on rising."""
    surprise_up: Floats
    """Cumulative sum of surprises [standard deviations]."""
    surprise_down: Floats
    seen_kw: Floats
    """The last reading of what nobody explains; NaN: none."""
    moved_kw: Floats
    """By how much it had moved."""
    square_kw2: Floats
    """Mean square of such moves."""
    cross_kw2: Floats
    """Mean product of two in a row."""
    readings: Floats
    """How many there were."""
    meter_age_s: Floats
    """Of the last reading at the last tick [s]; NaN: none."""
    meter_gap_s: Floats
    """Usually between two readings [s]; 0: not known."""
    room_kw: Floats
    """What there was to give, relief being worth it [kW]; NaN: never looked."""
    roomy: Floats
    """For how long, and by how much, there has clearly been more [standard deviations x s]."""
    soft_room_kw: Floats
    """The same within the limit that is not worth relief [kW]; NaN: never looked."""
    soft_roomy: Floats
    known_kw: Floats
    """PV and load that telemetry knows; NaN: never looked."""
    known_moved_kw: Floats
    """By how much that had moved."""
    mean_kw: Floats
    """The mean of the load that nobody controls over the last while [kW]; NaN: never looked."""
    swing_kw2: Floats
    """Its variance around that."""
    high_kw: Floats
    """The highest of it in the running window [kW]; NaN: none yet."""
    high_before_kw: Floats
    """In the window before [kW]; NaN: none yet."""
    high_age_s: Floats
    """Since the running window began [s]."""
    meter_kw: Floats
    """The head meter's reading at the last tick [kW]; NaN: none."""
    meter_drawn_kw: Floats
    """What the devices below drew together at the last tick [kW]; NaN: never looked."""
    meter_moved_kw: Floats
    """By how much the readings of the devices below have changed while the meter's stood still [kW]."""
    meter_strikes: Floats
    """New readings of a meter that stood still although the devices moved."""
    export_over: Floats
    """1.0: generation was curtailed, or export was above its limit, at the last tick."""

    @classmethod
    def empty(cls, rows: int = 0) -> Self:
        """Of `rows` nodes never looked at."""
        return cls(**{item.name: np.full(rows, _UNKNOWN.get(item.name, 0.0)) for item in fields(cls)})

    def aligned(self, index: Ints) -> "NodeMemory":
        """Rows in a new order, as `DeviceMemory.aligned`."""
        return _aligned(self, index)


_UNKNOWN = dict.fromkeys(
    ("last_kw", "takes_kw", "share_kw", "stated_kwh", "left_kwh", "fixed_import_kw", "fixed_export_kw",
     "peak_kw", "peak_before_kw", "event_kw", "event_peak_kw", "since_event_s", "level_kw", "seen_kw", "meter_age_s",
     "known_kw", "room_kw", "soft_room_kw", "meter_kw", "mean_kw", "high_kw", "high_before_kw", "meter_drawn_kw"),
    np.nan,
)  # fmt: skip
"""What is not known of a row never seen before; everything else starts at 0."""


_Rows = TypeVar("_Rows", DeviceMemory, NodeMemory)


def _aligned(memory: _Rows, index: Ints) -> _Rows:
    """Move rows; -1 in `index` is a new row."""
    fresh = type(memory).empty(1)
    known = index >= 0
    moved = {}
    for item in fields(memory):
        column = np.full(index.shape, getattr(fresh, item.name)[0])
        column[known] = getattr(memory, item.name)[index[known]]
        moved[item.name] = column
    return type(memory)(**moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a tick leaves for the next one of the same tree."""

    devices: DeviceMemory
    nodes: NodeMemory
    sheds: tuple[tuple[str, int, float], ...] = ()
    """Import limits that sheds turned into when they started: (source, node row, kW)."""

    @staticmethod
    def empty(devices: int = 0, nodes: int = 1) -> "Memory":
        """A memory of nothing."""
        return Memory(devices=DeviceMemory.empty(devices), nodes=NodeMemory.empty(nodes))

    def aligned(self, devices: Ints, nodes: Ints) -> "Memory":
        """Rows in a new order: for each new row its old one, or -1."""
        new_row = {old: new for new, old in enumerate(nodes.tolist()) if old >= 0}
        return Memory(
            devices=self.devices.aligned(devices),
            nodes=self.nodes.aligned(nodes),
            sheds=tuple((source, new_row[node], kw) for source, node, kw in self.sheds if node in new_row),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeDecision:
    """What one tick found and decided for each node, everything below it included; arrays of shape (m,)."""

    import_limit_kw: Floats
    """In force [kW]; inf: none."""
    export_limit_kw: Floats
    import_source: tuple[str, ...]
    """Who set it: `static`, an event's or a program's id, `recovery` after an event."""
    export_source: tuple[str, ...]
    measured_kw: Floats
    """Fresh head meter [kW]; NaN: none."""
    background_kw: Floats
    """Metered minus known devices; without a fresh meter what is assumed or remembered [kW]."""
    load_kw: Floats
    """Net load: metered, else the sum of what is known [kW]."""
    uncontrolled_kw: Floats
    """The net load that is not told what to do, as the import side believes it (slow to fall) [kW]."""
    reserved_kw: Floats
    """Held back for silent, faulty and disobedient devices [kW]."""
    headroom_kw: Floats
    """For flexible devices to import, after margin, uncontrolled load and reservations [kW]; inf: no limit."""
    export_headroom_kw: Floats
    """What PV may generate, after margin and what the others consume [kW]; inf: no limit."""
    commanded_kw: Floats
    """The sum of the leases of EVs and batteries [kW]."""
    shortfall_kw: Floats
    """Import above the limit that nothing controllable can relieve [kW]."""
    export_shortfall_kw: Floats
    """Export above the limit that nothing controllable can relieve [kW]."""
    envelope_import_kw: Floats
    """The worst load if the controller, the broker or any path died now [kW]."""
    envelope_import_s: Floats
    """When that would be, from now [s]."""
    envelope_export_kw: Floats
    """The worst export (a magnitude) if they died now [kW]; negative: it would import at the least."""
    envelope_export_s: Floats
    default_over_kw: Floats
    """By how much the default controls alone, with background and reservations, pass a limit [kW]; 0: they do not."""
    default_over_exports: Bools
    """It is the export limit that they pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one tick decided, and from what; device arrays have shape (n,)."""

    target_kw: Floats
    """The setpoint of each device [kW]; NaN: none."""
    send: Bools
    """Which setpoints go out now: changed, or due for renewal."""
    life_s: Floats
    """How long each lease is to live [s]."""
    reason: Ints
    """Codes of `Reason`."""
    reason_node: Ints
    """The node whose limit the reason speaks of; -1: it speaks of none."""
    freshness: Ints
    """Codes of `Freshness`."""
    disobedient: Bools
    capability_kw: Floats
    """The smaller of rating and what it says it can do [kW]."""
    cap_kw: Floats
    """The most it could be given, after SOC, energy need, uptake and override [kW]."""
    uptake_kw: Floats
    """What it is offered because it is seen to take less than it was granted [kW]; NaN: it is not."""
    left_kwh: Floats
    """Energy still needed: to the target SOC, or of the session [kWh]."""
    waited_s: Floats
    """For how long it has had no power while wanting some [s]."""
    share_kw: Floats
    """What it is to get before ramps [kW]; for PV the most negative power allowed."""
    nodes: NodeDecision
