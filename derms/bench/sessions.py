"""A week of sessions under a limit: driven through the engine, or by a plain rule, and scored against the best plan.

In steps of five minutes, in lockstep, exactly as a co-simulation would: each step the cars that are present report what
they drew and what they still need, and follow what is decided. Cars are honest: each says truly when it leaves.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from derms.bench.bound import fairest, most_energy_kwh, most_sessions, most_weighted_kwh
from derms.bench.weeks import Week
from derms.columns import EV, STATUS_CODE, DeviceColumns, Floats, Ints, Memory, NodeColumns, Override, Params, Picture
from derms.control.decide import decide
from derms.control.layout import Layout
from derms.model import DeviceStatus, Policy

STEP_S = 300.0
MET = 0.999
"""A session that got this share of what it asked is fully met."""
_WORST = 0.05
_DONE_KWH = 1e-6

Rule = Callable[[Week, Ints, float, Floats], Floats]
"""A plain rule: the week, the rows present, the time [s], what each still needs [kWh] -> rank, largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of a week."""

    delivered_kwh: Floats
    """Shape (n,)."""
    load_kw: Floats
    """What they drew together, step by step from Monday 00:00 on, shape (t,)."""
    step_ms: float
    """Mean processor time a decision took [ms]."""
    invalid: int
    """Setpoints that no charger could follow (over its rating, below its smallest power, half a step), and sums over
    the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The best that could be done with a week that is known beforehand."""

    energy_kwh: float
    weighted_kwh: float
    """With each session's priority as its weight."""
    sessions_pct: float
    jain: float
    """With 99.5 % of that energy delivered."""
    worst_pct: float
    """The same, of another plan."""

    @staticmethod
    def of(week: Week, limit_kw: float) -> "Bounds":
        """Solve the linear programs."""
        jain, worst = fairest(week, limit_kw, _WORST)
        return Bounds(
            energy_kwh=most_energy_kwh(week, limit_kw),
            weighted_kwh=most_weighted_kwh(week, limit_kw, week.priority),
            sessions_pct=100.0 * most_sessions(week, limit_kw) / week.energy_kwh.size,
            jain=jain,
            worst_pct=100.0 * worst,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well a week was served."""

    energy_pct: float
    """Delivered, of the most that could be."""
    weighted_pct: float
    """The same, weighted by priority, of the most of that."""
    met_pct: float
    """Sessions that got at least 99.9 % of what they asked."""
    jain: float
    """Jain's index of the delivered shares: 1 where all got the same share.

    Source: Jain, Chiu, Hawe, A Quantitative Measure of Fairness and Discrimination for Resource Allocation in Shared
    Computer Systems, DEC TR-301, 1984.
    """
    worst_pct: float
    """The mean share of the twentieth that got the smallest shares."""
    step_ms: float
    invalid: int

    @staticmethod
    def of(week: Week, run: Run, bounds: Bounds) -> "Score":
        """Score a run."""
        share = run.delivered_kwh / week.energy_kwh
        worst = np.sort(share)[: max(int(np.ceil(_WORST * share.size)), 1)]
        return Score(
            energy_pct=100.0 * float(np.sum(run.delivered_kwh)) / bounds.energy_kwh,
            weighted_pct=100.0 * float(np.sum(run.delivered_kwh * week.priority)) / bounds.weighted_kwh,
            met_pct=100.0 * float(np.mean(share >= MET)),
            jain=float(np.sum(share) ** 2 / (share.size * np.sum(share**2))),
            worst_pct=100.0 * float(np.mean(worst)),
            step_ms=run.step_ms,
            invalid=run.invalid,
        )


def run_policy(week: Week, limit_kw: float, policy: Policy) -> Run:
    """Drive the engine through a week on the grid of `STEP_S`, under one limit [kW]."""
    params = Params(
        interval_s=STEP_S, lease_s=2.5 * STEP_S, stale_after_s=1.5 * STEP_S, lost_after_s=3.5 * STEP_S, deadband=0.0
    )
    memory, seated, root = Memory.empty(0), np.empty(0, dtype=np.int64), np.array([-1])
    layout = Layout.of(root, seated)

    def serve(present: Ints, now_s: float, left_kwh: Floats, drawn_kw: Floats, told_kw: Floats) -> Floats:
        nonlocal memory, seated, layout
        if present.size != seated.size:
            layout = Layout.of(root, np.zeros(present.size, dtype=np.int64))
        index = np.full(week.energy_kwh.size, -1, dtype=np.int64)
        index[seated] = np.arange(seated.size)
        memory, seated = memory.aligned(index[present], np.zeros(1, dtype=np.int64)), present
        devices = _columns(week, present, now_s, left_kwh, drawn_kw, told_kw)
        picture = Picture(
            dt_s=STEP_S, nodes=_feeder(limit_kw), constraints=(), devices=devices, policy=policy, lockstep=True
        )
        decision, memory = decide(picture, memory, params, layout)
        return np.nan_to_num(decision.target_kw)

    return drive(week, limit_kw, serve)


def run_rule(week: Week, limit_kw: float, rule: Rule) -> Run:
    """Drive a plain rule through the same week: one after the other, each as much as it can take."""

    def serve(present: Ints, now_s: float, left_kwh: Floats, drawn_kw: Floats, told_kw: Floats) -> Floats:
        order = np.argsort(-rule(week, present, now_s, left_kwh), kind="stable")
        cap = np.where(left_kwh > _DONE_KWH, week.p_max_kw[present], 0.0)[order]
        given = np.empty_like(cap)
        given[order] = np.clip(limit_kw - (np.cumsum(cap) - cap), 0.0, cap)
        return given

    return drive(week, limit_kw, serve)


def first_come(week: Week, present: Ints, now_s: float, left_kwh: Floats) -> Floats:
    """Rank by arrival."""
    return -week.arrival_s[present]


def earliest_deadline(week: Week, present: Ints, now_s: float, left_kwh: Floats) -> Floats:
    """Rank by departure."""
    return -week.departure_s[present]


RIVALS: Mapping[str, Rule] = {"first come": first_come, "earliest deadline": earliest_deadline}


def runs(policies: tuple[Policy, ...] = tuple(Policy)) -> Mapping[str, Callable[[Week, float], Run]]:
    """All that can be compared, by name."""
    engine = {policy.value: partial(run_policy, policy=policy) for policy in policies}
    return {**engine, **{name: partial(run_rule, rule=rule) for name, rule in RIVALS.items()}}


Serve = Callable[[Ints, float, Floats, Floats, Floats], Floats]


def drive(week: Week, limit_kw: float, serve: Serve) -> Run:
    """Live through a week in steps of `STEP_S`; cars follow what is served, and take no more than they need."""
    size = week.energy_kwh.size
    got, drawn, told = np.zeros(size), np.zeros(size), np.full(size, np.nan)
    load = np.zeros(int(week.departure_s.max() / STEP_S))
    spent_s, ticks, invalid = 0.0, 0, 0
    for step in range(int(week.arrival_s.min() / STEP_S), load.size):
        now_s = step * STEP_S
        present = np.flatnonzero((week.arrival_s <= now_s) & (week.departure_s > now_s))
        if not present.size:
            continue
        left = week.energy_kwh[present] - got[present]
        began = time.process_time()
        power = serve(present, now_s, left, drawn[present], told[present])
        spent_s += time.process_time() - began
        ticks += 1
        invalid += _invalid(week, present, power, limit_kw)
        taken = np.minimum(power * STEP_S / 3600.0, left)
        got[present] += taken
        drawn[present], told[present] = taken * 3600.0 / STEP_S, power
        load[step] = drawn[present].sum()
    return Run(delivered_kwh=got, load_kw=load, step_ms=1000.0 * spent_s / max(ticks, 1), invalid=invalid)


def _invalid(week: Week, present: Ints, power_kw: Floats, limit_kw: float) -> int:
    """Count setpoints that cannot be followed, and a sum over the limit as one more."""
    least, step = week.p_min_kw[present], week.p_step_kw[present]
    on = np.abs(power_kw) > 1e-9
    wrong = (power_kw < -1e-9) | (power_kw > week.p_max_kw[present] + 1e-6) | (on & (power_kw < least - 1e-6))
    steps = power_kw / np.where(step > 0.0, step, 1.0)
    wrong |= (step > 0.0) & (np.abs(steps - np.round(steps)) > 1e-6)
    return int(np.count_nonzero(wrong)) + int(np.sum(power_kw) > limit_kw + 1e-6)


def _feeder(limit_kw: float) -> NodeColumns:
    return NodeColumns(
        parent=np.array([-1]),
        mode=np.zeros(1, dtype=np.int64),
        import_limit_kw=np.array([limit_kw]),
        export_limit_kw=np.array([np.inf]),
        margin_kw=np.zeros(1),
        assumed_unmetered_kw=np.zeros(1),
        metered_kw=np.array([np.nan]),
        metered_age_s=np.array([np.inf]),
    )


def _columns(
    week: Week, present: Ints, now_s: float, left_kwh: Floats, drawn_kw: Floats, told_kw: Floats
) -> DeviceColumns:
    """Chargers with a car, all heard just now and following what they were told a step ago."""
    size = present.size

    def same(value: float) -> Floats:
        return np.full(size, value)

    leased = np.isfinite(told_kw)
    return DeviceColumns(
        node=np.zeros(size, dtype=np.int64),
        kind=np.full(size, EV, dtype=np.int64),
        controllable=np.ones(size, dtype=bool),
        status=np.full(size, STATUS_CODE[DeviceStatus.OK], dtype=np.int64),
        spoke=np.ones(size, dtype=bool),
        stagger=same(0.0),
        age_s=same(0.0),
        p_actual_kw=drawn_kw,
        soc=same(np.nan),
        available_kw=same(np.nan),
        ready_in_s=week.departure_s[present] - now_s,
        energy_needed_kwh=np.maximum(left_kwh, 0.0),
        p_import_max_kw=week.p_max_kw[present],
        p_export_max_kw=same(0.0),
        p_min_kw=week.p_min_kw[present],
        p_step_kw=week.p_step_kw[present],
        capacity_kwh=same(np.nan),
        min_soc_reserve=same(0.2),
        target_soc=same(0.8),
        priority=week.priority[present],
        default_power_kw=same(0.0),
        override=np.full(size, Override.NONE, dtype=np.int64),
        override_kw=same(np.nan),
        lease_kw=told_kw,
        lease_left_s=np.where(leased, 1.5 * STEP_S, -np.inf),
        told_s=np.where(leased, STEP_S, np.inf),
        may_kw=told_kw,
        may_low_kw=told_kw,
        may_left_s=np.where(leased, 1.5 * STEP_S, -np.inf),
        acknowledged_s=np.where(leased, STEP_S, -np.inf),
    )
