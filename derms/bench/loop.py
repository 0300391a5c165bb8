"""How fast the controller is from end to end: ticks, leases and events on the wire, a breach answered, a start."""

import asyncio
import os
from collections.abc import Callable, Collection, Sequence

import numpy as np

from derms.bench.effort import Effort
from derms.bench.figures import Figure, Section, Table
from derms.bench.loop_run import LIMIT_KW, TIGHTER, Case, Seen, look
from derms.bench.loop_start import Starts, starts
from derms.errors import UnavailableError

_LATE_MS = 20.0
_LAST_LEASE_MS = {1_000: 80.0, 10_000: 800.0}
_EVENT_MS = 1_000.0
_BREACH_P50_MS, _BREACH_P99_MS = 10.0, 60.0
_FIRST_S, _WARM_S = 3.0, 1.5


def loop(effort: Effort, say: Callable[[str], None], *, devices: Collection[int] = ()) -> Section:
    """Measure it.

    Args:
        effort: How much.
        say: Told what is being done.
        devices: Only the fleets of so many; empty: all.

    Raises:
        UnavailableError: There is no Mosquitto, or the daemon does not start.
    """
    quick = effort.runs is not None

    def told(text: str) -> None:
        say(f"loop: {text}")

    started = asyncio.run(starts(1 if quick else 5, told))
    seen, broken = [], []
    for case in _cases(quick):
        if not devices or case.devices in devices:
            try:
                seen.append(asyncio.run(look(case, told)))
            except UnavailableError as error:
                # What the other fleets showed counts all the same.
                told(f"{case.name}: {error}")
                broken.append((case.name, f"{error}: {error.why}"))
    return Section(
        key="loop",
        title="From end to end",
        setting=(
            "A process of `derms serve` with its embedded database, a Mosquitto that saves nothing, and the devices, "
            f"all on the same {os.cpu_count()} processors. Every device is a car that hears its own leases over MQTT, "
            "draws what it wants as far as it may, and says so, one message a sample (QoS 1) or, where it says so, "
            "through gateways; a head meter tells the sum once a second. "
            f"They want more than the limit of {LIMIT_KW:g} kW each, and have a minute to come up to it; each event "
            f"leaves {TIGHTER:.0%} of what they draw then. Lateness: "
            "how much more than the interval lies between two ticks, by the instant that their leases carry. Last "
            "lease: when the devices' process has read it; its tick's instant stands in it. An event counts from the "
            "request over HTTP, a breach from the meter's message, out of another process, until the first lower lease "
            "has come. Start: until `GET /api/ready` answers 200. For scale, in the same run: paho "
            "alone publishing as many messages of QoS 1 through the same Mosquitto until all are acknowledged, a "
            "message of QoS 0 that goes round, `GET /api/health`, and the embedded PostgreSQL by itself."
        ),
        figures=(*(figure for one in seen for figure in figures_of(one)), *_start_figures(started)),
        tables=(_table(seen), *([_missing(broken)] if broken else [])),
    )


def _cases(quick: bool) -> tuple[Case, ...]:
    steady_s, events, breaches = (20.0, 3, 10) if quick else (120.0, 6, 60)
    return (
        Case(devices=1_000, every_s=1.0, tick_s=1.0, gateways=0, steady_s=steady_s, events=events, breaches=breaches),
        Case(devices=10_000, every_s=1.0, tick_s=1.0, gateways=0, steady_s=steady_s, events=events, breaches=breaches),
        Case(devices=100_000, every_s=10.0, tick_s=2.0, gateways=1_000, steady_s=steady_s, events=events, breaches=0),
    )  # fmt: skip


def figures_of(seen: Seen) -> list[Figure]:
    """Of one fleet; what was not seen at all is as bad as can be."""
    case, echo = seen.case, ("a message that goes round", _at(seen.echo_ms, 99))
    paho = (("paho alone", seen.paho_s * 1000.0),)
    found = [
        Figure(what=f"{case.name}: lateness of a tick, p99", value=_at(seen.late_ms, 99), unit="ms", target=_LATE_MS,
               at_least=False, rivals=(echo,)),
        Figure(what=f"{case.name}: tick to the last lease, median of the events",
               value=_at([change.tick_to_last_ms for change in seen.changes], 50), unit="ms",
               target=_LAST_LEASE_MS.get(case.devices), at_least=False, rivals=paho),
        Figure(what=f"{case.name}: event over HTTP to the last lease, the longest",
               value=_at([change.asked_to_last_ms for change in seen.changes], 100), unit="ms",
               target=None if case.devices > 10_000 else _EVENT_MS, at_least=False,
               rivals=(("health, p50", _at(seen.health_ms, 50)), *paho)),
    ]  # fmt: skip
    if case.breaches:
        found += [
            Figure(what=f"{case.name}: breach to the first lease, p{percent}", value=_at(seen.breaches_ms, percent),
                   unit="ms", target=target, at_least=False, rivals=((echo[0], _at(seen.echo_ms, percent)),))
            for percent, target in ((50, _BREACH_P50_MS), (99, _BREACH_P99_MS))
        ]  # fmt: skip
    return found


def _start_figures(started: Starts) -> list[Figure]:
    def figure(what: str, value: float, target: float, rival: tuple[tuple[str, float], ...]) -> Figure:
        return Figure(what=f"`derms serve` ready, {what}", value=value * 1000.0, unit="ms", target=target * 1000.0,
                      at_least=False, rivals=rival)  # fmt: skip

    name = "PostgreSQL alone"
    return [
        figure("the first start", started.first_s, _FIRST_S, ((name, started.postgres_first_s * 1000.0),)),
        figure("again", started.warm_s, _WARM_S, ((name, started.postgres_warm_s * 1000.0),)),
        figure("with a database and broker that run", started.external_s, _WARM_S, ()),
    ]


def _table(seen: Sequence[Seen]) -> Table:
    return Table(
        title="By fleet",
        header=("fleet", "tick, s", "ticks", "late p50 / p99 / most, ms", "leases an event", "tick to last, ms",
                "breaches", "not answered in 5 s", "breach p50 / p90 / p99, ms", "samples/s",
                "processors", "load of the machine"),
        rows=tuple(_row(one) for one in seen),
    )  # fmt: skip


def _missing(broken: Sequence[tuple[str, str]]) -> Table:
    return Table(title="Not measured", header=("fleet", "why"), rows=tuple(broken))


def _row(seen: Seen) -> tuple[str, ...]:
    def at(values: Sequence[float], *percents: float) -> str:
        return " / ".join(f"{_at(values, percent):.1f}" for percent in percents) if values else "-"

    return (
        seen.case.name,
        f"{seen.case.tick_s:g}",
        f"{len(seen.late_ms)}",
        at(seen.late_ms, 50, 99, 100),
        ", ".join(f"{change.leases:,}" for change in seen.changes),
        ", ".join(f"{change.tick_to_last_ms:.0f}" for change in seen.changes),
        f"{len(seen.breaches_ms)}",
        f"{seen.breaches_ms.count(float('inf'))}",
        at(seen.breaches_ms, 50, 90, 99),
        f"{seen.rate:,.0f}",
        f"{seen.processors:.2f}",
        f"{seen.machine:.1f}",
    )


def _at(values: Sequence[float], percent: float) -> float:
    """That percentile, one of the values themselves; infinite where there is none."""
    return float(np.percentile(values, percent, method="higher")) if values else float("inf")
