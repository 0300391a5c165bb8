"""What a decision says, in words. Pure.

A face never prints a bare minus: every power comes with its direction.
"""

from collections.abc import Sequence
from typing import assert_never

import numpy as np

from derms.columns import PV, Decision, Reason
from derms.control.limits import RECOVERY, STATIC

_NOTHING_KW = 0.005
"""What rounds to nothing [kW]."""
_ID_MAX = 40
"""Longer ids are cut, so that every text fits into `derms.contract.fields.MAX_TEXT` characters: a device refuses a
setpoint with more."""


def reason_text(decision: Decision, index: int, node_ids: Sequence[str]) -> str:
    """Say what bound the setpoint of one device, in the words that go out with it.

    Args:
        decision: The decision.
        index: The device's row.
        node_ids: The ids of the nodes.
    """
    reason, node = Reason(int(decision.reason[index])), int(decision.reason_node[index])
    match reason:
        case Reason.NONE:
            return "all it can take"
        case Reason.IMPORT_LIMIT:
            return _limit("import", decision.nodes.import_source, node, node_ids)
        case Reason.MINIMUM_POWER:
            return f"waiting for its turn: {_limit('import', decision.nodes.import_source, node, node_ids)}"
        case Reason.RAMP:
            return "on its way up: ramp, or room not free yet"
        case Reason.FULL:
            return "full"
        case Reason.UNAVAILABLE:
            return "not available, or nothing connected"
        case Reason.RELIEF:
            return f"relief: {_limit('import', decision.nodes.import_source, node, node_ids)}"
        case Reason.EXPORT_LIMIT:
            return _limit("export", decision.nodes.export_source, node, node_ids)
        case Reason.UPTAKE:
            return "takes less than it was granted"
        case Reason.SILENT:
            return "not heard of late: as before"
        case Reason.HELD:
            return "held by an operator"
        case Reason.BLOCKED:
            return "blocked by an operator"
        case Reason.DISOBEDIENT:
            return "does not follow its leases: what it draws is reserved"
        case Reason.ABSORB:
            return f"charges to keep {_limit('export', decision.nodes.export_source, node, node_ids)}"
    assert_never(reason)


def _limit(direction: str, sources: Sequence[str], node: int, node_ids: Sequence[str]) -> str:
    """A node's limit, and who set it."""
    if node < 0:
        return f"{direction} limit"
    source, named = sources[node], f"{_cut(node_ids[node])} {direction} limit"
    if source == STATIC:
        return named
    return f"{named}, rising after an event" if source == RECOVERY else f"{named} of {_cut(source)}"


def _cut(text: str) -> str:
    return text if len(text) <= _ID_MAX else f"{text[: _ID_MAX - 3]}..."


def kw_text(kw: float) -> str:
    """A magnitude, finer where it is small: `7.4 kW`, `0.35 kW`; `no limit`, `unknown`."""
    if np.isnan(kw):
        return "unknown"
    if np.isinf(kw):
        return "no limit"
    size = abs(kw)
    if size < _NOTHING_KW:
        return "0 kW"
    return f"{size:.1f} kW" if size >= 0.95 else f"{size:.2f} kW"


def load_text(kw: float) -> str:
    """A net load with its direction: `import 12.3 kW`, `export 4.1 kW`."""
    if not np.isfinite(kw) or abs(kw) < _NOTHING_KW:
        return kw_text(kw)
    return f"{'import' if kw > 0.0 else 'export'} {kw_text(kw)}"


def allowed_text(kw: float, kind: int) -> str:
    """What a setpoint or a bound allows a device: `charging at most 7.4 kW`, `generating at most 4.0 kW`.

    Args:
        kw: In the load convention [kW].
        kind: A code of `DeviceKind`.
    """
    if kind == PV:
        return "no generation" if abs(kw) < _NOTHING_KW else f"generating at most {kw_text(kw)}"
    if abs(kw) < _NOTHING_KW:
        return "no charging"
    return f"charging at most {kw_text(kw)}" if kw > 0.0 else f"discharging at least {kw_text(kw)}"


def wait_text(seconds: float) -> str:
    """A while: `40 s`, `12 min`, `2.5 h`."""
    if not np.isfinite(seconds):
        return "an unknown time"
    if seconds < 90.0:
        return f"{max(round(seconds), 0)} s"
    return f"{round(seconds / 60.0)} min" if seconds < 5400.0 else f"{seconds / 3600.0:.1f} h"
