"""What one tick sees and keeps: columns, one row a device. Pure values, no behaviour.

All powers are in kW in the load convention; NaN means "unknown", never zero. A row keeps its place for the life of
the process, so `Memory` needs no ids.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from derms.model import DeviceKind, DeviceStatus

KINDS = tuple(DeviceKind)
KIND_CODE = {kind: code for code, kind in enumerate(KINDS)}
PV, BATTERY, EV, LOAD, METER = (KIND_CODE[kind] for kind in DeviceKind)
"""Kind codes: the order of `DeviceKind`."""
STATUS_CODE = {status: code for code, status in enumerate(DeviceStatus)}
"""Status codes: the order of `DeviceStatus`."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Freshness(IntEnum):
    """How far a reading can be trusted, by its age on the controller's clock."""

    GOOD = 0
    STALE = 1
    LOST = 2
    NEVER = 3


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


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceColumns:
    """The devices of one feeder; every array has shape (n,)."""

    kind: Ints
    """Codes of `DeviceKind`."""
    controllable: Bools
    """Enrolled, of a kind that takes setpoints, and spoken to in auto or advise mode."""
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
    p_import_max_kw: Floats
    p_export_max_kw: Floats
    p_min_kw: Floats
    capacity_kwh: Floats
    min_soc_reserve: Floats
    target_soc: Floats
    priority: Floats
    default_power_kw: Floats
    lease_kw: Floats
    """The newest lease sent that has not ended [kW]; NaN: none."""
    lease_left_s: Floats
    """Its life left [s]; <= 0: none, or to be sent again."""
    may_kw: Floats
    """The most it may draw under any lease that may still be followed [kW]; NaN: none is alive."""
    acknowledged_s: Floats
    """Since it was seen following its newest lease [s]; -inf: not yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederState:
    """The feeder itself."""

    import_limit_kw: float
    """Static, a magnitude [kW]; inf: none."""
    export_limit_kw: float
    margin_kw: float
    assumed_unmetered_kw: float
    metered_kw: float
    """Newest head meter reading [kW]; NaN: there is no meter."""
    metered_age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One active DR event as it bears on this feeder; only ever tightens."""

    source: str
    import_limit_kw: float = np.inf
    export_limit_kw: float = np.inf
    shed_kw: float = 0.0
    """This feeder's share of what is to be shed against its draw at the start [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything one tick for one feeder may know."""

    dt_s: float
    """Since the last tick of this feeder [s]."""
    feeder: FeederState
    constraints: tuple[Constraint, ...]
    devices: DeviceColumns


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
    turn_s: float = 300.0
    """About how long a device that runs at its smallest power keeps its turn [s]."""
    uptake_s: float = 6.0
    """After this long under a lease, what a device does not take is given to others [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a tick leaves for the next one of the same feeder."""

    bucket_kwh: Floats
    """Deficit buckets, shape (n,) [kWh]: positive is owed."""
    fixed_import_kw: float = np.nan
    """The uncontrolled net load as the import side believes it (slow to fall) [kW]."""
    fixed_export_kw: float = np.nan
    """The same for the export side (slow to rise) [kW]."""
    residual_kw: float = 0.0
    """Metered minus known devices, when last metered [kW]."""
    shed_limits: tuple[tuple[str, float], ...] = ()
    """Import limits that sheds turned into when they started: (source, kW)."""

    @staticmethod
    def empty(rows: int = 0) -> "Memory":
        """A memory of nothing, for `rows` devices."""
        return Memory(bucket_kwh=np.zeros(rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one tick decided, and from what."""

    target_kw: Floats
    """The setpoint of each device, shape (n,) [kW]; NaN: none."""
    send: Bools
    """Which setpoints go out now: changed, or due for renewal."""
    reason: Ints
    """Codes of `Reason`."""
    freshness: Ints
    """Codes of `Freshness`."""
    import_limit_kw: float
    """In force [kW]; inf: none."""
    export_limit_kw: float
    import_source: str
    export_source: str
    measured_kw: float
    """Fresh head meter [kW]; NaN: none."""
    background_kw: float
    """Metered minus known devices; without a fresh meter what is assumed or remembered [kW]."""
    load_kw: float
    """The feeder's net load: metered, else the sum of what is known [kW]."""
    reserved_kw: float
    headroom_kw: float
    """For flexible devices, after margin, uncontrolled load and reservations [kW]; inf: no limit."""
    commanded_kw: float
    shortfall_kw: float
