"""The plots of the pages, each drawn from a run of its own: no dates, no machine names, the same bytes every time."""

from collections.abc import Callable, Iterator

import numpy as np

from derms.bench.rig import Rig, Script, Trace
from derms.bench.rivals import EQUAL, NAMES, run_rival
from derms.bench.seconds import params_for
from derms.bench.sessions import STEP_S, Bounds, Score, run_policy
from derms.bench.suite_weeks import uncontrolled_kw
from derms.bench.svg import Bars, Chart, Line, Spans, bar_chart, line_chart, span_chart
from derms.bench.weeks import Week, recorded_week
from derms.bench.world import Site
from derms.columns import REVERT_S, Bools, Floats, Ints, Params
from derms.model import Policy

_LIMIT, _LOAD, _OTHER, _FREE, _WANTED = "#c0392b", "#1f6fb2", "#7f8c8d", "#e59866", "#27ae60"
_LIMIT_KW = 20.0


def draw(say: Callable[[str], None], seed: int = 3) -> Iterator[tuple[str, str]]:
    """Draw all plots.

    Args:
        say: Told what is being drawn.
        seed: Of the plants.

    Yields:
        A name and the SVG.
    """
    week = recorded_week().on_grid(STEP_S)
    plots: dict[str, Callable[[], str]] = {
        "day": lambda: day(week),
        "energy": lambda: energy(week),
        "fairness": lambda: fairness(week),
        "seconds": lambda: seconds(seed),
        "event": lambda: event(seed),
        "envelope": lambda: envelope(seed),
        "turns": lambda: turns(seed),
    }
    for name, plot in plots.items():
        say(f"plot {name}")
        yield name, plot()


def day(week: Week) -> str:
    """The recorded Tuesday with and without a limit."""
    first, last = int(86_400 / STEP_S), int(2 * 86_400 / STEP_S)
    free = uncontrolled_kw(week)[first:last]
    held = run_policy(week, _LIMIT_KW, Policy.DEFICIT).load_kw[first:last]
    hours = np.arange(free.size, dtype=np.float64) * STEP_S / 3600.0
    return line_chart(
        Chart(
            title="A recorded day of charging, free and under a limit of 20 kW",
            x_words="hour of the day",
            y_words="kW",
            lines=(
                Line(name="nobody controls", x=hours, y=free, color=_FREE, steps=True),
                Line(name="deficit", x=hours, y=held, color=_LOAD, steps=True),
                Line(name="limit", x=hours, y=np.full(hours.size, _LIMIT_KW), color=_LIMIT, dashed=True),
            ),
        )
    )


def energy(week: Week) -> str:
    """Energy by policy and rule, of the best plan's."""
    bounds = Bounds.of(week, _LIMIT_KW)
    runs = {policy.value: run_policy(week, _LIMIT_KW, policy) for policy in Policy}
    runs |= {name: run_rival(week, _LIMIT_KW, name) for name in NAMES}
    found = {name: Score.of(week, run, bounds).energy_pct for name, run in runs.items()}
    rows = [
        (name, value, _OTHER if name in NAMES else _LOAD)
        for name, value in sorted(found.items(), key=lambda item: (-round(item[1], 2), item[0]))
    ]
    return bar_chart(
        Bars(
            title="Energy delivered in the recorded week at 20 kW",
            x_words="% of what the best plan delivers that knows the week beforehand",
            begin=85.0,
            end=100.0,
            rows=rows,
        )
    )


def fairness(week: Week) -> str:
    """The shares that sessions got, in order."""
    chosen = (
        ("fair", _WANTED), ("deficit", _LOAD), ("sessions", "#8e44ad"), ("least_laxity", _FREE),
        ("earliest deadline", _OTHER), (EQUAL, _LIMIT),
    )  # fmt: skip
    lines = []
    for name, color in chosen:
        run = run_rival(week, _LIMIT_KW, name) if name in NAMES else run_policy(week, _LIMIT_KW, Policy(name))
        share = np.sort(100.0 * run.delivered_kwh / week.energy_kwh)
        x = np.linspace(0.0, 100.0, share.size)
        lines.append(Line(name=name, x=x, y=share, color=color, dashed=name in NAMES))
    return line_chart(
        Chart(
            title="What each session got of what it asked, the recorded week at 20 kW",
            x_words="% of sessions, the worst served first",
            y_words="% delivered",
            lines=lines,
        )
    )


def seconds(seed: int) -> str:
    """An hour of a car park second by second, with clouds."""
    site = Site.drawn(seed, 4200)
    trace = _traced(site, Script())
    shown = slice(600, None)
    minutes = np.arange(trace.load_kw[shown].size, dtype=np.float64) / 60.0
    return line_chart(
        Chart(
            title="An hour with clouds, 26 chargers behind a noisy meter",
            x_words="minutes",
            y_words="kW",
            lines=(
                Line(name="load", x=minutes, y=trace.load_kw[shown], color=_LOAD),
                Line(name="households less PV", x=minutes, y=trace.fixed_kw[shown], color=_OTHER),
                Line(name="limit", x=minutes, y=trace.limit_kw[shown], color=_LIMIT, dashed=True),
            ),
        )
    )


def event(seed: int) -> str:
    """A demand-response event, and the return after it."""
    site = Site.drawn(seed, 3600, clouds=False)
    start, end = 900, 2100
    lower = 0.6 * site.limit_kw
    trace = _traced(site, Script(event_kw=lambda t: lower if start <= t < end else np.inf))
    shown = slice(600, None)
    minutes = np.arange(trace.load_kw[shown].size, dtype=np.float64) / 60.0
    return line_chart(
        Chart(
            title="An event takes 40 % of the limit without notice; afterwards devices return staggered",
            x_words="minutes",
            y_words="kW",
            lines=(
                Line(name="load", x=minutes, y=trace.load_kw[shown], color=_LOAD),
                Line(name="households less PV", x=minutes, y=trace.fixed_kw[shown], color=_OTHER),
                Line(name="limit in force", x=minutes, y=trace.limit_kw[shown], color=_LIMIT, dashed=True, steps=True),
            ),
        )
    )


def envelope(seed: int) -> str:
    """The controller stops; what it predicted for that, and what happens."""
    stop = 1200
    site = Site.drawn(seed, stop + 60, clouds=False)
    rig = _Stopping(site, params_for(site.tick_s, site.telemetry_s), Script(), stop)
    trace = rig.run()
    shown = slice(stop - 60, None)
    at = np.arange(trace.load_kw.size, dtype=np.float64)[shown] - stop
    worst = rig.worst_kw[shown]
    return line_chart(
        Chart(
            title="The controller dies at 0 s: every lease ends by itself",
            x_words=f"seconds (leases live 30 s, and devices have {REVERT_S:g} s to follow their end)",
            y_words="kW",
            lines=(
                Line(name="worst load predicted", x=at, y=worst, color=_FREE, steps=True),
                Line(name="load", x=at, y=trace.load_kw[shown], color=_LOAD),
                Line(name="households less PV", x=at, y=trace.fixed_kw[shown], color=_OTHER),
                Line(name="limit", x=at, y=trace.limit_kw[shown], color=_LIMIT, dashed=True),
            ),
        )
    )


def turns(seed: int) -> str:
    """20 hungry chargers on room for eight."""
    site = Site(
        seed=seed, duration_s=6 * 3600, chargers=20, hungry=True, clouds=False, noise=0.0, household_kw=10.0,
        drift_kw=0.0, pv_kw=0.0, tick_s=5, telemetry_s=5, meter_s=5,
    )  # fmt: skip
    priority: Ints = np.random.default_rng([seed, 23]).integers(1, 11, site.chargers)
    rig = Rig(site, params_for(5, 5), Script(priority=priority))
    room = 1.02 * 8.0 * float(np.mean(rig.plant.chargers.minimum_kw))
    rig.script = Script(priority=priority, limit_kw=lambda t: float(rig.plant.household_kw[t]) + room)
    drawn = rig.run().drawn_kw
    order = np.argsort(-priority, kind="stable")
    rows = [(f"pr. {priority[row]}", _spans(drawn[:, row] > 0.0)) for row in order.tolist()]
    return span_chart(
        Spans(
            title="20 hungry chargers on room for eight: who is on, by priority",
            x_words="hours",
            rows=rows,
            color=_LOAD,
        )
    )


class _Stopping(Rig):
    """A controller that dies at a second; until then it notes what it predicts for that."""

    def __init__(self, site: Site, params: Params, script: Script, stop_s: int) -> None:
        super().__init__(site, params, script)
        self._stop_s = stop_s
        self.worst_kw: Floats = np.full(site.duration_s, np.nan)

    def _tick(self, t: int, static_kw: float, event_kw: float) -> None:
        """Decide while it lives; what it predicted last stands."""
        if t < self._stop_s:
            super()._tick(t, static_kw, event_kw)
        if self.decision is not None:
            self.worst_kw[t] = self.decision.nodes.envelope_import_kw[0]


def _traced(site: Site, script: Script) -> Trace:
    return Rig(site, params_for(site.tick_s, site.telemetry_s), script).run()


def _spans(on: Bools) -> list[tuple[float, float]]:
    """Begin and end of every run of true values [h]."""
    edges = np.diff(np.concatenate(([0], on.astype(np.int64), [0])))
    begins, ends = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    return [(begin / 3600.0, end / 3600.0) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
