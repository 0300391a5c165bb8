"""The frozen domain values. Pure: no I/O, no clock.

Signs and units, everywhere: power drawn from the feeder is positive (import, charging, consumption), power pushed
into it negative (export, discharging, generation). Limits are magnitudes >= 0, named by direction. Power in kW,
energy in kWh, state of charge a fraction 0..1. What comes once a second per device carries integer epoch
milliseconds (`_ms`); what people make (events, registrations) carries aware UTC datetimes.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from derms.kinds import AlarmChange as AlarmChange
from derms.kinds import AlarmState as AlarmState
from derms.kinds import DeviceKind as DeviceKind
from derms.kinds import DeviceStatus as DeviceStatus
from derms.kinds import Dialect as Dialect
from derms.kinds import Enrolment as Enrolment
from derms.kinds import EventState as EventState
from derms.kinds import FeederMode as FeederMode
from derms.kinds import Origin as Origin
from derms.kinds import Outcome as Outcome
from derms.kinds import OverrideKind as OverrideKind
from derms.kinds import Policy as Policy
from derms.kinds import Priority as Priority
from derms.kinds import ProgramKind as ProgramKind
from derms.kinds import Role as Role


class Telemetry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One measurement of one device, already in the load convention.

    Made once a message: as a frozen dataclass that takes four times as long.
    """

    device_id: str
    kind: DeviceKind
    at_ms: int
    """The device's clock when it measured [epoch ms]."""
    p_actual_kw: float
    """Measured power [kW], load convention."""
    p_setpoint_kw: float | None = None
    """The setpoint the device now follows [kW]; None: it is on its default control."""
    soc: float | None = None
    """State of charge, 0..1."""
    seq: int | None = None
    site_id: str | None = None
    feeder_id: str | None = None
    p_max_kw: float | None = None
    """What the device says it can do now [kW], a magnitude."""
    capacity_kwh: float | None = None
    ready_by_ms: int | None = None
    """When the driver needs the car [epoch ms]."""
    energy_needed_kwh: float | None = None
    """What the session still needs, where it asks for energy instead of a state of charge [kWh]."""
    status: DeviceStatus = DeviceStatus.OK
    applied_epoch: int | None = None
    applied_seq: int | None = None
    """With `applied_epoch`: the lease the device follows."""
    fault: str | None = None
    """What is wrong, in the device's own words; None: nothing, or it does not say."""
    refused: tuple[tuple[str, int], ...] = ()
    """How many setpoints the device has refused since it started, by its name for the reason."""
    dialect: Dialect = Dialect.V1
    source: str | None = None
    """Who says so, where the dialect tells (`pi-agent`, `simulator`)."""


class Setpoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A lease: the device follows it until `valid_until_ms`, then falls to its default control."""

    device_id: str
    kind: DeviceKind
    p_setpoint_kw: float
    """[kW], load convention. For PV the most negative power allowed (a generation cap)."""
    issued_at_ms: int
    valid_until_ms: int
    epoch: int
    """Rises with every change of the active controller."""
    seq: int
    """Rises with every setpoint within an epoch."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A registration: what the operator knows of a device. It beats whatever telemetry says."""

    device_id: str
    kind: DeviceKind
    feeder_id: str
    site_id: str | None = None
    origin: Origin = Origin.SIMULATED
    enrolment: Enrolment = Enrolment.ACTIVE
    dialect: Dialect = Dialect.V1
    soc_in_percent: bool = False
    """It once sent a SOC above 1, and so speaks percent from then on."""
    p_import_max_kw: float = 0.0
    """Rating in the import direction (charging, consumption) [kW]."""
    p_export_max_kw: float = 0.0
    """Rating in the export direction (discharging, generation) [kW], a magnitude."""
    p_min_kw: float = 0.0
    """The smallest non-zero charging power [kW]; between 0 and it there is nothing."""
    p_step_kw: float = 0.0
    """Above `p_min_kw` it takes whole multiples of this [kW]; 0: any power."""
    capacity_kwh: float | None = None
    min_soc_reserve: float = 0.2
    """No discharge below it, 0..1."""
    target_soc: float = 0.8
    priority: int = 5
    """1..10, larger is served first."""
    default_power_kw: float = 0.0
    """Default control: what the device does by itself without a lease [kW]."""
    ready_by: datetime | None = None
    """When its energy is needed, as an operator says; until then it beats what telemetry says."""
    gateway_id: str | None = None
    """The gateway that speaks for it, and nobody else; None: it speaks for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeder:
    """A node with a limit. The forest of nodes hangs on `parent_id`."""

    feeder_id: str
    name: str = ""
    parent_id: str | None = None
    import_limit_kw: float | None = None
    """[kW], a magnitude; None: no limit in this direction."""
    export_limit_kw: float | None = None
    margin_kw: float = 0.0
    """Kept free below the limit, in each direction [kW]."""
    assumed_unmetered_kw: float = 0.0
    """Load that nobody measures, used while there is no fresh head meter [kW]."""
    mode: FeederMode = FeederMode.AUTO
    policy: Policy = Policy.DEFICIT
    """How its headroom is given; the root's counts for everything below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOverride:
    """What an operator has laid upon one device, until an instant."""

    device_id: str
    kind: OverrideKind
    p_kw: float | None = None
    """Where it is held [kW], load convention; None for a block."""
    reason: str
    created_by: str
    created_at: datetime
    until: datetime
    """It ends by itself; the instant is not inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrProgram:
    """A standing agreement that tightens its feeders' limits while it is active and in its window [start, end)."""

    program_id: str
    name: str
    kind: ProgramKind
    feeder_ids: tuple[str, ...] = ()
    """Empty: all of them."""
    start: datetime
    end: datetime
    target_shed_kw: float = 0.0
    """Of a fixed cap: to be taken once, from the feeders together [kW]."""
    incentive_per_kwh: float = 0.0
    """What shedding earns [currency/kWh]."""
    penalty_per_kwh: float = 0.0
    """What not shedding costs [currency/kWh]."""
    active: bool = False


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, for the audit log."""

    username: str
    request_id: str
    """In which request."""
    remote: str = ""
    """From which address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrEvent:
    """A demand-response event: tighter limits on some feeders for a window [start, end)."""

    event_id: str
    feeder_ids: tuple[str, ...]
    start: datetime
    end: datetime
    import_limit_kw: float | None = None
    export_limit_kw: float | None = None
    shed_kw: float | None = None
    """To be taken once, from the feeders together, against what they draw when the event starts [kW]."""
    reason: str = ""
    created_by: str = ""
    created_at: datetime
    cancelled_at: datetime | None = None
    name: str = ""
    """What people call it."""

    def state_at(self, now: datetime) -> EventState:
        """Where it stands at an instant; its end is not inside."""
        if self.cancelled_at is not None:
            return EventState.CANCELLED
        if now >= self.end:
            return EventState.OVER
        return EventState.ACTIVE if now >= self.start else EventState.SCHEDULED


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRecord:
    """One alarm: its newest occurrence, and what people have said of it."""

    kind: str
    subject: str
    """Id of what it is about: a feeder, a device, an event, a part of the daemon; `*`: many at once."""
    priority: Priority
    cause: str
    consequence: str
    response: str
    active: bool
    """Its condition holds; delays are over."""
    acknowledged: bool
    """Somebody has said that they know of this occurrence."""
    occurrences: int
    """How often it was raised since it was last normal."""
    raised_at: datetime
    returned_at: datetime | None = None
    """When its condition was last gone; None: it holds since it was raised."""
    acknowledged_by: str | None = None
    acknowledged_at: datetime | None = None
    shelved_until: datetime | None = None
    shelved_by: str | None = None
    shelved_reason: str | None = None

    @property
    def alarm_id(self) -> str:
        """The same for every occurrence."""
        return f"{self.kind}.{self.subject}"

    @property
    def state(self) -> AlarmState:
        """Where it stands."""
        if self.shelved_until is not None:
            return AlarmState.SHELVED
        if self.active:
            return AlarmState.ACKNOWLEDGED if self.acknowledged else AlarmState.UNACKNOWLEDGED
        return AlarmState.NORMAL if self.acknowledged else AlarmState.RETURNED


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmLine:
    """One line of the alarms' history."""

    at: datetime
    kind: str
    subject: str
    change: AlarmChange
    cause: str
    by: str = ""
    """Who did it; empty: nobody, it happened."""
    number: int = 0
    """Rises with every line that is stored; 0: it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecord:
    """What one tick decided for one feeder, and from what; one row of the decision log."""

    feeder_id: str
    at_ms: int
    epoch: int
    tick: int
    mode: FeederMode
    import_limit_kw: float | None
    """The limit in force, after DR [kW]."""
    limit_source: str
    """Who set it: `static`, or an event's id."""
    measured_kw: float | None
    """The fresh head meter [kW]; None: there is none."""
    background_kw: float
    reserved_kw: float
    """Held back for silent, faulty and disobedient devices [kW]."""
    headroom_kw: float | None
    """What was there to allocate [kW]; None: there is no limit."""
    commanded_kw: float
    """The sum of the leases of EVs and batteries [kW]."""
    shortfall_kw: float
    """By how much the limit cannot be held with what is controllable [kW]; 0 when it can."""
    envelope_kw: float = 0.0
    """The worst import if the controller, the broker or any path died now [kW]."""
    envelope_in_s: float = 0.0
    """When that would be, from then [s]. What has a default is lacking in records that an earlier version spooled."""
    setpoints_sent: int
    duration_ms: float
    load_kw: float | None = None
    """The net load, measured or else estimated [kW]; None: not recorded."""
    export_limit_kw: float | None = None
    """In force [kW]; None: no limit, or not recorded."""
    export_source: str = ""
    export_shortfall_kw: float = 0.0
    pv_kw: float | None = None
    """The sum of the newest readings of PV that is heard, likewise of the other kinds [kW]; None: not recorded."""
    battery_kw: float | None = None
    ev_kw: float | None = None
    base_kw: float | None = None
    deferred_kw: float | None = None
    """What EVs and batteries could have taken and were not given [kW]; None: not recorded."""
    curtailed_kw: float | None = None
    """What PV says it could have made and was not allowed to [kW]; None: not recorded."""
