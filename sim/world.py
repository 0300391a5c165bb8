"""The simulated feeder on the wall's clock: one clock for all, one driver for each device.

Rules: the world alone advances the physics, all devices in one step, so that the head meter and the devices' own
readings are of the same instant. Drivers only look, and leave a wish for the next step.
"""

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from agent.driver import Capabilities, Reading
from derms.contract import SimulationProfile
from derms.model import Device, DeviceKind, DeviceStatus
from derms.ports import Clock
from derms.runtime import wait_first
from sim.feeder import FeederPhysics
from sim.physics import HOUR_S
from sim.scenario import Member, Scenario

STEP_S = 0.25
"""Between two steps [s of the wall]."""
_LONGEST_STEP_S = 60.0
"""Longer stretches are cut, so that a stalled process does not blur the physics [simulated s]."""
_MOST_CUTS = 20
_HISTORY = 100_000
"""Head readings kept, the oldest go first: about seven hours of steps."""

_HELD_HOURS: dict[SimulationProfile, float | None] = {
    SimulationProfile.DAY: 12.0,
    SimulationProfile.NIGHT: 22.0,
    SimulationProfile.AUTO: None,
}


@dataclass(frozen=True, slots=True)
class HeadSample:
    """What truly flowed through the head in one step."""

    at_ms: int
    """The wall clock at its end [epoch ms]."""
    head_kw: float
    """Mean power [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimSummary:
    """What a simulation came to."""

    devices: int
    simulated_s: float
    """How long it lived, on its own clock [s]."""
    peak_head_kw: float
    """The largest mean power of a step at the head [kW]."""
    imported_kwh: dict[DeviceKind, float]
    """Drawn from the feeder, by kind of device [kWh]; under `METER` what came through the head."""
    exported_kwh: dict[DeviceKind, float]
    """Pushed into it, a magnitude [kWh]."""
    background_kwh: float
    """Drawn by what nobody meters [kWh]."""
    heads: Sequence[HeadSample]
    """The true power at the head over time."""


class SimWorld:
    """Advances a feeder's physics with the wall's clock.

    Args:
        scenario: The feeder.
        clock: The wall's clocks.
        speed: Simulated seconds in a second, > 0.
        free: Devices ignore what they are told, and do as they like.
    """

    def __init__(self, scenario: Scenario, *, clock: Clock, speed: float, free: bool = False) -> None:
        self.scenario = scenario
        self.heads: deque[HeadSample] = deque(maxlen=_HISTORY)
        self._clock = clock
        self._speed = speed
        self._free = free
        self._physics = scenario.physics()
        self._kinds = {member.device.device_id: member.device.kind for member in scenario.members}
        self._imported_kwh = dict.fromkeys(DeviceKind, 0.0)
        self._exported_kwh = dict.fromkeys(DeviceKind, 0.0)
        self._background_kwh = 0.0
        self._peak_kw = -math.inf
        for device in scenario.devices:
            if device.device_id in self._physics.commands and not free:
                self._physics.commands[device.device_id] = default_command(device)
        self._last_s = clock.monotonic_s()
        # A first short step, so that the first readings are true ones.
        self._live(1.0, 1)

    @property
    def simulated_s(self) -> float:
        """How long the world has lived [simulated s]."""
        return self._physics.now.t_s - self.scenario.start_s

    @property
    def over(self) -> bool:
        """Whether the scenario has nothing more to show."""
        return self.scenario.duration_s is not None and self.simulated_s > self.scenario.duration_s

    def driver(self, member: Member) -> "PlantDriver":
        """The device as its agent sees it."""
        return PlantDriver(member.device, self._physics, clock=self._clock, free=self._free)

    def show(self, profile: SimulationProfile) -> None:
        """Hold sun and households at noon or at ten in the evening, or let them go on with the clock."""
        self._physics.held_hour = _HELD_HOURS[profile]

    def advance(self) -> None:
        """Catch up with the wall's clock, in one go for all devices."""
        now_s = self._clock.monotonic_s()
        stretch_s = (now_s - self._last_s) * self._speed
        if stretch_s <= 0.0:
            return
        self._last_s = now_s
        self._live(stretch_s, min(_MOST_CUTS, math.ceil(stretch_s / _LONGEST_STEP_S)))

    async def run(self, stop: asyncio.Event) -> None:
        """Advance from now on, until told to stop or until the scenario is over."""
        self._last_s = self._clock.monotonic_s()
        while not stop.is_set() and not self.over:
            await wait_first(stop, timeout_s=STEP_S)
            self.advance()

    def summary(self) -> SimSummary:
        """What it came to so far."""
        return SimSummary(
            devices=len(self._kinds),
            simulated_s=self.simulated_s,
            peak_head_kw=self._peak_kw,
            imported_kwh=dict(self._imported_kwh),
            exported_kwh=dict(self._exported_kwh),
            background_kwh=self._background_kwh,
            heads=tuple(self.heads),
        )

    def _live(self, stretch_s: float, cuts: int) -> None:
        physics, dt_s = self._physics, stretch_s / cuts
        head_kwh = 0.0
        for _ in range(cuts):
            background_kw = physics.background_kw
            physics.step(dt_s)
            hours = dt_s / HOUR_S
            for device_id, step in physics.steps.items():
                self._book(self._kinds[device_id], step.p_kw * hours)
            self._book(DeviceKind.METER, physics.head_kw * hours)
            self._background_kwh += background_kw * hours
            head_kwh += physics.head_kw * hours
            self._peak_kw = max(self._peak_kw, physics.head_kw)
        self.heads.append(HeadSample(self._clock.now_ms(), head_kwh / (stretch_s / HOUR_S)))

    def _book(self, kind: DeviceKind, kwh: float) -> None:
        if kwh >= 0.0:
            self._imported_kwh[kind] += kwh
        else:
            self._exported_kwh[kind] -= kwh


class PlantDriver:
    """One device of the simulated feeder; implements `agent.driver.Model`."""

    def __init__(self, device: Device, physics: FeederPhysics, *, clock: Clock, free: bool) -> None:
        self._device = device
        self._physics = physics
        self._clock = clock
        self._free = free

    def capabilities(self) -> Capabilities:
        """Its ratings."""
        device = self._device
        return Capabilities(
            kind=device.kind,
            p_import_max_kw=device.p_import_max_kw,
            p_export_max_kw=device.p_export_max_kw,
            p_min_kw=device.p_min_kw,
            capacity_kwh=device.capacity_kwh,
            default_power_kw=default_command(device),
        )

    def read(self) -> Reading:
        """What it did in the world's last step, and how it stands now."""
        physics, device_id = self._physics, self._device.device_id
        if device_id not in physics.steps:
            return Reading(p_actual_kw=physics.metered_head_kw)
        outlook = physics.look(device_id)
        ready_by_ms = None
        if outlook.leaves_at_s is not None:
            # Not divided by the speed: a controller divides energy by the time left, and both must be of one world.
            # A car that needs 10 kWh and leaves in 2 simulated hours needs 5 kW, also when they pass in 2 minutes.
            ready_by_ms = self._clock.now_ms() + round((outlook.leaves_at_s - physics.now.t_s) * 1000.0)
        return Reading(
            p_actual_kw=physics.steps[device_id].p_kw,
            soc=outlook.soc,
            status=self._status(obeys=outlook.obeys and not self._free),
            ready_by_ms=ready_by_ms,
            p_max_kw=outlook.available_kw,
            capacity_kwh=outlook.capacity_kwh,
        )

    def apply(self, p_kw: float | None, seconds: float) -> None:
        """Leave a wish for the world's next step; the world keeps the time."""
        if not self._free and self._device.device_id in self._physics.commands:
            self._physics.commands[self._device.device_id] = p_kw

    def _status(self, *, obeys: bool) -> DeviceStatus:
        # Nobody commands a load or a meter, so there is nothing unusual to say of it.
        passive = self._device.kind in (DeviceKind.LOAD, DeviceKind.METER)
        return DeviceStatus.OK if obeys or passive else DeviceStatus.LOCAL


def default_command(device: Device) -> float | None:
    """What a device does without a lease [kW]; None: as it likes."""
    match device.kind:
        case DeviceKind.BATTERY | DeviceKind.EV:
            return device.default_power_kw
        case DeviceKind.PV | DeviceKind.LOAD | DeviceKind.METER:
            return None
        case _:
            assert_never(device.kind)
