"""What a battery and a car do. Pure; the rules are those of `sim.physics`."""

import math
from bisect import bisect_right
from dataclasses import dataclass

from sim.physics import HOUR_S, Outlook, Step, Surroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class BatterySpec:
    """A battery and its inverter."""

    capacity_kwh: float
    p_charge_max_kw: float
    p_discharge_max_kw: float
    """A magnitude [kW]."""
    charge_efficiency: float = 0.95
    discharge_efficiency: float = 0.95
    soc_min: float = 0.1
    """The management system gives nothing below it."""
    soc_max: float = 0.98
    taper_from: float = 0.85
    """Charging power falls from here to a tenth at `soc_max`; discharging likewise over the same width at the floor."""
    standby_kw: float = 0.01
    """What its electronics draw from the cells [kW]."""


class Battery:
    """Stores energy, at a price."""

    def __init__(self, spec: BatterySpec, soc: float) -> None:
        self.spec = spec
        self.stored_kwh = soc * spec.capacity_kwh

    @property
    def soc(self) -> float:
        """State of charge, 0..1."""
        return self.stored_kwh / self.spec.capacity_kwh

    def charge_limit_kw(self) -> float:
        """The most it takes at this state of charge [kW]; never rises with it."""
        spec = self.spec
        return spec.p_charge_max_kw * _taper((spec.soc_max - self.soc) / (spec.soc_max - spec.taper_from))

    def discharge_limit_kw(self) -> float:
        """The most it gives at this state of charge [kW], a magnitude; never falls with it."""
        spec = self.spec
        return spec.p_discharge_max_kw * _taper((self.soc - spec.soc_min) / (spec.soc_max - spec.taper_from))

    def look(self, now: Surroundings) -> Outlook:
        """What it could take or give now, whichever is more, and how full it is."""
        available_kw = max(self.charge_limit_kw(), self.discharge_limit_kw())
        return Outlook(available_kw=available_kw, soc=self.soc, capacity_kwh=self.spec.capacity_kwh)

    def step(self, now: Surroundings, dt_s: float, command_kw: float | None) -> Step:
        """Charge (> 0) or discharge (< 0), within what the cells allow."""
        spec, hours = self.spec, dt_s / HOUR_S
        wanted = spec.p_charge_max_kw if command_kw is None else command_kw
        standby_kwh = min(spec.standby_kw * hours, self.stored_kwh)
        cells_kwh = self.stored_kwh - standby_kwh
        if wanted >= 0.0:
            room_kwh = max(0.0, spec.soc_max * spec.capacity_kwh - cells_kwh)
            p_kw = min(wanted, self.charge_limit_kw(), room_kwh / (spec.charge_efficiency * hours))
            inside_kwh = p_kw * hours * spec.charge_efficiency
        else:
            above_floor_kwh = max(0.0, cells_kwh - spec.soc_min * spec.capacity_kwh)
            give_kw = min(-wanted, self.discharge_limit_kw(), above_floor_kwh * spec.discharge_efficiency / hours)
            p_kw = 0.0 - give_kw
            inside_kwh = p_kw * hours / spec.discharge_efficiency
        self.stored_kwh = cells_kwh + inside_kwh
        return Step(p_kw=p_kw, stored_kwh=inside_kwh - standby_kwh, lost_kwh=p_kw * hours - inside_kwh + standby_kwh)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A car at a charger."""

    arrival_s: float
    departure_s: float
    """The car is there in [arrival, departure) [s]."""
    energy_kwh: float
    """What the driver takes, measured at the charger [kWh]."""
    capacity_kwh: float
    """Of the car's battery [kWh]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargerSpec:
    """A charger (EVSE): one car at a time, no discharging."""

    p_max_kw: float
    p_min_kw: float
    """6 A: between 0 and this there is nothing [kW]."""
    efficiency: float = 0.92
    target_soc: float = 0.9
    """The car's own charge limit, 0..1."""
    taper_from: float = 0.8
    """From here the car holds the voltage and the current falls, to the charger's smallest power at 1."""
    repeats_every_s: float | None = None
    """The visits come again after this time [s]; None: they are absolute."""


class EvCharger:
    """A charger and the cars that visit it."""

    def __init__(self, spec: ChargerSpec, visits: tuple[Visit, ...]) -> None:
        self.spec = spec
        self._visits = tuple(sorted(visits, key=lambda visit: visit.arrival_s))
        self._arrivals = [visit.arrival_s for visit in self._visits]
        self._here: tuple[float, int] | None = None
        self._stored_kwh = 0.0

    def look(self, now: Surroundings) -> Outlook:
        """The car that is there: what it would take (0 when it is done), how full it is, when it leaves."""
        visit = self._welcome(now.t_s)
        if visit is None:
            return Outlook(available_kw=0.0)
        wants = self._stored_kwh < self.spec.target_soc * visit.capacity_kwh - _DONE_KWH
        soc = self._stored_kwh / visit.capacity_kwh
        return Outlook(
            available_kw=self.car_limit_kw(soc) if wants else 0.0,
            soc=soc,
            capacity_kwh=visit.capacity_kwh,
            leaves_at_s=visit.departure_s + self._round_start_s(now.t_s),
        )

    def car_limit_kw(self, soc: float) -> float:
        """The most a car takes at a state of charge [kW]; never rises with it, never under the smallest power.

        Source: constant current, then constant voltage, as a straight line in the state of charge: Z. Lee, S. Sharma,
        D. Johansson, S. Low, "ACN-Sim: an open-source simulator for data-driven electric vehicle charging research",
        2021, two-stage battery model.
        """
        spec = self.spec
        left = min(1.0, max(0.0, (1.0 - soc) / (1.0 - spec.taper_from)))
        return spec.p_min_kw + (spec.p_max_kw - spec.p_min_kw) * left

    def step(self, now: Surroundings, dt_s: float, command_kw: float | None) -> Step:
        """Charge the car that is there; what is asked below the smallest power is 0."""
        visit = self._welcome(now.t_s)
        if visit is None:
            return Step(p_kw=0.0)
        spec, hours = self.spec, dt_s / HOUR_S
        room_kwh = spec.target_soc * visit.capacity_kwh - self._stored_kwh
        limit_kw = min(self.car_limit_kw(self._stored_kwh / visit.capacity_kwh), room_kwh / (spec.efficiency * hours))
        p_kw = limit_kw if command_kw is None else min(command_kw, limit_kw)
        # The last crumbs, less than the smallest power brings in a step, are left: the car calls itself full.
        if p_kw < spec.p_min_kw:
            p_kw = 0.0
        drawn_kwh = p_kw * hours
        stored_kwh = drawn_kwh * spec.efficiency
        self._stored_kwh += stored_kwh
        return Step(p_kw=p_kw, stored_kwh=stored_kwh, lost_kwh=drawn_kwh - stored_kwh)

    def _welcome(self, t_s: float) -> Visit | None:
        here = self._find(t_s)
        if here is None:
            self._here = None
            return None
        visit = self._visits[here[1]]
        if here != self._here:
            self._here = here
            spec = self.spec
            needed_kwh = visit.energy_kwh * spec.efficiency
            self._stored_kwh = max(0.0, spec.target_soc * visit.capacity_kwh - needed_kwh)
        return visit

    def _find(self, t_s: float) -> tuple[float, int] | None:
        start_s = self._round_start_s(t_s)
        index = bisect_right(self._arrivals, t_s - start_s) - 1
        if index < 0 or t_s - start_s >= self._visits[index].departure_s:
            return None
        return start_s, index

    def _round_start_s(self, t_s: float) -> float:
        every_s = self.spec.repeats_every_s
        return 0.0 if every_s is None else math.floor(t_s / every_s) * every_s


_DONE_KWH = 0.02
"""Closer to its target than this a car wants nothing [kWh]."""


def _taper(nearness: float) -> float:
    """1 far from the end of the window, a tenth at it."""
    return min(1.0, max(0.1, nearness))
