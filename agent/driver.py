"""What the agent asks of a device: the one seam between the device rules and hardware, or physics.

Implementations: the kinds that `agent.drivers.open_driver` knows (hardware), and `Immediate` around a `Model` (the
simulated stand-ins, the simulator's physics). Power in the load convention [kW] (import positive), energy in kWh,
state of charge 0..1, instants in epoch ms. Other signs and units end at a driver's own door.
"""

from dataclasses import dataclass
from typing import Protocol

from derms.model import DeviceKind, DeviceStatus
from derms.ports import Clock


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
    """A device. Its verbs wait for it on the event loop and never block that; one is asked at a time.

    A verb may be cancelled at any await (the guard's timeout, the agent's end): what it held is then dropped, and the
    next verb begins anew. A device that is away when the agent starts is no error before it is asked.
    """

    def capabilities(self) -> Capabilities:
        """What the device can do, by configuration; asks nobody."""
        ...

    async def read(self) -> Reading:
        """Measure now.

        Raises:
            DeviceError: The device does not answer.
            DeviceFaultError: It answers with an error, or with what cannot be meant.
        """
        ...

    async def apply(self, p_kw: float | None, seconds: float) -> None:
        """Ask for a power. Called every few seconds, with the same power too: that is what keeps a reversion timer up.

        Args:
            p_kw: The power to aim at [kW], load convention; for PV the most negative power allowed (a generation
                cap). None: not under command, the device runs as it likes.
            seconds: For how long the device may go on so when it hears nothing more [s], > 0; then it is to fall to
                its default control by itself, if it can. `math.inf`: until it is told otherwise.

        Raises:
            DeviceError: The device does not answer; what it does now is unknown.
            DeviceFaultError: It refuses.
        """
        ...

    async def close(self) -> None:
        """Let go of the connection. The device keeps what it was told, and its own timer."""
        ...


class Model(Protocol):
    """A device that is computed: it answers at once."""

    def capabilities(self) -> Capabilities:
        """What the device can do."""
        ...

    def read(self) -> Reading:
        """Measure now."""
        ...

    def apply(self, p_kw: float | None, seconds: float) -> None:
        """Ask for a power, and say how much time has passed.

        Args:
            p_kw: As for a `Driver`.
            seconds: Since the last `apply` [s], >= 0. One whose physics has a clock of its own ignores it.
        """
        ...


class Immediate:
    """A model as a driver.

    Args:
        model: The device.
        clock: Tells how much time passes for it.
    """

    def __init__(self, model: Model, *, clock: Clock) -> None:
        self._model = model
        self._clock = clock
        self._lived_s: float | None = None

    def capabilities(self) -> Capabilities:
        """The model's."""
        return self._model.capabilities()

    async def read(self) -> Reading:
        """What the model says."""
        return self._model.read()

    async def apply(self, p_kw: float | None, seconds: float) -> None:
        """Let the model live up to now as it was asked before, then ask."""
        now_s = self._clock.monotonic_s()
        elapsed_s = 0.0 if self._lived_s is None else max(0.0, now_s - self._lived_s)
        self._lived_s = now_s
        self._model.apply(p_kw, elapsed_s)

    async def close(self) -> None:
        """There is nothing to let go of."""
