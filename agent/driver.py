"""What the agent asks of a device: the one seam between the device rules and hardware, or physics.

Implementations: `agent.drivers.simulated` (stands in for hardware on a Pi) and the simulator's physics. Power in
the load convention [kW] (import positive), energy in kWh, state of charge 0..1, instants in epoch ms.
"""

from dataclasses import dataclass
from typing import Protocol

from derms.model import DeviceKind, DeviceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a device can do; fixed while the agent runs."""

    kind: DeviceKind
    p_import_max_kw: float = 0.0
    """Rating in the import direction (charging, consumption) [kW], a magnitude."""
    p_export_max_kw: float = 0.0
    """Rating in the export direction (discharging, generation) [kW], a magnitude."""
    p_min_kw: float = 0.0
    """The smallest non-zero charging power [kW]; between 0 and it there is nothing."""
    capacity_kwh: float | None = None
    default_power_kw: float | None = 0.0
    """Default control [kW]: what the device does without a lease. For PV the most negative power allowed.
    None: nothing is asked of it, it runs as it likes (a PV array that generates freely, a load, a meter)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One measurement."""

    p_actual_kw: float
    """Measured power [kW], load convention."""
    soc: float | None = None
    """State of charge, 0..1; None: it has none, or nothing is plugged in."""
    status: DeviceStatus = DeviceStatus.OK
    ready_by_ms: int | None = None
    """When the driver needs the car [epoch ms]."""
    p_max_kw: float | None = None
    """What the device can do now [kW], a magnitude; None: its rating."""
    capacity_kwh: float | None = None
    """Of what is connected now [kWh], where it differs from the capabilities (another car); None: the same."""
    energy_needed_kwh: float | None = None
    """What the session still needs [kWh], where it asks for energy instead of a state of charge; None: it does not."""


class Driver(Protocol):
    """A device. Neither verb waits: a driver of slow hardware polls it in a task of its own."""

    def capabilities(self) -> Capabilities:
        """What the device can do."""
        ...

    def read(self) -> Reading:
        """Measure now."""
        ...

    def apply(self, p_kw: float | None, seconds: float) -> None:
        """Ask for a power, and say how much time has passed.

        Args:
            p_kw: The power to aim at [kW], load convention; for PV the most negative power allowed (a generation
                cap). None: not under command, the device runs as it likes.
            seconds: Since the last `apply` [s], >= 0. A driver whose physics has a clock of its own ignores it.
        """
        ...
