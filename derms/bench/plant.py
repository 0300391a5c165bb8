"""The physics of a car park in steps of one second, and what its meters say. It obeys leases and knows no controller.

Within second t: power flows by what each charger offers, then it is measured; a command given after that is offered
`latency_s` later. A lease that has ended is default control: nothing. Load convention, kW.
"""

import numpy as np

from derms.bench.world import Cars, Chargers, Site, cars_of, chargers_of, household_kw, pv_kw
from derms.columns import Bools, Floats, Ints

_RING = 8
"""Longer than any latency [s]."""
_TAPER_SOC = 0.92
_UP_S = 6.0
"""A car goes from nothing to all it takes in about this time [s]; down is at once."""


class Plant:
    """One site, alive. Owned by one run."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.chargers: Chargers = chargers_of(site)
        self.cars: Cars = cars_of(site, self.chargers)
        self.household_kw: Floats = household_kw(site)
        self.pv_kw: Floats = pv_kw(site) if site.pv_kw > 0.0 else np.zeros(site.duration_s)
        n = site.chargers
        self._noise = np.random.default_rng([site.seed, 5])
        self._turn: Ints = np.zeros(n, dtype=np.int64)
        self._told_kw = np.full((_RING, n), np.nan)
        self._told_until_s = np.full((_RING, n), -np.inf)
        self._lease_kw = np.zeros(n)
        self._lease_until_s = np.full(n, -np.inf)
        self.soc: Floats = self.cars.soc[:, 0].copy()
        self.p_kw: Floats = np.zeros(n)
        """What each charger draws."""
        self.demand_kw: Floats = np.zeros(n)
        """What each would draw if it were offered everything."""
        self.present: Bools = np.zeros(n, dtype=bool)
        self.leaves_s: Floats = np.full(n, np.nan)
        self.fixed_kw = 0.0
        """Everything that is not a charger."""

    @property
    def load_kw(self) -> float:
        """What truly flows through the head."""
        return self.fixed_kw + float(np.sum(self.p_kw))

    def step(self, t: int) -> None:
        """Live through second t."""
        rows = np.arange(self.site.chargers)
        self._come_and_go(t, rows)
        slot = t % _RING
        new = np.isfinite(self._told_kw[slot])
        self._lease_kw = np.where(new, self._told_kw[slot], self._lease_kw)
        self._lease_until_s = np.where(new, self._told_until_s[slot], self._lease_until_s)
        self._told_kw[slot] = np.nan
        offered = np.where(t < self._lease_until_s, self._lease_kw, 0.0)
        offered = np.where(
            offered >= self.chargers.minimum_kw - 1e-9, np.minimum(offered, self.chargers.rating_kw), 0.0
        )
        car, habit = self.cars.limit_kw[rows, self._turn], self.cars.habit[rows, self._turn]
        taper = np.clip((1.0 - self.soc) / (1.0 - _TAPER_SOC), 0.2, 1.0)
        self.demand_kw = np.where(self.present & (self.soc < 1.0), car * taper * habit, 0.0)
        takes = np.minimum(offered * habit, self.demand_kw)
        self.p_kw = np.minimum(takes, self.p_kw + car / _UP_S)
        self.soc = np.minimum(self.soc + self.p_kw / 3600.0 / self.cars.capacity_kwh[rows, self._turn], 1.0)
        self.fixed_kw = float(self.household_kw[t] - self.pv_kw[t])

    def command(self, t: int, row: int, p_kw: float, until_s: float) -> None:
        """Send a lease at the end of second t."""
        slot = (t + int(self.chargers.latency_s[row])) % _RING
        self._told_kw[slot, row] = p_kw
        self._told_until_s[slot, row] = until_s

    def following_kw(self, row: int, t: int) -> float | None:
        """The lease a charger follows [kW]; None: it is on default control."""
        return float(self._lease_kw[row]) if t < self._lease_until_s[row] else None

    def metered_kw(self) -> float:
        """What the head meter says of this second."""
        load = self.load_kw
        return load * (1.0 + self.site.noise * float(self._noise.standard_normal()))

    def capacity_kwh(self) -> Floats:
        """Of the car that stands at each charger, shape (n,) [kWh]."""
        return np.asarray(self.cars.capacity_kwh[np.arange(self.site.chargers), self._turn], dtype=np.float64)

    def _come_and_go(self, t: int, rows: Ints) -> None:
        cars = self.cars
        over = (cars.leaves_s[rows, self._turn] <= t) & (self._turn < cars.leaves_s.shape[1] - 1)
        self._turn = np.where(over, self._turn + 1, self._turn)
        self.soc = np.where(over, cars.soc[rows, self._turn], self.soc)
        arrives, self.leaves_s = cars.arrives_s[rows, self._turn], cars.leaves_s[rows, self._turn]
        self.present = (arrives <= t) & (t < self.leaves_s)
