"""Second by second: how tightly the engine holds a limit, how much of it it uses, and how calmly.

A case is a function of a seed. The observer knows what truly flowed, not what anybody measured.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from derms.bench.rig import Rig, Script, Trace
from derms.bench.world import Site
from derms.columns import Bools, Floats, Ints, Params

_OVER = 1.005
"""What counts as over the limit."""
_WANTS_KW = 0.2
"""A charger that draws this much less than its car would take wants more [kW]."""
_MOVE_KW = 0.1
"""A setpoint that changes by less has not moved [kW]."""


Controller = Callable[[Site, Params, Script], Rig]
"""What controls a site: the engine, unless a case is told otherwise."""


def params_for(tick_s: int, telemetry_s: int) -> Params:
    """The engine's constants for a loop that ticks, and devices that report, this often [s]."""
    slowest = max(tick_s, telemetry_s)
    return Params(
        interval_s=float(tick_s), stale_after_s=max(3.0 * slowest, 5.0), lost_after_s=max(12.0 * slowest, 60.0)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Steadiness:
    """How a limit was held while nothing special happened."""

    seed: int
    over_share: float
    """Of seconds more than 0.5 % over the limit."""
    longest_over_s: int
    used: float
    """Taken by the chargers, of what the limit and the others left while somebody wanted more."""
    reversals: float
    """Changes of direction of a setpoint, a charger-hour."""
    changes: float
    """Changes of a setpoint, a charger-hour."""
    stops: float
    """A charger told to stop while its car wanted power, a charger-hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """How an unannounced fall of the limit was followed, and what came after it."""

    seed: int
    fell_by: float
    under_s: int
    """From the fall until the load is under the new limit."""
    settled_s: int
    """Until it stays within 5 % of where it is half a minute later."""
    delivered: float
    """Of the reduction that was committed."""
    over_share: float
    """Of the event's seconds after the first five."""
    used: float
    """Of the headroom, during the event."""
    rebound: float
    """The highest load of the half hour after it, of the smaller of the limit and the peak before."""
    returned_s: int
    """After its end, until the load is at 90 % of what it was before or of what is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """How a limit was held while something could not be heard."""

    seed: int
    kind: str
    longest_over_s: int
    worst_over: float
    """The highest load, of the limit."""
    over_share: float
    used: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Chargers that always want more than there is for all of them."""

    seed: int
    weighted: bool
    used: float
    never_served: int
    longest_wait_s: int
    jain: float
    """Of energy divided by priority."""
    stops: float
    """A charger-hour."""


def steady(
    seed: int, *, duration_s: int = 7200, warm_s: int = 600, controller: Controller = Rig, **changes: object
) -> Steadiness:
    """26 chargers behind a noisy meter, with drifting load and clouds."""
    site = Site.drawn(seed, duration_s, **changes)
    trace = controller(site, params_for(site.tick_s, site.telemetry_s), Script()).run()
    return steadiness(seed, trace, warm_s)


def steadiness(seed: int, trace: Trace, warm_s: int) -> Steadiness:
    """Judge a trace from `warm_s` on."""
    over = (trace.load_kw > _OVER * trace.limit_kw)[warm_s:]
    hours = over.size * trace.told_kw.shape[1] / 3600.0
    told = trace.told_kw[warm_s:]
    return Steadiness(
        seed=seed,
        over_share=float(np.mean(over)),
        longest_over_s=longest(over),
        used=used(trace, slice(warm_s, None)),
        reversals=reversals(told) / hours,
        changes=float(np.sum(np.abs(np.diff(told, axis=0)) > _MOVE_KW)) / hours,
        stops=stops(trace, warm_s) / hours,
    )


def drop(
    seed: int,
    *,
    before_s: int = 1200,
    event_s: int = 1800,
    after_s: int = 1800,
    controller: Controller = Rig,
    **changes: object,
) -> Drop:
    """The limit falls by 30 to 45 % without notice; half the seeds by an event, half by the static limit itself."""
    site = Site.drawn(seed, before_s + event_s + after_s, **{"clouds": False, **changes})
    fell = float(np.random.default_rng([seed, 21]).uniform(0.30, 0.45))
    start, end = before_s, before_s + event_s
    lower = (1.0 - fell) * site.limit_kw
    if seed % 2:
        script = Script(limit_kw=lambda t: lower if start <= t < end else site.limit_kw)
    else:
        script = Script(event_kw=lambda t: lower if start <= t < end else np.inf)
    trace = controller(site, params_for(site.tick_s, site.telemetry_s), script).run()
    during = trace.load_kw[start:end]
    before = float(np.mean(trace.load_kw[start - 60 : start]))
    calm = float(np.mean(during[30:60]))
    off = np.abs(during[:60] - calm) > 0.05 * lower
    committed = max(before - lower, 1e-9) * event_s
    peak = min(float(np.max(trace.load_kw[start - 900 : start])), site.limit_kw)
    after = trace.load_kw[end:]
    wanted = np.minimum(0.9 * before, 0.9 * (trace.fixed_kw + trace.demand_kw.sum(axis=1))[end:])
    back = np.flatnonzero(after >= wanted)
    return Drop(
        seed=seed,
        fell_by=fell,
        under_s=int(np.argmax(during <= lower)) if np.any(during <= lower) else event_s,
        settled_s=int(np.flatnonzero(off)[-1]) + 1 if off.any() else 0,
        delivered=1.0 - float(np.sum(np.maximum(during - lower, 0.0))) / committed,
        over_share=float(np.mean(during[5:] > _OVER * lower)),
        used=used(trace, slice(start + 30, end)),
        rebound=float(np.max(after)) / peak,
        returned_s=int(back[0]) if back.size else after.size,
    )


def silence(
    seed: int, kind: str, *, before_s: int = 900, after_s: int = 600, controller: Controller = Rig, **changes: object
) -> Silence:
    """`third`: of the telemetry for 20 min; `all` of it for 10 min; `meter`: the head meter for 5 min."""
    length = {"third": 1200, "all": 600, "meter": 300}[kind]
    site = Site.drawn(seed, before_s + length + after_s, **changes)
    rng = np.random.default_rng([seed, 22])
    quiet: Bools = np.zeros(site.chargers, dtype=bool)
    quiet[rng.permutation(site.chargers)[: {"third": site.chargers // 3, "all": site.chargers, "meter": 0}[kind]]] = (
        True
    )
    nobody = np.zeros(site.chargers, dtype=bool)

    def within(t: int) -> bool:
        return before_s <= t < before_s + length

    script = Script(
        silent=lambda t: quiet if within(t) else nobody,
        meter_silent=lambda t: kind == "meter" and within(t),
    )
    trace = controller(site, params_for(site.tick_s, site.telemetry_s), script).run()
    judged = slice(before_s, None)
    over = (trace.load_kw > _OVER * trace.limit_kw)[judged]
    return Silence(
        seed=seed,
        kind=kind,
        longest_over_s=longest(over),
        worst_over=float(np.max((trace.load_kw / trace.limit_kw)[judged])),
        over_share=float(np.mean(over)),
        used=used(trace, judged),
    )


def rotation(
    seed: int,
    *,
    weighted: bool,
    duration_s: int = 8 * 3600,
    tick_s: int = 5,
    margin: float = 1.02,
    controller: Controller = Rig,
) -> Rotation:
    """20 always-hungry chargers on room for 8 of them at their smallest power."""
    site = Site(
        seed=seed, duration_s=duration_s, chargers=20, hungry=True, clouds=False, noise=0.0, household_kw=10.0,
        drift_kw=0.0, pv_kw=0.0, tick_s=tick_s, telemetry_s=tick_s, meter_s=tick_s,
    )  # fmt: skip
    rng = np.random.default_rng([seed, 23])
    priority: Ints = rng.integers(1, 11, site.chargers) if weighted else np.full(site.chargers, 5)
    rig = controller(site, params_for(tick_s, tick_s), Script(priority=priority))
    smallest = np.sort(rig.plant.chargers.minimum_kw)
    room = margin * float(8.0 * np.mean(smallest))
    rig.script = Script(priority=priority, limit_kw=lambda t: float(rig.plant.household_kw[t]) + room)
    trace = rig.run()
    energy = trace.drawn_kw.sum(axis=0) / priority
    hours = duration_s * site.chargers / 3600.0
    return Rotation(
        seed=seed,
        weighted=weighted,
        used=float(trace.drawn_kw[60:].sum() / (room * (duration_s - 60))),
        never_served=int(np.sum(energy <= 0.0)),
        longest_wait_s=max(longest(trace.drawn_kw[:, row] <= 0.0) for row in range(site.chargers)),
        jain=float(np.sum(energy) ** 2 / (energy.size * np.sum(energy**2))),
        stops=stops(trace, 0) / hours,
    )


def longest(flags: Bools) -> int:
    """The longest run of true values."""
    edges = np.diff(np.concatenate(([0], flags.astype(np.int64), [0])))
    starts, ends = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    return int(np.max(ends - starts)) if starts.size else 0


def used(trace: Trace, when: slice) -> float:
    """Taken, of what could have been, over the seconds in which somebody wanted more."""
    demand, drawn = trace.demand_kw[when], trace.drawn_kw[when]
    wanted = np.any(demand - drawn > _WANTS_KW, axis=1)
    could = np.minimum(trace.limit_kw[when] - trace.fixed_kw[when], demand.sum(axis=1))
    could = np.where(wanted, np.maximum(could, 0.0), 0.0)
    taken = np.minimum(drawn.sum(axis=1), could)
    return float(taken.sum() / could.sum()) if could.sum() > 0.0 else 1.0


def reversals(told_kw: Floats) -> int:
    """Changes of direction in setpoints, shape (t, n), that move by more than `_MOVE_KW`."""
    count = 0
    for row in told_kw.T:
        moves = np.diff(row)
        signs = np.sign(moves[np.abs(moves) > _MOVE_KW])
        count += int(np.sum(signs[1:] != signs[:-1]))
    return count


def stops(trace: Trace, warm_s: int) -> int:
    """How often a charger was told to stop while its car wanted power."""
    told, demand = trace.told_kw[warm_s:], trace.demand_kw[warm_s:]
    return int(np.sum((told[:-1] > 0.0) & (told[1:] <= 0.0) & (demand[1:] > 0.0)))
