"""Weeks of sessions under a limit: energy, sessions fully met, fairness, and chargers that know whole amps only."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from derms.bench.effort import Effort
from derms.bench.figures import Figure, Section, Table
from derms.bench.rivals import NAMES, run_rival
from derms.bench.sessions import STEP_S, Bounds, Run, Score, run_policy
from derms.bench.through_cosim import Says, in_process, in_subprocess, run_through
from derms.bench.weeks import Week, campus, depot, recorded_week, workplace
from derms.columns import Floats
from derms.model import Policy

_THINNED = 0.7
"""The part of the recorded sessions with which 25 kW are a quarter to a third of the uncontrolled peak."""
_SQUEEZE = 0.3
"""The limit of a generated week, as a part of its uncontrolled peak."""
_AMP_KW = {"208 V": 0.208, "240 V": 0.240}
_POLICIES = tuple(Policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One week under one limit."""

    name: str
    week: Week
    limit_kw: float
    headline: bool
    """It has figures of its own; else it only stands in tables."""


@dataclass(slots=True, kw_only=True)
class Weeks:
    """Runs of weeks, each done once. Owned by one benchmark."""

    effort: Effort
    say: Callable[[str], None]
    _scores: dict[tuple[str, str], Score] = field(default_factory=dict)
    _bounds: dict[str, Bounds] = field(default_factory=dict)

    def score(self, case: Case, name: str) -> Score:
        """How a policy or a rival, by name, serves a case."""
        if (case.name, name) not in self._scores:
            self.say(f"{case.name}: {name}")
            run = run_rival(case.week, case.limit_kw, name) if name in NAMES else self._run(case, Policy(name))
            self._scores[case.name, name] = self.judged(case, run)
        return self._scores[case.name, name]

    def judged(self, case: Case, run: Run) -> Score:
        """Score a run of a case."""
        return Score.of(case.week, run, self.bounds(case))

    def bounds(self, case: Case) -> Bounds:
        """The best that could be."""
        if case.name not in self._bounds:
            self._bounds[case.name] = Bounds.of(case.week, case.limit_kw)
        return self._bounds[case.name]

    def rivals(self, case: Case, of: Callable[[Score], float]) -> tuple[tuple[str, float], ...]:
        """The same figure of all plain rules."""
        return tuple((name, of(self.score(case, name))) for name in NAMES)

    def cases(self) -> list[Case]:
        """All weeks: the recorded one, as busy as it is and thinned out, and generated ones."""
        effort = self.effort
        whole = recorded_week()
        recorded = {"recorded": whole} | {f"thinned {seed}": whole.part(_THINNED, seed) for seed in effort.thinned}
        cases = [
            self._case(f"{name}, {limit:g} kW", week, limit, headline=True)
            for name, week in recorded.items()
            for limit in effort.limits_kw
        ]
        for seed in effort.made:
            for make in (workplace, campus, depot):
                week = make(seed)
                limit = round(_SQUEEZE * uncontrolled_kw(week).max())
                cases.append(self._case(f"{make.__name__} {seed}, {limit} kW", week, limit, headline=False))
        return cases

    def _case(self, name: str, week: Week, limit_kw: float, *, headline: bool) -> Case:
        return Case(
            name=name, week=week.until(self.effort.days).on_grid(STEP_S), limit_kw=float(limit_kw), headline=headline
        )

    def _run(self, case: Case, policy: Policy) -> Run:
        return run_policy(case.week, case.limit_kw, policy)


def uncontrolled_kw(week: Week) -> Floats:
    """What the sessions draw if nobody tells them anything, step by step, shape (t,) [kW]."""
    week = week.on_grid(STEP_S)
    got, load = np.zeros(week.energy_kwh.size), []
    for step in range(int(week.departure_s.max() / STEP_S)):
        here = (week.arrival_s <= step * STEP_S) & (week.departure_s > step * STEP_S)
        drawn = np.where(here, np.minimum(week.p_max_kw, (week.energy_kwh - got) * 3600.0 / STEP_S), 0.0)
        got += drawn * STEP_S / 3600.0
        load.append(float(drawn.sum()))
    return np.array(load)


def energy(weeks: Weeks) -> Section:
    """Items 1 and 2."""
    cases = weeks.cases()
    figures = []
    for case in (case for case in cases if case.headline):
        rivals = weeks.rivals(case, lambda score: score.energy_pct)
        for policy, target in ((Policy.LEAST_LAXITY, 99.5), (Policy.FAIR, 99.5), (Policy.DEFICIT, 98.5)):
            figures.append(
                Figure(
                    what=f"{case.name}: energy, `{policy}`",
                    value=weeks.score(case, policy).energy_pct,
                    target=target,
                    rivals=rivals if policy is Policy.LEAST_LAXITY else (),
                )
            )
        figures.append(_weighted(weeks, case))
    through, differs = _through_cosim(weeks, cases[0])
    figures.append(Figure(what="largest difference through `derms cosim`, points of energy", value=differs))
    tables = [through]
    if weeks.effort.tables:
        tables.insert(0, _energies(weeks, cases))
    return Section(
        key="energy",
        title="1, 2 Energy",
        setting="Delivered, of what the best plan could deliver that knows the whole week beforehand (a linear "
        "program). Each session says what it needs and when it leaves; nothing is known of those still to come.",
        figures=tuple(figures),
        tables=tuple(tables),
    )


def sessions(weeks: Weeks) -> Section:
    """Item 3."""
    figures = []
    for case in (case for case in weeks.cases() if case.headline):
        score = weeks.score(case, Policy.SESSIONS)
        figures.append(
            Figure(
                what=f"{case.name}: sessions fully met, `sessions`",
                value=score.met_pct,
                target=88.0 if case.limit_kw < 25.0 else 99.0,
                bound=weeks.bounds(case).sessions_pct,
                rivals=weeks.rivals(case, lambda score: score.met_pct),
            )
        )
        figures.append(Figure(what=f"{case.name}: energy, `sessions`", value=score.energy_pct, target=97.5))
    return Section(
        key="sessions",
        title="3 Sessions fully met",
        setting="Sessions that got at least 99.9 % of what they asked. The bound counts a session half met as a half, "
        "so nobody can reach it quite; where it is below the target, the target was given for a week less busy.",
        figures=tuple(figures),
        tables=(_met(weeks),) if weeks.effort.tables else (),
    )


def fairness(weeks: Weeks) -> Section:
    """Item 4."""
    figures = []
    for case in (case for case in weeks.cases() if case.headline and case.limit_kw < 25.0):
        score = weeks.score(case, Policy.FAIR)
        figures += [
            Figure(
                what=f"{case.name}: Jain's index, `fair`",
                value=score.jain,
                unit="",
                target=0.98,
                bound=weeks.bounds(case).jain,
                rivals=weeks.rivals(case, lambda score: score.jain),
            ),
            Figure(
                what=f"{case.name}: share of the worst 5 %, `fair`",
                value=score.worst_pct,
                target=60.0,
                bound=weeks.bounds(case).worst_pct,
                rivals=weeks.rivals(case, lambda score: score.worst_pct),
            ),
            Figure(what=f"{case.name}: a step", value=score.step_ms, unit="ms", target=2.0, at_least=False),
        ]
    return Section(
        key="fairness",
        title="4 Fairness",
        setting="Of the shares delivered / asked: Jain's index (1: all alike), and the mean of the twentieth with the "
        "smallest shares. Where sessions leave before anybody could serve them, no policy makes their shares alike. "
        "Best possible: of a plan for each that knows the week beforehand and delivers 99.5 % of the energy.",
        figures=tuple(figures),
        tables=(_fair(weeks),) if weeks.effort.tables else (),
    )


def real(weeks: Weeks) -> Section:
    """Item 5."""
    figures = []
    for volts, amp_kw in _AMP_KW.items():
        for case in (case for case in weeks.cases() if case.headline and case.name.startswith("recorded")):
            amps = Case(
                name=f"{case.name}, whole amps at {volts}",
                week=recorded_week(32 * amp_kw)
                .until(weeks.effort.days)
                .on_grid(STEP_S)
                .in_amps(amp_kw)
                .on_grid(STEP_S),
                limit_kw=case.limit_kw,
                headline=True,
            )
            for policy in (Policy.LEAST_LAXITY, Policy.DEFICIT, Policy.FAIR):
                score = weeks.score(amps, policy)
                figures.append(
                    Figure(
                        what=f"{amps.name}: energy, `{policy}`",
                        value=score.energy_pct,
                        target=99.0,
                        rivals=weeks.rivals(amps, lambda score: score.energy_pct)
                        if policy is Policy.LEAST_LAXITY
                        else (),
                    )
                )
                figures.append(
                    Figure(
                        what=f"{amps.name}: invalid setpoints, `{policy}`",
                        value=score.invalid,
                        unit="setpoints",
                        target=0.0,
                        at_least=False,
                    )
                )
    return Section(
        key="real",
        title="5 Real chargers",
        setting="The recorded week at chargers that are off, or give whole amps from 6 to 32. The linear program may "
        "give any power. Invalid is a setpoint below 6 A, between two amps or above the rating, or a sum over the "
        "limit.",
        figures=tuple(figures),
    )


def _weighted(weeks: Weeks, case: Case) -> Figure:
    weighted = Case(
        name=f"{case.name}, priorities 1 to 10",
        week=case.week.with_priorities(7),
        limit_kw=case.limit_kw,
        headline=True,
    )
    return Figure(
        what=f"{case.name}: energy x priority, `deficit`",
        value=weeks.score(weighted, Policy.DEFICIT).weighted_pct,
        target=98.5,
        rivals=weeks.rivals(weighted, lambda score: score.weighted_pct),
    )


def _through_cosim(weeks: Weeks, case: Case) -> tuple[Table, float]:
    """The same week through the lines of `derms cosim`, and by how much the energies differ at the most."""
    rows, differs = [], 0.0
    for policy in (Policy.DEFICIT, Policy.LEAST_LAXITY, Policy.SESSIONS, Policy.FAIR):
        weeks.say(f"{case.name}: {policy}, through cosim")
        scores = [weeks.score(case, policy)]
        scores += [
            weeks.judged(case, run_through(case.week, case.limit_kw, policy, in_process(), says)) for says in Says
        ]
        with in_subprocess() as ask:
            scores.append(weeks.judged(case, run_through(case.week, case.limit_kw, policy, ask)))
        differs = max(differs, *(abs(score.energy_pct - scores[0].energy_pct) for score in scores))
        rows.append((f"`{policy}`", *(f"{score.energy_pct:.2f} / {score.met_pct:.1f}" for score in scores)))
    header = ("policy", "engine alone", "cosim, need said at every tick", "cosim, need said once", "command")
    title = f"Through co-simulation, {case.name}: energy [% of the best plan] / sessions fully met [%]"
    return Table(title=title, header=header, rows=tuple(rows)), differs


def _energies(weeks: Weeks, cases: list[Case]) -> Table:
    return _table(weeks, cases, "Energy [% of the best plan]", lambda score: f"{score.energy_pct:.2f}")


def _met(weeks: Weeks) -> Table:
    return _table(weeks, weeks.cases(), "Sessions fully met [%]", lambda score: f"{score.met_pct:.1f}")


def _fair(weeks: Weeks) -> Table:
    return _table(
        weeks,
        weeks.cases(),
        "Jain's index / share of the worst 5 % [%]",
        lambda score: f"{score.jain:.3f} / {score.worst_pct:.0f}",
    )


def _table(weeks: Weeks, cases: list[Case], title: str, shown: Callable[[Score], str]) -> Table:
    names = [*(policy.value for policy in _POLICIES), *NAMES]
    rows = [
        (f"`{name}`" if name not in NAMES else name, *(shown(weeks.score(case, name)) for case in cases))
        for name in names
    ]
    return Table(title=title, header=("", *(case.name for case in cases)), rows=tuple(rows))
