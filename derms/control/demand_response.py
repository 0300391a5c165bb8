"""DR events and programs -> constraints on the nodes of a tree. Pure.

Windows are half-open: an event bears on its feeders in ``[start, end)``. DR only tightens.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import numpy as np

from derms.columns import Constraint
from derms.model import DrEvent, DrProgram, ProgramKind

ELASTICITY = 0.5
"""Share of the flexible load that is put off per unit of the price signal relative to `REFERENCE_PER_KWH`."""
REFERENCE_PER_KWH = 0.30
"""A usual retail price, against which incentive and penalty are measured [currency/kWh]."""
MOST_ELASTIC = 0.8
"""A price never puts off more than this share of the flexible load: the rest is need."""


def is_active(event: DrEvent, now: datetime) -> bool:
    """Whether an event bears at an instant; its end is not inside."""
    return event.cancelled_at is None and event.start <= now < event.end


def program_bears(program: DrProgram, now: datetime) -> bool:
    """Whether a program bears at an instant; its end is not inside."""
    return program.active and program.start <= now < program.end


def elastic_fraction(program: DrProgram) -> float:
    """The share of the flexible load that a price-elastic program puts off, 0..`MOST_ELASTIC`.

    ``fraction = min(ELASTICITY * (incentive + penalty) / REFERENCE_PER_KWH, MOST_ELASTIC)``: who sheds a kWh earns the
    incentive and is spared the penalty, so both pull the same way, and neither can ever add load.

    Source: the linear form of price elasticity of demand; Kirschen and Strbac, Fundamentals of Power System
    Economics, section 2.2.
    """
    signal = max(program.incentive_per_kwh, 0.0) + max(program.penalty_per_kwh, 0.0)
    return min(ELASTICITY * signal / REFERENCE_PER_KWH, MOST_ELASTIC)


def constraints_on(
    tree: Mapping[str, int],
    events: Iterable[DrEvent],
    programs: Iterable[DrProgram],
    now: datetime,
    loads_kw: Mapping[str, float],
    parents: Mapping[str, str | None],
) -> tuple[Constraint, ...]:
    """Collect what active events and programs ask of the nodes of one tree.

    A shed is one amount for all its feeders together: each bears the share that it draws of what they draw. One that
    names no feeder is for all roots, and a feeder that lies below another one named bears its shed within that.

    Args:
        tree: Node ids of the tree and their rows.
        events: Events, active or not.
        programs: Programs, active or not.
        now: The controller's wall clock, UTC.
        loads_kw: What every feeder of every tree draws now, by id [kW].
        parents: The parent of every feeder of every tree, by id.
    """
    found = []
    for event in events:
        if not is_active(event, now):
            continue
        targets = _targets(event.feeder_ids, parents)
        shares = _shares(targets, loads_kw, parents)
        for feeder_id in sorted(targets & tree.keys()):
            shed_kw = 0.0 if event.shed_kw is None else event.shed_kw * shares.get(feeder_id, 0.0)
            found.append(
                Constraint(
                    source=event.event_id,
                    node=tree[feeder_id],
                    import_limit_kw=np.inf if event.import_limit_kw is None else event.import_limit_kw,
                    export_limit_kw=np.inf if event.export_limit_kw is None else event.export_limit_kw,
                    shed_kw=shed_kw,
                )
            )
    for program in programs:
        if not program_bears(program, now):
            continue
        targets = _targets(program.feeder_ids, parents)
        shares = _shares(targets, loads_kw, parents)
        for feeder_id in sorted(shares.keys() & tree.keys()):
            fixed = program.kind is ProgramKind.FIXED_CAP
            found.append(
                Constraint(
                    source=program.program_id,
                    node=tree[feeder_id],
                    shed_kw=program.target_shed_kw * shares[feeder_id] if fixed else 0.0,
                    shed_fraction=0.0 if fixed else elastic_fraction(program),
                )
            )
    return tuple(found)


def _targets(named: tuple[str, ...], parents: Mapping[str, str | None]) -> set[str]:
    """The feeders meant: those named that exist, or all roots."""
    if named:
        return {feeder_id for feeder_id in named if feeder_id in parents}
    return {feeder_id for feeder_id, parent in parents.items() if parent is None}


def _shares(targets: set[str], loads_kw: Mapping[str, float], parents: Mapping[str, str | None]) -> dict[str, float]:
    """How a shed is shared among the uppermost of its feeders: in proportion to what each draws."""
    uppermost = sorted(target for target in targets if not _lies_below(target, targets, parents))
    drawn = {target: max(loads_kw.get(target, 0.0), 0.0) for target in uppermost}
    total = sum(drawn.values())
    return {target: kw / total if total > 0.0 else 1.0 / len(drawn) for target, kw in drawn.items()}


def _lies_below(feeder_id: str, targets: set[str], parents: Mapping[str, str | None]) -> bool:
    parent = parents.get(feeder_id)
    while parent is not None:
        if parent in targets:
            return True
        parent = parents.get(parent)
    return False
