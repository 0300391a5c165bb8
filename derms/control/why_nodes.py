"""The bounds that nodes set: limits, what is taken of them, and by how much they would have to rise. Pure."""

import numpy as np

from derms.columns import Bools, Constraint, Floats, Reason
from derms.control.cause import Bound, BoundKind, Case
from derms.control.limits import RECOVERY, STATIC
from derms.control.words import allowed_text, kw_text, load_text, wait_text

_SLIGHT_KW = 1e-6
_CLEAR_KW = 0.05
"""A sum that is off by less is rounded [kW]."""


def node_bounds(case: Case) -> tuple[Bound, ...]:
    """One bound a node, from the device's own node up to the root."""
    if case.is_pv:
        return tuple(_export_bound(case, node) for node in case.path)
    return tuple(_import_bound(case, node) for node in case.path)


def _import_bound(case: Case, node: int) -> Bound:
    nodes, name = case.decision.nodes, case.names.nodes[node]
    binding = case.binds(BoundKind.NODE, node)
    room, own = float(nodes.headroom_kw[node]), case.share_kw
    others = float(np.sum(case.decision.share_kw[case.flexible & case.below(node)])) - (own if case.shares else 0.0)
    source = nodes.import_source[node]
    if np.isinf(nodes.import_limit_kw[node]):
        words = f"{name} has no import limit, load {load_text(float(nodes.load_kw[node]))}"
        return Bound(kind=BoundKind.NODE, subject=name, source=source, words=words)
    # A node that is not the tightest leaves at least what the device has.
    left = own if binding else max(room - others, own)
    words = f"{_taken_text(case, node)}; {_others_text(others)}"
    if case.shares:
        words += f", which leaves it {allowed_text(left, case.kind)}"
    return Bound(
        kind=BoundKind.NODE,
        subject=name,
        source=source,
        limit_kw=left if case.shares else None,
        binding=binding,
        words=words,
        remedies=_import_remedies(case, node) if binding else (),
    )


def left_kw(case: Case, node: int) -> float:
    """What a node has left when all below it have their shares [kW]."""
    given = float(np.sum(case.decision.share_kw[case.flexible & case.below(node)]))
    return max(float(case.decision.nodes.headroom_kw[node]) - given, 0.0)


def _taken_text(case: Case, node: int) -> str:
    """An import limit and what is taken of it before anything is given away."""
    nodes = case.decision.nodes
    room, short = float(nodes.headroom_kw[node]), float(nodes.shortfall_kw[node])
    margin, reserved = float(case.picture.nodes.margin_kw[node]), float(nodes.reserved_kw[node])
    taken = [f"{load_text(float(nodes.uncontrolled_kw[node]))} that nobody controls"]
    taken += [f"a margin of {kw_text(margin)}"] if margin > 0.0 else []
    taken += [f"{kw_text(reserved)} reserved"] if abs(reserved) > _SLIGHT_KW else []
    kept = float(nodes.import_limit_kw[node] - nodes.uncontrolled_kw[node]) - margin - reserved - max(room, 0.0)
    taken += [f"{kw_text(kept)} kept free for noise"] if room > 0.0 and kept > _CLEAR_KW else []
    left = f"leaves {kw_text(room)} to give" if room >= 0.0 else f"is {kw_text(room)} too much"
    left += " as before, the rest being noise" if room > 0.0 and kept < -_CLEAR_KW else ""
    left += f", {kw_text(short)} of it beyond relief" if short > _SLIGHT_KW else ""
    limit = limit_text(case, node, exports=False)
    return f"{limit}, load {load_text(float(nodes.load_kw[node]))}; less {' and '.join(taken)} {left}"


def limit_text(case: Case, node: int, *, exports: bool) -> str:
    """A node's limit in force, and who set it."""
    nodes = case.decision.nodes
    limit = float((nodes.export_limit_kw if exports else nodes.import_limit_kw)[node])
    source = (nodes.export_source if exports else nodes.import_source)[node]
    by = "" if source == STATIC else f" ({case.names.source(source).text()})"
    return f"{case.names.nodes[node]} {'export' if exports else 'import'} limit {kw_text(limit)}{by}"


def _others_text(kw: float) -> str:
    if abs(kw) < _SLIGHT_KW:
        return "nothing goes to others"
    return f"others give {kw_text(kw)} back" if kw < 0.0 else f"{kw_text(kw)} go to others"


def _export_bound(case: Case, node: int) -> Bound:
    nodes, name = case.decision.nodes, case.names.nodes[node]
    binding = case.binds(BoundKind.NODE, node)
    limit, room, own = float(nodes.export_limit_kw[node]), float(nodes.export_headroom_kw[node]), case.share_kw
    source = nodes.export_source[node]
    if np.isinf(limit):
        words = f"{name} has no export limit, load {load_text(float(nodes.load_kw[node]))}"
        return Bound(kind=BoundKind.NODE, subject=name, source=source, words=words)
    told = _told_pv(case)
    others = -float(np.sum(case.decision.share_kw[told & case.below(node)])) + (own if case.shares else 0.0)
    left = own if binding else -max(room - others, -own) + 0.0
    have = f"{kw_text(room)} to generate" if room >= 0.0 else f"nothing to generate, export is {kw_text(room)} over"
    words = (
        f"{limit_text(case, node, exports=True)}, load {load_text(float(nodes.load_kw[node]))}; "
        f"with what is consumed behind it there is {have}; {_others_text(max(others, 0.0))}"
    )
    if case.shares:
        words += f", which leaves it {allowed_text(left, case.kind)}"
    return Bound(
        kind=BoundKind.NODE,
        subject=name,
        source=source,
        limit_kw=left if case.shares else None,
        binding=binding,
        words=words,
        remedies=_export_remedies(case) if binding else (),
    )


def _told_pv(case: Case) -> Bools:
    is_pv = case.devices.kind == case.kind
    told: Bools = is_pv & np.isfinite(case.decision.target_kw)
    return told


def event_bounds(case: Case) -> tuple[Bound, ...]:
    """One bound for each event or program that bears on a node above the device."""
    found = []
    for node in case.path:
        nodes, name = case.decision.nodes, case.names.nodes[node]
        in_force = (nodes.export_source if case.is_pv else nodes.import_source)[node]
        for constraint in sorted(case.picture.constraints, key=lambda item: item.source):
            asked = _asked_text(constraint, exports=case.is_pv)
            if constraint.node != node or not asked:
                continue
            source = case.names.source(constraint.source)
            bears = "in force" if in_force == constraint.source else f"{case.names.source(in_force).text()} is tighter"
            ends = f", ends at {source.end_text()}" if source.until else ""
            words = f"{source.text()} at {name}: {asked}; {bears}{ends}"
            found.append(Bound(kind=BoundKind.EVENT, subject=name, source=constraint.source, words=words))
    return tuple(found)


def _asked_text(constraint: Constraint, *, exports: bool) -> str:
    """What an event or program asks for in one direction; empty: nothing."""
    if exports:
        limit = constraint.export_limit_kw
        return f"export limit {kw_text(limit)}" if np.isfinite(limit) else ""
    asked = []
    if np.isfinite(constraint.import_limit_kw):
        asked.append(f"import limit {kw_text(constraint.import_limit_kw)}")
    if constraint.shed_kw > 0.0:
        asked.append(f"to shed {kw_text(constraint.shed_kw)}")
    if constraint.shed_fraction > 0.0:
        asked.append(f"to shed {constraint.shed_fraction:.0%} of the flexible load")
    return ", ".join(asked)


def _import_remedies(case: Case, node: int) -> tuple[str, ...]:
    if case.reason is Reason.RELIEF:
        lacks = {at: -room for at in case.path if (room := float(_room_kw(case)[at])) < 0.0}
        return (f"{_lift_text(case, lacks, 'import')}: it need not discharge then",)
    return (raise_remedy(case), *_reserved_remedy(case, node))


def raise_remedy(case: Case) -> str:
    """What would let it have all it can take, with everybody else having that too."""
    full = case.at(case.decision.cap_kw)
    text = _lift_text(case, lacking(case, _wanted_kw(case), _room_kw(case)), "import")
    return f"{text}: it gets all it can take then, {allowed_text(full, case.kind)}"


def _reserved_remedy(case: Case, node: int) -> tuple[str, ...]:
    reserved = float(case.decision.nodes.reserved_kw[node])
    if reserved <= _SLIGHT_KW:
        return ()
    count = int(np.sum(case.storage & ~case.flexible & case.below(node)))
    if count == 0:
        return (f"of the {kw_text(reserved)} drawn beyond what leases allow, what ends is given again",)
    who = "1 device that is" if count == 1 else f"{count} devices that are"
    return (f"of the {kw_text(reserved)} kept for {who} silent, faulty or astray, what they leave is given again",)


def _room_kw(case: Case) -> Floats:
    """What allocation had to give at each node, shape (m,) [kW]: a discharge that was ordered makes room."""
    return case.decision.nodes.headroom_kw - case.tree.subtree(case.devices.node, _ordered_kw(case))


def _ordered_kw(case: Case) -> Floats:
    held = case.flexible & (case.holds_kw < 0.0)
    return np.where(held, np.fmax(np.fmin(case.decision.share_kw, 0.0), case.holds_kw), 0.0)


def _wanted_kw(case: Case) -> Floats:
    """What the flexible devices would take, shape (n,) [kW]."""
    return np.where(case.flexible, case.decision.cap_kw, 0.0)


def lacking(case: Case, wanted_kw: Floats, room_kw: Floats) -> dict[int, float]:
    """By how much the nodes above the device fall short of what everything below them would take.

    What lies below a node off the device's way is clipped to that node's own room.

    Args:
        case: The case.
        wanted_kw: What each device would take, shape (n,) [kW].
        room_kw: What each node has to give, shape (m,) [kW].
    """
    tree, on_path = case.tree, np.zeros(room_kw.size, dtype=bool)
    on_path[list(case.path)] = True
    total = tree.at_nodes(case.devices.node, wanted_kw)
    for level in tree.levels[:0:-1]:
        passes = np.where(on_path[level], total[level], np.minimum(total[level], np.maximum(room_kw[level], 0.0)))
        np.add.at(total, tree.parent[level], passes)
    return {node: lack for node in case.path if (lack := float(total[node] - room_kw[node])) > _SLIGHT_KW}


def _lift_text(case: Case, lacks: dict[int, float], direction: str) -> str:
    """What has to be lifted, at every node together, so that none of them lacks anything."""
    raises = [part for node, lack in lacks.items() for part in _lifts(case, node, lack, direction)]
    return " and ".join(raises) if raises else f"raise the {direction} limit"


def _lifts(case: Case, node: int, lack_kw: float, direction: str) -> list[str]:
    """Everything that holds one node below the limit it would need."""
    nodes, name, exports = case.decision.nodes, case.names.nodes[node], direction == "export"
    in_force_kw = float((nodes.export_limit_kw if exports else nodes.import_limit_kw)[node])
    source = (nodes.export_source if exports else nodes.import_source)[node]
    static_kw = float((case.picture.nodes.export_limit_kw if exports else case.picture.nodes.import_limit_kw)[node])
    needed = in_force_kw + lack_kw
    limits = {source: in_force_kw} if source != STATIC else {}
    for constraint in case.picture.constraints:
        limit = constraint.export_limit_kw if exports else constraint.import_limit_kw
        if constraint.node == node and limit < needed:
            limits.setdefault(constraint.source, limit)
    found = [_wait_for(case, name, key) for key in sorted(limits)]
    if static_kw < needed - _SLIGHT_KW:
        found.append(f"raise the {direction} limit of {name} by {_up(needed - static_kw)}")
    return found


def _wait_for(case: Case, name: str, source: str) -> str:
    if source == RECOVERY:
        return (
            f"wait until the limit of {name} has risen after the event ({wait_text(case.params.recovery_s)} at most, "
            f"up to the earlier peak for {wait_text(case.params.rebound_s)})"
        )
    known = case.names.source(source)
    ends = f", which it does at {known.end_text()}" if known.until else ""
    return f"let {known.label} at {name} end{ends}"


def _up(kw: float) -> str:
    """Rounded up, so that it is enough."""
    return f"{np.ceil(kw * 10.0 - _SLIGHT_KW) / 10.0:.1f} kW"


def _export_remedies(case: Case) -> tuple[str, ...]:
    told, devices = _told_pv(case), case.devices
    ceiling = np.where(case.blocked, 0.0, np.fmin(devices.p_export_max_kw, -case.holds_kw))
    ceiling = np.where(told, np.maximum(ceiling, 0.0), 0.0)
    lacks = lacking(case, ceiling, case.decision.nodes.export_headroom_kw)
    text = _lift_text(case, lacks, "export")
    return (f"{text}: it may make all it can then, {allowed_text(-case.at(ceiling), case.kind)}",)
