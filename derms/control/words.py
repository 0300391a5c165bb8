"""What a decision says, in words. Pure."""

from collections.abc import Sequence
from typing import assert_never

from derms.columns import Decision, Reason
from derms.control.limits import RECOVERY, STATIC


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
            return _import_limit(decision, node, node_ids)
        case Reason.MINIMUM_POWER:
            return f"{_import_limit(decision, node, node_ids)}: its smallest power does not fit, waiting"
        case Reason.RAMP:
            return "on its way up: ramp, or room not free yet"
        case Reason.FULL:
            return "full"
        case Reason.UNAVAILABLE:
            return "not available, or nothing connected"
        case Reason.RELIEF:
            return f"relief: {_import_limit(decision, node, node_ids)}"
        case Reason.EXPORT_LIMIT:
            return "export limit"
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
            return "charges to keep the export limit"
    assert_never(reason)


def _import_limit(decision: Decision, node: int, node_ids: Sequence[str]) -> str:
    if node < 0:
        return "import limit"
    source = decision.nodes.import_source[node]
    if source == STATIC:
        return f"{node_ids[node]} import limit"
    if source == RECOVERY:
        return f"{node_ids[node]} import limit, rising after an event"
    return f"{node_ids[node]} import limit of {source}"
