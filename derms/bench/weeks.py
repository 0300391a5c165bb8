"""Weeks of charging sessions: the recorded one, variations of it, and three generated car parks. Pure after loading.

A generated week is a function of its seed. Energies are cut to what a session could get if it were alone, as nobody
could deliver more.
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import Floats, Ints
from sim.recorded import load_sessions

_HOUR_S = 3600.0
_DAY_S = 86_400.0
_ONE_PHASE_KW = 0.208
"""An ampere at the recorded garage's 208 V [kW]."""
_LEAST_STAY_H, _LEAST_KWH = 0.25, 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """Charging sessions, in order of arrival; arrays of shape (n,)."""

    arrival_s: Floats
    """Since Monday 00:00 [s]."""
    departure_s: Floats
    energy_kwh: Floats
    """What it asks for [kWh]."""
    p_max_kw: Floats
    p_min_kw: Floats
    """Smallest non-zero power [kW]; 0: any power."""
    p_step_kw: Floats
    priority: Floats

    def on_grid(self, step_s: float) -> "Week":
        """The same week in whole steps: present from the step of its arrival to the one of its departure."""
        arrival = np.floor(self.arrival_s / step_s) * step_s
        departure = np.maximum(np.ceil(self.departure_s / step_s) * step_s, arrival + step_s)
        alone = self.p_max_kw * (departure - arrival) / _HOUR_S
        return replace(self, arrival_s=arrival, departure_s=departure, energy_kwh=np.minimum(self.energy_kwh, alone))

    def in_amps(self, amp_kw: float = _ONE_PHASE_KW) -> "Week":
        """The same cars at chargers that know 0 and whole amps from 6."""
        amps = np.floor(self.p_max_kw / amp_kw + 1e-9)
        size = self.arrival_s.size
        return replace(
            self, p_max_kw=amps * amp_kw, p_min_kw=np.full(size, 6.0 * amp_kw), p_step_kw=np.full(size, amp_kw)
        )

    def with_priorities(self, seed: int) -> "Week":
        """The same week with priorities of 1 to 10."""
        drawn = np.random.default_rng(seed).integers(1, 11, self.arrival_s.size)
        return replace(self, priority=drawn.astype(np.float64))

    def part(self, share: float, seed: int) -> "Week":
        """A part of the sessions, chosen by chance."""
        size = self.arrival_s.size
        return self._rows(np.sort(np.random.default_rng(seed).permutation(size)[: round(size * share)]))

    def until(self, days: int) -> "Week":
        """The sessions that are over after so many days."""
        return self._rows(np.flatnonzero(self.departure_s <= days * _DAY_S)) if days < 7 else self

    def varied(self, seed: int, jitter_h: float = 0.75) -> "Week":
        """Days shuffled among the working days, arrivals and departures moved by up to `jitter_h`."""
        rng = np.random.default_rng(seed)
        day = (self.arrival_s // _DAY_S).astype(np.int64)
        to = np.concatenate((rng.permutation(5), (5, 6)))
        moved = (to[np.minimum(day, 6)] - day) * _DAY_S
        arrival = self.arrival_s + moved + rng.uniform(-jitter_h, jitter_h, day.size) * _HOUR_S
        departure = self.departure_s + moved + rng.uniform(-jitter_h, jitter_h, day.size) * _HOUR_S
        return _week(rng, arrival, departure, self.energy_kwh, self.p_max_kw)

    def _rows(self, row: Ints) -> "Week":
        return Week(
            arrival_s=self.arrival_s[row],
            departure_s=self.departure_s[row],
            energy_kwh=self.energy_kwh[row],
            p_max_kw=self.p_max_kw[row],
            p_min_kw=self.p_min_kw[row],
            p_step_kw=self.p_step_kw[row],
            priority=self.priority[row],
        )


def recorded_week(p_max_kw: float = 32 * _ONE_PHASE_KW) -> Week:
    """The shipped week of a campus garage, at chargers of one power."""
    sessions = load_sessions()
    energy = np.array([session.energy_kwh for session in sessions])
    return _week(
        None,
        np.array([session.arrival_s for session in sessions]),
        np.array([session.departure_s for session in sessions]),
        energy,
        np.full(energy.size, p_max_kw),
    )


def workplace(seed: int, cars: int = 45) -> Week:
    """A car park at work: everybody comes in the morning and stays, chargers of three sizes."""
    rng = np.random.default_rng(seed)
    day = _days(rng, (cars,) * 5 + (cars // 6,) * 2)
    arrival = day * 24.0 + rng.normal(8.3, 1.0, day.size)
    stay = np.clip(rng.normal(8.5, 1.8, day.size), 0.7, 14.0)
    rating = rng.choice([3.7, 6.6, 11.0], day.size, p=[0.2, 0.6, 0.2])
    return _week(rng, arrival * _HOUR_S, (arrival + stay) * _HOUR_S, rng.gamma(2.2, 5.5, day.size), rating)


def campus(seed: int, cars: int = 50) -> Week:
    """A campus: some in the morning, others at any hour, short stays and nights among them."""
    rng = np.random.default_rng(seed)
    day = _days(rng, (cars,) * 5 + (2 * cars // 5,) * 2)
    morning = rng.random(day.size) < 0.6
    arrival = day * 24.0 + np.where(morning, rng.normal(9.0, 1.2, day.size), rng.uniform(8.0, 22.0, day.size))
    stay = np.clip(rng.lognormal(np.log(4.5), 0.7, day.size), 0.4, 30.0)
    rating = np.full(day.size, 32 * _ONE_PHASE_KW)
    return _week(rng, arrival * _HOUR_S, (arrival + stay) * _HOUR_S, rng.gamma(1.6, 6.0, day.size), rating)


def depot(seed: int, cars: int = 24) -> Week:
    """A depot: vans come in the evening and all must leave early, with large needs."""
    rng = np.random.default_rng(seed)
    day = _days(rng, (cars,) * 7)
    arrival = day * 24.0 + rng.normal(18.0, 1.5, day.size)
    departure = day * 24.0 + 24.0 + rng.normal(6.5, 1.0, day.size)
    return _week(rng, arrival * _HOUR_S, departure * _HOUR_S, rng.gamma(4.0, 9.0, day.size), np.full(day.size, 11.0))


def _days(rng: np.random.Generator, mean: tuple[int, ...]) -> Floats:
    """The day of each session, with so many a day on average."""
    return np.repeat(np.arange(len(mean)), rng.poisson(mean)).astype(np.float64)


def _week(
    rng: np.random.Generator | None, arrival_s: Floats, departure_s: Floats, energy_kwh: Floats, p_max_kw: Floats
) -> Week:
    """Sort, and keep what makes sense; a generator was used where there is one."""
    arrival = np.maximum(arrival_s, 0.0)
    departure = np.maximum(departure_s, arrival + _LEAST_STAY_H * _HOUR_S) if rng is not None else departure_s
    energy = np.maximum(energy_kwh, _LEAST_KWH) if rng is not None else energy_kwh
    order = np.argsort(arrival, kind="stable")
    return Week(
        arrival_s=arrival[order],
        departure_s=departure[order],
        energy_kwh=energy[order],
        p_max_kw=p_max_kw[order],
        p_min_kw=np.zeros(order.size),
        p_step_kw=np.zeros(order.size),
        priority=np.full(order.size, 5.0),
    )
