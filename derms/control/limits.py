"""Which limits are in force on each node, and who set them. Pure.

DR only tightens: every rule here is a minimum, so nothing can lift a node above its own limit. After an event the
limit does not jump back: it rises, so that devices return staggered, and for a while it stays under the peak before
the event, so that what was put off does not make a new one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from derms.columns import Constraint, Floats, NodeColumns, NodeMemory, Params

STATIC = "static"
"""The source of a node's own limit."""
RECOVERY = "recovery"
"""The source of the limit that rises after an event."""

Sheds = tuple[tuple[str, int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most restrictive limit in each direction and its source, node by node [kW]; arrays of shape (m,)."""

    import_kw: Floats
    """To be held, with relief if need be."""
    soft_import_kw: Floats
    """At most `import_kw`: to be respected by what is given, not worth relief."""
    import_source: tuple[str, ...]
    export_kw: Floats
    export_source: tuple[str, ...]
    sheds: Sheds
    """To be remembered: what each active shed came to."""


def limits_in_force(
    nodes: NodeColumns,
    constraints: Iterable[Constraint],
    *,
    load_kw: Floats,
    flexible_kw: Floats,
    sheds: Sheds,
    memory: NodeMemory,
    params: Params,
    dt_s: float,
) -> tuple[Limits, NodeMemory]:
    """Combine the static limits with every active DR constraint, and let go slowly after an event.

    A shed becomes an import limit once, when it is first seen: what the node drew then, less the shed. From then on
    it stands still; taking it anew from a load that it has already lowered would shed again at every tick.

    Args:
        nodes: The nodes and their static limits.
        constraints: Active DR events and programs on these nodes.
        load_kw: What each node draws now, shape (m,) [kW].
        flexible_kw: What its flexible devices draw now, shape (m,) [kW].
        sheds: `Memory.sheds`.
        memory: What was remembered.
        params: The engine's constants.
        dt_s: Since the last tick [s].
    """
    import_kw, export_kw = nodes.import_limit_kw.copy(), nodes.export_limit_kw.copy()
    import_source, export_source = [STATIC] * import_kw.size, [STATIC] * import_kw.size
    event_kw = np.full(import_kw.size, np.inf)
    known = {(source, node): kw for source, node, kw in sheds}
    kept: dict[tuple[str, int], float] = {}
    # In the order of their names, so that equal limits are credited to the same event whatever order they came in.
    for constraint in sorted(constraints, key=lambda item: (item.source, item.node)):
        node, tightest = constraint.node, constraint.import_limit_kw
        shed_kw = constraint.shed_kw + constraint.shed_fraction * max(float(flexible_kw[node]), 0.0)
        if constraint.shed_kw > 0.0 or constraint.shed_fraction > 0.0:
            key = (constraint.source, node)
            kept[key] = known.get(key, max(float(load_kw[node]) - shed_kw, 0.0))
            tightest = min(tightest, kept[key])
        event_kw[node] = min(event_kw[node], tightest)
        if tightest < import_kw[node]:
            import_kw[node], import_source[node] = tightest, constraint.source
        if constraint.export_limit_kw < export_kw[node]:
            export_kw[node], export_source[node] = constraint.export_limit_kw, constraint.source
    memory = _watch(memory, event_kw, load_kw, params, dt_s)
    soft = np.fmin(import_kw, _recovery_kw(nodes.import_limit_kw, memory, params))
    for node in np.flatnonzero(soft < import_kw).tolist():
        import_source[node] = RECOVERY
    limits = Limits(
        import_kw=import_kw,
        soft_import_kw=soft,
        import_source=tuple(import_source),
        export_kw=export_kw,
        export_source=tuple(export_source),
        sheds=tuple((source, node, kw) for (source, node), kw in kept.items()),
    )
    return limits, memory


def _watch(memory: NodeMemory, event_kw: Floats, load_kw: Floats, params: Params, dt_s: float) -> NodeMemory:
    """Keep the peak of the last while, and from an event's start on the peak before it."""
    bears = np.isfinite(event_kw)
    begins = bears & ~(memory.since_event_s == 0.0)
    peak = np.fmax(memory.peak_kw, memory.peak_before_kw)
    peak = np.where(np.isfinite(peak), peak, load_kw)
    over = memory.since_event_s + dt_s
    gone = ~bears & ~(over < params.rebound_s)
    since = np.where(bears, 0.0, np.where(gone, np.nan, over))
    # One event that starts while the last one's rebound is still held keeps the peak before both.
    pending = np.where(np.isfinite(memory.since_event_s), memory.event_peak_kw, peak)
    event_peak = np.where(begins, np.fmin(peak, pending), memory.event_peak_kw)
    turns = memory.peak_age_s + dt_s >= params.peak_s
    return replace(
        memory,
        peak_kw=np.where(turns, load_kw, np.fmax(memory.peak_kw, load_kw)),
        peak_before_kw=np.where(turns, memory.peak_kw, memory.peak_before_kw),
        peak_age_s=np.where(turns, 0.0, memory.peak_age_s + dt_s),
        event_kw=np.where(bears, event_kw, np.where(gone, np.nan, memory.event_kw)),
        event_peak_kw=np.where(gone, np.nan, event_peak),
        since_event_s=since,
    )


def _recovery_kw(static_kw: Floats, memory: NodeMemory, params: Params) -> Floats:
    """The limit on its way back after an event, shape (m,) [kW]; inf: nothing to recover from."""
    # An event that lay above the load has put nothing off.
    after = (memory.since_event_s > 0.0) & (memory.event_kw < memory.event_peak_kw)
    top = np.where(after, np.fmin(static_kw, memory.event_peak_kw), 0.0)
    start = np.where(after, np.fmin(memory.event_kw, top), 0.0)
    share = np.where(after, np.minimum(memory.since_event_s / params.recovery_s, 1.0), 0.0)
    return np.where(after, start + share * (top - start), np.inf)
