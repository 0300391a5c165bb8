"""Second by second: turns at the smallest power, a limit held behind a noisy meter, demand response, and silence."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from derms.bench.cosim_rig import CosimRig
from derms.bench.crowded import crowded
from derms.bench.effort import Effort
from derms.bench.figures import Figure, Section, Table
from derms.bench.rig import Rig
from derms.bench.rivals import EQUAL, EqualRig
from derms.bench.seconds import Controller, Drop, Rotation, Silence, Steadiness, drop, rotation, silence, steady

Say = Callable[[str], None]
_LENGTHS = {
    "third": "a third of the telemetry for 20 min",
    "all": "all telemetry for 10 min",
    "meter": "the head meter for 5 min",
}
_AMP_KW = 0.230
_LONGEST_S = {"third": 15.0, "all": 15.0, "meter": 30.0}
_CONTROLLERS: tuple[tuple[str, Controller], ...] = (("engine", Rig), ("through cosim", CosimRig), (EQUAL, EqualRig))

_Result = TypeVar("_Result")


def starvation(effort: Effort, say: Say) -> Section:
    """Item 6."""
    figures: list[Figure] = []
    rows = []
    for weighted in (False, True):
        kind = "priorities 1 to 10" if weighted else "equal priorities"

        def case(seed: int, controller: Controller, weighted: bool = weighted) -> Rotation:
            return rotation(seed, weighted=weighted, duration_s=effort.rotation_s, controller=controller)

        seeds = effort.seeds[:3]
        by_second = _run(f"starvation, {kind}", case, seeds, say)
        by_step = [("through cosim", [crowded(seed, weighted=weighted) for seed in seeds])]
        for pace, found in (("5 min", by_step), ("seconds", by_second)):
            figures += _turns(f"{kind}, {pace}", found)
            rows += [(f"{kind}, {pace}, {name}", *_turns_row(each)) for name, results in found for each in results]
    header = ("", "seed", "used %", "never served", "longest wait min", "Jain", "stops")
    return Section(
        key="starvation",
        title="6 No starvation",
        setting="20 chargers whose cars always want more, on room for eight of them at their smallest power, under "
        "the default policy: a day in steps of five minutes through `derms cosim` (any power from 1.38 kW up), and "
        f"{effort.rotation_s / 3600.0:g} h second by second (smallest powers of 1.4 and 4.1 kW, a tick every 5 s, "
        "chargers follow after 1 to 2 s, cars start over 6 s). Jain's index is of energy / priority. The worst of all "
        "seeds.",
        figures=tuple(figures),
        tables=(Table(title="Each seed", header=header, rows=tuple(rows)),),
    )


def seconds(effort: Effort, say: Say) -> Section:
    """Item 7."""
    figures: list[Figure] = []
    rows = []
    for clouds in (False, True):
        kind = "clouds" if clouds else "clear sky"

        def case(seed: int, controller: Controller, clouds: bool = clouds) -> Steadiness:
            return steady(seed, duration_s=effort.steady_s, clouds=clouds, controller=controller)

        found = _run(f"seconds, {kind}", case, effort.seeds, say)
        figures += [
            _figure(f"{kind}: seconds over the limit by > 0.5 %", found, lambda each: 100.0 * each.over_share, "%", 1.0,
                    at_least=False),
            _figure(f"{kind}: longest time over", found, lambda each: float(each.longest_over_s), "s",
                    10.0 if clouds else 5.0, at_least=False),
            _figure(f"{kind}: headroom used", found, lambda each: 100.0 * each.used, "%", 97.0),
            _figure(f"{kind}: reversals", found, lambda each: each.reversals, "a charger-hour", 1.0, at_least=False),
        ]  # fmt: skip
        rows += [(f"{kind}, {name}", *_steady_row(each)) for name, results in found for each in results]
    if effort.tables:
        for tick_s, heard_s in ((2, 1), (5, 1), (5, 5)):
            name = f"clouds, a tick every {tick_s} s, heard every {heard_s} s"
            say(f"seconds, {name}")
            slow = [
                steady(seed, duration_s=effort.steady_s, tick_s=tick_s, telemetry_s=heard_s, meter_s=heard_s)
                for seed in effort.seeds[:2]
            ]
            rows += [(name, *_steady_row(each)) for each in slow]
        say("seconds, whole amps")
        stepped = [steady(seed, duration_s=effort.steady_s, amp_kw=_AMP_KW) for seed in effort.seeds[:2]]
        rows += [("clouds, whole amps at 230 V", *_steady_row(each)) for each in stepped]
    return Section(
        key="seconds",
        title="7 Second by second",
        setting="26 chargers behind a head meter with 0.5 to 2 % of noise, households that drift, PV; cars come, "
        "go, taper and take less than they are offered; chargers follow after 1 to 2 s. Ticks, telemetry and meter "
        f"every second unless said otherwise; {effort.steady_s / 3600.0:g} h a seed, each with a limit, noise and "
        "drift of its own. The observer sees what truly flows. The worst of all seeds.",
        figures=tuple(figures),
        tables=(
            Table(
                title="Each seed",
                header=("", "seed", "over %", "longest s", "used %", "reversals", "changes", "stops"),
                rows=tuple(rows),
            ),
        ),
    )


def dr(effort: Effort, say: Say) -> Section:
    """Item 8."""

    def case(seed: int, controller: Controller) -> Drop:
        return drop(seed, event_s=effort.event_s, after_s=effort.event_s, controller=controller)

    found = _run("demand response", case, effort.seeds, say)
    return Section(
        key="dr",
        title="8 Demand response",
        setting="The limit of the same sites falls by 30 to 45 % without notice, for odd seeds as a changed limit, for "
        f"even ones as an event, for {effort.event_s / 60.0:g} min. Settled: within 5 % of where the load is half a "
        "minute later. Rebound: the highest load after it, of the smaller of limit and peak before. The worst of all "
        "seeds.",
figures=(
            _figure("until under the new limit", found, lambda each: float(each.under_s), "s", 5.0, at_least=False),
            _figure("until settled", found, lambda each: float(each.settled_s), "s", 10.0, at_least=False),
            _figure("delivered / committed", found, lambda each: each.delivered, "", 0.999),
            _figure("rebound", found, lambda each: 100.0 * each.rebound, "%", None, at_least=False),
        ),
        tables=(
            Table(
                title="Each seed",
                header=("", "seed", "fell by %", "under s", "settled s", "delivered", "over %", "used %", "rebound %",
                        "back at 90 % after s"),
                rows=tuple(
                    (name, str(each.seed), _percent(each.fell_by), str(each.under_s), str(each.settled_s),
                     f"{each.delivered:.4f}", _percent(each.over_share), _percent(each.used), _percent(each.rebound),
                     str(each.returned_s))
                    for name, results in found for each in results
                ),
            ),
        ),
    )  # fmt: skip


def quiet(effort: Effort, say: Say) -> Section:
    """Item 9."""
    figures: list[Figure] = []
    rows = []
    for kind, words in _LENGTHS.items():

        def case(seed: int, controller: Controller, kind: str = kind) -> Silence:
            return silence(seed, kind, controller=controller)

        found = _run(f"silence, {kind}", case, effort.seeds, say)
        figures.append(
            _figure(f"{words}: longest time over", found, lambda each: float(each.longest_over_s), "s",
                    _LONGEST_S[kind], at_least=False)
        )  # fmt: skip
        rows += [
            (f"{words}, {name}", str(each.seed), str(each.longest_over_s), _percent(each.worst_over),
             _percent(each.over_share), _percent(each.used))
            for name, results in found for each in results
        ]  # fmt: skip
    return Section(
        key="silence",
        title="9 Silence",
        setting="The same sites, clouds included, while nothing is heard of some or all devices, or of the head meter. "
        "Judged from the beginning of the silence until ten minutes after it. The worst of all seeds.",
        figures=tuple(figures),
        tables=(
            Table(
                title="Each seed",
                header=("silent", "seed", "longest s over", "highest load % of the limit", "over %", "used %"),
                rows=tuple(rows),
            ),
        ),
    )


_Found = Sequence[tuple[str, Sequence[_Result]]]
"""By controller, of all seeds; the engine first."""


def _run(name: str, case: Callable[[int, Controller], _Result], seeds: Iterable[int], say: Say) -> _Found[_Result]:
    found = []
    for controller, rig in _CONTROLLERS:
        # Two seeds show what the others are; the engine is what is measured.
        some = list(seeds) if rig is Rig else list(seeds)[:2]
        results = []
        for seed in some:
            say(f"{name}: {controller}, seed {seed}")
            results.append(case(seed, rig))
        found.append((controller, results))
    return found


def _figure(
    what: str,
    found: _Found[_Result],
    of: Callable[[_Result], float],
    unit: str,
    target: float | None,
    *,
    at_least: bool = True,
) -> Figure:
    """The worst of all seeds, of each controller."""
    worst = min if at_least else max
    (_, mine), *others = found
    return Figure(
        what=what,
        value=worst(of(each) for each in mine),
        unit=unit,
        target=target,
        at_least=at_least,
        rivals=tuple((name, worst(of(each) for each in results)) for name, results in others),
    )


def _wait_min(each: Rotation) -> float:
    return each.longest_wait_s / 60.0


def _turns(kind: str, found: _Found[Rotation]) -> list[Figure]:
    return [
        _figure(f"{kind}: limit used", found, lambda each: 100.0 * each.used, "%", 99.5),
        _figure(f"{kind}: never served", found, lambda each: each.never_served, "chargers", 0.0, at_least=False),
        _figure(f"{kind}: longest wait", found, _wait_min, "min", 60.0, at_least=False),
        _figure(f"{kind}: Jain's index", found, lambda each: each.jain, "", 0.98),
        _figure(f"{kind}: stops", found, lambda each: each.stops, "a charger-hour", 2.0, at_least=False),
    ]


def _turns_row(each: Rotation) -> tuple[str, ...]:
    return (
        str(each.seed), _percent(each.used), str(each.never_served), f"{_wait_min(each):.0f}", f"{each.jain:.3f}",
        f"{each.stops:.2f}",
    )  # fmt: skip


def _steady_row(each: Steadiness) -> tuple[str, ...]:
    return (
        str(each.seed), f"{100.0 * each.over_share:.2f}", str(each.longest_over_s), _percent(each.used),
        f"{each.reversals:.2f}", f"{each.changes:.1f}", f"{each.stops:.2f}",
    )  # fmt: skip


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f}"
