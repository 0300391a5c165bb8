"""What a tick costs, against its targets."""

from collections.abc import Callable, Mapping

from derms.bench.cost import Cost, growth, measure_cost
from derms.bench.effort import Effort
from derms.bench.figures import Figure, Section, Table

_TARGETS_MS: Mapping[int, tuple[float, float]] = {1_000: (1.0, 2.0), 10_000: (2.0, 8.0), 100_000: (20.0, 80.0)}
"""Of the allocation and of the whole decision [ms], by devices."""


def cost(effort: Effort, say: Callable[[str], None]) -> Section:
    """Item 10."""
    figures: list[Figure] = []
    found: list[Cost] = []
    for devices in effort.sizes:
        for lumps in (False, True) if effort.tables else (False,):
            say(f"cost: {devices} devices{', whole amps' if lumps else ''}")
            found.append(measure_cost(devices, lumps=lumps, runs=effort.runs))
    smooth = [each for each in found if not each.lumps]
    for each in smooth:
        allocation, tick = _TARGETS_MS[each.devices]
        sort = ((f"numpy.sort of {each.devices:,} numbers", each.sort.p99_ms),)
        figures += [
            Figure(what=f"{each.devices:,} devices: allocation, p99", value=each.allocation.p99_ms, unit="ms",
                   target=allocation, at_least=False, rivals=sort),
            Figure(what=f"{each.devices:,} devices: `decide`, p99", value=each.tick.p99_ms, unit="ms", target=tick,
                   at_least=False),
        ]  # fmt: skip
    if len(smooth) > 1:
        figures.append(
            Figure(
                what=f"growth of the allocation from {smooth[-2].devices:,} to {smooth[-1].devices:,}, of n log n",
                value=growth(smooth[-2], smooth[-1]),
                unit="",
                target=1.0,
                at_least=False,
            )
        )
    return Section(
        key="cost",
        title="10 Cost",
        setting="One feeder over 1,000 transformers, a third of which bind, as does the feeder; of ten devices seven "
        "are cars, two batteries and one PV; the default policy. p99 is by the wall clock, whatever else the machine "
        "did; the table has the processor's time too.",
        figures=tuple(figures),
        tables=(
            Table(
                title="Milliseconds",
                header=("devices", "chargers", "runs", "sort p50", "policy p50 / p99", "allocation p50 / p99 / cpu p99",
                        "decide p50 / p99 / cpu p99", "allocation in sorts"),
                rows=tuple(_row(each) for each in found),
            ),
        ),
    )  # fmt: skip


def _row(each: Cost) -> tuple[str, ...]:
    allocation, tick = each.allocation, each.tick
    return (
        f"{each.devices:,}",
        "whole amps" if each.lumps else "any power",
        str(each.runs),
        f"{each.sort.p50_ms:.3f}",
        f"{each.plug.p50_ms:.2f} / {each.plug.p99_ms:.2f}",
        f"{allocation.p50_ms:.2f} / {allocation.p99_ms:.2f} / {allocation.cpu_p99_ms:.2f}",
        f"{tick.p50_ms:.2f} / {tick.p99_ms:.2f} / {tick.cpu_p99_ms:.2f}",
        f"{each.sorts:.0f}",
    )
