"""A feeder of plants, advanced as one: pure, and the same for the running simulation and for looking ahead."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sim.noise import smooth_noise
from sim.physics import Households, Outlook, Plant, Step, Surroundings
from sim.recorded import DAY_S, HouseholdProfile, Weather

_METER_NOISE_KW = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Climate:
    """Sun and habits of the recorded week."""

    weather: Weather
    household: HouseholdProfile

    def at(self, t_s: float, held_hour: float | None = None) -> Surroundings:
        """What the feeder's devices meet.

        Args:
            t_s: Since the Monday 00:00 of the recorded week [s].
            held_hour: When given, sun and households stand still at this hour of the day; clouds and cars go on.
        """
        shown_s = t_s if held_hour is None else t_s // DAY_S * DAY_S + held_hour * 3600.0
        return Surroundings(t_s=t_s, sky=self.weather.at(shown_s), household_kw=self.household.kw_per_mwh_year(shown_s))


class FeederPhysics:
    """All plants of a feeder and the load nobody meters, on one simulated clock.

    Its owner advances it; what it shows between two steps is one consistent instant.
    """

    def __init__(
        self, plants: Mapping[str, Plant], *, background: Households | None, climate: Climate, start_s: float, seed: int
    ) -> None:
        self._plants = dict(plants)
        self._background = background
        self._climate = climate
        self._seed = seed
        self.now = climate.at(start_s)
        self.held_hour: float | None = None
        self.commands: dict[str, float | None] = dict.fromkeys(plants)
        """What each device is asked [kW]; None: it runs as it likes."""
        self.steps: dict[str, Step] = {device_id: Step(p_kw=0.0) for device_id in plants}
        """What each device did in the last step."""
        self.head_kw = 0.0
        """True mean power at the feeder's head in the last step [kW]."""

    @property
    def metered_head_kw(self) -> float:
        """What the head meter shows [kW]: the truth and its small error."""
        return self.head_kw + _METER_NOISE_KW * smooth_noise(self._seed, self.now.t_s, 1.0)

    @property
    def background_kw(self) -> float:
        """The load that no device reports, now [kW]."""
        return 0.0 if self._background is None else self._background.demand_kw(self.now)

    def look(self, device_id: str) -> Outlook:
        """How a device stands now."""
        return self._plants[device_id].look(self.now)

    def step(self, dt_s: float) -> None:
        """Let every plant live for `dt_s` > 0 simulated seconds."""
        now, commands = self.now, self.commands
        self.steps = {
            device_id: plant.step(now, dt_s, commands[device_id]) for device_id, plant in self._plants.items()
        }
        self.head_kw = math.fsum([self.background_kw, *(step.p_kw for step in self.steps.values())])
        self.now = self._climate.at(now.t_s + dt_s, self.held_hour)
