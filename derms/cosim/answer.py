"""A decision as a line: plain JSON numbers, null for none. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from derms.columns import Bools, Decision, Floats, NodeColumns, Reason
from derms.control.alarm_kinds import AlarmKind
from derms.control.words import reason_text
from derms.cosim.clock import EPOCH_MS, as_said
from derms.cosim.wrong import WrongLine
from derms.model import Setpoint

_NOTHING_KW = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One tree's tick, with the names that its columns do not have."""

    now: float | str
    now_ms: int
    nodes: Sequence[str]
    """The tree's ids, parents first."""
    devices: Sequence[str]
    """The ids of the devices, in the order of the decision's rows."""
    leases: Sequence[Setpoint | None]
    """The newest setpoint of each, those of this tick included."""
    advised: Bools
    """Who is under a node that is only advised, shape (n,)."""
    remarks: Mapping[str, str]
    """What operators said of their overrides, by device."""
    columns: NodeColumns
    decision: Decision


def tick_answer(now: float | str, trees: Sequence[Told], late: Sequence[str]) -> dict[str, Any]:
    """The answer to one tick.

    Args:
        now: As the driver said it.
        trees: What was decided, tree by tree.
        late: Devices whose reading was older than the one before.
    """
    answer: dict[str, Any] = {"now": now, "setpoints": {}, "why": {}, "nodes": {}}
    alarms: list[dict[str, Any]] = []
    advice: dict[str, Any] = {}
    for told in trees:
        answer["setpoints"].update(_setpoints(told))
        answer["why"].update(_why(told))
        answer["nodes"].update(_nodes(told))
        advice.update(_advice(told))
        alarms.extend(_alarms(told))
    more = {"advice": advice, "alarms": alarms, "late": list(late)}
    return answer | {name: said for name, said in more.items() if said}


def error_answer(wrong: WrongLine, line: int) -> dict[str, Any]:
    """The answer to a line that is wrong."""
    return {"error": {"code": wrong.code.value, "message": str(wrong), "line": line}}


def _setpoints(told: Told) -> dict[str, Any]:
    """Every setpoint that is alive, told now or before."""
    sent = told.decision.send.tolist()
    return {
        name: {
            "p_setpoint_kw": lease.p_setpoint_kw,
            "valid_until": as_said(lease.valid_until_ms - EPOCH_MS, told.now),
            "sent": sent[place],
        }
        for place, (name, lease) in enumerate(zip(told.devices, told.leases, strict=True))
        if lease is not None and lease.valid_until_ms - EPOCH_MS > told.now_ms
    }


def _why(told: Told) -> dict[str, str]:
    words = {}
    for place, name in enumerate(told.devices):
        text = reason_text(told.decision, place, told.nodes)
        remark = told.remarks.get(name)
        if remark and told.decision.reason[place] in (Reason.HELD, Reason.BLOCKED):
            text = f"{text} ({remark})"
        words[name] = text
    return words


def _advice(told: Told) -> dict[str, Any]:
    """What would be told where a node is only advised."""
    target = told.decision.target_kw
    rows = np.flatnonzero(told.advised & np.isfinite(target)).tolist()
    return {told.devices[row]: {"p_setpoint_kw": float(target[row]) + 0.0} for row in rows}


def _nodes(told: Told) -> dict[str, Any]:
    at = told.decision.nodes
    columns: dict[str, list[Any]] = {
        "headroom": _numbers(at.headroom_kw),
        "shortfall": _numbers(at.shortfall_kw),
        "binding": _sources(at.import_source, at.import_limit_kw),
        "import_limit_kw": _numbers(at.import_limit_kw),
        "load_kw": _numbers(at.load_kw),
        "metered_kw": _numbers(at.measured_kw),
        "background_kw": _numbers(at.background_kw),
        "reserved_kw": _numbers(at.reserved_kw),
        "commanded_kw": _numbers(at.commanded_kw),
        "export_headroom": _numbers(at.export_headroom_kw),
        "export_shortfall": _numbers(at.export_shortfall_kw),
        "export_binding": _sources(at.export_source, at.export_limit_kw),
        "export_limit_kw": _numbers(at.export_limit_kw),
        "envelope_import_kw": _numbers(at.envelope_import_kw),
        "envelope_import_at": _instants(at.envelope_import_s, told),
        "envelope_export_kw": _numbers(at.envelope_export_kw),
        "envelope_export_at": _instants(at.envelope_export_s, told),
    }
    return {
        name: dict(zip(columns, values, strict=True))
        for name, values in zip(told.nodes, zip(*columns.values(), strict=True), strict=True)
    }


def _alarms(told: Told) -> list[dict[str, Any]]:
    """What a person should look at."""
    decision, at = told.decision, told.decision.nodes
    alarms: list[dict[str, Any]] = [
        {"alarm": AlarmKind.DISOBEDIENT.value, "device": told.devices[row]}
        for row in np.flatnonzero(decision.disobedient).tolist()
    ]
    blind = np.isfinite(told.columns.metered_kw) & ~np.isfinite(at.measured_kw)
    alarms += [
        {"alarm": AlarmKind.METER_SILENT.value, "node": told.nodes[row]} for row in np.flatnonzero(blind).tolist()
    ]
    nothing = np.zeros_like(at.default_over_exports)
    for kind, kw, exports in (
        (AlarmKind.SHORTFALL, at.shortfall_kw, nothing),
        (AlarmKind.SHORTFALL, at.export_shortfall_kw, ~nothing),
        (AlarmKind.DEFAULTS_OVER, at.default_over_kw, at.default_over_exports),
    ):
        alarms += [
            {"alarm": kind.value, "node": told.nodes[row], "kw": float(kw[row]),
             "direction": "export" if exports[row] else "import"}
            for row in np.flatnonzero(kw > _NOTHING_KW).tolist()
        ]  # fmt: skip
    return alarms


def _numbers(values: Floats) -> list[float | None]:
    """Null where there is none: no limit, not known."""
    finite = np.isfinite(values).tolist()
    return [value if known else None for value, known in zip((values + 0.0).tolist(), finite, strict=True)]


def _sources(sources: Sequence[str], limit_kw: Floats) -> list[str | None]:
    there = np.isfinite(limit_kw).tolist()
    return [source if bears else None for source, bears in zip(sources, there, strict=True)]


def _instants(in_s: Floats, told: Told) -> list[float | str | None]:
    return [
        None if seconds is None else as_said(told.now_ms + round(seconds * 1000.0), told.now)
        for seconds in _numbers(in_s)
    ]
