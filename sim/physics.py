"""What an array and a household do, and the rules of all simulated devices. Pure: no clock, no chance but by seed.

Rules of the house here:

- Load convention: drawn from the feeder is positive. A step's power is its mean: energy is power times time, exactly.
- What goes in equals what comes out, what is stored and what is lost (`Step`); a test holds it to 1e-9.
- A step takes the surroundings at its start; a car that comes or goes does so between two steps.
- Batteries and cars live in `sim.storage`.
- A command of None means: not under command, the device runs as it likes (a battery and a car charge, an array
  generates).
"""

import math
from dataclasses import dataclass
from typing import Protocol

from sim.noise import smooth_noise
from sim.sun import Sky, plane_of_array_w_m2

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every device of the feeder meets at one instant."""

    t_s: float
    """The simulated instant, since the Monday 00:00 of the recorded week [s]."""
    sky: Sky
    household_kw: float
    """Mean power of a household with 1,000 kWh a year [kW]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a device did in one step."""

    p_kw: float
    """Mean power at the feeder [kW]."""
    stored_kwh: float = 0.0
    """Gained by the store [kWh]; negative: taken from it."""
    lost_kwh: float = 0.0
    """Turned into heat [kWh]."""
    source_kwh: float = 0.0
    """Won from outside the feeder, the sun [kWh]; negative: given away, what a household uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a device shows of itself at one instant."""

    available_kw: float | None = None
    """What it could do now, a magnitude: charge, or for PV generate [kW]; None: its rating."""
    soc: float | None = None
    """State of charge, 0..1; None: it has none, or nothing is plugged in."""
    capacity_kwh: float | None = None
    """Of what is connected now [kWh]; None: nothing is."""
    leaves_at_s: float | None = None
    """When the car that is there will leave, on the simulated clock [s]."""
    obeys: bool = True
    """False: it goes its own way whatever it is told."""


class Plant(Protocol):
    """A device's physics; its owner is the feeder it hangs on."""

    def step(self, now: Surroundings, dt_s: float, command_kw: float | None) -> Step:
        """Live for `dt_s` > 0 seconds under a command [kW]."""
        ...

    def look(self, now: Surroundings) -> Outlook:
        """See how it stands at this instant."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PvSpec:
    """An array on a roof and its inverter."""

    peak_kw: float
    """Of the modules under standard test conditions [kW]."""
    inverter_kw: float
    """The inverter clips here [kW]."""
    tilt_deg: float
    azimuth_deg: float
    """Where it faces, clockwise from north."""
    cloud_lag_s: float = 0.0
    """When the clouds that pass the feeder get here [s]."""
    seed: int = 0
    """Which clouds: arrays of one feeder share it."""
    performance: float = 0.9
    """Dirt, mismatch, wiring."""
    inverter_efficiency: float = 0.96


class PvArray:
    """Makes power when the sun shines."""

    def __init__(self, spec: PvSpec) -> None:
        self.spec = spec
        self._tilt_rad = math.radians(spec.tilt_deg)
        self._azimuth_rad = math.radians(spec.azimuth_deg)

    def available_kw(self, now: Surroundings) -> float:
        """What it could generate now [kW], a magnitude.

        Source: J. Duffie and W. Beckman, "Solar Engineering of Thermal Processes", chapter 23 (cell temperature from
        the nominal operating one, linear loss of power with it).
        """
        spec, sky = self.spec, now.sky
        if sky.sun.cos_zenith <= 0.0:
            return 0.0
        passing = smooth_noise(spec.seed, now.t_s - spec.cloud_lag_s, _CLOUD_S)
        # Around the measured mean, so that clouds move energy within the hour and make or take none on average.
        beam = sky.beam_w_m2 * (1.0 + sky.beam_variability * passing)
        plane = plane_of_array_w_m2(sky, tilt_rad=self._tilt_rad, azimuth_rad=self._azimuth_rad, beam_w_m2=beam)
        cell_c = sky.temperature_c + plane / 800.0 * 25.0
        modules_kw = spec.peak_kw * plane / 1000.0 * spec.performance * (1.0 - 0.004 * (cell_c - 25.0))
        return max(0.0, min(spec.inverter_kw, modules_kw * spec.inverter_efficiency))

    def look(self, now: Surroundings) -> Outlook:
        """What it could generate."""
        return Outlook(available_kw=self.available_kw(now))

    def step(self, now: Surroundings, dt_s: float, command_kw: float | None) -> Step:
        """Generate; the command is the most negative power allowed."""
        made_kw = self.available_kw(now)
        if command_kw is not None:
            made_kw = min(made_kw, max(0.0, -command_kw))
        return Step(p_kw=0.0 - made_kw, source_kwh=made_kw * dt_s / HOUR_S)


_CLOUD_S = 360.0
"""A cloud passes in some minutes [s]."""
_HOUSEHOLD_KWH = 3500.0
"""A year of one household [kWh]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HouseholdSpec:
    """Some households, seen as one load."""

    annual_kwh: float
    seed: int


class Households:
    """Draws what people use; takes no commands."""

    def __init__(self, spec: HouseholdSpec) -> None:
        self.spec = spec
        self._kettle_share = min(0.8, 0.5 / math.sqrt(spec.annual_kwh / _HOUSEHOLD_KWH))

    def demand_kw(self, now: Surroundings) -> float:
        """What they draw now [kW]."""
        # People follow the day together, but put their kettles on one by one: the more, the smoother.
        habit = 0.1 * smooth_noise(self.spec.seed, now.t_s, 1800.0)
        kettle = self._kettle_share * smooth_noise(self.spec.seed + 1, now.t_s, 120.0)
        return now.household_kw * self.spec.annual_kwh / 1000.0 * (1.0 + habit + kettle)

    def look(self, now: Surroundings) -> Outlook:
        """Nothing to be told."""
        return Outlook(obeys=False)

    def step(self, now: Surroundings, dt_s: float, command_kw: float | None) -> Step:
        """Draw."""
        p_kw = self.demand_kw(now)
        return Step(p_kw=p_kw, source_kwh=0.0 - p_kw * dt_s / HOUR_S)
