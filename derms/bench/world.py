"""What goes on around the chargers, second by second: people at home, clouds, cars that come and go.

Everything is drawn once from a seed, as arrays over time; nothing here knows of a controller. Load convention, kW.
"""

from dataclasses import dataclass

import numpy as np

from derms.columns import Floats, Ints

_RATINGS = ((7.4, 1.4), (11.0, 4.1), (22.0, 4.1))
"""Rating and smallest power of the chargers that are found in car parks [kW]."""
_CAR_LIMITS_KW = (3.7, 6.6, 7.4, 11.0, 22.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One car park and its neighbourhood."""

    seed: int
    duration_s: int
    chargers: int = 26
    clouds: bool = True
    """An array whose power falls by 60 % within 10 to 20 s when a cloud comes."""
    hungry: bool = False
    """Every charger always has a car that takes all it is offered."""
    limit_kw: float = 120.0
    noise: float = 0.01
    """Standard deviation of the head meter, as a share of what it reads."""
    household_kw: float = 25.0
    drift_kw: float = 3.0
    """Standard deviation of what the households do beyond their mean [kW]."""
    pv_kw: float = 30.0
    pv_reported: bool = True
    """The array has telemetry; else only the head meter sees it."""
    telemetry_s: int = 1
    meter_s: int = 1
    tick_s: int = 1
    departs: bool = False
    """Cars say when they leave."""
    amp_kw: float = 0.0
    """All chargers know 0 and whole amps from 6 to 32 of this [kW]; 0: any power above their smallest."""

    @staticmethod
    def drawn(seed: int, duration_s: int, **changes: object) -> "Site":
        """A site of its own kind for each seed."""
        rng = np.random.default_rng([seed, 17])
        shape: dict[str, object] = {
            "limit_kw": float(rng.uniform(80.0, 160.0)),
            "noise": float(rng.uniform(0.005, 0.02)),
            "household_kw": float(rng.uniform(15.0, 35.0)),
            "drift_kw": float(rng.uniform(1.0, 4.0)),
            "pv_kw": float(rng.uniform(15.0, 50.0)),
            "pv_reported": bool(rng.random() < 0.5),
            "departs": bool(rng.random() < 0.5),
        }
        return Site(seed=seed, duration_s=duration_s, **{**shape, **changes})  # type: ignore[arg-type] # a table


@dataclass(frozen=True, slots=True, kw_only=True)
class Chargers:
    """What hangs at the site, arrays of shape (n,)."""

    rating_kw: Floats
    minimum_kw: Floats
    latency_s: Ints
    """From a command until the charger offers what it says [s]."""
    phase_s: Ints
    """When within its period each reports [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cars:
    """The cars of every charger one after the other, arrays of shape (n, k)."""

    arrives_s: Floats
    leaves_s: Floats
    soc: Floats
    """On arrival, 0..1."""
    capacity_kwh: Floats
    limit_kw: Floats
    """The most the car takes, whatever it is offered [kW]."""
    habit: Floats
    """The share of what it is offered that it takes."""


def chargers_of(site: Site) -> Chargers:
    """Draw the chargers of a site."""
    rng = np.random.default_rng([site.seed, 1])
    n = site.chargers
    kind = rng.choice(len(_RATINGS), size=n, p=(0.4, 0.35, 0.25))
    table = np.array(_RATINGS if site.amp_kw <= 0.0 else [(32.0 * site.amp_kw, 6.0 * site.amp_kw)] * len(_RATINGS))
    return Chargers(
        rating_kw=table[kind, 0],
        minimum_kw=table[kind, 1],
        latency_s=rng.integers(1, 3, size=n),
        phase_s=rng.integers(0, max(site.telemetry_s, 1), size=n),
    )


def cars_of(site: Site, chargers: Chargers) -> Cars:
    """Draw the cars: most chargers are taken at the start, later ones come and go within some hours."""
    rng = np.random.default_rng([site.seed, 2])
    n = site.chargers
    k = 2 + site.duration_s // 3600
    shape = (n, k)
    if site.hungry:
        k, shape = 1, (n, 1)
        return Cars(
            arrives_s=np.full(shape, -1.0),
            leaves_s=np.full(shape, np.inf),
            soc=np.full(shape, 0.3),
            capacity_kwh=np.full(shape, 1e6),
            limit_kw=chargers.rating_kw[:, None].copy(),
            habit=np.ones(shape),
        )
    stay = rng.uniform(2700.0, 14400.0, shape)
    gap = rng.uniform(120.0, 1800.0, shape)
    first = np.where(rng.random(n) < 0.8, -rng.uniform(0.0, 2700.0, n), rng.uniform(0.0, 1800.0, n))
    arrives = first[:, None] + np.cumsum(stay + gap, axis=1) - (stay + gap)
    limit = np.minimum(rng.choice(_CAR_LIMITS_KW, size=shape), chargers.rating_kw[:, None])
    return Cars(
        arrives_s=arrives,
        leaves_s=arrives + stay,
        soc=rng.uniform(0.1, 0.85, shape),
        capacity_kwh=rng.uniform(35.0, 90.0, shape),
        limit_kw=np.maximum(limit, chargers.minimum_kw[:, None]),
        habit=np.where(rng.random(shape) < 0.7, 1.0, rng.uniform(0.96, 1.0, shape)),
    )


def household_kw(site: Site) -> Floats:
    """What the neighbours draw, shape (duration,) [kW]: a slow wave, a wander, and things switched on and off."""
    rng = np.random.default_rng([site.seed, 3])
    t = np.arange(site.duration_s, dtype=np.float64)
    wave = 0.7 * site.drift_kw * np.sin(2.0 * np.pi * (t / rng.uniform(1500.0, 4000.0) + rng.random()))
    keep = np.exp(-1.0 / 400.0)
    kicks = rng.normal(0.0, 0.5 * site.drift_kw * np.sqrt(1.0 - keep**2), site.duration_s)
    wander = np.empty(site.duration_s)
    value = 0.0
    for second in range(site.duration_s):
        value = keep * value + kicks[second]
        wander[second] = value
    things = np.zeros(site.duration_s + 1)
    for _ in range(int(rng.poisson(20.0 * site.duration_s / 3600.0))):
        on = int(rng.integers(0, site.duration_s))
        off = min(on + int(rng.uniform(60.0, 900.0)), site.duration_s)
        kw = rng.uniform(0.4, 2.5) * min(0.5 * site.drift_kw, 1.0)
        things[on] += kw
        things[off] -= kw
    return np.maximum(site.household_kw + wave + wander + np.cumsum(things)[:-1], 1.0)


def pv_kw(site: Site) -> Floats:
    """What the array makes, shape (duration,) [kW], a magnitude."""
    rng = np.random.default_rng([site.seed, 4])
    t = np.arange(site.duration_s, dtype=np.float64)
    clear = site.pv_kw * (0.75 + 0.15 * np.sin(2.0 * np.pi * (t / 9000.0 + rng.random())))
    if not site.clouds:
        return clear
    knots_t, knots = [0.0], [1.0]
    while knots_t[-1] < site.duration_s:
        comes = knots_t[-1] + 40.0 + rng.exponential(600.0)
        dark = comes + rng.uniform(10.0, 20.0)
        goes = dark + 20.0 + rng.exponential(120.0)
        knots_t += [comes, dark, goes, goes + rng.uniform(10.0, 20.0)]
        knots += [1.0, 0.4, 0.4, 1.0]
    return clear * np.interp(t, knots_t, knots)
