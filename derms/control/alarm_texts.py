"""The causes of alarms that are about many devices, in words; vectors first, texts only for what is alarming. Pure."""

from collections.abc import Iterator, Sequence

import numpy as np

from derms.columns import BATTERY, EV, PV, Bools, DeviceColumns, Floats, NodeDecision, Params
from derms.control.seats import Seats
from derms.control.tree import Tree
from derms.control.words import allowed_text, kw_text, load_text, wait_text

_NAMED = 3
"""So many devices are named, the rest are counted."""
_SLIGHT_KW = 1e-6


def rogue_text(devices: DeviceColumns, row: int) -> str:
    """What a device was told, and what it reads instead."""
    lease, draw = float(devices.lease_kw[row]), float(devices.p_actual_kw[row])
    told = f"told {allowed_text(lease, int(devices.kind[row]))}" if np.isfinite(lease) else "it holds no lease any more"
    return f"{told}, it reads {load_text(draw)}"


def silent_texts(
    lost: Bools, devices: DeviceColumns, device_ids: Sequence[str], params: Params
) -> Iterator[tuple[int, str]]:
    """Which of the devices on each node are not heard.

    Args:
        lost: Which are lost, or never spoke, shape (n,).
        devices: The columns.
        device_ids: Their ids.
        params: The engine's constants.

    Yields:
        The node's row and the words, for every node on which some hang.
    """
    rows = np.flatnonzero(lost)
    rows = rows[np.argsort(devices.node[rows], kind="stable")]
    nodes, first = np.unique(devices.node[rows], return_index=True)
    total = np.bincount(devices.node, minlength=int(nodes.max(initial=0)) + 1)
    for node, here in zip(nodes.tolist(), np.split(rows, first[1:]), strict=False):
        count = f"{here.size} of {int(total[node])} devices not heard for {wait_text(params.lost_after_s)} or more"
        yield node, f"{count}: {_named(here.tolist(), device_ids)}"


def defaults_texts(
    over: Bools, devices: DeviceColumns, nodes: NodeDecision, tree: Tree, device_ids: Sequence[str]
) -> Iterator[tuple[int, str, str]]:
    """Which default controls to lower, and by how much, where all of them together pass a limit.

    Args:
        over: At which nodes they do, shape (m,).
        devices: The columns.
        nodes: The record.
        tree: The nodes' shape.
        device_ids: The ids of the devices.

    Yields:
        The node's row, the cause and the response.
    """
    if not over.any():
        return
    seats = Seats.of(tree, devices.node)
    place = np.empty_like(seats.node)
    place[seats.node] = np.arange(seats.node.size)
    adds = {exports: _defaults_kw(devices, exports=exports) for exports in (False, True)}
    for row in np.flatnonzero(over).tolist():
        exports, excess = bool(nodes.default_over_exports[row]), float(nodes.default_over_kw[row])
        below = seats.row[seats.edge[place[row]] : seats.edge[seats.end[place[row]]]]
        cut = _cuts(adds[exports][below], excess)
        largest = np.argsort(-cut, kind="stable")[: int(np.count_nonzero(cut > _SLIGHT_KW))]
        lower = [(device_ids[at], kw) for at, kw in zip(below[largest].tolist(), cut[largest].tolist(), strict=True)]
        word = "export" if exports else "import"
        cause = f"on their default controls the devices below {word} {kw_text(excess)} more than its limit allows"
        yield row, cause, _lower_text(lower, excess - float(np.sum(cut)), word)


def _defaults_kw(devices: DeviceColumns, *, exports: bool) -> Floats:
    """How much each default control adds in one direction, shape (n,) [kW]."""
    storage = (devices.kind == EV) | (devices.kind == BATTERY)
    if exports:
        told = np.maximum(-devices.default_power_kw, 0.0)
        free = np.where(told > 0.0, told, devices.p_export_max_kw)
        return np.where(devices.kind == PV, free, np.where(storage, told, 0.0))
    return np.where(storage, np.maximum(devices.default_power_kw, 0.0), 0.0)


def _cuts(defaults_kw: Floats, excess_kw: float) -> Floats:
    """By how much to lower each: the largest first, until the excess is gone; shape as given [kW]."""
    order = np.argsort(-defaults_kw, kind="stable")
    before = np.cumsum(defaults_kw[order]) - defaults_kw[order]
    cut = np.zeros_like(defaults_kw)
    cut[order] = np.clip(excess_kw - before, 0.0, defaults_kw[order])
    return cut


def _lower_text(lower: list[tuple[str, float]], left_kw: float, word: str) -> str:
    told = [f"that of {device} by {kw_text(kw)}" for device, kw in lower[:_NAMED]]
    more = lower[_NAMED:]
    told += [f"those of {len(more)} more by {kw_text(sum(kw for _, kw in more))} together"] if more else []
    parts = [f"lower default controls: {', '.join(told)}"] if told else []
    if left_kw > _SLIGHT_KW:
        parts.append(f"raise the {word} limit by {kw_text(left_kw)}, which no default control can give")
    return "; ".join(parts)


def _named(rows: list[int], device_ids: Sequence[str]) -> str:
    told = ", ".join(device_ids[row] for row in rows[:_NAMED])
    return told if len(rows) <= _NAMED else f"{told} and {len(rows) - _NAMED} more"
