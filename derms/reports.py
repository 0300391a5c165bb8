"""What is read back from the logs: rows and figures, as values. Pure."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederBucket:
    """What the ticks of one feeder in one bucket of time came to; None where nothing was recorded."""

    at: datetime
    """Where the bucket begins."""
    ticks: int
    load_kw: float | None
    """The mean over the ticks, as everywhere where it does not say otherwise [kW]."""
    load_max_kw: float | None
    load_min_kw: float | None
    import_limit_kw: float | None
    """The least in force [kW]; None: there was none."""
    export_limit_kw: float | None
    background_kw: float | None
    commanded_kw: float | None
    headroom_kw: float | None
    """The least [kW]; None: there was no limit."""
    reserved_kw: float | None
    shortfall_kw: float
    """The largest [kW]."""
    export_shortfall_kw: float
    pv_kw: float | None
    battery_kw: float | None
    ev_kw: float | None
    base_kw: float | None
    deferred_kw: float | None
    curtailed_kw: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeederFigures:
    """What the decision log says of one feeder over a period; defined in docs/api.md. None: nothing is known."""

    covered_s: float
    average_kw: float | None
    peak_kw: float | None
    peak_at: datetime | None
    lowest_kw: float | None
    import_kwh: float
    export_kwh: float
    utilisation: float | None
    deferred_kwh: float
    curtailed_kwh: float
    violations: int
    violation_s: float
    worst_excess_kw: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """How evenly devices were served over a period."""

    devices: int
    """That asked for something."""
    index: float | None
    """Jain's, over what each was delivered of what it asked for; None: nobody asked, or nobody got anything."""
    asked_kwh: float
    delivered_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHour:
    """What one device could have taken in one hour, and what it drew; the running total of one run."""

    device_id: str
    feeder_id: str
    hour: datetime
    epoch: int
    asked_kwh: float
    delivered_kwh: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSample:
    """One row of telemetry."""

    at: datetime
    seq: int
    """-1: the device does not count."""
    received_at: datetime
    p_actual_kw: float
    p_setpoint_kw: float | None
    soc: float | None
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryBucket:
    """What the rows of one device in one bucket of time come to."""

    at: datetime
    """Where the bucket begins."""
    samples: int
    p_actual_kw: float
    """The mean [kW]."""
    p_actual_max_kw: float
    p_actual_min_kw: float
    p_setpoint_kw: float | None
    """The mean of those that name one [kW]."""
    soc: float | None
    """The mean of those that name one."""
