"""What each node carries that is not told what to do: metered less what is known, node by node. Pure.

A head meter and the devices below it do not report at the same instant. Between a setpoint and the first reading made
under it a device may draw anything from the one to the other; a change of the meter that this explains is taken for
the device's, and not for a change of the background. Without that the start of a charger that reports every five
seconds would look like a load of its size, and stop it again.
"""

from dataclasses import dataclass, replace

import numpy as np

from derms.columns import LOAD, PV, Bools, DeviceColumns, Floats, Freshness, Ints, NodeColumns, NodeMemory, Params
from derms.control.bounds import Bounds
from derms.control.caution import Belief, follow, foresee
from derms.control.choice import choose, keep
from derms.control.meters import Meters
from derms.control.tree import Tree

_OLD_S = 1.0
"""A reading older than this may not fit that of the head meter [s]."""
_ON_ITS_WAY_S = 8.0
"""A device takes about this long to be where it was told to [s]."""


_SUDDEN, _SUDDEN_SHARE = 3.0, 0.02
"""A fall by more than so many standard deviations, and this share of the meter, is sudden."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """Arrays of shape (m,) [kW]; each node with everything below it."""

    metered: Bools
    """There is a fresh head meter."""
    blind: Bools
    """There was a head meter and it is silent: hold, raise nothing below it."""
    import_kw: Floats
    """As the import side believes it, noise averaged away. Without reservations."""
    export_kw: Floats
    """As the export side believes it, without PV."""
    belief: Belief
    """How sure all that is."""
    residual_kw: Floats
    """Metered minus everything known; remembered, or assumed, without a meter."""
    load_kw: Floats
    """The node's net load."""


def background_of(
    nodes: NodeColumns,
    tree: Tree,
    devices: DeviceColumns,
    draw_kw: Floats,
    bounds: Bounds,
    fresh: Ints,
    meters: Meters,
    memory: NodeMemory,
    params: Params,
    dt_s: float,
) -> tuple[Background, NodeMemory]:
    """Split each node's load into what is told and what is not.

    With a fresh head meter the uncontrolled part is what it reads less what the controlled devices below it report.
    Without one it is the sum of its `load` devices and PV, of what its children carry, and of the residual last seen
    (or the assumed unmetered load, where no meter ever was).

    Args:
        nodes: The nodes.
        tree: Their shape.
        devices: The columns.
        draw_kw: Measured power, shape (n,) [kW].
        bounds: Who is told.
        fresh: Codes of `Freshness`, shape (n,).
        meters: Which head meters can be believed.
        memory: What was remembered.
        params: The engine's constants.
        dt_s: Since the last tick [s].
    """
    power = keep(np.isfinite(draw_kw), draw_kw)
    told = _told_kw(devices, power, bounds, fresh, params)
    told_kw, least_kw, most_kw = (tree.subtree(devices.node, column) for column in told)
    is_pv = devices.kind == PV
    # A panel that says it consumes what it makes, or makes what it consumes, is taken at its worst for export.
    generation_kw = tree.subtree(devices.node, keep(is_pv, -np.abs(power)))
    base_own = tree.at_nodes(devices.node, keep(devices.kind == LOAD, power))
    # A silent panel may be making nothing: it is not counted on where there is no meter to see it.
    pv_own = tree.at_nodes(devices.node, keep(is_pv & (fresh == Freshness.GOOD), power))
    known = base_own + pv_own
    known_all = tree.up(known)
    metered = meters.live
    above_kw = np.where(metered, nodes.metered_kw, 0.0) - known_all
    reading = _nearest(memory.level_kw, above_kw - most_kw, above_kw - least_kw)
    belief, memory = follow(reading, nodes.metered_age_s, metered, memory, dt_s)
    trend, memory = foresee(known_all, memory, dt_s)
    unexplained = np.where(meters.known, memory.residual_kw, nodes.assumed_unmetered_kw)
    now_import = np.where(metered, belief.level_kw + known_all, known + unexplained)
    now_export = np.where(metered, now_import - generation_kw, base_own + unexplained)
    known_below = known.copy()
    rise, spread, noise = belief.trend_kw_s.copy(), belief.spread_kw2.copy(), belief.noise_kw2.copy()
    for level in tree.levels[:0:-1]:
        open_above = ~metered[tree.parent[level]]
        np.add.at(known_below, tree.parent[level], now_import[level])
        inner = level[open_above]
        if not inner.size:
            continue
        above = tree.parent[inner]
        # Where a meter looks at everything below, what the meters there say adds nothing to it.
        for value in (now_import, now_export, rise, spread, noise):
            np.add.at(value, above, value[inner])
    fall = 1.0 - np.exp(-dt_s / params.background_fall_s)
    # A load that is suddenly gone may be a device that lies: that much room is opened slowly, as if unmetered.
    sudden = _SUDDEN * np.sqrt(spread + noise) + _SUDDEN_SHARE * np.fmax(np.abs(nodes.metered_kw), 0.0)
    gone = metered & (memory.fixed_import_kw - now_import > sudden)
    slow_import = _believe(now_import, memory.fixed_import_kw, fall, upward=True)
    slow_export = _believe(now_export, memory.fixed_export_kw, fall, upward=False)
    believed_import = np.where(metered & ~gone, now_import, slow_import)
    believed_export = np.where(metered, now_export, slow_export)
    caution = Belief(level_kw=now_import, trend_kw_s=rise + trend, spread_kw2=spread, noise_kw2=noise)
    found = Background(
        metered=metered,
        blind=meters.known & ~metered,
        import_kw=believed_import,
        export_kw=believed_export,
        belief=caution,
        residual_kw=np.where(metered, now_import - known_below, unexplained),
        load_kw=np.where(metered, nodes.metered_kw, now_import + told_kw),
    )
    return found, replace(
        memory,
        fixed_import_kw=found.import_kw,
        fixed_export_kw=found.export_kw,
        residual_kw=np.where(metered & ~meters.doubted, found.residual_kw, memory.residual_kw),
    )


def _told_kw(
    devices: DeviceColumns, power_kw: Floats, bounds: Bounds, fresh: Ints, params: Params
) -> tuple[Floats, Floats, Floats]:
    """What each device that is told, or would be, draws as far as is known; the least and the most it may; (n,) each.

    One that is lost and whose leases are over is on its default control, as the reservations take it too: what it drew
    when it was last heard must not be taken off a meter that no longer sees it.
    """
    ours = bounds.flexible | bounds.held
    fallen = bounds.held & (fresh == Freshness.LOST) & ~np.isfinite(devices.may_kw)
    known = keep(ours, np.where(fallen, devices.default_power_kw, power_kw))
    # A reading that is not of this moment may also have caught it on its way.
    on_its_way_s = choose(devices.age_s > _OLD_S, np.full(known.size, _ON_ITS_WAY_S), params.obey_s)
    unseen = ours & np.isfinite(devices.lease_kw) & (devices.told_s < devices.age_s + on_its_way_s)
    least = choose(unseen, np.minimum(known, devices.lease_kw), known)
    most = choose(unseen, np.maximum(known, devices.lease_kw), known)
    return known, least, most


def _nearest(before_kw: Floats, low_kw: Floats, high_kw: Floats) -> Floats:
    """What was believed before, as far as the readings allow it; the higher where nothing was."""
    return np.where(np.isfinite(before_kw), np.clip(before_kw, low_kw, high_kw), high_kw)


def _believe(now_kw: Floats, before_kw: Floats, belief: float, *, upward: bool) -> Floats:
    """Follow a change for the worse at once, one for the better slowly."""
    worse = (now_kw >= before_kw) if upward else (now_kw <= before_kw)
    at_once = worse | ~np.isfinite(before_kw)
    return np.where(at_once, now_kw, before_kw + belief * (now_kw - np.where(at_once, 0.0, before_kw)))
